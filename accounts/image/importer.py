# SPDX-License-Identifier: MIT
"""`accounts image import`: make the accounts of sysusers.d(5) part of the image layer, at build time.

What systemd-sysusers would add to /etc at every machine's first boot is in /usr/lib instead, with ids that
the ledger keeps. Names and ids are found as systemd-sysusers (257) does it: groups in the order of
the lines, then users, what members imply last, and one descending row of free ids for users and groups.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accounts.errors import BadArgument, NoId
from accounts.image.layers import Layers, locked
from accounts.image.ledger import PATH, Ledger
from accounts.image.pins import Pins, gather
from accounts.image.seed import DAY, format_rows, sort_rows, write_layer
from accounts.image.specifiers import Specifiers
from accounts.image.sysusers import BadLine, Line, check_line, is_id, parse_file, parse_range, simplify_path
from accounts.image.tree import Tree
from accounts.image.uses import read_all
from accounts.model.records import Group, Gshadow, Passwd, Shadow

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
    with Tree(root, source_date_epoch) as tree, locked(tree, root) as (_, notes):
        layers = Layers(tree, root)
        known = gather(layers, shared, previous, pins)
        run = _Import(layers, known, -1 if source_date_epoch is None else source_date_epoch // DAY)
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

    line: Line
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


class _Import:
    """The lines of all files, and the image layer's rows that come of them."""

    def __init__(self, layers: Layers, known: Pins, day: int) -> None:
        self.layers = layers
        self.known = known
        self.day = day
        self.result = Imported()
        self.user_items: dict[bytes, _Item] = {}
        self.group_items: dict[bytes, _Item] = {}
        # group -> its new members, in order
        self.members: dict[bytes, dict[bytes, str]] = {}
        self.ranges: list[tuple[int, int]] = []
        self.rows: dict[str, list[Any]] = {name: list(table) for name, table in layers.image.items()}
        self.uids = {row.name: row.uid for row in layers.view.passwd}
        self.gids = {row.name: row.gid for row in layers.view.group}
        # Whose an id is; the first of several, as in a look-up.
        self.uid_owners = {uid: name for name, uid in reversed(self.uids.items())}
        self.gid_owners = {gid: name for name, gid in reversed(self.gids.items())}
        self.new_groups: set[bytes] = set()
        self._specifiers = Specifiers(layers.tree.read)
        self._free: Iterator[int] | None = None

    # Reading

    def read(self, path: str, text: str) -> None:
        """Take the lines of one file. Raises BadArgument."""
        for where, raw in parse_file(text, path):
            texts = {key: value for key, value in vars(raw).items() if key not in ("kind", "flag")}
            line = replace(raw, **{key: self._specifiers.expand(value, where) for key, value in texts.items()})
            line = replace(line, home=simplify_path(line.home), shell=simplify_path(line.shell))
            try:
                check_line(line)
            except BadLine as error:
                raise BadArgument(f"{where}: {error.message}") from None
            if line.kind == "r":
                self.ranges.append(parse_range(line.id))
            elif line.kind == "m":
                self.members.setdefault(os.fsencode(line.id), {}).setdefault(os.fsencode(line.name), where)
            else:
                self._add_item(self.user_items if line.kind == "u" else self.group_items, line, where)

    def _add_item(self, items: dict[bytes, _Item], line: Line, where: str) -> None:
        there = items.setdefault(os.fsencode(line.name), _Item(line, where))
        if there.line != line:
            self.result.notes.append(f"{where}: '{line.name}' is not what {there.where} says, which counts")

    # Adding

    def add_all(self) -> None:
        """All groups, then all users, then the members. Raises BadArgument, NoId."""
        for group, users in self.members.items():
            for user, where in users.items():
                self.user_items.setdefault(user, _Item(Line("u", os.fsdecode(user)), where))
            if group not in self.user_items:
                where = next(iter(users.values()))
                self.group_items.setdefault(group, _Item(Line("g", os.fsdecode(group)), where))
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
        self.rows["group"].append(Group(item.name, b"x", gid, ()))
        if self.layers.view.gshadow.present:
            self.rows["gshadow"].append(Gshadow(item.name, LOCKED, (), ()))
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
        self.rows["passwd"].append(Passwd(name, b"x", uid, item.gid, os.fsencode(line.gecos), home, shell))
        expire = EXPIRED if line.flag == "!" else -1
        self.rows["shadow"].append(Shadow(name, LOCKED, self.day, expire=expire))
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
        if not any(row.name == group for row in self.rows["group"]):
            self.result.notes.append(f"group '{os.fsdecode(group)}' is in /etc only: seed first to add members")
            return
        for database in ("group", "gshadow"):
            self.rows[database] = [
                row.replace(members=tuple(sorted({*row.members, user}))) if row.name == group else row
                for row in self.rows[database]
            ]
        self.result.added.append(("member", shown))

    def render(self) -> dict[str, bytes]:
        """The files of the image layer, in seed's order."""
        rows = {name: sort_rows(name, self.rows[name]) for name in ("passwd", "group")}
        for name, leading in (("shadow", "passwd"), ("gshadow", "group")):
            place = {row.name: at for at, row in enumerate(rows[leading])}
            rows[name] = sorted(self.rows[name], key=lambda row: place.get(row.name, len(place)))
        return {name: format_rows(rows[name]) for name in rows}

    def shadow_gid(self) -> int:
        """The GID of group shadow, which may read the hashes; 0 without one."""
        gid: int = self.gids.get(b"shadow", 0)
        return gid
