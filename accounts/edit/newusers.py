# SPDX-License-Identifier: MIT
"""Many users made or updated in one transaction, a line like those of passwd(5) each, as newusers(8). Pure."""

from __future__ import annotations

from accounts.edit.batch import set_tokens
from accounts.edit.request import Request
from accounts.edit.useradd import subid_failure
from accounts.errors import E_FAILURE, DuplicateRow, Fail, NoId
from accounts.model.ids import SubidPool
from accounts.model.names import is_valid_group_name, is_valid_user_name, name_error
from accounts.model.records import MAX_ID, Group, Gshadow, Passwd, Shadow, parse_id
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from accounts.edit.batch import Failure, Row, Token
    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database
    from accounts.model.release import Release

SUBIDS = (("subuid", "UID", "user"), ("subgid", "GID", "group"))


class AddUsers(Request):
    """All lines are done, or none when one cannot be.

    lines: without newline, None for one that is too long. tokens: what becomes of their passwords, which are set when
    all else is done. The report's result: NewUsers.
    """

    __slots__ = ("badname", "lines", "system", "tokens")
    lines: Sequence[bytes | None]
    system: bool
    badname: bool
    tokens: Sequence[Token]

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        subids = () if self.system else ("subuid", "subgid")
        return ("passwd", "shadow", "group", "gshadow", *subids), ()

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        batch = _Batch(self, facts, database, report)
        report.result = batch.result
        for number, line in enumerate(self.lines, 1):
            batch.do_line(number, line)
            # At first all lines that are bad were told of.
            if batch.failed and facts.release >= (4, 14):
                raise Fail(E_FAILURE)
        if batch.failed:
            raise Fail(E_FAILURE, "error detected, changes ignored")
        batch.finish()
        # At first the lines behind one that PAM fails had their passwords all the same.
        batch.result.failures = set_tokens(database, self.tokens, facts, stops=facts.release >= (4, 14))

    def no_backup(self, report: Report) -> Collection[str]:
        # pam_unix keeps no backups, so shadow has one only where rows are new.
        return () if report.result.shadow_rows else ("shadow",)


class NewUsers:
    """What came of AddUsers. failures: line -> Failure, of its password. shadow_rows: the names of new rows."""

    __slots__ = ("failures", "shadow_rows")

    def __init__(self) -> None:
        self.failures: dict[int, Failure] = {}
        self.shadow_rows: list[bytes] = []


def find_passwords(lines: Sequence[bytes | None], release: Release) -> list[Row]:
    """(line, user, password in clear) of the lines; none of them when one look at the lines shows that it will fail."""
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        fields = (line or b"").split(b":")
        if len(fields) != 7:
            return []
        if fields[1] or release < (4, 19):
            rows.append((number, fields[0], fields[1]))
    return rows


