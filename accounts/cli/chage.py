# SPDX-License-Identifier: MIT
"""chage(1). Callers who are not root, who get -l, come from the service or get the set-uid program. Hot path."""

from __future__ import annotations

import posix
import time

from accounts.cli.run import program
from accounts.cli.tool import HELP, ROOT, SOME_PREFIX, Given, Option, Tool, refuse_option, take_count
from accounts.edit.ageing import (
    AGEING_AUDIT,
    FAILED_AUDIT,
    FILES,
    SetAgeing,
    ask_fields,
    check_shadowed,
    find_ageing,
    list_lines,
)
from accounts.errors import E_NOPERM, AccountsError, Fail, Usage
from accounts.model.dates import DAY, parse_day
from accounts.model.records import Shadow
from accounts.model.release import NO_MIN
from accounts.system.setuid import is_root
from accounts.text import fsdecode


def take_date(given: Given, value: bytes) -> int:
    """Days since the epoch, -1 for never."""
    day = parse_day(value, release=given.run.release)
    if day < -1:
        raise Usage(f"invalid date '{fsdecode(value)}'")
    return day


# The values are called as the fields of shadow(5).
TOOL = Tool(
    "chage",
    (
        Option("d", "lastday", "lstchg", take_date),
        Option("E", "expiredate", "expire", take_date),
        HELP,
        Option("I", "inactive", "inactive", take_count),
        Option("l", "list"),
        Option("m", "mindays", "min", take_count, until=NO_MIN),
        Option("m", "", "min", refuse_option, since=NO_MIN, hidden=True),
        Option("M", "maxdays", "max", take_count),
        ROOT,
        *SOME_PREFIX,
        Option("W", "warndays", "warn", take_count),
        Option("i", "iso8601"),
    ),
    {"E_USAGE": 2, "E_BAD_ARG": 3, "E_SHADOW_NOTFOUND": 15},
    setuid=True,
)


def show_ageing(given: Given) -> None:
    """-l."""
    run, name = given.run, given.operands[0]
    check_shadowed(run.facts)
    try:
        database = run.facts.store.load(FILES, FILES)
        user, row = find_ageing(database, name, run.facts)
        if not is_root() and posix.getuid() != user.uid:
            raise Fail(E_NOPERM, "Permission denied.")
    except AccountsError:
        run.change.audit((AGEING_AUDIT, FAILED_AUDIT, b"", None, False, b""))
        raise
    run.change.audit((AGEING_AUDIT, "display aging info", name, user.uid, True, b""))
    run.console.print(list_lines(row, "i" in given.letters, run.release))


@program(TOOL)
def main(given: Given) -> None:
    """Show or change the ageing of a password."""
    run = given.run
    if "l" in given.letters:
        if given.values:
            raise Usage('do not include "l" with other flags')
        show_ageing(given)
        return
    if not is_root():
        raise Fail(E_NOPERM, "Permission denied.")
    # PAM goes by the clock, whatever SOURCE_DATE_EPOCH says.
    today = int(time.time()) // DAY

    def ask(row: Shadow) -> dict[str, int]:
        run.console.print(f"Changing the aging information for {fsdecode(row.name)}\n")
        run.console.print("Enter the new value, or press ENTER for the default\n\n")
        return ask_fields(run.console.change_field, row, run.release)

    run.do(SetAgeing(name=given.operands[0], days=given.values, today=today), ask)
