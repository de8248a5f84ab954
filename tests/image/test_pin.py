# SPDX-License-Identifier: MIT
"""accounts image pin: ids of rows and files become the ledger's, whatever swaps with whatever."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from typing import Any

import pytest

from accounts.errors import BadArgument
from accounts.image.ledger import Ledger, parse_text
from accounts.image.pin import JOURNAL, pin
from accounts.model.moves import single_moves
from accounts.system import owners
from tests.image.accounts import GROUP, PASSWD, change, make_image, row
from tests.image.rootfs import make, tell

EPOCH = 1_600_000_000
# A capability attribute, version 2: cap_net_raw+ep (linux/capability.h).
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
NONE = 0xFFFFFFFF


def known(*lines: str) -> Ledger:
    return parse_text("\n".join(lines).encode(), "ledger")


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def owners_of(root: Path, *paths: str) -> list[tuple[int, int]]:
    return [((root / path).lstat().st_uid, (root / path).lstat().st_gid) for path in paths]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Files of sshd (100) and messagebus (101, group 101)."""
    root = make_image(tmp_path / "root")
    make(root, {"var/s/f": "", "var/m/f": "", "var/other": "", "var/link -> s/f": None})
    make(root, {"etc/subuid": "sshd:100000:65536\n"})
    for path, uid, gid in (
        ("var/s", 100, 0), ("var/s/f", 100, 101), ("var/m", 101, 101), ("var/m/f", 0, 101), ("var/link", 101, 101),
    ):  # fmt: skip
        os.lchown(root / path, uid, gid)
    return root


def test_what_is_known_already_changes_nothing(root: Path) -> None:
    before = tell(root, times=True)
    pinned = pin(root, shared=known("passwd:sshd:100:present", "group:messagebus:101:present"))
    assert (pinned.changes, pinned.files) == ([], 0)
    assert tell(root, times=True) == before


def test_swapped_ids_are_swapped_back(root: Path) -> None:
    shared = known("passwd:sshd:101:present", "passwd:messagebus:100:present")
    pinned = pin(root, shared=shared, source_date_epoch=EPOCH)
    assert pinned.changes == [("passwd", "sshd", 100, 101), ("passwd", "messagebus", 101, 100)]
    assert pinned.files == 4
    assert row(root, "etc/passwd", "sshd") == "sshd:x:101:65534::/run/sshd:/usr/sbin/nologin"
    assert row(root, "etc/passwd", "messagebus") == "messagebus:x:100:101::/nonexistent:/usr/sbin/nologin"
    assert owners_of(root, "var/s", "var/s/f", "var/m", "var/m/f", "var/link", "var/other") == [
        (101, 0), (101, 101), (100, 101), (0, 101), (100, 101), (0, 0),
    ]  # fmt: skip
    assert (root / "etc/subuid").read_text() == "sshd:100000:65536\n"
    assert (root / "etc/passwd").stat().st_mtime == EPOCH
    assert not (root / JOURNAL[1:]).exists()
    again = pin(root, shared=shared)
    assert (again.changes, again.files) == ([], 0)


def test_a_group_moves_in_rows_primary_groups_and_files(root: Path) -> None:
    pinned = pin(root, shared=known("group:messagebus:500:present", "group:shadow:15:present"))
    assert pinned.changes == [("group", "shadow", 42, 15), ("group", "messagebus", 101, 500)]
    assert row(root, "etc/group", "messagebus") == "messagebus:x:500:"
    assert row(root, "etc/passwd", "messagebus") == "messagebus:x:101:500::/nonexistent:/usr/sbin/nologin"
    assert owners_of(root, "var/s/f", "var/m", "etc/shadow") == [(100, 500), (101, 500), (0, 15)]
    assert stat.S_IMODE((root / "etc/shadow").stat().st_mode) == 0o640


def test_both_layers_agree_afterwards(root: Path) -> None:
    """The image's id counts where the layers differ, for it has been shipped."""
    make(root, {"usr/lib/passwd": "sshd:x:77:65534::/run/sshd:/usr/sbin/nologin\n", "usr/lib/group": "adm:x:4:\n"})
    pinned = pin(root, shared=known("group:adm:6:present"))
    assert pinned.changes == [("passwd", "sshd", 100, 77), ("group", "adm", 4, 6)]
    assert row(root, "etc/passwd", "sshd") == row(root, "usr/lib/passwd", "sshd")
    assert row(root, "etc/group", "adm") == "adm:x:6:alice,daemon" and row(root, "usr/lib/group", "adm") == "adm:x:6:"
    assert owners_of(root, "var/s") == [(77, 0)]


