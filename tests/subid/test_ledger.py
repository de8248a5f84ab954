# SPDX-License-Identifier: MIT
"""Ranges of removed accounts are never given again, by a machine or the next image; and ids inside of ranges."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from accounts.errors import BadArgument, NoId
from accounts.image.idsources import IdSources
from accounts.image.ledger import HEADER, Ledger, parse_text
from accounts.image.seed_image import seed_image
from accounts.model.database import KINDS, Database
from accounts.model.ids import SubidPool, parse_ranges, retire_ranges
from accounts.model.policy import parse_nsswitch
from accounts.model.table import Table
from tests.image.accounts import change, make_image, wire_image
from tests.image.elf_files import make_library
from tests.image.rootfs import make
from tests.image.test_subids import PLUGIN
from tests.subid.test_allocation import Defs
from tests.support.prefix import Prefix

NSSWITCH = "passwd: files altfiles\ngroup: files [SUCCESS=merge] altfiles\nshadow: files altfiles\nsubid: altfiles\n"
IDS = "usr/share/accounts/ids"


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    new = Prefix(tmp_path).image(
        passwd="root:x:0:0::/root:/bin/sh\namy:x:1500:1500::/:/bin/sh\n",
        group="root:x:0:\namy:x:1500:\n",
        shadow="root:*:1::::::\namy:*:1::::::\n",
        subuid="amy:200000:65536\n",
        subgid="amy:200000:65536\n",
    )
    new.local(**{"nsswitch.conf": NSSWITCH, "subuid": "", "subgid": ""})
    (tmp_path / "etc/accounts").mkdir()
    (tmp_path / "etc/accounts/accounts.conf").write_text("HIDE=yes\n")
    return new


def configure(prefix: Prefix, line: str) -> None:
    (prefix.path / "etc/accounts/accounts.conf").write_text(f"HIDE=yes\n{line}\n")


def run(prefix: Prefix, *command: str) -> str:
    done = prefix.run(*command)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_range_of_a_removed_user_is_not_given_again(prefix: Prefix) -> None:
    run(prefix, "useradd", "bob")
    assert prefix.read("subuid") == "bob:100000:65536\n"
    run(prefix, "userdel", "bob")
    ledger = "subuid:bob:100000-165535:removed\nsubgid:bob:100000-165535:removed\n"
    assert prefix.read("accounts/ids") == ledger
    run(prefix, "useradd", "eve")
    # Behind bob's, and around amy's.
    assert prefix.read("subuid") == prefix.read("subgid") == "eve:265536:65536\n"
    assert prefix.run("newusers", stdin="kim:pw:1700:1700::/home/kim:/bin/sh\n").returncode == 0
    assert prefix.read("subuid") == "eve:265536:65536\nkim:331072:65536\n"


def test_nor_one_of_a_user_of_the_image_when_later_images_do_not_have_him(prefix: Prefix) -> None:
    run(prefix, "userdel", "amy")
    assert prefix.read("accounts/hidden") == "passwd:amy\nshadow:amy\nsubuid:amy\nsubgid:amy\n"
    prefix.image(passwd="root:x:0:0::/root:/bin/sh\n", group="root:x:0:\n", subuid="", subgid="")
    for name in ("bob", "eve"):
        run(prefix, "useradd", name)
    assert prefix.read("subuid") == "bob:100000:65536\neve:265536:65536\n"


def test_nor_one_that_the_images_ledger_knows(prefix: Prefix) -> None:
    (prefix.path / "usr/share/accounts").mkdir(parents=True)
    (prefix.path / IDS).write_text("subuid:old:100000-165535:removed\nsubgid:old:100000-100099:removed\n")
    run(prefix, "useradd", "bob")
    assert prefix.read("subuid") == "bob:265536:65536\n"
    assert prefix.read("subgid") == "bob:100100:65536\n"


def test_where_the_image_has_no_subordinate_ids_all_is_as_shadow_does_it(prefix: Prefix) -> None:
    prefix.local(**{"nsswitch.conf": NSSWITCH.replace("subid: altfiles\n", "")})
    for _ in range(2):
        run(prefix, "useradd", "bob")
        assert prefix.read("subuid") == "bob:100000:65536\n"
        run(prefix, "userdel", "bob")
    assert prefix.read("accounts/ids") is None


@pytest.mark.parametrize("policy", ["merge", "first", "auto"])
def test_a_group_policy_in_accounts_conf_says_nothing_of_subordinate_ids(prefix: Prefix, policy: str) -> None:
    configure(prefix, f"GROUP_POLICY={policy}")
    prefix.image(subuid="amy:100000:65536\n")
    run(prefix, "useradd", "bob")
    assert prefix.read("subuid") == "bob:165536:65536\n"


def test_nothing_is_given_twice_whatever_comes_and_goes() -> None:
    rng = random.Random(7)
    policy = parse_nsswitch(b"passwd: files altfiles\nsubid: altfiles\n")
    for _ in range(50):
        image = b"".join(b"img%d:%d:%d\n" % (i, rng.randrange(90, 280), rng.randrange(1, 30)) for i in range(3))
        local, ledger = b"", b""
        given: set[int] = set()
        for round_ in range(8):
            layers = {"subuid": Table(KINDS["subuid"], local)}, {"subuid": Table(KINDS["subuid"], image)}
            database = Database(*layers, policy, ledger=ledger)
            rows = database.tables["subuid"].local
            for row in list(rows):
                if rng.random() < 0.5:
                    retire_ranges(database, "subuid", row.name)
                    rows.remove(row.name)
            pool = SubidPool(
                rows, "UID", Defs(10), layers[1]["subuid"], reserved=parse_ranges(database.ledger, "subuid")
            )
            try:
                pool.give(b"u%d" % round_, 0)
            except NoId:
                break
            pool.write()
            row = rows.get(b"u%d" % round_)
            assert row is not None
            new = set(range(row.start, row.start + row.count))
            assert not new & given
            given |= new
            local, ledger = rows.render(), database.ledger


OVERLAPS = [
    ("useradd", "-u", "200005", "bob"),
    ("usermod", "-u", "265535", "root2"),
    ("groupadd", "-g", "200000", "crew"),
    ("groupmod", "-g", "200001", "crew2"),
]


@pytest.mark.parametrize("command", OVERLAPS, ids=lambda command: command[0])
def test_an_id_inside_of_a_range_is_told_or_refused(prefix: Prefix, command: tuple[str, ...]) -> None:
    prefix.local(passwd="root2:x:1001:0::/:/bin/sh\n", group="crew2:x:1002:\n")
    tool, option, number, name = command
    kind = "UID" if option == "-u" else "GID"
    text = f"is one of the subordinate {kind}s of 'amy'"
    configure(prefix, "SUBID_OVERLAP=error")
    before = prefix.etc()
    done = prefix.run(*command)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (4, f"{tool}: {kind} {number} {text}")
    assert prefix.etc() == before
    configure(prefix, "")
    assert f"{tool} warning: {name}'s {kind.lower()} {number} {text}.\n" in run(prefix, *command)


def test_one_that_may_be_is_not_told(prefix: Prefix) -> None:
    configure(prefix, "SUBID_OVERLAP=no")
    assert "subordinate" not in run(prefix, "useradd", "-u", "200005", "bob")


def test_an_id_outside_of_all_ranges_is_fine(prefix: Prefix) -> None:
    configure(prefix, "SUBID_OVERLAP=error")
    assert run(prefix, "useradd", "-u", "1501", "bob") == ""
    assert "subordinate" not in run(prefix, "usermod", "-u", "265536", "bob")


def test_a_setting_without_sense_is_refused(prefix: Prefix) -> None:
    configure(prefix, "SUBID_OVERLAP=maybe")
    done = prefix.run("useradd", "-u", "1501", "bob")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1, "useradd: accounts.conf: SUBID_OVERLAP must be no, warn or error: 'maybe'",
    )  # fmt: skip
    assert prefix.read("passwd") is None


# In images


def test_the_ledger_keeps_ranges_with_their_comments() -> None:
    text = (
        b"passwd:amy:1500:present\n# since 2024\nsubuid:amy:200000-265535:present\n"
        b"subuid:old:300000-300009:removed\nsubgid:amy:200000-265535:present\n"
    )
    ledger = parse_text(HEADER + text, "f")
    assert ledger.format_text() == HEADER + text
    assert parse_ranges(text, "subuid") == [(200000, 65536, b"amy"), (300000, 10, b"old")]
    other = Ledger()
    other.merge(ledger, "f")
    assert other.format_text() == ledger.format_text()
    assert [state for _, state in other.describe([], []).ranges.items()] == [False] * 3


@pytest.mark.parametrize("field", ["5", "5-", "-5", "9-5", "a-b", "1-4294967296"])
def test_a_range_that_is_none_is_an_error(field: str) -> None:
    with pytest.raises(BadArgument, match="f:1: not an owner and a range FIRST-LAST"):
        parse_text(f"subuid:amy:{field}:present\n".encode(), "f")


def test_a_build_keeps_the_ranges_of_earlier_images_from_others(tmp_path: Path) -> None:
    shared = tmp_path / "ids"
    roots = []
    for number, rows in enumerate(("alice:100000:65536\n", "www-data:165000:1000\n", "www-data:165536:1000\n")):
        root = wire_image(make_image(tmp_path / f"root{number}"))
        make(root, {"etc/subuid": rows})
        (root / PLUGIN).write_bytes(make_library())
        change(root, "etc/nsswitch.conf", "gshadow: files altfiles\n", "gshadow: files altfiles\nsubid: altfiles\n")
        roots.append(root)
    assert seed_image(roots[0], ids=IdSources(ledger=shared)).seeded is not None
    assert "subuid:alice:100000-165535:present\n" in shared.read_text()
    built = seed_image(roots[1], ids=IdSources(ledger=shared))
    assert built.seeded is None
    assert [(one.rule, one.message) for one in built.findings if one.severity == "fail"] == [
        ("reused-id", "'www-data' has subuid 165000-165999, some of which belonged to 'alice'")
    ]
    assert seed_image(roots[2], ids=IdSources(ledger=shared)).seeded is not None
    lines = (roots[2] / IDS).read_text().splitlines()
    assert [line for line in lines if line.startswith("subuid:")] == [
        "subuid:alice:100000-165535:removed", "subuid:www-data:165536-166535:present",
    ]  # fmt: skip
