# SPDX-License-Identifier: MIT
"""Ends a commit that a killed process left half done: forward or back (docs/decisions/journal.md).

Loaded only when there is a journal.
"""

from __future__ import annotations

import posix
import zlib

from accounts.system import shield
from accounts.system.commit import CHUNK, JOURNAL, MAGIC, TEMPORARY, CommitError, Step, Work
from accounts.text import fsdecode


def recover_from(etc: int, journal: int) -> list[str]:
    """As accounts.system.commit.recover(), with the journal open; closes it.

    A file that somebody else has written since is never overwritten: then the journal is set aside under
    another name, with the files it speaks of, for a human to look at.
    """
    shield.hold()
    work = _Recovery(etc, "")
    try:
        return work.recover(_read_all(journal))
    except OSError as error:
        raise CommitError(work.at, error.strerror or str(error)) from error
    finally:
        shield.close(journal)
        work.close()
        shield.let_go()


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
        """Fill in token and steps; False for a journal that was not written to its end."""
        body, found, checksum = text.rpartition(b"end ")
        if not found or checksum != b"%08x\n" % zlib.crc32(body):
            return False
        first, *lines = body.splitlines()
        magic, _, token = first.rpartition(b" ")
        if magic != MAGIC:
            raise CommitError(JOURNAL, "written by another version; it has to finish its change")
        self.token = token.decode()
        for line in lines:
            number, old, new, backup, name = fsdecode(line).split(" ", 4)
            step = Step(int(number), name, backup != "-")
            step.copied = backup == "copy"
            step.old = None if old == "-" else old
            step.new = None if new == "-" else new
            self.steps.append(step)
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

    def _can_go_forward(self, step: Step) -> bool:
        if step.state == "old":
            return step.new is None or self._fingerprint(self._temporary(step, "new")) == step.new
        return step.state == "new"

    def _can_go_backward(self, step: Step) -> bool:
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
        leftovers = [name for name in names if name.startswith(TEMPORARY) and not name.startswith((JOURNAL, *kept))]
        if self._remove(leftovers):
            self._remove([JOURNAL])


def _read_all(fd: int) -> bytes:
    pieces = []
    while piece := posix.read(fd, CHUNK):
        pieces.append(piece)
    return b"".join(pieces)
