# SPDX-License-Identifier: MIT
"""The index of the image's account files: where in a file the rows with a name, an id or a member are.

The NSS module (nss/index.c) answers from it what it would find by scanning, or scans; docs/decisions/index.md has
the format and says when an index counts. One file for each account file, beside the tools: IMAGE_DIR/accounts/index.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from accounts.image.layers import Layers, locked
from accounts.image.tree import Tree
from accounts.model.policy import DATABASES

DIRECTORY = "accounts/index"
MAGIC = b"ACCTIDX1"
BLOCK = 1024
PER_BLOCK = (BLOCK - 8) // 16
# The module takes a longer line (LONGEST_LINE of nss/lines.h) for damage.
LONGEST_LINE = 1 << 20
# The clock that stamps files is this coarse at most (CONFIG_HZ=100): what is older has its final times.
TICK_NS = 10_000_000
_MASK = (1 << 64) - 1
_FACTOR = 0x9E3779B97F4A7C15
_BLANKS = b" \t\n\v\f\r"
_ROW = rb"^([^ \t\n\v\f\r#+\-:\0][^:\n\0]*):[^:\n\0]*:"
_PLAIN = {
    "passwd": re.compile(_ROW + rb"([0-9]{1,9}):[^\n\0]*$", re.MULTILINE),
    "group": re.compile(_ROW + rb"([0-9]{1,9}):([^\n\0]*)$", re.MULTILINE),
    "shadow": re.compile(_ROW + rb"[^\n\0]*$", re.MULTILINE),
    "gshadow": re.compile(_ROW + rb"[^\n\0]*$", re.MULTILINE),
}
_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([-+]?)([0-9]+)")
_SEALED = struct.Struct(f"<{BLOCK // 8}Q")


class Entries:
    """Rows by the key that they are looked up with: columns of keys, of lengths and of offsets in the account file.

    Columns that are given may be those of others too, so to such entries nothing is added.
    """

    def __init__(
        self, keys: list[int] | None = None, lengths: list[int] | None = None, offsets: list[int] | None = None
    ) -> None:
        self._keys = keys or []
        self._lengths = lengths or []
        self._offsets = offsets or []

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: int, length: int, offset: int) -> None:
        """Add a row."""
        self._keys.append(key)
        self._lengths.append(length)
        self._offsets.append(offset)

    def add_members(self, text: bytes, length: int, offset: int) -> None:
        """Add a group's row for each user of its last field."""
        users = {item.lstrip(_BLANKS) for item in text.split(b",")} - {b""}
        self._keys += map(key_of_name, users)
        self._lengths += [length] * len(users)
        self._offsets += [offset] * len(users)

    def pack(self) -> list[int]:
        """Two words an entry, key and length, and offset; by key, rows of one key in the order of the file."""
        order = sorted(range(len(self._keys)), key=self._keys.__getitem__)
        words = [0] * (2 * len(order))
        words[0::2] = [self._lengths[row] << 32 | self._keys[row] for row in order]
        words[1::2] = [self._offsets[row] for row in order]
        return words


def format_index(database: str, text: bytes, stamp: tuple[int, int, int] = (0, 0, 0)) -> bytes | None:
    """The index of an account file's bytes; None for a file that has to be scanned (a line of a megabyte).

    stamp: inode, mtime and ctime in nanoseconds by which the module knows the file without reading it; zeros where
    they will be others on the machine, as in every image build.
    """
    tables = list_entries(database, text)
    return None if tables is None else format_tables(tables, text, stamp)


def list_entries(database: str, text: bytes) -> tuple[Entries, ...] | None:
    """The rows by their name, by their id and by their members; None as format_index()."""
    raws = text.split(b"\n")
    if max(map(len, raws)) >= LONGEST_LINE:
        return None
    if not raws[-1]:
        raws.pop()
    # Rows that begin where their line does and have plain ids, which are nearly all files, at once.
    plain = _PLAIN[database].findall(text)
    if len(plain) != len(raws):
        return _list_odd_entries(database, raws)
    lengths = list(map(len, raws))
    offsets = [0, *accumulate(length + 1 for length in lengths)][: len(raws)]
    if database not in ("passwd", "group"):
        return Entries(list(map(key_of_name, plain)), lengths, offsets), Entries(), Entries()
    names = Entries([key_of_name(row[0]) for row in plain], lengths, offsets)
    ids = Entries([key_of_id(int(row[1])) for row in plain], lengths, offsets)
    members = Entries()
    for row, length, offset in zip(plain, lengths, offsets, strict=True) if database == "group" else ():
        if row[2]:
            members.add_members(row[2], length, offset)
    return names, ids, members


def _list_odd_entries(database: str, raws: list[bytes]) -> tuple[Entries, ...]:
    """The same of any lines."""
    names, ids, members = Entries(), Entries(), Entries()
    offset = 0
    for raw in raws:
        # As the module reads a line: to the first NUL, without the blanks before it.
        line = raw.split(b"\0", 1)[0] if 0 in raw else raw
        row = line.lstrip(_BLANKS)
        where = (len(row), offset + len(line) - len(row))
        offset += len(raw) + 1
        if not row or row.startswith(b"#"):
            continue
        name, *fields = row.split(b":", 3)
        names.add(key_of_name(name), *where)
        if len(fields) > 1 and database in ("passwd", "group") and not row.startswith((b"+", b"-")):
            number = _parse_id(fields[1])
            if number is not None:
                ids.add(key_of_id(number), *where)
        if len(fields) > 2 and database == "group":
            members.add_members(fields[2], *where)
    return names, ids, members


