# SPDX-License-Identifier: MIT
"""A new user: passwd and shadow, its own group, memberships, subordinate ids. Pure. Hot path."""

from __future__ import annotations

from accounts.edit.groupadd import add_group
from accounts.edit.request import Request
from accounts.errors import (
    E_BAD_ARG,
    E_BAD_NAME,
    E_GID_IN_USE,
    E_NAME_IN_USE,
    E_SUB_GID_UPDATE,
    E_SUB_UID_UPDATE,
    E_UID_IN_USE,
    Fail,
    NoId,
)  # fmt: skip
from accounts.model.names import is_valid_user_name, name_error
from accounts.model.records import MAX_ID, SHADOWED, Passwd, Shadow, join_members
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database
    from accounts.model.release import Release

LOG_INFO = 6
DEBIAN_GLOBAL = range(60000, 65000)
_REASONS = ("Numerical result out of range", "Too many users")


class AddUser(Request):
    """A new user. What is None is as default/useradd and login.defs have it.

    passwd: encrypted. gid: of the primary group; user_group: whether that is a new one with the user's name. groups:
    names of groups to be a member of. home: by default below base. expire: days since the epoch, -1 for never;
    inactive: days, -1 for never. skel: what a new home has. system: a system account. non_unique: fine if the UID is
    taken. bad_name: any name. create_home; subvolume: as one of btrfs. init_logs: forget what a user of that UID has
    left in the login records. selinux_user: to be mapped to, with selinux_range. system_subids: subordinate ids for a
    system account, too.
    """

    __slots__ = (
        "bad_name", "base", "create_home", "expire", "gecos", "gid", "groups", "home", "inactive", "init_logs", "name",
        "non_unique", "passwd", "selinux_range", "selinux_user", "shell", "skel", "subvolume", "system",
        "system_subids", "uid", "user_group",
    )  # fmt: skip
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "uid": None, "gid": None, "gecos": b"", "home": None, "base": None, "shell": None, "passwd": b"!",
        "groups": None, "expire": None, "inactive": None, "skel": None, "user_group": None, "create_home": None,
        "init_logs": None, "selinux_user": b"", "selinux_range": b"", "system": False, "non_unique": False,
        "bad_name": False, "subvolume": False, "system_subids": False,
    }  # fmt: skip
    HOOKS = "useradd"
    name: bytes
    uid: int | None
    gid: int | None
    gecos: bytes
    home: bytes | None
    base: bytes | None
    shell: bytes | None
    passwd: bytes
    groups: tuple[bytes, ...] | None
    expire: int | None
    inactive: int | None
    skel: bytes | None
    user_group: bool | None
    create_home: bool | None
    init_logs: bool | None
    selinux_range: bytes
    selinux_user: bytes
    system: bool
    non_unique: bool
    bad_name: bool
    subvolume: bool
    system_subids: bool

    def validate(self, facts: Facts) -> None:
        if not is_valid_user_name(self.name, self.bad_name, facts.release):
            why = E_BAD_ARG if facts.release < (4, 17) else E_BAD_NAME
            raise Fail(why, name_error(self.name, self.bad_name, facts.release))

    def look(self, facts: Facts, report: Report) -> UserPlan:
        return self.check(facts, report, UserPlan(self, facts))

    def files(self, plan: UserPlan, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if facts.release >= (4, 20):
            plan.subids = _choose_subids(self, facts)
        return ("passwd", "group", "gshadow", *plan.subids, "shadow"), ()

    def check(self, facts: Facts, report: Report, looked: UserPlan) -> UserPlan:
        report.kind = "ADD_USER"
        shown = fsdecode(self.name)
        report.failed.append((LOG_INFO, f"failed adding user '{shown}', exit code: ", True))
        report.if_failed("adding user", self.name)
        facts.view(("passwd", "group"))
        if facts.find_user(self.name) is not None:
            report.if_failed("adding user", self.name)
            raise Fail(E_NAME_IN_USE, f"user '{shown}' already exists")
        if looked.user_group and facts.find_group(self.name) is not None:
            report.if_failed("adding group", self.name)
            raise Fail(E_NAME_IN_USE, f"group {shown} exists - if you want to add this user to that group, use -g.")
        return looked

    def edit(self, database: Database, plan: UserPlan, facts: Facts, report: Report) -> None:
        uid, gid = self._choose_ids(plan, facts, report)
        new_uid = not self.non_unique or not facts.has_uid(uid)
        report.uid = uid
        shown = fsdecode(self.name)
        if plan.user_group:
            add_group(database, self.name, gid, b"!", ())
            report.done(f"new group: name={shown}, GID={gid}", "adding group", self.name, "ADD_GROUP")
        self._add_subids(database, plan, uid, facts)
        report.done(
            f"new user: name={shown}, UID={uid}, GID={gid}, home={fsdecode(plan.home)}, "
            f"shell={fsdecode(plan.shell)}, from={facts.terminal()}",
            "adding user",
        )
        report.audit[-1] = ("ADD_USER", "adding user", self.name, uid, True, b"")
        # Day 0 would mean that the password has to be changed; no ageing is better.
        shadow = Shadow(self.name, self.passwd, facts.today() or -1)
        if not self.system:
            shadow.min, shadow.max, shadow.warn = facts.defs.ageing()
            shadow.inactive, shadow.expire = plan.inactive, plan.expire
        user = Passwd(self.name, self.passwd, uid, gid, self.gecos, plan.home, plan.shell)
        add_user(database, user, shadow, plan.groups, report)
        steps = report.steps
        if plan.init_logs:
            steps.append(("reset_login_records", (self.name, uid if new_uid else None)))
        if self.selinux_user:
            steps.append(("map_selinux_user", (self.name, self.selinux_user, self.selinux_range)))
        if plan.create_home:
            subvolume = self.is_subvolume(uid, plan, facts)
            steps.append(("create_home", (self.name, plan.home, (uid, gid), plan.skel, subvolume)))
        if plan.create_mail:
            steps.append(("create_mail", (self.name, uid, gid, facts.find_group(b"mail"))))

    def is_subvolume(self, uid: int, plan: UserPlan, facts: Facts) -> bool:
        """Whether the home is one of btrfs; since 4.20 a system user's only where default/useradd says so."""
        if not plan.subvolume or facts.release < (4, 20) or facts.useradd_defaults.system_subvolume.lower() == b"yes":
            return plan.subvolume
        low, high = facts.defs.get_ulong("UID_MIN", 1000), facts.defs.get_ulong("UID_MAX", 60000)
        return low <= uid <= high

    def _choose_ids(self, plan: UserPlan, facts: Facts, report: Report) -> tuple[int, int]:
        """(UID, GID)."""
        uid = self.uid
        if uid is None:
            try:
                uid = facts.free_id("UID", self.system)
            except NoId as error:
                raise Fail(E_UID_IN_USE, str(error), "can't create user") from None
        else:
            if not self.non_unique and facts.has_uid(uid):
                report.if_failed("adding user", self.name, uid)
                raise Fail(E_UID_IN_USE, f"UID {uid} is not unique")
            self._check_range(uid, facts)
            facts.check_overlap("UID", uid, f"useradd warning: {fsdecode(self.name)}'s uid")
        if not plan.user_group:
            return uid, plan.gid
        try:
            return uid, facts.free_id("GID", self.system, uid)
        except NoId as error:
            raise Fail(E_GID_IN_USE, str(error), "can't create group") from None

    def _check_range(self, uid: int, facts: Facts) -> None:
        """Complain of a UID that is outside of the range of its kind."""
        defs = facts.defs
        # The real tool prints these numbers as C ints, and takes 6000 for a missing UID_MAX.
        who = f"useradd warning: {fsdecode(self.name)}'s uid {_c_int(uid)}"
        if self.system:
            high = defs.get_ulong("SYS_UID_MAX", (defs.get_ulong("UID_MIN", 1000) - 1)) & MAX_ID
            # Debian gives out 60000 to 64999 itself, and no longer warns of them.
            if uid > high and (facts.release < (4, 17) or uid not in DEBIAN_GLOBAL):
                facts.complain(f"{who} is greater than SYS_UID_MAX {_c_int(high)}\n")
            return
        low = defs.get_ulong("UID_MIN", 1000) & MAX_ID
        high = defs.get_ulong("UID_MAX", 6000) & MAX_ID
        if low <= high and not low <= uid <= high:
            facts.complain(f"{who} outside of the UID_MIN {_c_int(low)} and UID_MAX {_c_int(high)} range.\n")

    def _add_subids(self, database: Database, plan: UserPlan, uid: int, facts: Facts) -> None:
        """Give the new user ranges of subordinate ids."""
        if not plan.subids:
            return
        from accounts.model.ids import SubidPool, add_subid_range

        for name, kind, words, why in (
            ("subuid", "UID", "user", E_SUB_UID_UPDATE),
            ("subgid", "GID", "group", E_SUB_GID_UPDATE),
        ):
            if name in plan.subids:
                table = database.tables[name].local
                image, reserved = database.tables[name].image, facts.reserved_ranges(name)
                pool = SubidPool(table, kind, facts.defs, image, facts.release, reserved)
                try:
                    start, count = pool.find(uid)
                except NoId as error:
                    raise subid_failure(why, f"can't create subordinate {words} IDs", error, facts.release) from None
                # At first only a range that is the same was not given to who has one.
                if facts.release < (4, 14) or not pool.owns(self.name, uid, False):
                    add_subid_range(table, pool.owner(self.name, uid), start, count)


class UserPlan:
    """What an AddUser comes to with the machine's defaults. subids: those of subuid and subgid to get a range of."""

    __slots__ = (
        "create_home", "create_mail", "expire", "gid", "groups", "home", "inactive", "init_logs", "shell", "skel",
        "subids", "subvolume", "user_group",
    )  # fmt: skip

    def __init__(self, request: AddUser, facts: Facts) -> None:
        defaults, defs = facts.useradd_defaults, facts.defs
        if request.user_group is None:
            self.user_group = request.gid is None and defs.get_bool("USERGROUPS_ENAB")
        else:
            self.user_group = request.user_group
        self.gid = defaults.group if request.gid is None else request.gid
        base = defaults.home if request.base is None else request.base
        self.home = base + b"/" + request.name if request.home is None else request.home
        self.shell = defaults.shell if request.shell is None else request.shell
        self.inactive = defaults.inactive if request.inactive is None else request.inactive
        skel = defaults.skel if request.skel is None else request.skel
        self.skel = (skel, defaults.usr_skel) if facts.release >= (4, 14) else (skel,)
        automatic = defaults.group_names if not request.system or facts.release < (4, 19) else ()
        self.groups = automatic if request.groups is None else request.groups
        self.subvolume = request.subvolume or defaults.subvolume.lower() == b"yes"
        self.expire = -1 if request.expire is None else request.expire
        if request.expire is None and defaults.expire:
            from accounts.model.dates import parse_day

            self.expire = parse_day(defaults.expire, release=facts.release)
        logs = defaults.log_init != b"no"
        self.init_logs = logs if request.init_logs is None else request.init_logs and logs
        wanted = not request.system and defs.get_bool("CREATE_HOME")
        self.create_home = wanted if request.create_home is None else request.create_home
        self.create_mail = not request.system and defaults.create_mail_spool.lower() == b"yes"
        # Since 4.20 shadow asks for it when it locks.
        self.subids = _choose_subids(request, facts) if facts.release < (4, 20) else []


def _choose_subids(request: AddUser, facts: Facts) -> list[str]:
    if facts.release >= (4, 20):
        return [f"sub{kind.lower()}" for kind in ("UID", "GID") if _wants_subids(request, kind, facts)]
    defs = facts.defs
    low = defs.get_ulong("UID_MIN", 1000) & MAX_ID
    high = defs.get_ulong("UID_MAX", 60000) & MAX_ID
    counts = [(kind, defs.get_ulong(f"SUB_{kind}_COUNT", 65536)) for kind in ("UID", "GID")]
    if request.system and not request.system_subids:
        return []
    if request.uid and not low <= request.uid <= high:
        return []
    names = [f"sub{kind.lower()}" for kind, count in counts if count]
    return [name for name in names if facts.is_present(name)]


def _wants_subids(request: AddUser, kind: str, facts: Facts) -> bool:
    """What 4.20 makes of it: --add-subids-for-system is for every UID."""
    defs = facts.defs
    low = defs.get_ulong("UID_MIN", 1000) & MAX_ID
    high = defs.get_ulong("UID_MAX", 60000) & MAX_ID
    if not defs.get_ulong(f"SUB_{kind}_COUNT", 65536) or not facts.is_present(f"sub{kind.lower()}"):
        return False
    return request.system_subids or not (request.system or (request.uid is not None and not low <= request.uid <= high))


def subid_failure(why: str, what: str, error: NoId, release: Release) -> Fail:
    """What there is to say when no subordinate range is found; since 4.20 the reason is errno's."""
    reason = str(error)
    if release < (4, 20):
        return Fail(why, reason, what)
    # What has been said already has set no errno.
    return Fail(why, f"{what}: {reason}") if reason in _REASONS else Fail(why, reason, f"{what}: Success")


def _c_int(value: int) -> int:
    return value - 0x100000000 if value > 0x7FFFFFFF else value


def add_user(database: Database, user: Passwd, shadow: Shadow, groups: Iterable[bytes], report: Report) -> None:
    """Add a user and make it a member of groups that exist.

    shadow: its row, written where shadow is in use; user's own password field is replaced then. Raises Refusal.
    """
    if database.shadow.present:
        database.passwd.put(user.replace(passwd=SHADOWED))
        database.shadow.put(shadow)
    else:
        database.passwd.put(user)
    who = fsdecode(user.name)
    names = dict.fromkeys(groups)
    # What the logs are told is in file order, and a row may list somebody of that name already.
    for row in database.group.rows_about(user.name, names) if names else ():
        if row.name in names:
            database.group.put(row.replace(members=join_members(row.members, (user.name,))))
            text = f"add '{who}' to group '{fsdecode(row.name)}'"
            report.done(text, "adding user to group", user.name, group=row.name)
    for secret in database.gshadow.rows_about(user.name, names) if names else ():
        if secret.name in names:
            database.gshadow.put(secret.replace(members=join_members(secret.members, (user.name,))))
            text = f"add '{who}' to shadow group '{fsdecode(secret.name)}'"
            report.done(text, "adding user to shadow group", user.name, group=secret.name)
