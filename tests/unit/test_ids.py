# SPDX-License-Identifier: MIT
"""Allocation as shadow's find_new_uid.c, find_new_gid.c and subordinateio.c do it."""

from __future__ import annotations

import pytest

from accounts.errors import NoId
from accounts.model.ids import (
    SubidPool,
    add_subid_range,
    allocate_id,
    has_subid_range,
    parse_ledger,
    remove_subid_range,
)  # fmt: skip
from accounts.model.records import Subid
from accounts.model.table import Table
from accounts.system.logindefs import LoginDefs


def defs(text: bytes = b"") -> LoginDefs:
    return LoginDefs(text, lambda line: None)


@pytest.mark.parametrize(
    ("system", "used", "text", "expected"),
    [
        (False, set(), b"", 1000),
        (False, {0, 1000, 1001, 65534}, b"", 1002),
        (False, {1000, 1005}, b"", 1006),
        (False, {1000, 60000}, b"", 1001),
        (False, {5}, b"UID_MIN 5\nUID_MAX 6\n", 6),
        (True, set(), b"", 999),
        (True, {0, 1, 999}, b"", 998),
        (True, {101}, b"", 999),
        (True, {500, 700}, b"", 499),
        (True, set(range(102, 999)) | {101}, b"", 999),
        (True, set(), b"SYS_UID_MIN 0x10\nSYS_UID_MAX 020\n", 16),
    ],
)
def test_automatic_ids(system: bool, used: set[int], text: bytes, expected: int) -> None:
    assert allocate_id("UID", system, defs(text), used, lambda _: False) == expected


def test_other_services_are_asked_for_each_candidate() -> None:
    asked = []

    def is_taken(number: int) -> bool:
        asked.append(number)
        return number < 1003

    assert allocate_id("GID", False, defs(), {1000}, is_taken) == 1003
    assert asked == [1001, 1002, 1003]


@pytest.mark.parametrize(
    ("preferred", "used", "expected"), [(1500, {1000}, 1500), (1500, {1500}, 1501), (70000, {1000}, 1001)]
)
def test_preferred_id(preferred: int, used: set[int], expected: int) -> None:
    assert allocate_id("GID", False, defs(), used, lambda _: False, preferred) == expected


@pytest.mark.parametrize(
    ("text", "system", "used", "message"),
    [
        (b"UID_MIN 10\nUID_MAX 11\n", False, {10, 11}, "Can't get unique UID (no more available UIDs)"),
        (b"UID_MIN 10\nUID_MAX 9\n", False, set(), "Invalid configuration: UID_MIN (10), UID_MAX (9)"),
        (b"SYS_UID_MIN 2000\n", True, set(),
         "Invalid configuration: SYS_UID_MIN (2000), UID_MIN (1000), SYS_UID_MAX (999)"),
    ],
)  # fmt: skip
def test_no_id_left(text: bytes, system: bool, used: set[int], message: str) -> None:
    with pytest.raises(NoId) as caught:
        allocate_id("UID", system, defs(text), used, lambda _: False)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("rows", "expected", "after"),
    [
        (b"", 100000, b""),
        (b"a:100000:65536\n", 165536, b"a:100000:65536\n"),
        (b"b:165536:65536\na:100000:65536\n", 231072, b"a:100000:65536\nb:165536:65536\n"),
        (b"a:100000:10\nb:300000:10\n", 100010, b"a:100000:10\nb:300000:10\n"),
        (b"a:0x186a0:65536\n", 165536, b"a:0x186a0:65536\n"),
        (b"bad\na:100000:65536\n", 165536, b"a:100000:65536\nbad\n"),
    ],
)
def test_subordinate_ranges(rows: bytes, expected: int, after: bytes) -> None:
    table = Table(Subid, rows)
    assert SubidPool(table, "UID", defs()).find(0) == (expected, 65536)
    assert table.render() == after


@pytest.mark.parametrize(
    ("text", "rows"),
    [(b"SUB_UID_COUNT 0\n", b""), (b"SUB_UID_MAX 165535\n", b"a:100000:1\n"), (b"SUB_UID_MIN 7\nSUB_UID_MAX 6\n", b"")],
)
def test_no_range_left(text: bytes, rows: bytes) -> None:
    with pytest.raises(NoId):
        SubidPool(Table(Subid, rows), "UID", defs(text)).find(0)


