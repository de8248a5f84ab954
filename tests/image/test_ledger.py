# SPDX-License-Identifier: MIT
"""The id ledger: its file, merging, sources of pins, builds that share one."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from accounts.errors import BadArgument
from accounts.image.errors import LedgerBusy
from accounts.image.idsources import IdSources, detect_format, gather, load_pins
from accounts.image.layers import Layers
from accounts.image.ledger import HEADER, Ledger, load, open_shared, parse_text
from accounts.image.seed_image import seed_image
from accounts.image.tree import Tree
from accounts.model.ids import parse_ledger
from tests.image.accounts import GROUP, PASSWD, SHADOW, change, make_image
from tests.image.rootfs import make
from tests.support.forked import run_forked

IDS = "usr/share/accounts/ids"


def entries(ledger: Ledger) -> dict[str, bool]:
    return {f"{database}:{name.decode()}:{id}": present for (database, name, id), present in ledger.entries.items()}


def text(*lines: str) -> bytes:
    return HEADER + "".join(line + "\n" for line in lines).encode()


def test_formats_what_it_parses_sorted_with_its_comments() -> None:
    given = (
        b"# Ours.\n# Ask before you edit.\n\n"
        b"group:video:44:present\n# replaced by nginx\npasswd:www-data:33:removed\npasswd:nginx:9:present\n# end\n"
    )
    ledger = parse_text(given, "f")
    sorted_text = (
        b"# Ours.\n# Ask before you edit.\n\n"
        b"passwd:nginx:9:present\n# replaced by nginx\npasswd:www-data:33:removed\ngroup:video:44:present\n# end\n"
    )
    assert ledger.format_text() == sorted_text
    assert parse_text(sorted_text, "f").format_text() == sorted_text


def test_the_tools_on_a_machine_read_the_same_file() -> None:
    ledger = parse_text(text("passwd:a:7:present", "passwd:b:8:removed", "group:c:9:present"), "f")
    assert parse_ledger(ledger.format_text(), "passwd") == {7, 8} == ledger.ids("passwd")
    assert parse_ledger(ledger.format_text(), "group") == {9} == ledger.ids("group")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("passwd:a:7", "f:1: not DATABASE:NAME:ID:STATE"),
        ("shadow:a:7:present", "f:1: not DATABASE:NAME:ID:STATE"),
        ("passwd:a:7:gone", "f:1: not DATABASE:NAME:ID:STATE"),
        ("passwd:a:seven:present", "f:1: not a name and an id"),
        ("passwd::7:present", "f:1: not a name and an id"),
        ("passwd:a:7:present\npasswd:a:8:present", "f:2: 'a' is present with 7 already"),
    ],
)
def test_says_where_a_broken_ledger_is_broken(line: str, what: str) -> None:
    with pytest.raises(BadArgument, match=what):
        parse_text(line.encode(), "f")


def test_merging_keeps_the_first_id_and_reserves_the_other() -> None:
    mine = parse_text(b"passwd:a:7:present\npasswd:b:8:removed\n", "f")
    conflicts = mine.merge(parse_text(b"passwd:a:9:present\npasswd:b:8:present\npasswd:c:1:removed\n", "g"), "g")
    assert [(one.name, one.id, one.other, one.source) for one in conflicts] == [(b"a", 7, 9, "g")]
    assert entries(mine) == {
        "passwd:a:7": True, "passwd:a:9": False, "passwd:b:8": True, "passwd:c:1": False,
    }  # fmt: skip


def test_a_removed_name_would_have_its_id_again() -> None:
    ledger = parse_text(b"passwd:a:7:removed\npasswd:a:5:removed\npasswd:b:6:present\n", "f")
    assert [ledger.pin("passwd", name) for name in (b"a", b"b", b"c")] == [5, 6, None]
    assert ledger.holders("passwd", 7) == [b"a"]


def test_seed_writes_and_keeps_the_ledger(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    seed_image(root)
    first = (root / IDS).read_text()
    assert first.startswith(HEADER.decode())
    assert "passwd:messagebus:101:present\n" in first and "group:shadow:42:present\n" in first
    # The next build has lost one account and has a new one.
    new = make_image(
        tmp_path / "n", passwd=PASSWD.replace("messagebus:x:101:101::", "_new:x:102:102::"),
        group=GROUP.replace("messagebus:x:101", "_new:x:102"), shadow=SHADOW.replace("messagebus", "_new"),
        gshadow="",
    )  # fmt: skip
    built = seed_image(new, ids=IdSources(previous=[str(root)]))
    assert built.seeded is not None
    lines = (new / IDS).read_text().splitlines()
    assert {"passwd:messagebus:101:removed", "group:messagebus:101:removed", "passwd:_new:102:present"} <= set(lines)
    # And a third one, with the ledger alone for its history, still knows.
    third = make_image(tmp_path / "t")
    assert seed_image(third, ids=IdSources(previous=[str(new / IDS)])).seeded is not None
    assert "passwd:messagebus:101:present" in (third / IDS).read_text()
    assert "passwd:_new:102:removed" in (third / IDS).read_text()


def test_a_failing_finding_changes_nothing(tmp_path: Path) -> None:
    first, second = make_image(tmp_path / "a"), make_image(tmp_path / "b")
    shared = tmp_path / "ids"
    assert seed_image(first, ids=IdSources(ledger=shared)).seeded is not None
    before = shared.read_bytes()
    change(second, "etc/passwd", "sshd:x:100:", "sshd:x:102:")
    for _ in range(2):
        built = seed_image(second, ids=IdSources(ledger=shared))
        assert built.seeded is None
        assert [(one.rule, one.name) for one in built.findings if one.severity == "fail"] == [("changed-id", "sshd")]
    assert shared.read_bytes() == before
    assert (second / "etc/passwd").exists() and not (second / "usr/lib/passwd").exists()
    # A wanted change is said once; both ids stay reserved.
    assert seed_image(second, ids=IdSources(ledger=shared), severities={"changed-id": "warn"}).seeded is not None
    assert b"passwd:sshd:100:removed\n" in shared.read_bytes() and b"passwd:sshd:102:present\n" in shared.read_bytes()
    assert seed_image(second, ids=IdSources(ledger=shared)).seeded is not None


def _add_names(path: Path, prefix: str, count: int) -> None:
    for number in range(count):
        with open_shared(path) as ledger:
            used = ledger.ids("passwd")
            ledger.record("passwd", f"{prefix}{number}".encode(), next(id for id in range(500, 900) if id not in used))


def test_parallel_builds_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add_names, args=(path, prefix, 20)) for prefix in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    ledger = load(path)
    assert len(ledger.entries) == 80 == len(ledger.ids("passwd"))


def test_a_ledger_whose_name_is_misspelt(tmp_path: Path) -> None:
    """It is told that there is none, and no directory is made for it."""
    root = make_image(tmp_path / "r")
    done = run_forked(["accounts", "image", "pin", str(root), "--ledger", f"{tmp_path}/no/ids"])
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"accounts image pin: {tmp_path}/no: No such file or directory\n"
    assert not (tmp_path / "no").exists()
    told = f"accounts image pin: {tmp_path}/ids is new: no id was compared with those of an earlier build\n"
    for expected in (told, ""):
        done = run_forked(["accounts", "image", "pin", str(root), "--ledger", f"{tmp_path}/ids"])
        assert (done.returncode, done.stderr) == (0, expected)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/full", path)])
def test_a_ledger_that_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Of /dev/full there is no end to read, and of a pipe no beginning."""
    root, ledger = make_image(tmp_path / "r"), tmp_path / "ids"
    make(ledger)
    for command in ("pin", "seed", "check"):
        done = run_forked(["accounts", "image", command, str(root), "--ledger", str(ledger)])
        assert (done.returncode, done.stderr) == (3, f"accounts image {command}: {ledger} is not a regular file\n")
    assert sorted(os.listdir(tmp_path)) == ["ids", "r"]


