# SPDX-License-Identifier: MIT
"""Names and fields, validated as shadow 4.13 on Debian does. Pure.

Source: libmisc/chkname.c with Debian's 506_relaxed_usernames, lib/fields.c with the fix of CVE-2023-29383.
"""

from __future__ import annotations

# UT_NAMESIZE of utmp, and shadow's configured --with-group-name-max-length.
USER_NAME_MAX = 32
GROUP_NAME_MAX = 32
_SPACES = frozenset(b" \t\n\v\f\r")


def _is_valid_name(name: bytes) -> bool:
    if not name or name[:1] in (b"-", b"~", b"+"):
        return False
    return not any(char in b":," or char in _SPACES for char in name)


def is_valid_user_name(name: bytes, allow_bad: bool = False) -> bool:
    """Whether a new user may have the name; allow_bad (--badname) leaves only the limit of length."""
    return len(name) <= USER_NAME_MAX and (allow_bad or _is_valid_name(name))


def is_valid_group_name(name: bytes, allow_bad: bool = False) -> bool:
    """Whether a new group may have the name; allow_bad leaves only the limit of length."""
    return len(name) <= GROUP_NAME_MAX and (allow_bad or _is_valid_name(name))


def valid_field(field: bytes, illegal: bytes) -> int:
    """-1: has an illegal or control character; 1: has one outside printable ASCII; 0: fine (lib/fields.c)."""
    if any(char in field for char in illegal):
        return -1
    if field.isascii() and field.decode().isprintable():
        return 0
    if any(char < 0x20 or char == 0x7F for char in field):
        return -1
    return 1
