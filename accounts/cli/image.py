# SPDX-License-Identifier: MIT
"""`accounts image ...`: what an image build calls. Never on a hot path, so argparse does the arguments.

Exit status: 0 fine, 1 findings that fail the build, 2 wrong usage, 3 bad input or an error of the system.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Sequence
from pathlib import Path

from accounts import progress
from accounts.cli import imagecommands as commands
from accounts.cli.commands import FINE, FOUND, Parser, complain, not_empty, parse_path, print_json, run_command
from accounts.cli.console import write_all, write_out
from accounts.image.environment import refuse_running
from accounts.image.findings import RULES, SEVERITIES
from accounts.image.outcome import ImageOutcome
from accounts.text import suggest


def make_parser() -> Parser:
    """The parser of `accounts image`."""
    parser = Parser(prog="accounts image", description="Build an image with stateless accounts.")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, (add_arguments, run, purpose) in COMMANDS.items():
        command = subparsers.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        add_arguments(command)
        command.add_output_options()
        command.set_defaults(run=run)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run `accounts image ARGV`; returns the exit status."""
    parser = make_parser()
    # Rows have no cycles; looking for some among 60,000 accounts is a quarter of the time of seed.
    gc.disable()
    try:
        return run_command(parser, argv, _run)
    finally:
        gc.enable()


def _run(arguments: argparse.Namespace) -> int:
    if "live" in arguments and not arguments.live:
        refuse_running(arguments.root)
    # Told at the end: a name may be misspelt, and then nothing has been compared.
    ledger: Path | None = arguments.ledger if "ledger" in arguments else None
    new = None if ledger is None or ledger.exists() else ledger
    outcome: ImageOutcome = arguments.run(arguments)
    progress.hide()
    if arguments.json:
        print_json(outcome.to_json())
    else:
        write_all(2, outcome.complaints)
        for note in outcome.notes:
            complain(arguments.prog, note)
        if new is not None and new.exists():
            complain(arguments.prog, f"{new} is new: no id was compared with those of an earlier build")
        write_out(outcome.text or "".join(f"{line}\n" for line in outcome.lines if not arguments.quiet))
    return FOUND if outcome.failed else FINE


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=parse_path, metavar="ROOT", help="the root directory of the image")


def _add_changed_root(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    parser.add_argument("--live", action="store_true", help="ROOT may be the system that runs, with its people")


def _add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ledger", type=parse_path, metavar="FILE", help="id ledger that parallel builds share")
    parser.add_argument(
        "--previous",
        action="append",
        default=[],
        type=not_empty,
        metavar="ROOT|FILE",
        help="an earlier image, or its ledger",
    )
    parser.add_argument(
        "--pins",
        action="append",
        default=[],
        type=not_empty,
        metavar="[FORMAT=]FILE",
        help="fixed ids: ledger, passwd or group (OpenEmbedded's id tables), json (rpm-ostree), sysusers",
    )


def _add_severity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--severity",
        dest="severities",
        action="append",
        default=[],
        type=_parse_severity,
        metavar="FINDING=SEVERITY",
        help=f"how bad a finding is: {', '.join(SEVERITIES)}; findings: {', '.join(RULES)}",
    )


def _parse_severity(text: str) -> tuple[str, str]:
    name, equals, severity = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not FINDING=SEVERITY")
    if name not in RULES:
        hint = suggest(name, RULES) or f": there are {', '.join(RULES)}"
        raise argparse.ArgumentTypeError(f"there is no finding '{name}'{hint}")
    if severity not in SEVERITIES:
        raise argparse.ArgumentTypeError(f"there is no severity '{severity}': there are {', '.join(SEVERITIES)}")
    return name, severity


def _rules(text: str) -> str:
    """A rule file; what --rule was once for, and argparse takes for --rules, is none."""
    if text.partition("=")[0] in RULES:
        raise argparse.ArgumentTypeError(f"'{text}' is no file, did you mean --severity {text}?")
    return not_empty(text)


