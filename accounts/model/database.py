# SPDX-License-Identifier: MIT
"""The account tables of one root over two layers, and the two files that go with the local one. Pure.

What each of them is in the view, and how an edit becomes the smallest local row, is accounts.model.layered.
"""

from __future__ import annotations

from accounts.model.layered import ID_FIELDS as ID_FIELDS
from accounts.model.layered import Layered as Layered
from accounts.model.policy import DATABASES, Policy
from accounts.model.records import SPACES, Group, Gshadow, Passwd, Record, Shadow, Subid
from accounts.model.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from accounts.model.release import Release


class LibcGshadow(Gshadow):
    """The rows of gshadow(5) as glibc's sgetsgent(3) reads them, which shadow's tools are built with since 4.17.4."""

    __slots__ = ()
    ONE_FIELD = True

    @staticmethod
    def parse_line(line: bytes) -> Gshadow:  # type: ignore[override]
        """Every line is a row: fields that are missing are empty, what is too much belongs to the last member."""
        name, passwd, admins, members = (*line.split(b":", 3), b"", b"", b"")[:4]
        return Gshadow(name, passwd, _parse_libc_list(admins), _parse_libc_list(members))


class ImageGshadow(LibcGshadow):
    """The same of the image's file, which NSS alone reads: comments and blank lines are none of its rows."""

    __slots__ = ()

    @staticmethod
    def parse_line(line: bytes) -> Gshadow | None:  # type: ignore[override]
        """As LibcGshadow.parse_line(); None where NSS goes on to the next line."""
        return None if line.lstrip(SPACES)[:1] in (b"", b"#") else LibcGshadow.parse_line(line)


def _parse_libc_list(text: bytes) -> tuple[bytes, ...]:
    """The items between commas without the blanks before them; empty ones are none."""
    items = (item.lstrip(SPACES) for item in text.split(b","))
    return tuple(item for item in items if item)


KINDS: dict[str, type[Record]] = {
    "passwd": Passwd,
    "group": Group,
    "shadow": Shadow,
    "gshadow": Gshadow,
    "subuid": Subid,
    "subgid": Subid,
}
# From this release on shadow's tools leave the rows of gshadow to glibc's sgetsgent(3).
LIBC_GSHADOW = (4, 17)
BASE = "accounts/base"
HIDDEN = "accounts/hidden"
# What `accounts apply` remembers (accounts.machine.applied).
APPLIED = "accounts/applied"
# This machine's part of the image's id ledger (docs/ledger.md): the ranges of users who were removed here.
LEDGER = "accounts/ids"


def kinds(release: Release, image: bool = False) -> Mapping[str, type[Record]]:
    """KINDS as the tools of a release of shadow-utils read the files of /etc, or those of the image."""
    if release < LIBC_GSHADOW:
        return KINDS
    return {**KINDS, "gshadow": ImageGshadow if image else LibcGshadow}