def test_a_busy_ledger_is_an_error_and_a_failing_build_leaves_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    path.write_bytes(text("passwd:a:7:present"))
    os.chmod(path, 0o664)
    with open_shared(path), pytest.raises(LedgerBusy, match="locked by another build"), open_shared(path, timeout=0.05):
        pass
    with pytest.raises(ZeroDivisionError), open_shared(path) as ledger:
        ledger.record("passwd", b"b", 8)
        1 / 0  # noqa: B018
    assert path.read_bytes() == text("passwd:a:7:present")
    with open_shared(path) as ledger:
        ledger.record("passwd", b"b", 8)
    assert path.read_bytes() == text("passwd:a:7:present", "passwd:b:8:present")
    assert path.stat().st_mode & 0o777 == 0o664


OE_PASSWD = """\
# Fixed ids of our distribution
root::0
messagebus::501:501::/var/lib/dbus::/bin/false
sshd:*:502:nogroup:
dynamic::-:
named::::::
"""
SYSUSERS = """\
# systemd
u root    0       "Super User" /root
u! web    503     -
u sync    4:65534 -
g input   504     -
u dbus    -       "System Message Bus"
m web     input
r -       500-900
"""
TREEFILE = json.dumps(
    {
        "ref": "x",
        "check-passwd": {"type": "data", "entries": {"root": 0, "bin": [1, 1], "type": 9}},
        "check-groups": {"type": "file", "filename": "groups"},
    }
)


