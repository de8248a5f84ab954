# SPDX-License-Identifier: MIT
"""`accounts image ...`: what an image build calls. Never on a hot path, so argparse does the arguments.

Exit status: 0 fine, 1 findings that fail the build, 2 wrong usage, 3 bad input or an error of the system.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from accounts.cli.run import write_all
from accounts.errors import AccountsError, BadArgument
from accounts.image.findings import RULES, SEVERITIES

if TYPE_CHECKING:
    from accounts.image.findings import Finding

FINE, FAILED, USAGE, BAD_INPUT = range(4)
# How many findings of a rule, and files of a finding, a table for people shows.
SHOWN = 10


class _Parser(argparse.ArgumentParser):
    """argparse with its errors in one line."""

    def error(self, message: str) -> NoReturn:
        write_all(2, f"{self.prog}: {message}; see {self.prog} --help\n")
        self.exit(USAGE)

    def _print_message(self, message: str, file: object = None) -> None:
        write_all(1, message)


def main(argv: Sequence[str]) -> int:
    """Run `accounts image ARGV`; returns the exit status."""
    parser = _Parser(prog="accounts image", description="Build an image with stateless accounts.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for name, (add_arguments, run, purpose) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        add_arguments(command)
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        command.set_defaults(run=run, prog=command.prog)
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else USAGE
    try:
        status: int = arguments.run(arguments)
        return status
    except AccountsError as error:
        _complain(arguments, "; ".join([*error.details, *([error.message] if error.message else [])]))
    except OSError as error:
        path = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        _complain(arguments, f"{path}{error.strerror}")
    return BAD_INPUT


def source_date_epoch() -> int | None:
    """SOURCE_DATE_EPOCH of the environment, in seconds; None without it. Raises BadArgument.

    The specification has builds fail on a value that is not a number or lies in the future.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdecimal()):
        raise BadArgument(f"SOURCE_DATE_EPOCH is not a number of seconds: {text}")
    if int(text) > time.time():
        raise BadArgument(f"SOURCE_DATE_EPOCH is in the future: {text}")
    return int(text)


# -- arguments ---------------------------------------------------------------------------------------------


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=Path, metavar="ROOT", help="the root directory of the image")


def _add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="id ledger that parallel builds share")
    parser.add_argument(
        "--previous", action="append", default=[], metavar="ROOT|FILE", help="an earlier image, or its ledger"
    )
    parser.add_argument(
        "--pins",
        action="append",
        default=[],
        metavar="[FORMAT=]FILE",
        help="fixed ids: ledger, passwd or group (OpenEmbedded's id tables), json (rpm-ostree), sysusers",
    )


def _add_rule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rule",
        action="append",
        default=[],
        type=_parse_rule,
        metavar="NAME=SEVERITY",
        help=f"how bad a finding is: {', '.join(SEVERITIES)}; rules: {', '.join(RULES)}",
    )


def _parse_rule(text: str) -> tuple[str, str]:
    name, _, severity = text.partition("=")
    if name not in RULES or severity not in SEVERITIES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=SEVERITY with NAME of {', '.join(RULES)} and SEVERITY of {', '.join(SEVERITIES)}"
        )
    return name, severity


