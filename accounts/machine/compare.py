# SPDX-License-Identifier: MIT
"""Differences as text: `accounts diff`, and what a --dry-run would write. Pure; no hash is in any of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from accounts.machine.words import mask_line
from accounts.model.database import BASE, KINDS, Database
from accounts.model.policy import DATABASES

# One step of an edit script: b" ", b"-" or b"+", and the line.
Step = tuple[str, bytes]


@dataclass(frozen=True)
class FileDiff:
    """A unified diff of one file or database without context. lines: with their signs, hunk heads among them."""

    database: str
    old: str
    new: str
    lines: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As docs/schemas/diff.json."""
        return asdict(self)

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in (f"--- {self.old}", f"+++ {self.new}", *self.lines))


def diff_views(database: Database, names: Sequence[bytes] = ()) -> list[FileDiff]:
    """What NSS answers here against what it answers with an empty /etc; of some names only, if any are given."""
    wanted = set(names)
    diffs = []
    for name in DATABASES:
        layered = database.tables[name]
        order = {row.name: row for row in layered.image}
        view = {row.name: row for row in layered}
        old, new = [], []
        for key in dict.fromkeys((*order, *view)):
            if wanted and key not in wanted:
                continue
            before, after = order.get(key), view.get(key)
            if before is not None and after is not None and _agree(before, after):
                # As the image has it: the order of members says nothing.
                after = before
            old += [] if before is None else [before.format_line()]
            new += [] if after is None else [after.format_line()]
        diffs += _diff_file(name, old, new, f"{name} of the image", f"{name} of this machine")
    return diffs


def diff_changes(changes: Iterable[tuple[str, bytes | None, bytes | None]], shown_etc: str = "/etc") -> list[FileDiff]:
    """The changes of Database.render_changes() as diffs, but for the base records, which follow from them."""
    diffs = []
    for name, before, after in changes:
        if name == BASE:
            continue
        path = f"{shown_etc}/{name}"
        old = "/dev/null" if before is None else path
        new = "/dev/null" if after is None else path
        diffs += _diff_file(name, _split(before or b""), _split(after or b""), old, new)
    return diffs


def _agree(before: object, after: object) -> bool:
    fields = type(before).fields()  # type: ignore[attr-defined]
    for field in fields:
        ours, theirs = getattr(before, field), getattr(after, field)
        if isinstance(ours, tuple):
            ours, theirs = set(ours), set(theirs)
        if ours != theirs:
            return False
    return True


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines[:-1] if not lines[-1] else lines


def _diff_file(name: str, old: Sequence[bytes], new: Sequence[bytes], shown_old: str, shown_new: str) -> list[FileDiff]:
    database = name if name in KINDS else "subuid"
    theirs = {line.split(b":", 1)[0]: line for line in old}
    lines: list[str] = []
    at_old = at_new = 1
    for hunk in _hunks(edit_script(old, new)):
        removed = [line for sign, line in hunk if sign == "-"]
        added = [line for sign, line in hunk if sign == "+"]
        if removed or added:
            lines.append(f"@@ -{_range(at_old, len(removed))} +{_range(at_new, len(added))} @@")
            lines += [f"-{mask_line(database, line)}" for line in removed]
            lines += [f"+{mask_line(database, line, theirs.get(line.split(b':', 1)[0]))}" for line in added]
            at_old += len(removed)
            at_new += len(added)
        else:
            at_old += len(hunk)
            at_new += len(hunk)
    return [FileDiff(name, shown_old, shown_new, tuple(lines))] if lines else []


def _range(start: int, count: int) -> str:
    """A hunk's range as diff(1) writes it: one of no lines names the line before."""
    if count == 1:
        return str(start)
    return f"{start if count else start - 1},{count}"


def edit_script(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[Step]:
    """old to new, line by line, in linear time: an edit of an account file moves no line past another.

    Where lines did change places, the result is right all the same, only longer than need be.
    """
    left, right = Counter(old), Counter(new)
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            yield " ", old[i]
            left[old[i]] -= 1
            right[new[j]] -= 1
            i, j = i + 1, j + 1
        elif i < len(old) and (j == len(new) or not right[old[i]] or left[new[j]]):
            yield "-", old[i]
            left[old[i]] -= 1
            i += 1
        else:
            yield "+", new[j]
            right[new[j]] -= 1
            j += 1


def _hunks(script: Iterable[Step]) -> Iterator[list[Step]]:
    """Runs of kept lines, and runs of changed ones."""
    run: list[Step] = []
    for step in script:
        if run and (run[-1][0] == " ") != (step[0] == " "):
            yield run
            run = []
        run.append(step)
    if run:
        yield run
