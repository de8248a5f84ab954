# SPDX-License-Identifier: MIT
"""Files of a machine follow ids that change: what is to be done, and doing it (docs/decisions/re-own.md).

/var/lib/accounts/ids has the ids by which the files of this machine are the image's accounts': what another image has
instead is an id that has changed. /var/lib/accounts/re-own is the journal of a walk.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from accounts.change import Change
from accounts.errors import BadArgument
from accounts.machine.delta import Kind, first_lines, local_rows
from accounts.machine.movelocal import Move
from accounts.machine.words import shown
from accounts.model.database import ID_FIELDS, Database
from accounts.model.moves import IdMap, Moves
from accounts.model.records import parse_id
from accounts.system.kernel import MOUNT_ROOT, read_attributes
from accounts.system.paths import DIRECTORY, open_beneath, open_directory, real_path
from accounts.system.reown import Reowned, Walk
from accounts.system.target import MAX_ACCOUNT_FILE, read_fd
from accounts.system.walklog import Log, Plan, create, open_log
from accounts.text import fsdecode, fsencode

STATE = b"/var/lib/accounts"
IDS, JOURNAL = "ids", "re-own"
HEADER = b"# The ids by which files here are the image's accounts', kept by accounts rebase --re-own.\n"
# What is below a path on the same file system and yet no file of this machine's accounts: the image itself, other
# deployments of it, roots of containers, which have ids of their own.
SKIP = (
    "/usr", "/boot", "/efi", "/ostree", "/sysroot", "/proc", "/sys", "/dev", "/run",
    "/var/lib/containers/storage", "/var/lib/containerd", "/var/lib/docker", "/var/lib/incus", "/var/lib/lxc",
    "/var/lib/lxd", "/var/lib/machines", "/var/lib/portables",
)  # fmt: skip
# (database, name) -> (id, how many)
Ids = dict[tuple[str, bytes], tuple[int, int]]


@contextmanager
def state_directory(change: Change, make: bool = False) -> Iterator[int | None]:
    """Descriptor of /var/lib/accounts for a with block; None where it is not there and is not made. Raises OSError."""
    try:
        fd, _ = open_directory(change.target.root, STATE, _make_directory if make else None)
    except (FileNotFoundError, NotADirectoryError):
        if make:
            raise
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _make_directory(parent: int, name: bytes, place: list[bytes]) -> None:
    os.mkdir(name, 0o755, dir_fd=parent)


def read_ids(change: Change) -> Ids | None:
    """What is remembered, None for nothing. Raises BadArgument for a file that others can write, OSError."""
    with state_directory(change) as directory:
        if directory is None:
            return None
        try:
            fd = os.open(IDS, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        except FileNotFoundError:
            return None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            os.close(fd)
            raise BadArgument(f"{fsdecode(STATE)}/{IDS}: others than its owner can write it, or it is not ours")
        return parse_ids(read_fd(fd, MAX_ACCOUNT_FILE))


def parse_ids(text: bytes) -> Ids:
    """DATABASE:NAME:ID, and subuid:NAME:FIRST:COUNT. A line that is none is left out."""
    ids: Ids = {}
    for line in text.split(b"\n"):
        fields = line.split(b":")
        numbers = [parse_id(field) for field in fields[2:]]
        if line.startswith(b"#") or None in numbers or not fields[1:2]:
            continue
        if len(numbers) == (1 if fields[0] in (b"passwd", b"group") else 2):
            ids[fields[0].decode("latin-1"), fields[1]] = numbers[0] or 0, (numbers[1:] or [1])[0] or 0
    return ids


def image_ids(database: Database) -> Ids:
    """The ids of the image's accounts, hidden ones too, and the subordinate ranges of those that have one."""
    ids: Ids = {}
    for name in ID_FIELDS:
        for account, line in first_lines(database.tables[name].image, raw=True).items():
            ids[name, account] = parse_id(line.split(b":", 3)[2]) or 0, 1
    for name in ("subuid", "subgid"):
        rows = list(database.tables[name].image)
        owners = [row.name for row in rows]
        ids |= {(name, row.name): (row.start, row.count) for row in rows if owners.count(row.name) == 1}
    return ids


def write_ids(change: Change, database: Database) -> None:
    """Remember the ids of the image; those of accounts that it has removed stay known. Raises OSError."""
    _write(change, (read_ids(change) or {}) | image_ids(database))


def forget_ids(change: Change, accounts: Collection[tuple[str, bytes]]) -> None:
    """Remember (database, name) no more. Raises OSError."""
    _write(change, {key: value for key, value in (read_ids(change) or {}).items() if key not in accounts})


def _write(change: Change, ids: Ids) -> None:
    lines = []
    for (name, account), (number, count) in sorted(ids.items()):
        rest = f":{count}" if name in ("subuid", "subgid") else ""
        lines.append(fsencode(f"{name}:") + account + f":{number}{rest}\n".encode())
    text = HEADER + b"".join(lines)
    with state_directory(change, make=True) as directory:
        assert directory is not None
        temporary = f".{IDS}.new"
        try:
            os.unlink(temporary, dir_fd=directory)
        except FileNotFoundError:
            pass
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o644, dir_fd=directory), "wb") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, IDS, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)


def changed_ids(database: Database, known: Ids) -> list[Move]:
    """The ids of the image that are others than those known; root's never change hands."""
    moves = []
    for (name, account), (new, count) in image_ids(database).items() if known else ():
        old = known.get((name, account))
        if old is not None and old[0] != new and old[1] == count and old[0] and new:
            moves.append(Move(name, account, old[0], new, "image", count))
    return moves


