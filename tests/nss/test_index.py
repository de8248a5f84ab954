# SPDX-License-Identifier: MIT
"""When the module believes an index, and that it asks it at all; that answers stay the same is test_agrees_with_glibc.

The questions go through ctypes: what a process has found out about an index is part of the matter.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from accounts.image.index import (
    BLOCK,
    Indexed,
    find_stale,
    format_index,
    format_tables,
    list_entries,
    write_indexes,
)
from accounts.image.tree import Tree
from tests.nss.conftest import MakePrograms

SUCCESS, NOTFOUND = 1, 0
ROWS = 400  # more than the module reads before it asks
TEXT = b"".join(b"user%d:x:%d:%d:User:/home/user%d:/bin/sh\n" % (i, i, i, i) for i in range(ROWS))
GROUPS = b"".join(b"group%d:x:%d:%s\n" % (i, i, b"amy" if i % 100 == 99 else b"") for i in range(2 * ROWS))


class Module:
    """The module, loaded as a new process would find it: with nothing known of any index."""

    _copies = itertools.count()

    def __init__(self, built: Path, data: Path) -> None:
        copy = data / f"copy{next(self._copies)}.so"
        shutil.copy(built, copy)
        self._library = ctypes.CDLL(str(copy))
        copy.unlink()

    def _ask(self, function: str, key: object) -> int:
        row, buffer, error = ctypes.create_string_buffer(256), ctypes.create_string_buffer(4096), ctypes.c_int()
        return int(getattr(self._library, f"_nss_altfiles_{function}_r")(key, row, buffer, 4096, ctypes.byref(error)))

    def has_user(self, name: bytes) -> bool:
        return self._ask("getpwnam", name) == SUCCESS

    def has_uid(self, uid: int) -> bool:
        return self._ask("getpwuid", ctypes.c_uint(uid)) == SUCCESS

    def groups_of(self, user: bytes) -> list[int]:
        start, size, error = ctypes.c_long(0), ctypes.c_long(4096), ctypes.c_int()
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.POINTER(ctypes.c_uint)
        gids = libc.malloc(ctypes.c_size_t(4096 * 4))
        references = [ctypes.byref(one) for one in (start, size, gids)]
        asked = (ctypes.c_uint(0), *references, ctypes.c_long(-1), ctypes.byref(error))
        assert self._library._nss_altfiles_initgroups_dyn(user, *asked) == SUCCESS
        found = [gids[number] for number in range(start.value)]
        libc.free(gids)
        return found


@pytest.fixture(scope="session")
def datadir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("index")


@pytest.fixture
def image(datadir: Path) -> Path:
    """The DATADIR of module(), with a passwd and a group file."""
    shutil.rmtree(datadir)
    (datadir / "accounts/index").mkdir(parents=True)
    (datadir / "passwd").write_bytes(TEXT)
    (datadir / "group").write_bytes(GROUPS)
    return datadir


@pytest.fixture
def module(programs: MakePrograms, image: Path) -> Callable[[], Module]:
    built = programs("plain", image)
    return lambda: Module(built.module, image)


def lying_index(stamp: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    """One of TEXT that does not know the last user: who believes it does not find him."""
    tables = list_entries("passwd", TEXT.replace(b"user399:x:399", b"nobody!:x:999"))
    assert tables is not None
    return format_tables(tables, TEXT, stamp)


def settle() -> None:
    """Let a file's times be older than the clock's tick."""
    time.sleep(0.03)


def stamp_of(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def test_the_second_question_of_a_process_proves_the_index_by_its_digest(
    image: Path, module: Callable[[], Module]
) -> None:
    (image / "accounts/index/passwd").write_bytes(lying_index())
    settle()
    asked = module()
    assert [asked.has_user(b"user399") for _ in range(3)] == [True, False, False]
    assert not asked.has_uid(399)
    assert asked.has_user(b"user398")


def test_inode_and_times_prove_it_at_once(image: Path, module: Callable[[], Module]) -> None:
    (image / "accounts/index/passwd").write_bytes(lying_index(stamp_of(image / "passwd")))
    settle()
    assert not module().has_user(b"user399")


@pytest.mark.parametrize("field", range(3))
def test_one_of_them_alone_does_not(image: Path, module: Callable[[], Module], field: int) -> None:
    stamp = list(stamp_of(image / "passwd"))
    stamp[field] -= 1
    (image / "accounts/index/passwd").write_bytes(lying_index((stamp[0], stamp[1], stamp[2])))
    settle()
    assert module().has_user(b"user399")


def test_what_has_just_changed_proves_nothing_yet(image: Path, module: Callable[[], Module]) -> None:
    asked = module()
    (image / "accounts/index/passwd").write_bytes(lying_index(stamp_of(image / "passwd")))
    assert asked.has_user(b"user399")


def test_a_better_index_takes_the_place_of_one_that_was_refuted(image: Path, module: Callable[[], Module]) -> None:
    index = image / "accounts/index/passwd"
    index.write_bytes(b"not an index")
    settle()
    asked = module()
    assert [asked.has_user(b"user399") for _ in range(3)] == [True, True, True]
    index.unlink()
    index.write_bytes(lying_index())
    settle()
    assert [asked.has_user(b"user399") for _ in range(3)] == [True, False, False]


def test_a_proven_file_is_not_looked_up_in_the_index_of_another(image: Path, module: Callable[[], Module]) -> None:
    (image / "accounts/index/passwd").write_bytes(lying_index())
    settle()
    asked = module()
    assert [asked.has_user(b"user399") for _ in range(2)] == [True, False]
    other = format_index("passwd", TEXT.replace(b"user", b"abcd"))
    assert other is not None
    (image / "accounts/index/passwd").write_bytes(other)
    assert all(asked.has_user(b"user399") for _ in range(3))


def test_a_change_that_keeps_size_and_mtime_is_seen(image: Path, module: Callable[[], Module]) -> None:
    index = format_index("passwd", TEXT, stamp_of(image / "passwd"))
    assert index is not None
    (image / "accounts/index/passwd").write_bytes(index)
    settle()
    asked = module()
    assert [asked.has_user(name) for name in (b"user399", b"user399", b"zoe9399")] == [True, True, False]
    status = (image / "passwd").stat()
    (image / "passwd").write_bytes(TEXT.replace(b"user399:", b"zoe9399:"))
    os.utime(image / "passwd", ns=(status.st_atime_ns, status.st_mtime_ns))
    settle()
    for known in (asked, module()):
        for _ in range(3):
            assert [known.has_user(name) for name in (b"user399", b"zoe9399")] == [False, True]


def test_a_file_replaced_by_an_image_update_is_not_answered_from_the_old_index(
    image: Path, module: Callable[[], Module]
) -> None:
    with Tree(image) as tree:
        write_indexes(tree, "", stamps=True)
    settle()
    asked = module()
    assert asked.has_user(b"user399")
    (image / "passwd.new").write_bytes(TEXT + b"zoe:x:9000:9000::/:/bin/sh\n")
    (image / "passwd.new").rename(image / "passwd")
    assert all(asked.has_user(b"zoe") and asked.has_uid(9000) for _ in range(3))


def test_the_bytes_depend_on_the_files_alone(image: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(image, copy)
    for root in (image, copy):
        with Tree(root, 86400) as tree:
            assert write_indexes(tree, "").written == ["/accounts/index/passwd", "/accounts/index/group"]
            assert write_indexes(tree, "") == Indexed([], [])
            assert find_stale(tree, "") == []
    for name in ("passwd", "group"):
        data = (image / "accounts/index" / name).read_bytes()
        assert data == (copy / "accounts/index" / name).read_bytes()
        assert data == format_index(name, (image / name).read_bytes())


def test_an_index_has_owner_and_mode_of_its_file_and_goes_with_it(image: Path) -> None:
    (image / "shadow").write_bytes(b"root:*:1::::::\n")
    (image / "shadow").chmod(0o640)
    os.chown(image / "shadow", 0, 42)
    index = image / "accounts/index/shadow"
    with Tree(image, 0) as tree:
        write_indexes(tree, "")
        assert (index.stat().st_mode & 0o7777, index.stat().st_gid) == (0o640, 42)
        index.chmod(0o644)
        assert find_stale(tree, "") == [("/accounts/index/shadow", "is readable for more users than /shadow")]
        (image / "shadow").unlink()
        assert find_stale(tree, "") == [("/accounts/index/shadow", "has no account file")]
        assert write_indexes(tree, "").removed == ["/accounts/index/shadow"]


def test_check_finds_an_index_of_other_rows(image: Path) -> None:
    with Tree(image, 0) as tree:
        write_indexes(tree, "")
        (image / "group").write_bytes(GROUPS.replace(b"group1:", b"group!:"))
        assert find_stale(tree, "") == [("/accounts/index/group", "is not the index of /group")]
        write_indexes(tree, "")
        with (image / "accounts/index/group").open("ab") as stream:
            stream.write(bytes(BLOCK))
        assert find_stale(tree, "") == [("/accounts/index/group", "is not the index of /group")]


def test_a_file_with_a_line_of_a_megabyte_has_no_index(image: Path) -> None:
    with Tree(image, 0) as tree:
        write_indexes(tree, "")
        (image / "group").write_bytes(b"a:x:1:" + b"u" * (1 << 20) + b"\n")
        assert write_indexes(tree, "").removed == ["/accounts/index/group"]


def test_groups_that_the_index_leads_to_and_those_read_behind_them(image: Path, module: Callable[[], Module]) -> None:
    """A user in every group is looked up by the index for a while, and then by reading on: each group once."""
    count = 2000
    (image / "group").write_bytes(b"".join(b"g%d:x:%d:amy\n" % (number, number + 1) for number in range(count)))
    with Tree(image) as tree:
        write_indexes(tree, "", stamps=True)
    settle()
    assert module().groups_of(b"amy") == list(range(1, count + 1))
