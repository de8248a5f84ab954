# SPDX-License-Identifier: MIT
"""adduser, addgroup, deluser and delgroup in the dialect of busybox, done by the tools of shadow.

Their shims are in a directory of their own (PREFIX/lib/accounts/busybox), for roots that put it on the PATH:
elsewhere adduser and its like are Debian's, which call us. As in busybox every failure exits with 1.
"""

from __future__ import annotations

import os

from accounts.change import Change
from accounts.cli import passwd, useradd
from accounts.cli.options import scan
from accounts.cli.run import Run
from accounts.cli.session import Done, Session, run
from accounts.cli.tool import parse as parse_options
from accounts.cli.tool import parse_id_of
from accounts.edit.groupadd import AddGroup
from accounts.edit.groupdel import RemoveGroup
from accounts.edit.members import add_member, get_pair, put_pair, remove_member
from accounts.edit.useradd import AddUser
from accounts.edit.userdel import RemoveUser
from accounts.errors import E_NOT_MEMBER, AccountsError, Fail, NoSuchGroup, NoSuchUser, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

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
ADDUSER_LONG = {
    "home=": "h", "gecos=": "g", "shell=": "s", "ingroup=": "G", "system": "S", "disabled-password": "D",
    "empty-password": "D", "no-create-home": "H", "uid=": "u", "skel=": "k", "help": "help",
}  # fmt: skip
ADDGROUP_LONG = {"gid=": "g", "system": "S", "help": "help"}
DELUSER_LONG = {"remove-home": "r", "help": "help"}
DELGROUP_LONG = {"help": "help"}
# busybox's option -> that of useradd.
USERADD_OPTIONS = {"h": b"-d", "u": b"-u", "k": b"-k"}
GECOS = b"Linux User,,,"


def parse(
    session: Session, argv: list[bytes], short: str, long: dict[str, str], usage: str, most: int
) -> tuple[dict[str, bytes], list[bytes]]:
    """(option letter -> value, one to `most` operands). Raises Usage, or Done after --help."""
    operands: list[bytes] = []
    given = {}
    for option, value in scan(argv, short, long, operands):
        if option == "help":
            session.print(usage)
            raise Done
        given[option] = value
    if not 1 <= len(operands) <= most:
        raise Usage
    return given, operands


def useradd_request(session: Session, change: Change, given: dict[str, bytes], name: bytes) -> AddUser:
    """What adduser asks for, as useradd has it. Raises Fail."""
    # Option by option as useradd: what is wrong with a value is its to say.
    run = Run(useradd.TOOL, session.prog, change)
    useradd.read_defaults(run)
    system = "S" in given
    arguments = [b"-c", given.get("g", GECOS), b"-s", given.get("s", b"/bin/false" if system else b"/bin/sh")]
    for letter, option in USERADD_OPTIONS.items():
        if letter in given:
            arguments += [option, given[letter]]
    group = given.get("G", b"nogroup" if system else None)
    arguments += [b"-U"] if group is None else [b"-N", b"-g", group]
    arguments.append(b"-M" if "H" in given else b"-m")
    if system:
        arguments.append(b"-r")
    return AddUser(name=name, **parse_options(run, arguments).values)


def add_user(session: Session, argv: list[bytes]) -> int:
    """Run adduser; the exit status."""
    given, operands = parse(session, argv, "h:g:s:G:SDHu:k:", ADDUSER_LONG, ADDUSER, 2)
    if len(operands) == 2:
        return change_member(session, operands[0], operands[1], False)
    change = Change(target=session.target, listener=session)
    change.do(useradd_request(session, change, given, operands[0]))
    if "D" not in given:
        passwd.set_password(session, operands[0], False)
    return 0


def add_group(session: Session, argv: list[bytes]) -> int:
    """Run addgroup; the exit status."""
    given, operands = parse(session, argv, "g:S", ADDGROUP_LONG, ADDGROUP, 2)
    if len(operands) == 2:
        return change_member(session, operands[0], operands[1], False)
    gid = parse_id_of(given["g"], "group") if "g" in given else None
    Change(target=session.target, listener=session).do(AddGroup(name=operands[0], gid=gid, system="S" in given))
    return 0


def delete_user(session: Session, argv: list[bytes]) -> int:
    """Run deluser; the exit status."""
    given, operands = parse(session, argv, "", DELUSER_LONG, DELUSER, 2)
    if len(operands) == 2:
        return change_member(session, operands[0], operands[1], True)
    request = RemoveUser(name=operands[0], files_too="r" in given)
    return 1 if Change(target=session.target, listener=session).do(request).unfinished else 0


def delete_group(session: Session, argv: list[bytes]) -> int:
    """Run delgroup; the exit status."""
    _, operands = parse(session, argv, "", DELGROUP_LONG, DELGROUP, 2)
    if len(operands) == 2:
        return change_member(session, operands[0], operands[1], True)
    Change(target=session.target, listener=session).do(RemoveGroup(name=operands[0]))
    return 0


def change_member(session: Session, user: bytes, group: bytes, remove: bool) -> int:
    """Make the user a member of the group, or no more. Raises NoSuchUser, NoSuchGroup and Fail."""
    database = session.store.open(("group", "gshadow"), read=("passwd",))
    who, what = os.fsdecode(user), os.fsdecode(group)
    if session.find_user(database, user) is None:
        raise NoSuchUser(f"unknown user {who}")
    pair = get_pair(database, group)
    if pair is None:
        raise NoSuchGroup(f"unknown group {what}")
    changed = remove_member(pair, user, True) if remove else add_member(pair, user)
    if changed is None:
        raise Fail(E_NOT_MEMBER, f"can't find {who} in {session.target.shown('group')}")
    put_pair(database, changed)
    session.commit(database)
    session.log(f"{'remove' if remove else 'add'} '{who}' {'from' if remove else 'to'} group '{what}'")
    return 0


STATUSES: dict[type[AccountsError], int] = {AccountsError: 1}


def main_adduser() -> NoReturn:
    """Entry point of the shim of adduser."""
    run("adduser", add_user, STATUSES, ADDUSER)


def main_addgroup() -> NoReturn:
    """Entry point of the shim of addgroup."""
    run("addgroup", add_group, STATUSES, ADDGROUP)


def main_deluser() -> NoReturn:
    """Entry point of the shim of deluser."""
    run("deluser", delete_user, STATUSES, DELUSER)


def main_delgroup() -> NoReturn:
    """Entry point of the shim of delgroup."""
    run("delgroup", delete_group, STATUSES, DELGROUP)