def refuse_shared(database: Database, moves: Sequence[Move]) -> None:
    """Raise BadArgument where files would be given to an id that a local account has as well."""
    for name, key in ID_FIELDS.items():
        taken = {move.new: move for move in moves if move.database == name and move.layer == "image"}
        for row in local_rows(database.tables[name]) if taken else ():
            number = getattr(row.local, key)
            if row.kind == Kind.OWN and number in taken and row.name != taken[number].name:
                raise BadArgument(
                    f"{key.upper()} {number} of the image's '{shown(taken[number].name)}' is the local "
                    f"'{shown(row.name)}' too; see accounts rebase --move-local"
                )


def refuse_busy(change: Change, moves: Sequence[Move]) -> None:
    """Raise BadArgument where a process runs with a UID that changes hands: what it makes would be somebody else's."""
    for move in moves:
        if move.database == "passwd":
            pid = change.facts.find_process(move.name, move.old)
            if pid is not None:
                raise BadArgument(f"process {pid} runs with UID {move.old} of '{shown(move.name)}': end it first")


def resolve_paths(change: Change, paths: Sequence[str]) -> tuple[str, ...]:
    """Paths to walk without links. Raises BadArgument."""
    root = change.target.root
    found = []
    for path in paths:
        try:
            real = real_path(root, fsencode(path))
            os.close(open_beneath(root, real, DIRECTORY))
        except OSError as error:
            raise BadArgument(f"{path}: {error.strerror}") from None
        found.append(fsdecode(real))
    return tuple(dict.fromkeys(found))


def refuse_homes_elsewhere(change: Change, database: Database, moves: Sequence[Move], paths: Sequence[str]) -> None:
    """Raise BadArgument for the home of a local user whose UID moves that none of the paths comes to."""
    for move in moves:
        row = database.passwd.get(move.name) if (move.database, move.layer) == ("passwd", "local") else None
        try:
            home = None if row is None else real_path(change.target.root, row.home)
            if home is None or home == b"/":
                continue
            os.close(open_beneath(change.target.root, home, DIRECTORY))
        except OSError:
            continue
        top = _mount_point(change.target.root, fsdecode(home))
        skipped = any(fsdecode(home).startswith(f"{path}/") for path in SKIP)
        if skipped or not any(_is_below(fsdecode(home), path) and _is_below(path, top) for path in paths):
            raise BadArgument(
                f"'{shown(move.name)}' has files in {fsdecode(home)}, where this does not go: --re-own "
                f"{' '.join(dict.fromkeys((*paths, top if top != '/' else fsdecode(home))))}"
            )


def _is_below(path: str, top: str) -> bool:
    return posixpath.commonpath((path, top)) == top


def _mount_point(root: int, path: str) -> str:
    """The path of the file system that a directory without links is on."""
    while path != "/":
        parent = open_beneath(root, fsencode(posixpath.dirname(path)), DIRECTORY)
        try:
            if read_attributes(parent, fsencode(posixpath.basename(path)))[0] & MOUNT_ROOT:
                return path
        finally:
            os.close(parent)
        path = posixpath.dirname(path)
    return "/"


# The walk


def begin(change: Change, moves: Sequence[Move], paths: Sequence[str]) -> None:
    """Write the journal of a walk, before the ids of local accounts change. Raises BadArgument, OSError."""
    kinds = {"users": ("passwd", "subuid"), "groups": ("group", "subgid")}
    users, groups = (
        IdMap({(move.old, move.new, move.count) for move in moves if move.database in names})
        for names in kinds.values()
    )
    accounts = tuple((move.database, fsdecode(move.name), move.old, move.new, move.layer) for move in moves)
    with state_directory(change, make=True) as directory:
        assert directory is not None
        try:
            create(directory, JOURNAL, Plan(Moves(users, groups), tuple(paths), accounts)).close()
        except FileExistsError:
            raise BadArgument(f"{fsdecode(STATE)}/{JOURNAL}: another walk has begun meanwhile") from None


def find_unfinished(change: Change) -> bool:
    """Whether there is the journal of a walk."""
    with state_directory(change) as directory:
        if directory is None:
            return False
        try:
            os.stat(JOURNAL, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True


def finish(change: Change, read: Callable[[], Database]) -> Reowned | None:
    """Take up the walk of the journal, and end it; None where there is none, or its change was never made.

    read: gives both layers as they are. Raises BadArgument for a journal that is none, OSError: then the next run
    goes on.
    """
    with state_directory(change) as directory:
        log = None if directory is None else open_log(directory, JOURNAL)
        if log is None:
            return None
        try:
            database = read()
            if not _is_in_force(database, log):
                log.remove()
                return None
            done = Walk(log, foreign=not change.target.live, skip=[fsencode(path) for path in SKIP]).run(
                lambda path: open_beneath(change.target.root, fsencode(path), DIRECTORY)
            )
            if any(layer == "image" for *_, layer in log.plan.accounts):
                write_ids(change, database)
            log.remove()
            return done
        finally:
            log.close()


def _is_in_force(database: Database, log: Log) -> bool:
    """Whether the local accounts have lost their old ids: all of them were changed by one commit, or none."""
    for name, account, old, _, layer in log.plan.accounts:
        row = database.tables[name].local.get(fsencode(account)) if layer == "local" and name in ID_FIELDS else None
        if layer == "local" and name in ID_FIELDS:
            return row is None or getattr(row, ID_FIELDS[name]) != old
    return True


def read_previous(path: Path) -> Ids:
    """The ids of an earlier image, from its root. Raises BadArgument, OSError."""
    with Change(os.fsencode(path.absolute())) as earlier:
        return image_ids(earlier.store.load(("passwd", "group", "subuid", "subgid")))
