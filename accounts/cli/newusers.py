# SPDX-License-Identifier: MIT
"""newusers(8): make or update many users, a line like those of passwd(5) each, in one transaction."""

from __future__ import annotations

import posix
import sys

from accounts.cli.batch import read_all, split_lines
from accounts.cli.run import Run, program
from accounts.cli.tokens import Tokens
from accounts.cli.tool import HELP, HIDDEN_PREFIX, ROOT, Given, Option, Tool
from accounts.cli.values import take_badname
from accounts.edit.newusers import AddUsers
from accounts.errors import E_FAILURE, Fail
from accounts.model.records import Passwd
from accounts.system.homes import make_home
from accounts.system.target import READ
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.cli.tokens import Entry

USAGE = """\
Usage: newusers [options]

Options:
4.17-|  -b, --badname                 allow bad names
4.17+|  -b, --badname                 allow bad names (DEPRECATED)
  -h, --help                    display this help message and exit
  -r, --system                  create system accounts
  -R, --root CHROOT_DIR         directory to chroot into

"""
TOOL = Tool(
    "newusers",
    USAGE,
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


def hash_passwords(run: Run, lines: list[bytes | None]) -> Tokens:
    """The passwords of the lines, hashed; none of them when a look at the lines shows that the run will fail."""
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        fields = (line or b"").split(b":")
        if len(fields) != 7:
            return Tokens(run, [])
        if fields[1] or run.release < (4, 19):
            entries.append((number, fields[0], fields[1]))
    return Tokens(run, entries, stops=run.release >= (4, 14))


class Homes:
    """Makes the homes of new users."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._mode: int | None = None

    def make(self, number: int, user: Passwd) -> bool:
        """Make the home of a line's user, where it is not there; False when its path is none."""
        target, defs = self._run.facts.target, self._run.facts.defs
        if target.is_accessible(user.home, posix.F_OK):
            return True
        if not user.home.startswith(b"/"):
            return False
        if self._mode is None:
            self._mode = defs.get_int("HOME_MODE", 0o777 & ~defs.get_int("UMASK", 0o022)) & 0o7777
        try:
            make_home(target.root, user.home, user.uid, user.gid, self._mode)
        except OSError as error:
            path = fsdecode(user.home)
            self._run.console.warn(f"line {number}: mkdir {path} failed: {error.strerror}")
        return True


@program(TOOL, secret=True)
def main(given: Given) -> int:
    """Make the users."""
    run = given.run
    lines = list(split_lines(read_file(given), drop_rest=False, open_end=True))
    tokens = hash_passwords(run, lines)
    run.do(
        AddUsers(
            lines=lines,
            system="r" in given.letters,
            badname="b" in given.letters,
            make_home=Homes(run).make,
            set_passwords=tokens.apply,
            new_shadow_rows=[],
        )
    )
    for number in tokens.failures:
        tokens.show_failure(number)
        if tokens.stops:
            break
    return 1 if tokens.failures else 0