class _Batch:
    """The lines of one run, done one after the other on a Database."""

    def __init__(self, request: AddUsers, facts: Facts, database: Database, report: Report) -> None:
        self.failed = False
        self.result = NewUsers()
        self._report = report
        self._request = request
        self._facts = facts
        self._database = database
        # Asked for with the first new row of shadow; None when there is none.
        self.today: int | None = None
        self._new: set[bytes] = set()
        self._uids = facts.id_pool("UID", request.system)
        self._gids = facts.id_pool("GID", request.system)
        self._subids = [
            (SubidPool(table.local, kind, facts.defs, table.image, facts.release, facts.reserved_ranges(name)), words)
            for name, kind, words in SUBIDS
            for table in (database.tables[name],)
            if table.present and not request.system
        ]

    def do_line(self, number: int, line: bytes | None) -> None:
        """One line; what is wrong with it is said. Raises Refusal."""
        try:
            if line is None:
                raise Fail(E_FAILURE, "line too long")
            fields = line.split(b":")
            if len(fields) != 7:
                raise Fail(E_FAILURE, "invalid line")
            self._do_user(number, fields)
        except Fail as error:
            if error.text:
                self._facts.complain(error.text)
            for detail in error.details:
                self._facts.warn(detail)
            self._fail(f"line {number}: {error.message}")

    def finish(self) -> None:
        """Put the subordinate ranges where they belong."""
        for pool, _ in self._subids:
            pool.write()

    def _fail(self, line: str) -> None:
        self._facts.warn(line)
        self.failed = True

    def _do_user(self, number: int, fields: list[bytes]) -> None:
        name, passwd, uid, gid, gecos, home, shell = fields
        database = self._database
        user = database.passwd.get(name)
        if user is None:
            if self._facts.find_user(name) is not None:
                self._fail(f"cannot update the entry of user {fsdecode(name)} (not in the passwd database)")
                return
            user = self._new_user(name, uid, gid)
            self._new.add(name)
            database.passwd.put(user)
        # Since 4.19 nothing keeps the password, and is none to put into shadow.
        if passwd or self._facts.release < (4, 19):
            self._add_shadow(user)
        changes = {"gecos": gecos, "home": home, "shell": shell}
        user = user.replace(**{field: value for field, value in changes.items() if value})
        if home:
            self._check_home(number, user)
        try:
            database.passwd.put(user)
        except DuplicateRow as error:
            text = error.text_for(self._facts.shown)
            raise Fail(E_FAILURE, "can't update entry", text=text) from None
        self._add_subids(name, user.uid)

    def _new_user(self, name: bytes, uid_text: bytes, gid_text: bytes) -> Passwd:
        uid = self._find_uid(name, uid_text)
        gid = self._find_gid(name, gid_text, uid)
        if not is_valid_user_name(name, self._request.badname, self._facts.release):
            line = name_error(name, self._request.badname, self._facts.release)
            raise Fail(E_FAILURE, line, "can't create user")
        self._uids.add(uid)
        return Passwd(name, b"x", uid, gid, b"", b"", b"")

    def _is_number(self, text: bytes) -> bool:
        """Whether a field is no name; at first a digit at its beginning was enough."""
        return (text[:1] if self._facts.release < (4, 20) else text).isdigit()

    def _find_uid(self, name: bytes, text: bytes) -> int:
        shown = fsdecode(text)
        try:
            if not text:
                return self._uids.find()
            if self._is_number(text):
                uid = parse_id(text)
                if uid is None or uid == MAX_ID:
                    raise NoId(f"invalid user ID '{shown}'")
                self._facts.check_overlap("UID", uid, f"newusers warning: {fsdecode(name)}'s uid")
                return uid
            found = self._facts.find_user(text)
            if found is None:
                raise NoId(f"user '{shown}' does not exist")
            return found[0]
        except NoId as error:
            raise Fail(E_FAILURE, str(error), "can't create user") from None

    def _find_gid(self, name: bytes, text: bytes, uid: int) -> int:
        """The GID that a line names, of a group that is made where there is none."""
        known = self._facts.find_group(text) if text else None
        if known is not None:
            return known
        shown = fsdecode(text)
        numeric = self._is_number(text)
        try:
            if numeric:
                gid = parse_id(text)
                if gid is None:
                    raise NoId(f"invalid group ID '{shown}'")
                if self._gids.has(gid):
                    return gid
                if gid == MAX_ID:
                    raise NoId(f"invalid group ID '{shown}'")
            else:
                gid = self._gids.find(uid)
            self._add_group(name if numeric or not text else text, gid)
        except NoId as error:
            raise Fail(E_FAILURE, str(error), "can't create group") from None
        except DuplicateRow as error:
            raise Fail(E_FAILURE, "can't create group", text=error.text_for(self._facts.shown)) from None
        return gid

    def _add_group(self, name: bytes, gid: int) -> None:
        database = self._database
        shown = fsdecode(name)
        if not is_valid_group_name(name, self._request.badname, self._facts.release):
            raise NoId(f"invalid group name '{shown}'")
        if database.gshadow.present:
            if database.gshadow.get(name) is not None:
                raise NoId(f"group '{shown}' is a shadow group, but does not exist in /etc/group")
            database.gshadow.put(Gshadow(name, b"*", (), ()))
        database.group.put(Group(name, b"x" if database.gshadow.present else b"*", gid, ()))
        self._gids.add(gid)

    def _add_shadow(self, user: Passwd) -> None:
        """A locked shadow row for a new user; the password comes when all lines are done."""
        shadow = self._database.shadow
        if user.passwd != b"x" or (shadow.present and shadow.get(user.name) is not None):
            return
        if not shadow.present:
            raise Fail(E_FAILURE, "can't update password")
        if self.today is None:
            self.today = self._facts.today() or -1
        defs = self._facts.defs
        # As in shadow: other values than elsewhere where login.defs is silent.
        endless = 10000 if self._facts.release < (4, 19) else -1
        ageing = (defs.get_int("PASS_MIN_DAYS", 0), defs.get_int("PASS_MAX_DAYS", endless))
        self.result.shadow_rows.append(user.name)
        shadow.put(Shadow(user.name, b"!", self.today, *ageing, defs.get_int("PASS_WARN_AGE", -1)))

    def _check_home(self, number: int, user: Passwd) -> None:
        if self._facts.exists(user.home):
            return
        if not user.home.startswith(b"/"):
            raise Fail(E_FAILURE, "homedir must be an absolute path")
        # As in shadow it stays when a later line is bad.
        self._report.perform("make_home", number, user)

    def _add_subids(self, name: bytes, uid: int) -> None:
        for pool, words in self._subids:
            if pool.count:
                try:
                    pool.give(name, uid, name not in self._new)
                except NoId as error:
                    what = f"can't find subordinate {words} range"
                    failure = subid_failure(E_FAILURE, what, error, self._facts.release)
                    for line in failure.details:
                        self._facts.warn(line)
                    self._fail(failure.message or "")
