# SPDX-License-Identifier: MIT
"""`accounts COMMAND ...`: finds the command's module and hands over. Each is imported only when it is called."""

from __future__ import annotations

import os
import sys

from accounts.cli.console import missing_module, write_all
from accounts.text import suggest
from accounts.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# Command -> (module with main(argv), which answers or exits with the status, what it is for).
COMMANDS = {
    "status": ("accounts.cli.machine", "show everything local of a machine"),
    "diff": ("accounts.cli.machine", "compare a machine's accounts with its image's"),
    "show": ("accounts.cli.machine", "show where every field of an account comes from"),
    "check": ("accounts.cli.machine", "find what is wrong with a machine's accounts, and mend it"),
    "rebase": ("accounts.cli.machine", "bring the changes of a machine up to an updated image"),
    "revert": ("accounts.cli.machine", "accounts of the image as the image has them"),
    "adopt": ("accounts.cli.machine", "make the smallest delta of a classic /etc, or of copied rows"),
    "flatten": ("accounts.cli.machine", "make a classic /etc of both layers"),
    "mask": ("accounts.cli.machine", "let accounts of the image not be seen"),
    "unmask": ("accounts.cli.machine", "undo mask, and userdel or groupdel of an image's account"),
    "reset": ("accounts.cli.machine", "back to the image; no old hash is left"),
    "apply": ("accounts.cli.declared", "make the accounts that are declared in accounts.d"),
    "export": ("accounts.cli.declared", "write what this machine differs by from its image, to travel"),
    "import-delta": ("accounts.cli.declared", "take what another machine's export has"),
    "image": ("accounts.cli.image", "build an image: seed, pin, check, ..."),
    "sysusers": ("accounts.cli.sysusers", "add the members of sysusers.d that systemd-sysusers cannot add"),
    "serve": ("accounts.cli.serve", "let everybody change what is theirs, without set-uid"),
    "set-password": ("accounts.cli.setpassword", "a new password from standard input, for pam_accounts(8)"),
    "materialize": ("accounts.cli.materialize", "rows of image users in /etc, for programs that read nothing else"),
}
# Commands whose main() gets what is behind their name; the others are several in a module, and find it in argv[0].
ALONE = ("image", "sysusers", "set-password", "materialize", "serve")
USAGE_ERROR, FAILED = 2, 3


def main() -> NoReturn:
    """Run the command that sys.argv names; exit with its status."""
    try:
        _run(sys.argv[1:])
    except ModuleNotFoundError as error:
        write_all(2, f"accounts: {missing_module(error)}\n")
        sys.exit(FAILED)


def _run(argv: list[str]) -> NoReturn:
    if argv[:1] == ["help"] and argv[1:]:
        argv = [*argv[1:], "--help"]
    if argv[:1] in (["-h"], ["--help"], ["help"]):
        write_all(1, format_usage())
        sys.exit(0)
    if not argv:
        write_all(2, format_usage())
        sys.exit(USAGE_ERROR)
    if argv[0] == "--version":
        write_all(1, f"accounts {VERSION}\n")
        sys.exit(0)
    if argv[0] not in COMMANDS:
        what, words = ("option", ["--help", "--version"]) if argv[0][:1] == "-" else ("command", COMMANDS)
        write_all(2, f"accounts: there is no {what} '{argv[0]}'{suggest(argv[0], words)}; see accounts --help\n")
        sys.exit(USAGE_ERROR)
    name = COMMANDS[argv[0]][0]
    __import__(name)
    status: int = sys.modules[name].main(argv[1:] if argv[0] in ALONE else argv)
    # Nothing is buffered: write_all() is all that prints.
    os._exit(status)


def format_usage() -> str:
    """The commands, as wide as the terminal."""
    from shutil import get_terminal_size
    from textwrap import fill

    width = max(get_terminal_size().columns, 40)
    lines = [
        fill(purpose, width, initial_indent=f"  {name:12} ", subsequent_indent=" " * 15)
        for name, (_, purpose) in COMMANDS.items()
    ]
    begin = "Begin with `accounts status`, which shows what this machine differs by;"
    return "\n".join((
        "Usage: accounts COMMAND [OPTIONS]\n       accounts --version\n\nCommands:", *lines, "",
        fill(f"{begin} `accounts COMMAND --help` and accounts(8) have the rest.", width, break_on_hyphens=False), "",
    ))  # fmt: skip
