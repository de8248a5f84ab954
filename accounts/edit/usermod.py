# SPDX-License-Identifier: MIT
"""Changes of a user: passwd and shadow kept in step, memberships, subordinate ids. Pure. Hot path."""

from __future__ import annotations

from accounts.edit.request import Request
from accounts.edit.userchange import UserChange, change_user
from accounts.errors import (
    E_BAD_ARG,
    E_NAME_IN_USE,
    E_NOTFOUND,
    E_SUB_GID_UPDATE,
    E_SUB_UID_UPDATE,
    E_UID_IN_USE,
    E_USAGE,
    E_USER_BUSY,
    Done,
    Fail,
    FileError,
    NoId,
    Refusal,
    Usage,
)  # fmt: skip
from accounts.model.names import is_valid_user_name, name_error
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Report
    from accounts.edit.userchange import Range
    from accounts.errors import AccountsError
    from accounts.model.database import Database, Layered

AUDIT = "USER_CHAUTHTOK"
SUBIDS = (("subuid", "UID", "uid", E_SUB_UID_UPDATE), ("subgid", "GID", "gid", E_SUB_GID_UPDATE))


class ChangeUser(Request):
    """Changes of a user; what is None or False stays.

    passwd: encrypted. expire: days since the epoch, -1 for never; inactive: days, -1 for never. groups: names of all
    the groups to be a member of; with append besides those that there are, with remove no longer. subids: ranges to
    add and remove, in this order; new_subids: free ones as login.defs has them, too. move_home: what is in the home
    directory comes along. selinux_user: b"" for no mapping; with selinux_range. non_unique: fine if the UID is taken.
    bad_name: any new name.
    """

    __slots__ = (
        "append", "bad_name", "expire", "gecos", "gid", "groups", "home", "inactive", "lock", "move_home", "name",
        "new_name", "new_subids", "non_unique", "passwd", "remove", "selinux_range", "selinux_user", "shell", "subids",
        "uid", "unlock",
    )  # fmt: skip
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "new_name": None, "uid": None, "gid": None, "gecos": None, "home": None, "shell": None, "passwd": None,
        "lock": False, "unlock": False, "expire": None, "inactive": None, "groups": None, "append": False,
        "remove": False, "subids": (), "new_subids": False, "move_home": False, "selinux_user": None,
        "selinux_range": b"", "non_unique": False, "bad_name": False,
    }  # fmt: skip
    name: bytes
    new_name: bytes | None
    uid: int | None
    gid: int | None
    gecos: bytes | None
    home: bytes | None
    shell: bytes | None
    passwd: bytes | None
    lock: bool
    unlock: bool
    expire: int | None
    inactive: int | None
    groups: tuple[bytes, ...] | None
    append: bool
    remove: bool
    subids: tuple[Range, ...]
    new_subids: bool
    move_home: bool
    selinux_range: bytes
    selinux_user: bytes | None
    non_unique: bool
    bad_name: bool

    def validate(self, facts: Facts) -> None:
        if self.new_name is not None and not is_valid_user_name(self.new_name, self.bad_name, facts.release):
            raise Fail(E_BAD_ARG, name_error(self.new_name, self.bad_name, facts.release))

    def look(self, facts: Facts, report: Report) -> UserChange:
        change = self._decide(facts)
        if change.moves or any(not add for _, add, _, _ in self.subids):
            pid = facts.find_process(self.name, change.old_uid)
            if pid is not None:
                raise Fail(E_USER_BUSY, f"user {fsdecode(self.name)} is currently used by process {pid}")
        report.kind = AUDIT
        report.if_failed("modifying account", self.name)
        return change

    def files(self, plan: UserChange, facts: Facts) -> tuple[list[str], tuple[str, ...]]:
        groups = plan.groups is not None or plan.name is not None
        shadow = facts.release < (4, 20) or plan.touches_shadow()
        files = ["passwd", *["shadow"] * shadow, *["group", "gshadow"] * groups, *self._subid_tables()]
        return files, () if shadow else ("shadow",)

    def _subid_tables(self) -> list[str]:
        named = {table for table, _, _, _ in self.subids}
        return [name for name in ("subuid", "subgid") if self.new_subids or name in named]

    def check(self, facts: Facts, report: Report, looked: UserChange) -> UserChange:
        report.if_failed("modifying account", self.name)
        return self._decide(facts)

    def edit(self, database: Database, plan: UserChange, facts: Facts, report: Report) -> None:
        report.uid = plan.old_uid if plan.uid is None else plan.uid
        if plan.uid is not None:
            facts.check_overlap("UID", plan.uid, f"usermod warning: {fsdecode(self.name)}'s uid")
        change_user(database, self.name, plan, facts.shown, report)
        for table, kind, words, why in SUBIDS if self.new_subids else ():
            self._add_range(database.tables[table], kind, words, why, report.uid, facts)
        if self.selinux_user is not None:
            report.steps.append(("map_selinux_user", (self.name, self.selinux_user, self.selinux_range)))
        if any(value is not None for value in (plan.name, plan.uid, plan.gid, plan.home)):
            report.steps.append(("follow_user", (self.name, plan, self.move_home)))

    def _add_range(self, table: Layered, kind: str, words: str, why: str, uid: int, facts: Facts) -> None:
        """A free range of subordinate ids, of the size that login.defs says: real 4.20 gives one id too many."""
        from accounts.edit.useradd import subid_failure
        from accounts.model.ids import SubidPool, add_subid_range

        reserved = facts.reserved_ranges(table.name)
        pool = SubidPool(table.local, kind, facts.defs, table.image, facts.release, reserved)
        try:
            start, count = pool.find(uid)
        except NoId as error:
            what = f"unable to find new subordinate {words} range"
            raise subid_failure(why, what, error, facts.release) from None
        add_subid_range(table.local, pool.owner(self.name, uid), start, count)

    def give_up(self, error: AccountsError, locked: bool, facts: Facts, report: Report) -> None:
        """What the real tool prints when it gives up: it also unlocks files that do not exist."""
        database = error.database if isinstance(error, FileError) else ""
        if isinstance(error, Refusal) or (not locked and database in ("passwd", "shadow")):
            return
        grouped = self.groups is not None or self.new_name not in (None, self.name)
        shadow = facts.release < (4, 20)
        gshadow = grouped and (locked or database not in ("group", "gshadow"))
        report.notes += [
            f"failed to unlock {facts.shown(name)}"
            for name in ["gshadow"] * gshadow + ["shadow"] * shadow
            if not facts.is_present(name)
        ]

    def _decide(self, facts: Facts) -> UserChange:
        """What is to change, less what is so already."""
        database = facts.view(("passwd", "shadow"))
        user = database.passwd.get(self.name)
        ids = facts.find_user(self.name)
        if ids is None:
            raise Fail(E_NOTFOUND, f"user '{fsdecode(self.name)}' does not exist")
        shadow = database.shadow.get(self.name)
        self._check_fields()
        change = UserChange()
        change.old_uid, change.old_gid = ids
        change.old_home = None if user is None else user.home
        change.lock, change.unlock, change.append, change.remove = self.lock, self.unlock, self.append, self.remove
        change.groups, change.passwd, change.subids = self.groups, self.passwd, self.subids
        change.refuses_passwordless = facts.release >= (4, 20)
        change.strips_slashes = facts.release >= (4, 19)
        change.uid = _unless(self.uid, ids[0])
        change.gid = _unless(self.gid, ids[1])
        change.name = _unless(self.new_name, self.name)
        change.shell = _unless(self.shell, user and user.shell)
        change.home = _unless(self.home, user and user.home)
        change.gecos = _unless(self.gecos, user and user.gecos)
        # As in the real tool 0 is what a user without a shadow row has; since 4.20 nothing that can be asked for.
        missing = 0 if facts.release < (4, 20) else -2
        change.inactive = _unless(self.inactive, missing if shadow is None else shadow.inactive)
        change.expire = _unless(self.expire, missing if shadow is None else shadow.expire)
        dated = self.passwd is not None or self.expire is not None or self.inactive is not None
        change.today = facts.today() if dated else 0
        change.ageing = facts.defs.ageing
        touched = change.touches_passwd() or change.touches_shadow()
        subids = change.subids or self.new_subids
        if not (touched or change.groups is not None or subids or self.selinux_user is not None):
            raise Done("no changes" if facts.release < (4, 19) else None)
        if not database.shadow.present and (change.expire is not None or change.inactive is not None):
            raise Fail(E_USAGE, "shadow passwords required for -e and -f")
        if change.name is not None and facts.find_user(change.name) is not None:
            raise Fail(E_NAME_IN_USE, f"user '{fsdecode(change.name)}' already exists")
        if change.uid is not None and not self.non_unique and facts.has_uid(change.uid):
            raise Fail(E_UID_IN_USE, f"UID '{change.uid}' already exists")
        for table in self._subid_tables():
            if not facts.is_present(table):
                flags = "-v or -V" if table == "subuid" else "-w or -W"
                raise Fail(E_USAGE, f"{facts.shown(table)} does not exist, you cannot use the flags {flags}")
        return change

    def _check_fields(self) -> None:
        """What needs or excludes something else, in the order and the words of shadow. Raises Usage."""
        if self.groups is None and (self.append or self.remove):
            raise Usage(f"-{'a' if self.append else 'r'} flag is only allowed with the -G flag")
        if self.append and self.remove:
            raise Usage("-r and -a are mutually exclusive flags")
        if self.lock + self.unlock + (self.passwd is not None) > 1:
            raise Usage("the -L, -p, and -U flags are exclusive")
        if self.non_unique and self.uid is None:
            raise Usage("-o flag is only allowed with the -u flag")
        if self.move_home and self.home is None:
            raise Usage("-m flag is only allowed with the -d flag")


def _unless(wanted: Any, current: Any) -> Any:
    return None if wanted == current else wanted
