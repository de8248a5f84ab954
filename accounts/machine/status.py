# SPDX-License-Identifier: MIT
"""`accounts status`: everything local of a machine, grouped by what it does to the image. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from accounts.machine.delta import (
    Kind,
    LocalRow,
    LocalRows,
    changed_fields,
    first_lines,
    id_names,
    is_materialized,
    local_rows,
)
from accounts.machine.words import describe_change, describe_password, shown
from accounts.model.database import ID_FIELDS, Database
from accounts.model.records import SHADOWED, parse_id

# Which database's rows are about a user, and which about a group.
ACCOUNT = {"passwd": "user", "shadow": "user", "group": "group", "gshadow": "group"}


@dataclass(frozen=True, slots=True)
class OwnUser:
    """A user of this machine alone. group: its primary group's name, or the GID in digits."""

    name: str
    uid: int
    group: str
    home: str
    shell: str
    password: str


@dataclass(frozen=True, slots=True)
class OwnGroup:
    """A group of this machine alone, but for the private group of a user, which is part of the user."""

    name: str
    gid: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Membership:
    """Users whom this machine adds to a group of the image."""

    group: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AccountChange:
    """A field of an image's account that is different here: in words, never a hash."""

    account: str
    name: str
    database: str
    field: str
    image: str
    local: str


@dataclass(frozen=True, slots=True)
class Hidden:
    """An account of the image that is not seen here."""

    account: str
    name: str


@dataclass(frozen=True, slots=True)
class Range:
    """Subordinate ids of /etc/subuid or /etc/subgid."""

    database: str
    owner: str
    first: int
    count: int


@dataclass
class Status:
    """What is local.

    copies: users of the image with rows made by accounts materialize; needless: how many rows say what the image
    says; problems: how many findings check has.
    """

    users: list[OwnUser] = field(default_factory=list)
    groups: list[OwnGroup] = field(default_factory=list)
    memberships: list[Membership] = field(default_factory=list)
    changes: list[AccountChange] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    ranges: list[Range] = field(default_factory=list)
    copies: tuple[str, ...] = ()
    needless: int = 0
    problems: int = 0

    def to_json(self) -> dict[str, Any]:
        """As docs/schemas/status.json."""
        return asdict(self) | {"summary": self.counts()}

    def counts(self) -> dict[str, int]:
        """The figures of the summary line. changed counts accounts, memberships users of groups."""
        return {
            "own users": len(self.users),
            "own groups": len(self.groups),
            "memberships": sum(len(one.users) for one in self.memberships),
            "changed": len({(one.account, one.name) for one in self.changes}),
            "hidden": len(self.hidden),
            "problems": self.problems,
        }


def read_status(database: Database) -> Status:
    """Status of both layers; problems is left at 0."""
    status = Status()
    passwd, groups = local_rows(database.passwd), local_rows(database.group)
    _read_own_users(database, status, passwd)
    changed: dict[tuple[str, bytes], list[AccountChange]] = defaultdict(list)
    added: dict[bytes, set[bytes]] = {}
    needless: list[bytes] = []
    copies: set[bytes] = set()
    private = _private_groups(passwd, groups)
    for index in groups.own:
        if index not in private:
            row = groups.row(index).local
            status.groups.append(OwnGroup(shown(row.name), row.gid, tuple(shown(user) for user in row.members)))
    needless += (groups.rows.names[index] for index in groups.equal)
    for row in map(groups.row, groups.others):
        if row.kind == Kind.EQUAL:
            needless.append(row.name)
        elif row.members:
            added[row.name] = set(row.members)
            status.memberships.append(Membership(shown(row.name), tuple(shown(user) for user in row.members)))
        if row.kind == Kind.OVERRIDE:
            changed["group", row.name] += _changes(database, row)
    for name in ("passwd", "shadow", "gshadow"):
        rows = local_rows(database.tables[name])
        for row in rows.select(Kind.EQUAL):
            copies.add(row.name) if is_materialized(database, name, row.name) else needless.append(row.name)
        for row in rows.select(Kind.OVERRIDE):
            if not (name == "gshadow" and _in_step(row, added.get(row.name, set()))):
                changed[ACCOUNT[name], row.name] += _changes(database, row)
    status.needless = len(needless)
    status.copies = tuple(shown(name) for name in sorted(copies))
    status.changes = [change for _, changes in sorted(changed.items(), key=_users_first) for change in changes]
    status.hidden = [
        Hidden(ACCOUNT[name], shown(account)) for name, account in sorted(database.hides.rows, key=_passwd_first)
        if name in ID_FIELDS and database.tables[name].local.find(account) is None
    ]  # fmt: skip
    for name, table in (("subuid", database.subuid), ("subgid", database.subgid)):
        status.ranges += [Range(name, shown(row.name), row.start, row.count) for row in table]
    return status


def _read_own_users(database: Database, status: Status, rows: LocalRows) -> None:
    if not rows.own:
        return
    groups = id_names(database.group.image) | id_names(database.group.local)
    secrets = first_lines(database.shadow.image) | first_lines(database.shadow.local)
    # Few of them are different, of however many users.
    texts: dict[bytes, str] = {b"": ""}
    for index in rows.own:
        line = rows.rows.lines[index]
        name, password, _, gid, _, home, shell = line.split(b":")
        number = parse_id(gid) or 0
        if shell not in texts:
            texts[shell] = shown(shell)
        if password == SHADOWED:
            secret = secrets.get(name)
            login = "no shadow row" if secret is None else describe_password(secret.split(b":", 2)[1])
        else:
            login = describe_password(password)
        group = groups.get(number)
        shown_group = str(number) if group is None else shown(group)
        user = OwnUser(shown(name), rows.rows.ids[index], shown_group, shown(home), texts[shell], login)
        status.users.append(user)


def _users_first(item: tuple[tuple[str, bytes], list[AccountChange]]) -> tuple[bool, bytes]:
    (account, name), _ = item
    return account != "user", name


def _passwd_first(row: tuple[str, bytes]) -> tuple[bool, bytes]:
    database, name = row
    return database != "passwd", name


def _changes(database: Database, row: LocalRow) -> list[AccountChange]:
    account = ACCOUNT[row.database]
    return [
        AccountChange(
            account, shown(row.name), row.database, one.field, *describe_change(one.field, one.image, one.local)
        )
        for one in changed_fields(database.tables[row.database], row)
    ]


def _in_step(row: LocalRow, added: set[bytes]) -> bool:
    """Whether a gshadow row only follows the memberships that the group's row tells of."""
    local, image = row.local, row.image
    same = (local.passwd, set(local.admins)) == (image.passwd, set(image.admins))
    return same and set(local.members) == set(image.members) | added


def _private_groups(users: LocalRows, groups: LocalRows) -> set[int]:
    """The own groups, as indexes, that are but the primary group of the user of their name."""
    lines = users.rows.lines
    ids = {users.rows.names[index]: parse_id(lines[index].split(b":", 4)[3]) for index in users.own}
    rows = groups.rows
    return {
        index for index in groups.own
        if rows.lines[index].endswith(b":") and ids.get(rows.names[index]) == rows.ids[index]
    }  # fmt: skip
