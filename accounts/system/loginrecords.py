# SPDX-License-Identifier: MIT
"""The per-UID records of past logins: /var/log/faillog, /var/log/lastlog and pam_tally2. Hot path.

Works on the target root's files; shadow with --prefix writes the host's.
"""

from __future__ import annotations

import posix
import sys

from accounts.system.notify import LOG_WARN, syslog
from accounts.system.paths import open_beneath
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FAILLOG = b"/var/log/faillog"
LASTLOG = b"/var/log/lastlog"
PAM_TALLY2 = b"/sbin/pam_tally2"
# LASTLOG_UID_MAX of login.defs(5) when it is not set.
LASTLOG_UID_MAX = 0xFFFFFFFF


def faillog_size() -> int:
    """Bytes of a struct faillog: two shorts, 12 characters, a time_t and a long."""
    return 32 if sys.maxsize > 2**32 else 24


def lastlog_size() -> int:
    """Bytes of a struct lastlog: a time, 32 and 256 characters.

    The time has 64 bits where the port never had a 32-bit ABI to share files with (bits/wordsize.h).
    """
    return 296 if posix.uname().machine in ("aarch64", "s390x", "alpha", "loongarch64", "ia64") else 292


def reset_login_records(root: int, uid: int, lastlog_uid_max: int, warn: Callable[[str], None]) -> None:
    """Blank what is recorded of an earlier owner of uid, as useradd does for a UID that nobody else has."""
    _reset(root, FAILLOG, "faillog", faillog_size(), uid, warn)
    if uid <= lastlog_uid_max:
        _reset(root, LASTLOG, "lastlog", lastlog_size(), uid, warn)


def _reset(root: int, path: bytes, what: str, size: int, uid: int, warn: Callable[[str], None]) -> None:
    doing = f"open the {what} file for"
    try:
        # The size first, as shadow: where there is no record of uid, a file that cannot be written is no fault.
        fd = open_beneath(root, path, posix.O_PATH | posix.O_NOFOLLOW)
        try:
            if posix.fstat(fd).st_size <= uid * size:
                return
        finally:
            posix.close(fd)
        fd = open_beneath(root, path, posix.O_RDWR | posix.O_NOFOLLOW)
        try:
            doing = f"reset the {what} entry of"
            posix.pwrite(fd, bytes(size), uid * size)
            posix.fsync(fd)
        finally:
            posix.close(fd)
    except FileNotFoundError:
        return
    except OSError as error:
        warn(f"failed to {doing} UID {uid}: {error.strerror}")
        syslog(LOG_WARN, f"failed to {doing} UID {uid}")


def reset_tallylog(name: bytes, warn: Callable[[str], None]) -> None:
    """Reset pam_tally2's counter, where that program exists. Only for the running system's own root."""
    if not posix.access(PAM_TALLY2, posix.X_OK):
        return
    from accounts.system.commands import run_command

    argv = [b"pam_tally2", b"--user", name, b"--reset", b"--quiet"]
    if run_command(PAM_TALLY2, argv, warn) != 0:
        text = f'failed to reset the tallylog entry of user "{fsdecode(name)}"'
        warn(text)
        syslog(LOG_WARN, text)


def move_login_records(
    root: int, old_uid: int, new_uid: int, lastlog_uid_max: int, warn: Callable[[str], None]
) -> None:
    """Copy the records of old_uid to new_uid, as usermod -u; without such a record blank new_uid's."""
    if new_uid <= lastlog_uid_max:
        _move(root, LASTLOG, "lastlog", lastlog_size(), old_uid, new_uid, warn)
    _move(root, FAILLOG, "faillog", faillog_size(), old_uid, new_uid, warn)


def _move(root: int, path: bytes, what: str, size: int, old: int, new: int, warn: Callable[[str], None]) -> None:
    try:
        fd = open_beneath(root, path, posix.O_RDWR | posix.O_NOFOLLOW)
        try:
            record = posix.pread(fd, size, old * size)
            if len(record) != size:
                if len(posix.pread(fd, size, new * size)) != size:
                    return
                record = bytes(size)
            posix.pwrite(fd, record, new * size)
            posix.fsync(fd)
        finally:
            posix.close(fd)
    except FileNotFoundError:
        return
    except OSError as error:
        warn(f"failed to copy the {what} entry of user {old} to user {new}: {error.strerror}")