@pytest.mark.parametrize(
    ("rows", "start", "count", "after"),
    [
        (b"a:100:10\n", 100, 10, b""),
        (b"a:100:10\n", 90, 15, b"a:105:5\n"),
        (b"a:100:10\n", 105, 50, b"a:100:5\n"),
        (b"a:100:10\n", 103, 2, b"a:100:3\na:105:5\n"),
        (b"a:100:10\nb:100:10\n", 0, 1000, b"b:100:10\n"),
        (b"a:100:10\n", 200, 10, b"a:100:10\n"),
        (b"a:100:10\n", 100, 0, b"a:100:10\n"),
        (
            b"a:1000:100\na:1020:2000\nb:5000:10\n",
            1050,
            11,
            b"a:1000:50\na:1020:30\nb:5000:10\na:1061:39\na:1061:1959\n",
        ),
    ],
)
def test_taking_a_range_away(rows: bytes, start: int, count: int, after: bytes) -> None:
    table = Table(Subid, rows)
    remove_subid_range(table, b"a", start, count)
    assert table.render() == after


@pytest.mark.parametrize(
    ("rows", "start"),
    [
        (b"a:100000:65536\n", 165536),
        (b":100000:65536\n", 100000),  # what does not parse takes nothing
        (b"a::65536\na:100000:\na:100000\na:1_00000:65536\n", 100000),
        (b"+a:100000:65536\n-a:100000:65536\n", 100000),
        (b"a:%s:65536\n" % (b"9" * 5000), 100000),
        (b"a:0303240:0x10000\n", 165536),  # octal and hexadecimal, as strtoul(3) in base 0
        (b"%s:100000:65536\n" % (b"a" * 1100), 100000),  # longer than shadow reads
    ],
)
def test_only_valid_rows_take_ranges(rows: bytes, start: int) -> None:
    assert SubidPool(Table(Subid, rows), "UID", defs(b"")).find(0) == (start, 65536)


def test_a_range_that_is_there_is_not_added_again() -> None:
    table = Table(Subid, b"a:100:10\na:110:10\n+nis\n")
    assert has_subid_range(table, b"a", 105, 10)
    add_subid_range(table, b"a", 105, 10)
    assert not table.changed
    add_subid_range(table, b"a", 115, 10)
    assert table.render() == b"a:100:10\na:110:10\n+nis\na:115:10\n"


def test_ledger_ids_include_tombstones() -> None:
    text = b"# ids\npasswd:www:33:present\npasswd:gone:700:removed\ngroup:www:33:present\nbad\npasswd:x:y:present\n"
    assert parse_ledger(text, "passwd") == {33, 700}


@pytest.mark.parametrize(
    ("text", "uid", "start"),
    [
        (b"", 1000, 65536),
        (b"", 1003, 65536 + 3 * 65536),
        (b"SUB_UID_MIN 100000\nSUB_UID_COUNT 1000\n", 1002, 102000),
        (b"SUB_UID_MAX 265535\nSUB_UID_COUNT 100000\nUNSAFE_SUB_UID_DETERMINISTIC_WRAP yes\n", 1003, 165536),
    ],
)
def test_a_range_that_is_the_uids(text: bytes, uid: int, start: int) -> None:
    """4.20: SUB_UID_MIN + (UID - UID_MIN) * SUB_UID_COUNT, whatever the table has."""
    found = LoginDefs(b"SUB_UID_DETERMINISTIC yes\nSUB_UID_STORE_BY_UID yes\n" + text, print, (4, 20))
    pool = SubidPool(Table(Subid, b"eve:0:4000000000\n"), "UID", found, None, (4, 20))
    assert (pool.find(uid)[0], pool.owner(b"bob", uid)) == (start, b"%d" % uid)


@pytest.mark.parametrize("uid", [999, 66535])
def test_a_uid_without_a_range_of_its_own(uid: int) -> None:
    pool = SubidPool(Table(Subid, b""), "UID", LoginDefs(b"SUB_UID_DETERMINISTIC yes\n", print, (4, 20)), None, (4, 20))
    with pytest.raises(NoId):
        pool.find(uid)


def test_ids_that_system_calls_take_for_none_are_never_given() -> None:
    wide = defs(b"UID_MIN 65530\nUID_MAX 65540\n")
    assert allocate_id("UID", False, wide, {65534}, lambda _: False) == 65536
    assert allocate_id("UID", False, wide, set(), lambda _: False, 65535) == 65530