def _add_seed(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    parser.add_argument(
        "--keep", action="append", default=[], metavar="NAME", help="a user or group that stays in /etc (a pattern)"
    )
    parser.add_argument("--keep-human", action="store_true", help="users and groups from UID_MIN, GID_MIN stay")
    parser.add_argument("--no-config", action="store_true", help="leave login.defs, shells, skel and so on in /etc")
    parser.add_argument(
        "--save-names",
        type=Path,
        metavar="DIR",
        help="write a passwd and a group file of all names there, for PSEUDO_PASSWD or later chown calls",
    )
    _add_sources(parser)
    _add_rule(parser)


def _add_pin(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    _add_sources(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    _add_sources(parser)
    _add_rule(parser)
    parser.add_argument("--rules", nargs="+", action="extend", default=[], metavar="FILE", help="what /etc may keep")


def _add_stateless(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    parser.add_argument("--rules", nargs="+", action="extend", required=True, metavar="FILE", help="rule files")
    parser.add_argument(
        "--check-empty", choices=("no", "warn", "error"), default="no", help="list what is left; error fails"
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="rule files, each a set of its own")
    parser.add_argument("--together", action="store_true", help="as one set, in this order")


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", type=Path, metavar="OLD", help="root of the image that a machine runs")
    parser.add_argument("new", type=Path, metavar="NEW", help="root of its update")
    parser.add_argument("--etc", type=Path, metavar="DIR", help="the machine's /etc, or the overlay's upper directory")


def _add_wire(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    parser.add_argument(
        "--boot",
        action=argparse.BooleanOptionalAction,
        help="link nsswitch.conf at boot, or now; without this, at boot where the root has systemd",
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--sysusers", type=Path, metavar="DIR", help="write sysusers.d(5) lines to DIR/accounts.conf")
    form.add_argument("--userdb", type=Path, metavar="DIR", help="write systemd's JSON user and group records to DIR")


def _add_import(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="sysusers.d(5) files; without any, those of the root"
    )
    _add_sources(parser)


# -- commands ----------------------------------------------------------------------------------------------


def _seed(arguments: argparse.Namespace) -> int:
    from accounts.image.build import seed_image

    built = seed_image(
        arguments.root,
        keep=arguments.keep,
        keep_human=arguments.keep_human,
        configuration=not arguments.no_config,
        save_names=arguments.save_names,
        ledger=arguments.ledger,
        previous=arguments.previous,
        pins=arguments.pins,
        severities=dict(arguments.rule),
        source_date_epoch=source_date_epoch(),
    )
    seeded = built.seeded
    if arguments.json:
        result = {} if seeded is None else asdict(seeded)
        _print_json(result | {"ok": seeded is not None, "findings": [one.to_json() for one in built.findings]})
    else:
        write_all(2, format_findings(built.findings))
        if seeded is None:
            _complain(arguments, "nothing was changed")
        else:
            for note in seeded.notes:
                _complain(arguments, note)
            moved = ", ".join(f"{len(names)} {database}" for database, names in seeded.moved.items())
            _print(f"{arguments.root}: moved {moved}; {_count(seeded.kept, 'name')} kept in /etc")
    return FAILED if seeded is None else FINE


def _pin(arguments: argparse.Namespace) -> int:
    from accounts.image.build import shared_ledger
    from accounts.image.pin import pin

    with shared_ledger(arguments.ledger) as shared:
        pinned = pin(
            arguments.root,
            shared=shared,
            previous=arguments.previous,
            pins=arguments.pins,
            source_date_epoch=source_date_epoch(),
        )
    if arguments.json:
        _print_json(asdict(pinned))
        return FINE
    for database, name, old, new in pinned.changes:
        _print(f"{database} {name}: {old} -> {new}")
    for note in pinned.notes:
        _complain(arguments, note)
    _print(f"{arguments.root}: {_count(pinned.changes, 'id')} changed, {pinned.files} files given to their accounts")
    return FINE


def _check(arguments: argparse.Namespace) -> int:
    from accounts.image.check import check
    from accounts.image.ledger import load
    from accounts.image.rules import load_rules

    if arguments.ledger is not None and not arguments.ledger.exists():
        raise BadArgument(f"{arguments.ledger}: no such file")
    checked = check(
        arguments.root,
        shared=None if arguments.ledger is None else load(arguments.ledger),
        previous=arguments.previous,
        pins=arguments.pins,
        severities=dict(arguments.rule),
        rules=load_rules(arguments.rules) if arguments.rules else None,
    )
    if arguments.json:
        _print_json({"root": str(arguments.root)} | checked.to_json())
    else:
        for name, text in checked.facts.items():
            _print(f"{name:15} {text}")
        write_all(1, format_findings(checked.findings))
        _print(f"{arguments.root}: {'failed' if checked.failed else 'fine'}, {_count(checked.findings, 'finding')}")
    return FAILED if checked.failed else FINE


def _stateless(arguments: argparse.Namespace) -> int:
    from accounts.image.rules import load_rules
    from accounts.image.stateless import apply_rules

    report = apply_rules(
        arguments.root,
        load_rules(arguments.rules),
        check_empty=arguments.check_empty,
        source_date_epoch=source_date_epoch(),
    )
    if arguments.json:
        _print_json({"ok": not report.failed} | asdict(report))
        return FAILED if report.failed else FINE
    for link in report.dangling:
        _complain(arguments, f"points to nothing now: {link}")
    for line in report.disabled:
        _complain(arguments, f"disabled: {line}")
    if report.check_empty != "no":
        for path in report.left:
            _complain(arguments, f"left in /etc: {path}")
    _print(
        f"{arguments.root}: moved {len(report.moved)}, removed {len(report.removed)}, kept {len(report.kept)}, "
        f"{_count(report.factory, 'line')} of tmpfiles.d, {len(report.left)} left over; "
        f"{_count(report.unused, 'rule')} matched nothing (--json lists them)"
    )
    return FAILED if report.failed else FINE


def _lint_rules(arguments: argparse.Namespace) -> int:
    from accounts.image.rules import lint_rules, load_rules

    sets = [arguments.files] if arguments.together else [[file] for file in arguments.files]
    # A file that several sets include is linted with each of them, and told of once.
    found = list(dict.fromkeys(one for files in sets for one in lint_rules(load_rules(files))))
    if arguments.json:
        _print_json({"ok": not found, "findings": [asdict(one) for one in found]})
    else:
        for one in found:
            _print(str(one))
    return FAILED if found else FINE


def _diff(arguments: argparse.Namespace) -> int:
    from accounts.image.diff import diff_images

    changes = diff_images(arguments.old, arguments.new, etc=arguments.etc)
    if arguments.json:
        _print_json({"changes": [asdict(change) for change in changes]})
    else:
        for change in changes:
            _print(str(change))
    return FINE


def _wire(arguments: argparse.Namespace) -> int:
    from accounts.image.wire import wire

    wired = wire(arguments.root, boot=arguments.boot, source_date_epoch=source_date_epoch())
    if arguments.json:
        _print_json(asdict(wired))
        return FINE
    for note in wired.notes:
        _complain(arguments, note)
    where = "linked at boot" if wired.boot else "a link in /etc"
    _print(f"{arguments.root}: {_count(wired.changed, 'path')} changed; nsswitch.conf is {where}")
    return FINE


def _export(arguments: argparse.Namespace) -> int:
    from accounts.image.export import export_sysusers, export_userdb

    if arguments.sysusers is not None:
        lost = export_sysusers(arguments.root, arguments.sysusers)
    else:
        lost = export_userdb(arguments.root, arguments.userdb)
    if arguments.json:
        _print_json({"lost": lost})
        return FINE
    for sentence in lost:
        _complain(arguments, sentence)
    return FINE


def _import(arguments: argparse.Namespace) -> int:
    from accounts.image.build import shared_ledger
    from accounts.image.importer import import_sysusers

    with shared_ledger(arguments.ledger) as shared:
        imported = import_sysusers(
            arguments.root,
            arguments.files,
            shared=shared,
            previous=arguments.previous,
            pins=arguments.pins,
            source_date_epoch=source_date_epoch(),
        )
    if arguments.json:
        _print_json(asdict(imported))
        return FINE
    for note in imported.notes:
        _complain(arguments, note)
    for kind, name in imported.added:
        _print(f"{kind} {name}")
    return FINE


Command = tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int], str]
COMMANDS: dict[str, Command] = {
    "seed": (_add_seed, _seed, "move the accounts of a root to its image layer and keep its id ledger"),
    "pin": (_add_pin, _pin, "give accounts, and their files, the ids that are known of them"),
    "check": (_add_check, _check, "check the accounts, ids and wiring of a root"),
    "stateless": (_add_stateless, _stateless, "empty /etc by rules"),
    "lint-rules": (_add_files, _lint_rules, "check rule files"),
    "diff": (_add_diff, _diff, "what of an update a machine sees, and what its /etc hides"),
    "wire": (_add_wire, _wire, "have programs find the image layer: nsswitch.conf, boot unit, pam.d"),
    "export": (_add_export, _export, "write the accounts of a root as sysusers.d lines or userdb records"),
    "import": (_add_import, _import, "add the accounts of sysusers.d to the image layer"),
}


# -- printing ----------------------------------------------------------------------------------------------


def format_findings(findings: Iterable[Finding]) -> str:
    """A table of findings for people: severity, rule, what; of very many of a rule the first ones."""
    lines = []
    counts: dict[str, int] = {}
    for one in findings:
        counts[one.rule] = counts.get(one.rule, 0) + 1
        if counts[one.rule] > SHOWN:
            continue
        lines.append(f"{one.severity:5} {one.rule:17} {one.message}")
        if one.files and one.message.find(one.files[0]) < 0:
            lines += [f"{'':24}{path}" for path in one.files[:SHOWN]]
            if len(one.files) > SHOWN:
                lines.append(f"{'':24}... and {len(one.files) - SHOWN} more (--json lists them)")
    for rule, count in counts.items():
        if count > SHOWN:
            lines.append(f"{'':5} {rule:17} ... and {count - SHOWN} more (--json lists them)")
    return "".join(line + "\n" for line in lines)


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _complain(arguments: argparse.Namespace, message: str) -> None:
    write_all(2, f"{arguments.prog}: {message}\n".replace("\n", " ").rstrip() + "\n")


def _print(line: str) -> None:
    write_all(1, line + "\n")


def _print_json(result: dict[str, Any]) -> None:
    write_all(1, json.dumps(result, indent=2, sort_keys=True) + "\n")
