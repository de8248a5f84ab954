# SPDX-License-Identifier: MIT
"""groupadd(8). Hot path."""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.tool import GROUP_EXITS, HELP, KEY, PREFIX, ROOT, Given, Option, Tool, as_given, take_gid, take_names
from accounts.edit.groupadd import AddGroup

USAGE = """\
Usage: groupadd [options] GROUP

Options:
  -f, --force                   exit successfully if the group already exists,
                                and cancel -g if the GID is already used
  -g, --gid GID                 use GID for the new group
  -h, --help                    display this help message and exit
  -K, --key KEY=VALUE           override /etc/login.defs defaults
  -o, --non-unique              allow to create groups with duplicate
                                (non-unique) GID
  -p, --password PASSWORD       use this encrypted password for the new group
4.20-|  -r, --system                  create a system account
4.20+|  -r, --system                  create a system group
  -R, --root CHROOT_DIR         directory to chroot into
4.14-|  -P, --prefix PREFIX_DI        directory prefix
4.14+|  -P, --prefix PREFIX_DIR       directory prefix
4.19-|  -U, --users USERS             list of user members of this group
4.19+|  -U, --users USERS             comma-separated list of users to add as
4.19+|\t                         members of this group

"""
TOOL = Tool(
    "groupadd",
    USAGE,
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
