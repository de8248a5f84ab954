# SPDX-License-Identifier: MIT
"""What NSS knows beyond the two layers (LDAP, sssd, systemd): asked on the live system only. Hot path."""

from __future__ import annotations

from accounts.text import fsdecode, fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.model.records import Passwd, Shadow


def has_uid(uid: int) -> bool:
    """Whether getpwuid(3) finds the UID; errors of remote services count as no, as in shadow."""
    import pwd

    try:
        pwd.getpwuid(uid)
    except (KeyError, OSError, OverflowError):
        return False
    return True


def has_gid(gid: int) -> bool:
    """Whether getgrgid(3) finds the GID."""
    import grp

    try:
        grp.getgrgid(gid)
    except (KeyError, OSError, OverflowError):
        return False
    return True


def find_user(name: bytes) -> tuple[int, int] | None:
    """(UID, GID) of a user that only NSS knows, or None."""
    import pwd

    try:
        entry = pwd.getpwnam(fsdecode(name))
    except (KeyError, OSError, ValueError):
        return None
    return entry.pw_uid, entry.pw_gid


def find_rows(name: bytes) -> tuple[Passwd, Shadow | None] | None:
    """The rows of a user that only NSS knows, or None. Without ctypes it has no shadow row."""
    import pwd

    from accounts.model.records import Passwd

    try:
        entry = pwd.getpwnam(fsdecode(name))
    except (KeyError, OSError, ValueError):
        return None
    gecos, home, shell = fsencode(entry.pw_gecos), fsencode(entry.pw_dir), fsencode(entry.pw_shell)
    row = Passwd(name, fsencode(entry.pw_passwd), entry.pw_uid, entry.pw_gid, gecos, home, shell)
    return row, _find_shadow(name)


def _find_shadow(name: bytes) -> Shadow | None:
    # Python's own spwd is gone since 3.13.
    try:
        import ctypes
    except ImportError:
        return None
    from accounts.model.records import Shadow

    days = ("lstchg", "min", "max", "warn", "inactive", "expire")

    class Spwd(ctypes.Structure):
        _fields_ = [
            ("name", ctypes.c_char_p), ("passwd", ctypes.c_char_p), *((day, ctypes.c_long) for day in days),
            ("flag", ctypes.c_ulong),
        ]  # fmt: skip

    getspnam = ctypes.CDLL(None).getspnam
    getspnam.restype = ctypes.POINTER(Spwd)
    found = getspnam(ctypes.c_char_p(name))
    if not found:
        return None
    row = found.contents
    return Shadow(name, row.passwd or b"", *(getattr(row, day) for day in days))


def find_group(name: bytes) -> int | None:
    """GID of a group that only NSS knows, or None."""
    import grp

    try:
        return grp.getgrnam(fsdecode(name)).gr_gid
    except (KeyError, OSError, ValueError):
        return None
