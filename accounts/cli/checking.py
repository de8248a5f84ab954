# SPDX-License-Identifier: MIT
"""What pwck and grpck have in common: their options, the files to check, the closing line."""

from __future__ import annotations

from accounts.cli.run import Run
from accounts.cli.tool import HELP, HIDDEN_PREFIX, ROOT, Given, Option
from accounts.edit.checks import Checks, RepairFiles
from accounts.errors import E_USAGE, Fail, FileError
from accounts.model.database import Database
from accounts.system.files import NamedFiles
from accounts.system.notify import LOG_INFO, syslog
from accounts.system.terminal import yes_or_no
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FOUND = 2
OPTIONS = (HELP, Option("r", "read-only"), ROOT, HIDDEN_PREFIX, Option("s", "sort"))


class CheckConsole:
    """Findings to standard output, answers from standard input, deletions to syslog."""

    def __init__(self, given: Given) -> None:
        self._print = given.run.console.print
        self._read_only = "r" in given.letters

    def say(self, text: str) -> None:
        self._print(text + "\n")

    def ask(self, question: str, repairable: bool) -> bool:
        self._print(question)
        return yes_or_no(self._read_only or not repairable)

    def log(self, text: str) -> None:
        syslog(LOG_INFO, text)


def shown_files(given: Given, names: tuple[str, str]) -> list[str]:
    """How messages call the files: as they were named, else by their paths."""
    shown = [given.run.facts.shown(name) for name in names]
    shown[: len(given.operands)] = map(fsdecode, given.operands)
    return shown


def run_checks(
    given: Given, names: tuple[str, str], others: tuple[str, ...], check: Callable[[Database, Database], Checks | None]
) -> int:
    """Check (and repair) the named files or the system's; the exit status.

    names: the databases of the files; others: what is looked at besides, in the system's own files. check
    gets the database to check and the one with the others; it answers None when it has sorted. Raises AccountsError.
    """
    read_only = "r" in given.letters
    if read_only and "s" in given.letters:
        raise Fail(E_USAGE, "-s and -r are incompatible")
    run = given.run
    found: list[Checks | None] = []
    if given.operands:
        found.append(_check_named(given, names, others, check))
    elif read_only:
        store = run.change.store
        database = store.load((*names, *others), names)
        if not database.tables[names[0]].present:
            raise FileError(names[0], "open")
        found.append(check(database, database))
    else:
        run.do(RepairFiles(names=names, others=others, repair=lambda it: found.append(check(it, it))))
    return _close(run, found[0])


def _check_named(
    given: Given, names: tuple[str, str], others: tuple[str, ...], check: Callable[[Database, Database], Checks | None]
) -> Checks | None:
    store, read_only = given.run.change.store, "r" in given.letters
    files = NamedFiles(store.target, dict(zip(names, given.operands, strict=False)), given.run.console.warn)
    try:
        database = files.open(read_only)
        checks = check(database, store.load(others))
        if checks is None or checks.changed:
            files.commit(database)
    finally:
        files.close()
    return checks


def _close(run: Run, checks: Checks | None) -> int:
    if checks is None or not checks.errors:
        return 0
    done = "the files have been updated" if checks.changed else "no changes"
    run.console.print(f"{run.console.prog}: {done}\n")
    return FOUND
