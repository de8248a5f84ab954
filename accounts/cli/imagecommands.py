# SPDX-License-Identifier: MIT
"""What each `accounts image` command calls and prints. Each returns the exit status."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from accounts.cli.console import write_all
from accounts.cli.report import complain, count, format_findings, print_json, print_line
from accounts.errors import BadArgument

if TYPE_CHECKING:
    from accounts.image.rules import Rules
    from accounts.image.thaw import Rows

FINE, FAILED, USAGE, BAD_INPUT = range(4)


# systemd makes it when it has taken over a machine: sd_booted(3). A build in a container or chroot has none.
BOOTED = "/run/systemd/system"


def is_running(root: Path) -> bool:
    """Whether a root directory is that of the machine that runs, not of an image or of a build's container."""
    try:
        return os.path.samefile(root, "/") and os.path.isdir(BOOTED)
    except OSError:
        return False  # whoever opens it says why


def refuse_running(root: Path) -> None:
    """Raise BadArgument for the running machine: its /etc holds people's accounts, and its /usr is in use."""
    if is_running(root):
        raise BadArgument(f"{root} is the system that runs, not an image; say --live if that is what you mean")


def source_date_epoch() -> int | None:
    """SOURCE_DATE_EPOCH of the environment, in seconds; None without it. Raises BadArgument.

    The specification has builds fail on a value that is not a number or lies in the future.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdecimal()):
        raise BadArgument(f"SOURCE_DATE_EPOCH is not a number of seconds: {text}")
    # More digits than any time has, and than int() takes.
    if len(text) > 20 or int(text) > time.time():
        raise BadArgument(f"SOURCE_DATE_EPOCH is in the future: {text}")
    return int(text)


def run_seed(arguments: argparse.Namespace) -> int:
    """Seed, and tell what moved or why nothing did."""
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
        print_json(result | {"ok": seeded is not None, "findings": [one.to_json() for one in built.findings]})
    else:
        write_all(2, format_findings(built.findings))
        if seeded is None:
            complain(arguments.prog, "nothing was changed")
        else:
            for note in seeded.notes:
                complain(arguments.prog, note)
            moved = ", ".join(f"{len(names)} {database}" for database, names in seeded.moved.items())
            print_line(f"{arguments.root}: moved {moved}; {count(seeded.kept, 'name')} kept in /etc")
    return FAILED if seeded is None else FINE


def run_pin(arguments: argparse.Namespace) -> int:
    """Pin, and list the ids that changed."""
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
        print_json(asdict(pinned))
        return FINE
    for database, name, old, new in pinned.changes:
        print_line(f"{database} {name}: {old} -> {new}")
    for note in pinned.notes:
        complain(arguments.prog, note)
    print_line(f"{arguments.root}: {count(pinned.changes, 'id')} changed, {pinned.files} files given to their accounts")
    return FINE


def run_index(arguments: argparse.Namespace) -> int:
    """Write the indexes, and tell which were not right."""
    from accounts.image.index import index_image

    indexed = index_image(arguments.root, source_date_epoch=source_date_epoch())
    if arguments.json:
        print_json(asdict(indexed))
    else:
        for path in indexed.removed:
            print_line(f"{path}: removed")
        print_line(f"{arguments.root}: {count(indexed.written, 'index file')} written")
    return FINE


def run_check(arguments: argparse.Namespace) -> int:
    """Check, and print facts and findings."""
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
        machine=is_running(arguments.root) if arguments.machine is None else arguments.machine,
    )
    if arguments.json:
        print_json({"root": str(arguments.root)} | checked.to_json())
    else:
        for name, text in checked.facts.items():
            print_line(f"{name:15} {text}")
        write_all(1, format_findings(checked.findings))
        print_line(f"{arguments.root}: {'failed' if checked.failed else 'fine'}, {count(checked.findings, 'finding')}")
    return FAILED if checked.failed else FINE


def run_stateless(arguments: argparse.Namespace) -> int:
    """Apply rules, and tell what is left; or suggest rules for that."""
    from accounts.image.rules import load_rules

    rules = load_rules(arguments.rules)
    if arguments.suggest:
        return _suggest(arguments, rules)
    if not arguments.rules:
        complain(arguments.prog, f"--rules or --suggest is needed; see {arguments.prog} --help")
        return USAGE
    from accounts.image.stateless import apply_rules

    report = apply_rules(
        arguments.root,
        rules,
        check_empty=arguments.check_empty,
        source_date_epoch=source_date_epoch(),
    )
    if arguments.json:
        print_json({"ok": not report.failed} | asdict(report))
        return FAILED if report.failed else FINE
    for link in report.dangling:
        complain(arguments.prog, f"points to nothing now: {link}")
    for line in report.disabled:
        complain(arguments.prog, f"disabled: {line}")
    if report.check_empty != "no":
        for path in report.left:
            complain(arguments.prog, f"left in /etc: {path}")
    print_line(
        f"{arguments.root}: moved {len(report.moved)}, removed {len(report.removed)}, kept {len(report.kept)}, "
        f"{count(report.factory, 'line')} of tmpfiles.d, {len(report.left)} left over; "
        f"{count(report.unused, 'rule')} matched nothing (--json lists them)"
    )
    return FAILED if report.failed else FINE


def _suggest(arguments: argparse.Namespace, rules: Rules) -> int:
    from accounts.image.suggest import suggest_rules
    from accounts.image.tree import Tree

    with Tree(arguments.root) as tree:
        text = suggest_rules(tree, rules)
    if arguments.json:
        print_json({"rules": text})
    else:
        write_all(1, text)
    return FINE


def run_lint_rules(arguments: argparse.Namespace) -> int:
    """Print the faults of rule files."""
    from accounts.image.rules import lint_rules, load_rules

    sets = [arguments.files] if arguments.together else [[file] for file in arguments.files]
    # A file that several sets include is linted with each of them, and told of once.
    found = list(dict.fromkeys(one for files in sets for one in lint_rules(load_rules(files))))
    if arguments.json:
        print_json({"ok": not found, "findings": [asdict(one) for one in found]})
    else:
        for one in found:
            print_line(str(one))
    return FAILED if found else FINE


def run_diff(arguments: argparse.Namespace) -> int:
    """Print what differs."""
    from accounts.image.diff import diff_images

    changes = diff_images(arguments.old, arguments.new, etc=arguments.etc)
    if arguments.json:
        print_json({"changes": [asdict(change) for change in changes]})
    else:
        for change in changes:
            print_line(str(change))
    return FINE


def run_wire(arguments: argparse.Namespace) -> int:
    """Wire, and tell what changed."""
    from accounts.image.wire import wire

    wired = wire(arguments.root, boot=arguments.boot, source_date_epoch=source_date_epoch())
    if arguments.json:
        print_json(asdict(wired))
        return FINE
    for note in wired.notes:
        complain(arguments.prog, note)
    where = "linked at boot" if wired.boot else "a link in /etc"
    print_line(f"{arguments.root}: {count(wired.changed, 'path')} changed; nsswitch.conf is {where}")
    return FINE


def run_export(arguments: argparse.Namespace) -> int:
    """Export, and tell what got lost."""
    from accounts.image.export import export_sysusers, export_userdb

    if arguments.sysusers is not None:
        lost = export_sysusers(arguments.root, arguments.sysusers)
    else:
        lost = export_userdb(arguments.root, arguments.userdb)
    if arguments.json:
        print_json({"lost": lost})
        return FINE
    for sentence in lost:
        complain(arguments.prog, sentence)
    return FINE


def run_import(arguments: argparse.Namespace) -> int:
    """Import, and list what is new."""
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
        print_json(asdict(imported))
        return FINE
    for note in imported.notes:
        complain(arguments.prog, note)
    for kind, name in imported.added:
        print_line(f"{kind} {name}")
    return FINE


def run_thaw(arguments: argparse.Namespace) -> int:
    """Thaw, and tell how many rows came."""
    from accounts.image.thaw import thaw

    return _tell_rows(arguments, thaw(arguments.root, live=is_running(arguments.root)), "came into")


def run_freeze(arguments: argparse.Namespace) -> int:
    """Freeze, and tell how many rows went."""
    from accounts.image.thaw import freeze

    return _tell_rows(arguments, freeze(arguments.root, live=is_running(arguments.root)), "left")


def _tell_rows(arguments: argparse.Namespace, rows: Rows, verb: str) -> int:
    if arguments.json:
        print_json(asdict(rows))
        return FINE
    for note in rows.notes:
        complain(arguments.prog, note)
    names = [name for names in rows.changed.values() for name in names]
    print_line(f"{arguments.root}: {count(names, 'row')} {verb} /etc")
    return FINE
