# SPDX-License-Identifier: MIT
"""`accounts apply`, `export` and `import-delta`: accounts that come from files.

Exit statuses as accounts.cli.machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accounts.cli import machine
from accounts.cli.commands import FINE, FOUND, print_json
from accounts.cli.machine import Commands, Run, add_dry_run
from accounts.errors import Usage
from accounts.machine import render as words

if TYPE_CHECKING:
    from accounts.machine.applyrun import Applied


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
    command = Apply(run.change, arguments.directories)
    for note in command.result.notes:
        run.warn(note)
    if arguments.to is not None:
        result = command.write(arguments.to, arguments.dry_run)
    elif arguments.check or arguments.dry_run:
        result = command.tell()
    else:
        result = command.run()
    if arguments.json:
        print_json(result.to_json())
    else:
        _say(run, result)
    return FOUND if arguments.check and result.changed else FINE


def _say(run: Run, result: Applied) -> None:
    run.say("".join(f"{action}\n" for action in result.actions))
    run.say("".join(f"{sentence}\n" for sentence in result.files))
    if run.arguments.dry_run or run.arguments.check:
        run.say(words.format_diff(result.diffs, run.painter))


COMMANDS: Commands = {"apply": (_add_apply, _apply)}


def main(argv: Sequence[str]) -> int:
    """Run `accounts ARGV`, the command first; returns the exit status."""
    return machine.main(argv, COMMANDS)
