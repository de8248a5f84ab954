# SPDX-License-Identifier: MIT
"""Lossless tables: what is not changed survives byte for byte; what shadow cannot see does not exist."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.errors import DuplicateName
from accounts.model.database import LibcGshadow
from accounts.model.order import sort_rows
from accounts.model.records import Group, Gshadow, Passwd, Subid
from accounts.model.table import INDEX_AFTER, Table

ODD = b"# comment\n\nroot:x:0:0::/:/bin/sh\nbroken:x:1\n\xff\xfe:x:7:7::/:\n+nis\nlast:x:9:9::/:/bin/sh"


def user(name: bytes, uid: int) -> Passwd:
    return Passwd(name, b"x", uid, uid, b"", b"/", b"/bin/sh")


@pytest.mark.parametrize(
    ("name", "uid"),
    [(b"root", 0), (b"\xff\xfe", 7), (b"last", 9), (b"broken", None), (b"+nis", None), (b"", None), (b"roo", None),
     (b"x", None), (b"root:x", None)],
)  # fmt: skip
def test_get_finds_what_shadow_would_parse(name: bytes, uid: int | None) -> None:
    row = Table(Passwd, ODD).get(name)
    assert (row.uid if row else None) == uid


def test_nothing_changed_renders_the_same_bytes() -> None:
    assert Table(Passwd, ODD).render() == ODD


def test_change_leaves_every_other_byte() -> None:
    table = Table(Passwd, ODD)
    table.put(user(b"root", 5))
    assert table.render() == ODD.replace(b"root:x:0:0::/:/bin/sh", b"root:x:5:5::/:/bin/sh")


def test_new_rows_go_before_the_first_nis_row() -> None:
    table = Table(Passwd, ODD)
    table.put(user(b"one", 11))
    table.put(user(b"two", 12))
    expected = ODD.replace(b"+nis", b"one:x:11:11::/:/bin/sh\ntwo:x:12:12::/:/bin/sh\n+nis")
    assert table.render() == expected
    assert [row.name for row in table] == [b"root", b"\xff\xfe", b"one", b"two", b"last"]


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        (b"a:x:1:1:::", "add", b"a:x:1:1:::\nnew:x:5:5::/:/bin/sh\n"),
        (b"a:x:1:1:::\n", "add", b"a:x:1:1:::\nnew:x:5:5::/:/bin/sh\n"),
        (b"", "add", b"new:x:5:5::/:/bin/sh\n"),
        (b"a:x:1:1:::", "remove", b""),
        (b"b:x:2:2:::\na:x:1:1:::", "remove", b"b:x:2:2:::\n"),
        (b"a:x:1:1:::\nb:x:2:2:::", "remove", b"b:x:2:2:::"),
        (b"b:x:2:2:::\na:x:1:1:::", "both", b"b:x:2:2:::\nnew:x:5:5::/:/bin/sh\n"),
        (b"+\n", "add", b"new:x:5:5::/:/bin/sh\n+\n"),
    ],
)
def test_missing_final_newline(before: bytes, change: str, after: bytes) -> None:
    table = Table(Passwd, before)
    if change in ("remove", "both"):
        assert table.remove(b"a")
    if change in ("add", "both"):
        table.put(user(b"new", 5))
    assert table.render() == after


def test_a_name_that_occurs_twice_can_be_neither_changed_nor_removed() -> None:
    table = Table(Passwd, b"a:x:1:1:::\na:x:2:2:::\n")
    with pytest.raises(DuplicateName):
        table.put(user(b"a", 3))
    with pytest.raises(DuplicateName):
        table.remove(b"a")
    assert table.get(b"a").uid == 1
    assert not table.changed


def test_a_broken_first_row_hides_nothing() -> None:
    table = Table(Passwd, b"a:x:zz:1:::\na:x:2:2:::\n")
    assert table.get(b"a").uid == 2
    table.remove(b"a")
    assert table.render() == b"a:x:zz:1:::\n"


@pytest.mark.parametrize(
    ("text", "gid", "name"),
    [(b"a:x:5:\nb:x:05:\n", 5, b"a"), (b"b:x:005:\na:x:5:\n", 5, b"b"), (b"a:x:+7:\n", 7, b"a"),
     (b"a:x: 7:\n", 7, b"a"),
     (b"a:x:57:\n", 7, None), (b"a:5:6:\n", 5, None), (b"bad:x:5:a:b:c\nc:x:5:\n", 5, b"c")],
)  # fmt: skip
def test_first_row_with_an_id_however_it_is_spelt(text: bytes, gid: int, name: bytes | None) -> None:
    row = Table(Group, text).first_with_id("gid", gid)
    assert (row.name if row else None) == name


def test_ids_are_those_of_valid_rows_and_of_changes() -> None:
    table = Table(Passwd, ODD)
    assert table.ids() == {0, 7, 9}
    table.put(user(b"new", 42))
    table.remove(b"last")
    assert table.ids() == {0, 7, 42}


def test_rows_with_a_token_follow_edits() -> None:
    table = Table(Group, b"a:x:1:alice\nb:x:2:bob\nc:x:3:\n")
    table.put(Group(b"c", b"x", 3, (b"alice",)))
    table.put(Group(b"a", b"x", 1, ()))
    table.put(Group(b"d", b"x", 4, (b"alice",)))
    assert sorted(row.name for _, row in table.entries_with(b"alice")) == [b"c", b"d"]


def test_many_lookups_switch_to_an_index_with_the_same_answers() -> None:
    data = b"".join(b"u%d:x:%d:%d::/:\n" % (n, n, n) for n in range(INDEX_AFTER * 3)) + b"u1:x:7:7::/:\n"
    table = Table(Passwd, data)
    table.remove(b"u5")
    for number in range(INDEX_AFTER * 3):
        row = table.get(b"u%d" % number)
        assert (row.uid if row else None) == (None if number == 5 else number)
    with pytest.raises(DuplicateName):
        table.remove(b"u1")


def test_sort_keeps_broken_rows_last_and_nis_rows_in_place() -> None:
    table = Table(Subid, b"b:200:10\nbroken\na:100:10\n+nis\nz:1:1\n")
    sort_rows(table, lambda row: row.start)
    assert table.render() == b"a:100:10\nb:200:10\nbroken\n+nis\nz:1:1\n"
    assert table.changed


LINES = st.sampled_from([
    b"", b"# c", b"a:x:1:", b"b:x:2:a,b", b"a:x:3:", b"bad",
    b"c:x:nn:", b"\xff:x:4:", b"+", b"-x", b"d:x:5",
])  # fmt: skip
NAMES = st.sampled_from([b"a", b"b", b"c", b"d", b"\xff", b"new", b"new2"])


class Naive:
    """The same rules on a list of lines, as simply as possible. A line keeps its own newline or lack of it."""

    def __init__(self, data: bytes) -> None:
        self.lines = data.splitlines(keepends=True)

    def find(self, name: bytes) -> list[int]:
        return [
            i for i, line in enumerate(self.lines)
            if line[:1] not in (b"+", b"-") and (row := Group.parse_line(line.rstrip(b"\n"))) and row.name == name
        ]  # fmt: skip

    def put(self, row: Group) -> bool:
        found = self.find(row.name)
        new = row.format_line() + b"\n"
        if len(found) > 1:
            return False
        if found:
            self.lines[found[0]] = new
        else:
            nis = [i for i, line in enumerate(self.lines) if line[:1] in (b"+", b"-")]
            self.lines.insert(nis[0] if nis else len(self.lines), new)
        return True

    def remove(self, name: bytes) -> bool:
        found = self.find(name)
        if len(found) == 1:
            del self.lines[found[0]]
        return len(found) == 1

    def render(self) -> bytes:
        complete = [line if line.endswith(b"\n") else line + b"\n" for line in self.lines[:-1]]
        return b"".join(complete + self.lines[-1:])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(LINES, max_size=8), st.booleans(), st.lists(st.tuples(st.booleans(), NAMES), max_size=8))
def test_agrees_with_a_naive_list_of_lines(lines: list[bytes], newline: bool, steps: list[tuple[bool, bytes]]) -> None:
    data = b"\n".join(lines) + (b"\n" if newline and lines else b"")
    table, naive = Table(Group, data), Naive(data)
    for number, (put, name) in enumerate(steps):
        row = Group(name, b"x", 100 + number, (b"m",))
        try:
            done = table.put(row) is None if put else table.remove(name)
        except DuplicateName:
            done = False
        assert done == (naive.put(row) if put else naive.remove(name))
    assert table.render() == naive.render()
    assert [r.name for r in table] == [r.name for r in Table(Group, table.render())]


ODD_GSHADOW = b"one\ntwo:!\n# x\n\nthree:!: a ,,b:c,, d,:e\n+nis\none:*::\nlast"


@pytest.mark.parametrize("rows", [0, INDEX_AFTER])
def test_every_line_is_a_row_of_gshadow_to_glibc(rows: int) -> None:
    table = Table(LibcGshadow, ODD_GSHADOW)
    for _ in range(rows):
        assert table.find(b"none") is None
    assert [row.name for row in table] == [b"one", b"two", b"# x", b"", b"three", b"one", b"last"]
    assert table.find(b"one") == 0
    assert table.find(b"one", 0) == ODD_GSHADOW.index(b"one:*")
    assert table.find(b"one", ODD_GSHADOW.index(b"one:*")) is None
    for name in (b"two", b"# x", b"last"):
        assert table.find(name) == ODD_GSHADOW.index(name), name
    assert table.find(b"") == ODD_GSHADOW.index(b"\n\n") + 1
    assert table.find(b"", table.find(b"")) is None
    assert table.find(b"las") is table.find(b"x") is table.find(b"+nis") is None
    row = table.get(b"three")
    assert row == Gshadow(b"three", b"!", (b"a ", b"b"), (b"c", b"d", b":e"))
    assert table.get(b"one") == Gshadow(b"one", b"", (), ())


@pytest.mark.parametrize("rows", [0, INDEX_AFTER])
def test_a_row_without_a_name_is_found(rows: int) -> None:
    table = Table(Passwd, b"root:x:0:0::/:/bin/sh\n:x:5:5::/:/bin/sh\n")
    for _ in range(rows):
        assert table.find(b"none") is None
    assert table.find(b"") == 22