class Base:
    """/etc/accounts/base: for each override row the image row that it was made from, "DB:ROW" a line.

    original: what was read, None for no file; data: the same, b"" for no file.
    """

    def __init__(self, original: bytes | None = None) -> None:
        self.original = original
        self.data = original or b""
        self._lines: dict[tuple[str, bytes], bytes] | None = None

    def lines(self) -> dict[tuple[str, bytes], bytes]:
        """(database, name) -> the image's row, without newline. Lines that say nothing are dropped."""
        if self._lines is None:
            self._lines = {}
            for line in self.data.split(b"\n"):
                database, _, row = line.partition(b":")
                name = row.split(b":", 1)[0]
                if name and database.isalpha() and database.decode() in KINDS:
                    self._lines[database.decode(), name] = row
        return self._lines

    def record(self, database: str, row: Record) -> None:
        """Remember the image's row for an override; the first one stays, for it is what was edited."""
        self.lines().setdefault((database, row.name), row.format_line())

    def forget(self, database: str, name: bytes) -> None:
        """The override is gone."""
        if self.data or self._lines:
            self.lines().pop((database, name), None)

    def render(self) -> bytes:
        """The bytes of the file, in the order of the databases and then of the names."""
        if self._lines is None:
            return self.data
        order = list(KINDS)
        rows = sorted(self._lines.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
        return b"".join(b"%s:%s\n" % (database.encode(), row) for (database, _), row in rows)


class Hides:
    """/etc/accounts/hidden: the rows of the image that NSS does not show (accounts.model.hidden).

    data: the file's bytes; present: whether there is one, by default where it has data; rows: the (database, name)
    that it hides, none where it cannot be trusted.
    is_honoured: whether NSS honours the file; asked when a row is to be hidden that is not yet.
    """

    def __init__(
        self, data: bytes = b"", rows: Iterable[tuple[str, bytes]] = (), is_honoured: Callable[[], bool] | None = None
    ) -> None:
        self.data = data
        self.present = bool(data)
        self.rows = set(rows)
        self._was = frozenset(self.rows)
        self.is_honoured = is_honoured or (lambda: False)
        self._cleared = False

    def clear(self) -> None:
        """Drop the whole file, comments and what cannot be trusted too."""
        self.rows.clear()
        self._cleared = True

    def render(self) -> bytes:
        """The bytes of the file."""
        if self._cleared:
            return b""
        if self.rows == self._was:
            return self.data
        from accounts.model.hidden import format_hidden

        return format_hidden(self.rows, self.data)


class Database:
    """All account tables of one root. subuid and subgid: the local layer's rows, which stand before the image's."""

    def __init__(
        self,
        local: dict[str, Table],
        image: dict[str, Table],
        policy: Policy,
        base: Base | None = None,
        hides: Hides | None = None,
        ledger: bytes | None = None,
    ) -> None:
        """ledger: /etc/accounts/ids, None for no file; self.ledger is what it is to be."""
        self.base = base or Base()
        self.hides = hides or Hides()
        self._old_ledger = ledger
        self.ledger = ledger or b""
        self.policy = policy
        # Further files of the same commit, as render_changes() has them.
        self.others: list[tuple[str, bytes | None, bytes | None]] = []
        self._loaded = frozenset(image)
        tables = {}
        for name, kind in KINDS.items():
            layer = image.get(name) if policy.image.get(name) else None
            tables[name] = Layered(
                name,
                local.get(name) or Table(kind, present=False),
                layer or Table(kind, present=False),
                name == "group" and policy.merge_groups and layer is not None,
                self.base,
                self.hides,
            )
        self.tables = tables
        self.passwd: Layered[Passwd] = tables["passwd"]
        self.group: Layered[Group] = tables["group"]
        self.shadow: Layered[Shadow] = tables["shadow"]
        self.gshadow: Layered[Gshadow] = tables["gshadow"]
        self.subuid: Table[Subid] = tables["subuid"].local
        self.subgid: Table[Subid] = tables["subgid"].local

    def take(self, other: Database, names: Iterable[str]) -> None:
        """Have the tables of these names from another database of the same root."""
        for name in names:
            layered = self.tables[name] = other.tables[name]
            setattr(self, name, layered.local if name in ("subuid", "subgid") else layered)

    def is_deleted(self, name: str) -> bool:
        """Whether a file is to be removed as a whole, which leaves no backup."""
        return name in self.tables and self.tables[name].local.deleted

    def primary_users(self, gid: int) -> list[Passwd]:
        """The rows of the users whose primary group has that GID, in the order of NSS."""
        return [row for row in self.passwd.with_token(b"%d:" % gid) if row.gid == gid]

    def find_unwritable(self) -> str | None:
        """The first database with a changed row that may not be written, or None.

        A row may not hold a colon or control character in a field, nor the id -1.
        """
        for name, layered in self.tables.items():
            if not all(record.is_writable() for record in layered.local.written()):
                return name
        return None

    def render_changes(self) -> list[tuple[str, bytes | None, bytes | None]]:
        """(file name below /etc, old bytes, new bytes) of each local file that changes; None is "no file".

        A file that becomes empty disappears where the image has that database; without an image an empty
        file stays, as the real tools leave it (its presence switches shadow passwords on).
        """
        changes: list[tuple[str, bytes | None, bytes | None]] = []
        for name, layered in self.tables.items():
            table = layered.local
            if not table.changed:
                continue
            old = table.original if table.present else None
            new: bytes | None = table.render()
            # An absent file with content is what the factory has: it takes an empty one to hide that.
            # And libsubid before 4.19 asks nobody when there is no /etc/subuid.
            shows_image = layered.image.present and name in DATABASES
            if table.deleted or (not new and (shows_image or not (table.present or table.original))):
                new = None
            if new != old:
                changes.append((name, old, new))
        hidden = self.hides.render()
        if hidden != self.hides.data:
            for name, layered in self.tables.items():
                if name in self._loaded:
                    layered.forget_needless_hides()
            changes.append((HIDDEN, self.hides.data if self.hides.present else None, self.hides.render() or None))
        if self.ledger != (self._old_ledger or b""):
            changes.append((LEDGER, self._old_ledger, self.ledger or None))
        base = self.base.render()
        if base != self.base.data:
            changes.append((BASE, self.base.original, base or None))
        return changes + self.others
