# SPDX-License-Identifier: MIT
"""Hands callers who are not root over to the distribution's own set-uid program. Hot path.

The kernel ignores set-uid on scripts (docs/decisions/set-uid.md), so nothing of ours ever has more rights than
its caller. Who that is says the real UID, as in shadow: a set-uid program may call us with UID 0 for somebody else.
"""

from __future__ import annotations

import _stat as stat
import posix

from accounts.errors import E_NOPERM, Fail
from accounts.text import fsencode

# Where dpkg-divert puts the program that ours replaces.
DIVERTED = "/usr/bin/{}.distrib"


def hand_over(tool: str, prog: str, argv: list[bytes]) -> None:
    """Exec the diverted program of tool, as prog, with the caller's arguments and environment; does nothing for root.

    To be called before anything else is read. Raises Fail when there is no program to trust.
    """
    if is_root():
        return
    exec_diverted(prog, tool, argv)
    path = DIVERTED.format(tool)
    raise Fail(E_NOPERM, f"Permission denied: this needs root, there is no set-uid {path}")


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
