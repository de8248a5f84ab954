# SPDX-License-Identifier: MIT
"""What every tool does around its own work: arguments in, messages and exit status out. Hot path.

The only package that prints or exits is cli/.
"""

from __future__ import annotations

import posix
import sys
import time

from accounts.change import Listener
from accounts.cli.console import _escape, missing_module, write_all
from accounts.cli.options import OptionError
from accounts.errors import AccountsError, BadArgument, DuplicateRow, FileError, Usage
from accounts.errors import Done as Done
from accounts.model.database import Database
from accounts.model.records import MAX_ULONG, scan_integer
from accounts.olderrors import class_of
from accounts.system.logindefs import LoginDefs
from accounts.system.notify import flush_caches, set_ident, syslog
from accounts.system.store import Store
from accounts.system.target import LOGIN_DEFS, READ, Target, read_fd
from accounts.text import fsdecode, fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Collection, Mapping
    from typing import Any, NoReturn

    from accounts.model.ids import IdPool
else:
    import _signal

DAY = 86400
LEDGER = b"usr/share/accounts/ids"


class Session(Listener):
    """One run of one tool: where it prints, which root it works on, its configuration, its clock."""

    def __init__(self, tool: str, prog: str = "") -> None:
        """tool: what it is; prog: what its messages call it, the name that it was called by."""
        self.tool = self.ident = tool
        self.prog = prog or tool
        set_ident(tool)
        self._target: Target | None = None
        self._store: Store | None = None
        self._defs: LoginDefs | None = None
        self._audited: bool | None = None
        self._answers: dict[tuple[str, Any], Any] = {}

    # -- printing ------------------------------------------------------------------------------------

    def print(self, text: str) -> None:
        """Text to standard output, as it is."""
        write_all(1, text)

    def print_error(self, text: str) -> None:
        """Text to standard error, as it is."""
        write_all(2, text)

    complain = print_error

    def status(self, error: AccountsError) -> int:
        """Of the tools that still have a Session only busybox's are a Listener, and they know one status."""
        return 1

    def warn(self, line: str) -> None:
        """ "PROG: line" to standard error.

        A value of the caller's is shown as the real tools show it, newlines included, but for the control
        characters that could command a terminal: \\x1b.
        """
        if not line.isprintable():
            line = "".join(_escape(char) if ord(char) < 0x20 or ord(char) == 0x7F else char for char in line)
        write_all(2, f"{self.prog}: {line}\n")

    def duplicate_text(self, error: DuplicateRow) -> str:
        """What shadow's commonio says of a name that a file has twice; the tool's own line follows it."""
        return error.text_for(self.target.shown)

    def print_duplicate(self, error: DuplicateRow) -> None:
        """duplicate_text() to standard error."""
        self.print_error(self.duplicate_text(error))

    # -- the target ----------------------------------------------------------------------------------

    @property
    def target(self) -> Target:
        """The root to work on: / unless select_root or select_prefix chose another."""
        if self._target is None:
            self._target = Target()
        return self._target

    def select_root(self, argv: list[bytes], prefix_too: bool = True, letter: bytes = b"-R") -> None:
        """--root and --prefix, found before all other options as shadow does. Raises BadArgument.

        letter: the short option for --root.
        """
        options = ((b"--root", letter), (b"--prefix", b"-P"))[: 2 if prefix_too else 1]
        found = {long: find_root_option(argv, long, short) for long, short in options}
        root, prefix = found[b"--root"], found.get(b"--prefix")
        if root is not None or prefix is not None:
            _drop_privileges()
        if root is not None:
            if not root.startswith(b"/"):
                raise BadArgument(
                    f"invalid chroot path '{fsdecode(root)}', only absolute paths are supported."
                )
            self._open(root, b"", f"cannot access chroot directory {fsdecode(root)}")
        if prefix is not None and prefix.strip(b"/"):
            if not prefix.startswith(b"/"):
                raise BadArgument("prefix must be an absolute path")
            self._open(root or b"/", prefix, f"cannot access prefix directory {fsdecode(prefix)}")

    def _open(self, root: bytes, prefix: bytes, failure: str) -> None:
        try:
            self._target = Target(root, prefix)
        except OSError as error:
            raise BadArgument(f"{failure}: {error.strerror}") from None

    @property
    def store(self) -> Store:
        """The account files of the target."""
        if self._store is None:
            self._store = Store(self.target, self.warn, lambda: self.defs)
        return self._store

    @property
    def defs(self) -> LoginDefs:
        """login.defs of the target, read once."""
        if self._defs is None:
            text = self.target.read_layered(LOGIN_DEFS)
            self._defs = LoginDefs(text or b"", self.print_error)
        return self._defs

    def override_key(self, pair: bytes) -> None:
        """-K KEY=VALUE: override an item of login.defs. Raises BadArgument."""
        key, equals, value = pair.partition(b"=")
        if not equals:
            raise BadArgument("-K requires KEY=VALUE")
        if not self.defs.override(key, value):
            raise BadArgument

    # -- accounts, NSS included ----------------------------------------------------------------------

    def find_user(self, database: Database, name: bytes) -> tuple[int, int] | None:
        """(UID, GID) of a user of either layer, or on the live system of NSS; None when there is none."""
        row = database.passwd.get(name)
        if row is not None:
            return row.uid, row.gid
        found: tuple[int, int] | None = self._ask_nss("passwd", "find_user", name)
        return found

    def find_group(self, database: Database, name: bytes) -> int | None:
        """GID of a group of either layer, or on the live system of NSS; None when there is none."""
        row = database.group.get(name)
        if row is not None:
            gid: int = row.gid
            return gid
        found: int | None = self._ask_nss("group", "find_group", name)
        return found

    def has_uid(self, database: Database, uid: int) -> bool:
        """Whether a UID is taken in either layer, or on the live system in NSS."""
        return database.passwd.get_id(uid) is not None or bool(self._ask_nss("passwd", "has_uid", uid))

    def has_gid(self, database: Database, gid: int) -> bool:
        """Whether a GID is taken in either layer, or on the live system in NSS."""
        return database.group.get_id(gid) is not None or bool(self._ask_nss("group", "has_gid", gid))

    def _ask_nss(self, database: str, question: str, key: Any) -> Any:
        # Once for each question: what others know does not change by our locks, and is asked before and under them.
        if not self.target.asks_nss(database):
            return None
        if (question, key) not in self._answers:
            from accounts.system import nss

            self._answers[question, key] = getattr(nss, question)(key)
        return self._answers[question, key]

    def commit(self, database: Database, no_backup: Collection[str] = ()) -> None:
        """Write the delta, release the locks, tell the caching daemons. no_backup: as Store.commit()."""
        written = self.store.commit(database, no_backup)
        self.store.close()
        if written:
            flush_caches(self.target.live, self.warn)

    def group_paths(self, database: Database) -> list[str]:
        """The paths, for messages, of the files that a group is in: group, and gshadow where that is in use."""
        return [self.target.shown(name) for name in ("group", "gshadow")[: 1 + database.gshadow.present]]

    def log(self, text: str, priority: int = 6) -> None:
        """A line to syslog, in shadow's words. priority: as syslog(3), LOG_INFO by default."""
        syslog(priority, text)

    def audit(self, kind: str, operation: str, name: bytes, uid: int | None = None, success: bool = True) -> None:
        """A record to the kernel's audit, as accounts.system.audit.audit(), of a change of the live system.

        The kernel drops it unless auditing is on: only a running auditd, or a caller who came through a login,
        makes it worth loading what sends it.
        """
        if self._audited is None:
            self._audited = self.target.live and (
                posix.access("/run/auditd.pid", posix.F_OK)
                or _login_uid() != b"4294967295"
            )
        if self._audited:
            from accounts.system.audit import audit

            audit(kind, operation, name, uid, success)

    def close(self) -> None:
        """Release locks."""
        if self._store is not None:
            self._store.close()

    # -- the clock -----------------------------------------------------------------------------------

    def now(self) -> int:
        """Seconds since the epoch: SOURCE_DATE_EPOCH where it is valid, as shadow's gettime()."""
        current = int(time.time())
        setting = posix.environ.get(b"SOURCE_DATE_EPOCH")
        if setting is None:
            return current
        value, rest = scan_integer(setting)
        if value is None:
            why = f"No digits were found: {fsdecode(setting)}"
        elif not -MAX_ULONG <= value <= MAX_ULONG:
            why = "strtoull: Numerical result out of range"
        elif rest:
            why = f"Trailing garbage: {fsdecode(rest)}"
        elif value & MAX_ULONG <= current:
            return value & MAX_ULONG
        else:
            why = (
                f"value must be smaller than or equal to the current time ({current}) "
                f"but was found to be: {value & MAX_ULONG}"
            )
        self.print_error(f"Environment variable $SOURCE_DATE_EPOCH: {why}\n")
        return current

    def today(self) -> int:
        """Days since the epoch."""
        return self.now() // DAY


