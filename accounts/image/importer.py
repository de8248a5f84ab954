# SPDX-License-Identifier: MIT
"""`accounts image import`: make the accounts of sysusers.d(5) part of the image layer, at build time.

What systemd-sysusers would add to /etc at every machine's first boot is in /usr/lib instead, with ids that
the ledger keeps. Names and ids are found as systemd-sysusers (257) does it: groups in the order of
the lines, then users, what members imply last, and one descending row of free ids for users and groups.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accounts.edit.ageing import SetAgeing
from accounts.edit.groupadd import AddGroup
from accounts.edit.members import add_member, put_pair
from accounts.edit.request import Request, edit
from accounts.edit.useradd import AddUser
from accounts.errors import NoId
from accounts.image.idsources import Pins, gather
from accounts.image.layers import Layers, locked
from accounts.image.ledger import PATH, Ledger
from accounts.image.seed import DAY, format_rows, sort_rows, write_layer
from accounts.image.specifiers import Specifiers
from accounts.image.sysusers import SysusersLine, expand_file, is_id, parse_range
from accounts.image.tree import Tree
from accounts.image.uses import read_all
from accounts.model.database import KINDS, Database, Layered
from accounts.model.policy import default_policy
from accounts.model.release import DEFAULT
from accounts.model.table import Table
from accounts.system.known import Facts
from accounts.system.target import Target

# systemd's defaults: the shell of root and of everybody else, and the lowest id it gives on its own.
ROOT_SHELLS, NOLOGIN = ("/bin/bash", "/bin/sh"), b"/usr/sbin/nologin"
ALLOC_MIN, ALLOC_MAX = 100, 999
LOCKED = b"!*"
# shadow(5): the account has expired since 2 January 1970, which no kind of login gets past.
EXPIRED = 1


@dataclass
class Imported:
    """What import did: ("user" or "group" or "member", name) that are new, sentences worth telling."""

    added: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def import_sysusers(
    root: Path,
    files: Iterable[Path] = (),
    *,
    shared: Ledger | None = None,
    previous: Iterable[str] = (),
    pins: Iterable[str] = (),
    source_date_epoch: int | None = None,
) -> Imported:
    """Add what the files say to the image layer of a root; without files, what the root's sysusers.d say.

    shared, previous, pins: as in pins.gather(); an id known there comes first, and one of another name never
    is taken. Without them the result is what systemd-sysusers would write to /etc. The root's own ledger and
    the shared one learn the new ids. Accounts that exist stay as they are.

    Raises BadArgument, "FILE:LINE: what is wrong", before anything changes; NoId; OSError.
    """
    with Tree(root, source_date_epoch) as tree, locked(tree, root) as (target, notes):
        layers = Layers(tree, root)
        known = gather(layers, shared, previous, pins)
        day = 0 if source_date_epoch is None else source_date_epoch // DAY
        run = _Import(layers, known, _ImageFacts(target, layers, day))
        run.result.notes += notes
        texts = [(str(path), path.read_text("utf-8", "surrogateescape")) for path in files]
        for path, text in texts or read_all(tree, "sysusers.d", (".conf",)):
            run.read(path, text)
        run.add_all()
        if run.result.added:
            write_layer(tree, layers.image_dir, run.render(), run.shadow_gid())
            rows = Layers(tree, root).ids
            if shared is not None:
                shared.register(rows)
            tree.write(PATH, known.ledger.describe(rows).format_text())
        return run.result


@dataclass
class _Item:
    """A user or group to be made. uid, gid: found so far. strict: the GID is that of a group which has to exist."""

    line: SysusersLine
    where: str
    uid: int | None = None
    gid: int | None = None
    strict: bool = False

    @property
    def name(self) -> bytes:
        return os.fsencode(self.line.name)

    @property
    def shown(self) -> str:
        return self.line.name


class _ImageFacts(Facts):
    """What the requests of accounts.edit ask, and the database that they change: the image layer alone.

    day: the last change of the passwords that are made, since the epoch; 0 for none.
    """

    def __init__(self, target: Target, layers: Layers, day: int) -> None:
        super().__init__(target, DEFAULT, _hear, _hear)
        tables = {name: Table(KINDS[name], table.data, table.present) for name, table in layers.image.items()}
        self.accounts = self.database = Database(tables, {}, default_policy())
        # Every password is in shadow; gshadow is in use where either layer has it.
        self.accounts.shadow.forced = True
        self.accounts.gshadow.forced = layers.view.gshadow.present
        self._day = day

    def today(self) -> int:
        return self._day

    def is_present(self, name: str) -> bool:
        return self.accounts.tables[name].present

    def _ask_nss(self, database: str, question: str, key: Any) -> None:
        """Nobody but the image is asked, whatever the root is."""

    def do(self, request: Request) -> None:
        """Apply a request. Raises AccountsError."""
        edit(self.accounts, request, self)


def _hear(text: str) -> None:
    """What shadow warns of, ids outside of login.defs's ranges, is what a line of sysusers.d may say."""


