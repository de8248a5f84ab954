# SPDX-License-Identifier: MIT
"""gpasswd(1). Callers who are not root come from the service, or get the distribution's set-uid program. Hot path."""

from __future__ import annotations

from accounts.cli.run import Run, program
from accounts.cli.tool import HELP, HIDDEN_PREFIX, Given, Option, Tool, as_given
from accounts.edit.members import FILES, ChangeMembers, find_pair
from accounts.errors import E_BAD_ARG, E_FAILURE, E_GSHADOW_NOTFOUND, Fail, Usage
from accounts.system.caller import name_caller
from accounts.system.setuid import is_root
from accounts.text import fsdecode


def take_user(given: Given, value: bytes) -> bytes:
    """A user that exists."""
    return check_users(given, value, [value])


def take_users(given: Given, value: bytes) -> bytes:
    """Users that exist, joined with commas."""
    return check_users(given, value, value.removesuffix(b",").split(b",") if value else [])


def take_admins(given: Given, value: bytes) -> bytes:
    """Users that exist, where gshadow has a place for them."""
    if not given.run.facts.is_present("gshadow"):
        raise Fail(E_GSHADOW_NOTFOUND, "shadow group passwords required for -A")
    return take_users(given, value)


def check_users(given: Given, value: bytes, users: list[bytes]) -> bytes:
    """The value, when all of the users exist. Raises Fail with a line for each that does not."""
    facts = given.run.facts
    lines = [f"user '{fsdecode(user)}' does not exist" for user in users if facts.find_user(user) is None]
    if lines:
        raise Fail(E_BAD_ARG, *lines)
    return value


TOOL = Tool(
    "gpasswd",
    (
        Option("a", "add", "add", take_user),
        Option("A", "administrators", "administrators", take_admins),
        Option("d", "delete", "remove", as_given),
        # Means nothing, as in shadow.
        Option("g", "", hidden=True),
        HELP,
        Option("M", "members", "members", take_users),
        Option("Q", "root", "", as_given),
        HIDDEN_PREFIX,
        Option("r", "remove-password", "no_password"),
        Option("R", "restrict", "restrict"),
    ),
    {"E_FAILURE": 1, "E_GRP_UPDATE": 1, "E_USAGE": 2, "E_BAD_ARG": 3, "E_GSHADOW_NOTFOUND": 17},
    setuid=True,
)


def ask_password(run: Run, group: str) -> bytes:
    """A new password from the terminal, typed twice, encrypted. Raises Fail."""
    from accounts.system.coredump import forbid_core_dumps
    from accounts.system.hashing import hash_password, settings_from, wipe
    from accounts.system.terminal import ask_group_password

    if not run.console.is_terminal():
        raise Fail(E_FAILURE, "Not a tty")
    forbid_core_dumps()
    run.console.print(f"Changing the password for group {group}\n")
    password = ask_group_password(run.console.read_password, run.console.print)
    try:
        settings = settings_from(run.facts.defs)
        run.console.complain("".join(settings.notes))
        return hash_password(password, settings)
    finally:
        wipe(password)


def determine_caller(run: Run) -> None:
    """Before all else, of root too. Raises Fail."""
    name_caller(run.facts)


@program(TOOL, determine_caller)
def main(given: Given) -> None:
    """Change the group."""
    run, values, name = given.run, given.values, given.operands[0]
    if len(given.letters & set("adrR")) + bool(given.letters & set("AM")) > 1:
        raise Usage
    who = {} if is_root() else {"caller": name_caller(run.facts)}
    request = ChangeMembers(name=name, **who, **values)
    group = fsdecode(name)
    pair = find_pair(run.facts.store.load(FILES, FILES), name, run.facts)
    request.check_caller(pair)
    if request.add is not None:
        run.console.print(f"Adding user {fsdecode(request.add)} to group {group}\n")
    elif request.remove is not None:
        run.console.print(f"Removing user {fsdecode(request.remove)} from group {group}\n")
    request.apply(pair)
    if not values:
        request = ChangeMembers(name=name, passwd=ask_password(run, group), **who)
    run.do(request)
