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
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from pathlib import Path

from accounts.image.layers import Layers, locked
from accounts.image.tree import Tree
from accounts.model.policy import DATABASES

DIRECTORY = "accounts/index"
MAGIC = b"ACCTIDX1"
BLOCK = 1024
ENTRY = struct.Struct("<IIQ")
PER_BLOCK = (BLOCK - 8) // ENTRY.size
# The module takes a longer line (LONGEST_LINE of nss/lines.h) for damage.
LONGEST_LINE = 1 << 20
# The clock that stamps files is this coarse at most (CONFIG_HZ=100): what is older has its final times.
TICK_NS = 10_000_000
_MASK = (1 << 64) - 1
_BLANKS = b" \t\n\v\f\r"
_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([-+]?)([0-9]+)")
Entry = tuple[int, int, int]


def format_index(database: str, text: bytes, stamp: tuple[int, int, int] = (0, 0, 0)) -> bytes | None:
    """The index of an account file's bytes; None for a file that has to be scanned (a line of a megabyte).

    stamp: inode, mtime and ctime in nanoseconds by which the module knows the file without reading it; zeros where
    they will be others on the machine, as in every image build.
    """
    tables = list_entries(database, text)
    return None if tables is None else format_tables(tables, text, stamp)


def list_entries(database: str, text: bytes) -> tuple[list[Entry], ...] | None:
    """(key, length, offset) of each row by its name, its id and its members; None as format_index()."""
    names: list[Entry] = []
    ids: list[Entry] = []
    members: list[Entry] = []
    offset = 0
    for raw in text.split(b"\n"):
        if len(raw) >= LONGEST_LINE:
            return None
        # As the module reads a line: to the first NUL, without the blanks before it.
        line = raw.split(b"\0", 1)[0] if 0 in raw else raw
        row = line.lstrip(_BLANKS)
        where = (len(row), offset + len(line) - len(row))
        offset += len(raw) + 1
        if not row or row.startswith(b"#"):
            continue
        name, *fields = row.split(b":", 3)
        names.append((key_of_name(name), *where))
        if len(fields) > 1 and database in ("passwd", "group") and not row.startswith((b"+", b"-")):
            number = _parse_id(fields[1])
            if number is not None:
                ids.append((key_of_id(number), *where))
        if len(fields) > 2 and database == "group" and fields[2]:
            users = {item.lstrip(_BLANKS) for item in fields[2].split(b",")}
            members += [(key_of_name(user), *where) for user in users if user]
    return names, ids, members


def format_tables(tables: tuple[list[Entry], ...], text: bytes, stamp: tuple[int, int, int]) -> bytes:
    """The bytes of an index of text with these entries."""
    source = digest(text)
    blocks = [_seal(struct.pack("<8s8Q", MAGIC, len(text), source, *stamp, *map(len, tables)), 0, 0)]
    for table in tables:
        # By key; rows of one key stay in the order of the file.
        ordered = sorted(table, key=itemgetter(0))
        for at in range(0, len(ordered), PER_BLOCK):
            block = b"".join(ENTRY.pack(*entry) for entry in ordered[at : at + PER_BLOCK])
            blocks.append(_seal(block, source, len(blocks)))
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
        value = (value ^ word) * 0x9E3779B97F4A7C15 & _MASK
        value ^= value >> 32
    return value


def digest(data: bytes) -> int:
    """The 64-bit hash of some bytes: little-endian words, the last one filled up with zeros, then the length."""
    words = struct.unpack(f"<{-(-len(data) // 8)}Q", data + bytes(-len(data) % 8))
    return _mix(0, (*words, len(data)))


@lru_cache(maxsize=1 << 18)  # a name is in four files, and in many groups
def key_of_name(name: bytes) -> int:
    """The key that a name is sorted by."""
    return digest(name) >> 32


@lru_cache(maxsize=1 << 18)
def key_of_id(number: int) -> int:
    """The key that an id is sorted by."""
    return _mix(0, (number, 1)) >> 32


def _seal(block: bytes, source: int, number: int) -> bytes:
    """A block filled up, with the hash by which the module knows that it is whole, of this file and in its place."""
    block = block.ljust(BLOCK - 8, b"\0")
    return block + struct.pack("<Q", _mix(source, (*struct.unpack(f"<{BLOCK // 8 - 1}Q", block), number)))


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
