# SPDX-License-Identifier: MIT
"""`accounts apply`, `export` and `import-delta`: accounts that come from files.

Exit statuses as accounts.cli.machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accounts.change import Listener
from accounts.cli import machine
from accounts.cli import machine_print as words
from accounts.cli.machine import FOUND, NOTHING, Commands, Run, add_dry_run
from accounts.errors import Usage

if TYPE_CHECKING:
    from accounts.machine.applyrun import Applied


class _Ear(Listener):
    """Passes on what the tools' requests have to say."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def warn(self, line: str) -> None:
        self._run.complain(line)

    def complain(self, text: str) -> None:
        self._run.complain(text.rstrip("\n"))


def _add_apply(parser: argparse.ArgumentParser) -> None:
    add_dry_run(parser)
    parser.add_argument(
        "--check", action="store_true", help="only tell whether anything is to be done: then exit with 1"
    )
    parser.add_argument(
        "--to", type=Path, metavar="DIR",
        help="write the files that change into DIR and leave /etc alone: for an overlay, or a confext's etc",
    )  # fmt: skip
    parser.add_argument(
        "directories", type=Path, nargs="*", metavar="DIR",
        help="directories of drop-ins in place of /etc/accounts.d and so on; files of a later one replace an earlier's",
    )  # fmt: skip


def _apply(run: Run) -> int:
    from accounts.machine.applyrun import Apply

    arguments = run.arguments
    if arguments.to is not None and arguments.check:
        raise Usage("--check writes nothing, so that --to has no meaning")
    command = Apply(run.machine, arguments.directories, _Ear(run))
    for note in command.result.notes:
        run.complain(note)
    if arguments.to is not None:
        result = command.write(arguments.to, arguments.dry_run)
    elif arguments.check or arguments.dry_run:
        result = command.tell()
    else:
        result = command.run()
    if arguments.json:
        run.say_json(result.to_json())
    else:
        _say(run, result)
    return FOUND if arguments.check and result.changed else NOTHING


def _say(run: Run, result: Applied) -> None:
    run.say("".join(f"{action}\n" for action in result.actions))
    run.say("".join(f"{sentence}\n" for sentence in result.files))
    if run.arguments.dry_run or run.arguments.check:
        run.say(words.format_diff(result.diffs, run.painter))


COMMANDS: Commands = {"apply": (_add_apply, _apply)}


def main(argv: Sequence[str]) -> int:
    """Run `accounts ARGV`, the command first; returns the exit status."""
    return machine.main(argv, COMMANDS)
