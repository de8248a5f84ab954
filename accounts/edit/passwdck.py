# SPDX-License-Identifier: MIT
"""The checks of pwck over both layers and their join, and the repairs of the local layer. Pure."""

from __future__ import annotations

from accounts.edit.checks import Checks, text_of
from accounts.model.names import is_valid_user_name
from accounts.model.records import MAX_ID, Shadow
from accounts.model.release import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.edit.checks import Console
    from accounts.model.database import Database
    from accounts.model.records import Passwd


class System:
    """What pwck asks besides the two files.

    has_gid: whether NSS knows a GID. exists: whether a path does. new_row: the shadow row for a user that has
    none, without its password. today: days since the epoch. system_uids: the UIDs whose homes are not looked
    at. nonexistent: a home that need not exist. passwd_file, shadow_file: what to call the local files.
    release: of shadow, whose names are meant.
    """

    has_gid: Callable[[int], bool]
    exists: Callable[[bytes], bool]
    new_row: Callable[[bytes], Shadow]
    today = 0
    system_uids: range = range(0)
    nonexistent: bytes | None = None
    passwd_file = ""
    shadow_file = ""
    release = DEFAULT


class PasswdCheck(Checks):
    """One run of the checks. quiet: errors only. badname: any name will do. shadowed: look at shadow too."""

    def __init__(
        self, database: Database, console: Console, system: System, quiet: bool, badname: bool, shadowed: bool
    ) -> None:
        super().__init__(database, console)
        self._system = system
        self._quiet = quiet
        self._badname = badname
        self._shadowed = shadowed

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
            release = self._system.release
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
        system = self._system
        who = f"user '{text_of(user.name)}'"
        if not system.has_gid(user.gid):
            self._report(f"{who}: no group {user.gid}", image)
        if (
            user.uid not in system.system_uids
            and user.home not in (b"", system.nonexistent)
            and not system.exists(user.home)
        ):
            self._report(f"{who}: directory '{text_of(user.home)}' does not exist", image)
        if user.shell and not system.exists(user.shell):
            self._report(f"{who}: program '{text_of(user.shell)}' does not exist", image)

    def _check_shadow_row(self, user: Passwd, image: bool) -> None:
        system, database = self._system, self._database
        name = text_of(user.name)
        if database.shadow.get(user.name) is None:
            self._report(f"no matching password file entry in {system.shadow_file}", image)
            if self._console.ask(f"add user '{name}' in {system.shadow_file}? ", True):
                self.changed = True
                database.shadow.put(system.new_row(user.name).replace(passwd=user.passwd))
                database.passwd.put(user.replace(passwd=b"x"))
        elif not self._quiet and user.passwd != b"x":
            self._report(
                f"user {name} has an entry in {system.shadow_file}, "
                f"but its password field in {system.passwd_file} is not set to 'x'",
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
        shadow, system = self._database.shadow, self._system
        for position, line, row in self._rows(shadow, image):
            # A row that was added above needs no look, a row of the image none where a local one stands for it.
            if position < 0 or (image and shadow.local.find(row.name) is not None):
                continue
            if self._is_deleted_duplicate(shadow, position, line, row.name, image):
                continue
            if self._database.passwd.get(row.name) is None:
                finding = f"no matching password file entry in {system.passwd_file}"
                if self._offer_deletion(shadow, position, line, finding, image):
                    continue
            if not self._quiet and row.lstchg > system.today:
                self._report(f"user {text_of(row.name)}: last password change in the future", image)


def sort_users(database: Database) -> None:
    """Order the local passwd rows by UID and the shadow rows as the users are."""
    database.passwd.local.sort(lambda row: row.uid)
    if database.shadow.present:
        database.shadow.local.sort_like([row.name for row in database.passwd])
