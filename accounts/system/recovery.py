# SPDX-License-Identifier: MIT
"""Ends a commit that a killed process left half done: forward or back (docs/decisions/journal.md).

Loaded only when there is a journal. The journal is input: in another root somebody else may have written it, with
a checksum that is right. So it can say no more than which of our own files a dead commit was about. What no commit
writes is refused before anything is touched: another name than those of FILES, a token that is not PID-HEX, a step
out of order, a file that others can write. The names that are opened, renamed or removed are made of these parts.
"""

from __future__ import annotations

import _stat as stat
import posix
import zlib

from accounts.errors import CommitError
from accounts.system import shield
from accounts.system.commit import FILES, JOURNAL, MAGIC, TEMPORARY, Work
from accounts.system.contents import FileStep
from accounts.text import fsdecode

# Bytes; a commit of all FILES has 800.
MAX_JOURNAL = 1 << 14
KINDS = ("new", "old", "copy")


def recover_from(etc: int) -> list[str]:
    """As accounts.system.store.recover(), where there is a journal.

    A file that somebody else has written since is never overwritten: then the journal is set aside under
    another name, with the files it speaks of, for a human to look at.
    """
    shield.hold()
    work = _Recovery(etc, "")
    try:
        return work.recover(_read_journal(etc))
    except OSError as error:
        raise CommitError(work.at, error.strerror or str(error)) from error
    finally:
        work.close()
        shield.let_go()


def _read_journal(etc: int) -> bytes:
    fd = shield.open_file(JOURNAL, posix.O_RDONLY | posix.O_NONBLOCK, etc)
    try:
        status = posix.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal("not a regular file")
        if status.st_uid != posix.geteuid() or status.st_nlink != 1 or status.st_mode & 0o022:
            raise _refusal("others than its owner can write it, or it is not ours")
        if status.st_size > MAX_JOURNAL:
            raise _refusal("too large")
        return posix.read(fd, MAX_JOURNAL)
    finally:
        shield.close(fd)


def _refusal(reason: str) -> CommitError:
    return CommitError(JOURNAL, f"not the journal of an interrupted change ({reason}); look at it and remove it")


