# SPDX-License-Identifier: MIT
"""The journal of a walk that re-owns files (accounts.system.reown): what it is about, and how far it has got.

The first part says what the walk is to do, and is there whole or not at all. Behind it come, as the walk goes on:
    f FS INODE UID GID UID GID MODE CAPABILITY ACL ACL   a file of a batch: owners before and after, what there was
    e CRC               the batch is on the disk, and its files are changed only now
    n FS INODE          a file of it that was not changed after all
    c CRC INDEX PATH    all files before that place of the walk are done, and on the disk
A line that was cut off ends the journal: what it speaks of has not been begun.

The journal is input: it is refused unless it is ours and nobody else can write it, and it can move no id to or from 0.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from accounts.errors import BadArgument
from accounts.model.moves import IdMap, Moves
from accounts.system.shield import write_all

MAGIC = b"accounts re-own 1 "
# Bytes. A file takes some sixty; that is ten million of them.
MAX_SIZE = 1 << 30
# FS, inode: of a file.
Key = tuple[int, int]
# Extended attributes, b"" for none: security.capability, both ACLs.
Attributes = tuple[bytes, bytes, bytes]
# Owners before and after, mode, attributes before.
Planned = tuple[int, int, int, int, int, Attributes]


@dataclass
class Plan:
    """What a walk is to do. accounts: (database, name, old, new, layer), by which a reader knows whether it counts.

    paths: inside the root, without links, in order; each is walked on its own file system. files: path -> content of
    what the caller writes when the walk is done.
    """

    moves: Moves
    paths: tuple[str, ...]
    accounts: tuple[tuple[str, str, int, int, str], ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Progress:
    """How far a walk has got. cursor: (index of the path, directory below it as names), or None.

    unsure: files of the last batch, done or not. done: those that are done for certain.
    """

    cursor: tuple[int, tuple[str, ...]] | None = None
    unsure: dict[Key, Planned] = field(default_factory=dict)
    done: set[Key] = field(default_factory=set)


class Log:
    """An open journal. directory: descriptor, which stays the caller's; name: of the file in it."""

    def __init__(self, directory: int, name: str, plan: Plan, fd: int) -> None:
        self.directory = directory
        self.name = name
        self.plan = plan
        self._fd = fd

    def plan_batch(self, files: Iterable[tuple[Key, Planned]]) -> None:
        """Note the files of a batch; they may be changed when this returns. Raises OSError."""
        lines = b"".join(
            b"f %d %d " % key
            + b"%d %d %d %d %d " % planned[:5]
            + b" ".join(data.hex().encode() or b"-" for data in planned[5])
            + b"\n"
            for key, planned in files
        )
        write_all(self._fd, lines + b"e %08x\n" % zlib.crc32(lines))
        os.fsync(self._fd)

    def note_skipped(self, keys: Iterable[Key]) -> None:
        """Note files that have not been changed although they were planned. Raises OSError."""
        write_all(self._fd, b"".join(b"n %d %d\n" % key for key in keys))

    def note_cursor(self, index: int, path: Sequence[str]) -> None:
        """Note how far the walk has got; what is before it has to be on the disk. Raises OSError."""
        text = b"%d %s" % (index, json.dumps(list(path)).encode())
        write_all(self._fd, b"c %08x %s\n" % (zlib.crc32(text), text))
        os.fsync(self._fd)

    def remove(self) -> None:
        """The walk is done. Raises OSError."""
        os.unlink(self.name, dir_fd=self.directory)
        os.fsync(self.directory)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def create(directory: int, name: str, plan: Plan) -> Log:
    """Begin a journal: it is on the disk when this returns. Raises OSError, FileExistsError where there is one."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    temporary = f"{name}.new"
    try:
        os.unlink(temporary, dir_fd=directory)
    except FileNotFoundError:
        pass
    fd = os.open(temporary, flags, 0o600, dir_fd=directory)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        write_all(fd, _format_plan(plan))
        os.fsync(fd)
        # link(2) and not rename(2): somebody else's walk is not replaced.
        os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        os.unlink(temporary, dir_fd=directory)
        os.fsync(directory)
    except BaseException:
        os.close(fd)
        raise
    return Log(directory, name, plan, fd)


def open_log(directory: int, name: str) -> Log | None:
    """The journal that is there, or None. Raises BadArgument for what is none, OSError."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(name, "not a regular file")
        fd = os.open(name, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadArgument(f"{name}: this walk is under way in another process") from None
        # Two names: killed between the two steps of create().
        if status.st_uid != os.geteuid() or status.st_nlink > 2 or status.st_mode & 0o022:
            raise _refusal(name, "others than its owner can write it, or it is not ours")
        if status.st_size > MAX_SIZE:
            raise _refusal(name, "too large")
        with open(fd, "rb", closefd=False) as stream:
            plan = _parse_plan(name, stream.readline())
    except BaseException:
        os.close(fd)
        raise
    return Log(directory, name, plan, fd)


def read_progress(log: Log) -> Progress:
    """How far the walk has got; a line that was cut off goes. Raises OSError."""
    progress = Progress()
    batch: dict[Key, Planned] = {}
    lines = b""
    skipped: list[Key] = []
    good = 0
    fd = log._fd
    with open(fd, "rb", closefd=False) as stream:
        stream.seek(0)
        good = at = len(stream.readline())
        for line in stream:
            at += len(line)
            try:
                kind, _, rest = line.partition(b" ")
                if not line.endswith(b"\n"):
                    break
                if kind == b"f":
                    key, planned = _parse_file(rest)
                    batch[key] = planned
                    lines += line
                    continue
                if kind == b"e":
                    if int(rest, 16) != zlib.crc32(lines):
                        break
                    progress.done.update(progress.unsure)
                    progress.unsure, batch, lines = batch, {}, b""
                elif kind == b"n":
                    inode = rest.split()
                    skipped.append((int(inode[0]), int(inode[1])))
                elif kind == b"c":
                    crc, _, text = rest.rstrip(b"\n").partition(b" ")
                    if int(crc, 16) != zlib.crc32(text):
                        break
                    index, _, path = text.partition(b" ")
                    progress.cursor = int(index), tuple(str(name) for name in json.loads(path))
                    progress.done.update(progress.unsure)
                    progress.unsure = {}
                else:
                    break
            except (ValueError, IndexError):
                break
            good = at
    for key in skipped:
        progress.done.discard(key)
        progress.unsure.pop(key, None)
    os.ftruncate(fd, good)
    return progress


def _format_plan(plan: Plan) -> bytes:
    body = json.dumps(
        {
            "users": plan.moves.users.ranges,
            "groups": plan.moves.groups.ranges,
            "accounts": plan.accounts,
            "paths": plan.paths,
            "files": {path: content.decode("latin-1") for path, content in plan.files.items()},
        }
    ).encode()
    return MAGIC + b"%08x %s\n" % (zlib.crc32(body), body)


def _parse_plan(name: str, line: bytes) -> Plan:
    """Raises BadArgument."""
    crc, _, body = line.removeprefix(MAGIC).rstrip(b"\n").partition(b" ")
    try:
        if not line.startswith(MAGIC) or int(crc, 16) != zlib.crc32(body):
            raise _refusal(name, "its first line is not one")
        fields: dict[str, Any] = json.loads(body)
        users, groups = (
            IdMap((int(old), int(new), int(count)) for old, new, count in fields[side]) for side in ("users", "groups")
        )
        accounts = tuple(
            (str(database), str(account), int(old), int(new), str(layer))
            for database, account, old, new, layer in fields["accounts"]
        )
        paths = tuple(str(path) for path in fields["paths"])
        files = {str(path): content.encode("latin-1") for path, content in fields["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _refusal(name, "its first line is not one") from None
    if not all(path.startswith("/") and "\0" not in path for path in paths):
        raise _refusal(name, "a path of it is none")
    return Plan(Moves(users, groups), paths, accounts, files)


def _parse_file(rest: bytes) -> tuple[Key, Planned]:
    """One file of a batch. Raises ValueError."""
    fields = rest.split()
    fs, inode, uid, gid, new_uid, new_gid, mode = map(int, fields[:-3])
    capability, access, default = map(_parse_bytes, fields[-3:])
    return (fs, inode), (uid, gid, new_uid, new_gid, mode, (capability, access, default))


def _parse_bytes(text: bytes) -> bytes:
    return b"" if text == b"-" else bytes.fromhex(text.decode("ascii"))


def _refusal(name: str, reason: str) -> BadArgument:
    return BadArgument(f"{name}: not the journal of an interrupted walk ({reason}); look at it and remove it")
