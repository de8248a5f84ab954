# SPDX-License-Identifier: MIT
"""`accounts status`, `check`, `rebase`, ...: the commands for a machine. Never on a hot path, so argparse.

Exit status: 0 nothing to say, 1 findings, differences or conflicts, 2 wrong usage, 3 it cannot be told, or done:
bad input or an error of the system. status and show are answers: 0 unless there are problems, or no such name.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from accounts import progress
from accounts.change import Change, Listener
from accounts.cli.commands import FINE, FOUND, Parser, complain, print_json, run_command
from accounts.cli.console import write_all
from accounts.cli.main import COMMANDS as PURPOSES
from accounts.errors import BadArgument, Usage
from accounts.machine import render as words
from accounts.machine.edits import Written, edit_files, read
from accounts.machine.rebase import Report
from accounts.model.database import Database
from accounts.text import fsencode


class Run(Listener):
    """One command at work: its arguments, the change of its root, and where it prints."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Raises BadArgument when the root cannot be opened."""
        super().__init__()
        self.arguments = arguments
        self.painter = words.Painter()
        try:
            self.change = Change(fsencode(str(arguments.root.absolute())), listener=self)
        except OSError as error:
            raise BadArgument(f"{arguments.root}: {error.strerror}") from None

    def say(self, text: str) -> None:
        """Text to standard output, as it is."""
        if not self.arguments.quiet:
            progress.hide()
            write_all(1, text)

    def warn(self, line: str) -> None:
        """ "accounts COMMAND: line" to standard error."""
        complain(self.arguments.prog, line)

    def complain(self, text: str) -> None:
        """What shadow's tools say of login.defs is theirs to say."""

    def tell(self, done: Sequence[str], written: Written) -> int:
        """What was done, a sentence each, and in a dry run the diff; the exit status."""
        if self.arguments.json:
            print_json({"done": list(done), **written.to_json()})
        else:
            self.say("".join(f"{sentence}\n" for sentence in done))
            self.say_diff(written)
        return FINE

    def say_diff(self, written: Written) -> None:
        """What a dry run would have written."""
        if self.arguments.dry_run:
            self.say(words.format_diff(written.diffs, self.painter))


def make_parser(name: str, commands: Commands | None = None) -> Parser:
    """The parser of `accounts NAME`, which is one of these commands."""
    purpose = PURPOSES[name][1]
    parser = Parser(prog=f"accounts {name}", description=f"{purpose[0].upper()}{purpose[1:]}.")
    parser.add_argument(
        "-R", "--root", type=Path, default=Path("/"), metavar="DIR", help="the root directory to work on (default: /)"
    )
    parser.add_output_options()
    (commands or COMMANDS)[name][0](parser)
    return parser


def main(argv: Sequence[str], commands: Commands | None = None) -> int:
    """Run `accounts ARGV`, the command first, of these commands; returns the exit status."""
    run = (commands or COMMANDS)[argv[0]][1]

    def at_work(arguments: argparse.Namespace) -> int:
        # A collection goes through all rows that are held, again and again; all go when the process does.
        gc.disable()
        command = Run(arguments)
        with command.change:
            return run(command)

    return run_command(make_parser(argv[0], commands), argv[1:], at_work)


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help=f"show more than {words.SHOWN} rows of a section")


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=fsencode, metavar="NAME", help="a user or group")


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", type=fsencode, nargs="*", metavar="NAME", help="users or groups; without any, all")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="show what would be written, as a diff; write nothing"
    )


