# SPDX-License-Identifier: MIT
"""Where ids are fixed: ledgers, earlier images, OpenEmbedded's id tables, rpm-ostree's checks, sysusers.d.

Each source becomes a ledger; gather() joins them with what the root itself knows.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accounts.errors import BadArgument
from accounts.image import sysusers
from accounts.image.errors import BadLine
from accounts.image.layers import Layers
from accounts.image.ledger import PATH, IdConflict, Ledger, parse_text
from accounts.image.tree import Tree
from accounts.model.records import parse_id

FORMATS = ("root", "ledger", "passwd", "group", "json", "sysusers")
_LEDGER_LINE = re.compile(rb"(passwd|group):[^:]+:\d+:(present|removed)\s*$")
_SYSUSERS_LINE = re.compile(rb"([ug]!?|[mr])\s+\S")


@dataclass(frozen=True)
class IdSources:
    """Where ids are known from, besides the root. ledger: a file that parallel builds share; the others as gather()."""

    ledger: Path | None = None
    previous: Sequence[str] = ()
    pins: Sequence[str] = ()


@dataclass
class Pins:
    """What one or more sources say.

    ledger: the ids. primary: user -> (GID, source) where a source fixes the primary group by number.
    conflicts: names to which sources give different ids.
    """

    ledger: Ledger = field(default_factory=Ledger)
    primary: dict[bytes, tuple[int, str]] = field(default_factory=dict)
    conflicts: list[IdConflict] = field(default_factory=list)

    def add(self, other: Pins, source: str) -> None:
        """Add a source; what is here stays where they differ."""
        self.conflicts += other.conflicts + self.ledger.merge(other.ledger, source)
        self.primary = other.primary | self.primary

    def pin(self, database: str, name: bytes, id: int, source: str) -> None:
        """Fix an id. Raises BadArgument when this source has fixed another one."""
        old = self.ledger.pin(database, name)
        if old not in (None, id):
            raise BadArgument(f"{source}: '{os.fsdecode(name)}' has {old} and {id}")
        self.ledger.record(database, name, id)


def gather(
    layers: Layers, shared: Ledger | None = None, previous: Iterable[str] = (), pins: Iterable[str] = ()
) -> Pins:
    """Join all that is known of ids: of conflicting sources the first in this order counts.

    shared: the shared ledger; previous: ledgers or roots of earlier images; then the root's own ledger, then
    pins, "FILE" or "FORMAT=FILE", of which OpenEmbedded's id tables are one source, behind all others. Raises
    BadArgument, OSError.
    """
    known = Pins()
    if shared is not None:
        known.add(Pins(shared), "the shared ledger")
    for source in previous:
        known.add(load_pins(source), source)
    own = layers.ledger
    if own is not None:
        known.add(Pins(own), PATH)
    sources = list(pins)
    tables = IdTables()
    for source in sources:
        format, path, text = read_source(source)
        if format in ("passwd", "group"):
            tables.read(text, format, str(path))
        else:
            known.add(load_pins(source), source)
    known.add(tables.pins(), "the id tables")
    return known


def load_pins(source: str) -> Pins:
    """Read one source of ids: "FILE", "FORMAT=FILE" or a root directory.

    The format is found by the content; of files with less than five fields a line, like partial id tables,
    by "passwd" or "group" in the name. Raises BadArgument, OSError.
    """
    format, path, text = read_source(source)
    if format == "root":
        return _load_root(path)
    if format == "ledger":
        return Pins(parse_text(text, str(path)))
    if format == "json":
        return parse_json(text, str(path), path.parent)
    if format == "sysusers":
        return parse_sysusers(text, str(path))
    return parse_table(text, format, str(path))


def read_source(source: str) -> tuple[str, Path, bytes]:
    """(format, path, content) of a source as load_pins() takes it; b"" of a root. Raises BadArgument, OSError."""
    format, equals, name = source.partition("=")
    if not equals or format not in FORMATS:
        format, name = "", source
    path = Path(name)
    if not path.exists():
        raise BadArgument(f"{name}: no such file or directory")
    if path.is_dir() or format == "root":
        return "root", path, b""
    text = path.read_bytes()
    return format or detect_format(text, name), path, text


def detect_format(text: bytes, name: str) -> str:
    """The format of a file: "ledger", "passwd", "group", "json" or "sysusers". Raises BadArgument."""
    if text.lstrip().startswith((b"{", b"[")):
        return "json"
    lines = [line for raw in text.split(b"\n") if (line := raw.strip()) and not line.startswith(b"#")]
    if lines and all(_LEDGER_LINE.match(line) for line in lines):
        return "ledger"
    if lines and all(_SYSUSERS_LINE.match(line) for line in lines):
        return "sysusers"
    if any(line.count(b":") > 3 for line in lines):
        return "passwd"
    base = os.path.basename(name).lower()
    found = [kind for kind in ("passwd", "group") if kind in base]
    if len(found) != 1:
        raise BadArgument(f"{name}: cannot tell what this is; say {'=FILE, '.join(FORMATS[1:])}=FILE")
    return found[0]


class IdTables:
    """Files of USERADD_UID_TABLES and USERADD_GID_TABLES, or passwd(5) and group(5) files, read one after the other.

    As OpenEmbedded's useradd-staticids.bbclass: fields may be missing or empty; of several rows for a name the
    last one that has a field counts for it, within a file and across files. "-" in place of an id means that
    the name is to have a dynamic one.
    """

    def __init__(self) -> None:
        # (database, name) -> column -> (text, where)
        self._fields: dict[tuple[str, bytes], dict[int, tuple[bytes, str]]] = {}

    def read(self, content: bytes, database: str, source: str) -> None:
        """Take the rows of one file. Raises BadArgument for what is not an id."""
        for number, raw in enumerate(content.split(b"\n"), 1):
            line = raw.strip()
            if not line or line.startswith((b"#", b"+", b"-")):
                continue
            fields = [field.strip() for field in line.split(b":")]
            where = f"{source}:{number}"
            known = self._fields.setdefault((database, fields[0]), {})
            for column, text in enumerate(fields[2:4], 2):
                if column == 2 and text not in (b"", b"-"):
                    _id(text, where)
                if text:
                    known[column] = text, where

    def pins(self) -> Pins:
        """What the rows fix. Raises BadArgument."""
        pins = Pins()
        for (database, name), fields in self._fields.items():
            id, where = fields.get(2, (b"-", ""))
            if id != b"-":
                pins.pin(database, name, _id(id, where), where)
            primary, where = fields.get(3, (b"", ""))
            if database == "passwd" and primary.isdigit():
                pins.primary[name] = _id(primary, where), where
        return pins


def parse_table(text: bytes, database: str, source: str) -> Pins:
    """Parse one table on its own; see IdTables. Raises BadArgument."""
    tables = IdTables()
    tables.read(text, database, source)
    return tables.pins()


def parse_json(text: bytes, source: str, directory: Path) -> Pins:
    """Parse an rpm-ostree treefile's check-passwd and check-groups, or one such object alone.

    Entries are {"NAME": UID} or {"NAME": [UID, GID]}; a check of type "file" names a passwd or group file
    beside it, directory being that of the treefile; "none" and "previous" fix nothing. An object without
    these keys holds users, groups when "group" is in the file's name. Raises BadArgument, OSError.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise BadArgument(f"{source}: {error}") from None
    if not isinstance(data, dict):
        raise BadArgument(f"{source}: not an object")
    checks = {database: data[key] for key, database in
              (("check-passwd", "passwd"), ("check-groups", "group")) if key in data}  # fmt: skip
    if not checks:
        checks = {"group" if "group" in os.path.basename(source).lower() else "passwd": data}
    pins = Pins()
    for database, check in checks.items():
        if not isinstance(check, dict):
            raise BadArgument(f"{source}: check of {database} is not an object")
        if check.get("type") == "file":
            name = check.get("filename", "")
            path = directory / str(name)
            try:
                content = path.read_bytes()
            except OSError as error:
                raise BadArgument(f"{source}: {path}: {error.strerror}") from None
            pins.add(parse_table(content, database, str(path)), source)
        elif check.get("type") not in ("none", "previous"):
            _parse_entries(pins, database, check.get("entries", check), source)
    return pins