@pytest.mark.parametrize(
    ("name", "content", "ids", "primary"),
    [
        ("passwd-table", OE_PASSWD, {"passwd:root:0", "passwd:messagebus:501", "passwd:sshd:502"}, {"messagebus": 501}),
        ("group-table", "video::44\nwheel:x:10:\n", {"group:video:44", "group:wheel:10"}, {}),
        (
            "x.conf", SYSUSERS,
            {"passwd:root:0", "group:root:0", "passwd:web:503", "group:web:503", "passwd:sync:4", "group:input:504"},
            {"sync": 65534},
        ),
        ("treefile.json", TREEFILE, {"passwd:root:0", "passwd:bin:1", "passwd:type:9", "group:tty:5"}, {"bin": 1}),
        ("check-passwd.json", '{"root": [0, 0], "adm": 3}', {"passwd:root:0", "passwd:adm:3"}, {"root": 0}),
        ("check-groups.json", '{"root": 0}', {"group:root:0"}, {}),
        ("treefile.json", '{"check-passwd": {"type": "previous"}}', set(), {}),
        ("anything", "passwd:a:7:present\n# x\n", {"passwd:a:7"}, {}),
    ],
)  # fmt: skip
def test_reads_sources_of_pins(tmp_path: Path, name: str, content: str, ids: set[str], primary: dict[str, int]) -> None:
    (tmp_path / name).write_text(content)
    (tmp_path / "groups").write_text("tty:x:5:\n")
    pins = load_pins(str(tmp_path / name))
    assert set(entries(pins.ledger)) == ids
    assert {user.decode(): gid for user, (gid, _) in pins.primary.items()} == primary


def test_reads_another_root_with_or_without_ledger(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    assert "passwd:sshd:100" in entries(load_pins(str(root)).ledger)
    seed_image(root)
    (root / IDS).write_bytes((root / IDS).read_bytes() + b"passwd:gone:77:removed\n")
    assert {"passwd:sshd:100", "passwd:gone:77"} <= set(entries(load_pins(str(root)).ledger))


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("table", "video::44\n", "cannot tell what this is"),
        ("a.json", "{", "a.json: "),
        ("a.json", '{"x": "y"}', "'x' is not an id"),
        ("a.json", '{"x": true}', "'x' is not an id"),
        ("a.json", '{"check-passwd": {"type": "file", "filename": "nope"}}', "nope: No such file"),
        ("passwd", "a::five\n", "passwd:1: 'five' is not an id"),
        ("a.conf", "u a 5\nu b 010\n", "a.conf:2: not an id: 010"),
    ],
)
def test_says_what_is_wrong_with_a_source(tmp_path: Path, name: str, content: str, what: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadArgument, match=what):
        load_pins(str(tmp_path / name))


def test_a_format_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("video::44\n")
    assert entries(load_pins(f"group={tmp_path}/table").ledger) == {"group:video:44": True}
    assert detect_format(b"a:x:1:2:::\n", "table") == "passwd"
    with pytest.raises(BadArgument, match="no such file"):
        load_pins(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("tables", "ids", "primary"),
    [
        # Within one file, and across files: the last field that is not empty (useradd-staticids.bbclass).
        (["a::5:50\na::6:\n"], {b"a": 6}, {b"a": 50}),
        (["a::5:50\nb::7\n", "a:x::51\nb::8\n"], {b"a": 5, b"b": 8}, {b"a": 51}),
        (["a::5\n", "a::-\n"], {}, {}),
        (["a::-\n", "a::5\n"], {b"a": 5}, {}),
        (["a : : 5 : 6\n"], {b"a": 5}, {b"a": 6}),
    ],
)
def test_id_tables_are_read_as_openembedded_reads_them(
    tmp_path: Path, tables: list[str], ids: dict[bytes, int], primary: dict[bytes, int]
) -> None:
    sources = []
    for number, text in enumerate(tables):
        (tmp_path / f"passwd{number}").write_text(text)
        sources.append(f"passwd={tmp_path}/passwd{number}")
    root = make_image(tmp_path / "r")
    with Tree(root) as tree:
        known = gather(Layers(tree, root), pins=sources)
    assert {name: known.ledger.pin("passwd", name) for name in (b"a", b"b")} == {b"a": None, b"b": None} | ids
    assert {name: gid for name, (gid, _) in known.primary.items()} == primary
    assert known.conflicts == []


def test_an_ostree_tree_is_an_earlier_image(tmp_path: Path) -> None:
    """Its accounts are in /usr/lib and /usr/etc: a changed id passed."""
    files: dict[str, str | None] = {
        "usr/lib/passwd": "root:x:0:0::/:/bin/sh\n", "usr/etc/passwd": "sshd:x:74:74::/:/x\n"
    }  # fmt: skip
    old = make(tmp_path / "old", files)
    root = make_image(tmp_path / "r")
    built = seed_image(root, ids=IdSources(previous=[str(old)]))
    assert [one.message for one in built.findings if one.rule == "changed-id"] == [
        "user 'sshd' had id 74, now 100; see accounts image pin"
    ]
