# SPDX-License-Identifier: MIT
"""adduser, addgroup, deluser and delgroup in the dialect of busybox, done by the tools of shadow.

Their shims are in a directory of their own (PREFIX/lib/accounts/busybox), for roots that put it on the PATH:
elsewhere adduser and its like are Debian's, which call us. As in busybox every failure exits with 1.
"""

from __future__ import annotations

from accounts.cli import passwd, useradd
from accounts.cli.run import Run, run
from accounts.cli.tool import Option, Tool, as_given, parse, show_usage, take_gid
from accounts.edit.groupadd import AddGroup
from accounts.edit.groupdel import RemoveGroup
from accounts.edit.members import ChangeMember
from accounts.edit.useradd import AddUser
from accounts.edit.userdel import RemoveUser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.cli.tool import Given

ADDUSER = """\
Usage: adduser [OPTIONS] USER [GROUP]

Create new user, or add USER to GROUP

	-h DIR		Home directory
	-g GECOS	GECOS field
	-s SHELL	Login shell
	-G GRP		Group
	-S		Create a system user
	-D		Don't assign a password
	-H		Don't create home directory
	-u UID		User id
	-k SKEL		Skeleton directory (/etc/skel)
"""
ADDGROUP = """\
Usage: addgroup [-g GID] [-S] [USER] GROUP

Add a group or add a user to a group

	-g GID	Group id
	-S	Create a system group
"""
DELUSER = """\
Usage: deluser [--remove-home] USER

Delete USER from the system

	--remove-home	Remove home directory
"""
DELGROUP = """\
Usage: delgroup [USER] GROUP

Delete group GROUP from the system or user USER from group GROUP
"""
HELP = Option("", "help", "", show_usage, flag=True, hidden=True)
OPERANDS = (1, 2)
# Every failure is 1.
TOOL_ADDUSER = Tool(
    "adduser",
    ADDUSER,
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
    ADDGROUP,
    (Option("g", "gid", "gid", take_gid), Option("S", "system", "system"), HELP),
    {},
    operands=OPERANDS,
)
TOOL_DELUSER = Tool(
    "deluser", DELUSER, (Option("", "remove-home", "files_too"), HELP), {}, operands=OPERANDS
)
TOOL_DELGROUP = Tool("delgroup", DELGROUP, (HELP,), {}, operands=OPERANDS)
# adduser's value -> the option of useradd.
USERADD_OPTIONS = {"home": b"-d", "uid": b"-u", "skel": b"-k"}
GECOS = b"Linux User,,,"


def useradd_request(given: Given, name: bytes) -> AddUser:
    """What adduser asks for, as useradd has it. Raises Fail."""
    # Option by option as useradd: what is wrong with a value is its to say.
    run = Run(useradd.TOOL, given.run.console.prog, given.run.change)
    useradd.read_defaults(run)
    values, system = given.values, "S" in given.letters
    shell = b"/bin/false" if system else b"/bin/sh"
    arguments = [b"-c", values.get("gecos", GECOS), b"-s", values.get("shell", shell)]
    for value, option in USERADD_OPTIONS.items():
        if value in values:
            arguments += [option, values[value]]
    group = values.get("group", b"nogroup" if system else None)
    arguments += [b"-U"] if group is None else [b"-N", b"-g", group]
    arguments.append(b"-M" if "H" in given.letters else b"-m")
    if system:
        arguments.append(b"-r")
    return AddUser(name=name, **parse(run, arguments).values)


def change_member(given: Given, remove: bool = False) -> bool:
    """Of a command line with two operands: the user becomes a member of the group, or is one no more."""
    if len(given.operands) < 2:
        return False
    user, group = given.operands
    given.run.do(ChangeMember(name=group, user=user, remove=remove))
    return True


def add_user(given: Given) -> None:
    """adduser."""
    if change_member(given):
        return
    name = given.operands[0]
    given.run.do(useradd_request(given, name))
    if "D" not in given.letters:
        passwd.set_password(given.run, name, b"root")


def add_group(given: Given) -> None:
    """addgroup."""
    if not change_member(given):
        given.run.do(AddGroup(name=given.operands[0], **given.values))


def delete_user(given: Given) -> int:
    """deluser."""
    if change_member(given, remove=True):
        return 0
    return 1 if given.run.do(RemoveUser(name=given.operands[0], **given.values)).unfinished else 0


def delete_group(given: Given) -> None:
    """delgroup."""
    if not change_member(given, remove=True):
        given.run.do(RemoveGroup(name=given.operands[0]))


def main_adduser() -> NoReturn:
    """Entry point of the shim of adduser."""
    run(TOOL_ADDUSER, add_user)


def main_addgroup() -> NoReturn:
    """Entry point of the shim of addgroup."""
    run(TOOL_ADDGROUP, add_group)


def main_deluser() -> NoReturn:
    """Entry point of the shim of deluser."""
    run(TOOL_DELUSER, delete_user)


def main_delgroup() -> NoReturn:
    """Entry point of the shim of delgroup."""
    run(TOOL_DELGROUP, delete_group)
