# SPDX-License-Identifier: MIT
"""`accounts image import`: make the accounts of sysusers.d(5) part of the image layer, at build time.

What systemd-sysusers would add to /etc at every machine's first boot is in /usr/lib instead, with ids that
the ledger keeps. Names and ids are found as systemd-sysusers does it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accounts.errors import BadArgument, NoId
from accounts.image.layers import Layers
from accounts.image.ledger import PATH, Ledger
from accounts.image.pins import Pins, gather
from accounts.image.seed import DAY, format_rows, sort_rows, write_layer
from accounts.image.sysusers import Line, parse_line
from accounts.image.tree import Tree
from accounts.image.uses import read_all
from accounts.model.records import Group, Gshadow, Passwd, Shadow

# systemd's defaults: the shell of root and of everybody else, and the lowest id it gives on its own.
ROOT_SHELLS, NOLOGIN = ("/bin/bash", "/bin/sh"), b"/usr/sbin/nologin"
ALLOC_MIN, ALLOC_MAX = 100, 999
LOCKED = b"!*"
# shadow(5): the account has expired since 2 January 1970, which no kind of login gets past.
EXPIRED = 1
# Specifiers that mean the same on every machine of this image: os-release(5) keys, and two directories.
_OS_RELEASE = {"A": "IMAGE_VERSION", "B": "BUILD_ID", "M": "IMAGE_ID", "o": "ID", "w": "VERSION_ID", "W": "VARIANT_ID"}
_FIXED = {"%": "%", "T": "/tmp", "V": "/var/tmp"}


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

    shared, previous, pins: as in pins.gather(); an id known there comes first, then the one in the line, then
    a free one from SYS_UID_MAX or SYS_GID_MAX downwards that no ledger has either. The root's own ledger and
    the shared one learn the new ids. Accounts that exist stay as they are.

    Raises BadArgument, "FILE:LINE: what is wrong", before anything changes; NoId; OSError.
    """
    with Tree(root, source_date_epoch) as tree:
        layers = Layers(tree, root)
        known = gather(layers, shared, previous, pins)
        run = _Import(layers, known, -1 if source_date_epoch is None else source_date_epoch // DAY)
        texts = [(str(path), path.read_text("utf-8", "surrogateescape")) for path in sorted(files, key=_by_name)]
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


def _by_name(path: Path) -> tuple[str, str]:
    return path.name, str(path)


class _Import:
    """The lines of all files, and the image layer's rows that come of them."""

    def __init__(self, layers: Layers, known: Pins, day: int) -> None:
        self.layers = layers
        self.known = known
        self.day = day
        self.result = Imported()
        self.lines: list[tuple[str, Line]] = []
        self.ranges: list[tuple[int, int]] = []
        self.rows: dict[str, list[Any]] = {name: list(table) for name, table in layers.image.items()}
        self.users: dict[bytes, Passwd] = {row.name: row for row in layers.view.passwd}
        self.groups: dict[bytes, Group] = {row.name: row for row in layers.view.group}
        self.used = {
            name: layers.view.tables[name].ids() | known.ledger.ids(name) for name in ("passwd", "group")
        }  # fmt: skip

    # Reading

    def read(self, path: str, text: str) -> None:
        """Take the lines of one file. Raises BadArgument."""
        for number, raw in enumerate(text.split("\n"), 1):
            if not raw.strip() or raw.lstrip().startswith("#"):
                continue
            where = f"{path}:{number}"
            line = parse_line(raw)
            if line is None:
                raise BadArgument(f"{where}: not a line of sysusers.d: {raw.strip()}")
            texts = {key: text for key, text in vars(line).items() if key not in ("kind", "flag")}
            line = replace(line, **{key: self._expand(text, where) for key, text in texts.items()})
            if line.kind == "r":
                low, dash, high = line.id.partition("-")
                if not low.isdecimal() or (dash and not high.isdecimal()):
                    raise BadArgument(f"{where}: not a range of ids: {line.id}")
                self.ranges.append((int(low), int(high or low)))
            elif line.kind in "ug" and line.id and not line.id.isdecimal() and not line.id.startswith("/"):
                raise BadArgument(f"{where}: not an id: {line.id}")
            self.lines.append((where, line))

    def _expand(self, text: str, where: str) -> str:
        """The text with its specifiers replaced, as far as an image build can know them."""

        def one(match: re.Match[str]) -> str:
            letter = match[1]
            if letter in _FIXED:
                return _FIXED[letter]
            if letter in _OS_RELEASE:
                return self._os_release.get(_OS_RELEASE[letter], "")
            raise BadArgument(f"{where}: %{letter} is not the same on every machine of an image")

        return re.sub(r"%(.?)", one, text)

    @property
    def _os_release(self) -> dict[str, str]:
        for path in ("/etc/os-release", "/usr/lib/os-release"):
            try:
                text = self.layers.tree.read(path).decode("utf-8", "surrogateescape")
            except OSError:
                continue
            pairs = (line.partition("=") for line in text.split("\n") if "=" in line)
            return {key: value.strip("\"'") for key, _, value in pairs}
        return {}

    # Adding

    def add_all(self) -> None:
        """All groups, then users, then members; what others imply after what is written, as systemd-sysusers."""
        members = [(where, line) for where, line in self.lines if line.kind == "m"]
        users = [(where, line) for where, line in self.lines if line.kind == "u"]
        users += [(where, Line("u", line.name)) for where, line in members]
        for where, line in self.lines:
            if line.kind == "g":
                self._add_group(os.fsencode(line.name), self._fixed_id(line, where, "group"), where)
        for where, line in members:
            self._add_group(os.fsencode(line.id), None, where)
        for where, line in users:
            if not line.group and os.fsencode(line.name) not in self.users:
                self._add_own_group(line, where)
        for where, line in users:
            self._add_user(line, where)
        for _, line in members:
            self._add_member(os.fsencode(line.id), os.fsencode(line.name))

    def _fixed_id(self, line: Line, where: str, kind: str) -> int | None:
        """The id that a line names: a number, or that of a file's owner in the root."""
        if not line.id.startswith("/"):
            return line.uid
        status = self.layers.tree.lstat(line.id)
        if status is None:
            self.result.notes.append(f"{where}: {line.id} is not in the root: '{line.name}' gets another id")
            return None
        return status.st_uid if kind == "user" else status.st_gid

    def _choose(self, database: str, name: bytes, wanted: Iterable[int | None], where: str, both: bool = True) -> int:
        """The first id that is free for the name: its known one, those wanted, one that nobody has had."""
        rows = self.users if database == "passwd" else self.groups
        attribute = "uid" if database == "passwd" else "gid"
        taken = {getattr(row, attribute) for row in rows.values()}
        pinned = self.known.ledger.pin(database, name)
        for number in (pinned, *wanted):
            if number is None:
                continue
            holders = [holder for holder in self.known.ledger.holders(database, number) if holder != name]
            if number not in taken and not holders:
                if pinned not in (None, number):
                    self.result.notes.append(f"{where}: '{os.fsdecode(name)}' had the id {pinned} and gets {number}")
                return number
            self.result.notes.append(f"{where}: the id {number} for '{os.fsdecode(name)}' is used already")
        used = self.used["passwd"] | self.used["group"] if both else self.used[database]
        for low, high in reversed(self.ranges) if self.ranges else [self._system_range(attribute)]:
            for number in range(high, low - 1, -1):
                if number not in used:
                    return number
        raise NoId(f"{where}: no free {attribute.upper()} for '{os.fsdecode(name)}'")

    def _system_range(self, attribute: str) -> tuple[int, int]:
        kind = attribute.upper()
        defs = self.layers.defs
        return defs.get_ulong(f"SYS_{kind}_MIN", ALLOC_MIN), defs.get_ulong(f"SYS_{kind}_MAX", ALLOC_MAX)

    def _add_group(self, name: bytes, gid: int | None, where: str) -> Group:
        there = self.groups.get(name)
        if there is not None:
            if gid not in (None, there.gid):
                self.result.notes.append(f"{where}: group '{os.fsdecode(name)}' has the GID {there.gid}, not {gid}")
            return there
        user = self.users.get(name)
        gid = self._choose("group", name, (gid, None if user is None else user.uid), where)
        group = Group(name, b"x", gid, ())
        self._record("group", name, gid, group)
        if self.layers.view.gshadow.present:
            self.rows["gshadow"].append(Gshadow(name, LOCKED, (), ()))
        self.result.added.append(("group", os.fsdecode(name)))
        return group

    def _add_user(self, line: Line, where: str) -> None:
        name = os.fsencode(line.name)
        uid = self._fixed_id(line, where, "user")
        there = self.users.get(name)
        if there is not None:
            if uid not in (None, there.uid):
                self.result.notes.append(f"{where}: user '{line.name}' has the UID {there.uid}, not {uid}")
            return
        group = self._find_group(line.group, where) if line.group else self._add_own_group(line, where)
        same = None if line.group else group.gid
        uid = self._choose("passwd", name, (uid, same) if uid != same else (uid,), where, both=bool(line.group))
        home = os.fsencode(line.home) or (b"/root" if uid == 0 else b"/")
        shell = os.fsencode(line.shell) or (self._root_shell() if uid == 0 else NOLOGIN)
        user = Passwd(name, b"x", uid, group.gid, os.fsencode(line.gecos), home, shell)
        if not user.is_writable():
            raise BadArgument(f"{where}: a colon or a control character in a field of '{line.name}'")
        self._record("passwd", name, uid, user)
        expire = EXPIRED if line.flag == "!" else -1
        self.rows["shadow"].append(Shadow(name, LOCKED, self.day, expire=expire))
        self.result.added.append(("user", line.name))

    def _root_shell(self) -> bytes:
        bash, sh = ROOT_SHELLS
        return os.fsencode(bash if self.layers.tree.lstat(bash) is not None else sh)

    def _add_own_group(self, line: Line, where: str) -> Group:
        """The group of a user's name: with the GID that it is known by, else the number of the user."""
        name = os.fsencode(line.name)
        kind = "group" if line.id.startswith("/") else "user"
        known = self.known.ledger.pin("group", name)
        return self._add_group(name, self._fixed_id(line, where, kind) if known is None else known, where)

    def _find_group(self, text: str, where: str) -> Group:
        name = os.fsencode(text)
        found = self.groups.get(name)
        if found is None and text.isdecimal():
            found = next((row for row in self.groups.values() if row.gid == int(text)), None)
        if found is None:
            raise BadArgument(f"{where}: there is no group {text}")
        return found

    def _record(self, database: str, name: bytes, number: int, row: Any) -> None:
        (self.users if database == "passwd" else self.groups)[name] = row
        self.used[database].add(number)
        self.rows[database].append(row)

    def _add_member(self, group: bytes, user: bytes) -> None:
        if user in self.groups[group].members:
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
        self.groups[group] = self.groups[group].replace(members=(*self.groups[group].members, user))
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
        group = self.groups.get(b"shadow")
        return 0 if group is None else group.gid
