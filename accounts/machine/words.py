# SPDX-License-Identifier: MIT
"""Values of account files for people, and rows without their secrets. Pure.

No hash leaves this package: whatever prints or returns a password field goes through here.
"""

from __future__ import annotations

import shlex
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from accounts.model.records import SHADOWED

if TYPE_CHECKING:
    from accounts.change import Change

NEVER = "never"
# Fields that are days since the epoch, and those that count days (shadow(5)).
_DATES = ("lstchg", "expire")
_COUNTS = ("min", "max", "warn", "inactive")
_SECRET = b"<hash>"
_OTHER_SECRET = b"<other hash>"
# The fields of a record behind its name in the order of the file.
ORDER = {
    "passwd": ("passwd", "uid", "gid", "gecos", "home", "shell"),
    "group": ("passwd", "gid", "members"),
    "shadow": ("passwd", "lstchg", "min", "max", "warn", "inactive", "expire", "flag"),
    "gshadow": ("passwd", "admins", "members"),
}
# The password field of each database's rows.
_PASSWORD_COLUMN = 1


def quote(name: bytes) -> str:
    """A name or path as a word of a shell command."""
    return shlex.quote(name.decode("utf-8", "surrogateescape"))


def root_option(change: Change) -> str:
    """ "" or " -R DIR": what an `accounts` command that is advised needs to work on the same root."""
    return "" if change.target.live else f" -R {quote(change.target.path)}"


def shown(name: bytes) -> str:
    """A name, path or other text for people and JSON: what is no UTF-8 or could command a terminal is escaped."""
    text = name.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def describe_password(field: bytes) -> str:
    """What a password field says, never what is in it."""
    if field == SHADOWED:
        return "in shadow"
    if not field:
        return "none needed"
    rest = field.lstrip(b"!")
    if not rest.strip(b"*"):
        return "no login" if b"*" in field else "locked"
    return "set" if rest == field else "set, locked"


def is_secret(field: bytes) -> bool:
    """Whether a password field holds more than marks: a hash, locked or not, or what may be one."""
    return field not in (b"", SHADOWED) and bool(field.strip(b"!*"))


def describe_value(field: str, value: Any) -> str:
    """A field of a record for people; field: its name there."""
    if field == "passwd":
        return describe_password(value)
    if isinstance(value, tuple):
        return ", ".join(shown(item) for item in value) or "none"
    if value is None or (value == -1 and (field in _DATES or field in _COUNTS)):
        return NEVER if field in _DATES else "none"
    if field in _DATES:
        return _describe_day(value)
    if isinstance(value, bytes):
        return shown(value) or "none"
    return str(value)


def describe_change(field: str, image: Any, local: Any) -> tuple[str, str]:
    """Both values of a changed field for people; two passwords that read alike still read differently."""
    before, after = describe_value(field, image), describe_value(field, local)
    return before, f"{after} (another)" if before == after else after


def _describe_day(days: int) -> str:
    try:
        return (date(1970, 1, 1) + timedelta(days=days)).isoformat()
    except OverflowError:
        return f"day {days}"


def mask_line(database: str, line: bytes, other: bytes | None = None) -> str:
    """A row, broken or not, without its hash.

    other: the row that it is compared with; a hash that differs from the one there is shown as different.
    """
    if database in ("subuid", "subgid"):
        return shown(line)
    fields = line.split(b":")
    theirs = other.split(b":") if other is not None else []
    for column, field in enumerate(fields):
        # Of a broken row, or one in a comment, every field may be the password.
        if field.lstrip(b"!")[:1] in (b"$", b"_") or (column == _PASSWORD_COLUMN and is_secret(field)):
            word = _OTHER_SECRET if column < len(theirs) and _differ(field, theirs[column]) else _SECRET
            fields[column] = b"!" * (len(field) - len(field.lstrip(b"!"))) + word
    if len(fields) == 1 and line.strip() and not line.lstrip().startswith((b"#", b"+", b"-")):
        # No row at all: who knows what somebody pasted there.
        return "<a line that is no row>"
    return shown(b":".join(fields))


def _differ(field: bytes, other: bytes) -> bool:
    return is_secret(other) and other.lstrip(b"!") != field.lstrip(b"!")
