# SPDX-License-Identifier: MIT
"""`accounts status`, `check`, `rebase`, ...: the commands for a machine. Never on a hot path, so argparse.

Exit status: 0 nothing to say, 1 findings, differences or conflicts, 2 wrong usage, 3 it cannot be told, or done:
bad input or an error of the system. status and show are answers: 0 unless there are problems, or no such name.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from accounts.cli import machine_print as words
from accounts.cli.console import write_all
from accounts.cli.main import COMMANDS as PURPOSES
from accounts.errors import AccountsError, BadArgument, Usage
from accounts.machine.session import Edit, Machine
from accounts.text import fsencode

NOTHING, FOUND, USAGE, CANNOT_TELL = range(4)


class _Parser(argparse.ArgumentParser):
    """argparse with its errors in one line."""

    def error(self, message: str) -> NoReturn:
        write_all(2, f"{self.prog}: {message}; see {self.prog} --help\n")
        self.exit(USAGE)

    def _print_message(self, message: str, file: object = None) -> None:
        write_all(1, message)


class Run:
    """One command at work: its arguments, its machine, and where it prints."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.painter = words.Painter()
        self.machine = Machine(arguments.root, self.complain)

    def say(self, text: str) -> None:
        """Text to standard output, as it is."""
        write_all(1, text)

    def complain(self, message: str) -> None:
        """ "accounts COMMAND: message" to standard error, in one line."""
        line = message.replace("\n", " ")
        write_all(2, f"{self.arguments.prog}: {line}\n")

    def say_json(self, result: dict[str, Any]) -> None:
        """A result to standard output."""
        self.say(json.dumps(result, indent=2, sort_keys=True) + "\n")

    def say_diff(self, edit: Edit) -> None:
        """What a dry run would have written."""
        if self.arguments.dry_run:
            self.say(words.format_diff(edit.diffs, self.painter))


def main(argv: Sequence[str]) -> int:
    """Run `accounts ARGV`, the command first; returns the exit status."""
    name = argv[0]
    add_arguments, run = COMMANDS[name]
    purpose = PURPOSES[name][1]
    parser = _Parser(prog=f"accounts {name}", description=f"{purpose[0].upper()}{purpose[1:]}.")
    parser.add_argument(
        "-R", "--root", type=Path, default=Path("/"), metavar="DIR", help="the root directory to work on (default: /)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON (docs/schemas)")
    add_arguments(parser)
    parser.set_defaults(prog=parser.prog)
    try:
        arguments = parser.parse_args(argv[1:])
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else USAGE
    try:
        command = Run(arguments)
        with command.machine:
            return run(command)
    except Usage as error:
        write_all(2, f"{arguments.prog}: {error.message}; see {arguments.prog} --help\n")
        return USAGE
    except AccountsError as error:
        text = "; ".join(error.lines())
    except OSError as error:
        path = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        text = f"{path}{error.strerror}"
    write_all(2, f"{arguments.prog}: {text}\n")
    return CANNOT_TELL


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help=f"show more than {words.SHOWN} rows of a section")


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=fsencode, metavar="NAME", help="a user or group")


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", type=fsencode, nargs="*", metavar="NAME", help="users or groups; without any, all")


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="show what would be written, as a diff; write nothing"
    )


def _add_rebase(parser: argparse.ArgumentParser) -> None:
    _add_dry_run(parser)
    parser.add_argument(
        "--take", choices=("image", "local"), help="end conflicts, of the named accounts or all, with that side's value"
    )
    _add_names(parser)


def _status(run: Run) -> int:
    from accounts.machine.status import read_status

    status = read_status(run.machine.read())
    if run.arguments.json:
        run.say_json(status.to_json())
    else:
        run.say(words.format_status(status, run.painter, run.arguments.all))
    return FOUND if status.problems else NOTHING


def _diff(run: Run) -> int:
    from accounts.machine.compare import diff_views

    diffs = diff_views(run.machine.read(), run.arguments.names)
    if run.arguments.json:
        run.say_json({"diffs": [diff.to_json() for diff in diffs]})
    else:
        run.say(words.format_diff(diffs, run.painter))
    return FOUND if diffs else NOTHING


def _show(run: Run) -> int:
    from accounts.machine.show import show
    from accounts.machine.words import shown

    name = run.arguments.name
    found = show(run.machine, name)
    if not found.answers:
        raise BadArgument(f"neither /etc nor the image has '{shown(name)}'")
    if run.arguments.json:
        run.say_json(found.to_json())
    else:
        run.say(words.format_shown(found, run.painter))
    return NOTHING


def _rebase(run: Run) -> int:
    from accounts.machine.merge import Take
    from accounts.machine.rebase import rebase

    arguments = run.arguments
    if arguments.names and arguments.take is None:
        raise Usage("names are for --take: without it everything is rebased")
    with run.machine.change(arguments.dry_run) as edit:
        report = rebase(edit.database, Take(arguments.take) if arguments.take else None, arguments.names)
    if arguments.json:
        run.say_json({"steps": report.to_json(), **edit.to_json()})
    else:
        run.say(words.format_steps(report, run.painter))
        run.say_diff(edit)
    return FOUND if report.open else NOTHING


Command = tuple[Callable[[argparse.ArgumentParser], None], Callable[[Run], int]]
COMMANDS: dict[str, Command] = {
    "status": (_add_status, _status),
    "diff": (_add_names, _diff),
    "show": (_add_name, _show),
    "rebase": (_add_rebase, _rebase),
}