def test_set_id_bits_capabilities_times_and_hard_links_stay(root: Path) -> None:
    make(root, {"usr/bin/suid": "x", "usr/bin/cap": "x"})
    for name in ("suid", "cap"):
        os.chown(root / "usr/bin" / name, 100, 101)
    os.chmod(root / "usr/bin/suid", 0o6755)
    os.setxattr(root / "usr/bin/cap", "security.capability", CAPABILITY)
    os.utime(root / "usr/bin/suid", (EPOCH, EPOCH))
    for number in range(3):
        os.link(root / "usr/bin/suid", root / f"var/link{number}")
    os.mkfifo(root / "var/fifo")
    os.chown(root / "var/fifo", 100, 0)
    pinned = pin(root, shared=known("passwd:sshd:101:present", "passwd:messagebus:100:present"))
    status = (root / "usr/bin/suid").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode), status.st_mtime) == (101, 0o6755, EPOCH)
    assert os.getxattr(root / "usr/bin/cap", "security.capability") == CAPABILITY
    assert owners_of(root, "usr/bin/cap", "var/fifo", "var/link2") == [(101, 101), (101, 0), (101, 101)]
    assert pinned.files == 7  # the four of the fixture, both programs, the fifo; the links are one file


def test_acl_entries_follow(root: Path) -> None:
    before = acl((1, 6, NONE), (2, 4, 100), (2, 6, 101), (4, 4, NONE), (8, 4, 101), (16, 6, NONE), (32, 0, NONE))
    default = acl((1, 7, NONE), (2, 5, 101), (4, 5, NONE), (16, 5, NONE), (32, 0, NONE))
    try:
        os.setxattr(root / "var/other", "system.posix_acl_access", before)
        os.setxattr(root / "var", "system.posix_acl_default", default)
    except OSError as error:
        pytest.skip(f"no ACLs here: {error.strerror}")
    pin(root, shared=known("passwd:sshd:101:present", "passwd:messagebus:100:present", "group:messagebus:500:present"))
    assert os.getxattr(root / "var/other", "system.posix_acl_access") == acl(
        (1, 6, NONE), (2, 6, 100), (2, 4, 101), (4, 4, NONE), (8, 4, 500), (16, 6, NONE), (32, 0, NONE)
    )
    assert os.getxattr(root / "var", "system.posix_acl_default") == acl(
        (1, 7, NONE), (2, 5, 100), (4, 5, NONE), (16, 5, NONE), (32, 0, NONE)
    )


def test_an_acl_without_these_ids_stays_byte_for_byte() -> None:
    given = acl((1, 6, NONE), (2, 4, 7), (4, 4, NONE), (32, 0, NONE))
    assert single_moves({"passwd": {8: 9}, "group": {7: 8}}).map_acl(given) == given


def test_new_names_are_pinned_and_taken_ids_are_not_given_twice(root: Path) -> None:
    """In the other build 101 went to _apt, which this one does not have; group 101 to input."""
    shared = known("passwd:_apt:101:present", "group:input:101:removed", "passwd:sshd:100:present")
    pinned = pin(root, shared=shared)
    new = shared.pin("passwd", b"messagebus")
    assert new is not None and new not in (100, 101) and 100 < new < 1000
    # The user's own group goes with it.
    assert pinned.changes == [("passwd", "messagebus", 101, new), ("group", "messagebus", 101, new)]
    assert owners_of(root, "var/m", "var/s/f") == [(new, new), (100, new)]
    assert row(root, "etc/passwd", "messagebus") == f"messagebus:x:{new}:{new}::/nonexistent:/usr/sbin/nologin"
    # All names of the root are in the ledger now, at what they have.
    assert shared.pin("passwd", b"alice") == 1000 and shared.pin("group", b"shadow") == 42
    assert shared.holders("passwd", 101) == [b"_apt"]


def test_the_order_of_packages_does_not_matter(tmp_path: Path) -> None:
    shared = b"passwd:x:101:removed\npasswd:y:100:removed\n"
    results = []
    for name, passwd in (("a", PASSWD), ("b", "".join(reversed(PASSWD.splitlines(keepends=True))))):
        root = make_image(tmp_path / name, passwd=passwd)
        results.append(sorted(pin(root, shared=parse_text(shared, "f")).changes))
    assert results[0] == results[1] and len(results[0]) == 2


def test_pins_come_from_files(root: Path, tmp_path: Path) -> None:
    (tmp_path / "passwd-table").write_text("sshd::555\n")
    (tmp_path / "previous").write_text("passwd:messagebus:444:present\npasswd:sshd:100:removed\n")
    pin(root, previous=[str(tmp_path / "previous")], pins=[str(tmp_path / "passwd-table")])
    assert [(row(root, "etc/passwd", name) or "").split(":")[2] for name in ("sshd", "messagebus")] == ["555", "444"]


