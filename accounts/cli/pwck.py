# SPDX-License-Identifier: MIT
"""pwck(8): check passwd and shadow of both layers and their join, and repair the local one."""

from __future__ import annotations

import time

from accounts.cli.checking import OPTIONS, run_checks, shown_files
from accounts.cli.run import program
from accounts.cli.tool import Given, Option, Tool
from accounts.edit.passwdck import CheckUsers
from accounts.model.dates import DAY


def take_badname(given: Given, _: bytes) -> None:
    """-b, which Debian's builds complain of."""
    if given.run.release >= (4, 17):
        given.run.console.warn("WARNING: --badname is deprecated and will be removed")


TOOL = Tool(
    "pwck",
    # -e is an old name of -q.
    (Option("b", "badname", "", take_badname, flag=True), Option("e", "", hidden=True), Option("q", "quiet"), *OPTIONS),
    {"E_USAGE": 1, "E_BAD_ARG": 3, "E_PW_UPDATE": 5},
    file_exits={("passwd", "open"): 3, ("shadow", "open"): 3, ("passwd", "lock"): 4, ("shadow", "lock"): 4},
    operands=(0, 2),
)


@program(TOOL)
def main(given: Given) -> int:
    """Check passwd and shadow."""
    letters = given.letters
    request = CheckUsers(
        shown=shown_files(given, CheckUsers),
        quiet=not letters.isdisjoint("eq"),
        badname="b" in letters,
        sort="s" in letters,
        # shadow does not look at SOURCE_DATE_EPOCH here.
        today=int(time.time()) // DAY,
    )
    return run_checks(given, request)
