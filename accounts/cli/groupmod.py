# SPDX-License-Identifier: MIT
"""groupmod(8). Hot path."""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.tool import GROUP_EXITS, HELP, PREFIX, ROOT, Given, Option, Tool, as_given, take_gid, take_names
from accounts.edit.groupmod import ChangeGroup

TOOL = Tool(
    "groupmod",
    (
        Option("a", "append", "append"),
        Option("g", "gid", "gid", take_gid),
        HELP,
        Option("n", "new-name", "new_name", as_given),
        Option("o", "non-unique", "non_unique", needs="g"),
        Option("p", "password", "passwd", as_given),
        ROOT,
        PREFIX,
        Option("U", "users", "users", take_names),
    ),
    GROUP_EXITS | {"E_PW_UPDATE": 10},
    needs_text=None,
)  # fmt: skip


@program(TOOL)
def main(given: Given) -> None:
    """Change the group."""
    given.run.do(ChangeGroup(name=given.operands[0], **given.values))
