# SPDX-License-Identifier: MIT
"""What `accounts apply` is told: the users and groups of a declaration, and what their values may be. Pure.

docs/schemas/accounts.d.json says the same for other programs; tests/machine/test_apply_schema.py holds them together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from accounts.errors import BadArgument
from accounts.machine.errors import BadValue
from accounts.text import suggest

# Keys from the top of a document, and what says where they are: "FILE:LINE: users.alice.uid".
Path = tuple[str, ...]
PlaceOf = Callable[[Path], str]
EPOCH = date(1970, 1, 1)
NEVER = -1
# Names as all releases of shadow take them for a new account, without the marks that Debian's once took.
_NAME = re.compile(r"(?!\d+\Z)(?!\.{1,2}\Z)[A-Za-z0-9_.][A-Za-z0-9_.-]{0,30}(?:[A-Za-z0-9_.-]|\$)?")
_TEXT = re.compile(r"[^:\x00-\x1f\x7f]*")
_CREDENTIAL = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9_.@-]{1,255}")
_DATE = re.compile(r"(?:197[1-9]|19[89][0-9]|[2-9][0-9]{3})-[01][0-9]-[0-3][0-9]")
# crypt(5) of libxcrypt, without the methods that are broken: a part of accounts.model.hashes.is_valid_hash().
_HASH = re.compile(
    r"!|!?(?:\*"
    r"|\$g?y\$[./0-9A-Za-z]+\$[./0-9A-Za-z]{1,86}\$[./0-9A-Za-z]{43}"
    r"|\$7\$[./0-9A-Za-z]{11,97}\$[./0-9A-Za-z]{43}"
    r"|\$2[abxy]\$[0-9]{2}\$[./0-9A-Za-z]{53}"
    r"|\$5\$(?:rounds=[1-9][0-9]{3,8}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}"
    r"|\$6\$(?:rounds=[1-9][0-9]{3,8}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86})"
)
MAX_TEXT = 1024
# Characters; the longest hash there can be is shorter by far.
_MAX_HASH = 384
MAX_ID = 0xFFFFFFFE
# -1 of 16 bits, which some system calls take for "no change".
_NO_ID = 0xFFFF
_MAX_DAYS = 0x7FFFFFFF
# Of these an entry has one: a later drop-in's takes the place of an earlier one's.
PASSWORDS = ("password", "password-file", "password-credential")
# Keys whose lists grow with each drop-in.
_JOINED = ("groups", "members")


@dataclass
class DeclaredAccount:
    """A user or group. values: by key, as bytes, int, bool and tuples.

    initial: what a new account has where values say nothing. path: its keys in the document that named it first.
    passed: whether only credentials say it.
    """

    name: bytes
    path: Path
    place_of: PlaceOf
    values: dict[str, Any] = field(default_factory=dict)
    initial: dict[str, Any] = field(default_factory=dict)
    passed: bool = False
    _places: dict[str, tuple[PlaceOf, Path]] = field(default_factory=dict)

    def where(self, key: str = "") -> str:
        """ "FILE:LINE: users.NAME.KEY" for messages; of the entry itself where it has no such key."""
        place_of, path = self._places.get(key, (self.place_of, self.path))
        return place_of(path)

    def take(self, values: Mapping[str, Any], path: Path, place_of: PlaceOf) -> None:
        """Values of a later file: they replace those that are there; lists of groups and members grow."""
        if any(key in values for key in PASSWORDS):
            for key in PASSWORDS:
                self.values.pop(key, None)
        for key, value in values.items():
            if key in _JOINED:
                value = tuple(dict.fromkeys((*self.values.get(key, ()), *value)))
            self.values[key] = value
            self._places[key] = place_of, (*path, key)

    def get(self, key: str, default: Any = None) -> Any:
        """A value, or for a new account what it begins with."""
        return self.values.get(key, self.initial.get(key, default))


@dataclass
class Declaration:
    """All that was declared. remove: whether what is declared no more goes, where the entry did not say.

    notes: what is worth a line on standard error. passed: whether what is taken next comes from a credential.
    """

    users: dict[bytes, DeclaredAccount] = field(default_factory=dict)
    groups: dict[bytes, DeclaredAccount] = field(default_factory=dict)
    remove: bool = False
    notes: list[str] = field(default_factory=list)
    passed: bool = False

    def take(self, document: Any, place_of: PlaceOf) -> None:
        """Add a document, what a TOML file says. place_of: keys -> "FILE:LINE: a.b". Raises BadArgument."""
        for key, value in _table(document, (), place_of).items():
            if key == "remove":
                self.remove = _checked(_bool, value, (key,), place_of)
            elif key in ("users", "groups"):
                for name, values in _table(value, (key,), place_of).items():
                    self._take_entry(key, name, values, place_of)
            else:
                raise BadArgument(f"{place_of((key,))}: there is no such key; there are users, groups, remove")

    def _take_entry(self, kind: str, name: str, values: Any, place_of: PlaceOf) -> None:
        path = (kind, name)
        keys = USER_KEYS if kind == "users" else GROUP_KEYS
        found: dict[str, Any] = {}
        _checked(_name, name, path, place_of)
        for key, value in _table(values, path, place_of).items():
            if key not in keys:
                hint = ": a password is given as its hash" if "passw" in key else suggest(key, keys)
                raise BadArgument(f"{place_of((*path, key))}: there is no such key of {kind}{hint}")
            found[key] = _checked(keys[key], value, (*path, key), place_of)
        if sum(key in found for key in PASSWORDS) > 1:
            raise BadArgument(f"{place_of(path)}: only one of {', '.join(PASSWORDS)} can be given")
        entries: dict[bytes, DeclaredAccount] = getattr(self, kind)
        entry = entries.setdefault(name.encode(), DeclaredAccount(name.encode(), path, place_of, passed=self.passed))
        entry.passed &= self.passed
        entry.take(found, path, place_of)


def _table(value: Any, path: Path, place_of: PlaceOf) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadArgument(f"{place_of(path)}: must be a table")
    return value


def _checked(check: Callable[[Any], Any], value: Any, path: Path, place_of: PlaceOf) -> Any:
    try:
        return check(value)
    except BadValue as error:
        raise BadArgument(f"{place_of(path)}: {error}") from None


# Values: each function answers what is worked with, or raises BadValue.


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue("must be true or false")
    return value


def _whole(value: Any, low: int, high: int, what: str) -> int:
    # 1.0 is an integer to JSON.
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
        raise BadValue(f"must be {what}")
    return number


def _id(value: Any) -> int:
    number = _whole(value, 0, MAX_ID, f"a number from 0 to {MAX_ID}")
    if number == _NO_ID:
        raise BadValue(f"{_NO_ID} is no id: some system calls take it for none")
    return number


def _name(value: Any) -> bytes:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise BadValue(
            "must be a name of 1 to 32 of the characters a-z A-Z 0-9 _ . -, not only digits, no - first, $ only last"
        )
    return value.encode()


def _gid(value: Any) -> int | bytes:
    return _name(value) if isinstance(value, str) else _id(value)


def _text(value: Any) -> bytes:
    if not isinstance(value, str) or len(value) > MAX_TEXT or _TEXT.fullmatch(value) is None or _is_broken(value):
        raise BadValue(f"must be a text of at most {MAX_TEXT} characters without colon and control characters")
    return value.encode()


def _path(value: Any) -> bytes:
    text = _text(value)
    if not text.startswith(b"/"):
        raise BadValue("must be an absolute path")
    return text


def _home(value: Any) -> bytes:
    # As usermod keeps it.
    return _path(value).rstrip(b"/") or b"/"


def parse_hash(text: Any) -> bytes:
    """A password field that may be declared: a hash of crypt(5), locked or not, or a mark for none. Raises BadValue."""
    if not isinstance(text, str) or len(text) > _MAX_HASH or _HASH.fullmatch(text) is None:
        raise BadValue("must be a hash of crypt(5) ($y$..., $6$...), or * or ! for none; never a plain password")
    return text.encode()


def _credential(value: Any) -> str:
    if not isinstance(value, str) or _CREDENTIAL.fullmatch(value) is None:
        raise BadValue("must be the name of a credential")
    return value


def _when(value: Any) -> str:
    if value not in ("always", "on_create"):
        raise BadValue("must be always or on_create")
    return str(value)


def _day(value: Any) -> int:
    """Days since the epoch; -1 for never."""
    if value == "never":
        return NEVER
    try:
        if not isinstance(value, str) or _DATE.fullmatch(value) is None:
            raise ValueError
        return (date.fromisoformat(value) - EPOCH).days
    except ValueError:
        raise BadValue('must be a date from 1971 on as 2027-12-31, or "never"') from None


def _days(value: Any) -> int:
    return _whole(value, -1, _MAX_DAYS, "a number of days, -1 for none")


def _names(value: Any) -> tuple[bytes, ...]:
    if not isinstance(value, list):
        raise BadValue("must be a list of names")
    return tuple(dict.fromkeys(map(_name, value)))


def _ranges(value: Any) -> tuple[tuple[int, int], ...]:
    """(start, count) of each."""
    if not isinstance(value, list):
        raise BadValue("must be a list of ranges, each with start and count")
    ranges = []
    for one in value:
        if not isinstance(one, dict) or set(one) != {"start", "count"}:
            raise BadValue("a range has start and count, and nothing else")
        ranges.append(tuple(_whole(one[key], 1, MAX_ID, f"a number from 1 to {MAX_ID}") for key in ("start", "count")))
    return tuple(dict.fromkeys((start, count) for start, count in ranges))


def _is_broken(text: str) -> bool:
    """Whether it is no UTF-8."""
    return any("\ud800" <= char <= "\udfff" for char in text)


USER_KEYS: dict[str, Callable[[Any], Any]] = {
    "uid": _id, "gid": _gid, "gecos": _text, "home": _home, "shell": _path,
    "password": parse_hash, "password-file": _path, "password-credential": _credential, "update-password": _when,
    "locked": _bool, "expiredate": _day, "inactive": _days, "mindays": _days, "maxdays": _days, "warndays": _days,
    "groups": _names, "subuid": _ranges, "subgid": _ranges,
    "system": _bool, "create-home": _bool, "remove": _bool,
}  # fmt: skip
GROUP_KEYS: dict[str, Callable[[Any], Any]] = {"gid": _id, "members": _names, "system": _bool, "remove": _bool}
