# SPDX-License-Identifier: MIT
"""`accounts show NAME`: where every field of an account comes from, and what NSS answers. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from accounts.change import Change
from accounts.machine.delta import FILES, merges
from accounts.machine.edits import read
from accounts.machine.words import ORDER, describe_value, shown
from accounts.model.database import Database, Layered
from accounts.model.table import Table
from accounts.text import fsdecode


@dataclass(frozen=True)
class RowSource:
    """A row that has the name. path, line: where; layer: local or image; used: whether NSS takes something of it."""

    path: str
    line: int
    layer: str
    used: bool


@dataclass(frozen=True)
class Field:
    """A field in words, never a hash. layer, path, line: where the value is from; image: the image's, if another."""

    name: str
    value: str
    layer: str
    path: str
    line: int
    image: str | None


@dataclass(frozen=True)
class Answer:
    """What NSS answers for a name in one database. why: a sentence; sources: all rows of that name."""

    database: str
    why: str
    fields: tuple[Field, ...]
    sources: tuple[RowSource, ...]


@dataclass(frozen=True)
class Member:
    """A group that a user is in. origin: primary (by passwd), local or image, or both."""

    group: str
    gid: int
    origin: str


@dataclass(frozen=True)
class Shown:
    """All about a name. answers: of the databases that know it; groups: of the user, if there is one."""

    name: str
    answers: tuple[Answer, ...]
    groups: tuple[Member, ...]

    def to_json(self) -> dict[str, Any]:
        """As docs/schemas/show.json."""
        return asdict(self)


def show(change: Change, name: bytes) -> Shown:
    """All that both layers say of a name. Raises the error classes of the files."""
    database = read(change)
    image_dir = "/" + fsdecode(change.target.image_dir())
    answers = []
    for each in FILES:
        layered = database.tables[each]
        sources = tuple(_sources(layered, name, image_dir))
        if sources and each in ("subuid", "subgid"):
            answers.append(_ranges(layered, name, sources))
        elif sources:
            answers.append(_answer(layered, name, sources))
    return Shown(shown(name), tuple(answers), tuple(_groups(database, name)))


def _sources(layered: Layered, name: bytes, image_dir: str) -> Iterator[RowSource]:
    local = layered.local.get(name)
    image = layered.image.get(name)
    for table, directory, layer in ((layered.local, "/etc", "local"), (layered.image, image_dir, "image")):
        position = table.find(name)
        first = True
        while position is not None:
            used = first and (layer == "local" or local is None or merges(layered, local, image))
            yield RowSource(f"{directory}/{layered.name}", line_number(table, position), layer, used)
            position, first = table.find(name, position), False


def line_number(table: Table, position: int) -> int:
    """The number of the line at a position of an unchanged table, from 1."""
    return table.data.count(b"\n", 0, position) + 1


def _answer(layered: Layered, name: bytes, sources: tuple[RowSource, ...]) -> Answer:
    local, image, view = layered.local.get(name), layered.image.get(name), layered.get(name)
    first = sources[0]
    if local is None:
        why = "/etc has no row of that name, so altfiles answers with the image's"
    elif image is None:
        why = "only /etc has a row of that name"
    elif merges(layered, local, image):
        why = "both layers have the group with one GID: name, password and GID of /etc, members of both"
    elif layered.merge:
        why = f"files answers from /etc; the image's row has GID {image.gid}, so it is not merged"
    else:
        why = "files answers from /etc, altfiles is not asked"
    fields = []
    for field in ORDER[layered.name]:
        value = getattr(view, field)
        theirs = getattr(image, field) if image is not None else None
        source = first
        if local is not None and image is not None and field == "members" and merges(layered, local, image):
            source = first if local.members else next(one for one in sources if one.layer == "image")
        differs = image is not None and local is not None and theirs != value
        fields.append(
            Field(
                field,
                describe_value(field, value),
                source.layer,
                source.path,
                source.line,
                describe_value(field, theirs) if differs else None,
            )
        )
    return Answer(layered.name, why, tuple(fields), sources)


def _ranges(layered: Layered, name: bytes, sources: tuple[RowSource, ...]) -> Answer:
    """All ranges count, whichever file they are in."""
    rows = [row for table in (layered.local, layered.image) for row in table if row.name == name]
    fields = tuple(
        Field("range", f"{row.start}-{row.start + row.count - 1}", source.layer, source.path, source.line, None)
        for row, source in zip(rows, sources, strict=True)
    )
    return Answer(layered.name, "every row of the owner counts", fields, sources)


def _groups(database: Database, name: bytes) -> Iterator[Member]:
    user = database.passwd.get(name)
    if user is None:
        return
    primary = database.group.get_id(user.gid)
    yield Member("" if primary is None else shown(primary.name), user.gid, "primary")
    for group in sorted(_memberships(database, name), key=lambda group: (group.gid, group.name)):
        local, image = database.group.local.get(group.name), database.group.image.get(group.name)
        origins = [
            layer for layer, row in (("local", local), ("image", image)) if row is not None and name in row.members
        ]
        # A local row that is not merged hides the image's members.
        if local is not None and not merges(database.group, local, image):
            origins = ["local"]
        yield Member(shown(group.name), group.gid, "both" if len(origins) > 1 else origins[0])


def _memberships(database: Database, user: bytes) -> Iterator[Any]:
    for name in database.group.names_with_member(user):
        group = database.group.get(name)
        if group is not None and user in group.members:
            yield group
