# SPDX-License-Identifier: MIT
"""The ageing of a password, as chage(1) sets it. Pure. Hot path."""

from __future__ import annotations

from accounts.edit.passwords import change_ageing
from accounts.edit.request import Request
from accounts.errors import E_NOTFOUND, E_SHADOW_NOTFOUND, Fail
from accounts.model.records import Shadow
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database
    from accounts.model.records import Passwd

FILES = ("passwd", "shadow")
AGEING_AUDIT = "USER_CHAUTHTOK"
FAILED_AUDIT = "change age"
# Fields and what shadow's audit calls them, in its order.
AUDITED = {
    "max": "change max age", "min": "change min age", "lstchg": "change last change date",
    "warn": "change passwd warning", "inactive": "change inactive days", "expire": "change passwd expiration",
}  # fmt: skip


class SetAgeing(Request):
    """Fields of a user's shadow row that are days.

    days: field of shadow(5) -> days since the epoch, or a number of them; -1 for none. ask: called under the locks, as
    shadow asks, with the row as it is when days is empty; answers days. today: days since the epoch, by the clock that
    PAM reads.
    """

    __slots__ = ("ask", "days", "name", "today")
    DEFAULTS: ClassVar[dict[str, Any]] = {"ask": None, "days": {}}
    name: bytes
    days: Mapping[str, int]
    ask: Callable[[Shadow], Mapping[str, int]] | None
    today: int

    def validate(self, facts: Facts) -> None:
        check_shadowed(facts)

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return FILES, ()

    def check(self, facts: Facts, report: Report, looked: None) -> None:
        # Nothing is looked at before the locks. Without an id shadow has no name yet, either.
        report.kind = AGEING_AUDIT
        report.if_failed(FAILED_AUDIT, b"")

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        user, row = find_ageing(database, self.name, facts)
        report.failed.clear()
        report.if_failed(FAILED_AUDIT, b"", user.uid)
        days = self.days or (self.ask(row) if self.ask is not None else {})
        change_ageing(database, user, row.replace(**days), self.today)
        report.uid = user.uid
        if self.days:
            for field, operation in AUDITED.items():
                if field in self.days:
                    report.audit.append((AGEING_AUDIT, operation, self.name, user.uid, True))
        else:
            report.audit.append((AGEING_AUDIT, "change all aging information", self.name, user.uid, True))
        report.log.append(f"changed password expiry for {fsdecode(self.name)}")


def check_shadowed(facts: Facts) -> None:
    """Whether there is a shadow file. Raises Fail."""
    if not facts.is_present("shadow"):
        raise Fail(E_SHADOW_NOTFOUND, "the shadow password file is not present")


def find_ageing(database: Database, name: bytes, facts: Facts) -> tuple[Passwd, Shadow]:
    """The user's passwd and shadow rows, the latter with nothing set if there is none. Raises Fail."""
    user = database.passwd.get(name)
    if user is None:
        raise Fail(E_NOTFOUND, f"user '{fsdecode(name)}' does not exist in {facts.shown('passwd')}")
    return user, database.shadow.get(name) or Shadow(name, b"")