def _parse_entries(pins: Pins, database: str, entries: Any, source: str) -> None:
    if not isinstance(entries, dict):
        raise BadArgument(f"{source}: entries of {database} is not an object")
    for key, value in entries.items():
        numbers = value if isinstance(value, list) else [value]
        if not all(type(number) is int and 0 <= number < 2**32 for number in numbers) or len(numbers) not in (1, 2):
            if key == "type" and isinstance(value, str):
                continue
            raise BadArgument(f"{source}: '{key}' is not an id or [UID, GID]")
        name = os.fsencode(key)
        pins.pin(database, name, numbers[0], source)
        if database == "passwd" and len(numbers) == 2:
            pins.primary[name] = numbers[1], source


def parse_sysusers(text: bytes, source: str) -> Pins:
    """Take the fixed ids of a sysusers.d(5) file; of several lines for a name the first one counts.

    Raises BadArgument, "SOURCE:LINE: what is wrong".
    """
    pins = Pins()
    seen: set[tuple[str, str]] = set()
    for where, line in sysusers.parse_file(text.decode("utf-8", "surrogateescape"), source):
        try:
            sysusers.check_line(line)
        except BadLine as error:
            raise BadArgument(f"{where}: {error.message}") from None
        if (line.kind, line.name) in seen:
            continue
        seen.add((line.kind, line.name))
        name = os.fsencode(line.name)
        if line.uid is not None:
            pins.pin("passwd" if line.kind == "u" else "group", name, line.uid, source)
            if line.kind == "u" and not line.group:
                pins.pin("group", name, line.uid, source)
        if line.kind == "u" and line.group.isdecimal():
            pins.primary[name] = int(line.group), source
    return pins


def _load_root(path: Path) -> Pins:
    """The ledger of another root, and its accounts, which it may have without a ledger."""
    with Tree(path) as tree:
        # A tree that ostree has taken in has its /etc there.
        etc = next((name for name in ("/etc", "/usr/etc") if tree.lstat(f"{name}/passwd") is not None), "/etc")
        layers = Layers(tree, path, etc)
        pins = Pins()
        rows = Ledger()
        rows.register(layers.ids)
        rows.register_ranges(layers.ranges)
        pins.add(Pins(rows), str(path))
        own = layers.ledger
        if own is not None:
            pins.ledger.merge(own, str(path))
        return pins


def _id(text: bytes, where: str) -> int:
    id = parse_id(text)
    if id is None:
        raise BadArgument(f"{where}: '{os.fsdecode(text)}' is not an id")
    return id