def _login_uid() -> bytes:
    """The audit user id of this process; 4294967295 when it has none, or the kernel no audit."""
    try:
        return read_fd(posix.open("/proc/self/loginuid", READ))
    except OSError:
        return b"4294967295"


def _drop_privileges() -> None:
    # As shadow: a set-uid program that calls us lends nobody its rights over a root of the caller's choice.
    uid, gid = posix.getuid(), posix.getgid()
    if gid != posix.getegid():
        posix.setregid(gid, gid)
    if uid != posix.geteuid():
        posix.setreuid(uid, uid)


def find_root_option(argv: list[bytes], long: bytes, short: bytes) -> bytes | None:
    """The value of --root or --prefix. Raises BadArgument when it is given twice or without argument."""
    found: bytes | None = None
    index = 0
    while index < len(argv):
        argument = argv[index]
        if argument in (long, short) or argument.startswith(long + b"="):
            if found is not None:
                raise BadArgument(f"multiple {long.decode()} options")
            if argument not in (long, short):
                found = argument[len(long) + 1 :]
            elif index + 1 == len(argv):
                raise BadArgument(f"option '{argument.decode()}' requires an argument")
            else:
                index += 1
                found = argv[index]
        index += 1
    return found


def free_id(
    session: Session, kind: str, system: bool, database: Database, preferred: int | None = None
) -> int:
    """A free "UID" or "GID": not in either layer, the image's id ledger, or on the live system NSS.

    Raises NoId.
    """
    is_taken: Callable[[int], bool] | None = None
    if session.target.asks_nss("passwd" if kind == "UID" else "group"):
        from accounts.system import nss

        is_taken = nss.has_uid if kind == "UID" else nss.has_gid
    return id_pool(session, kind, system, database, is_taken).find(preferred)


