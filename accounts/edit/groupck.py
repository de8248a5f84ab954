# SPDX-License-Identifier: MIT
"""The checks of grpck over both layers and their join, and the repairs of the local layer. Pure."""

from __future__ import annotations

from accounts.edit.checks import CheckFiles, Checks, is_duplicate, text_of
from accounts.model.names import is_valid_group_name
from accounts.model.order import sort_rows, sort_rows_like
from accounts.model.records import MAX_ID, Gshadow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.edit.checks import CheckConsole
    from accounts.edit.request import Facts
    from accounts.model.database import Database, Layered
    from accounts.model.records import Group
    from accounts.model.table import Table


class CheckGroups(CheckFiles):
    """group and gshadow, as grpck(8). quiet: without the warnings that count as no error."""

    __slots__ = ("quiet", "shown", "sort")
    FILES = ("group", "gshadow")
    OTHERS = ("passwd",)
    quiet: bool

    def check_files(self, database: Database, others: Database, facts: Facts, console: CheckConsole) -> Checks | None:
        if self.sort:
            sort_groups(database)
            return None
        checks = GroupCheck(self, database, others, facts, console)
        checks.run()
        return checks


class GroupCheck(Checks):
    """One run of the checks."""

    def __init__(
        self, request: CheckGroups, database: Database, users: Database, facts: Facts, console: CheckConsole
    ) -> None:
        super().__init__(database, console)
        self._users = users
        self._facts = facts
        self._group_file, self._gshadow_file = request.shown
        self._quiet = request.quiet
        self._release = facts.release

    def _is_user(self, name: bytes) -> bool:
        return self._users.passwd.get(name) is not None or self._facts.find_user(name) is not None

    def run(self) -> None:
        """Check group and, where it is in use, gshadow."""
        group, gshadow = self._database.group, self._database.gshadow
        self._check_group_lines(group, False)
        self._check_group_lines(group, True)
        self._check_join()
        if gshadow.present:
            self._check_gshadow_lines(gshadow, False)
            self._check_gshadow_lines(gshadow, True)

    # group

    def _check_group_lines(self, layered: Layered, image: bool) -> None:
        table = layered.image if image else layered.local
        seen: set[bytes] = set()
        for position, line, row in self._rows(layered, image):
            if self._is_deleted_duplicate(layered, position, line, row.name, image):
                continue
            if not is_valid_group_name(row.name, release=self._release):
                self._report(f"invalid group name '{text_of(row.name)}'", image)
            if row.gid == MAX_ID:
                self._report(f"invalid group ID '{row.gid}'", image)
            self._check_group_members(layered, table, position, row, image)
            # NSS shows the first row of a name, the local one before the image's.
            hidden = image and layered.local.find(row.name) is not None
            if self._database.gshadow.present and not hidden:
                shown = layered.get(row.name) if row.name not in seen else table.at(position)
                self._check_gshadow_row(shown or row, image)
            seen.add(row.name)

    def _check_group_members(self, layered: Layered, table: Table, position: int, row: Group, image: bool) -> None:
        # Fields that hold nothing but a comma.
        members = () if row.members == (b"",) else row.members
        kept = self._check_members(
            members, f"group {text_of(row.name)}: no user", "delete member", f"group '{text_of(row.name)}'", image
        )
        if kept == members:
            return
        shown = layered.get(row.name)
        if shown is None or layered.image.find(row.name) is None or is_duplicate(table, row.name):
            table.replace_at(position, row.replace(members=kept))
        else:
            # May leave a member row without members, which then goes.
            gone = set(members) - set(kept)
            layered.put(shown.replace(members=tuple(user for user in shown.members if user not in gone)))

    def _check_gshadow_row(self, group: Group, image: bool) -> None:
        name = text_of(group.name)
        shadow = self._database.gshadow.get(group.name)
        if shadow is None:
            self._report(f"no matching group file entry in {self._gshadow_file}", image)
            if self._console.ask(f"add group '{name}' in {self._gshadow_file}? ", True):
                self._console.log(f"add group '{name}' to '{self._gshadow_file}'")
                self.changed = True
                self._database.gshadow.put(Gshadow(group.name, group.passwd, (), group.members))
                self._database.group.put(group.replace(passwd=b"x"))
            return
        members = () if group.members == (b"",) else group.members
        self._compare_members(group.name, members, shadow.members, self._group_file, self._gshadow_file)
        if group.passwd != b"x":
            self._report(
                f"group {name} has an entry in {self._gshadow_file}, "
                f"but its password field in {self._group_file} is not set to 'x'",
                image,
            )

    def _check_join(self) -> None:
        """What two layers can have wrong together: not an error for shadow, so a warning."""
        image = self._database.group.image
        if self._quiet or not image.data:
            return
        names = {row.gid: row.name for row in reversed(list(image))}
        for row in self._database.group.local:
            same = image.get(row.name)
            if same is not None and same.gid != row.gid:
                self._console.say(
                    f"group {text_of(row.name)}: GID {row.gid} hides the group of that name in the image, "
                    f"which has GID {same.gid}"
                )
            elif same is None and row.gid in names:
                self._console.say(
                    f"group {text_of(row.name)}: GID {row.gid} is that of group {text_of(names[row.gid])} in the image"
                )

    # gshadow

    def _check_gshadow_lines(self, layered: Layered, image: bool) -> None:
        table = layered.image if image else layered.local
        for position, line, row in self._rows(layered, image):
            if image and layered.local.find(row.name) is not None:
                # The local row stands for it.
                continue
            if self._is_deleted_duplicate(layered, position, line, row.name, image):
                continue
            group = self._database.group.get(row.name)
            if group is None:
                finding = f"no matching group file entry in {self._group_file}"
                if self._offer_deletion(layered, position, line, finding, image):
                    continue
            else:
                self._compare_members(row.name, row.members, group.members, self._gshadow_file, self._group_file)
            name = text_of(row.name)
            admins = self._check_members(
                row.admins,
                f"shadow group {name}: no administrative user",
                "delete administrative member",
                f"shadow group '{name}'",
                image,
            )
            members = self._check_members(
                row.members, f"shadow group {name}: no user", "delete member", f"shadow group '{name}'", image
            )
            if (admins, members) != (row.admins, row.members):
                changed = row.replace(admins=admins, members=members)
                if is_duplicate(table, row.name):
                    table.replace_at(position, changed)
                else:
                    layered.put(changed)

    # Both

    def _check_members(
        self, members: tuple[bytes, ...], finding: str, remedy: str, place: str, image: bool
    ) -> tuple[bytes, ...]:
        """Those of the members that are users or are to stay nevertheless."""
        kept = []
        for member in members:
            if not self._is_user(member):
                name = text_of(member)
                self._report(f"{finding} {name}", image)
                if self._console.ask(f"{remedy} '{name}'? ", not image):
                    self._console.log(f"{remedy} '{name}' from {place}")
                    self.changed = True
                    continue
            kept.append(member)
        return tuple(kept)

    def _compare_members(
        self, name: bytes, members: tuple[bytes, ...], others: tuple[bytes, ...], file: str, other_file: str
    ) -> None:
        for member in members:
            if member not in others and not self._quiet:
                self._console.say(
                    f"'{text_of(member)}' is a member of the '{text_of(name)}' group in {file} but not in {other_file}"
                )


def sort_groups(database: Database) -> None:
    """Order the local group rows by GID and the gshadow rows as the groups are."""
    sort_rows(database.group.local, lambda row: row.gid)
    if database.gshadow.present:
        sort_rows_like(database.gshadow.local, [row.name for row in database.group])
