# SPDX-License-Identifier: MIT
"""What lies in /etc beside the account files: modes, locks, journals and temporary files of processes that are gone."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from accounts.change import Change
from accounts.machine.findings import MachineFindings
from accounts.model.database import BASE, Database
from accounts.system.commit import JOURNAL, TEMPORARY
from accounts.system.locks import parse_pid

_ACCOUNT_FILE = r"(?:passwd|group|shadow|gshadow|subuid|subgid)"
_LOCK = re.compile(rf"{_ACCOUNT_FILE}\.lock$")
# shadow's new files and its lock files before they are linked, vipw's copies, glibc's.
TEMPORARY_NAMES = re.compile(rf"(?:{_ACCOUNT_FILE}(?:\+|\.\d+|\.edit)|n(?:passwd|shadow|group|gshadow)|\.pwd\d+)$")
SECRET = ("shadow", "gshadow", "shadow-", "gshadow-", BASE)
PUBLIC = ("passwd", "group", "subuid", "subgid")


@dataclass(frozen=True)
class Leftover:
    """A file of /etc that nobody needs any more. code: of findings.CODES. blocks: while it is there nobody can lock."""

    name: str
    code: str
    text: str
    blocks: bool = False


def find_leftovers(change: Change) -> Iterator[Leftover]:
    """Locks of processes that are gone, journals, temporary files. Raises OSError."""
    names = sorted(os.listdir(change.target.etc))
    for name in names:
        if _LOCK.match(name):
            owner = _lock_owner(change, name)
            if owner == "":
                # A power failure took its content, say: the tools wait for the administrator.
                text = f"the lock /etc/{name} names no process, and nobody can change the accounts"
                yield Leftover(name, "leftover", text, blocks=True)
            elif owner is not None:
                yield Leftover(name, "leftover", f"the lock /etc/{name} is of process {owner}, which is gone")
        elif name == JOURNAL:
            yield Leftover(name, "journal", f"/etc/{name}: a change was interrupted and waits for the next tool")
        elif name.startswith(f"{JOURNAL}."):
            text = f"/etc/{name}: a change was interrupted, and its files have been changed since"
            yield Leftover(name, "journal-aside", text)
        elif TEMPORARY_NAMES.match(name) or (name.startswith(TEMPORARY) and not _journal_of(name, names)):
            yield Leftover(name, "leftover", f"the temporary file /etc/{name} is left over")


def _journal_of(name: str, names: list[str]) -> bool:
    """Whether a journal speaks of a temporary file of ours."""
    token = name.removeprefix(TEMPORARY).split(".", 1)[0]
    return JOURNAL in names or f"{JOURNAL}.{token}" in names


def _lock_owner(change: Change, name: str) -> str | None:
    """The process that made a lock, if it is gone, "" where it names none; None for a lock in force or no file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=change.target.etc)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        pid = parse_pid(os.read(fd, 31).partition(b"\0")[0])
    finally:
        os.close(fd)
    if pid is None:
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return str(pid)
    except OSError:
        pass
    return None


def remove_leftover(change: Change, name: str) -> None:
    """Remove one, if it is still there. Raises OSError."""
    try:
        os.unlink(name, dir_fd=change.target.etc)
    except FileNotFoundError:
        pass


@dataclass(frozen=True)
class WrongMode:
    """An account file with a wrong owner or mode. name: below /etc; gid, mode: what they have to be; found: what is."""

    name: str
    gid: int
    mode: int
    found: str

    @property
    def text(self) -> str:
        """What is wrong."""
        return f"/etc/{self.name} is {self.found}, not {self.mode:04o} 0:{self.gid}"

    @property
    def mended(self) -> str:
        """What was wrong, once it is right."""
        return f"/etc/{self.name} was {self.found}, is {self.mode:04o} 0:{self.gid}"


def find_wrong_modes(change: Change, database: Database) -> Iterator[WrongMode]:
    """Files of hashes that others can read, account files that others can write or not everybody reads."""
    groups = _readers(change, database)
    for name in (*PUBLIC, *SECRET):
        try:
            status = os.stat(name, dir_fd=change.target.etc, follow_symlinks=False)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                continue
            raise
        if not stat.S_ISREG(status.st_mode):
            continue
        mode = stat.S_IMODE(status.st_mode)
        gid = status.st_gid
        if name in PUBLIC:
            right = status.st_uid == 0 and mode & 0o022 == 0 and (mode & 0o444 == 0o444 or name.startswith("sub"))
            wanted = 0o644
        else:
            right = status.st_uid == 0 and mode & ~0o640 == 0 and (gid in groups or not mode & 0o040)
            wanted = 0o600 if name == BASE else mode & 0o640 or 0o600
            gid = gid if gid in groups else groups[-1]
        if not right:
            yield WrongMode(name, gid, wanted, f"{mode:04o} {status.st_uid}:{status.st_gid}")


def _readers(change: Change, database: Database) -> tuple[int, ...]:
    """The groups that may read hashes: root's, shadow, and whom the image has in its place."""
    shadow = database.group.get(b"shadow")
    try:
        image = change.target.stat(change.target.image_dir() + b"/shadow").st_gid
    except OSError:
        image = 0
    return tuple(dict.fromkeys((0, image, 0 if shadow is None else shadow.gid)))


def mend_mode(change: Change, wrong: WrongMode) -> None:
    """Give a file the right owner and mode. Raises OSError."""
    fd = os.open(wrong.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=change.target.etc)
    try:
        # Closed first: nobody may read it while it changes hands.
        os.fchmod(fd, wrong.mode & 0o600)
        os.fchown(fd, 0, wrong.gid)
        os.fchmod(fd, wrong.mode)
    finally:
        os.close(fd)


def check_etc(change: Change, database: Database, findings: MachineFindings) -> None:
    """Note all of the above."""
    for one in find_leftovers(change):
        fix = "" if one.code == "journal-aside" else f"accounts check{{R}} --fix={one.code}"
        findings.add(one.code, one.text, files=[f"/etc/{one.name}"], fix=fix)
    for wrong in find_wrong_modes(change, database):
        findings.add("mode", wrong.text, files=[f"/etc/{wrong.name}"], fix="accounts check{R} --fix=mode")
