# SPDX-License-Identifier: MIT
"""What `accounts` commands have in common: argparse in one line, JSON, errors and their statuses."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from accounts.cli.console import write_all
from accounts.errors import AccountsError, Usage

# Exit statuses. 1: findings, differences or conflicts; 3: bad input or an error of the system.
FINE, FOUND, USAGE, FAILED = range(4)


class Parser(argparse.ArgumentParser):
    """argparse with its errors in one line."""

    def error(self, message: str) -> NoReturn:
        write_all(2, f"{self.prog}: {message}; see {self.prog} --help\n")
        self.exit(USAGE)

    def _print_message(self, message: str, file: object = None) -> None:
        write_all(1, message)


def run_command(parser: Parser, argv: Sequence[str], run: Callable[[argparse.Namespace], int]) -> int:
    """Parse argv, run the command that arguments.prog names; the exit status, whatever goes wrong."""
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else USAGE
    try:
        return run(arguments)
    except Usage as error:
        complain(arguments.prog, f"{error.message}; see {arguments.prog} --help")
        return USAGE
    except AccountsError as error:
        complain(arguments.prog, "; ".join(error.lines()))
    except OSError as error:
        path = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        complain(arguments.prog, f"{path}{error.strerror}")
    return FAILED


def complain(prog: str, message: str) -> None:
    """One line on standard error, whatever the message holds."""
    write_all(2, f"{prog}: {message}\n".replace("\n", " ").rstrip() + "\n")


def print_json(result: dict[str, Any]) -> None:
    """A result as JSON on standard output, keys in order."""
    write_all(1, json.dumps(result, indent=2, sort_keys=True) + "\n")
