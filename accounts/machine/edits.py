# SPDX-License-Identifier: MIT
"""How everything here changes account files: as requests, by accounts.change, like every tool.

with Change(b"/mnt/root") as change:
    steps, written = edit_files(change, "rebase", rebase, lambda report: report.to_log())
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from accounts.change import Change
from accounts.edit.request import Report, Request, edit
from accounts.machine.compare import FileDiff, diff_changes
from accounts.machine.delta import FILES
from accounts.model.database import Database

if TYPE_CHECKING:
    from accounts.edit.request import Facts

T = TypeVar("T")
# Lines of one command in syslog: an update may change every row.
LOGGED = 50


@dataclass
class Written:
    """What a change has written, or with dry_run would have. changes: of Database.render_changes()."""

    changes: list[tuple[str, bytes | None, bytes | None]] = field(default_factory=list)
    changed: bool = False

    @property
    def diffs(self) -> list[FileDiff]:
        """The changes as diffs; made when they are asked for, as they take longer than the change."""
        return diff_changes(self.changes)

    def note(self, database: Database) -> None:
        """Take down what an edited database differs by from the files."""
        self.changes = database.render_changes()
        self.changed = bool(self.changes)

    def to_json(self) -> dict[str, Any]:
        """changed and diffs as in docs/schemas."""
        return {"changed": self.changed, "diffs": [diff.to_json() for diff in self.diffs]}


class EditAll(Request):
    """A request about whole files: all of them are locked, rows as they are written, however long."""

    __slots__ = ()
    CREATES = FILES
    # MAX_MEMBERS_PER_GROUP splits rows, which is no concern of a merge: it goes by rows.
    SPLITS = False

    def files(self, plan: Any, facts: Facts) -> tuple[Sequence[str], Collection[str]]:  # type: ignore[override]
        return FILES, ()


class EditFiles(EditAll):
    """Whatever act does to a database.

    told: gets what it answers, gives what str() makes lines for syslog of; found: what came of it.
    """

    __slots__ = ("act", "found", "told", "what")
    what: str
    act: Callable[[Database], Any]
    told: Callable[[Any], Sequence[object]]
    found: dict[str, Any]

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        self.found["answer"] = answer = self.act(database)
        written: Written = self.found["written"]
        written.note(database)
        lines = self.told(answer) if written.changed else ()
        report.log += [f"{self.what}: {line}" for line in lines[:LOGGED]]
        if len(lines) > LOGGED:
            report.log.append(f"{self.what}: and {len(lines) - LOGGED} more")


def read(change: Change) -> Database:
    """Both layers of all files as they are, unlocked; an edit of them goes nowhere. Raises FileError, ConfigError."""
    return change.store.load(FILES, FILES)


def do(change: Change, request: EditAll, dry_run: bool = False) -> None:
    """Take a request through the files; dry_run: only through what is in them. Raises AccountsError."""
    if not dry_run:
        change.do(request)
        return
    facts = change.facts
    facts.database = read(change)
    try:
        edit(facts.database, request, facts)
    finally:
        facts.forget()


def edit_files(
    change: Change,
    what: str,
    act: Callable[[Database], T],
    told: Callable[[T], Sequence[object]],
    dry_run: bool = False,
) -> tuple[T, Written]:
    """Let act edit both layers, and write what comes of it as one; (what act answers, what was written).

    what: the command, for syslog; told: lines for it. dry_run: nothing is locked, recovered or written.
    Raises AccountsError; then nothing has changed.
    """
    found: dict[str, Any] = {"written": Written()}
    do(change, EditFiles(what=what, act=act, told=told, found=found), dry_run)
    return found["answer"], found["written"]
