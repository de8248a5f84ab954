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
from accounts.cli.commands import FINE, FOUND, Parser, complain, not_empty, parse_path, print_json, run_command
from accounts.cli.console import write_all, write_out
from accounts.cli.main import COMMANDS as PURPOSES
from accounts.errors import BadArgument, Usage
from accounts.machine import outcome
from accounts.machine.edits import Written, edit_files, read
from accounts.machine.outcome import MachineOutcome
from accounts.machine.rebase import RebaseReport
from accounts.machine.render import SHOWN, Painter
from accounts.machine.words import root_option
from accounts.model.database import Database
from accounts.text import fsencode, suggest


class MachineRun(Listener):
    """One command at work: its arguments, the change of its root, and where it prints."""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        """Raises BadArgument when the root cannot be opened."""
        super().__init__()
        self.name = name
        self.arguments = arguments
        try:
            self.change = Change(fsencode(str(arguments.root.absolute())), listener=self)
        except OSError as error:
            raise BadArgument(f"{arguments.root}: {error.strerror}") from None

    def say(self, text: str) -> None:
        """Text to standard output, as it is."""
        if not self.arguments.quiet:
            progress.hide()
            write_out(text)

    def warn(self, line: str) -> None:
        """ "accounts COMMAND: line" to standard error."""
        complain(self.arguments.prog, line)

    def complain(self, text: str) -> None:
        """What shadow's tools say of login.defs is theirs to say."""


