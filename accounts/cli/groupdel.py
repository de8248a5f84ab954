# SPDX-License-Identifier: MIT
"""groupdel(8). Hot path."""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.tool import GROUP_EXITS, HELP, PREFIX, ROOT, Given, Option, Tool
from accounts.edit.groupdel import RemoveGroup

TOOL = Tool(
    "groupdel",
    (HELP, ROOT, PREFIX, Option("f", "force", "force")),
    GROUP_EXITS,
)


@program(TOOL)
def main(given: Given) -> None:
    """Delete the group."""
    given.run.do(RemoveGroup(name=given.operands[0], **given.values))