def _add_seed(parser: argparse.ArgumentParser) -> None:
    _add_changed_root(parser)
    parser.add_argument(
        "--keep", action="append", default=[], metavar="NAME", help="a user or group that stays in /etc (a pattern)"
    )
    parser.add_argument("--keep-human", action="store_true", help="users and groups from UID_MIN, GID_MIN stay")
    parser.add_argument("--no-config", action="store_true", help="leave login.defs, shells, skel and so on in /etc")
    parser.add_argument(
        "--save-names",
        type=parse_path,
        metavar="DIR",
        help="write a passwd and a group file of all names there, for PSEUDO_PASSWD or later chown calls",
    )
    _add_sources(parser)
    _add_severity(parser)


def _add_pin(parser: argparse.ArgumentParser) -> None:
    _add_changed_root(parser)
    _add_sources(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    _add_sources(parser)
    _add_severity(parser)
    parser.add_argument(
        "--rules", nargs="+", action="extend", type=_rules, default=[], metavar="FILE", help="what /etc may keep"
    )
    parser.add_argument(
        "--machine",
        action=argparse.BooleanOptionalAction,
        help="ROOT is a machine with accounts of its own, not an image; without this, when it is the system that runs",
    )


def _add_stateless(parser: argparse.ArgumentParser) -> None:
    _add_changed_root(parser)
    parser.add_argument(
        "--rules", nargs="+", action="extend", type=_rules, default=[], metavar="FILE", help="rule files"
    )
    parser.add_argument(
        "--suggest", action="store_true", help="change nothing; print drafts of rules for what no rule takes"
    )
    parser.add_argument(
        "--check-empty", choices=("no", "warn", "error"), default="no", help="list what is left; error fails"
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=not_empty, metavar="FILE", help="rule files, each a set of its own")
    parser.add_argument("--together", action="store_true", help="as one set, in this order")


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", type=parse_path, metavar="OLD", help="root of the image that a machine runs")
    parser.add_argument("new", type=parse_path, metavar="NEW", help="root of its update")
    parser.add_argument(
        "--etc", type=parse_path, metavar="DIR", help="the machine's /etc, or the overlay's upper directory"
    )


def _add_wire(parser: argparse.ArgumentParser) -> None:
    _add_changed_root(parser)
    parser.add_argument(
        "--boot",
        action=argparse.BooleanOptionalAction,
        help="link nsswitch.conf at boot, or now; without this, at boot where the root has systemd",
    )
    parser.add_argument(
        "--pam", action="store_true", help="users of the image change their passwords: pam_accounts.so before pam_unix"
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument(
        "--sysusers", type=parse_path, metavar="DIR", help="write sysusers.d(5) lines to DIR/accounts.conf"
    )
    form.add_argument(
        "--userdb", type=parse_path, metavar="DIR", help="write systemd's JSON user and group records to DIR"
    )


def _add_import(parser: argparse.ArgumentParser) -> None:
    _add_changed_root(parser)
    parser.add_argument(
        "files", nargs="*", type=parse_path, metavar="FILE", help="sysusers.d(5) files; without any, those of the root"
    )
    _add_sources(parser)


Command = tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], ImageOutcome], str]
COMMANDS: dict[str, Command] = {
    "seed": (_add_seed, commands.run_seed, "move the accounts of a root to its image layer and keep its id ledger"),
    "pin": (_add_pin, commands.run_pin, "give accounts, and their files, the ids that are known of them"),
    "index": (_add_changed_root, commands.run_index, "write the indexes of the account files for the NSS module"),
    "check": (_add_check, commands.run_check, "check the accounts, ids and wiring of a root"),
    "stateless": (_add_stateless, commands.run_stateless, "empty /etc by rules"),
    "lint-rules": (_add_files, commands.run_lint_rules, "check rule files"),
    "diff": (_add_diff, commands.run_diff, "what of an update a machine sees, and what its /etc hides"),
    "wire": (_add_wire, commands.run_wire, "have programs find the image layer: nsswitch.conf, boot unit, pam.d"),
    "export": (_add_export, commands.run_export, "write the accounts of a root as sysusers.d lines or userdb records"),
    "thaw": (_add_root, commands.run_thaw, "put the image's rows into /etc, for programs that read it themselves"),
    "freeze": (_add_root, commands.run_freeze, "drop the rows of /etc that say what the image says"),
    "import": (_add_import, commands.run_import, "add the accounts of sysusers.d to the image layer"),
}
