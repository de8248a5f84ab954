# SPDX-License-Identifier: MIT
"""newusers(8): make or update many users, a line like those of passwd(5) each, in one transaction."""

from __future__ import annotations

import posix

from accounts.cli.cryptargs import read_all, split_lines
from accounts.cli.options import scan
from accounts.cli.session import Done, Session, id_pool, run
from accounts.cli.tokens import Tokens
from accounts.errors import AccountsError, BadArgument, DuplicateRow, NoId, Usage
from accounts.model.ids import SubidPool
from accounts.model.names import is_valid_group_name, is_valid_user_name
from accounts.model.records import MAX_ID, Group, Gshadow, Passwd, Shadow, parse_id
from accounts.system import nss
from accounts.system.coredump import forbid_core_dumps
from accounts.system.homes import make_home
from accounts.system.target import READ
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.cli.tokens import Entry
    from accounts.model.database import Database

STATUSES: dict[type[AccountsError], int] = {BadArgument: 3}
USAGE = """\
Usage: newusers [options]

Options:
  -b, --badname                 allow bad names
  -h, --help                    display this help message and exit
  -r, --system                  create system accounts
  -R, --root CHROOT_DIR         directory to chroot into

"""
LONG = {"badname": "b", "help": "h", "system": "r", "root=": "R", "prefix=": "P"}
SUBIDS = (("subuid", "UID", "user"), ("subgid", "GID", "group"))


class Request:
    """What the command line asks for. file: to be read in place of standard input."""

    badname = False
    system = False
    file: bytes | None = None


class BadLine(AccountsError):
    """A line cannot be done; nothing of the run will be."""


