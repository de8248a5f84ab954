# SPDX-License-Identifier: MIT
"""groupadd(8). Hot path."""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.tool import GROUP_EXITS, HELP, KEY, PREFIX, ROOT, Given, Option, Tool, as_given, take_gid, take_names
from accounts.edit.groupadd import AddGroup

TOOL = Tool(
    "groupadd",
    (
        Option("f", "force", "force"),
        Option("g", "gid", "gid", take_gid),
        HELP,
        KEY,
        Option("o", "non-unique", "non_unique", needs="g"),
        Option("p", "password", "passwd", as_given),
        Option("r", "system", "system"),
        ROOT,
        PREFIX,
        Option("U", "users", "users", take_names),
    ),
    GROUP_EXITS,
    needs_text=None,
)


@program(TOOL)
def main(given: Given) -> None:
    """Add the group."""
    given.run.do(AddGroup(name=given.operands[0], **given.values))
