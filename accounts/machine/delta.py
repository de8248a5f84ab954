# SPDX-License-Identifier: MIT
"""What each row of the local layer is, compared with the image's row of its name. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from accounts.machine.words import ORDER
from accounts.model.database import Database, Layered
from accounts.model.policy import DATABASES

# In shadow's order of locking.
FILES = ("passwd", "group", "gshadow", "shadow", "subuid", "subgid")


class Kind(StrEnum):
    """The forms of docs/contract.md, and those that a minimal delta has not."""

    OWN = "own"
    MEMBERS = "members"
    OVERRIDE = "override"
    EQUAL = "equal"
    # Behind a row of the same name: neither NSS nor an edit sees it.
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class LocalRow:
    """A valid row of /etc. position: in its table; image: the image's row of that name, a Record, or None."""

    database: str
    kind: Kind
    position: int
    local: Any
    image: Any

    @property
    def name(self) -> bytes:
        """The account's name."""
        name: bytes = self.local.name
        return name

    @property
    def members(self) -> tuple[bytes, ...]:
        """The members that the row adds to the image's (none for a database without members)."""
        theirs = set(getattr(self.image, "members", ()))
        return tuple(dict.fromkeys(user for user in getattr(self.local, "members", ()) if user not in theirs))


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field, as records name it, with the image's value and the one in force: bytes, int, None or tuples."""

    field: str
    image: Any
    local: Any


def local_rows(layered: Layered) -> Iterator[LocalRow]:
    """All valid rows of a database's local file, in its order."""
    seen: set[bytes] = set()
    for position, local in layered.local.entries():
        image = layered.image.get(local.name) if layered.image.data else None
        kind = Kind.REPEATED if local.name in seen else classify(layered, local, image)
        seen.add(local.name)
        yield LocalRow(layered.name, kind, position, local, image)


def classify(layered: Layered, local: Any, image: Any) -> Kind:
    """The form of a local row over the image's row of its name, which may be None."""
    if image is None:
        return Kind.OWN
    if not merges(layered, local, image):
        return Kind.EQUAL if local == image else Kind.OVERRIDE
    if local.passwd != image.passwd:
        return Kind.OVERRIDE
    known = set(image.members)
    return Kind.MEMBERS if any(user not in known for user in local.members) else Kind.EQUAL


def merges(layered: Layered, local: Any, image: Any) -> bool:
    """Whether NSS joins the two rows of a group: only when the GIDs agree."""
    return layered.merge and image is not None and local.gid == image.gid


def changed_fields(layered: Layered, row: LocalRow) -> list[FieldChange]:
    """The fields in which the view differs from the image; the members of a merged group are left out."""
    skipped = ("members",) if merges(layered, row.local, row.image) else ()
    changes = []
    for field in ORDER[row.database]:
        ours, theirs = getattr(row.local, field), getattr(row.image, field)
        if isinstance(ours, tuple):
            # Their order says nothing.
            ours, theirs = tuple(sorted(set(ours))), tuple(sorted(set(theirs)))
        if ours != theirs and field not in skipped:
            changes.append(FieldChange(field, theirs, ours))
    return changes


def has_image(database: Database) -> bool:
    """Whether the root has an image layer that NSS reads."""
    return any(database.tables[name].image.present for name in DATABASES)
