# SPDX-License-Identifier: MIT
"""What NSS knows beyond the two layers (LDAP, sssd, systemd): asked on the live system only. Hot path."""

from __future__ import annotations

from accounts.text import fsdecode


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


def find_group(name: bytes) -> int | None:
    """GID of a group that only NSS knows, or None."""
    import grp

    try:
        return grp.getgrnam(fsdecode(name)).gr_gid
    except (KeyError, OSError, ValueError):
        return None
