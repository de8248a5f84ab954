# SPDX-License-Identifier: MIT
"""What `accounts` commands have in common: argparse, --quiet and --json, progress, errors and their statuses."""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from accounts import progress
from accounts.cli.console import word_failure, write_all, write_out
from accounts.errors import AccountsError, FileError, LockError, Usage
from accounts.examples import EXAMPLES
from accounts.text import suggest

# What options were called before.
RENAMED = {"--rule": "--severity"}
# Exit statuses. 1: findings, differences or conflicts; 3: bad input or an error of the system.
FINE, FOUND, USAGE, FAILED = range(4)


class _Formatter(argparse.HelpFormatter):
    """Leaves a line that is indented as it is: it is a command; and a usage fits the terminal."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n".join(line if line[:1] == " " else fill(line, width, indent) for line in text.split("\n"))

    def _format_usage(self, *arguments: Any) -> str:
        """argparse indents by the name of the command, however little that leaves."""
        first, *rest = super()._format_usage(*arguments).rstrip("\n").split("\n")
        if any(len(line) > self._width for line in rest):
            rest = [" " * 8 + line.strip() for line in rest]
        return "\n".join((first, *rest)) + "\n\n"


class Parser(argparse.ArgumentParser):
    """argparse with its errors in one line, and an example at the end of its help."""

    def __init__(self, prog: str, **options: Any) -> None:
        example = EXAMPLES.get(prog.removeprefix("accounts "))
        # Those of `accounts image` have pages of their own.
        page = "accounts" if prog == "accounts image" else prog.replace(" ", "-")
        epilog = f"Example:\n  {example}\nManual: {page}(8)" if example else None
        super().__init__(prog, epilog=epilog, formatter_class=_Formatter, **options)
        # Of Python 3.14: the same help with every interpreter.
        self.color = False

    def add_output_options(self) -> None:
        """--quiet and --json, which all of them have."""
        self.add_argument(
            "-q", "--quiet", action="store_true",
            help="print nothing but what goes wrong, and --json; the exit status tells the rest",
        )  # fmt: skip
        self.add_argument("--json", action="store_true", help="print the result as JSON (docs/schemas)")
        self.set_defaults(prog=self.prog)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it, but what it leaves over is refused here, by the command that it was meant for."""
        words = sys.argv[1:] if args is None else list(args)
        self._refuse_unknown(words)
        found, rest = super().parse_known_args(words, namespace)
        if rest:
            option = next((word for word in rest if word[0:1] == "-"), "")
            self.error(f"there is no option '{option}'" if option else f"one argument too many: '{rest[0]}'")
        return found, rest

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Before what is missing is told: that may be what the unknown option was for."""
        known = self._option_string_actions
        for word in words:
            if word == "--" or (word[:1] != "-" and self.commands()):
                return
            name = word.partition("=")[0]
            if name[:2] == "--" and " " not in name and not any(option.startswith(name) for option in known):
                renamed = RENAMED.get(name)
                hint = f", did you mean '{renamed}'?" if renamed in known else suggest(name, known)
                self.error(f"there is no option '{name}'{hint}")

    def commands(self) -> dict[str, argparse.ArgumentParser]:
        """Word -> parser of the command that it names; {} where there are none."""
        found = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return dict(found[0].choices) if found else {}

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            hint = suggest(value, action.choices) or f": there are {', '.join(action.choices)}"
            self.error(f"there is no command '{value}'{hint}")
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        write_all(2, f"{self.prog}: {message}; see {self.prog} --help\n")
        self.exit(USAGE)

    def _print_message(self, message: str, file: object = None) -> None:
        write_all(1, message)


def not_empty(text: str) -> str:
    """A path as an argument; an empty one is a variable that a script forgot to set, not the current directory."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path")
    return text


def parse_path(text: str) -> Path:
    """As not_empty()."""
    return Path(not_empty(text))


def run_command(parser: Parser, argv: Sequence[str], run: Callable[[argparse.Namespace], int]) -> int:
    """Parse argv, run the command that arguments.prog names; the exit status, whatever goes wrong."""
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else USAGE
    bar = None if arguments.quiet else progress.Bar(arguments.prog)
    try:
        with progress.shown_by(bar):
            return run(arguments)
    except KeyboardInterrupt:
        # As whoever has typed it expects, and a shell sees: dead of the signal, and not a word.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BrokenPipeError:
        # Who reads has had enough (head): as any other program ends then.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    except Usage as error:
        complain(arguments.prog, f"{error.message}; see {arguments.prog} --help")
        return USAGE
    except AccountsError as error:
        if isinstance(error, FileError):
            error.tells_reason = True
        locked = isinstance(error, LockError) or (isinstance(error, FileError) and error.event == "lock")
        complain(arguments.prog, word_failure(error.lines(), locked))
    except OSError as error:
        path = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        hint = "; this needs root" if error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() else ""
        complain(arguments.prog, f"{path}{error.strerror}{hint}")
    return FAILED


def complain(prog: str, message: str) -> None:
    """One line on standard error, whatever the message holds."""
    progress.hide()
    write_all(2, f"{prog}: {message}\n".replace("\n", " ").rstrip() + "\n")


def print_json(result: dict[str, Any]) -> None:
    """A result as JSON on standard output, keys in order."""
    progress.hide()
    write_out(json.dumps(result, indent=2, sort_keys=True) + "\n")
