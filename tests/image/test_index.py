# SPDX-License-Identifier: MIT
"""Whoever writes the image layer writes its indexes; check knows a stale one; the bytes are reproducible."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.image.check import check
from accounts.image.importer import import_sysusers
from accounts.image.index import format_index, index_image
from accounts.image.ledger import parse_text
from accounts.image.pin import pin
from accounts.image.seed import seed
from tests.image.accounts import change, make_image

INDEX = "usr/lib/accounts/index"
DATABASES = ["group", "gshadow", "passwd", "shadow"]
EPOCH = 1_600_000_000


def indexes(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / INDEX).iterdir())}


def expected(root: Path) -> dict[str, bytes | None]:
    return {name: format_index(name, (root / "usr/lib" / name).read_bytes()) for name in DATABASES}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_image(tmp_path / "root")
    seed(root, source_date_epoch=EPOCH)
    return root


def test_seed_writes_them_and_the_bytes_repeat(root: Path, tmp_path: Path) -> None:
    assert indexes(root) == expected(root)
    other = make_image(tmp_path / "other")
    seed(other, source_date_epoch=EPOCH)
    assert indexes(other) == indexes(root)
    for name in ("passwd", "shadow"):
        index, file = root / INDEX / name, root / "usr/lib" / name
        assert (index.stat().st_mode, index.stat().st_gid) == (file.stat().st_mode, file.stat().st_gid)
        assert index.stat().st_mtime == EPOCH


def test_pin_and_import_bring_them_up_to_date(root: Path, tmp_path: Path) -> None:
    pin(root, shared=parse_text(b"passwd:sshd:222:present", "ledger"), source_date_epoch=EPOCH)
    assert indexes(root) == expected(root)
    (tmp_path / "new.conf").write_text("u etcd 333\n")
    import_sysusers(root, [tmp_path / "new.conf"], source_date_epoch=EPOCH)
    assert b"etcd" in (root / "usr/lib/passwd").read_bytes()
    assert indexes(root) == expected(root)


def test_check_finds_what_is_stale_and_the_command_mends_it(root: Path) -> None:
    assert not [one for one in check(root).findings if one.rule == "index"]
    change(root, "usr/lib/passwd", "daemon:/usr/sbin", "daemon:/usr/sbin2")
    (one,) = [one for one in check(root).findings if one.rule == "index"]
    assert (one.severity, one.files) == ("warn", ("/usr/lib/accounts/index/passwd",))
    assert index_image(root, source_date_epoch=EPOCH).written == ["/usr/lib/accounts/index/passwd"]
    assert indexes(root) == expected(root)
    assert not [one for one in check(root).findings if one.rule == "index"]


def test_for_a_root_that_stays_the_file_is_known_by_inode_and_times(root: Path) -> None:
    index_image(root)
    status = (root / "usr/lib/passwd").stat()
    stamp = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    assert indexes(root)["passwd"] == format_index("passwd", (root / "usr/lib/passwd").read_bytes(), stamp)
