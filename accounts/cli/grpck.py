# SPDX-License-Identifier: MIT
"""grpck(8): check group and gshadow of both layers and their join, and repair the local one."""

from __future__ import annotations

from accounts.cli.checking import OPTIONS, CheckConsole, run_checks, shown_files
from accounts.cli.run import program
from accounts.cli.tool import Given, Option, Tool
from accounts.edit.checks import Checks
from accounts.edit.groupck import GroupCheck, sort_groups
from accounts.model.database import Database

USAGE = """\
Usage: grpck [options] [group [gshadow]]

Options:
  -h, --help                    display this help message and exit
  -r, --read-only               display errors and warnings
                                but do not change files
  -R, --root CHROOT_DIR         directory to chroot into
  -s, --sort                    sort entries by UID
  -S, --silence-warnings        silence controversial/paranoid warnings

"""
TOOL = Tool(
    "grpck",
    USAGE,
    (Option("q", "quiet", hidden=True), *OPTIONS, Option("S", "silence-warnings")),
    {"E_USAGE": 1, "E_BAD_ARG": 3, "E_GRP_UPDATE": 5},
    file_exits={("group", "open"): 3, ("gshadow", "open"): 3, ("group", "lock"): 4, ("gshadow", "lock"): 4},
    operands=(0, 2),
)


@program(TOOL)
def main(given: Given) -> int:
    """Check group and gshadow."""
    names = shown_files(given, ("group", "gshadow"))
    facts = given.run.facts

    def check(database: Database, users: Database) -> Checks | None:
        if "s" in given.letters:
            sort_groups(database)
            return None

        def has_user(name: bytes) -> bool:
            return users.passwd.get(name) is not None or facts.find_user(name) is not None

        quiet = "S" in given.letters
        checks = GroupCheck(database, CheckConsole(given), has_user, names[0], names[1], quiet, facts.release)
        checks.run()
        return checks

    return run_checks(given, ("group", "gshadow"), ("passwd",), check)