def make_parser(name: str, commands: Commands | None = None) -> Parser:
    """The parser of `accounts NAME`, which is one of these commands."""
    purpose = PURPOSES[name][1]
    parser = Parser(prog=f"accounts {name}", description=f"{purpose[0].upper()}{purpose[1:]}.")
    parser.add_argument(
        "-R",
        "--root",
        type=parse_path,
        default=Path("/"),
        metavar="DIR",
        help="the root directory to work on (default: /)",
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
        command = MachineRun(argv[0], arguments)
        with command.change:
            told = run(command)
            if told is None:
                return FINE
            if arguments.json:
                print_json(told.to_json())
            else:
                command.say(told.to_text(Painter()))
                for note in told.notes if told.found or not arguments.quiet else ():
                    command.warn(note)
            return FOUND if told.found else FINE

    return run_command(make_parser(argv[0], commands), argv[1:], at_work)


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help=f"show more than {SHOWN} rows of a section")


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
        "--re-own", nargs="*", type=not_empty, metavar="PATH",
        help="give files in these directories to the ids that the image has changed; without any, those of RE_OWN",
    )  # fmt: skip
    parser.add_argument(
        "--previous",
        type=parse_path,
        metavar="DIR",
        help="the root of the earlier image, where this machine does not remember it",
    )
    _add_names(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
    from accounts.machine.check import FIXABLE
    from accounts.machine.findings import CODES, SAFE

    def parse_codes(text: str) -> tuple[str, ...]:
        codes = tuple(text.split(","))
        unknown = [code for code in codes if code not in CODES]
        if unknown:
            hint = suggest(unknown[0], CODES) or f": there are {', '.join(FIXABLE)}"
            raise argparse.ArgumentTypeError(f"there is no finding '{unknown[0]}'{hint}")
        for code in codes:
            if code not in FIXABLE:
                raise argparse.ArgumentTypeError(f"'{code}' is not mended so, but by the command that check prints")
        return codes

    add_dry_run(parser)
    parser.add_argument(
        "--fix", nargs="?", type=parse_codes, const=SAFE, default=(), metavar="CODE,...",
        help="mend these findings; without codes, those that are safe to mend",
    )  # fmt: skip


def _add_adopt(parser: argparse.ArgumentParser) -> None:
    add_dry_run(parser)
    parser.add_argument(
        "--from", dest="source", type=parse_path, metavar="DIR",
        help="take the account files from there: another /etc, an overlay's upper directory, /var/lib/extrausers",
    )  # fmt: skip
    parser.add_argument(
        "--original",
        type=parse_path,
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
    parser.add_argument("--to", type=parse_path, metavar="DIR", help="write the files there instead of /etc")


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
        "--backup", type=parse_path, metavar="FILE", help="write what goes to a tar archive first (mode 0600)"
    )
    parser.add_argument(
        "-y", "--yes", action="store_true", help="do not ask; needed where there is no terminal to ask on"
    )


def _status(run: MachineRun) -> MachineOutcome:
    from accounts.machine.check import count_problems
    from accounts.machine.status import read_status

    status = read_status(read(run.change))
    status.problems = count_problems(run.change)
    return outcome.tell_status(status, run.arguments.all)


def _diff(run: MachineRun) -> MachineOutcome:
    from accounts.machine.compare import diff_views
    from accounts.machine.delta import refuse_unknown

    database = read(run.change)
    refuse_unknown(database, run.arguments.names)
    return outcome.tell_diff(diff_views(database, run.arguments.names))


def _show(run: MachineRun) -> MachineOutcome:
    from accounts.machine.show import show
    from accounts.machine.words import shown

    found = show(run.change, run.arguments.name)
    if not found.answers:
        database, name = read(run.change), shown(run.arguments.name)
        names = [shown(row.name) for table in (database.passwd, database.group) for row in table]
        raise BadArgument(f"neither /etc nor the image has '{name}'{suggest(name, names)}; see accounts status")
    return outcome.tell_shown(found)


def _check(run: MachineRun) -> MachineOutcome:
    from accounts.machine.check import check, fix

    codes = run.arguments.fix
    done = fix(run.change, codes, run.arguments.dry_run) if codes else []
    return outcome.tell_findings(done, check(run.change))


def _rebase(run: MachineRun) -> MachineOutcome:
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
    return outcome.tell_update(updated, root_option(run.change), arguments.dry_run)


def _adopt(run: MachineRun) -> MachineOutcome:
    from accounts.machine.convert import adopt, missing
    from accounts.machine.source import read_directory

    arguments = run.arguments
    source = None if arguments.source is None else read_directory(arguments.source)
    original = None if arguments.original is None else read_directory(arguments.original)

    def act(database: Database) -> tuple[int, RebaseReport]:
        lacking = 0 if arguments.complete or source is not None else missing(database)
        return lacking, adopt(database, source, original, arguments.complete)

    (lacking, report), written = edit_files(
        run.change, "adopt", act, lambda answer: answer[1].to_log(), arguments.dry_run
    )
    return outcome.tell_adopted(report, lacking, written, root_option(run.change), arguments.dry_run)


def _flatten(run: MachineRun) -> MachineOutcome:
    from accounts.machine.convert import flatten, flatten_in_place
    from accounts.machine.source import write_directory

    directory, dry_run = run.arguments.to, run.arguments.dry_run
    if directory is None:
        return outcome.tell_edit(*edit_files(run.change, "flatten", flatten_in_place, list, dry_run), dry_run)
    database = read(run.change)
    done = write_directory(directory, flatten(database), database, dry_run)
    return outcome.tell_edit(done, Written(changed=bool(done)), dry_run)


def _edit(run: MachineRun) -> MachineOutcome:
    """revert, mask and unmask."""
    from accounts.machine import revert

    what, names, dry_run = run.name, list(dict.fromkeys(run.arguments.names)), run.arguments.dry_run
    function = {"revert": revert.revert, "mask": revert.mask, "unmask": revert.unmask}[what]
    done, written = edit_files(run.change, what, lambda database: function(database, names), list, dry_run)
    return outcome.tell_edit(done, written, dry_run)


def _reset(run: MachineRun) -> MachineOutcome:
    from accounts.machine.reset import reset

    arguments = run.arguments
    if not (arguments.dry_run or arguments.yes):
        if not os.isatty(0):
            raise Usage("nothing was changed: there is no terminal to ask on, and no --yes")
        write_all(1, f"This removes every account of {arguments.root} that is not the image's. Type yes to go on: ")
        if sys.stdin.readline().strip() != "yes":
            raise BadArgument("nothing was changed")
    result = reset(run.change, keep=arguments.keep, backup=arguments.backup, dry_run=arguments.dry_run)
    return outcome.tell_reset(result, arguments.dry_run)


Commands = dict[str, tuple[Callable[[argparse.ArgumentParser], None], Callable[[MachineRun], MachineOutcome | None]]]
COMMANDS: Commands = {
    "status": (_add_status, _status),
    "diff": (_add_names, _diff),
    "show": (_add_name, _show),
    "check": (_add_check, _check),
    "rebase": (_add_rebase, _rebase),
    "adopt": (_add_adopt, _adopt),
    "flatten": (_add_flatten, _flatten),
    "revert": (_add_revert, _edit),
    "mask": (_add_revert, _edit),
    "unmask": (_add_revert, _edit),
    "reset": (_add_reset, _reset),
}
