# SPDX-License-Identifier: MIT
"""Splits a classic /etc into an image layer and a local layer that give the same NSS view.

Pure. The choice is seeded by the case's name, so that a failure repeats.
"""

from __future__ import annotations

import random
from collections import Counter

from tests.support.state import File, State
from tests.support.view import DATABASES, Row, lines_of, parse_line

LAYOUTS = ("system", "random", "members", "overrides", "first", "all")


def split(before: State, name: str, layout: str) -> State:
    """The classic state in split form.

    layout says which rows the image gets. system: users and groups with system ids. random: half of them.
    members: all groups (local users' memberships stay local) and half of the users. overrides: as random, but
    the image has other values for some users, so that the local layer holds full override rows. first: as
    random, under the policy that the first group row wins alone. all: everything. What shadow or NSS would
    not take for a row, and names that occur twice, always stay local.
    """
    chance = random.Random(f"{layout}/{name}")
    movable = {database: _movable(before, database) for database in DATABASES}
    users = {name for name, row in movable["passwd"].items() if _to_image(row[2], layout, "passwd", chance)}
    groups = {name for name, row in movable["group"].items() if _to_image(row[2], layout, "group", chance)}
    chosen = {"passwd": users, "group": groups, "shadow": users, "gshadow": groups}
    image: dict[str, list[bytes]] = {database: [] for database in DATABASES}
    local: dict[str, list[bytes]] = {database: [] for database in DATABASES}
    for database in DATABASES:
        for line in lines_of(before.etc, database):
            row = parse_line(database, line)
            if row is None or row[0] not in chosen[database] or movable[database].get(row[0]) is None:
                local[database].append(line)
                continue
            above, below = _layers(database, row, users, layout, chance)
            image[database].append(below)
            if above is not None:
                local[database].append(above)
    etc = {
        name: file
        for name, file in before.etc.items()
        if name not in DATABASES and name.removesuffix("-") not in DATABASES
    }
    result = State(etc=etc, tree=dict(before.tree), merge=layout != "first")
    for database in DATABASES:
        if database not in before.etc:
            continue
        old = before.etc[database]
        end = b"\n" if old.data.endswith(b"\n") or not old.data else b""
        if image[database]:
            result.image[database] = old._replace(data=b"\n".join(image[database]) + b"\n")
        if local[database]:
            untouched = not image[database]
            data = b"\n".join(local[database]) + (end if untouched else b"\n")
            result.etc[database] = File(data, old.mode, old.uid, old.gid)
        elif not image[database]:
            result.etc[database] = old
    return result


def _movable(before: State, database: str) -> dict[bytes, Row]:
    """Name -> row for the rows that shadow and NSS read alike and whose name occurs once in the file."""
    lines = lines_of(before.etc, database)
    count = Counter(line.split(b":")[0] for line in lines)
    found = {}
    for line in lines:
        row = parse_line(database, line)
        if row is not None and count[row[0]] == 1 and line == b":".join(row):
            found[row[0]] = row
    return found


def _to_image(number: bytes, layout: str, database: str, chance: random.Random) -> bool:
    if layout == "all" or (layout == "members" and database == "group"):
        return True
    if layout == "system":
        return int(number) < 1000 or int(number) == 65534
    return chance.random() < 0.5


def _layers(
    database: str, row: Row, users: set[bytes], layout: str, chance: random.Random
) -> tuple[bytes | None, bytes]:
    """(the local line or None, the image's line) of a row that the image has."""
    line = b":".join(row)
    if database in ("group", "gshadow"):
        # An image lists only users that it has itself.
        below = list(row)
        for index in (3,) if database == "group" else (2, 3):
            below[index] = b",".join(word for word in row[index].split(b",") if word in users)
        rest = b",".join(word for word in row[3].split(b",") if word and word not in users)
        if tuple(below) == row:
            return None, line
        if database == "gshadow" or layout == "first":
            return line, b":".join(below)
        # A group whose list has nothing but blanks and commas differs in spelling only.
        return (b":".join((*row[:3], rest)) if rest else None), b":".join(below)
    if layout == "overrides" and chance.random() < 0.5:
        other = list(row)
        if database == "passwd":
            other[4 + chance.randrange(3)] = b"/usr/share/image"
        else:
            other[1 + chance.randrange(2)] = b"1"
        if tuple(other) != row:
            return line, b":".join(other)
    return None, line
