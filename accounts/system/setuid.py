# SPDX-License-Identifier: MIT
"""Whether the caller is root, and the distribution's own set-uid program for who is not. Hot path.

The kernel ignores set-uid on scripts (docs/decisions/set-uid.md), so nothing of ours ever has more rights than
its caller. Who that is says the real UID, as in shadow: a set-uid program may call us with UID 0 for somebody else.
"""

from __future__ import annotations

import _stat as stat
import posix

from accounts.system.target import Target
from accounts.text import fsencode

# Where dpkg-divert puts the program that ours replaces.
DIVERTED = "/usr/bin/{}.distrib"


def gains_rights(path: str) -> bool:
    """Whether the kernel would honour set-uid of a program that this process executes."""
    try:
        if posix.statvfs(path).f_flag & posix.ST_NOSUID:
            return False
        status = posix.open("/proc/self/status", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            return b"\nNoNewPrivs:\t1\n" not in posix.read(status, 8192)
        finally:
            posix.close(status)
    except OSError:
        return True  # it will be seen


def is_local(tool: str) -> bool:
    """Whether all that the diverted program has to find is in /etc, so that nothing of the image is meant."""
    uid = b"%d" % posix.getuid()
    image_dir = b"/" + Target().image_dir()
    if tool == "gpasswd":
        return not _rows(image_dir + b"/group")
    names = [row[0] for row in _rows(b"/etc/passwd") if len(row) > 2 and row[2] == uid]
    image = {row[0] for row in _rows(image_dir + b"/passwd")}
    return bool(names) and image.isdisjoint(names)


def _rows(path: bytes) -> list[list[bytes]]:
    """The fields of the rows of a file that everybody may read; none when it is not there."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except OSError:
        return []
    pieces = []
    try:
        while piece := posix.read(fd, 1 << 20):
            pieces.append(piece)
    except OSError:
        pass
    finally:
        posix.close(fd)
    return [row.split(b":") for row in b"".join(pieces).splitlines()]


def is_root() -> bool:
    """Whether the caller is root, and not only the process."""
    return posix.getuid() == posix.geteuid() == 0


def exec_diverted(prog: str, name: str, argv: list[bytes]) -> None:
    """Exec the diverted program of that name as prog; returns when there is none to trust."""
    path = DIVERTED.format(name)
    try:
        if is_trusted(path):
            import signal

            # Python ignores these two, and what is ignored stays so in the new program.
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            posix.execv(path, [fsencode(prog), *argv])
    except OSError:
        pass


def is_trusted(path: str) -> bool:
    """Whether that is a set-uid or set-gid program of root's that nobody else can write. Raises OSError.

    Never a script: a shim of ours that was diverted by mistake would execute itself for ever.
    """
    status = posix.lstat(path)
    mode = status.st_mode
    if not stat.S_ISREG(mode) or status.st_uid != 0 or mode & 0o022 or not mode & (stat.S_ISUID | stat.S_ISGID):
        return False
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except PermissionError:
        return True  # mode 4711; a script that cannot be read does not run
    try:
        return posix.read(fd, 4) == b"\x7fELF"
    finally:
        posix.close(fd)


def drop_privileges() -> None:
    """The rights of the caller, for good."""
    # As shadow: a set-uid program that calls us lends nobody its rights over a root of the caller's choice.
    uid, gid = posix.getuid(), posix.getgid()
    if gid != posix.getegid():
        posix.setregid(gid, gid)
    if uid != posix.geteuid():
        posix.setreuid(uid, uid)