class Home:
    """A home directory to be made."""

    __slots__ = ("gid", "number", "path", "uid")

    def __init__(self, number: int, path: bytes, uid: int, gid: int) -> None:
        self.number = number
        self.path = path
        self.uid = uid
        self.gid = gid


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage, or Done after --help."""
    request = Request()
    operands: list[bytes] = []
    for option, _ in scan(argv, "bhrR:P:", LONG, operands):
        if option == "h":
            session.print(USAGE)
            raise Done
        if option == "b":
            request.badname = True
        elif option == "r":
            request.system = True
    if len(operands) > 1:
        raise Usage
    request.file = operands[0] if operands else None
    return request


def read_file(session: Session, request: Request, argv: list[bytes]) -> bytes:
    """All of the file, inside --root as in shadow, or of standard input. Raises AccountsError."""
    if request.file is None:
        return read_all(0)
    try:
        fd = session.target.open_named(request.file, READ)
        try:
            return read_all(fd)
        finally:
            posix.close(fd)
    except OSError as error:
        # 4.13 names the first argument, whatever it is.
        raise AccountsError(f"{fsdecode(argv[0])}: {error.strerror}") from None


class Batch:
    """The lines of one run, done one after the other on a Database.

    What there is to do outside of it waits in `later`: texts for standard error and homes, in their order.
    """

    def __init__(self, session: Session, request: Request, database: Database) -> None:
        self.later: list[str | Home] = []
        self.failed = False
        self._session = session
        self._request = request
        self._database = database
        # Asked for with the first new row of shadow; None when there is none.
        self.today: int | None = None
        self._ask_users = session.target.asks_nss("passwd")
        self._ask_groups = session.target.asks_nss("group")
        self._uids = id_pool(session, "UID", request.system, database, nss.has_uid if self._ask_users else None)
        self._gids = id_pool(session, "GID", request.system, database, nss.has_gid if self._ask_groups else None)
        self._subids = [
            (SubidPool(database.tables[name].local, kind, session.defs), words)
            for name, kind, words in SUBIDS
            if database.tables[name].present and not request.system
        ]

    def do_line(self, number: int, line: bytes | None) -> None:
        """One line. Errors go to `later`; raises Refusal."""
        try:
            if line is None:
                raise BadLine("line too long")
            fields = line.split(b":")
            if len(fields) != 7:
                raise BadLine("invalid line")
            self._do_user(number, fields)
        except BadLine as error:
            self._say(*error.details)
            self._fail(f"line {number}: {error.message}")

    def finish(self) -> None:
        """Put the subordinate ranges where they belong."""
        for pool, _ in self._subids:
            pool.write()

    # -- inside --------------------------------------------------------------------------------------

    def _say(self, *lines: str) -> None:
        self.later += [f"{self._session.prog}: {line}\n" for line in lines]

    def _fail(self, line: str) -> None:
        self._say(line)
        self.failed = True

    def _do_user(self, number: int, fields: list[bytes]) -> None:
        name, _, uid, gid, gecos, home, shell = fields
        database = self._database
        user = database.passwd.get(name)
        if user is None:
            if self._ask_users and nss.find_user(name) is not None:
                self._fail(
                    f"cannot update the entry of user {fsdecode(name)} (not in the passwd database)"
                )
                return
            user = self._new_user(name, uid, gid)
            database.passwd.put(user)
        self._add_shadow(user)
        changes = {"gecos": gecos, "home": home, "shell": shell}
        user = user.replace(**{field: value for field, value in changes.items() if value})
        if home:
            self._check_home(number, user)
        try:
            database.passwd.put(user)
        except DuplicateRow as error:
            self.later.append(self._session.duplicate_text(error))
            raise BadLine("can't update entry") from None
        self._add_subids(name)

    def _new_user(self, name: bytes, uid_text: bytes, gid_text: bytes) -> Passwd:
        uid = self._find_uid(uid_text)
        gid = self._find_gid(name, gid_text, uid)
        if not is_valid_user_name(name, self._request.badname):
            line = f"invalid user name '{fsdecode(name)}': use --badname to ignore"
            raise BadLine("can't create user", (line,))
        self._uids.add(uid)
        return Passwd(name, b"x", uid, gid, b"", b"", b"")

    def _find_uid(self, text: bytes) -> int:
        shown = fsdecode(text)
        try:
            if not text:
                return self._uids.find()
            if text[:1].isdigit():
                uid = parse_id(text)
                if uid is None or uid == MAX_ID:
                    raise NoId(f"invalid user ID '{shown}'")
                return uid
            found = nss.find_user(text) if self._ask_users else None
            if found is not None:
                return found[0]
            row = self._database.passwd.get(text)
            if row is None:
                raise NoId(f"user '{shown}' does not exist")
            known: int = row.uid
            return known
        except NoId as error:
            raise BadLine("can't create user", (error.message or "",)) from None

    def _find_gid(self, name: bytes, text: bytes, uid: int) -> int:
        """The GID that a line names, of a group that is made where there is none."""
        row = self._database.group.get(text)
        known: int | None = None if row is None else row.gid
        if known is None and self._ask_groups and text:
            known = nss.find_group(text)
        if known is not None:
            return known
        shown = fsdecode(text)
        numeric = text[:1].isdigit()
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
            raise BadLine("can't create group", (error.message or "",)) from None
        except DuplicateRow as error:
            self.later.append(self._session.duplicate_text(error))
            raise BadLine("can't create group") from None
        return gid

    def _add_group(self, name: bytes, gid: int) -> None:
        database = self._database
        shown = fsdecode(name)
        if not is_valid_group_name(name, self._request.badname):
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
            raise BadLine("can't update password")
        if self.today is None:
            self.today = self._session.today() or -1
        defs = self._session.defs
        # As in shadow: other values than elsewhere where login.defs is silent.
        ageing = (defs.get_int("PASS_MIN_DAYS", 0), defs.get_int("PASS_MAX_DAYS", 10000))
        shadow.put(Shadow(user.name, b"!", self.today, *ageing, defs.get_int("PASS_WARN_AGE", -1)))

    def _check_home(self, number: int, user: Passwd) -> None:
        if user.home.startswith(b"/"):
            self.later.append(Home(number, user.home, user.uid, user.gid))
        elif not self._session.target.is_accessible(user.home, posix.F_OK):
            raise BadLine("homedir must be an absolute path")

    def _add_subids(self, name: bytes) -> None:
        for pool, words in self._subids:
            if pool.count:
                try:
                    pool.give(name)
                except NoId as error:
                    self._say(error.message or "")
                    self._fail(f"can't find subordinate {words} range")


def hash_passwords(session: Session, lines: list[bytes | None]) -> Tokens:
    """The passwords of the lines, hashed; none of them when a look at the lines shows that the run will fail."""
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        fields = (line or b"").split(b":")
        if len(fields) != 7:
            return Tokens(session, [])
        entries.append((number, fields[0], fields[1]))
    return Tokens(session, entries)


def work_off(session: Session, later: list[str | Home]) -> None:
    """Print the texts and make the homes."""
    defs = session.defs
    mode: int | None = None
    for item in later:
        if isinstance(item, str):
            session.print_error(item)
        elif not session.target.is_accessible(item.path, posix.F_OK):
            if mode is None:
                mode = defs.get_int("HOME_MODE", 0o777 & ~defs.get_int("UMASK", 0o022)) & 0o7777
            try:
                make_home(session.target.root, item.path, item.uid, item.gid, mode)
            except OSError as error:
                path = fsdecode(item.path)
                session.warn(f"line {item.number}: mkdir {path} failed: {error.strerror}")


def body(session: Session, argv: list[bytes]) -> int:
    """Run newusers; the exit status."""
    forbid_core_dumps()
    session.select_root(argv)
    request = parse_arguments(session, argv)
    text = read_file(session, request, argv)
    lines = list(split_lines(text, drop_rest=False, open_end=True))
    tokens = hash_passwords(session, lines)
    subids = () if request.system else ("subuid", "subgid")
    database = session.store.open(("passwd", "shadow", "group", "gshadow", *subids))
    batch = Batch(session, request, database)
    for number, line in enumerate(lines, 1):
        batch.do_line(number, line)
    # shadow makes the homes line by line, so they stay when a later line is bad.
    work_off(session, batch.later)
    if batch.failed:
        raise AccountsError("error detected, changes ignored")
    batch.finish()
    failures = tokens.apply(database)
    # pam_unix keeps no backups, so shadow has one only where rows are new.
    session.commit(database, no_backup=("shadow",) if batch.today is None else ())
    session.print_error("".join(failures.values()))
    return 1 if failures else 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("newusers", body, STATUSES, USAGE)
