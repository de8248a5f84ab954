# SPDX-License-Identifier: MIT
"""userdel(8). Hot path."""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.tool import HELP, PREFIX, ROOT, Given, Option, Tool
from accounts.cli.values import take_selinux_user
from accounts.edit.userdel import RemoveUser

USAGE = """\
Usage: userdel [options] LOGIN

Options:
  -f, --force                   force some actions that would fail otherwise
                                e.g. removal of user still logged in
                                or files, even if not owned by the user
  -h, --help                    display this help message and exit
  -r, --remove                  remove home directory and mail spool
  -R, --root CHROOT_DIR         directory to chroot into
  -P, --prefix PREFIX_DIR       prefix directory where are located the /etc/* files
  -Z, --selinux-user            remove any SELinux user mapping for the user

"""
EXITS = {
    "E_PW_UPDATE": 1, "E_USAGE": 2, "E_BAD_ARG": 3, "E_NOTFOUND": 6, "E_USER_BUSY": 8, "E_GRP_UPDATE": 10,
    "E_HOMEDIR": 12, "E_SE_UPDATE": 14, "E_SUB_UID_UPDATE": 16, "E_SUB_GID_UPDATE": 18,
}  # fmt: skip


def take_selinux(given: Given, value: bytes) -> bool:
    """-Z: the mapping goes as well."""
    take_selinux_user(given, value)
    return True


TOOL = Tool(
    "userdel",
    USAGE,
    (
        Option("f", "force", "force"),
        HELP,
        Option("r", "remove", "files_too"),
        ROOT,
        PREFIX,
        Option("Z", "selinux-user", "selinux", take_selinux, flag=True),
    ),
    EXITS,
)


@program(TOOL)
def main(given: Given) -> int:
    """Remove the user; the exit status."""
    report = given.run.do(RemoveUser(name=given.operands[0], **given.values))
    return EXITS.get(report.unfinished, 0)