def format_tables(tables: tuple[Entries, ...], text: bytes, stamp: tuple[int, int, int]) -> bytes:
    """The bytes of an index of text with these entries."""
    source = digest(text)
    header = struct.unpack("<9Q", struct.pack("<8s8Q", MAGIC, len(text), source, *stamp, *map(len, tables)))
    blocks = [_seal(header, 0, 0)]
    for table in tables:
        words = table.pack()
        for at in range(0, len(words), 2 * PER_BLOCK):
            blocks.append(_seal(words[at : at + 2 * PER_BLOCK], source, len(blocks)))
    return b"".join(blocks)


def _parse_id(text: bytes) -> int | None:
    """An id as the module's parser reads it, with strtoull(3); None for one that is never looked up."""
    match = _NUMBER.fullmatch(text)
    if match is None or int(match[2]) > _MASK:
        return None
    number = -int(match[2]) & _MASK if match[1] == b"-" else int(match[2])
    return number if number < 1 << 32 else None


# Hashes, as in nss/index.c


def _mix(value: int, words: tuple[int, ...]) -> int:
    for word in words:
        value = (value ^ word) * _FACTOR & _MASK
        value ^= value >> 32
    return value


def digest(data: bytes) -> int:
    """The 64-bit hash of some bytes: little-endian words, the last one filled up with zeros, then the length."""
    words = struct.unpack(f"<{-(-len(data) // 8)}Q", data + bytes(-len(data) % 8))
    return _mix(0, (*words, len(data)))


@lru_cache(maxsize=1 << 18)  # a name is in four files, and in many groups
def key_of_name(name: bytes) -> int:
    """The key that a name is sorted by."""
    if len(name) > 8:
        return digest(name) >> 32
    value = int.from_bytes(name, "little") * _FACTOR & _MASK
    return ((value ^ value >> 32 ^ len(name)) * _FACTOR & _MASK) >> 32


@lru_cache(maxsize=1 << 18)
def key_of_id(number: int) -> int:
    """The key that an id is sorted by."""
    return _mix(0, (number, 1)) >> 32


def _seal(words: Sequence[int], source: int, number: int) -> bytes:
    """A block filled up, with the hash by which the module knows that it is whole, of this file and in its place."""
    whole = (*words, *[0] * (BLOCK // 8 - 1 - len(words)))
    return _SEALED.pack(*whole, _mix(source, (*whole, number)))


# In a root


@dataclass
class Indexed:
    """What write_indexes() did: paths that it wrote, paths that it removed because their file is gone."""

    written: list[str]
    removed: list[str]


def index_image(root: Path, *, source_date_epoch: int | None = None) -> Indexed:
    """write_indexes() for a root directory, under the locks of its account files.

    Without a source date, so for a root that stays where it is, with stamps. Raises LockError, OSError.
    """
    with Tree(root, source_date_epoch) as tree, locked(tree, root):
        return write_indexes(tree, Layers(tree, root).image_dir, stamps=source_date_epoch is None)


def write_indexes(tree: Tree, image_dir: str, *, stamps: bool = False) -> Indexed:
    """Write the index of each account file of the image layer, with its group and mode; idempotent.

    stamps: let it know the file by inode and times as well; else it depends on the file's bytes alone. Raises OSError.
    """
    result = Indexed([], [])
    for name in DATABASES:
        path = f"{image_dir}/{DIRECTORY}/{name}"
        status = tree.lstat(f"{image_dir}/{name}")
        index = None
        if status is not None and stat.S_ISREG(status.st_mode):
            stamp = _stamp(tree, f"{image_dir}/{name}") if stamps else (0, 0, 0)
            index = format_index(name, tree.read(f"{image_dir}/{name}"), stamp)
        if status is None or index is None:
            if tree.lstat(path) is not None:
                tree.remove(path)
                result.removed.append(path)
        elif tree.write(path, index) | _own_like(tree, path, status):
            result.written.append(path)
    return result


def _stamp(tree: Tree, path: str) -> tuple[int, int, int]:
    """(inode, mtime, ctime) of a file that is not changed any more in this tick of the clock."""
    status = tree.lstat(path)
    assert status is not None
    if 0 <= time.time_ns() - status.st_ctime_ns < TICK_NS:
        time.sleep(2 * TICK_NS / 1e9)
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _own_like(tree: Tree, path: str, status: os.stat_result) -> bool:
    """Give a file, which is root's, group and mode of its source; whether it had others."""
    old = tree.lstat(path)
    assert old is not None
    wanted = (status.st_gid, stat.S_IMODE(status.st_mode) & 0o644)
    if (old.st_gid, stat.S_IMODE(old.st_mode)) == wanted:
        return False
    tree.set_owner(path, *wanted)
    return True


def find_stale(tree: Tree, image_dir: str) -> list[tuple[str, str]]:
    """(path, what is wrong) of each index that the module would not use, or that is missing.

    An image without any index is fine: the module scans.
    """
    found = []
    for name in DATABASES:
        path, source = f"{image_dir}/{DIRECTORY}/{name}", f"{image_dir}/{name}"
        there, status = tree.lstat(path), tree.lstat(source)
        if there is None:
            continue
        if status is None:
            found.append((path, "has no account file"))
            continue
        data = tree.read(path)
        # The stamp may be of the build's file system; what counts then is the digest.
        stamp = struct.unpack_from("<3Q", data, 24) if len(data) >= BLOCK else (0, 0, 0)
        if data != format_index(name, tree.read(source), stamp):
            found.append((path, f"is not the index of {source}"))
        elif stat.S_IMODE(there.st_mode) & ~stat.S_IMODE(status.st_mode):
            found.append((path, f"is readable for more users than {source}"))
    return found