def _add_rebase(parser: argparse.ArgumentParser) -> None:
    add_dry_run(parser)
    parser.add_argument(
        "--take", choices=("image", "local"), help="end conflicts, of the named accounts or all, with that side's value"
    )
    parser.add_argument(
        "--move-local", action="store_true",
        help="local accounts that have an id of the image's get another one, and their files with it",
    )  # fmt: skip
    parser.add_argument(
        "--re-own", nargs="*", metavar="PATH",
        help="give files in these directories to the ids that the image has changed; without any, those of RE_OWN",
    )  # fmt: skip
    parser.add_argument(
        "--previous",
        type=Path,
        metavar="DIR",
        help="the root of the earlier image, where this machine does not remember it",
    )
    _add_names(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
    from accounts.machine.findings import CODES, SAFE

    def parse_codes(text: str) -> tuple[str, ...]:
        codes = tuple(text.split(","))
        unknown = [code for code in codes if code not in CODES]
        if unknown:
            raise argparse.ArgumentTypeError(f"there is no finding {unknown[0]!r}")
        return codes

    add_dry_run(parser)
    parser.add_argument(
        "--fix", nargs="?", type=parse_codes, const=SAFE, default=(), metavar="CODE,...",
        help="mend these findings; without codes, those that are safe to mend",
    )  # fmt: skip


def _add_adopt(parser: argparse.ArgumentParser) -> None:
    add_dry_run(parser)
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="DIR",
        help="take the account files from there: another /etc, an overlay's upper directory, /var/lib/extrausers",
    )  # fmt: skip
    parser.add_argument(
        "--original",
        type=Path,
        metavar="DIR",
        help="the /etc that rows were copied from: what is as there is the image's",
    )
    parser.add_argument(
        "--complete",
        action="store_true",
        help="the files are whole: what they lack of the image was removed, and is hidden",
    )


def _add_flatten(parser: argparse.ArgumentParser) -> None:
    add_dry_run(parser)
    parser.add_argument("--to", type=Path, metavar="DIR", help="write the files there instead of /etc")


def _add_revert(parser: argparse.ArgumentParser) -> None:
    add_dry_run(parser)
    parser.add_argument("names", type=fsencode, nargs="+", metavar="NAME", help="users or groups of the image")


