# SPDX-License-Identifier: MIT
"""chsh(1). Callers who are not root come from the service, or get the distribution's set-uid program. Hot path."""

from __future__ import annotations

import posix

from accounts.cli.console import Console
from accounts.cli.run import program
from accounts.cli.tool import HELP, HIDDEN_PREFIX, ROOT, Given, Option, Tool, as_given
from accounts.edit.person import SetShell
from accounts.errors import E_FAILURE, Fail
from accounts.model.names import valid_field
from accounts.model.records import Passwd
from accounts.system.caller import find_account
from accounts.system.notify import LOG_WARN, syslog
from accounts.system.setuid import is_root
from accounts.text import fsdecode

TOOL = Tool(
    "chsh",
    (HELP, ROOT, HIDDEN_PREFIX, Option("s", "shell", "shell", as_given)),
    {"E_USAGE": 2, "E_BAD_ARG": 3},
    operands=(0, 1),
    setuid=True,
)


def ask_shell(console: Console, name: bytes, current: bytes) -> bytes:
    """The shell typed at the terminal."""
    console.print(f"Changing the login shell for {fsdecode(name)}\n")
    console.print("Enter the new value, or press ENTER for the default\n")
    return console.change_field("Login Shell", current)


def check_caller(given: Given, user: Passwd) -> None:
    """Whether somebody who is not root may change the shell of a user, whose password is asked for. Raises Fail."""
    from accounts.system.shells import is_listed

    run = given.run
    if posix.getuid() != user.uid or not is_listed(run.facts.target, user.shell):
        name = fsdecode(user.name)
        syslog(LOG_WARN, f"can't change shell for '{name}'")
        raise Fail(E_FAILURE, text=f"You may not change the shell for '{name}'.\n")
    from accounts.cli.served import authenticate

    authenticate(run)


@program(TOOL)
def main(given: Given) -> None:
    """Change the login shell."""
    console, facts = given.run.console, given.run.facts
    user = find_account(facts, given.operands)
    root = is_root()
    if not root:
        check_caller(given, user)
    shell = given.values.get("shell")
    if shell is None:
        shell = ask_shell(console, user.name, user.shell)
    shown = fsdecode(shell)
    if valid_field(shell, b":,=\n") != 0:
        raise Fail(E_FAILURE, f"Invalid entry: {shown}")
    if not root or (shell and facts.release >= (4, 14)):
        from accounts.system.shells import is_valid

        if not is_valid(facts.target, shell):
            if not root:
                raise Fail(E_FAILURE, f"{shown} is an invalid shell")
            console.warn(f"Warning: {shown} is an invalid shell")
    if not shell and facts.release >= (4, 17):
        # It means the default shell.
        pass
    elif not facts.target.is_accessible(shell, posix.F_OK):
        console.warn(f"Warning: {shown} does not exist")
    elif not facts.target.is_accessible(shell, posix.X_OK):
        console.warn(f"Warning: {shown} is not executable")
    given.run.do(SetShell(name=user.name, shell=shell))
