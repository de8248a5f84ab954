# SPDX-License-Identifier: MIT
"""shadow's get_date(), which read dates until 4.18: a yacc grammar with one token of look-ahead. Pure.

This reader follows the same rules by hand: 2030-12-31, 12/31/2030, 31 Dec 2030, "next friday", "3 weeks", "1 month
ago". Its oddities are shadow's: days that a month does not have run over into the next one, and "tomorrow" is a minute
from now. 4.17.4 took the time zones out of it: dates are those of UTC.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.model.release import Release

DAY = 86400
# isspace(3).
BLANKS = b" \t\n\v\f\r"
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MORE_NAMES = {
    "sept": ("month", 9), "tues": ("day", 2), "wednes": ("day", 3), "thur": ("day", 4), "thurs": ("day", 4),
}  # fmt: skip
_UNITS = {
    "year": ("years", 1), "month": ("months", 1), "fortnight": ("days", 14), "week": ("days", 7),
    "day": ("days", 1), "hour": ("hours", 1), "minute": ("minutes", 1), "min": ("minutes", 1),
    "second": ("seconds", 1), "sec": ("seconds", 1),
}  # fmt: skip
_RELATIVE = {
    "tomorrow": ("minutes", 1440), "yesterday": ("minutes", -1440), "today": ("minutes", 0),
    "now": ("minutes", 0), "last": ("number", -1), "this": ("minutes", 0), "next": ("number", 2),
    "first": ("number", 1), "third": ("number", 3), "fourth": ("number", 4), "fifth": ("number", 5),
    "sixth": ("number", 6), "seventh": ("number", 7), "eighth": ("number", 8), "ninth": ("number", 9),
    "tenth": ("number", 10), "eleventh": ("number", 11), "twelfth": ("number", 12), "ago": ("ago", 1),
}  # fmt: skip
# Hours west of Greenwich: standard times, and summer times by the standard time they belong to.
_ZONES = {
    "gmt": 0, "ut": 0, "utc": 0, "wet": 0, "wat": 1, "at": 2, "ast": 4, "est": 5, "cst": 6, "mst": 7,
    "pst": 8, "yst": 9, "hst": 10, "cat": 10, "ahst": 10, "nt": 11, "idlw": 12, "cet": -1, "met": -1, "mewt": -1,
    "swt": -1, "fwt": -1, "eet": -2, "bt": -3, "zp4": -4, "zp5": -5, "zp6": -6, "wast": -7, "cct": -8,
    "jst": -9, "east": -10, "gst": -10, "nzt": -12, "nzst": -12, "idle": -12,
}  # fmt: skip
_SUMMER_ZONES = {
    "bst": 0, "adt": 4, "edt": 5, "cdt": 6, "mdt": 7, "pdt": 8, "ydt": 9, "hdt": 10, "mest": -1, "mesz": -1,
    "sst": -1, "fst": -1, "wadt": -7, "eadt": -10, "nzdt": -12,
}  # fmt: skip
# The military zones: a-m without j are 1..12 hours, n-y are -1..-12, z is 0.
_MILITARY = {
    **{letter: hours for hours, letter in enumerate("abcdefghiklm", 1)},
    **{letter: -hours for hours, letter in enumerate("nopqrstuvwxy", 1)},
    "z": 0,
}
# Days before each month of a year that is not a leap year; days before 1970-01-01 since the year 1.
_MONTH_STARTS = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_EPOCH = 719162
_RELATIVE_UNITS = ("years", "months", "days", "hours", "minutes", "seconds")
_WORD_LENGTH = 19


def days_before(year: int, months: int) -> int:
    """Days from the epoch to the first of a month: months after January of a year, in the Gregorian calendar."""
    year, month = year + months // 12, months % 12
    years = year - 1
    leap = month > 1 and ((year % 4 == 0 and year % 100 != 0) or year % 400 == 0)
    return years * 365 + years // 4 - years // 100 + years // 400 + _MONTH_STARTS[month] + leap - _EPOCH


def _as_int(value: int) -> int:
    """What a C int holds of a number."""
    return (value + 0x80000000) % 0x100000000 - 0x80000000


def _tokens(text: bytes, zones: bool) -> list[tuple[str, int]]:
    """(kind, value) of each token. Kinds: those of the tables, number, signed, meridian, or a character."""
    found = []
    blanks = BLANKS if zones else b" \t"
    position, size = 0, len(text)
    while position < size:
        char = text[position : position + 1]
        if char in blanks:
            position += 1
        elif char.isdigit() or char in b"+-":
            sign = 0 if char.isdigit() else -1 if char == b"-" else 1
            end = position = position + (sign != 0)
            while text[end : end + 1].isdigit():
                end += 1
            if end == position:
                continue  # a lone sign
            # 10**32 is a multiple of 2**32: digits before the last 32 make no difference to an int.
            value = _as_int(int(text[position:end][-32:]))
            found.append(("signed", _as_int(sign * value)) if sign else ("number", value))
            position = end
        elif char.isalpha():
            end = position
            while text[end : end + 1].isalpha() or text[end : end + 1] == b".":
                end += 1
            found.append(_look_up(text[position:end][:_WORD_LENGTH].decode().lower(), zones))
            position = end
        elif char == b"(":
            depth = 0
            while position < size:
                depth += {b"(": 1, b")": -1}.get(text[position : position + 1], 0)
                position += 1
                if depth == 0:
                    break
            else:
                break  # a comment that never ends ends the text
        elif char > b"\x7f":
            break  # negative as a C char, which yacc takes for the end
        else:
            found.append((char.decode(), 0))
            position += 1
    return found


def _look_up(word: str, zones: bool) -> tuple[str, int]:
    if word in ("am", "a.m."):
        return "meridian", 0
    if word in ("pm", "p.m."):
        return "meridian", 12
    abbreviated = len(word) == 3 or (len(word) == 4 and word[3] == ".")
    if abbreviated:
        word = word[:3]
    for kind, names, first in (("month", _MONTHS, 1), ("day", _WEEKDAYS, 0)):
        for number, name in enumerate(names, first):
            if word == name or (abbreviated and name.startswith(word)):
                return kind, number
    if word in _MORE_NAMES:
        return _MORE_NAMES[word]
    zone = _look_up_zone(word) if zones else None
    if zone is not None:
        return zone
    if word == "dst" and zones:
        return "dst", 0
    for table, name in ((_UNITS, word), (_UNITS, word.removesuffix("s")), (_RELATIVE, word)):
        if name in table:
            return table[name]
    if not zones:
        return "unknown", 0
    if word in _MILITARY:
        return "zone", _MILITARY[word] * 60
    return (_look_up_zone(word.replace(".", "")) if "." in word else None) or ("unknown", 0)


def _look_up_zone(word: str) -> tuple[str, int] | None:
    if word in _ZONES:
        return "zone", _ZONES[word] * 60
    if word in _SUMMER_ZONES:
        return "summer zone", _SUMMER_ZONES[word] * 60
    return None


class DateReader:
    """One date being read: the tokens still to go and what has been understood."""

    def __init__(self, text: bytes, now: float, release: Release) -> None:
        # Whether times are of the local zone or one that the text names; else all are UTC.
        self._zones = release < (4, 17)
        self._counts_units = release >= (4, 15)
        self._todo = _tokens(text, self._zones)[::-1]
        local = time.localtime(now) if self._zones else time.gmtime(now)
        self.year, self.month, self.day = local.tm_year, local.tm_mon, local.tm_mday
        self.hour, self.minute, self.second = local.tm_hour, local.tm_min, local.tm_sec
        self.meridian: int | None = None
        self.zone = self.weekday = self.ordinal = 0
        self.relative = dict.fromkeys(_RELATIVE_UNITS, 0)
        # How many times, zones, dates, days and relative items there were.
        self.have = dict.fromkeys(("time", "zone", "date", "day", "relative"), 0)

    def seconds(self) -> int:
        """Seconds since the epoch. Raises ValueError, or what time.mktime raises."""
        while self._todo:
            self._read_item()
        have, relative = self.have, self.relative
        if max(have["time"], have["zone"], have["date"], have["day"]) > 1:
            raise ValueError
        clock = (0, 0, 0)
        if have["time"] or (have["relative"] and not have["date"] and not have["day"]):
            clock = (self._hour_of_day(), self.minute, self.second)
        year = abs(self.year)
        # XPG4: 00-68 are of this century, 69-99 of the last.
        year += 2000 if year < 69 else 1900 if year < 100 else 0
        day = self.day + relative["days"]
        if not self._zones:
            return self._utc_seconds(year, day, clock)
        start = self._make_time(year, day, clock)
        if have["day"] and not have["date"]:
            # mktime(3) has made a real date of it, from which the weekdays are counted.
            local = time.localtime(start)
            ahead = (self.weekday - (local.tm_wday + 1) % 7) % 7 + 7 * (self.ordinal - (self.ordinal > 0))
            start = int(time.mktime((*local[:2], local.tm_mday + ahead, *local[3:6], 0, 0, local.tm_isdst)))
        if have["zone"]:
            start += self.zone * 60 + (time.localtime(start).tm_gmtoff or 0)
        return start

    def _make_time(self, year: int, day: int, clock: tuple[int, int, int]) -> int:
        """mktime(3) of the date, the clock and the relative items, none of which need be in range."""
        relative = self.relative
        return int(
            time.mktime(
                (
                    year + relative["years"],
                    self.month + relative["months"],
                    day,
                    clock[0] + relative["hours"],
                    clock[1] + relative["minutes"],
                    clock[2] + relative["seconds"],
                    0,
                    0,
                    -1,
                )
            )
        )

    def _utc_seconds(self, year: int, day: int, clock: tuple[int, int, int]) -> int:
        """timegm(3) of the date, the clock and the relative items. Raises OverflowError for a year beyond an int."""
        relative = self.relative
        year, months = _as_int(year - 1900 + relative["years"]) + 1900, _as_int(self.month - 1 + relative["months"])
        seconds = 0
        for value, unit in zip(clock, ("hours", "minutes", "seconds"), strict=True):
            seconds = seconds * 60 + _as_int(value + relative[unit])
        days = days_before(year, months) + _as_int(day) - 1 + seconds // DAY
        if abs(days) // 366 > 0x7FFFFFFF:
            raise OverflowError
        if self.have["day"] and not self.have["date"]:
            # The epoch was a thursday.
            days += (self.weekday - (days + 4) % 7) % 7 + 7 * (self.ordinal - (self.ordinal > 0))
        return days * DAY + seconds % DAY

    def _hour_of_day(self) -> int:
        if self.meridian is None:
            if not 0 <= self.hour <= 23:
                raise ValueError
            return self.hour
        if not 1 <= self.hour <= 12:
            raise ValueError
        return self.hour % 12 + self.meridian

    def _next(self) -> str:
        return self._todo[-1][0] if self._todo else ""

    def _take(self, kind: str) -> int:
        if self._next() != kind:
            raise ValueError
        return self._todo.pop()[1]

    def _read_item(self) -> None:
        kind, value = self._todo.pop()
        if kind == "number":
            self._read_number(value)
        elif kind == "signed":
            if self._next() not in _RELATIVE_UNITS:
                raise ValueError
            self._read_relative(value)
        elif kind in _RELATIVE_UNITS:
            # Until 4.15 a bare unit counts one, whatever its value: "week" is a day.
            self._add_relative(kind, value if self._counts_units else 1)
        elif kind == "month":
            self.month, self.day = value, self._take("number")
            if self._next() == ",":
                self._take(",")
                self.year = self._take("number")
            self.have["date"] += 1
        elif kind == "day":
            self.ordinal, self.weekday = 1, value
            if self._next() == ",":
                self._take(",")
            self.have["day"] += 1
        elif kind in ("zone", "summer zone"):
            self.zone = value
            if kind == "summer zone":
                self.zone -= 60
            elif self._next() == "dst":
                self._take("dst")
                self.zone -= 60
            self.have["zone"] += 1
        else:
            raise ValueError

    def _read_number(self, value: int) -> None:
        kind = self._next()
        if kind == "meridian":
            self.hour, self.minute, self.second = value, 0, 0
            self.meridian = self._take("meridian")
            self.have["time"] += 1
        elif kind == ":":
            self._read_time(value)
        elif kind == "day":
            self.ordinal, self.weekday = value, self._take("day")
            self.have["day"] += 1
        elif kind == "/":
            self._take("/")
            self.month, self.day = value, self._take("number")
            if self._next() == "/":
                self._take("/")
                third = self._take("number")
                if value >= 1000:
                    self.year, self.month, self.day = value, self.day, third
                else:
                    self.year = third
            self.have["date"] += 1
        elif kind == "signed":
            self.year, self.month, self.day = value, -self._take("signed"), -self._take("signed")
            self.have["date"] += 1
        elif kind == "month":
            self.day, self.month = value, self._take("month")
            if self._next() == "signed":
                self.year = -self._take("signed")
            elif self._next() == "number":
                self.year = self._take("number")
            self.have["date"] += 1
        elif kind in _RELATIVE_UNITS:
            self._read_relative(value)
        else:
            self._read_bare_number(value)

    def _read_time(self, hour: int) -> None:
        self._take(":")
        self.hour, self.minute = hour, self._take("number")
        seconds = None
        if self._next() == ":":
            self._take(":")
            seconds = self._take("number")
        if self._next() == "signed" and self._zones:
            zone = self._take("signed")
            west = abs(zone) % 100 + abs(zone) // 100 * 60
            self.zone = west if zone < 0 else -west
            self.have["zone"] += 1
            self.meridian = None
            if seconds is not None:
                self.second = seconds
        else:
            self.second = seconds or 0
            self.meridian = self._take("meridian") if self._next() == "meridian" else None
        self.have["time"] += 1

    def _read_relative(self, count: int) -> None:
        kind = self._next()
        self._add_relative(kind, count * self._take(kind))

    def _add_relative(self, kind: str, amount: int) -> None:
        self.relative[kind] = _as_int(self.relative[kind] + amount)
        if self._next() == "ago":
            self._take("ago")
            self.relative = {unit: -value for unit, value in self.relative.items()}
        self.have["relative"] += 1

    def _read_bare_number(self, value: int) -> None:
        if self.have["time"] and self.have["date"] and not self.have["relative"]:
            self.year = value
        elif value > 10000:
            self.have["date"] += 1
            self.year, self.month, self.day = value // 10000, value // 100 % 100, value % 100
        else:
            self.have["time"] += 1
            self.hour, self.minute = (value, 0) if value < 100 else (value // 100, value % 100)
            self.second, self.meridian = 0, None
