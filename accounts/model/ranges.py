# SPDX-License-Identifier: MIT
"""Ranges of subordinate ids as usermod(8) takes them. Pure."""

from __future__ import annotations

from accounts.model.records import LONG_MAX, MAX_ID, MAX_ULONG, scan_integer
from accounts.model.release import DEFAULT, Release


def parse_range(text: bytes, release: Release = DEFAULT) -> tuple[int, int] | None:
    """(first, last) of FIRST-LAST, or None. As strtoll(3) reads them: blanks, signs and nothing (0) are fine.

    Since 4.15 they have to be ids, since 4.17 numbers.
    """
    if release >= (4, 17):
        return _parse_ids(text)
    first, rest = _parse_number(text)
    if first is None or not text or not rest.startswith(b"-"):
        return None
    last, rest = _parse_number(rest[1:])
    if last is None or rest or first > last:
        return None
    # From here on the real tool has them unsigned.
    first, last = first & MAX_ULONG, last & MAX_ULONG
    if release >= (4, 15) and last > MAX_ID:
        return None
    return (first, last) if first <= last else None


def _parse_ids(text: bytes) -> tuple[int, int] | None:
    first, rest = scan_integer(text)
    last, end = scan_integer(rest[1:])
    if first is None or last is None or rest[:1] != b"-" or end or not 0 <= first <= last <= MAX_ID:
        return None
    return first, last


def _parse_number(text: bytes) -> tuple[int | None, bytes]:
    """(value, what is behind it) as strtoll(3) in base 10; no digits are 0 and all of text, None is ERANGE."""
    value, rest = scan_integer(text)
    if value is None:
        return 0, rest
    return (value if -LONG_MAX - 1 <= value <= LONG_MAX else None), rest
