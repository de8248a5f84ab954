# SPDX-License-Identifier: MIT
"""Dates of -e as shadow's strtoday() and get_date() read them (expectations are from the C code, run on them)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from accounts.model.dates import parse_day

# Saturday 2026-07-25 20:26:40 UTC, of day 20659.
NOW = 1785011200
BAD = -2


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("", -1), ("-1", -1), ("0", 0), ("20000", 20000), ("010", 8), ("0x10", BAD), (" 5", 5),
        ("-5", -5), ("-", BAD), ("- 5", BAD), ("   ", BAD), ("99999999999999999999", BAD),
        ("1970-01-01", 0), ("2030-12-31", 22279), ("2030-01-01", 21915), ("70-9-17", 259), ("1900-09-11", -25313),
        ("2025-02-30", 20149), ("2024-02-29", 19782), ("2030-13-01", 22280),
        ("12/31/2030", 22279), ("2030/12/31", 22279), ("9/17/72", 990), ("20301231", 20301231), ("20301231 ", 22279),
        ("24 September 1972", 997), ("24 Sept 72", 997), ("Sep 24, 1972", 997), ("24-sep-72", 997),
        ("24sep72", 997), ("sep. 24, 1972", 997), ("24 Sep 1972 (a (nested) comment)", 997),
        ("2030-12-31 11:59", 22279), ("2030-12-31 12:00", 22280), ("2030-12-31 11:59 pm", 22280),
        ("2030-12-31 13:00 pm", BAD), ("2030-12-31 06:00 -0800", 22280), ("2030-12-31 06:00 PST", 22280),
        ("2030-12-31 23:00 MESZ", 22280), ("2030-12-31 25:00", BAD),
        ("foo", BAD), ("2030-12-31 2030-12-31", BAD), ("2030-12", BAD), ("2030-12-31 foo", BAD), ("31/", BAD),
        ("monday tuesday", BAD), ("10:00 11:00", BAD), ("utc gmt", BAD), ("12, 1972", BAD),
    ],
)  # fmt: skip
def test_dates(text: str, day: int) -> None:
    assert parse_day(text.encode(), NOW) == day


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("today", 20660), ("now", 20660), ("tomorrow", 20660), ("3 weeks", 20681), ("2 days ago", 20658),
        ("1 month", 20691), ("1 year", 21025), ("1 year ago", 20295), ("fortnight", 20661), ("-3 days", 20657),
        ("2030-12-31 1 month ago", 22249), ("monday", 20661), ("next monday", 20668), ("last monday", 20654),
        ("third friday", 20679), ("Sat.", 20659), ("saturday, ", 20659),
    ],
)  # fmt: skip
def test_relative_dates(text: str, day: int) -> None:
    # 20:26:40 is nearer to the next midnight, to which a time of day is rounded.
    assert parse_day(text.encode(), NOW) == day


def test_days_are_those_of_the_local_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XXX-14")
    time.tzset()
    # Midnight there is 10:00 of the day before in UTC.
    assert parse_day(b"2030-12-31", NOW) == 22278