def id_pool(
    session: Session, kind: str, system: bool, database: Database, is_taken: Callable[[int], bool] | None
) -> IdPool:
    """The free UIDs or GIDs: not in either layer, not in the image's id ledger, not is_taken()."""
    from accounts.model.ids import IdPool, parse_ledger

    name = "passwd" if kind == "UID" else "group"
    used = database.tables[name].ids()
    ledger = session.target.read(LEDGER)
    if ledger:
        used |= parse_ledger(ledger, name)
    return IdPool(kind, system, session.defs, used, is_taken or (lambda _: False))


def status_of(error: AccountsError, statuses: Mapping[type[AccountsError], int]) -> int:
    """The exit status of the nearest class of error in a tool's table; 1 when it names none."""
    known = class_of(error) if isinstance(error, FileError) else type(error)
    for kind in known.__mro__:
        if kind in statuses:
            return statuses[kind]
    return 1


def run(
    prog: str,
    body: Callable[[Session, list[bytes]], int],
    statuses: Mapping[type[AccountsError], int],
    usage: str = "",
    argv: list[str] | None = None,
) -> NoReturn:
    """Run a tool's body with its arguments; print its error; exit with the status of the tool's table.

    argv: the arguments, where they are not those of the process.
    """
    # ^C ends a tool silently, as it ends the real ones; while locks are held system.shield takes care of it.
    if _signal.getsignal(_signal.SIGINT) == _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    called = sys.argv[0].rpartition("/")[2]
    # "-c" and the like are the interpreter's.
    session = Session(prog, called if argv is None and called[:1] != "-" else prog)
    head, blank, options = usage.partition("\n\n")
    usage = head.replace(f" {prog} ", f" {session.prog} ") + blank + options
    try:
        status = body(session, [fsencode(argument) for argument in (sys.argv[1:] if argv is None else argv)])
    except Done:
        status = 0
    except OptionError as error:
        session.warn(str(error))
        session.print_error(usage)
        status = status_of(Usage(), statuses)
    except DuplicateRow as error:
        session.print_duplicate(error)
        for line in error.lines(session.target.shown):
            session.warn(line)
        for line in error.notes:
            session.warn(line)
        status = statuses.get(DuplicateRow, status_of(error, statuses))
    except AccountsError as error:
        if error.text:
            session.print_error(error.text)
        for line in error.lines(session.target.shown) if isinstance(error, FileError) else error.lines():
            session.warn(line)
        for line in error.notes:
            session.warn(line)
        if isinstance(error, Usage) and usage:
            session.print_error(usage)
        status = status_of(error, statuses)
    except ModuleNotFoundError as error:
        session.warn(missing_module(error))
        status = 1
    except OSError as error:
        path = "" if error.filename is None else f"{fsdecode(error.filename)}: "
        session.warn(f"{path}{error.strerror}")
        status = 1
    finally:
        session.close()
    # Skips the interpreter's teardown, which takes longer than all of our own work.
    posix._exit(status)
