# SPDX-License-Identifier: MIT
"""pwck(8): check passwd and shadow of both layers and their join, and repair the local one."""

from __future__ import annotations

import posix
import time

from accounts.cli.checking import OPTIONS, CheckConsole, run_checks, shown_files
from accounts.cli.run import program
from accounts.cli.tool import Given, Option, Tool
from accounts.edit.checks import Checks
from accounts.edit.passwdck import PasswdCheck, System, sort_users
from accounts.model.database import Database
from accounts.model.dates import DAY
from accounts.model.records import Shadow
from accounts.system.known import Facts

USAGE = """\
Usage: pwck [options] [passwd [shadow]]

Options:
4.17-|  -b, --badname                 allow bad names
4.17+|  -b, --badname                 allow bad names (DEPRECATED)
  -h, --help                    display this help message and exit
  -q, --quiet                   report errors only
  -r, --read-only               display errors and warnings
                                but do not change files
  -R, --root CHROOT_DIR         directory to chroot into
  -s, --sort                    sort entries by UID

"""


def take_badname(given: Given, _: bytes) -> None:
    """-b, which Debian's builds complain of."""
    if given.run.release >= (4, 17):
        given.run.console.warn("WARNING: --badname is deprecated and will be removed")


TOOL = Tool(
    "pwck",
    USAGE,
    # -e is an old name of -q.
    (Option("b", "badname", "", take_badname, flag=True), Option("e", "", hidden=True), Option("q", "quiet"), *OPTIONS),
    {"E_USAGE": 1, "E_BAD_ARG": 3, "E_PW_UPDATE": 5},
    file_exits={("passwd", "open"): 3, ("shadow", "open"): 3, ("passwd", "lock"): 4, ("shadow", "lock"): 4},
    operands=(0, 2),
)


def surroundings(facts: Facts, groups: Database) -> System:
    """What the checks ask besides the two files."""
    system = System()
    defs = facts.defs
    gids = groups.group.ids()
    system.has_gid = lambda gid: gid in gids or facts.has_gid(gid)
    system.exists = lambda path: facts.target.is_accessible(path, posix.F_OK)
    system.new_row = lambda name: Shadow(name, b"", facts.today() or -1, *facts.defs.ageing())
    # shadow does not look at SOURCE_DATE_EPOCH here.
    system.today = int(time.time()) // DAY
    system.system_uids = range(defs.get_ulong("SYS_UID_MIN", 101), defs.get_ulong("SYS_UID_MAX", 999) + 1)
    system.nonexistent = defs.get("NONEXISTENT")
    system.release = facts.release
    return system


@program(TOOL)
def main(given: Given) -> int:
    """Check passwd and shadow."""
    names = shown_files(given, ("passwd", "shadow"))
    quiet = not given.letters.isdisjoint("eq")

    def check(database: Database, groups: Database) -> Checks | None:
        if "s" in given.letters:
            sort_users(database)
            return None
        system = surroundings(given.run.facts, groups)
        system.passwd_file, system.shadow_file = names
        checks = PasswdCheck(
            database, CheckConsole(given), system, quiet, "b" in given.letters, database.shadow.present
        )
        checks.run()
        return checks

    return run_checks(given, ("passwd", "shadow"), ("group",), check)
