# SPDX-License-Identifier: MIT
"""One database over two layers: the view that NSS gives, and edits that keep the local layer a minimal delta. Pure.

An edit speaks of the view ("alice is now in video"); put() and remove() turn it at once into the smallest
local row that gives that view over the image (the delta forms of docs/contract.md), or raise Refusal when no
delta can.
"""

from __future__ import annotations

from accounts.errors import DuplicateName, DuplicateRow, FileError
from accounts.model.records import OfRows, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from accounts.errors import Refusal
    from accounts.model.database import Base, Hides
    from accounts.model.table import Table

# Where an id that must not change is found.
ID_FIELDS = {"passwd": "uid", "group": "gid"}


class Layered(OfRows[Row]):
    """One database over two layers: local rows first, then the image's, as NSS reads them.

    image: the image's rows without the hidden ones.
    """

    __slots__ = ("_base", "_hides", "drops_min", "forced", "image", "local", "may_lose_root", "merge", "name")

    def __init__(self, name: str, local: Table[Row], image: Table[Row], merge: bool, base: Base, hides: Hides) -> None:
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

    def get(self, name: bytes) -> Row | None:
        """What NSS answers for a name: a Record or None. Members of a merged group: local first."""
        local = self.local.get(name)
        if local is not None and not self.merge:
            return local
        image = self.image.get(name) if self.image.data else None
        return _join(local, image) if local is not None else image

    def get_id(self, value: int) -> Row | None:
        """What NSS answers for a UID (passwd) or GID (group): a Record or None."""
        attribute = ID_FIELDS[self.name]
        local = self.local.first_with_id(attribute, value)
        if local is not None and not self.merge:
            return local
        image = self.image.first_with_id(attribute, value) if self.image.data else None
        return image if local is None else _join(local, image)

    def origin(self, name: bytes) -> str | None:
        """Which layer has a row of that name: "local", "image", "both" or None."""
        local = self.local.find(name) is not None
        image = self.image.find(name) is not None
        if local and image:
            return "both"
        return "local" if local else "image" if image else None

    def rows_about(self, user: bytes, names: Iterable[bytes] = ()) -> Iterator[Row]:
        """The rows of the groups that list user and of those named, all rows of a name, local ones in file order."""

        def place(name: bytes) -> tuple[bool, int]:
            position: int | None = self.local.find(name)
            return position is None, position or 0

        for name in sorted(dict.fromkeys((*self.names_with_member(user), *names)), key=place):
            yield from self.rows_named(name)

    def __iter__(self) -> Iterator[Row]:
        """All rows of the view, one a name where the image has it too: local ones first."""
        for record in self.local:
            yield _join(record, self.image.get(record.name)) if self.merge and self.image.data else record
        # On most images nobody has a row in /etc.
        alone = not self.local.data and not self.local.changed
        for record in self.image:
            if alone or self.local.find(record.name) is None:
                yield record

    def with_token(self, token: bytes) -> list[Row]:
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
                        if user in getattr(row, "members", ()) or user in getattr(row, "admins", ()):
                            names.setdefault(row.name)
        return list(names)

    def rows_named(self, name: bytes) -> list[Row]:
        """What NSS answers for a name, and the further rows that the local file has of it (shadow sees those)."""
        first = self.get(name)
        rows = [] if first is None else [first]
        position = self.local.find(name)
        while position is not None:
            position = self.local.find(name, position)
            row = None if position is None else self.local.at(position)
            if row is not None:
                rows.append(row)
        return rows

    def ids(self) -> set[int]:
        """All ids of both layers."""
        used = self.local.ids()
        if self.image.data:
            used |= self.image.ids()
        return used

    # Edits

    def put(self, record: Row) -> None:
        """Make the view answer record for its name, by the smallest local row.

        Raises Refusal when no local row can do that, DuplicateRow when the local layer has two such rows.
        """
        self.put_as_is(record.replace(min=-1) if self.drops_min else record)

    def put_as_is(self, record: Row) -> None:
        """put() for those who do not write as shadow does."""
        try:
            self._put(record)
        except DuplicateName:
            raise DuplicateRow(self.name, record.name, False) from None

    def _put(self, record: Any) -> None:
        image: Any = self.image_row(record.name) if self.image.data else None
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
            # A copy of the image's row that base knows stays: somebody needs it there (docs/decisions/expired.md).
            if self.local.get(record.name) != record or (self.name, record.name) not in self._base.lines():
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
        current: Any = image if self.is_hidden(record.name) else self.get(record.name) or image
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

    def _put_merged(self, record: Any, image: Any) -> None:
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

    def image_row(self, name: bytes) -> Row | None:
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
            from accounts.model.refusals import refuse_removal, refuse_root

            row: Any = self.image.get(name)
            if self.name == "passwd" and row.uid == 0:
                raise refuse_root(name, self._hides.is_honoured())
            raise refuse_removal(self.name, name)

    def _may_hide(self, row: Any) -> bool:
        """Whether a row of the image can be hidden, or is. Not so root, and the last user with its UID."""
        if self.is_hidden(row.name):
            return True
        if self.name == "passwd" and row.uid == 0 and not self.may_lose_root:
            users: list[Any] = self.with_token(b":0:")
            others = any(other.uid == 0 and other.name != row.name for other in users)
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
        rows: list[Any] = [row for row in self.image if row.name == owner]
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

    def forget_needless_hides(self) -> list[bytes]:
        """Drop the hide rows of names that the image no longer has; the names."""
        rows = [row for row in self._hides.rows if row[0] == self.name and self.image_row(row[1]) is None]
        self._hides.rows.difference_update(rows)
        return sorted(name for _, name in rows)

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
        rows: Iterable[Any] = self.local if self.image.data else ()
        for row in rows:
            image: Any = self.image.get(row.name)
            if image is not None and not (self.merge and (row.gid, row.passwd) == (image.gid, image.passwd)):
                self._base.record(self.name, image)


def _join(local: Any, image: Any) -> Any:
    """Two group rows as glibc merges them: only when name and GID agree, members appended."""
    if image is None or local.name != image.name or local.gid != image.gid:
        return local
    return local.replace(
        members=local.members + tuple(member for member in image.members if member not in local.members)
    )
