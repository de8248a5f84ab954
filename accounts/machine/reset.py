# SPDX-License-Identifier: MIT
"""`accounts reset`: a machine goes to somebody else, with the accounts of its image and no hash of anybody.

What is removed is overwritten first, where it is: on a file system that writes in place (ext4, vfat, xfs without
reflinks) nothing is left on the disk either. One that copies on write, and flash under any, keeps old blocks.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from accounts import progress
from accounts.change import Change
from accounts.edit.request import Report
from accounts.errors import BadArgument
from accounts.machine.applysources import PREFIX, find_password_files
from accounts.machine.compare import FileDiff
from accounts.machine.delta import has_image, local_rows, valid_lines
from accounts.machine.edits import EditAll, Written, do
from accounts.machine.leftovers import TEMPORARY_NAMES
from accounts.machine.source import write_archive
from accounts.machine.words import shown
from accounts.model.database import APPLIED, BASE, HIDDEN, LEDGER, Database
from accounts.model.table import Table
from accounts.system.commit import TEMPORARY
from accounts.system.kernel import discard_free_blocks, sync_file_system
from accounts.system.paths import open_parent
from accounts.system.store import FACTORY
from accounts.text import fsencode

if TYPE_CHECKING:
    from accounts.edit.request import Facts

_ACCOUNT_FILE = r"(?:passwd|group|shadow|gshadow|subuid|subgid)"
# Directory -> the names of files there that hold, or may hold, hashes, besides the account files themselves.
_SECRETS = {
    "etc": re.compile(rf"{_ACCOUNT_FILE}-$|{re.escape(TEMPORARY)}.*(?<!lock)$|{TEMPORARY_NAMES.pattern}"),
    "etc/accounts": re.compile(r"(?:base|hidden|applied|ids)-$"),
    # What the former owner declared would come back, hashes and all, at the next boot; what the image declares does.
    "etc/accounts.d": re.compile(""),
    "usr/local/lib/accounts.d": re.compile(""),
    "etc/credstore": re.compile(re.escape(PREFIX)),
    "etc/credstore.encrypted": re.compile(re.escape(PREFIX)),
    # pam_unix(8) and pam_pwhistory(8).
    "etc/security": re.compile(r"(?:opasswd|nopasswd)(?:\.old|-)?$"),
    # Debian's dpkg-db-backup and package passwd's cron job.
    "var/backups": re.compile(rf"{_ACCOUNT_FILE}\.bak(?:\.\d+)?(?:\.gz|\.xz)?$"),
}
_CHUNK = bytes(1 << 16)


@dataclass
class Reset:
    """What reset did. notes: what it could not do; then an old hash may be left."""

    removed: list[str] = field(default_factory=list)
    diffs: list[FileDiff] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def reset(change: Change, *, keep: Collection[bytes] = (), backup: Path | None = None, dry_run: bool = False) -> Reset:
    """Back to the image, but for the accounts to keep, with their memberships.

    backup: a file to make, for root only, with all that goes. Interrupted at any point, it is to be run again: it
    then does the rest. Raises BadArgument where there is no image to go back to, the errors of the files, OSError.
    """
    result = Reset()
    do(change, _Forget(keep=tuple(keep), backup=backup, change=change, result=result, dry_run=dry_run), dry_run)
    # Under the locks again: who else is at work has temporary files, too.
    do(change, _Scrub(change=change, result=result, dry_run=dry_run), dry_run)
    if not dry_run:
        for directory in (b"/etc/accounts", b"/etc/accounts.d"):
            _remove_directory(change, directory)
        if change.target.live:
            # With --root the disk is the host's, whose other files it concerns.
            _discard_earlier(change)
    return result


def _discard_earlier(change: Change) -> None:
    """What earlier changes have written and replaced is in blocks that nobody uses: the disk forgets them if it can."""
    fd = change.target.open(b"etc", os.O_RDONLY | os.O_DIRECTORY)
    progress.begin("forgetting free blocks")
    try:
        sync_file_system(fd)
        discard_free_blocks(fd)
    finally:
        os.close(fd)


class _Forget(EditAll):
    """All local rows but those of the accounts to keep go, and what was left of earlier ones."""

    __slots__ = ("backup", "change", "dry_run", "keep", "result")
    # No content loses its name before it is overwritten.
    BACKS_UP = (BASE, HIDDEN, APPLIED, LEDGER)
    keep: Collection[bytes]
    backup: Path | None
    change: Change
    result: Reset
    dry_run: bool

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        if not has_image(database):
            raise BadArgument("there is no image to go back to: nobody would be left; see accounts check")
        tables = [database.tables[one] for one in ("passwd", "group")]
        unknown = [name for name in self.keep if not any(table.get(name) for table in tables)]
        if unknown:
            raise BadArgument(f"'{shown(unknown[0])}' is nobody's account; see accounts status")
        if self.backup is not None and not self.dry_run:
            write_archive(self.backup, _local_files(self.change, database))
        _keep_only(database, self.keep)
        for name in ("subuid", "subgid"):
            table = database.tables[name].local
            # An empty file switches subordinate ids on; but where the next boot copies the factory's, it would not.
            if not table.render() and self.change.target.read(FACTORY + name.encode()) is not None:
                table.deleted = True
        database.hides.clear()
        database.ledger = b""
        applied = self.change.target.read(b"etc/" + APPLIED.encode())
        if applied is not None:
            database.others.append((APPLIED, applied, None))
        written = Written()
        written.note(database)
        self.result.diffs = written.diffs
        report.log.append("reset: all accounts are the image's" + (", but for those to keep" if self.keep else ""))
        # A commit replaces the backups that are there, and makes new ones of what it replaces.
        if not self.dry_run:
            _scrub(self.change, self.result)


class _Scrub(EditAll):
    """What a commit has left is overwritten and removed."""

    __slots__ = ("change", "dry_run", "result")
    change: Change
    result: Reset
    dry_run: bool

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        _scrub(self.change, self.result, self.dry_run)


def _keep_only(database: Database, keep: Collection[bytes]) -> None:
    """Remove all local rows but those of the accounts to keep."""
    users = {name for name in keep if database.passwd.get(name) is not None}
    groups = {name for name in keep if database.group.local.find(name) is not None}
    gids = {row.gid for row in map(database.passwd.get, users) if row is not None}
    groups |= {row.name for row in map(database.group.get_id, gids) if row is not None}
    for name, layered in database.tables.items():
        kept = []
        for row in local_rows(layered):
            wanted = users if name in ("passwd", "shadow", "subuid", "subgid") else groups
            members = _kept_members(row.local, users) if name in ("group", "gshadow") else None
            if row.name in wanted or (members and any(members.values())):
                kept.append((row.local if members is None else row.local.replace(**members)).format_line() + b"\n")
        text = b"".join(kept)
        if text != layered.local.data:
            layered.local.replace_text(text)
        _forget(database, name, layered.local)


def _kept_members(group: object, users: set[bytes]) -> dict[str, tuple[bytes, ...]]:
    return {
        field: tuple(user for user in getattr(group, field) if user in users)
        for field in ("members", "admins")
        if hasattr(group, field)
    }


def _forget(database: Database, name: str, table: Table) -> None:
    left = {account for _, account, _ in valid_lines(table)}
    for kind, account in list(database.base.lines()):
        if kind == name and account not in left:
            database.base.forget(name, account)


def _local_files(change: Change, database: Database) -> dict[str, bytes]:
    """All that a backup holds: name below /etc -> bytes."""
    files = {name: layered.local.data for name, layered in database.tables.items() if layered.local.present}
    for name in (BASE, HIDDEN, APPLIED, LEDGER):
        text = change.target.read(b"etc/" + name.encode())
        if text is not None:
            files[name] = text
    for directory in ("accounts.d", "credstore", "credstore.encrypted"):
        for name in _regular_files(change, f"etc/{directory}"):
            if _SECRETS[f"etc/{directory}"].match(name):
                files[f"{directory}/{name}"] = change.target.read(fsencode(f"etc/{directory}/{name}")) or b""
    return files


def _regular_files(change: Change, directory: str) -> list[str]:
    try:
        fd = change.target.open(directory.encode(), os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        return sorted(entry.name for entry in os.scandir(fd) if entry.is_file(follow_symlinks=False))
    finally:
        os.close(fd)


def _secrets(change: Change) -> Iterator[tuple[int, str, str]]:
    """(descriptor of the directory, name, path) of each file beside the account files that may hold hashes."""
    # Before the declarations by which these are found.
    yield from find_password_files(change.target)
    for directory, pattern in _SECRETS.items():
        try:
            fd = change.target.open(directory.encode(), os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            for name in sorted(os.listdir(fd)):
                if pattern.match(name):
                    yield fd, name, f"/{directory}/{name}"
        finally:
            os.close(fd)


def _scrub(change: Change, result: Reset, dry_run: bool = False) -> None:
    """Overwrite and remove all of them."""
    for directory, name, path in _secrets(change):
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) or (path.startswith("/usr/") and _is_read_only(directory)):
            continue
        if path not in result.removed:
            result.removed.append(path)
        if dry_run:
            continue
        if stat.S_ISREG(status.st_mode):
            if status.st_nlink > 1:
                result.notes.append(f"{path} has {status.st_nlink} names, and the content is left under another one")
            else:
                _overwrite(directory, name)
        os.unlink(name, dir_fd=directory)
        os.fsync(directory)


def _is_read_only(directory: int) -> bool:
    """Whether a directory is of an image that nobody writes to."""
    return bool(os.fstatvfs(directory).f_flag & os.ST_RDONLY)


def _overwrite(directory: int, name: str) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        left = os.fstat(fd).st_size
        while left > 0:
            left -= os.write(fd, _CHUNK[: min(left, len(_CHUNK))])
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove_directory(change: Change, path: bytes) -> None:
    """A directory of ours, when nothing is in it."""
    try:
        parent, name = open_parent(change.target.root, path)
    except OSError:
        return
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError:
        pass
    finally:
        os.close(parent)
