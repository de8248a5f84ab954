# SPDX-License-Identifier: MIT
"""Databases of two layers from texts, and what an edit leaves to be written."""

from __future__ import annotations

from collections.abc import Mapping

from accounts.model.database import KINDS, Base, Database, Hides
from accounts.model.hidden import parse_hidden
from accounts.model.policy import default_policy
from accounts.model.table import Table

Files = dict[str, bytes | None]


def make_database(
    local: Mapping[str, bytes],
    image: Mapping[str, bytes],
    *,
    merge: bool = True,
    base: bytes = b"",
    hidden: bytes = b"",
    honoured: bool = False,
) -> Database:
    """local, image: file name -> its text. honoured: whether NSS takes notice of hide rows."""
    return Database(
        {name: Table(KINDS[name], data) for name, data in local.items()},
        {name: Table(KINDS[name], data) for name, data in image.items()},
        default_policy(merge),
        Base(base),
        Hides(hidden, parse_hidden(hidden) or (), lambda: honoured),
    )


def changes(database: Database) -> Files:
    """Name below /etc -> new text of each local file that changes, None for one that goes."""
    return {name: new for name, _, new in database.render_changes()}
