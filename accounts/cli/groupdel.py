# SPDX-License-Identifier: MIT
"""groupdel(8). Hot path."""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.tool import GROUP_EXITS, HELP, PREFIX, ROOT, Given, Option, Tool
from accounts.edit.groupdel import RemoveGroup

USAGE = """\
Usage: groupdel [options] GROUP

Options:
  -h, --help                    display this help message and exit
  -R, --root CHROOT_DIR         directory to chroot into
  -P, --prefix PREFIX_DIR       prefix directory where are located the /etc/* files
  -f, --force                   delete group even if it is the primary group of a user

"""
TOOL = Tool(
    "groupdel",
    USAGE,
    (HELP, ROOT, PREFIX, Option("f", "force", "force")),
    GROUP_EXITS,
)


@program(TOOL)
def main(given: Given) -> None:
    """Delete the group."""
    given.run.do(RemoveGroup(name=given.operands[0], **given.values))
