# SPDX-License-Identifier: MIT
"""grpck(8): check group and gshadow of both layers and their join, and repair the local one."""

from __future__ import annotations

from accounts.cli.checking import OPTIONS, run_checks, shown_files
from accounts.cli.run import program
from accounts.cli.tool import Given, Option, Tool
from accounts.edit.groupck import CheckGroups

TOOL = Tool(
    "grpck",
    (Option("q", "quiet", hidden=True), *OPTIONS, Option("S", "silence-warnings")),
    {"E_USAGE": 1, "E_BAD_ARG": 3, "E_GRP_UPDATE": 5},
    file_exits={("group", "open"): 3, ("gshadow", "open"): 3, ("group", "lock"): 4, ("gshadow", "lock"): 4},
    operands=(0, 2),
)


@program(TOOL)
def main(given: Given) -> int:
    """Check group and gshadow."""
    letters = given.letters
    return run_checks(
        given, CheckGroups(shown=shown_files(given, CheckGroups), quiet="S" in letters, sort="s" in letters)
    )
