# SPDX-License-Identifier: MIT
"""One record class per account file: parse_line and format_line in pairs. Pure: never opens a file.

Parsing accepts exactly what shadow on glibc accepts, because a row that the real tools cannot parse does not exist
for them: passwd, group and gshadow (up to 4.16; since then accounts.model.database.LibcGshadow) as shadow's own
sgetpwent, sgetgrent and sgetsgent, shadow as glibc's sgetspent(3), subuid and subgid as shadow's subid_parse.
"""

from __future__ import annotations

from accounts.model.names import valid_field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, ClassVar, Self

MAX_ID = 0xFFFFFFFF
MAX_ULONG = 0xFFFFFFFFFFFFFFFF
LONG_MAX = 0x7FFFFFFFFFFFFFFF
# shadow's PASSWD_ENTRY_MAX_LENGTH: longer passwd rows are not parsed.
MAX_PASSWD_LINE = 32768
# In the password field of passwd(5) and group(5): it is in shadow(5), gshadow(5).
SHADOWED = b"x"
SPACES = b" \t\n\v\f\r"


def scan_integer(text: bytes) -> tuple[int | None, bytes]:
    """(value, what is behind it) as strtoll(3) in base 10 reads text: blanks, a sign, digits.

    (None, text) without digits. A value that no C integer holds is some such value: int() refuses more than 4,300
    digits.
    """
    digits = text.lstrip(SPACES)
    sign = -1 if digits[:1] == b"-" else 1
    if digits[:1] in (b"+", b"-"):
        digits = digits[1:]
    rest = digits.lstrip(b"0123456789")
    if len(rest) == len(digits):
        return None, text
    return sign * int(digits[: len(digits) - len(rest)].lstrip(b"0")[:24] or b"0"), rest


def parse_integer(text: bytes) -> int | None:
    """The value of text as scan_integer() reads it to the end, or None."""
    if text.isdigit() and len(text) < 20:
        return int(text)
    value, rest = scan_integer(text)
    return None if rest else value


def parse_unsigned(text: bytes) -> int | None:
    """The value of text as shadow's getulong() takes it: strtoul(3) in base 0 (0x1f, 017, 15), or None."""
    digits = text.lstrip(SPACES)
    sign = digits[:1]
    if sign in (b"+", b"-"):
        digits = digits[1:]
    if not digits.isalnum():
        return None
    lower = digits.lower()
    base = 16 if lower.startswith(b"0x") else 8 if lower.startswith(b"0") else 10
    try:
        value = int(digits, base)
    except ValueError:
        return None
    if value > MAX_ULONG:
        return None
    return (-value) & MAX_ULONG if sign == b"-" else value


def parse_long(text: bytes) -> int | None:
    """The value of text as shadow's getlong() takes it: strtol(3) in base 0, or None."""
    digits = text.lstrip(SPACES)
    negative = digits[:1] == b"-"
    if negative:
        digits = digits[1:]
        if not digits[:1].isdigit():
            return None
    value = parse_unsigned(digits)
    if value is None or value > LONG_MAX + negative:
        return None
    return -value if negative else value


def parse_id(text: bytes) -> int | None:
    """A UID or GID as shadow's get_uid() takes it: 0..2^32-1; (uid_t)-1 included."""
    # Most are as plain as that, and there may be 100,000.
    if len(text) < 10 and text.isdigit():
        return int(text)
    value = parse_integer(text)
    return value if value is not None and 0 <= value <= MAX_ID else None


def _are_writable(texts: Iterable[bytes], illegal: bytes = b":") -> bool:
    # The newline is a control character.
    return all(valid_field(text, illegal) != -1 for text in texts)


