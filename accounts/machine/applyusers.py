# SPDX-License-Identifier: MIT
"""Users are made and changed as a declaration says, by the requests of useradd, usermod and chage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accounts.edit.ageing import SetAgeing
from accounts.edit.useradd import AddUser, UserPlan
from accounts.edit.usermod import ChangeUser
from accounts.machine.applied import LOCKED, PRESENT, MemoryLine
from accounts.machine.declaration import DeclaredAccount
from accounts.machine.words import describe_change, shown

if TYPE_CHECKING:
    from accounts.machine.apply import Convergence
    from accounts.machine.applysubids import Subids

# usermod(8): with a date in the past no kind of login is left, ssh keys included. 0 would be ambiguous to shadow(5).
EXPIRED = 1
_DAYS = {"inactive": "inactive", "mindays": "min", "maxdays": "max", "warndays": "warn", "expiredate": "expire"}


class Users:
    """The users of one run."""

    def __init__(self, run: Convergence, subids: Subids) -> None:
        self._run = run
        self._subids = subids
        self._database = run.database
        self._skel: tuple[bytes, ...] | None = None

    def converge(self, entry: DeclaredAccount) -> None:
        """Make the user, or change what is declared. Raises BadArgument."""
        name = entry.name
        row = self._database.passwd.get(name)
        self._run.forget_changed("passwd", name, None if row is None else row.uid)
        if row is None:
            self._add(entry)
        self._change(entry)
        self._create_home(entry)

    def remember(self) -> None:
        """Put what was declared into memory, as far as it is apply's."""
        for entry in self._run.declaration.users.values():
            self._run.flag("passwd", entry)

    # A new one

    def _add(self, entry: DeclaredAccount) -> None:
        run, name = self._run, entry.name
        facts = run.facts
        facts.owner = name
        uid = entry.values.get("uid")
        if uid is None:
            uid = facts.former("UID", name)
        else:
            run.check_former(entry, "uid", uid)
        gid = self._find_gid(entry)
        if gid is None:
            group = self._database.group.get(name)
            # As systemd-sysusers: a group of the user's name is the user's.
            gid = None if group is None else group.gid
        password = run.passwords.get(name, entry.initial.get("password", b"!"))
        request = AddUser(
            name=name,
            uid=uid,
            gid=gid,
            gecos=entry.get("gecos", b""),
            home=entry.get("home"),
            shell=entry.get("shell"),
            passwd=password,
            groups=() if "groups" in entry.values else None,
            system=bool(entry.get("system", False)),
            create_home=False,
        )
        wanted: list[str] = []

        def keep_subids(plan: UserPlan) -> None:
            wanted.extend(plan.subids)
            plan.subids = []

        had_group = self._database.group.get(name) is not None
        run.do(request, entry, tune=keep_subids)
        row = run.user(name)
        facts.take("UID", row.uid)
        run.made("passwd", name, row.uid)
        if not had_group and self._database.group.get(name) is not None:
            facts.take("GID", row.gid)
            run.made("group", name, row.gid)
        self._subids.give(entry, row.uid, wanted)
        run.outcome.note("made", "user", name, f"made, UID {row.uid}")

    def _find_gid(self, entry: DeclaredAccount) -> int | None:
        """The declared primary group's GID. Raises BadArgument."""
        wanted = entry.values.get("gid")
        if wanted is None:
            return None
        if isinstance(wanted, int):
            if not self._run.facts.has_gid(wanted):
                raise self._run.fault(entry, "gid", f"no group has the GID {wanted}: declare one")
            return wanted
        found = self._run.facts.find_group(wanted)
        if found is None:
            raise self._run.fault(entry, "gid", f"group '{shown(wanted)}' does not exist: declare it")
        return found

    # One that is there

    def _change(self, entry: DeclaredAccount) -> None:
        run, name = self._run, entry.name
        row = run.user(name)
        shadow = self._database.shadow.get(name) if self._database.shadow.present else None
        fields: dict[str, Any] = {}
        texts = []
        for key in ("gecos", "home", "shell"):
            if key in entry.values and getattr(row, key) != entry.values[key]:
                fields[key] = entry.values[key]
                texts.append(_describe(key, getattr(row, key), entry.values[key]))
        gid = self._find_gid(entry)
        if gid is not None and gid != row.gid:
            fields["gid"] = gid
            texts.append(f"GID {row.gid} -> {gid}")
        uid = entry.values.get("uid")
        if uid is not None and uid != row.uid:
            run.check_former(entry, "uid", uid)
            fields["uid"] = uid
            texts.append(f"UID {row.uid} -> {uid}")
        line = run.memory.lines.get(("passwd", name))
        current = row.passwd if shadow is None else shadow.passwd
        wanted = self._wanted_password(entry, current, line)
        if wanted == b"!" + current:
            fields["lock"] = True
        elif current == b"!" + wanted:
            fields["unlock"] = True
        elif wanted != current:
            fields["passwd"] = wanted
            texts.append("password")
        if fields:
            run.do(ChangeUser(name=name, **fields), entry, next(iter(fields)) if len(fields) == 1 else "")
            if "uid" in fields:
                run.facts.take("UID", fields["uid"])
                run.renumber("passwd", name, fields["uid"])
        texts += self._set_days(entry, shadow, line)
        if texts:
            run.outcome.note("changed", "user", name, ", ".join(texts))
        self._note_lock(entry, line, current, -1 if shadow is None else shadow.expire)

    def _wanted_password(self, entry: DeclaredAccount, current: bytes, line: MemoryLine | None) -> bytes:
        """What the password field has to be."""
        declared = self._run.passwords.get(entry.name)
        if entry.values.get("update-password") == "on_create":
            declared = None
        bare = current.removeprefix(b"!") if declared is None else declared.removeprefix(b"!")
        lock = entry.values.get("locked")
        if lock is None and declared is not None and declared.startswith(b"!"):
            lock = True
        if lock is None and line is not None and line.state == LOCKED:
            # Apply's own lock goes when the user is declared again.
            lock = "held" in line.flags
        if lock is None:
            # An administrator's lock stays, whatever the hash; a mark for "no password" is none.
            lock = is_locked(current) or (declared is None and current.startswith(b"!"))
        # Without anything behind the lock everybody would get in.
        return b"!" + bare if lock or not bare else bare

    def _set_days(self, entry: DeclaredAccount, shadow: Any, line: MemoryLine | None) -> list[str]:
        values = {field: entry.values[key] for key, field in _DAYS.items() if key in entry.values}
        if self._database.shadow.drops_min:
            # Of releases of shadow that know no such thing any more.
            values.pop("min", None)
        if entry.values.get("locked"):
            values["expire"] = EXPIRED
        elif line is not None and line.state == LOCKED:
            values.setdefault("expire", line.expire)
        days = {
            field: day for field, day in values.items() if day != (-1 if shadow is None else getattr(shadow, field))
        }
        if not days:
            return []
        self._run.do(SetAgeing(name=entry.name, days=days, today=self._run.facts.today()), entry)
        locks = "expiredate" not in entry.values or entry.values.get("locked")
        return [
            _describe(field, -1 if shadow is None else getattr(shadow, field), day)
            for field, day in days.items()
            if field != "expire" or not locks
        ]

    def _note_lock(self, entry: DeclaredAccount, line: MemoryLine | None, current: bytes, expire: int) -> None:
        """Remember the lock that apply has put on, or taken off."""
        run, name = self._run, entry.name
        locked = bool(entry.values.get("locked"))
        if locked and (line is None or line.state != LOCKED):
            held = {"held"} if is_locked(current) else set[str]()
            made = run.memory.lines.setdefault(("passwd", name), MemoryLine(run.user(name).uid))
            made.state, made.flags = LOCKED, made.flags | held
            made.expire = -1 if expire == EXPIRED else expire
            if not is_locked(current) or expire != EXPIRED:
                run.outcome.note("locked", "user", name, "locked")
        elif not locked and line is not None and line.state == LOCKED:
            line.state, line.flags, line.expire = PRESENT, line.flags - {"held"}, -1
            run.outcome.note("unlocked", "user", name, "unlocked")
            if not line.made:
                del run.memory.lines["passwd", name]

    # Its home

    def _create_home(self, entry: DeclaredAccount) -> None:
        run, name = self._run, entry.name
        line = run.memory.lines.get(("passwd", name))
        usual = line is not None and line.made and not entry.get("system", False)
        row = run.user(name)
        began = line is not None and "home" in line.flags
        # Of root's it cannot be seen.
        unfinished = began and row.uid != 0 and run.is_unfinished(row.home)
        if not entry.values.get("create-home", usual) or not row.home.startswith(b"/"):
            return
        if run.is_there(row.home) and not unfinished:
            run.finish_home(name)
            return
        line = run.memory.lines.setdefault(("passwd", name), MemoryLine(row.uid))
        line.flags |= {"home"}
        request = AddUser(name=name)
        plan = UserPlan(request, run.facts)
        subvolume = request.is_subvolume(row.uid, plan, run.facts)
        run.homes.append((name, row.home, (row.uid, row.gid), plan.skel, subvolume, unfinished))
        run.outcome.note("home", "user", name, f"home {shown(row.home)} made")


def is_locked(passwd: bytes) -> bool:
    """Whether a password field holds a hash that is locked."""
    return passwd.startswith(b"!") and bool(passwd.strip(b"!*"))


def _describe(field: str, before: Any, after: Any) -> str:
    old, new = describe_change(field, before, after)
    return f"{field} {old} -> {new}"
