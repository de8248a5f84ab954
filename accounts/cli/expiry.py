# SPDX-License-Identifier: MIT
"""expiry(1). Callers who are not root come from the service, or get the distribution's set-gid program."""

from __future__ import annotations

import os

from accounts.cli.console import Console
from accounts.cli.run import program
from accounts.cli.tool import HELP, Given, Option, Tool
from accounts.edit.passwords import expiry_state, expiry_warning
from accounts.errors import Usage
from accounts.model.records import Passwd, Shadow
from accounts.system.caller import find_caller
from accounts.system.setuid import is_root

TOOL = Tool(
    "expiry",
    (Option("c", "check", "check", excludes="f"), Option("f", "force", "force", excludes="c"), HELP),
    {"E_USAGE": 2, "E_NOPERM": 10, "E_PW_UPDATE": 10},
    operands=(0, None),
    until=(4, 20),
    instead="not in shadow-utils since 4.20: use 'chage -l', and 'passwd -k' for a password that has expired",
    setuid=True,
)
STATES = ("", "Your password has expired.", "Your password is inactive.", "Your login has expired.")
PASSWD = "/bin/passwd"


def force_change(console: Console, user: Passwd, shadow: Shadow, state: int) -> int:
    """-f for an expired account: passwd, where that can help; the exit status."""
    console.print(STATES[state])
    if state > 1 or shadow.max < shadow.min:
        console.print("  Contact the system administrator.\n")
        return 1
    console.print("  Choose a new password.\n")
    if not is_root():
        from accounts.cli.served import run_again

        return 0 if run_again(console, "passwd", [user.name]) == 0 else 1
    status = os.spawnv(os.P_WAIT, PASSWD, [PASSWD, os.fsdecode(user.name)])
    return 0 if status == 0 else 1


@program(TOOL)
def main(given: Given) -> int:
    """Say how long the password is good, or have it changed."""
    if not given.letters:
        raise Usage
    if given.operands:
        raise Usage(f"unexpected argument: {os.fsdecode(given.operands[0])}")
    facts, console = given.run.facts, given.run.console
    database = facts.view(("passwd", "shadow"))
    user = find_caller(database)
    shadow = database.shadow.get(user.name)
    if shadow is None:
        return 0
    today = facts.today()
    state = expiry_state(user, shadow, today, given.run.release)
    if "c" in given.letters:
        console.print(expiry_warning(shadow, today))
        return state
    return force_change(console, user, shadow, state) if state else 0