class Record:
    """Base: a fixed tuple of fields with value equality. Text fields are bytes, ids and days int."""

    __slots__: ClassVar[tuple[str, ...]] = ("name",)
    # Whether a line may be nothing but a name.
    ONE_FIELD: ClassVar[bool] = False
    name: bytes

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        copy = type(self).__new__(type(self))
        for field in self.fields():
            setattr(copy, field, changes[field] if field in changes else getattr(self, field))
        return copy

    @classmethod
    def fields(cls) -> tuple[str, ...]:
        return ("name", *cls.__slots__)

    def is_writable(self) -> bool:
        """Whether shadow's *_put() would write the row: no colon, newline or control character in a field."""
        return True

    @classmethod
    def parse_line(cls, line: bytes) -> Self | None:
        """The record of a line without its newline; None when it is no row."""
        raise NotImplementedError

    def format_line(self) -> bytes:
        """The line, without newline."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, field) == getattr(other, field) for field in self.fields())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # Never the password field: reprs end up in tracebacks and logs.
        shown = ", ".join(f"{field}={getattr(self, field)!r}" for field in self.fields() if field != "passwd")
        return f"{type(self).__name__}({shown})"


if TYPE_CHECKING:
    from typing import Generic

    from typing_extensions import TypeVar

    # A table that says no more may have rows of any kind.
    Row = TypeVar("Row", bound=Record, default=Any)

    class OfRows(Generic[Row]):
        """What holds rows of one kind: OfRows[Passwd]."""

        __slots__ = ()

else:
    Row = None

    class OfRows:
        __slots__ = ()

        def __class_getitem__(cls, row: object) -> type:
            return cls


def join_members(members: tuple[bytes, ...], more: Iterable[bytes]) -> tuple[bytes, ...]:
    """members and behind them those of more that are not among them yet (shadow's add_list)."""
    return members + tuple(user for user in dict.fromkeys(more) if user not in members)


def drop_member(members: tuple[bytes, ...], user: bytes) -> tuple[bytes, ...]:
    """members without user (shadow's del_list)."""
    return tuple(member for member in members if member != user)


class Passwd(Record):
    """A row of passwd(5)."""

    __slots__ = ("gecos", "gid", "home", "passwd", "shell", "uid")

    def __init__(self, name: bytes, passwd: bytes, uid: int, gid: int, gecos: bytes, home: bytes, shell: bytes) -> None:
        self.name = name
        self.passwd = passwd
        self.uid = uid
        self.gid = gid
        self.gecos = gecos
        self.home = home
        self.shell = shell

    @staticmethod
    def parse_line(line: bytes) -> Passwd | None:
        """Seven fields, both ids numeric; else None."""
        fields = line.split(b":")
        if len(fields) != 7 or len(line) >= MAX_PASSWD_LINE:
            return None
        uid = parse_id(fields[2])
        gid = parse_id(fields[3])
        if uid is None or gid is None:
            return None
        return Passwd(fields[0], fields[1], uid, gid, fields[4], fields[5], fields[6])

    def is_writable(self) -> bool:
        texts = (self.name, self.passwd, self.gecos, self.home, self.shell)
        return _are_writable(texts) and MAX_ID not in (self.uid, self.gid)

    def format_line(self) -> bytes:
        return b"%s:%s:%d:%d:%s:%s:%s" % (
            self.name, self.passwd, self.uid, self.gid, self.gecos, self.home, self.shell,
        )  # fmt: skip


class Shadow(Record):
    """A row of shadow(5). Days are int since the epoch or counts, -1 where the field is empty; flag None."""

    __slots__ = ("expire", "flag", "inactive", "lstchg", "max", "min", "passwd", "warn")

    def __init__(
        self,
        name: bytes,
        passwd: bytes,
        lstchg: int = -1,
        min: int = -1,
        max: int = -1,
        warn: int = -1,
        inactive: int = -1,
        expire: int = -1,
        flag: int | None = None,
    ) -> None:
        self.name = name
        self.passwd = passwd
        self.lstchg = lstchg
        self.min = min
        self.max = max
        self.warn = warn
        self.inactive = inactive
        self.expire = expire
        self.flag = flag

    @staticmethod
    def parse_line(line: bytes) -> Shadow | None:
        """As glibc's sgetspent: nine fields, or five (the SVR4 form), or eight that end in a number."""
        fields = line.split(b":")
        count = len(fields)
        if count == 2 or count > 9:
            return None
        if count == 5 or (count == 6 and not fields[5].strip(SPACES)):
            numbers = _parse_days(fields[2:5])
            # The string must not end where a number is expected, so an empty fifth field needs its colon.
            if numbers is None or (count == 5 and not fields[4]):
                return None
            return Shadow(fields[0], fields[1], numbers[0], numbers[1], numbers[2])
        if count < 8 or (count == 8 and not fields[7]):
            return None
        numbers = _parse_days(fields[2:8])
        if numbers is None:
            return None
        flag = None
        if count == 9 and fields[8]:
            flag = _parse_uint32(fields[8])
            if flag is None:
                return None
        lstchg, low, high, warn, inactive, expire = numbers
        return Shadow(fields[0], fields[1], lstchg, low, high, warn, inactive, expire, flag)

    def is_writable(self) -> bool:
        return _are_writable((self.name, self.passwd))

    def format_line(self) -> bytes:
        """As glibc's putspent(3): -1 is written as nothing."""
        days = (self.lstchg, self.min, self.max, self.warn, self.inactive, self.expire)
        texts = [b"" if day == -1 else b"%d" % day for day in days]
        texts.append(b"" if self.flag is None else b"%d" % self.flag)
        return b"%s:%s:%s" % (self.name, self.passwd, b":".join(texts))


def _parse_uint32(text: bytes) -> int | None:
    """A number as glibc 2.36's line parser takes it: strtoul(3), so that -1 is 2^64-1, and then at most 2^32-1.

    What strtoul(3) overflows on makes the real tools hang; here it is no number, as what is merely too large.
    """
    value = parse_integer(text)
    if value is None or not -MAX_ULONG <= value <= MAX_ULONG:
        return None
    value &= MAX_ULONG
    return value if value <= MAX_ID else None


# Six fields of days -> what they say: the rows of a build, and so most of a machine, have the same ones.
_days: dict[tuple[bytes, ...], list[int]] = {}
_MAX_DAYS = 1000


def _parse_days(texts: list[bytes]) -> list[int] | None:
    """Days, cast to int as in struct spwd; -1 for an empty field."""
    key = tuple(texts)
    days = _days.get(key)
    if days is not None:
        return days
    days = []
    for text in texts:
        value = _parse_uint32(text) if text else MAX_ID
        if value is None:
            return None
        days.append(value - 0x100000000 if value > 0x7FFFFFFF else value)
    if len(_days) < _MAX_DAYS:
        _days[key] = days
    return days


class Group(Record):
    """A row of group(5). members is a tuple of user names, in file order, duplicates kept."""

    __slots__ = ("gid", "members", "passwd")

    def __init__(self, name: bytes, passwd: bytes, gid: int, members: tuple[bytes, ...]) -> None:
        self.name = name
        self.passwd = passwd
        self.gid = gid
        self.members = members

    @staticmethod
    def parse_line(line: bytes) -> Group | None:
        """Three or four fields, a numeric GID; else None."""
        fields = line.split(b":")
        if len(fields) not in (3, 4):
            return None
        gid = parse_id(fields[2])
        if gid is None:
            return None
        return Group(fields[0], fields[1], gid, _parse_list(fields[3]) if len(fields) == 4 else ())

    def is_writable(self) -> bool:
        return _are_writable((self.name, self.passwd)) and _are_writable(self.members, b",:") and self.gid != MAX_ID

    def format_line(self) -> bytes:
        return b"%s:%s:%d:%s" % (self.name, self.passwd, self.gid, b",".join(self.members))


class Gshadow(Record):
    """A row of gshadow(5): administrators and members are tuples of user names."""

    __slots__ = ("admins", "members", "passwd")

    def __init__(self, name: bytes, passwd: bytes, admins: tuple[bytes, ...], members: tuple[bytes, ...]) -> None:
        self.name = name
        self.passwd = passwd
        self.admins = admins
        self.members = members

    @staticmethod
    def parse_line(line: bytes) -> Gshadow | None:
        """Four fields, else None (glibc's sgetsgent, which NSS has and shadow's tools have since 4.17, takes fewer)."""
        fields = line.split(b":")
        if len(fields) != 4:
            return None
        return Gshadow(fields[0], fields[1], _parse_list(fields[2]), _parse_list(fields[3]))

    def is_writable(self) -> bool:
        return _are_writable((self.name, self.passwd)) and _are_writable(self.admins + self.members, b",:")

    def format_line(self) -> bytes:
        return b"%s:%s:%s:%s" % (
            self.name, self.passwd, b",".join(self.admins), b",".join(self.members),
        )  # fmt: skip


def _parse_list(text: bytes) -> tuple[bytes, ...]:
    """The items between commas, empty ones too; a comma at the end has none behind it."""
    items = text.split(b",")
    if not items[-1]:
        items.pop()
    return tuple(items)


class Subid(Record):
    """A row of subuid(5) or subgid(5): name is the owner (a login name or a UID), then start and count."""

    __slots__ = ("count", "start")

    def __init__(self, name: bytes, start: int, count: int) -> None:
        self.name = name
        self.start = start
        self.count = count

    @staticmethod
    def parse_line(line: bytes) -> Subid | None:
        """Three fields, start and count numeric; else None."""
        fields = line.split(b":")
        if len(fields) != 3 or not all(fields):
            return None
        start = parse_unsigned(fields[1])
        count = parse_unsigned(fields[2])
        if start is None or count is None or len(line) >= 1024:
            return None
        return Subid(fields[0], start, count)

    def format_line(self) -> bytes:
        return b"%s:%d:%d" % (self.name, self.start, self.count)
