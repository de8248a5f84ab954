# SPDX-License-Identifier: MIT
"""`accounts rebase`: after an update, bring the local layer up to the image under it. Pure but for its caller.

Each override is merged three ways with its base record, the rows of groups get the image's GIDs, what became
equal goes. What only a human can decide stays as it is and is reported. Running it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from heapq import merge as merge_sorted
from typing import Any

from accounts import progress
from accounts.machine.delta import Kind, LocalRow, LocalRows, id_names, is_materialized, local_rows
from accounts.machine.merge import Merged, Take, merge_member_row, merge_row
from accounts.machine.words import describe_change, describe_value, shown
from accounts.model.database import ID_FIELDS, KINDS, Database, Layered

# Names first, then what hangs on them.
ORDERED = ("passwd", "group", "gshadow", "shadow")
# The database that says whether a name of another one exists.
PARENT = {"gshadow": "group", "shadow": "passwd"}
HID_NOTHING = "hid what the image does not have"
_BASED = "what differs from the image is taken for a local change"
# Steps that wait for somebody to decide.
OPEN = frozenset(("conflict", "orphan", "collision", "renumbered"))


@dataclass(slots=True)
class RebaseStep:
    """One thing that rebase did or left undone.

    what: merged (fields taken from the image), dropped (the row was needless), moved (a GID follows the image's),
    based (an override without a base record has one now), conflict, orphan (the image has removed the account),
    collision (an id or a name of the image that a local account has), renumbered (files are of an id that the image
    has changed). Those four are for a human.
    text: a sentence. fields: of a merged row and of a conflict.
    """

    what: str
    database: str
    name: bytes
    text: str
    fields: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether somebody has to decide."""
        return self.what in OPEN

    def __str__(self) -> str:
        return f"{self.what} {self.database} '{shown(self.name)}': {self.text}"


@dataclass
class RebaseReport:
    """All steps in order. settled: (database, name) of what the image has had once, and is this machine's now."""

    steps: list[RebaseStep] = field(default_factory=list)
    settled: set[tuple[str, bytes]] = field(default_factory=set)

    @property
    def open(self) -> list[RebaseStep]:
        """What somebody has to decide."""
        return [step for step in self.steps if step.what in OPEN]

    def to_log(self) -> list[RebaseStep]:
        """What was changed, whose str() are lines for syslog."""
        return [step for step in self.steps if step.what not in OPEN]

    def to_json(self) -> list[dict[str, Any]]:
        """The steps as docs/schemas/rebase.json."""
        return [asdict(step) | {"name": shown(step.name)} for step in self.steps]


class Rebase:
    """One run over a database, which is edited.

    take: whose value a conflict ends with; names: for which names (empty: all). keep_copies: whether rows that were
    copied from the image on purpose stay. known: (database, name) -> (id, how many) of accounts that an image has had
    here: a member row has no base record, and would be taken for this machine's own group when the image's goes.
    """

    def __init__(
        self,
        database: Database,
        take: Take | None = None,
        names: Collection[bytes] = (),
        keep_copies: bool = True,
        known: Mapping[tuple[str, bytes], tuple[int, int]] | None = None,
    ) -> None:
        self.database = database
        self._keep_copies = keep_copies
        self._known = known or {}
        self.report = RebaseReport()
        self._take = take
        self._names = frozenset(names)
        # Local accounts that made place for the image's; their secrets go as well.
        self._replaced: set[tuple[str, bytes]] = set()
        self._lines = dict(database.base.lines())

    def run(self) -> RebaseReport:
        """Rebase everything."""
        for name in progress.track(ORDERED, "comparing with the image"):
            layered = self.database.tables[name]
            rows = local_rows(layered)
            self._rebase(layered, rows)
            self._forget_gone(layered, rows)
            for account in layered.forget_needless_hides():
                self._note("dropped", layered, account, HID_NOTHING)
        for name, own, other in colliding_ids(self.database):
            key = ID_FIELDS[name]
            text = f"{_id_name(key)} {getattr(own, key)} belongs to the image's '{shown(other)}'"
            self._note("collision", self.database.tables[name], own.name, text)
        return self.report

    def _rebase(self, layered: Layered, rows: LocalRows) -> None:
        name, names = layered.name, rows.rows.names
        bases = self.database.base.lines()
        was = {account for database, account in (*bases, *self._known) if database == name}
        orphans = [index for index in rows.own if names[index] in was] if was else []
        kept = {account for database, account in bases if database == name} if self._keep_copies else set()
        equal = [index for index in rows.equal if not (kept and is_materialized(self.database, name, names[index]))]
        others = rows.others if layered.merge else [index for index in rows.others if not self._is_settled(rows, index)]
        needless = set(equal)
        layered.local.remove_at(*(rows.rows.starts[index] for index in equal))
        for index in merge_sorted(orphans, equal, others):
            if index in needless:
                self._forget(layered, names[index], "says what the image says")
                continue
            row = rows.row(index)
            if row.kind == Kind.OWN:
                if self._was_image(name, row.name):
                    self._orphan(layered, row.position, row.local)
            elif row.kind == Kind.EQUAL:
                if not (self._keep_copies and is_materialized(self.database, name, row.name)):
                    self._drop(layered, row.position, row.name, "says what the image says")
            elif layered.merge:
                self._merge_group(layered, row.position, row.local, row.image)
            elif not self._base_on_image(row):
                self._merge(layered, row.position, row.local, row.image)

    def _base_on_image(self, row: LocalRow) -> bool:
        """Whether an override has no base record, and all that it differs in is this machine's: then it has one now."""
        lines, key = self.database.base.lines(), (row.database, row.name)
        line, image = row.line, row.image_line
        if self._replaced or key in self._lines or not row.is_exact or image is None:
            return False
        if row.database in ID_FIELDS and line.split(b":", 3)[2] != image.split(b":", 3)[2]:
            return False
        lines[key] = image
        self.report.steps.append(RebaseStep("based", *key, _BASED))
        return True

    def _is_settled(self, rows: LocalRows, index: int) -> bool:
        """Whether the image's row is still what an override was made from, to the letter: nothing comes of it then."""
        if self._replaced:
            return False
        row = rows.row(index)
        return row.kind == Kind.OVERRIDE and self._lines.get((row.database, row.name)) == row.image_line

    def _base(self, name: str, account: bytes) -> Any | None:
        """The image's row that a local one was made from, where that is known."""
        line = self._lines.get((name, account))
        return None if line is None else KINDS[name].parse_line(line)

    def _takes(self, name: bytes) -> Take | None:
        return self._take if not self._names or name in self._names else None

    def _note(self, what: str, layered: Layered, name: bytes, text: str, fields: tuple[str, ...] = ()) -> None:
        self.report.steps.append(RebaseStep(what, layered.name, name, text, fields))

    # An override, or the needless copy of a row.

    def _merge(self, layered: Layered, position: int, local: Any, image: Any) -> None:
        base = self._base(layered.name, local.name)
        take = self._takes(local.name)
        key = ID_FIELDS.get(layered.name)
        if base is None and key is not None and getattr(local, key) != getattr(image, key):
            # A local account that was here before the image had one of that name.
            if take == Take.IMAGE:
                self._replaced.add((layered.name, local.name))
                self._drop(layered, position, local.name, "gave way to the image's account of that name")
                return
            if take is None:
                self._note(
                    "collision", layered, local.name,
                    f"{_kind(layered)} '{shown(local.name)}' is local with {_id_name(key)} {getattr(local, key)}, "
                    f"and the image has one with {getattr(image, key)}",
                )  # fmt: skip
                return
        if (PARENT.get(layered.name, ""), local.name) in self._replaced:
            self._drop(layered, position, local.name, "gave way to the image's account of that name")
            return
        merged = merge_row(layered.name, local, image, base, take)
        # A row that was made a copy of the image's (accounts materialize) goes on as one.
        copy = self._keep_copies and base == local and is_materialized(self.database, layered.name, local.name)
        self._write(layered, position, local, image, merged, merged.record == image and not copy, base)

    # A row of a group that is joined with the image's.

    def _merge_group(self, layered: Layered, position: int, local: Any, image: Any) -> None:
        base = self._base(layered.name, local.name)
        if local.gid != image.gid:
            self._move_primary(local.gid, image.gid, local.name)
            text = f"GID {local.gid} -> {image.gid}, the image's; files of GID {local.gid} are as they were"
            self._note("moved", layered, local.name, text)
        merged = merge_member_row(local, image, base, self._takes(local.name))
        needless = not merged.record.members and merged.record.passwd == image.passwd
        self._write(layered, position, local, image, merged, needless, base)

    def _write(
        self, layered: Layered, position: int, local: Any, image: Any, merged: Merged, needless: bool, base: Any | None
    ) -> None:
        name = local.name
        for one in merged.conflicts:
            before, after = describe_change(one.field, one.image, one.local)
            was = describe_value(one.field, one.base)
            text = f"{one.field} was {was}; the image has {before}, this machine {after}, which stays"
            self._note("conflict", layered, name, text, (one.field,))
        if needless and not merged.conflicts:
            self._drop(layered, position, name, "says what the image says")
            return
        taken = tuple(one for one in merged.taken if not (layered.merge and one in ("gid", "members")))
        if taken:
            self._note("merged", layered, name, f"{', '.join(taken)} from the image", taken)
        if merged.record != local:
            layered.local.replace_at(position, merged.record)
        bases = self.database.base.lines()
        if layered.merge and merged.record.passwd == image.passwd:
            self.database.base.forget(layered.name, name)
            return
        if base is None:
            self._note("based", layered, name, _BASED)
        if base != merged.base:
            bases[layered.name, name] = merged.base.format_line()

    def _drop(self, layered: Layered, position: int, name: bytes, why: str) -> None:
        layered.local.remove_at(position)
        self._forget(layered, name, why)

    def _forget(self, layered: Layered, name: bytes, why: str) -> None:
        self.database.base.forget(layered.name, name)
        self.report.steps.append(RebaseStep("dropped", layered.name, name, why))

    # Rows that the image has nothing of.

    def _orphan(self, layered: Layered, position: int, local: Any) -> None:
        """A row that was an override, of an account that the image no longer has, or that is hidden."""
        if layered.is_hidden(local.name):
            if layered.image_row(local.name) is None:
                self._settle(layered, local.name)
            return
        if layered.name in PARENT:
            parent = self.database.tables[PARENT[layered.name]]
            if parent.get(local.name) is None:
                self._drop(layered, position, local.name, "the image has removed the account")
            elif not self._was_image(parent.name, local.name):
                # While that is open, so is this.
                self.database.base.forget(layered.name, local.name)
            return
        take = self._takes(local.name)
        if take == Take.IMAGE:
            self._drop(layered, position, local.name, "the image has removed the account")
        elif take == Take.LOCAL:
            self._settle(layered, local.name)
            self._note("based", layered, local.name, "is an account of this machine from now on")
        else:
            text = f"the image no longer has this {_kind(layered)}; the local row keeps it alive"
            self._note("orphan", layered, local.name, text)

    def _was_image(self, name: str, account: bytes) -> bool:
        """Whether an own account is one that the image has had."""
        if (name, account) in self.database.base.lines():
            return True
        known = None if (name, account) in self.report.settled else self._known.get((name, account))
        row: Any = None if known is None else self.database.tables[name].local.get(account)
        return row is not None and getattr(row, ID_FIELDS[name]) == known[0]  # type: ignore[index]

    def _settle(self, layered: Layered, name: bytes) -> None:
        """An account is this machine's from now on."""
        self.database.base.forget(layered.name, name)
        self.report.settled.add((layered.name, name))

    def _move_primary(self, old: int, new: int, group: bytes) -> None:
        """Own users of a group whose GID follows the image's: their primary group with it."""
        groups = self.database.group
        if any(row.gid == old and row.name != group for table in (groups.local, groups.image) for row in table):
            return
        for row in local_rows(self.database.passwd).select(Kind.OWN):
            if row.local.gid == old:
                self.database.passwd.local.replace_at(row.position, row.local.replace(gid=new))
                text = f"primary group '{shown(group)}' has GID {new} now"
                self._note("moved", self.database.passwd, row.name, text)

    def _forget_gone(self, layered: Layered, rows: LocalRows) -> None:
        """Base records of rows that somebody has removed."""
        for database, name in list(self.database.base.lines()):
            if database == layered.name and name not in rows.rows.first:
                self.database.base.forget(database, name)


def rebase(
    database: Database,
    take: Take | None = None,
    names: Collection[bytes] = (),
    known: Mapping[tuple[str, bytes], tuple[int, int]] | None = None,
) -> RebaseReport:
    """Bring the local layer of a database, which is edited, up to its image; known as in Rebase."""
    return Rebase(database, take, names, known=known).run()


def colliding_ids(database: Database) -> Iterator[tuple[str, Any, bytes]]:
    """(database, own row, the image's name with its id) of each id that both layers give away.

    UID and GID 0 twice are always meant.
    """
    for name in ID_FIELDS:
        layered = database.tables[name]
        rows = local_rows(layered)
        numbers, image = rows.rows.ids, id_names(layered.image) if rows.own else {}
        for index in rows.own:
            number = numbers[index]
            if number in image and number and image[number] != rows.rows.names[index]:
                yield name, rows.row(index).local, image[number]


def _kind(layered: Layered) -> str:
    return "user" if layered.name in ("passwd", "shadow") else "group"


def _id_name(field: str) -> str:
    return field.upper()
