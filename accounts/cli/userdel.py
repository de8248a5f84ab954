# SPDX-License-Identifier: MIT
"""userdel(8). Hot path."""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.tool import HELP, PREFIX, ROOT, USER_EXITS, Given, Option, Tool
from accounts.cli.values import take_selinux_user
from accounts.edit.userdel import RemoveUser


def take_selinux(given: Given, value: bytes) -> bool:
    """-Z: the mapping goes as well."""
    take_selinux_user(given, value)
    return True


TOOL = Tool(
    "userdel",
    (
        Option("f", "force", "force"),
        HELP,
        Option("r", "remove", "files_too"),
        ROOT,
        PREFIX,
        Option("Z", "selinux-user", "selinux", take_selinux, flag=True),
    ),
    USER_EXITS,
)


@program(TOOL)
def main(given: Given) -> int:
    """Remove the user; the exit status."""
    report = given.run.do(RemoveUser(name=given.operands[0], **given.values))
    return USER_EXITS.get(report.unfinished, 0)
