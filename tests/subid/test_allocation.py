# SPDX-License-Identifier: MIT
"""Subordinate ids are given and taken around both layers: whatever the tables, no two owners share an id.

ACCOUNTS_SUBID_TABLES: how many random pairs of tables, 1,000 without it.
"""

from __future__ import annotations

import os
import random

import pytest

from accounts.errors import NoId, Refusal
from accounts.model.database import KINDS, Database, Hides
from accounts.model.ids import SubidPool, add_subid_range, has_subid_range, remove_subid_range
from accounts.model.policy import parse_nsswitch
from accounts.model.table import Table

WIRED = parse_nsswitch(b"passwd: files altfiles\nsubid: altfiles\n")
TABLES = int(os.environ.get("ACCOUNTS_SUBID_TABLES", "1000"))


class Defs:
    """A small login.defs, so that tables fill up."""

    def __init__(self, count: int) -> None:
        self._values = {"SUB_UID_MIN": 100, "SUB_UID_MAX": 299, "SUB_UID_COUNT": count}

    def get_ulong(self, name: str, default: int) -> int:
        return self._values.get(name, default)


def make(local: bytes, image: bytes, hidden: tuple[bytes, ...] = (), honoured: bool = True) -> Database:
    return Database(
        {"subuid": Table(KINDS["subuid"], local)},
        {"subuid": Table(KINDS["subuid"], image)},
        WIRED,
        hides=Hides(b"x", [("subuid", name) for name in hidden], lambda: honoured),
    )


def random_table(rng: random.Random) -> bytes:
    rows = []
    for _ in range(rng.randrange(6)):
        start = rng.randrange(80, 310)
        rows.append(b"%s:%d:%d\n" % (rng.choice([b"amy", b"bob", b"1000"]), start, rng.randrange(0, 60)))
    return b"".join(rows)


def ids_of(database: Database, owner: bytes | None = None) -> set[int]:
    layered = database.tables["subuid"]
    rows = [*layered.local, *layered.image]
    return {one for row in rows if owner in (None, row.name) for one in range(row.start, row.start + row.count)}


def test_what_is_given_is_nobodys() -> None:
    rng = random.Random(4)
    given = full = 0
    for _ in range(TABLES):
        local, image = random_table(rng), random_table(rng)
        database = make(local, image)
        taken = ids_of(database)
        layered = database.tables["subuid"]
        defs = Defs(rng.randrange(1, 70))
        pool = SubidPool(layered.local, "UID", defs, layered.image)
        try:
            pool.give(b"new", 0)
            pool.give(b"newer", 0)
        except NoId:
            full += 1
        pool.write()
        assert not ids_of(database, b"new") & taken
        assert not ids_of(database, b"newer") & (taken | ids_of(database, b"new"))
        # useradd's way gives what newusers' way gives.
        try:
            found = SubidPool(Table(KINDS["subuid"], local), "UID", defs, Table(KINDS["subuid"], image)).find(0)
        except NoId:
            assert not ids_of(database, b"new")
        else:
            given += 1
            assert ids_of(database, b"new") == set(range(found[0], found[0] + found[1]))
            assert found[0] >= 100 and sum(found) <= 300
    assert given > TABLES / 3 and full > TABLES / 20


def test_what_usermod_adds_and_takes_is_what_the_owner_then_has() -> None:
    rng = random.Random(5)
    for _ in range(TABLES):
        database = make(random_table(rng), random_table(rng))
        layered = database.tables["subuid"]
        before, others = ids_of(database, b"amy"), ids_of(database, b"bob")
        first = rng.randrange(80, 310)
        count = rng.randrange(1, 60)
        wanted = set(range(first, first + count))
        if rng.random() < 0.5:
            add_subid_range(layered.local, b"amy", first, count, layered.image)
            assert ids_of(database, b"amy") == before | wanted
            assert has_subid_range(layered.local, b"amy", first, count, layered.image)
        else:
            layered.take_over(b"amy", first, first + count - 1)
            remove_subid_range(layered.local, b"amy", first, count)
            assert ids_of(database, b"amy") == before - wanted
        assert ids_of(database, b"bob") == others


def test_a_removed_owner_leaves_a_hide_row_and_his_ids_are_not_given_again() -> None:
    database = make(b"amy:100:50\n", b"amy:150:50\nbob:200:50\n")
    layered = database.tables["subuid"]
    layered.take_over(b"amy", 0, (1 << 64) - 1)
    remove_subid_range(layered.local, b"amy", 0, (1 << 64) - 1)
    changes = {name: new for name, _, new in database.render_changes()}
    # An empty file stays: libsubid before 4.19 asks nobody without one.
    assert changes == {"subuid": b"", "accounts/hidden": b"subuid:amy\n"}
    assert SubidPool(layered.local, "UID", Defs(50), layered.image).find(0) == (100, 50)
    with pytest.raises(NoId):
        SubidPool(layered.local, "UID", Defs(51), layered.image).find(0)


def test_without_hide_rows_the_images_ranges_cannot_be_taken() -> None:
    database = make(b"amy:100:50\n", b"amy:150:50\n", honoured=False)
    layered = database.tables["subuid"]
    layered.take_over(b"amy", 100, 149)  # the image's are not meant
    with pytest.raises(Refusal, match=r"subuid ranges of user 'amy' come from the read-only image"):
        layered.take_over(b"amy", 100, 150)


def test_the_images_ranges_count_only_where_libsubid_asks_for_them() -> None:
    for line, counts in ((b"subid: altfiles", True), (b"subid: files altfiles", False), (b"", False)):
        policy = parse_nsswitch(b"passwd: files altfiles\n" + line + b"\n")
        database = Database({}, {"subuid": Table(KINDS["subuid"], b"amy:1:1\n")}, policy)
        assert database.tables["subuid"].image.present == counts
