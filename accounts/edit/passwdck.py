# SPDX-License-Identifier: MIT
"""The checks of pwck over both layers and their join, and the repairs of the local layer. Pure."""

from __future__ import annotations

from accounts.edit.checks import CheckFiles, Checks, text_of
from accounts.model.names import is_valid_user_name
from accounts.model.order import sort_rows, sort_rows_like
from accounts.model.records import MAX_ID, Shadow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.edit.checks import CheckConsole
    from accounts.edit.request import Facts
    from accounts.model.database import Database
    from accounts.model.records import Passwd


class CheckUsers(CheckFiles):
    """passwd and shadow, as pwck(8). quiet: errors only. badname: any name will do. today: days since the epoch."""

    __slots__ = ("badname", "quiet", "shown", "sort", "today")
    FILES = ("passwd", "shadow")
    OTHERS = ("group",)
    badname: bool
    quiet: bool
    today: int

    def check_files(self, database: Database, others: Database, facts: Facts, console: CheckConsole) -> Checks | None:
        if self.sort:
            sort_users(database)
            return None
        checks = PasswdCheck(self, database, others, facts, console)
        checks.run()
        return checks


class PasswdCheck(Checks):
    """One run of the checks."""

    def __init__(
        self, request: CheckUsers, database: Database, groups: Database, facts: Facts, console: CheckConsole
    ) -> None:
        super().__init__(database, console)
        self._facts = facts
        self._quiet = request.quiet
        self._badname = request.badname
        self._today = request.today
        self._passwd_file, self._shadow_file = request.shown
        self._shadowed = database.shadow.present
        self._gids = groups.group.ids()
        # Users whose homes are not looked at, and a home that need not exist.
        self._system_uids = range(
            facts.defs.get_ulong("SYS_UID_MIN", 101), facts.defs.get_ulong("SYS_UID_MAX", 999) + 1
        )
        self._nonexistent = facts.defs.get("NONEXISTENT")

    def run(self) -> None:
        """Check passwd and, where it is in use, shadow."""
        self._check_passwd_rows(False)
        self._check_passwd_rows(True)
        self._check_join()
        if self._shadowed:
            self._check_shadow_rows(False)
            self._check_shadow_rows(True)

    # passwd

    def _check_passwd_rows(self, image: bool) -> None:
        passwd = self._database.passwd
        for position, line, user in self._rows(passwd, image):
            if image and passwd.local.find(user.name) is not None:
                # The local row stands for it.
                continue
            if self._is_deleted_duplicate(passwd, position, line, user.name, image):
                continue
            release = self._facts.release
            if not is_valid_user_name(user.name, self._badname, release):
                # Since 4.17 only where that helps.
                helps = release < (4, 17) or is_valid_user_name(user.name, True, release)
                self._report(f"invalid user name '{text_of(user.name)}'" + ": use --badname to ignore" * helps, image)
            if user.uid == MAX_ID:
                self._report(f"invalid user ID '{user.uid}'", image)
            if not self._quiet:
                self._check_references(user, image)
            if self._shadowed:
                self._check_shadow_row(user, image)

    def _check_references(self, user: Passwd, image: bool) -> None:
        """Group, home and shell."""
        who = f"user '{text_of(user.name)}'"
        if user.gid not in self._gids and not self._facts.has_gid(user.gid):
            self._report(f"{who}: no group {user.gid}", image)
        if (
            user.uid not in self._system_uids
            and user.home not in (b"", self._nonexistent)
            and not self._facts.exists(user.home)
        ):
            self._report(f"{who}: directory '{text_of(user.home)}' does not exist", image)
        if user.shell and not self._facts.exists(user.shell):
            self._report(f"{who}: program '{text_of(user.shell)}' does not exist", image)

    def _check_shadow_row(self, user: Passwd, image: bool) -> None:
        database = self._database
        name = text_of(user.name)
        if database.shadow.get(user.name) is None:
            self._report(f"no matching password file entry in {self._shadow_file}", image)
            if self._console.ask(f"add user '{name}' in {self._shadow_file}? ", True):
                self.changed = True
                day = self._facts.today() or -1
                database.shadow.put(Shadow(user.name, user.passwd, day, *self._facts.defs.ageing()))
                database.passwd.put(user.replace(passwd=b"x"))
        elif not self._quiet and user.passwd != b"x":
            self._report(
                f"user {name} has an entry in {self._shadow_file}, "
                f"but its password field in {self._passwd_file} is not set to 'x'",
                image,
            )

    def _check_join(self) -> None:
        """What two layers can have wrong together: not an error for shadow, so a warning."""
        image = self._database.passwd.image
        if self._quiet or not image.data:
            return
        names = {row.uid: row.name for row in reversed(list(image))}
        for row in self._database.passwd.local:
            same = image.get(row.name)
            if same is not None and same.uid != row.uid:
                self._console.say(
                    f"user {text_of(row.name)}: UID {row.uid} hides the user of that name in the image, "
                    f"which has UID {same.uid}"
                )
            elif same is None and row.uid in names:
                self._console.say(
                    f"user {text_of(row.name)}: UID {row.uid} is that of user {text_of(names[row.uid])} in the image"
                )

    # shadow

    def _check_shadow_rows(self, image: bool) -> None:
        shadow = self._database.shadow
        for position, line, row in self._rows(shadow, image):
            # A row that was added above needs no look, a row of the image none where a local one stands for it.
            if position < 0 or (image and shadow.local.find(row.name) is not None):
                continue
            if self._is_deleted_duplicate(shadow, position, line, row.name, image):
                continue
            if self._database.passwd.get(row.name) is None:
                finding = f"no matching password file entry in {self._passwd_file}"
                if self._offer_deletion(shadow, position, line, finding, image):
                    continue
            if not self._quiet and row.lstchg > self._today:
                self._report(f"user {text_of(row.name)}: last password change in the future", image)


def sort_users(database: Database) -> None:
    """Order the local passwd rows by UID and the shadow rows as the users are."""
    sort_rows(database.passwd.local, lambda row: row.uid)
    if database.shadow.present:
        sort_rows_like(database.shadow.local, [row.name for row in database.passwd])
