# SPDX-License-Identifier: MIT
"""The module answers odd files as glibc's `files` service, enumeration, lookups and group lists alike."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from accounts.image.index import BLOCK, format_index
from tests.nss.cases import TABLES, random_files
from tests.nss.conftest import MakePrograms, Programs
from tests.support.worker import system_root

RANDOM_FILES = 500
DAMAGED = int(os.environ.get("ACCOUNTS_DAMAGED", "400"))
Damage = Callable[[bytes], Iterator[bytes]]


# In a mount namespace. $1: a system, $2: a directory to mount on, $3: where the programs are.
ENTER = """\
set -e
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t tmpfs tmpfs "$2/root/etc"
mount --bind "$3" "$2/root/mnt"
cd "$2/root"
shift 3
exec chroot . "$@"
"""


def compare(built: Programs, database: str, files: Iterable[bytes], damage: Damage | None = None) -> None:
    """Both services read /etc, which is a tmpfs here. damage: index -> the index that the module is given."""
    command = [built.program("compare"), built.module, database]
    parts: list[bytes] = []
    for text in files:
        parts.append(text)
        if damage is not None:
            parts += [part for index in damage(format_index(database, text) or b"") for part in (index, text)][:-1]
    if damage is not None:
        command.append(Path(f"/etc/accounts/index/{database}"))
    setup = 'mount -t tmpfs tmpfs /etc && mkdir -p /etc/accounts/index && exec "$@"'
    give(parts, "sh", "-c", setup, "sh", *command)


def give(parts: Iterable[bytes], *command: str | Path) -> None:
    """Have the program compare the answers for each part, with mounts of its own."""
    stream = b"".join(struct.pack("=I", len(part)) + part for part in parts)
    done = subprocess.run(["unshare", "--mount", *command], input=stream, capture_output=True, timeout=300 + DAMAGED)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize("database", TABLES)
def test_on_the_table_of_odd_files(programs: MakePrograms, database: str) -> None:
    compare(programs("asan", Path("/etc")), database, TABLES[database])


@pytest.mark.parametrize("database", TABLES)
def test_on_random_files(programs: MakePrograms, database: str) -> None:
    compare(programs("asan", Path("/etc")), database, random_files(database, RANDOM_FILES, seed=4))


@pytest.mark.parametrize("database", TABLES)
def test_on_the_table_of_odd_files_of_debian_13(programs: MakePrograms, database: str, tmp_path: Path) -> None:
    """glibc 2.41 is the other side there."""
    built = programs("plain", Path("/etc"))
    inside = [f"/mnt/{built.program('compare').name}", f"/mnt/{built.module.name}", database]
    give(TABLES[database], "sh", "-c", ENTER, "sh", system_root("4.17") or "/", tmp_path, built.directory, *inside)


# With an index


def as_written(index: bytes) -> Iterator[bytes]:
    yield index


@pytest.mark.parametrize("database", TABLES)
def test_with_an_index_on_the_table_of_odd_files(programs: MakePrograms, database: str) -> None:
    compare(programs("index", Path("/etc")), database, TABLES[database], as_written)


@pytest.mark.parametrize("database", TABLES)
def test_with_an_index_on_random_files(programs: MakePrograms, database: str) -> None:
    compare(programs("index", Path("/etc")), database, random_files(database, RANDOM_FILES, seed=5), as_written)


class Damager:
    """Damages indexes in ways that repeat: bits, bytes, whole blocks, lengths, and those of other files."""

    def __init__(self, seed: int, count: int) -> None:
        self._rng = random.Random(seed)
        self._count = count
        self._other = b""

    def __call__(self, index: bytes) -> Iterator[bytes]:
        for _ in range(self._count):
            yield self._damage(bytearray(index))
        self._other = index

    def _damage(self, index: bytearray) -> bytes:
        rng = self._rng
        kind = rng.randrange(6)
        at = rng.randrange(len(index))
        if kind == 0:
            index[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            for _ in range(rng.randrange(1, 20)):
                index[rng.randrange(len(index))] = rng.randrange(256)
        elif kind == 2:
            del index[at:]
        elif kind == 3:
            index += index[:at]
        elif kind == 4:
            block, other = (rng.randrange(len(index) // BLOCK) * BLOCK for _ in range(2))
            index[block : block + BLOCK], index[other : other + BLOCK] = (
                index[other : other + BLOCK], index[block : block + BLOCK],
            )  # fmt: skip
        else:
            return self._other
        return bytes(index)


@pytest.mark.parametrize("database", TABLES)
def test_a_damaged_index_changes_no_answer(programs: MakePrograms, database: str) -> None:
    files = random_files(database, 10, seed=6, rows=150)
    compare(programs("index", Path("/etc")), database, files, Damager(7, DAMAGED // 40))
