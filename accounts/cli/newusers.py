# SPDX-License-Identifier: MIT
"""newusers(8): make or update many users, a line like those of passwd(5) each, in one transaction."""

from __future__ import annotations

import posix
import sys

from accounts.cli.batch import show_failure
from accounts.cli.run import program
from accounts.cli.tool import HELP, HIDDEN_PREFIX, ROOT, Given, Option, Tool
from accounts.cli.values import take_badname
from accounts.edit.newusers import AddUsers, find_passwords
from accounts.errors import E_FAILURE, Fail
from accounts.system.lines import read_all, split_lines
from accounts.system.pam import make_tokens
from accounts.system.setuid import is_root
from accounts.system.target import READ

TOOL = Tool(
    "newusers",
    (
        Option("b", "badname", "", take_badname("-b and --badname are"), flag=True),
        HELP,
        Option("r", "system"),
        ROOT,
        HIDDEN_PREFIX,
    ),
    {"E_BAD_ARG": 3},
    operands=(0, 1),
)


def read_file(given: Given) -> bytes:
    """All of the file, inside --root as in shadow, or of standard input. Raises Fail."""
    if not given.operands:
        return read_all(0)
    try:
        fd = given.run.facts.target.open_named(given.operands[0], READ)
        try:
            return read_all(fd)
        finally:
            posix.close(fd)
    except OSError as error:
        # 4.13 names the first argument, whatever it is.
        raise Fail(E_FAILURE, f"{sys.argv[1]}: {error.strerror}") from None


@program(TOOL, secret=True)
def main(given: Given) -> int:
    """Make the users."""
    run = given.run
    lines = tuple(split_lines(read_file(given), drop_rest=False, open_end=True))
    tokens = make_tokens(run.facts, "newusers", find_passwords(lines, run.release), is_root())
    report = run.do(AddUsers(lines=lines, system="r" in given.letters, badname="b" in given.letters, tokens=tokens))
    for number, failure in report.result.failures.items():
        show_failure(run.console, number, failure)
    return 1 if report.result.failures else 0
