# SPDX-License-Identifier: MIT
"""Dates as the options -e take them: days since the epoch, YYYY-MM-DD, or what shadow's get_date() reads. Pure."""

from __future__ import annotations

import time

from accounts.model.records import parse_long
from accounts.model.release import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.model.release import Release

DAY = 86400
# What parse_day answers for text that is no date.
INVALID = -2


def format_day(day: int) -> str:
    """A day since the epoch as YYYY-MM-DD, "never" before it (shadow's date_to_str)."""
    if day < 0:
        return "never"
    date = time.gmtime(day * DAY)
    return f"{date.tm_year}-{date.tm_mon:02}-{date.tm_mday:02}"


def parse_day(text: bytes, now: float | None = None, release: Release = DEFAULT) -> int:
    """Days since the epoch that a date means; -1 for none ("" and "-1"); less than -1 when it is no date.

    A number is days already. now: seconds since the epoch, for relative dates (default: the clock, which
    shadow does not replace by SOURCE_DATE_EPOCH here). Source: strtoday() and get_date() of the release.
    """
    if not text:
        return -1
    if release >= (4, 18):
        days = parse_long(text)
        return _parse_iso_date(text) if days is None else days
    digits = text.removeprefix(b"-").lstrip(b" ")
    # Since 4.17 a sign alone is no number but, as nothing at all, today.
    if not digits.strip(b"0123456789") and (digits or release < (4, 17)):
        days = parse_long(text)
        return INVALID if days is None else days
    from accounts.model.getdate import DateReader

    try:
        seconds = DateReader(text, time.time() if now is None else now, release).seconds()
    except (OverflowError, ValueError, OSError):
        return INVALID
    if seconds == -1:
        return INVALID
    # To the nearest midnight at first, which is that of UTC when it is noon further west. As C divides: towards zero.
    middle = seconds + DAY // 2 if release < (4, 15) else seconds
    return middle // DAY if middle >= 0 else -(-middle // DAY)


def _parse_iso_date(text: bytes) -> int:
    """strptime(3) of %Y-%m-%d, all of the text, with the blanks that it allows before a number."""
    from accounts.model.getdate import BLANKS, days_before

    numbers = []
    for part, (least, most) in zip(text.split(b"-"), ((0, 9999), (1, 12), (1, 31)), strict=False):
        digits = part.lstrip(BLANKS)
        value = int(digits) if digits.isdigit() and len(digits) <= len(str(most)) else -1
        if not least <= value <= most:
            return INVALID
        numbers.append(value)
    if len(numbers) != 3 or text.count(b"-") != 2:
        return INVALID
    year, month, day = numbers
    days = days_before(year, month - 1) + day - 1
    # The error of timegm(3), which is also a day.
    return INVALID if days == -1 else days
