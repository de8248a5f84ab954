# SPDX-License-Identifier: MIT
"""`accounts status`: everything local of a machine, grouped by what it does to the image. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from accounts.machine.delta import Kind, LocalRow, changed_fields, first_lines, id_names, is_materialized, local_rows
from accounts.machine.words import describe_change, describe_password, shown
from accounts.model.database import ID_FIELDS, Database
from accounts.model.records import SHADOWED

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
    groups = [row for row in local_rows(database.group) if row.kind != Kind.REPEATED]
    users = [row.local for row in local_rows(database.passwd) if row.kind == Kind.OWN]
    names = {number: name for table in (database.group.image, database.group.local)
             for number, name in id_names(table, of={user.gid for user in users}).items()}  # fmt: skip
    secrets = {} if not users else first_lines(database.shadow.image) | first_lines(database.shadow.local)
    private = _private_groups(users, groups)
    for user in users:
        group = names.get(user.gid, b"%d" % user.gid)
        texts = (shown(group), shown(user.home), shown(user.shell), _describe_login(user, secrets.get(user.name)))
        status.users.append(OwnUser(shown(user.name), user.uid, *texts))
    changed: dict[tuple[str, bytes], list[AccountChange]] = defaultdict(list)
    added: dict[bytes, set[bytes]] = {}
    needless: list[bytes] = []
    copies: set[bytes] = set()
    for row in groups:
        if row.kind == Kind.EQUAL:
            needless.append(row.name)
        if row.kind == Kind.OWN:
            if row.name not in private:
                members = tuple(shown(user) for user in row.local.members)
                status.groups.append(OwnGroup(shown(row.name), row.local.gid, members))
        elif row.members:
            added[row.name] = set(row.members)
            status.memberships.append(Membership(shown(row.name), tuple(shown(user) for user in row.members)))
        if row.kind == Kind.OVERRIDE:
            changed["group", row.name] += _changes(database, row)
    for name in ("passwd", "shadow", "gshadow"):
        for row in local_rows(database.tables[name]):
            if row.kind == Kind.EQUAL:
                copies.add(row.name) if is_materialized(database, name, row.name) else needless.append(row.name)
            if row.kind == Kind.OVERRIDE and not (name == "gshadow" and _in_step(row, added.get(row.name, set()))):
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


def _describe_login(user: Any, secret: bytes | None) -> str:
    if user.passwd != SHADOWED:
        return describe_password(user.passwd)
    return "no shadow row" if secret is None else describe_password(secret.split(b":", 2)[1])


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


def _private_groups(users: list[Any], groups: list[LocalRow]) -> set[bytes]:
    """The own groups that are but the primary group of the user of their name."""
    ids = {user.name: user.gid for user in users}
    return {
        row.name for row in groups
        if row.kind == Kind.OWN and not row.local.members and ids.get(row.name) == row.local.gid
    }  # fmt: skip
