# SPDX-License-Identifier: MIT
"""adduser, addgroup, deluser and delgroup in the dialect of busybox, done by the tools of shadow.

Their shims are in a directory of their own (PREFIX/lib/accounts/busybox), for roots that put it on the PATH:
elsewhere adduser and its like are Debian's, which call us. As in busybox every failure exits with 1.
"""

from __future__ import annotations

from accounts.cli import passwd
from accounts.cli.run import program
from accounts.cli.tool import Given, Option, Tool, as_given, show_usage, take_gid
from accounts.cli.useradd import read_defaults, take_comment, take_home
from accounts.cli.values import take_group, take_shell, take_uid
from accounts.edit.groupadd import AddGroup
from accounts.edit.groupdel import RemoveGroup
from accounts.edit.members import ChangeMember
from accounts.edit.useradd import AddUser
from accounts.edit.userdel import RemoveUser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from accounts.cli.tool import Convert

HELP = Option("", "help", "", show_usage, flag=True, hidden=True)
OPERANDS = (1, 2)
# Every failure is 1.
TOOL_ADDUSER = Tool(
    "adduser",
    (
        Option("h", "home", "home", as_given),
        Option("g", "gecos", "gecos", as_given),
        Option("s", "shell", "shell", as_given),
        Option("G", "ingroup", "group", as_given),
        Option("S", "system"),
        Option("D", "disabled-password"),
        Option("D", "empty-password"),
        Option("H", "no-create-home"),
        Option("u", "uid", "uid", as_given),
        Option("k", "skel", "skel", as_given),
        HELP,
    ),
    {},
    operands=OPERANDS,
)
TOOL_ADDGROUP = Tool(
    "addgroup",
    (Option("g", "gid", "gid", take_gid), Option("S", "system", "system"), HELP),
    {},
    operands=OPERANDS,
)
TOOL_DELUSER = Tool("deluser", (Option("", "remove-home", "files_too"), HELP), {}, operands=OPERANDS)
TOOL_DELGROUP = Tool("delgroup", (HELP,), {}, operands=OPERANDS)
GECOS = b"Linux User,,,"
# What is wrong with a value is useradd's to say, and only when a user is made.
CONVERTERS: dict[str, Convert] = {"home": take_home, "uid": take_uid, "skel": as_given}


def useradd_request(given: Given, name: bytes) -> AddUser:
    """What adduser asks for, as useradd has it. Raises Fail."""
    read_defaults(given.run)
    values, system = given.values, "S" in given.letters
    shell = b"/bin/false" if system else b"/bin/sh"
    fields: dict[str, Any] = {
        "gecos": take_comment(given, values.get("gecos", GECOS)),
        "shell": take_shell(given, values.get("shell", shell)),
    }
    fields |= {field: convert(given, values[field]) for field, convert in CONVERTERS.items() if field in values}
    group = values.get("group", b"nogroup" if system else None)
    gid = None if group is None else take_group(given, group)
    home = "H" not in given.letters
    return AddUser(name=name, gid=gid, user_group=gid is None, create_home=home, system=system, **fields)


def change_member(given: Given, remove: bool = False) -> bool:
    """Of a command line with two operands: the user becomes a member of the group, or is one no more."""
    if len(given.operands) < 2:
        return False
    user, group = given.operands
    given.run.do(ChangeMember(name=group, user=user, remove=remove))
    return True


@program(TOOL_ADDUSER)
def main_adduser(given: Given) -> None:
    """adduser."""
    if change_member(given):
        return
    name = given.operands[0]
    given.run.do(useradd_request(given, name))
    if "D" not in given.letters:
        passwd.set_password(given.run, name, b"root")


@program(TOOL_ADDGROUP)
def main_addgroup(given: Given) -> None:
    """addgroup."""
    if not change_member(given):
        given.run.do(AddGroup(name=given.operands[0], **given.values))


@program(TOOL_DELUSER)
def main_deluser(given: Given) -> int:
    """deluser."""
    if change_member(given, remove=True):
        return 0
    return 1 if given.run.do(RemoveUser(name=given.operands[0], **given.values)).unfinished else 0


@program(TOOL_DELGROUP)
def main_delgroup(given: Given) -> None:
    """delgroup."""
    if not change_member(given, remove=True):
        given.run.do(RemoveGroup(name=given.operands[0]))