class _Import:
    """The lines of all files, and the image layer's rows that come of them."""

    def __init__(self, layers: Layers, known: Pins, facts: _ImageFacts) -> None:
        self.layers = layers
        self.known = known
        self.facts = facts
        self.result = Imported()
        self.user_items: dict[bytes, _Item] = {}
        self.group_items: dict[bytes, _Item] = {}
        # group -> its new members, in order
        self.members: dict[bytes, dict[bytes, str]] = {}
        self.ranges: list[tuple[int, int]] = []
        self.uids = {row.name: row.uid for row in layers.view.passwd}
        self.gids = {row.name: row.gid for row in layers.view.group}
        # Whose an id is; the first of several, as in a look-up.
        self.uid_owners = {uid: name for name, uid in reversed(self.uids.items())}
        self.gid_owners = {gid: name for name, gid in reversed(self.gids.items())}
        self.new_groups: set[bytes] = set()
        # Those with new members, which are to be in order.
        self.grown: set[bytes] = set()
        self._specifiers = Specifiers(layers.tree.read)
        self._free: Iterator[int] | None = None

    # Reading

    def read(self, path: str, text: str) -> None:
        """Take the lines of one file. Raises BadArgument."""
        for where, line in expand_file(text, path, self._specifiers):
            if line.kind == "r":
                self.ranges.append(parse_range(line.id))
            elif line.kind == "m":
                self.members.setdefault(os.fsencode(line.id), {}).setdefault(os.fsencode(line.name), where)
            else:
                self._add_item(self.user_items if line.kind == "u" else self.group_items, line, where)

    def _add_item(self, items: dict[bytes, _Item], line: SysusersLine, where: str) -> None:
        there = items.setdefault(os.fsencode(line.name), _Item(line, where))
        if there.line != line:
            self.result.notes.append(f"{where}: '{line.name}' is not what {there.where} says, which counts")

    # Adding

    def add_all(self) -> None:
        """All groups, then all users, then the members. Raises BadArgument, NoId."""
        for group, users in self.members.items():
            for user, where in users.items():
                self.user_items.setdefault(user, _Item(SysusersLine("u", os.fsdecode(user)), where))
            if group not in self.user_items:
                where = next(iter(users.values()))
                self.group_items.setdefault(group, _Item(SysusersLine("g", os.fsdecode(group)), where))
        for item in self.group_items.values():
            item.gid = item.line.uid
            self._add_group(item)
        for item in self.user_items.values():
            self._add_user_item(item)
        for group, users in self.members.items():
            for user in users:
                self._add_member(group, user)

    def _add_user_item(self, item: _Item) -> None:
        item.uid = item.line.uid
        group = os.fsencode(item.line.group)
        if is_id(item.line.group):
            item.gid, item.strict = int(item.line.group), True
            if (item.name not in self.gids or item.name in self.new_groups) and item.gid not in self.gid_owners:
                self._leave_out(item)
                return
            self._add_group(item)
        elif (group or item.name) in self.new_groups and (group or item.name) in self.group_items:
            item.gid, item.strict = self.gids[group or item.name], True
        elif group:
            if group not in self.gids:
                self._leave_out(item)
                return
            item.gid, item.strict = self.gids[group], True
        else:
            self._add_group(item)
        self._add_user(item)

    def _leave_out(self, item: _Item) -> None:
        """A user of a group that nobody makes is not made either; as with the real one, the others are."""
        self.result.notes.append(f"{item.where}: user '{item.shown}' is left out: there is no group {item.line.group}")

    def _add_group(self, item: _Item) -> None:
        """Make the group of that name, or find the one with the GID that the item insists on."""
        # A group that was there decides, even where the line names another GID; one that is new does not.
        if item.name in self.gids and not (item.strict and item.name in self.new_groups):
            there = self.gids[item.name]
            if item.gid not in (None, there) and item.line.kind == "g":
                self.result.notes.append(f"{item.where}: group '{item.shown}' has the GID {there}, not {item.gid}")
            item.gid = there
            return
        if item.strict:
            return
        pin = self.known.ledger.pin("group", item.name)
        gid = self._choose(
            item, "group", pin, self._is_free_gid,
            [(item.gid, False, True), (item.uid, True, False), (self._file_id(item, "st_gid"), True, False)],
        )  # fmt: skip
        item.gid = gid
        self.gids[item.name] = gid
        self.gid_owners[gid] = item.name
        self.new_groups.add(item.name)
        passwd = LOCKED if self.facts.is_present("gshadow") else None
        self.facts.do(AddGroup(name=item.name, gid=gid, passwd=passwd, non_unique=True))
        self.result.added.append(("group", item.shown))

    def _add_user(self, item: _Item) -> None:
        line, name = item.line, item.name
        if name in self.uids:
            if item.uid not in (None, self.uids[name]):
                self.result.notes.append(
                    f"{item.where}: user '{item.shown}' has the UID {self.uids[name]}, not {item.uid}"
                )
            return
        pin = self.known.ledger.pin("passwd", name)
        uid = self._choose(
            item, "passwd", pin, self._is_free_uid,
            [(item.uid, not item.strict, True), (self._file_id(item, "st_uid"), True, False), (item.gid, True, False)],
        )  # fmt: skip
        self.uids[name] = uid
        self.uid_owners[uid] = name
        home = os.fsencode(line.home) or b"/"
        shell = os.fsencode(line.shell) or (self._root_shell() if uid == 0 else NOLOGIN)
        assert item.gid is not None
        self.facts.do(
            AddUser(
                name=name, uid=uid, gid=item.gid, gecos=os.fsencode(line.gecos), home=home, shell=shell, passwd=LOCKED,
                groups=(), user_group=False, create_home=False, system=True, non_unique=True, bad_name=True,
            )
        )  # fmt: skip
        if line.flag == "!":
            self.facts.do(SetAgeing(name=name, days={"expire": EXPIRED}, today=self.facts.today()))
        self.result.added.append(("user", item.shown))

    def _choose(
        self,
        item: _Item,
        database: str,
        pin: int | None,
        is_free: Callable[[int, bytes, bool], bool],
        wanted: list[tuple[int | None, bool, bool]],
    ) -> int:
        """The first id that is free: the known one, those wanted (id, whether a user or group of another name
        may not have it either, whether the line names it), then the next of the free ones. Raises NoId."""
        for number, both, written in [(pin, False, True), *wanted]:
            if number is None:
                continue
            if is_free(number, item.name, both):
                if pin not in (None, number):
                    self.result.notes.append(f"{item.where}: '{item.shown}' had the id {pin} and gets {number}")
                return number
            if written:
                self.result.notes.append(f"{item.where}: the id {number} for '{item.shown}' is used already")
        if self._free is None:
            self._free = self._free_ids()
        for number in self._free:
            if is_free(number, item.name, True):
                return number
        kind = "UID" if database == "passwd" else "GID"
        raise NoId(f"{item.where}: no free {kind} for '{item.shown}'")

    def _is_free_uid(self, number: int, name: bytes, both: bool = False) -> bool:
        if number in self.uid_owners or self._is_known("passwd", number, name):
            return False
        return not both or (self.gid_owners.get(number, name) == name and not self._is_known("group", number, name))

    def _is_free_gid(self, number: int, name: bytes, both: bool = False) -> bool:
        if number in self.gid_owners or self._is_known("group", number, name):
            return False
        return not both or (self.uid_owners.get(number, name) == name and not self._is_known("passwd", number, name))

    def _is_known(self, database: str, number: int, name: bytes) -> bool:
        """Whether the id is or was another name's."""
        return any(holder != name for holder in self.known.ledger.holders(database, number))

    def _free_ids(self) -> Iterator[int]:
        """The ids that may be given, the highest first; one row of them for users and groups."""
        for low, high in sorted(self.ranges or [self._system_range()], reverse=True):
            yield from range(high, low - 1, -1)

    def _system_range(self) -> tuple[int, int]:
        get = self.layers.defs.get_ulong
        return get("SYS_UID_MIN", ALLOC_MIN), min(get("SYS_UID_MAX", ALLOC_MAX), get("SYS_GID_MAX", ALLOC_MAX))

    def _file_id(self, item: _Item, attribute: str) -> int | None:
        """The owner of the file that a line names instead of an id, when it is one that may be given."""
        path = item.line.id
        if not path.startswith("/") or item.line.kind == "m":
            return None
        status = self.layers.tree.stat(path)
        number = None if status is None else getattr(status, attribute)
        if number and any(low <= number <= high for low, high in self.ranges or [self._system_range()]):
            return int(number)
        note = f"{item.where}: {path} gives no id to '{item.shown}', which gets another one"
        if note not in self.result.notes:
            self.result.notes.append(note)
        return None

    def _root_shell(self) -> bytes:
        bash, sh = ROOT_SHELLS
        return os.fsencode(bash if self.layers.tree.lstat(bash) is not None else sh)

    def _add_member(self, group: bytes, user: bytes) -> None:
        row = self.layers.view.group.get(group)
        if row is not None and user in row.members:
            return
        shown = f"{os.fsdecode(user)}:{os.fsdecode(group)}"
        accounts = self.facts.accounts
        there = accounts.group.get(group)
        if there is None:
            self.result.notes.append(f"group '{os.fsdecode(group)}' is in /etc only: seed first to add members")
            return
        # ChangeMember would ask for such a user, and make a row of gshadow: systemd does neither.
        put_pair(accounts, add_member((there, accounts.gshadow.get(group)), user))
        self.grown.add(group)
        self.result.added.append(("member", shown))

    def render(self) -> dict[str, bytes]:
        """The files of the image layer, in seed's order."""
        accounts = self.facts.accounts
        for group in self.grown:
            tables: tuple[Layered, ...] = (accounts.group, accounts.gshadow)
            for table in tables:
                row = table.get(group)
                if row is not None:
                    table.put(row.replace(members=tuple(sorted(set(row.members)))))
        rows = {name: sort_rows(name, list(accounts.tables[name])) for name in ("passwd", "group")}
        for name, leading in (("shadow", "passwd"), ("gshadow", "group")):
            place = {row.name: at for at, row in enumerate(rows[leading])}
            rows[name] = sorted(accounts.tables[name], key=lambda row: place.get(row.name, len(place)))
        return {name: format_rows(rows[name]) for name in rows}

    def shadow_gid(self) -> int:
        """The GID of group shadow, which may read the hashes; 0 without one."""
        gid: int = self.gids.get(b"shadow", 0)
        return gid
