# SPDX-License-Identifier: MIT
"""What pwck and grpck have in common: their options, the files to check, the closing line."""

from __future__ import annotations

from accounts.cli.tool import HELP, HIDDEN_PREFIX, ROOT, Given, Option
from accounts.edit.checks import CheckFiles, Checks
from accounts.errors import E_USAGE, Fail, FileError
from accounts.system.files import NamedFiles
from accounts.system.notify import LOG_INFO, syslog
from accounts.system.terminal import yes_or_no
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

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


def shown_files(given: Given, kind: type[CheckFiles]) -> tuple[str, str]:
    """How messages call the files: as they were named, else by their paths."""
    shown = [given.run.facts.shown(name) for name in kind.FILES]
    shown[: len(given.operands)] = map(fsdecode, given.operands)
    return shown[0], shown[1]


def run_checks(given: Given, request: CheckFiles) -> int:
    """Check (and repair) the named files or the system's; the exit status. Raises AccountsError."""
    read_only = "r" in given.letters
    if read_only and "s" in given.letters:
        raise Fail(E_USAGE, "-s and -r are incompatible")
    run, console = given.run, CheckConsole(given)
    checks: Checks | None
    if given.operands:
        checks = _check_named(given, request, console)
    elif read_only:
        database = run.change.store.load((*request.FILES, *request.OTHERS), request.FILES)
        if not database.tables[request.FILES[0]].present:
            raise FileError(request.FILES[0], "open")
        checks = request.check_files(database, database, run.facts, console)
    else:
        checks = run.do(request, console).result
    if checks is None or not checks.errors:
        return 0
    done = "the files have been updated" if checks.changed else "no changes"
    run.console.print(f"{run.console.prog}: {done}\n")
    return FOUND


def _check_named(given: Given, request: CheckFiles, console: CheckConsole) -> Checks | None:
    run, store = given.run, given.run.change.store
    paths = dict(zip(request.FILES, given.operands, strict=False))
    files = NamedFiles(store.target, paths, run.console.warn, run.facts.release)
    try:
        database = files.open("r" in given.letters)
        checks = request.check_files(database, store.load(request.OTHERS), run.facts, console)
        if checks is None or checks.changed:
            files.commit(database)
    finally:
        files.close()
    return checks
