# SPDX-License-Identifier: MIT
"""The plugin's functions, by ctypes as libsubid calls them, against sets of ids; LOCALDIR and DATADIR are scratch."""

from __future__ import annotations

import ctypes
import random
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
UID, GID = 1, 2


class Range(ctypes.Structure):
    _fields_ = (("start", ctypes.c_ulong), ("count", ctypes.c_ulong))


class Plugin:
    """shadow_subid_* over two directories."""

    def __init__(self, place: Path) -> None:
        self.local, self.image = place / "etc", place / "lib"
        for directory in (self.local / "accounts", self.image):
            directory.mkdir(parents=True)
        where = (f"BUILD={place}/build", f"DATADIR={self.image}", f"LOCALDIR={self.local}")
        subprocess.run(["make", "-s", "-C", TOP / "subid", *where], check=True)
        self.path = place / "build/libsubid_altfiles.so"
        self._library = ctypes.CDLL(str(self.path))
        self._library.shadow_subid_free.argtypes = [ctypes.c_void_p]

    def ranges(self, owner: bytes, kind: int = UID) -> list[tuple[int, int]]:
        found, count = ctypes.POINTER(Range)(), ctypes.c_int()
        assert not self._library.shadow_subid_list_owner_ranges(owner, kind, ctypes.byref(found), ctypes.byref(count))
        result = [(found[i].start, found[i].count) for i in range(count.value)]
        self._library.shadow_subid_free(found)
        return result

    def has(self, owner: bytes, start: int, count: int, kind: int = UID) -> bool:
        result = ctypes.c_bool(True)
        first, length = ctypes.c_ulong(start), ctypes.c_ulong(count)
        assert not self._library.shadow_subid_has_range(owner, first, length, kind, ctypes.byref(result))
        return result.value

    def owners(self, number: int, kind: int = UID) -> list[int]:
        found, count = ctypes.POINTER(ctypes.c_uint)(), ctypes.c_int()
        asked = ctypes.c_ulong(number)
        assert not self._library.shadow_subid_find_subid_owners(asked, kind, ctypes.byref(found), ctypes.byref(count))
        result = [found[i] for i in range(count.value)]
        self._library.shadow_subid_free(found)
        return result


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    return Plugin(tmp_path_factory.mktemp("subid"))


def test_exports_the_four_functions_and_nothing_else(plugin: Plugin) -> None:
    done = subprocess.run(["nm", "-D", "--defined-only", plugin.path], check=True, capture_output=True, text=True)
    names = sorted(line.split()[-1] for line in done.stdout.splitlines())
    assert names == [f"shadow_subid_{name}" for name in ("find_subid_owners", "free", "has_range", "list_owner_ranges")]


def test_rows_of_both_layers(plugin: Plugin) -> None:
    (plugin.local / "subuid").write_text("root:100:10\nroot:x:10\n:1:1\nroot:1\nroot:0x200:0x10\nroot:-5:1\n")
    (plugin.image / "subuid").write_text("# c\n0:110:10\ndaemon:100:5\nnobody-knows:100:5\n7777:119:1\nroot:120:0")
    (plugin.image / "subgid").write_text("root:5:5\n")
    assert plugin.ranges(b"root") == [(100, 10), (512, 16), (110, 10), (120, 0)]
    assert plugin.ranges(b"root", GID) == [(5, 5)]
    assert plugin.ranges(b"nobody-knows") == [(100, 5)]
    assert plugin.ranges(b"somebody-else") == []
    assert plugin.owners(100) == [0, 1]
    assert plugin.owners(119) == [0, 7777]
    assert plugin.owners(120) == []
    assert plugin.has(b"root", 105, 15)
    assert not plugin.has(b"root", 105, 16)
    assert not plugin.has(b"root", 105, 0)
    assert not plugin.has(b"root", (1 << 64) - 1, 2)


def test_has_range_is_the_union_of_all_rows(plugin: Plugin) -> None:
    rng = random.Random(11)
    for _ in range(300):
        owned: set[int] = set()
        for directory in (plugin.local, plugin.image):
            rows = [(rng.choice(["root", "0", "daemon"]), rng.randrange(40), rng.randrange(12)) for _ in range(3)]
            (directory / "subuid").write_text("".join(f"{owner}:{start}:{count}\n" for owner, start, count in rows))
            for owner, start, count in rows:
                owned |= set(range(start, start + count)) if owner != "daemon" else set()
        for _ in range(20):
            start, count = rng.randrange(50), rng.randrange(1, 15)
            assert plugin.has(b"root", start, count) == owned.issuperset(range(start, start + count))


def test_a_file_that_cannot_be_read_is_an_error_and_no_answer(plugin: Plugin) -> None:
    (plugin.image / "subuid").unlink()
    (plugin.image / "subuid").mkdir()
    result = ctypes.c_bool(True)
    asked = (b"root", ctypes.c_ulong(0), ctypes.c_ulong(1), UID, ctypes.byref(result))
    assert (plugin._library.shadow_subid_has_range(*asked), result.value) == (3, False)
    (plugin.image / "subuid").rmdir()
