# SPDX-License-Identifier: MIT
"""The whole of `accounts image seed`: the ids are checked, then the accounts move, then the ledger is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accounts import progress
from accounts.image.findings import (
    Finding,
    Findings,
    check_ids,
    check_names,
    check_owners,
    check_rows,
    find_unowned,
)
from accounts.image.idsources import IdSources, gather
from accounts.image.layers import Layers, locked
from accounts.image.ledger import PATH, Ledger, open_shared
from accounts.image.seed import Seeded, seed
from accounts.image.tree import Tree
from accounts.image.uses import find_uses

NO_SOURCES = IdSources()


@dataclass
class Built:
    """What seed_image() did: seeded is None when a finding failed the build and nothing was changed."""

    findings: list[Finding]
    seeded: Seeded | None = None


@contextmanager
def shared_ledger(path: Path | None) -> Iterator[Ledger | None]:
    """ledger.open_shared(), or None without a path."""
    if path is None:
        yield None
    else:
        with open_shared(path) as shared:
            yield shared


def seed_image(
    root: Path,
    *,
    keep: Iterable[str] = (),
    keep_human: bool = False,
    configuration: bool = True,
    save_names: Path | None = None,
    ids: IdSources = NO_SOURCES,
    severities: dict[str, str] | None = None,
    source_date_epoch: int | None = None,
) -> Built:
    """Check the accounts of a root, seed its image layer and write its id ledger.

    keep to save_names, source_date_epoch: as seed(). ids: their ledger is locked while the ids are compared and added.
    severities: rule -> severity.

    A finding that fails changes neither the root nor the shared ledger. Raises LedgerBusy, BadArgument, OSError.
    """
    findings = Findings(severities)
    with Tree(root) as tree:
        with locked(tree, root) as (_, notes):
            pass  # what the findings are about is the state that seed() will find
        layers = Layers(tree, root)
        progress.begin("reading configuration")
        uses = find_uses(tree)
        progress.begin("checking accounts")
        check_rows(layers, findings)
        check_names(layers, uses, findings)
        # The walk takes seconds, so it comes before the lock.
        unowned = find_unowned(layers)
        with shared_ledger(ids.ledger) as shared:
            known = gather(layers, shared, ids.previous, ids.pins)
            check_ids(layers, known, uses, findings)
            check_owners(unowned, known, findings)
            if shared is not None and not findings.failed:
                shared.register(layers.ids)
                shared.register_ranges(layers.ranges)
        built = Built(findings.found)
        if findings.failed:
            return built
        built.seeded = seed(
            root,
            keep=keep,
            keep_human=keep_human,
            configuration=configuration,
            source_date_epoch=source_date_epoch,
            save_names=save_names,
        )
        built.seeded.notes[:0] = notes
        text = known.ledger.describe(layers.ids, layers.ranges).format_text()
    with Tree(root, source_date_epoch) as tree:
        tree.write(PATH, text)
    return built
