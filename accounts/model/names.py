# SPDX-License-Identifier: MIT
"""Names and fields, validated as a release of shadow does. Pure.

Source: chkname.c, until 4.17 with the relaxed names of Debian's 506_relaxed_usernames; lib/fields.c with the fix of
CVE-2023-29383.
"""

from __future__ import annotations

from accounts.model.release import DEFAULT
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.model.release import Release

# shadow's configured --with-group-name-max-length.
GROUP_NAME_MAX = 32
_DOMAIN_MAX = 255
_LABEL_MAX = 63
_SPACES = frozenset(b" \t\n\v\f\r")
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."
_NEVER = frozenset(b" \"#',/:;\x7f" + bytes(range(0x20)))


def _is_valid_name(name: bytes, allow_bad: bool, release: Release) -> bool:
    if release < (4, 17):
        if allow_bad:
            return True
        if not name or name[:1] in (b"-", b"~", b"+"):
            return False
        return not any(char in b":," or char in _SPACES for char in name)
    if allow_bad and release < (4, 19):
        return True
    if name in (b"", b".", b"..") or name.isdigit():
        return False
    if allow_bad:
        return not name.startswith(b"-") and _NEVER.isdisjoint(name)
    # As a regular expression: [a-zA-Z0-9_.][a-zA-Z0-9_.-]*$?
    return name[0] in _LETTERS and not (name[1:].removesuffix(b"$")).strip(_LETTERS + b"-")


def user_name_max(release: Release) -> int:
    """How many bytes a user name may have: UT_NAMESIZE of utmp, later LOGIN_NAME_MAX less its NUL."""
    return 32 if release < (4, 17) else 255


def is_valid_user_name(name: bytes, allow_bad: bool = False, release: Release = DEFAULT) -> bool:
    """Whether a new user may have the name. allow_bad: --badname, which leaves little but the limit of length."""
    return len(name) <= user_name_max(release) and _is_valid_name(name, allow_bad, release)


def name_error(name: bytes, allow_bad: bool, release: Release) -> str:
    """What is said of a bad user name; that --badname helps where it would, and always in the oldest releases."""
    helps = release < (4, 17) or (not allow_bad and is_valid_user_name(name, True, release))
    return f"invalid user name '{fsdecode(name)}'" + (": use --badname to ignore" if helps else "")


def is_valid_group_name(name: bytes, allow_bad: bool = False, release: Release = DEFAULT) -> bool:
    """Whether a new group may have the name. allow_bad: --badname, which groups have no more since 4.20."""
    return len(name) <= GROUP_NAME_MAX and _is_valid_name(name, allow_bad and release < (4, 20), release)


def is_valid_upn(name: bytes) -> bool:
    """Whether passwd of 4.20 takes a name as user@domain, which NSS may know: a domain as in RFC 1035."""
    user, at, domain = name.partition(b"@")
    if not at or not is_valid_user_name(user, True, (4, 20)):
        return False
    # A dot at the end is the root's.
    labels = domain.removesuffix(b".").split(b".")
    return len(domain) + (not domain.endswith(b".")) <= _DOMAIN_MAX and all(map(_is_label, labels))


def _is_label(label: bytes) -> bool:
    letters = label.replace(b"-", b"a")
    return letters.isalnum() and len(label) <= _LABEL_MAX and label[:1].isalpha() and not label.endswith(b"-")


def valid_field(field: bytes, illegal: bytes) -> int:
    """-1: has an illegal or control character; 1: has one outside printable ASCII; 0: fine (lib/fields.c)."""
    if any(char in field for char in illegal):
        return -1
    if field.isascii() and field.decode().isprintable():
        return 0
    if any(char < 0x20 or char == 0x7F for char in field):
        return -1
    return 1
