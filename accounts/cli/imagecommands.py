# SPDX-License-Identifier: MIT
"""What each `accounts image` command calls with its arguments; it answers what there is to tell."""

from __future__ import annotations

import argparse
from typing import Any

from accounts.errors import BadArgument, Usage
from accounts.image import outcome
from accounts.image.environment import is_running, source_date_epoch
from accounts.image.outcome import ImageOutcome


def _sources(arguments: argparse.Namespace) -> dict[str, Any]:
    """Where ids are known from, and the time of the build."""
    return {"previous": arguments.previous, "pins": arguments.pins, "source_date_epoch": source_date_epoch()}


def run_seed(arguments: argparse.Namespace) -> ImageOutcome:
    """Seed, unless a finding fails."""
    from accounts.image.idsources import IdSources
    from accounts.image.seed_image import seed_image

    built = seed_image(
        arguments.root,
        keep=arguments.keep,
        keep_human=arguments.keep_human,
        configuration=not arguments.no_config,
        save_names=arguments.save_names,
        ids=IdSources(arguments.ledger, arguments.previous, arguments.pins),
        severities=dict(arguments.severities),
        source_date_epoch=source_date_epoch(),
    )
    return outcome.tell_seed(arguments.root, built)


def run_pin(arguments: argparse.Namespace) -> ImageOutcome:
    """Pin."""
    from accounts.image.pin import pin
    from accounts.image.seed_image import shared_ledger

    with shared_ledger(arguments.ledger) as shared:
        pinned = pin(arguments.root, shared=shared, **_sources(arguments))
    return outcome.tell_pin(arguments.root, pinned)


def run_index(arguments: argparse.Namespace) -> ImageOutcome:
    """Write the indexes."""
    from accounts.image.index import index_image

    return outcome.tell_index(arguments.root, index_image(arguments.root, source_date_epoch=source_date_epoch()))


def run_check(arguments: argparse.Namespace) -> ImageOutcome:
    """Check."""
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
        severities=dict(arguments.severities),
        rules=load_rules(arguments.rules) if arguments.rules else None,
        machine=is_running(arguments.root) if arguments.machine is None else arguments.machine,
    )
    return outcome.tell_check(arguments.root, checked)


def run_stateless(arguments: argparse.Namespace) -> ImageOutcome:
    """Apply rules, or suggest some."""
    from accounts.image.rules import load_rules

    rules = load_rules(arguments.rules)
    if arguments.suggest:
        from accounts.image.suggest import suggest_rules
        from accounts.image.tree import Tree

        with Tree(arguments.root) as tree:
            text = suggest_rules(tree, rules)
        return ImageOutcome({"rules": text}, text=text)
    if not arguments.rules:
        raise Usage("--rules or --suggest is needed")
    from accounts.image.stateless import apply_rules

    report = apply_rules(
        arguments.root, rules, check_empty=arguments.check_empty, source_date_epoch=source_date_epoch()
    )
    return outcome.tell_stateless(arguments.root, report)


def run_lint_rules(arguments: argparse.Namespace) -> ImageOutcome:
    """Look for the faults of rule files."""
    from accounts.image.rules import lint_rules, load_rules

    sets = [arguments.files] if arguments.together else [[file] for file in arguments.files]
    # A file that several sets include is linted with each of them, and told of once.
    return outcome.tell_lint(list(dict.fromkeys(one for files in sets for one in lint_rules(load_rules(files)))))


def run_diff(arguments: argparse.Namespace) -> ImageOutcome:
    """Compare two images."""
    from accounts.image.diff import diff_images

    return outcome.tell_diff(diff_images(arguments.old, arguments.new, etc=arguments.etc))


def run_wire(arguments: argparse.Namespace) -> ImageOutcome:
    """Wire."""
    from accounts.image.wire import wire

    wired = wire(arguments.root, boot=arguments.boot, with_pam=arguments.pam, source_date_epoch=source_date_epoch())
    return outcome.tell_wire(arguments.root, wired)


def run_export(arguments: argparse.Namespace) -> ImageOutcome:
    """Export in one of the two forms."""
    from accounts.image.export import export_sysusers, export_userdb

    if arguments.sysusers is not None:
        return outcome.tell_export(export_sysusers(arguments.root, arguments.sysusers))
    return outcome.tell_export(export_userdb(arguments.root, arguments.userdb))


def run_import(arguments: argparse.Namespace) -> ImageOutcome:
    """Import."""
    from accounts.image.importer import import_sysusers
    from accounts.image.seed_image import shared_ledger

    with shared_ledger(arguments.ledger) as shared:
        return outcome.tell_import(
            import_sysusers(arguments.root, arguments.files, shared=shared, **_sources(arguments))
        )


def run_thaw(arguments: argparse.Namespace) -> ImageOutcome:
    """Thaw."""
    from accounts.image.thaw import thaw

    return outcome.tell_rows(arguments.root, thaw(arguments.root, live=is_running(arguments.root)), "came into")


def run_freeze(arguments: argparse.Namespace) -> ImageOutcome:
    """Freeze."""
    from accounts.image.thaw import freeze

    return outcome.tell_rows(arguments.root, freeze(arguments.root, live=is_running(arguments.root)), "left")
