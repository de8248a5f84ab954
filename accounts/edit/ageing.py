# SPDX-License-Identifier: MIT
"""The ageing of a password, as chage(1) sets it. Pure. Hot path."""

from __future__ import annotations

import time

from accounts.edit.passwords import change_ageing, is_endless
from accounts.edit.request import Request
from accounts.errors import E_FAILURE, E_NOTFOUND, E_SHADOW_NOTFOUND, Fail
from accounts.model.dates import DAY, format_day, parse_day
from accounts.model.records import LONG_MAX, Shadow, parse_long
from accounts.model.release import NO_MIN
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, ClassVar

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database
    from accounts.model.records import Passwd
    from accounts.model.release import Release

    Ask = Callable[[str, bytes], bytes]

FILES = ("passwd", "shadow")
AGEING_AUDIT = "USER_CHAUTHTOK"
FAILED_AUDIT = "change age"
# Fields and what shadow's audit calls them, in its order.
AUDITED = {
    "max": "change max age", "min": "change min age", "lstchg": "change last change date",
    "warn": "change passwd warning", "inactive": "change inactive days", "expire": "change passwd expiration",
}  # fmt: skip
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MUST_CHANGE = "password must be changed"


class SetAgeing(Request):
    """Fields of a user's shadow row that are days.

    days: field of shadow(5) -> days since the epoch, or a number of them; -1 for none. When it is empty, facts.ask is
    called under the locks, as shadow asks, with the row as it is, and answers days. today: days since the epoch, by the
    clock that PAM reads.
    """

    __slots__ = ("days", "name", "today")
    DEFAULTS: ClassVar[dict[str, Any]] = {"days": {}}
    name: bytes
    days: Mapping[str, int]
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
        days = self.days or (facts.ask(row) if facts.ask is not None else {})
        change_ageing(database, user, row.replace(**days), self.today, facts)
        report.uid = user.uid
        if self.days:
            for field, operation in AUDITED.items():
                if field in self.days:
                    report.audit.append((AGEING_AUDIT, operation, self.name, user.uid, True, b""))
        else:
            report.audit.append((AGEING_AUDIT, "change all aging information", self.name, user.uid, True, b""))
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


def list_lines(row: Shadow, iso: bool, release: Release) -> str:
    """What -l prints."""
    expires = inactive = "never"
    if row.lstchg == 0:
        expires = inactive = MUST_CHANGE
    elif row.lstchg > 0 and not is_endless(row.max, release):
        expires = show_day(row.lstchg + row.max, iso)
        if row.inactive >= 0:
            inactive = show_day(row.lstchg + row.max + row.inactive, iso)
    least = f"Minimum number of days between password change\t\t: {row.min}\n" if release < NO_MIN else ""
    changed = "never" if row.lstchg < 0 else show_day(row.lstchg, iso) if row.lstchg else MUST_CHANGE
    return (
        f"Last password change\t\t\t\t\t: {changed}\n"
        f"Password expires\t\t\t\t\t: {expires}\n"
        f"Password inactive\t\t\t\t\t: {inactive}\n"
        f"Account expires\t\t\t\t\t\t: {show_day(row.expire, iso) if row.expire >= 0 else 'never'}\n"
        f"{least}"
        f"Maximum number of days between password change\t\t: {row.max}\n"
        f"Number of days of warning before password expires\t: {row.warn}\n"
    )


def show_day(day: int, iso: bool) -> str:
    """A day since the epoch as -l shows it, with -i as YYYY-MM-DD."""
    if iso:
        return format_day(day)
    date = time.gmtime(day * DAY)
    return f"{MONTHS[date.tm_mon - 1]} {date.tm_mday:02}, {date.tm_year}"


def ask_fields(ask: Ask, row: Shadow, release: Release) -> dict[str, int]:
    """All fields, asked for one by one. Raises Fail for an answer that is none.

    ask: gets a label and what there is, answers what is to be.
    """
    least = {"min": _ask_number(ask, "Minimum Password Age", row.min)} if release < NO_MIN else {}
    return least | {
        "max": _ask_number(ask, "Maximum Password Age", row.max),
        "lstchg": _ask_date(ask, "Last Password Change (YYYY-MM-DD)", row.lstchg, release),
        "warn": _ask_number(ask, "Password Expiration Warning", row.warn),
        "inactive": _ask_number(ask, "Password Inactive", row.inactive),
        "expire": _ask_date(ask, "Account Expiration Date (YYYY-MM-DD)", row.expire, release),
    }


def _ask_number(ask: Ask, label: str, current: int) -> int:
    """An answer that is a number of days. Raises Fail."""
    days = parse_long(ask(label, b"%d" % current))
    if days is None or days < -1:
        raise Fail(E_FAILURE, "error changing fields")
    return days


def _ask_date(ask: Ask, label: str, current: int, release: Release) -> int:
    """An answer that is a day since the epoch, -1 for none. Raises Fail."""
    shown = "-1" if current == -1 or current > LONG_MAX // DAY else format_day(current)
    answer = ask(label, shown.encode())
    day = parse_day(answer, release=release)
    if day <= -1 and answer != b"-1":
        raise Fail(E_FAILURE, "error changing fields")
    return day
