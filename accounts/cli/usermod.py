# SPDX-License-Identifier: MIT
"""usermod(8). Hot path."""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.tool import HELP, PREFIX, ROOT, USER_EXITS, Given, Option, Tool, as_given
from accounts.cli.values import (
    check_selinux_range,
    take_badname,
    take_day,
    take_days,
    take_field,
    take_group,
    take_selinux_user,
    take_shell,
    take_uid,
)  # fmt: skip
from accounts.edit.usermod import ChangeUser
from accounts.errors import E_BAD_ARG, E_NOTFOUND, Fail, Usage
from accounts.model.names import is_valid_user_name, name_error
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BADNAME = take_badname("-b, --badname and --badnames are")
# The options that add or remove subordinate ids, in the order in which they are carried out.
SUBIDS = {"V": ("subuid", False), "v": ("subuid", True), "W": ("subgid", False), "w": ("subgid", True)}


def take_home(given: Given, value: bytes) -> bytes:
    """-d: an absolute path."""
    take_field(given, value)
    if not value.startswith(b"/") and (value or given.run.release < (4, 17)):
        raise Fail(E_BAD_ARG, "homedir must be an absolute path")
    return value


def take_groups(given: Given, value: bytes) -> tuple[bytes, ...]:
    """-G: a list of names and GIDs."""
    names = []
    missing = []
    for text in value.split(b",") if value else ():
        group = given.run.facts.find_group_or_gid(text)
        if group is None:
            missing.append(f"group '{fsdecode(text)}' does not exist")
        else:
            names.append(group[0])
    if missing:
        raise Fail(E_NOTFOUND, *missing)
    return tuple(names)


def take_login(given: Given, value: bytes) -> bytes:
    """-l: a name that a user may have; -b has to come before it."""
    if not is_valid_user_name(value, "b" in given.letters, given.run.release):
        raise Fail(E_BAD_ARG, name_error(value, "b" in given.letters, given.run.release))
    return value


def take_ranges(option: str) -> Callable[[Given, bytes], list[tuple[int, int]]]:
    """-v, -V, -w, -W: one more range. The real tool works from the last to the first."""

    def take(given: Given, value: bytes) -> list[tuple[int, int]]:
        from accounts.model.ranges import parse_range

        found = parse_range(value, given.run.release)
        if found is None:
            kind = SUBIDS[option][0].removeprefix("sub")
            raise Fail(E_BAD_ARG, f"invalid subordinate {kind} range '{fsdecode(value)}'")
        return [found, *given.values.get(option, ())]

    return take


TOOL = Tool(
    "usermod",
    (
        Option("a", "append", "append"),
        Option("b", "badname", "bad_name", BADNAME, flag=True, since=(4, 15)),
        Option("b", "badnames", "bad_name", BADNAME, flag=True, since=(4, 15), hidden=True),
        Option("b", "badnames", "bad_name", BADNAME, flag=True, until=(4, 15)),
        Option("c", "comment", "gecos", take_field),
        Option("d", "home", "home", take_home),
        Option("e", "expiredate", "expire", take_day),
        Option("f", "inactive", "inactive", take_days),
        Option("g", "gid", "gid", take_group),
        Option("G", "groups", "groups", take_groups),
        HELP,
        Option("l", "login", "new_name", take_login),
        Option("L", "lock", "lock"),
        Option("m", "move-home", "move_home"),
        Option("o", "non-unique", "non_unique"),
        Option("p", "password", "passwd", as_given),
        Option("r", "remove", "remove"),
        ROOT,
        PREFIX,
        Option("s", "shell", "shell", take_shell),
        Option("u", "uid", "uid", take_uid),
        Option("U", "unlock", "unlock"),
        Option("v", "add-subuids", "v", take_ranges("v")),
        Option("V", "del-subuids", "V", take_ranges("V")),
        Option("w", "add-subgids", "w", take_ranges("w")),
        Option("W", "del-subgids", "W", take_ranges("W")),
        Option("S", "add-subids", "new_subids", since=(4, 20)),
        Option("Z", "selinux-user", "selinux_user", take_selinux_user),
        Option("", "selinux-range", "selinux_range", as_given, since=(4, 14)),
    ),
    USER_EXITS | {"E_SE_UPDATE": 13, "E_PASSWORDLESS": 20},
)


@program(TOOL)
def main(given: Given) -> None:
    """Change the user."""
    run, name, values = given.run, given.operands[0], given.values
    check_selinux_range(given)
    if not given.letters and run.facts.find_user(name) is not None:
        raise Usage("no options")
    subids = tuple((*SUBIDS[option], *ends) for option in SUBIDS for ends in values.pop(option, ()))
    run.do(ChangeUser(name=name, subids=subids, **values))
