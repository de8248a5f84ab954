# SPDX-License-Identifier: MIT
"""A local row over an image that has changed: three ways, field by field. Pure.

base is the image's row that the local one was made from, image the one there is now. A field that only one
side has changed is that side's; one that both have changed alike is settled; else there is a conflict, the
local value stays, and so does the base's, so that the conflict is found again until somebody decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from accounts.machine.words import ORDER


class Take(StrEnum):
    """Whose value a conflict ends with."""

    IMAGE = "image"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field that both sides have changed, as names and values of records."""

    field: str
    base: Any
    image: Any
    local: Any


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of a row. record: the row of the view; base: what it is based on now; taken: fields from the image."""

    record: Any
    base: Any
    taken: tuple[str, ...]
    conflicts: tuple[FieldConflict, ...]


def merge_row(database: str, local: Any, image: Any, base: Any | None, take: Take | None = None) -> Merged:
    """Merge one row. base None: nothing is known, so all that differs is taken for a local change.

    take: whose values conflicts end with, None leaves them conflicts.
    """
    base = image if base is None else base
    values: dict[str, Any] = {}
    based = {field: getattr(image, field) for field in ORDER[database]}
    conflicts = []
    for field in ORDER[database]:
        if field == "lstchg":
            continue
        ours, theirs, common = getattr(local, field), getattr(image, field), getattr(base, field)
        if isinstance(ours, tuple):
            values[field] = _merge_lists(ours, theirs, common)
        elif ours in (theirs, common):
            values[field] = theirs
        elif theirs == common:
            values[field] = ours
        elif take is not None:
            values[field] = theirs if take == Take.IMAGE else ours
        else:
            values[field] = ours
            based[field] = common
            conflicts.append(FieldConflict(field, common, theirs, ours))
    if database == "shadow":
        values["lstchg"] = _merge_day(local, image, base, values["passwd"])
        if based["passwd"] != image.passwd:
            based["lstchg"] = base.lstchg
    taken = tuple(field for field in ORDER[database] if values[field] != getattr(local, field))
    return Merged(local.replace(**values), image.replace(**based), taken, tuple(conflicts))


def _merge_day(local: Any, image: Any, base: Any, passwd: bytes) -> int:
    """The day of the last change goes with the password that came out.

    An image that was built later has another day in each row, which is no reason to ask anybody.
    """
    if passwd != local.passwd or (local.passwd != base.passwd and local.passwd == image.passwd):
        day: int = image.lstchg
    elif local.passwd != base.passwd or local.lstchg != base.lstchg:
        day = local.lstchg
    else:
        day = image.lstchg
    return day


def _merge_lists(local: tuple[bytes, ...], image: tuple[bytes, ...], base: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Members or administrators: what was added here is added, what was removed here is removed."""
    removed = set(base) - set(local)
    added = [user for user in dict.fromkeys(local) if user not in base]
    merged = tuple(dict.fromkeys((*(user for user in image if user not in removed), *added)))
    return local if set(merged) == set(local) else merged


def merge_member_row(local: Any, image: Any, base: Any | None, take: Take | None = None) -> Merged:
    """Merge a row of a group that NSS joins with the image's: it has the image's GID and only further members.

    The record is the local row, not the view; without members and with the image's password it is needless.
    """
    # What the image listed once and lists no more is no addition of this machine's.
    known = {*image.members, *(() if base is None else base.members)}
    members = tuple(dict.fromkeys(user for user in local.members if user and user not in known))
    ours, theirs = local.replace(gid=image.gid, members=()), image.replace(members=())
    common = None if base is None else base.replace(gid=image.gid, members=())
    merged = merge_row("group", ours, theirs, common, take)
    record = merged.record.replace(members=members)
    taken = tuple(field for field in ORDER["group"] if getattr(record, field) != getattr(local, field))
    return Merged(record, merged.base.replace(members=image.members), taken, merged.conflicts)
