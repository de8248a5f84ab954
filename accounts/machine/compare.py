# SPDX-License-Identifier: MIT
"""Differences as text: `accounts diff`, and what a --dry-run would write. Pure; no hash is in any of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from accounts.machine.delta import Kind, changed_fields, first_lines, local_rows
from accounts.machine.words import mask_line
from accounts.model.database import APPLIED, BASE, LEDGER, Database
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
        image, view = first_lines(layered.image, raw=True), first_lines(layered.image).copy()
        for row in local_rows(layered).select(Kind.OWN, Kind.MEMBERS, Kind.OVERRIDE):
            if row.kind == Kind.OWN or row.members or changed_fields(layered, row):
                # Else only the order of members is another, which says nothing.
                record: Any = layered.get(row.name) if row.kind != Kind.OWN and layered.merge else row.local
                view[row.name] = record.format_line()
        names_here = [account for account in dict.fromkeys((*image, *view)) if not wanted or account in wanted]
        old = [image[account] for account in names_here if account in image]
        new = [view[account] for account in names_here if account in view]
        diffs += _diff_file(name, old, new, f"{name} of the image", f"{name} of this machine")
    return diffs


def diff_changes(changes: Iterable[tuple[str, bytes | None, bytes | None]], shown_etc: str = "/etc") -> list[FileDiff]:
    """The changes of Database.render_changes() as diffs, but for the records that follow from them."""
    diffs = []
    for name, before, after in changes:
        if name in (BASE, APPLIED, LEDGER):
            continue
        path = f"{shown_etc}/{name}"
        old = "/dev/null" if before is None else path
        new = "/dev/null" if after is None else path
        diffs += _diff_file(name, _split(before or b""), _split(after or b""), old, new)
    return diffs


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines[:-1] if not lines[-1] else lines


def _diff_file(name: str, old: Sequence[bytes], new: Sequence[bytes], shown_old: str, shown_new: str) -> list[FileDiff]:
    database = name if name in DATABASES else "subuid"
    lines: list[str] = []
    at_old = at_new = 1
    script = list(edit_script(old, new))
    theirs = {line.split(b":", 1)[0]: line for sign, line in script if sign == "-"}
    for hunk in _hunks(script):
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
    if not (old and new):
        yield from (("-", line) for line in old)
        yield from (("+", line) for line in new)
        return
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
