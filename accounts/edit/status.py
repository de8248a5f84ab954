# SPDX-License-Identifier: MIT
"""What passwd(1) does to an account: lock, expire and the like, or a new password. Pure. Hot path."""

from __future__ import annotations

from accounts.edit.passwords import can_set_token, put_ageing, set_token, token_of
from accounts.edit.request import Request
from accounts.errors import E_NOPERM, E_NOTFOUND, E_PAM_ERR, E_PW_UPDATE, Fail
from accounts.model.dates import format_day
from accounts.model.release import NO_MIN
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database
    from accounts.model.records import Passwd, Shadow
    from accounts.model.release import Release

FILES = ("passwd", "shadow")


class ChangeStatus(Request):
    """The options of passwd(1) but the password itself; None and False leave things as they are.

    min, max, warn, inactive: days, -1 for none. passwd: encrypted already, where shadow sets it and not PAM. changed:
    the day of the change, where shadow notes it: of everything below a prefix, since 4.14. caller: who asks, for
    syslog. today: days since the epoch, by the clock that PAM reads.
    """

    __slots__ = (
        "caller", "changed", "delete", "expire", "inactive", "lock", "max", "min", "name", "passwd", "today", "unlock",
        "warn",
    )  # fmt: skip
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "delete": False, "expire": False, "lock": False, "unlock": False, "min": None, "max": None, "warn": None,
        "inactive": None, "passwd": None, "changed": None,
    }  # fmt: skip
    name: bytes
    caller: bytes
    today: int
    delete: bool
    expire: bool
    lock: bool
    unlock: bool
    min: int | None
    max: int | None
    warn: int | None
    inactive: int | None
    passwd: bytes | None
    changed: int | None

    def look(self, facts: Facts, report: Report) -> bool:
        """Whether the shadow row is meant; as in shadow, without one it is the password in passwd."""
        return facts.is_present("shadow") and facts.view(FILES).shadow.get(self.name) is not None

    def files(self, plan: bool, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if facts.release >= (4, 19):
            return FILES, ()
        # An expired password of an image user takes a row in passwd, too.
        expires = self.expire or self.max is not None
        if plan and not (expires and facts.view(FILES).passwd.image.find(self.name) is not None):
            return ("shadow",), ("passwd",)
        return FILES, ()

    def check(self, facts: Facts, report: Report, looked: bool) -> bool:
        return looked

    def edit(self, database: Database, plan: bool, facts: Facts, report: Report) -> None:
        shadow = database.shadow.get(self.name)
        user = None if plan else database.passwd.get(self.name)
        if shadow is not None:
            row = shadow.replace(passwd=self.apply(shadow.passwd), **self.ageing())
            put_ageing(database, shadow, row, self.today, facts)
        elif user is not None:
            database.passwd.put(user.replace(passwd=self.apply(user.passwd)))
        else:
            # Gone since it was looked at.
            raise Fail(E_NOTFOUND, f"user '{fsdecode(self.name)}' does not exist in {facts.shown('passwd')}")
        report.log.append(changed_line(self.name, self.caller))
        if facts.release >= (4, 20):
            self._audit(None if shadow is None else database.shadow.get(self.name), facts, report)

    def _audit(self, shadow: Shadow | None, facts: Facts, report: Report) -> None:
        """The records of what was asked for. shadow: the row as it is now, None where it was passwd's password."""
        found = facts.find_user(self.name)
        told = []
        if self.lock:
            told.append(("ACCT_LOCK", "locked-password"))
        if self.unlock:
            told.append(("ACCT_UNLOCK", "unlocked-password"))
        if self.delete:
            told.append(("USER_CHAUTHTOK", "deleted-password"))
        if self.expire and shadow is not None:
            told.append(("USER_MGMT", "expired-password"))
        if shadow is not None and (self.max, self.warn, self.inactive) != (None, None, None):
            days = f"min=-1 max={shadow.max} warn={shadow.warn} inact={shadow.inactive}"
            told.append(("USER_MGMT", f"changed-password-aging {days}"))
        for kind, operation in told:
            report.audit.append((kind, operation, b"", found and found[0], True, b""))

    def apply(self, passwd: bytes) -> bytes:
        """The new password field. Raises Fail when unlocking would leave no password at all."""
        if self.passwd is not None:
            passwd = self.passwd
        if self.delete:
            passwd = b""
        if self.unlock and passwd.startswith(b"!"):
            if passwd == b"!":
                raise Fail(
                    E_PW_UPDATE,
                    "unlocking the password would result in a passwordless account.\n"
                    "You should set a password with usermod -p to unlock the password of this account.",
                )
            passwd = passwd[1:]
        if self.lock and not passwd.startswith(b"!"):
            passwd = b"!" + passwd
        return passwd

    def ageing(self) -> dict[str, Any]:
        """The fields of shadow(5) that change besides the password."""
        days = {
            "min": self.min, "max": self.max, "warn": self.warn, "inactive": self.inactive, "lstchg": self.changed,
        }  # fmt: skip
        changes = {name: day for name, day in days.items() if day is not None}
        return changes | {"lstchg": 0} if self.expire else changes


class SetToken(Request):
    """A new password, already encrypted, as pam_unix(8) sets it.

    caller: who asks, for syslog; None where PAM tells it. proven: the password field that whoever asks has proven to
    know; None where he need not.
    """

    __slots__ = ("caller", "name", "passwd", "proven")
    DEFAULTS: ClassVar[dict[str, Any]] = {"proven": None}
    name: bytes
    passwd: bytes
    caller: bytes | None
    proven: bytes | None

    def look(self, facts: Facts, report: Report) -> None:
        """It was looked at before the password was asked for."""

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return FILES, ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        if not can_set_token(database, self.name):
            raise token_error()
        if self.proven is not None and token_of(database, self.name) != self.proven:
            raise Fail(E_NOPERM, "the password has changed since it was asked for")
        set_token(database, self.name, self.passwd, facts.today())
        if self.caller is not None:
            report.log.append(changed_line(self.name, self.caller))

    def no_backup(self, report: Report) -> Collection[str]:
        # pam_unix keeps none.
        return FILES


def changed_line(name: bytes, caller: bytes) -> str:
    """What syslog is told."""
    return f"password for '{fsdecode(name)}' changed by '{fsdecode(caller)}'"


def token_error() -> Fail:
    """The error that says what PAM said."""
    return Fail(E_PAM_ERR, "Authentication token manipulation error", "password unchanged")


def status_line(user: Passwd, shadow: Shadow | None, release: Release) -> str:
    """The line of -S."""
    name = fsdecode(user.name)
    if shadow is None:
        return f"{name} {kind_of(user.passwd)}\n"
    day = format_day(shadow.lstchg)
    least = shadow.min if release < NO_MIN else -1
    return f"{name} {kind_of(shadow.passwd)} {day} {least} {shadow.max} {shadow.warn} {shadow.inactive}\n"


def kind_of(passwd: bytes) -> str:
    """L for locked, NP for no password, P for a password."""
    return "L" if passwd[:1] in (b"*", b"!") else "P" if passwd else "NP"