def test_files_of_a_shared_id(tmp_path: Path) -> None:
    passwd = PASSWD + "toor:x:100:0::/:/bin/sh\n"
    root = make_image(tmp_path / "r", passwd=passwd)
    make(root, {"var/f": ""})
    os.chown(root / "var/f", 100, 0)
    with pytest.raises(BadArgument, match="'sshd' and 'toor' share id 100: whose files are they"):
        pin(root, shared=known("passwd:sshd:101:present", "passwd:toor:102:present", "passwd:messagebus:103:present"))
    assert (root / "etc/passwd").read_text() == passwd and owners_of(root, "var/f") == [(100, 0)]
    pinned = pin(root, shared=known("passwd:sshd:100:present", "passwd:toor:102:present"))
    assert owners_of(root, "var/f") == [(100, 0)]
    assert pinned.notes == ["files of passwd id 100 stay with 'sshd'; 'toor' shared it, gets 102"]


def test_a_name_with_two_ids_is_refused(tmp_path: Path) -> None:
    passwd = PASSWD + "sshd:x:321:0::/:/bin/sh\n"
    root = make_image(tmp_path / "r", passwd=passwd)
    make(root, {"var/f": ""})
    os.chown(root / "var/f", 321, 0)
    with pytest.raises(BadArgument, match=r"^/etc/passwd: 'sshd' is there twice, with the ids 100 and 321$"):
        pin(root, shared=known("passwd:sshd:555:present"))
    assert (root / "etc/passwd").read_text() == passwd and owners_of(root, "var/f") == [(321, 0)]


def test_a_group_in_two_rows_gets_one_id(tmp_path: Path) -> None:
    """MAX_MEMBERS_PER_GROUP makes such rows."""
    root = make_image(tmp_path / "r", group="many:x:200:a\nmany:x:200:b\n")
    pin(root, shared=known("group:many:555:present"))
    assert (root / "etc/group").read_text() == "many:x:555:a\nmany:x:555:b\n"


def test_numeric_owners_of_subordinate_ids_are_told(root: Path) -> None:
    (root / "etc/subuid").write_text("100:100000:65536\nsshd:200000:65536\n")
    pinned = pin(root, shared=known("passwd:sshd:555:present"))
    assert pinned.notes == ["/etc/subuid: '100:100000:65536' names UID 100, which has changed"]
    assert (root / "etc/subuid").read_text() == "100:100000:65536\nsshd:200000:65536\n"


@pytest.mark.parametrize(
    "ledger",
    ["passwd:sshd:555:present", "passwd:sshd:101:present\npasswd:messagebus:100:present"],
    ids=["plain", "swap"],
)
def test_an_interrupted_run_is_finished_by_the_next(root: Path, monkeypatch: pytest.MonkeyPatch, ledger: str) -> None:
    change = owners.Owners.change
    calls = []

    def die(self: owners.Owners, name: bytes, *rest: Any) -> bool:
        if calls:
            raise KeyboardInterrupt
        calls.append(name)
        return change(self, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(owners.Owners, "change", die)
        with pytest.raises(KeyboardInterrupt):
            pin(root, shared=known(ledger))
    assert calls and (root / JOURNAL[1:]).exists()
    assert (root / "etc/passwd").read_text() == PASSWD and (root / "etc/group").read_text() == GROUP
    assert not list(root.glob("etc/*.lock"))
    shared = known(ledger)
    pinned = pin(root, shared=shared)
    new = shared.pin("passwd", b"sshd")
    assert ("passwd", "sshd", 100, new) in pinned.changes
    assert owners_of(root, "var/s", "var/s/f") == [(new, 0), (new, 101)]
    assert row(root, "etc/passwd", "sshd") == f"sshd:x:{new}:65534::/run/sshd:/usr/sbin/nologin"
    assert not (root / JOURNAL[1:]).exists()
    assert pin(root, shared=shared).changes == []


def test_lines_that_are_no_rows_survive(root: Path) -> None:
    change(root, "etc/passwd", "alice:x", "# ours\nbroken line\nalice:x")
    pin(root, shared=known("passwd:sshd:555:present"))
    assert "# ours\nbroken line\nalice:x:1000" in (root / "etc/passwd").read_text()


def test_nobody_is_a_system_account(tmp_path: Path) -> None:
    """An id above those of people is not given up for one of theirs."""
    files = {"etc/passwd": "nobody:x:65534:65534::/:/x\n", "etc/group": "nogroup:x:65534:\n", "usr/": None}
    root = make(tmp_path / "r", files)
    (tmp_path / "passwd").write_text("other:x:65534\n")
    (tmp_path / "group").write_text("other:x:65534\n")
    pinned = pin(root, pins=[f"passwd={tmp_path}/passwd", f"group={tmp_path}/group"])
    assert pinned.changes == [("passwd", "nobody", 65534, 999), ("group", "nogroup", 65534, 999)]
