# SPDX-License-Identifier: MIT
"""groupmod(8). Hot path."""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.tool import GROUP_EXITS, HELP, PREFIX, ROOT, Given, Option, Tool, as_given, take_gid, take_names
from accounts.edit.groupmod import ChangeGroup

USAGE = """\
Usage: groupmod [options] GROUP

Options:
  -a, --append                  append the users mentioned by -U option to the group \n\
                                without removing existing user members
  -g, --gid GID                 change the group ID to GID
  -h, --help                    display this help message and exit
  -n, --new-name NEW_GROUP      change the name to NEW_GROUP
4.20-|  -o, --non-unique              allow to use a duplicate (non-unique) GID
4.20+|  -o, --non-unique              allow using a duplicate (non-unique) GID
  -p, --password PASSWORD       change the password to this (encrypted)
                                PASSWORD
  -R, --root CHROOT_DIR         directory to chroot into
  -P, --prefix PREFIX_DIR       prefix directory where are located the /etc/* files
4.19-|  -U, --users USERS             list of user members of this group
4.19+|  -U, --users USERS             comma-separated list of users to add as
4.19+|                                members of this group

"""
TOOL = Tool(
    "groupmod",
    USAGE,
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