def _add_reset(parser: argparse.ArgumentParser) -> None:
    add_dry_run(parser)
    parser.add_argument(
        "--keep",
        type=fsencode,
        action="append",
        default=[],
        metavar="NAME",
        help="an account that stays, with its groups",
    )
    parser.add_argument(
        "--backup", type=Path, metavar="FILE", help="write what goes to a tar archive first (mode 0600)"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask on a terminal")


def _status(run: Run) -> int:
    from accounts.machine.check import check
    from accounts.machine.status import read_status

    status = read_status(read(run.change))
    status.problems = len(check(run.change))
    if run.arguments.json:
        print_json(status.to_json())
    else:
        run.say(words.format_status(status, run.painter, run.arguments.all))
    return FOUND if status.problems else FINE


def _diff(run: Run) -> int:
    from accounts.machine.compare import diff_views

    diffs = diff_views(read(run.change), run.arguments.names)
    if run.arguments.json:
        print_json({"diffs": [diff.to_json() for diff in diffs]})
    else:
        run.say(words.format_diff(diffs, run.painter))
    return FOUND if diffs else FINE


def _show(run: Run) -> int:
    from accounts.machine.show import show
    from accounts.machine.words import shown

    name = run.arguments.name
    found = show(run.change, name)
    if not found.answers:
        raise BadArgument(f"neither /etc nor the image has '{shown(name)}'")
    if run.arguments.json:
        print_json(found.to_json())
    else:
        run.say(words.format_shown(found, run.painter))
    return FINE


def _check(run: Run) -> int:
    from accounts.machine.check import check, fix

    arguments = run.arguments
    done = fix(run.change, arguments.fix, arguments.dry_run) if arguments.fix else []
    found = check(run.change)
    if arguments.json:
        print_json({"done": done, "findings": [one.to_json() for one in found]})
    else:
        run.say(words.format_findings(done, found, run.painter))
    return FOUND if found else FINE


def _rebase(run: Run) -> int:
    from accounts.machine.merge import Take
    from accounts.machine.update import update

    arguments = run.arguments
    if arguments.names and arguments.take is None and not arguments.move_local:
        raise Usage("names are for --take and --move-local: without these everything is rebased")
    if arguments.previous is not None and arguments.re_own is None:
        raise Usage("--previous is for --re-own")
    updated = update(
        run.change,
        Take(arguments.take) if arguments.take else None,
        arguments.names,
        move=arguments.move_local,
        paths=arguments.re_own,
        previous=arguments.previous,
        dry_run=arguments.dry_run,
    )
    if arguments.json:
        print_json(updated.to_json())
    else:
        run.say(words.format_steps(updated.report, run.painter))
        run.say_diff(updated.written)
        if updated.walk is not None:
            run.say(words.format_walk(updated.walk))
            for note in updated.walk.notes:
                run.warn(note)
            if updated.walk.more:
                run.warn(f"and {updated.walk.more} more")
    return FOUND if updated.report.open or (updated.walk is not None and updated.walk.notes) else FINE


def _adopt(run: Run) -> int:
    from accounts.machine.convert import adopt, missing
    from accounts.machine.source import read_directory

    arguments = run.arguments
    source = None if arguments.source is None else read_directory(arguments.source)
    original = None if arguments.original is None else read_directory(arguments.original)

    def act(database: Database) -> tuple[int, Report]:
        lacking = 0 if arguments.complete or source is not None else missing(database)
        return lacking, adopt(database, source, original, arguments.complete)

    (lacking, report), written = edit_files(
        run.change, "adopt", act, lambda answer: answer[1].to_log(), arguments.dry_run
    )
    if arguments.json:
        print_json({"steps": report.to_json(), "missing": lacking, **written.to_json()})
    else:
        run.say(words.format_steps(report, run.painter))
        if lacking:
            run.warn(f"{lacking} accounts of the image were not in /etc, and are seen; --complete hides such ones")
        run.say_diff(written)
    return FOUND if report.open else FINE


def _flatten(run: Run) -> int:
    from accounts.machine.convert import flatten, flatten_in_place
    from accounts.machine.source import write_directory

    arguments = run.arguments
    if arguments.to is None:
        return run.tell(*edit_files(run.change, "flatten", flatten_in_place, list, arguments.dry_run))
    database = read(run.change)
    done = write_directory(arguments.to, flatten(database), database, arguments.dry_run)
    return run.tell(done, Written(changed=bool(done)))


def _edit(run: Run, function: Callable[[Database, Sequence[bytes]], list[str]]) -> int:
    arguments = run.arguments
    what = function.__name__
    return run.tell(
        *edit_files(run.change, what, lambda database: function(database, arguments.names), list, arguments.dry_run)
    )


def _revert(run: Run) -> int:
    from accounts.machine.revert import revert

    return _edit(run, revert)


def _mask(run: Run) -> int:
    from accounts.machine.revert import mask

    return _edit(run, mask)


def _unmask(run: Run) -> int:
    from accounts.machine.revert import unmask

    return _edit(run, unmask)


def _reset(run: Run) -> int:
    from accounts.machine.reset import reset

    arguments = run.arguments
    if not (arguments.dry_run or arguments.yes) and os.isatty(0):
        write_all(1, f"This removes every account of {arguments.root} that is not the image's. Type yes to go on: ")
        if sys.stdin.readline().strip() != "yes":
            raise BadArgument("nothing was changed")
    result = reset(run.change, keep=arguments.keep, backup=arguments.backup, dry_run=arguments.dry_run)
    if arguments.json:
        print_json(
            {"removed": result.removed, "notes": result.notes, "diffs": [diff.to_json() for diff in result.diffs]}
        )
    else:
        if arguments.dry_run:
            run.say(words.format_diff(result.diffs, run.painter))
        run.say("".join(f"removed {path}\n" for path in result.removed))
        for note in result.notes:
            run.warn(note)
    return FOUND if result.notes else FINE


Commands = dict[str, tuple[Callable[[argparse.ArgumentParser], None], Callable[[Run], int]]]
COMMANDS: Commands = {
    "status": (_add_status, _status),
    "diff": (_add_names, _diff),
    "show": (_add_name, _show),
    "check": (_add_check, _check),
    "rebase": (_add_rebase, _rebase),
    "adopt": (_add_adopt, _adopt),
    "flatten": (_add_flatten, _flatten),
    "revert": (_add_revert, _revert),
    "mask": (_add_revert, _mask),
    "unmask": (_add_revert, _unmask),
    "reset": (_add_reset, _reset),
}
