# SPDX-License-Identifier: MIT
"""useradd(8). Hot path."""

from __future__ import annotations

from accounts.cli.run import Run, program
from accounts.cli.tool import HELP, KEY, PREFIX, ROOT, USER_EXITS, Given, Option, Tool, as_given, override_key
from accounts.cli.values import (
    check_selinux_range,
    is_field,
    take_badname,
    take_day,
    take_days,
    take_field,
    take_group,
    take_no,
    take_selinux_user,
    take_shell,
    take_uid,
)  # fmt: skip
from accounts.edit.useradd import AddUser
from accounts.errors import E_BAD_ARG, E_NOTFOUND, E_USAGE, Fail, Usage
from accounts.model.records import parse_id
from accounts.text import fsdecode

# What contradicts -D, and what it can change: the field of Defaults -> where Given.values has it.
NOT_WITH_DEFAULTS = frozenset("uGdcm")
CHANGE_DEFAULTS = {"group": "gid", "home": "base", "inactive": "inactive", "expire": "expire_text", "shell": "shell"}


def take_base(_: Given, value: bytes) -> bytes:
    """-b: an absolute path."""
    if not is_field(value) or not value.startswith(b"/"):
        raise Fail(E_BAD_ARG, f"invalid base directory '{fsdecode(value)}'")
    return value


def take_comment(_: Given, value: bytes) -> bytes:
    """-c: what may be a field."""
    if not is_field(value):
        raise Fail(E_BAD_ARG, f"invalid comment '{fsdecode(value)}'")
    return value


def take_home(_: Given, value: bytes) -> bytes:
    """-d: an absolute path."""
    if not is_field(value) or not value.startswith(b"/"):
        raise Fail(E_BAD_ARG, f"invalid home directory '{fsdecode(value)}'")
    return value


def take_defaults(given: Given, _: bytes) -> bool:
    """-D: the first option."""
    if given.letters:
        raise Usage
    return True


def take_expire(given: Given, value: bytes) -> int:
    """-e: a date, which only shadow can hold. Days since the epoch."""
    day = take_day(given, value)
    if day != -1 and not given.run.facts.is_present("shadow"):
        raise Fail(E_USAGE, "shadow passwords required for -e")
    given.values["expire_text"] = value
    return day


def take_inactive(given: Given, value: bytes) -> int:
    """-f: days, which only shadow can hold."""
    days = take_days(given, value)
    if days != -1 and not given.run.facts.is_present("shadow"):
        raise Fail(E_USAGE, "shadow passwords required for -f")
    return days


def take_groups(given: Given, value: bytes) -> tuple[bytes, ...]:
    """-G: a list of names and GIDs of groups in either layer."""
    if not value:
        if given.run.release >= (4, 14):
            return ()
        # Like the real tool: -G "" does not take back an earlier -G.
        earlier: tuple[bytes, ...] = given.values.get("groups", ())
        return earlier
    # Of the file itself, as shadow, and not of NSS, to which one that cannot be read is empty.
    group = given.run.facts.view(("passwd", "group"), ("group",)).group
    names = []
    missing = []
    for text in value.split(b","):
        gid = parse_id(text)
        row = group.get(text) if gid is None else group.get_id(gid)
        if row is None:
            missing.append(f"group '{fsdecode(text)}' does not exist")
        else:
            names.append(row.name)
    if missing:
        raise Fail(E_NOTFOUND, *missing)
    return tuple(names)


TOOL = Tool(
    "useradd",
    (
        Option("b", "base-dir", "base", take_base),
        Option("", "btrfs-subvolume-home", "subvolume"),
        Option("", "badname", "bad_name", take_badname("--badname is"), flag=True),
        Option("c", "comment", "gecos", take_comment),
        Option("d", "home-dir", "home", take_home),
        Option("D", "defaults", "", take_defaults, flag=True),
        Option("e", "expiredate", "expire", take_expire),
        Option("f", "inactive", "inactive", take_inactive),
        Option("F", "add-subids-for-system", "system_subids"),
        Option("g", "gid", "gid", take_group),
        Option("G", "groups", "groups", take_groups),
        HELP,
        Option("k", "skel", "skel", as_given, needs="m"),
        KEY,
        Option("O", "", "", override_key, hidden=True),
        # Debian builds 4.17 and later without lastlog.
        Option("l", "no-log-init", "init_logs", take_no, flag=True, until=(4, 17)),
        Option("l", "no-log-init", "init_logs", take_no, flag=True, since=(4, 17), hidden=True),
        Option("m", "create-home", "create_home", excludes="M"),
        Option("M", "no-create-home", "create_home", take_no, flag=True),
        Option("N", "no-user-group", "user_group", take_no, flag=True),
        Option("o", "non-unique", "non_unique", needs="u"),
        Option("p", "password", "passwd", take_field),
        Option("r", "system", "system"),
        ROOT,
        PREFIX,
        Option("s", "shell", "shell", take_shell),
        Option("u", "uid", "uid", take_uid),
        Option("U", "user-group", "user_group", excludes="gN"),
        Option("Z", "selinux-user", "selinux_user", take_selinux_user),
        Option("", "selinux-range", "selinux_range", as_given, since=(4, 14)),
    ),
    USER_EXITS | {"E_GID_IN_USE": 4, "E_BAD_NAME": 19},
    operands=(0, None),
    order="okUm",
)


def show_or_write_defaults(run: Run, given: Given) -> None:
    """useradd -D: print the defaults, or write them when an option changes one. Raises AccountsError."""
    facts = run.facts
    changes = {field: given.values[value] for field, value in CHANGE_DEFAULTS.items() if value in given.values}
    if not changes:
        run.console.print(fsdecode(b"".join(b"%s=%s\n" % item for item in facts.useradd_defaults.items())))
        return
    from accounts.system.useradd_defaults import change_useradd_defaults

    change_useradd_defaults(facts, changes)
    run.change.audit(("USYS_CONFIG", "changing useradd defaults", b"", 0xFFFFFFFF, True, b""))


def read_defaults(run: Run) -> None:
    """default/useradd comes first, and what is wrong with it is said first."""
    _ = run.facts.useradd_defaults


@program(TOOL, prepare=read_defaults)
def main(given: Given) -> None:
    """Add the user, or with -D show or change the defaults."""
    run, operands = given.run, given.operands
    check_selinux_range(given)
    if "D" in given.letters:
        if operands or given.letters & NOT_WITH_DEFAULTS:
            raise Usage
        run.change.run_hooks("useradd", "pre", b"")
        show_or_write_defaults(run, given)
        return
    if len(operands) != 1:
        raise Usage
    given.values.pop("expire_text", None)
    run.do(AddUser(name=operands[0], **given.values))
