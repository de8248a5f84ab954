# SPDX-License-Identifier: MIT
"""The layered database: the view that NSS gives, and edits that keep the local layer a minimal delta. Pure.

An edit speaks of the view ("alice is now in video"); put() and remove() turn it at once into the smallest
local row that gives that view over the image (the delta forms of docs/contract.md), or raise Refusal when no
delta can.
"""

from __future__ import annotations

from accounts.errors import DuplicateName, DuplicateRow, FileError
from accounts.model.policy import DATABASES, Policy
from accounts.model.records import Group, Gshadow, Passwd, Shadow, Subid
from accounts.model.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from accounts.errors import Refusal

KINDS: dict[str, Any] = {
    "passwd": Passwd,
    "group": Group,
    "shadow": Shadow,
    "gshadow": Gshadow,
    "subuid": Subid,
    "subgid": Subid,
}
# Where an id that must not change is found.
ID_FIELDS = {"passwd": "uid", "group": "gid"}
BASE = "accounts/base"
HIDDEN = "accounts/hidden"
# What `accounts apply` remembers (accounts.machine.applied).
APPLIED = "accounts/applied"


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

    def record(self, database: str, row: Any) -> None:
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


class Layered:
    """One database over two layers: local rows first, then the image's, as NSS reads them.

    image: the image's rows without the hidden ones.
    """

    __slots__ = ("_base", "_hides", "drops_min", "forced", "image", "local", "may_lose_root", "merge", "name")

    def __init__(self, name: str, local: Table, image: Table, merge: bool, base: Base, hides: Hides) -> None:
        self.name = name
        self.local = local
        self.image = image
        self.merge = merge
        # Whether the image's root may be hidden: only where the caller has given the word that shadow has for that.
        self.may_lose_root = False
        # FORCE_SHADOW of login.defs(5).
        self.forced = False
        # Whether a shadow row loses its minimum of days when it is put.
        self.drops_min = False
        self._base = base
        self._hides = hides
        for database, hidden in hides.rows:
            if database == name and image.data:
                image.hide(hidden)

    @property
    def present(self) -> bool:
        """Whether the database exists in either layer, or is to (shadow's *_file_present).

        An image's file all rows of which are hidden is one that has been removed (pwunconv).
        """
        if self.forced or self.local.present or not self.image.present:
            return self.forced or self.local.present
        return all(database != self.name for database, _ in self._hides.rows) or any(True for _ in self.image)

    # The view

    def get(self, name: bytes) -> Any | None:
        """What NSS answers for a name: a Record or None. Members of a merged group: local first."""
        local = self.local.get(name)
        if local is not None and not self.merge:
            return local
        image = self.image.get(name) if self.image.data else None
        return _join(local, image) if local is not None else image

    def get_id(self, value: int) -> Any | None:
        """What NSS answers for a UID (passwd) or GID (group): a Record or None."""
        attribute = ID_FIELDS[self.name]
        local = self.local.first_with_id(attribute, value)
        if local is not None and not self.merge:
            return local
        image = self.image.first_with_id(attribute, value) if self.image.data else None
        if local is not None:
            return _join(local, image)
        return image

    def origin(self, name: bytes) -> str | None:
        """Which layer has a row of that name: "local", "image", "both" or None."""
        local = self.local.find(name) is not None
        image = self.image.find(name) is not None
        if local and image:
            return "both"
        return "local" if local else "image" if image else None

    def rows_about(self, user: bytes, names: Iterable[bytes] = ()) -> Iterator[Any]:
        """The rows of the groups that list user and of those named, all rows of a name, local ones in file order."""

        def place(name: bytes) -> tuple[bool, int]:
            position: int | None = self.local.find(name)
            return position is None, position or 0

        for name in sorted(dict.fromkeys((*self.names_with_member(user), *names)), key=place):
            yield from self.rows_named(name)

    def __iter__(self) -> Iterator[Any]:
        """All rows of the view, one a name where the image has it too: local ones first."""
        for record in self.local:
            yield _join(record, self.image.get(record.name)) if self.merge and self.image.data else record
        # On most images nobody has a row in /etc.
        alone = not self.local.data and not self.local.changed
        for record in self.image:
            if alone or self.local.find(record.name) is None:
                yield record

    def with_token(self, token: bytes) -> list[Any]:
        """The rows of the view whose line, in either layer, contains token. A fast filter, local first."""
        names: dict[bytes, None] = {}
        for table in (self.local, self.image):
            for _, record in table.entries_with(token):
                names.setdefault(record.name)
        return [record for record in map(self.get, names) if record is not None]

    def names_with_member(self, user: bytes) -> list[bytes]:
        """The names of the groups (group or gshadow) whose rows, in either layer, list user, local ones first."""
        names: dict[bytes, None] = {}
        for table in (self.local, self.image):
            # A member stands behind a colon or comma, in gshadow also behind blanks. The rows of groups that
            # are called like the user ("alice:x:1000:"), or have such a beginning, need not be parsed.
            for before in (b":", b",", b" ", b"\t", b"\v", b"\f", b"\r"):
                if before in (b":", b",") or before in table.data:
                    for _, row in table.entries_with(before + user):
                        if user in row.members or user in getattr(row, "admins", ()):
                            names.setdefault(row.name)
        return list(names)

    def rows_named(self, name: bytes) -> list[Any]:
        """What NSS answers for a name, and the further rows that the local file has of it (shadow sees those)."""
        first = self.get(name)
        rows = [] if first is None else [first]
        position = self.local.find(name)
        while position is not None:
            position = self.local.find(name, position)
            if position is not None:
                rows.append(self.local.at(position))
        return rows

    def ids(self) -> set[int]:
        """All ids of both layers."""
        used = self.local.ids()
        if self.image.data:
            used |= self.image.ids()
        return used

    # Edits

    def put(self, record: Any) -> None:
        """Make the view answer record for its name, by the smallest local row.

        Raises Refusal when no local row can do that, DuplicateRow when the local layer has two such rows.
        """
        self.put_as_is(record.replace(min=-1) if self.drops_min else record)

    def put_as_is(self, record: Any) -> None:
        """put() for those who do not write as shadow does."""
        try:
            self._put(record)
        except DuplicateName:
            raise DuplicateRow(self.name, record.name, False) from None

    def _put(self, record: Any) -> None:
        image = self.image_row(record.name) if self.image.data else None
        if image is None:
            self.local.put(record)
            return
        refusal = self._find_refusal(record, image)
        if refusal is not None:
            if not self._may_hide(image):
                # A row that no tool would write anywhere is worse than one that cannot be here.
                raise refusal() if record.is_writable() else FileError(self.name, "write")
            self._hide(record.name)
            self.local.put(record)
            self._base.record(self.name, image)
            return
        self.show_image(record.name)
        if self.merge and image.gid == record.gid:
            self._put_merged(record, image)
        elif record == image:
            self.local.remove(record.name)
            self._base.forget(self.name, record.name)
        else:
            self.local.put(record)
            self._base.record(self.name, image)

    def _find_refusal(self, record: Any, image: Any) -> Callable[[], Refusal] | None:
        """Why no local row can make the view answer record while the image's row is seen; None if one can."""
        if record.is_writable() and record.parse_line(record.format_line()) is None:
            # As if there were no row; but then the image's shows.
            from accounts.model.refusals import refuse_unreadable

            return lambda: refuse_unreadable(self.name, record.name)
        # Where a local row has another id, or lacks the member, already, the view stays what it is.
        current = image if self.is_hidden(record.name) else self.get(record.name) or image
        attribute = ID_FIELDS.get(self.name)
        changed = attribute is not None and getattr(record, attribute) != getattr(image, attribute)
        if attribute is not None and changed and getattr(current, attribute) == getattr(image, attribute):
            from accounts.model.refusals import refuse_id

            return lambda: refuse_id(self.name, record.name)
        if self.name == "group":
            # Not even a row that hides it from getgrnam(3) takes out a member that the image's row lists:
            # initgroups(3), so id(1), sudo and every login, asks each service for the groups that list a user.
            for member in image.members:
                if member not in record.members and member in current.members:
                    from accounts.model.refusals import refuse_member

                    lost = member
                    return lambda: refuse_member(record.name, lost)
        return None

    def _put_merged(self, record: Group, image: Group) -> None:
        members = tuple(dict.fromkeys(member for member in record.members if member and member not in image.members))
        if record.passwd != image.passwd:
            self.local.put(record.replace(members=members))
            self._base.record(self.name, image)
            return
        if members:
            self.local.put(record.replace(members=members))
        else:
            self.local.remove(record.name)
        self._base.forget(self.name, record.name)

    def remove(self, name: bytes) -> bool:
        """Make the view answer nothing for a name; False when it does already.

        Raises Refusal when the image has the name and it cannot be hidden, DuplicateRow when the local layer has two
        such rows.
        """
        self.check_removal(name)
        seen = bool(self.image.data) and self.image.find(name) is not None
        try:
            removed = self.local.remove(name) or seen
        except DuplicateName:
            raise DuplicateRow(self.name, name, True) from None
        if seen:
            self._hide(name)
        if removed:
            self._base.forget(self.name, name)
        return removed

    # The image's rows that are not seen

    def is_hidden(self, name: bytes) -> bool:
        """Whether the image's row of a name, if there is one, is hidden."""
        return (self.name, name) in self._hides.rows

    def image_row(self, name: bytes) -> Any | None:
        """The image's row of a name, hidden or not."""
        if not self.is_hidden(name):
            return self.image.get(name)
        self.image.show(name)
        row = self.image.get(name)
        self.image.hide(name)
        return row

    def may_remove(self, name: bytes) -> bool:
        """Whether the view can be made to answer nothing for a name: not where the image's row has to be seen."""
        row = self.image.get(name) if self.image.data else None
        return row is None or self._may_hide(row)

    def check_removal(self, name: bytes) -> None:
        """Raise Refusal where remove() does."""
        if not self.may_remove(name):
            from accounts.model.refusals import refuse_removal

            raise refuse_removal(self.name, name)

    def _may_hide(self, row: Any) -> bool:
        """Whether a row of the image can be hidden, or is. Not so root, and the last user with its UID."""
        if self.is_hidden(row.name):
            return True
        if self.name == "passwd" and row.uid == 0 and not self.may_lose_root:
            others = any(other.uid == 0 and other.name != row.name for other in self.with_token(b":0:"))
            if row.name == b"root" or not others:
                return False
        return self._hides.is_honoured()

    def _hide(self, name: bytes) -> None:
        self._hides.rows.add((self.name, name))
        self.image.hide(name)

    def hide(self, name: bytes) -> None:
        """Let the image's row of a name not be seen, whatever the local layer says of it. Raises Refusal."""
        self.check_removal(name)
        self._hide(name)

    def take_over(self, owner: bytes, first: int, last: int) -> None:
        """Have an owner's subordinate ranges in the local layer, when the image has one that meets first..last.

        Raises Refusal.
        """
        rows = [row for row in self.image if row.name == owner]
        if any(row.start <= last and first < row.start + row.count for row in rows):
            self.check_removal(owner)
            self.local.extend(rows)
            self._hide(owner)

    def hide_image(self) -> None:
        """Hide all rows of the image; check_removal() has been called for each."""
        for row in list(self.image):
            self._hide(row.name)

    def show_image(self, name: bytes) -> None:
        """Let the image's row of a name be seen again, if it is hidden."""
        if self.is_hidden(name):
            self._hides.rows.discard((self.name, name))
            self.image.show(name)

    def forget_needless_hides(self) -> None:
        """Drop the hide rows of names that the image no longer has."""
        for database, name in list(self._hides.rows):
            if database == self.name and self.image_row(name) is None:
                self._hides.rows.discard((database, name))

    def materialize(self, name: bytes) -> bool:
        """Copy the image's row of a name to the local layer, for programs that read only that; False when it is there.

        The view stays as it is. The base record tells such a row from one that says by chance what the image says.
        """
        if self.local.find(name) is not None:
            return False
        image = self.image.get(name)
        if image is None:
            return False
        self.local.put(image)
        self._base.record(self.name, image)
        return True

    def replace_text(self, data: bytes) -> None:
        """Let the local file have other bytes altogether; the base records follow its override rows."""
        self.local.replace_text(data)
        for database, name in list(self._base.lines()):
            if database == self.name and self.local.find(name) is None:
                self._base.forget(database, name)
        for row in self.local if self.image.data else ():
            image = self.image.get(row.name)
            if image is not None and not (self.merge and (row.gid, row.passwd) == (image.gid, image.passwd)):
                self._base.record(self.name, image)


def _join(local: Any, image: Any | None) -> Any:
    """Two group rows as glibc merges them: only when name and GID agree, members appended."""
    if image is None or local.name != image.name or local.gid != image.gid:
        return local
    return local.replace(
        members=local.members + tuple(member for member in image.members if member not in local.members)
    )


class Database:
    """All account tables of one root. subuid and subgid: the local layer's rows, which stand before the image's."""

    def __init__(
        self,
        local: dict[str, Table],
        image: dict[str, Table],
        policy: Policy,
        base: Base | None = None,
        hides: Hides | None = None,
    ) -> None:
        self.base = base or Base()
        self.hides = hides or Hides()
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
        self.passwd: Layered = tables["passwd"]
        self.group: Layered = tables["group"]
        self.shadow: Layered = tables["shadow"]
        self.gshadow: Layered = tables["gshadow"]
        self.subuid: Table = tables["subuid"].local
        self.subgid: Table = tables["subgid"].local

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
        base = self.base.render()
        if base != self.base.data:
            changes.append((BASE, self.base.original, base or None))
        return changes + self.others