class _Recovery(Work):
    """The commit of a dead process, found in its journal."""

    def recover(self, text: bytes) -> list[str]:
        if not self._parse_journal(text):
            # Killed before the first rename.
            self._sweep()
            return ["removed the leftovers of a change that was interrupted before it took effect"]
        for step in self.steps:
            self.at = step.name
            found = self._fingerprint(step.base, step.parent)
            step.state = "old" if found == step.old else "new" if found == step.new else "other"
        names = ", ".join(step.name for step in self.steps)
        direction = self._direction()
        if direction == "forward":
            self._forward()
            self._back_up()
            self._clean()
            return [f"finished an interrupted change of {names}"]
        if direction == "backward":
            self._backward()
            self._clean()
            return [f"undid an interrupted change of {names}"]
        self.at = JOURNAL
        aside = f"{JOURNAL}.{self.token}"
        posix.rename(JOURNAL, aside, src_dir_fd=self.etc, dst_dir_fd=self.etc)
        others = ", ".join(step.name for step in self.steps if step.state == "other")
        return [
            f"an interrupted change of {names} was neither finished nor undone, because "
            f"{others or 'a needed file'} has been changed since; see {aside}"
        ]

    def _parse_journal(self, text: bytes) -> bool:
        """Fill in token and steps; False for a journal that was not written to its end. Raises CommitError."""
        body, found, checksum = text.rpartition(b"end ")
        if not found or checksum != b"%08x\n" % zlib.crc32(body):
            return False
        first, *lines = fsdecode(body).removesuffix("\n").split("\n")
        magic, _, token = first.rpartition(" ")
        if magic != MAGIC.decode():
            raise CommitError(JOURNAL, "written by another version; it has to finish its change")
        if not _is_token(token):
            raise _refusal("bad token")
        self.token = token
        for line in lines:
            self.steps.append(_parse_step(line, len(self.steps)))
        names = [step.name for step in self.steps]
        if not names or len(set(names)) != len(names):
            raise _refusal("no file, or one twice")
        return True

    def _direction(self) -> str:
        """ "forward", "backward", or "" when neither leaves all files that are ours old or new."""
        states = [step.state for step in self.steps]
        if "other" in states:
            # Files are replaced in order and put back in reverse. If the last one is new, all were replaced
            # before somebody else wrote; if the first one is old, none was.
            if states[-1] == "new" and "old" not in states:
                return "forward"
            if states[0] == "old" and "new" not in states:
                return "backward"
            return ""
        if all(self._can_go_forward(step) for step in self.steps):
            return "forward"
        return "backward" if all(self._can_go_backward(step) for step in self.steps) else ""

    def _can_go_forward(self, step: FileStep) -> bool:
        if step.state == "old":
            return step.new is None or self._fingerprint(self._temporary(step, "new")) == step.new
        return step.state == "new"

    def _can_go_backward(self, step: FileStep) -> bool:
        if step.state == "new":
            return step.old is None or self._find_old(step) is not None
        return step.state == "old"

    def _sweep(self) -> None:
        """Remove all temporary files but those of journals that were set aside."""
        # Not of etc itself: a descriptor shared with another process may stand at the end of its list.
        fd = shield.open_file(".", posix.O_RDONLY | posix.O_DIRECTORY, self.etc)
        try:
            names = posix.listdir(fd)
        finally:
            shield.close(fd)
        kept = tuple(f"{TEMPORARY}{name[len(JOURNAL) + 1 :]}." for name in names if name.startswith(f"{JOURNAL}."))
        leftovers = [name for name in names if _is_temporary(name) and not name.startswith(kept)]
        if self._remove(leftovers):
            self._remove([JOURNAL])

    def _back_up(self) -> None:
        # The way back has looked at what it puts in place; here it has not been needed yet.
        for step in self.steps:
            kind = "copy" if step.copied else "old"
            if step.backup and step.state == "new" and not self._holds_old(self._temporary(step, kind), step):
                step.backup = False
        super()._back_up()

    def _holds_old(self, name: str, step: FileStep) -> bool:
        """Whether a file has the size and checksum of the old one, whatever its time."""
        found = self._fingerprint(name)
        return found is not None and step.old is not None and found.split(":")[::2] == step.old.split(":")[::2]


def _parse_step(line: str, number: int) -> FileStep:
    """One line of a journal. Raises CommitError."""
    fields = line.split(" ")
    if len(fields) != 5 or fields[0] != str(number):
        raise _refusal("bad step")
    _, old, new, backup, name = fields
    if name not in FILES:
        raise _refusal(f"it names '{name[:64]}'")
    if not all(text == "-" or _is_fingerprint(text) for text in (old, new)) or old == new:
        raise _refusal("bad fingerprint")
    if backup not in ("-", "link", "copy") or (backup != "-" and old == "-"):
        raise _refusal("bad backup")
    step = FileStep(number, name, backup != "-")
    step.copied = backup == "copy"
    step.old = None if old == "-" else old
    step.new = None if new == "-" else new
    return step


def _is_token(text: str) -> bool:
    """PID-HEX, as accounts.system.commit makes it."""
    pid, _, clock = text.partition("-")
    return _is_number(pid) and 0 < len(clock) <= 16 and set(clock) <= set("0123456789abcdef")


def _is_fingerprint(text: str) -> bool:
    """SIZE:MTIME:CRC32, as accounts.system.commit makes it."""
    size, _, rest = text.partition(":")
    mtime, _, checksum = rest.partition(":")
    return (
        _is_number(size)
        and _is_number(mtime.removeprefix("-"))
        and len(checksum) == 8
        and set(checksum) <= set("0123456789abcdef")
    )


def _is_number(text: str) -> bool:
    return 0 < len(text) <= 20 and text.isascii() and text.isdecimal()


def _is_temporary(name: str) -> bool:
    """Whether a name is one that Work._temporary() gives."""
    token, _, rest = name.removeprefix(TEMPORARY).partition(".")
    number, _, kind = rest.partition(".")
    return name.startswith(TEMPORARY) and _is_token(token) and _is_number(number) and kind in KINDS
