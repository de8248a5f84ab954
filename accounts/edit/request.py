# SPDX-License-Identifier: MIT
"""What was asked for, and what came of it. Pure. Hot path.

A request is an immutable value with the rules of shadow for it; a report is what there is to tell afterwards.
accounts.change takes a request all the way through the files; edit() applies one to a database at hand.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any, ClassVar, Protocol

    from accounts.errors import AccountsError
    from accounts.model.database import Database
    from accounts.model.ids import IdPool
    from accounts.model.release import Release
    from accounts.model.useradd_defaults import Defaults

    class Defs(Protocol):
        """login.defs(5), as accounts.system.logindefs.LoginDefs."""

        def get(self, name: str) -> bytes | None: ...
        def get_bool(self, name: str) -> bool: ...
        def get_int(self, name: str, default: int) -> int: ...
        def get_ulong(self, name: str, default: int) -> int: ...
        def ageing(self) -> tuple[int, int, int]: ...

    class Facts(Protocol):
        """What a request may ask, as accounts.system.known.Facts answers it."""

        release: Release
        live: bool

        @property
        def defs(self) -> Defs: ...
        @property
        def useradd_defaults(self) -> Defaults: ...
        def complain(self, text: str) -> None: ...
        def warn(self, line: str) -> None: ...

        # Who is asked under the locks for what only a person can say, as shadow asks: the caller of Change.do().
        ask: Any

        def exists(self, path: bytes) -> bool: ...
        def hash_all(
            self, plains: Sequence[bytes], method: bytes | None, rounds: int | None, salts: int
        ) -> list[bytes]: ...
        def view(self, names: Sequence[str], strict: Sequence[str] = ()) -> Database: ...
        def is_present(self, name: str) -> bool: ...
        def shown(self, name: str) -> str: ...
        def find_user(self, name: bytes) -> tuple[int, int] | None: ...
        def find_group(self, name: bytes) -> int | None: ...
        def find_group_or_gid(self, text: bytes) -> tuple[bytes, int] | None: ...
        def has_uid(self, uid: int) -> bool: ...
        def has_gid(self, gid: int) -> bool: ...
        def free_id(self, kind: str, system: bool, preferred: int | None = None) -> int: ...
        def id_pool(self, kind: str, system: bool) -> IdPool: ...
        def reserved_ranges(self, name: str) -> list[tuple[int, int, bytes]]: ...
        def check_overlap(self, kind: str, number: int, who: str) -> None: ...
        def find_process(self, name: bytes, uid: int) -> int | None: ...
        def terminal(self) -> str: ...
        def today(self) -> int: ...
        def has_pam_accounts(self) -> bool: ...

    # What accounts.change does after the commit: the name of a function of accounts.publish, and its arguments.
    Step = tuple[str, tuple[Any, ...]]
    # Kind, operation in the words of 4.13, name, id or None, success, group that it is about (since 4.17) or b"".
    Record = tuple[str, str, bytes, "int | None", bool, bytes]


class Report:
    """What came of a request.

    warnings: for standard error, each after "PROG: ", whether or not it was done. log: lines for syslog. audit:
    records. before, steps: what has to be done before the commit and after it. failed: records, and lines for syslog as
    (priority, text, whether the exit status follows), for the case that anything from here on fails, the last one
    first (shadow's stack of clean-ups). notes: lines behind the error's.
    unfinished: the exit status, by its name in errors.py, of what was done but for its end. changed: whether
    anything was written.
    result: what the request has found out, where it says that it does.
    kind, uid: of the audit records, where a step does not say otherwise. unwritable: whether shadow itself could not
    write the new passwd row (a colon, a control character).
    """

    __slots__ = (
        "audit", "before", "changed", "failed", "kind", "log", "notes", "performer", "result", "steps",
        "uid", "unfinished", "unwritable", "warnings",
    )  # fmt: skip

    def __init__(self, kind: str = "", uid: int | None = None) -> None:
        self.kind = kind
        self.uid = uid
        # What does a step at once; accounts.change has it.
        self.performer: Callable[..., Any] | None = None
        self.result: Any = None
        self.warnings: list[str] = []
        self.log: list[str] = []
        self.audit: list[Record] = []
        self.before: list[Step] = []
        self.steps: list[Step] = []
        self.failed: list[Record | tuple[int, str, bool]] = []
        self.notes: list[str] = []
        self.unfinished = ""
        self.changed = False
        self.unwritable = False

    def done(
        self,
        text: str,
        operation: str,
        name: bytes | None = None,
        kind: str = "",
        success: bool = True,
        group: bytes = b"",
    ) -> None:
        """Note one step: a line for syslog, if any, and its audit record, which names the account or has its id."""
        if text:
            self.log.append(text)
        uid = self.uid if name is None else None
        self.audit.append((kind or self.kind, operation, name or b"", uid, success, group))

    def if_failed(self, operation: str, name: bytes, uid: int | None = None, kind: str = "") -> None:
        """Note the audit record for the case that anything from here on fails."""
        self.failed.append((kind or self.kind, operation, name, uid, False, b""))

    def perform(self, name: str, *arguments: Any) -> Any:
        """Do a step at once, as shadow does between its edits, and answer as it does; where nobody can, note it."""
        if self.performer is None:
            self.before.append((name, arguments))
            return None
        return self.performer(name, arguments)


class Request:
    """Base of all requests: fields are given by name, None where nothing is asked for, and stay as they are.

    A subclass names its fields in __slots__ and what they are when they are not given in DEFAULTS.
    """

    __slots__: tuple[str, ...] = ()
    DEFAULTS: ClassVar[dict[str, Any]] = {}
    # Whom it is about, where it is one account.
    name: bytes
    # The tool whose hooks in /etc/shadow-maint run before and after, "" for none; NAME is then their subject.
    HOOKS = ""
    HOOKS_SINCE: Release = (0, 0)
    # Whether those before come after look(), when what is asked for can be done.
    HOOKS_LATE = False
    # Whether what Report.failed has is told when a step after the commit fails, too.
    COVERS_STEPS = True
    # The databases that are locked although there is no such file yet.
    CREATES: tuple[str, ...] = ()
    # Whether rows of a group that MAX_MEMBERS_PER_GROUP has split are one record.
    SPLITS = True
    # The files whose old version is kept as "NAME-" although it is no database's.
    BACKS_UP: tuple[str, ...] = ()

    def __init__(self, **fields: Any) -> None:
        for name, value in self.DEFAULTS.items():
            object.__setattr__(self, name, fields.pop(name, value))
        for name in self.__slots__:
            if name not in self.DEFAULTS:
                object.__setattr__(self, name, fields.pop(name))
        if fields:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(fields)}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __repr__(self) -> str:
        fields = ((name, getattr(self, name)) for name in self.__slots__)
        given = ", ".join(f"{name}={value!r}" for name, value in fields if value != self.DEFAULTS.get(name))
        return f"{type(self).__name__}({given})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    # The way of a request through accounts.change, in this order

    def validate(self, facts: Facts) -> None:
        """What is wrong whatever the files say: names, values. Raises AccountsError."""

    def look(self, facts: Facts, report: Report) -> Any:
        """The first check, before anything is locked; answers as check()."""
        return self.check(facts, report, None)

    def files(self, plan: Any, facts: Facts) -> tuple[Sequence[str], Sequence[str]]:
        """(databases to lock, in shadow's order, databases to read besides). plan: what look() has answered."""
        raise NotImplementedError

    def check(self, facts: Facts, report: Report, looked: Any) -> Any:
        """Whether it can be done, again under the locks; answers what edit() has to know. Raises AccountsError.

        looked: what look() has answered, None where it calls this.
        """
        return None

    def edit(self, database: Database, plan: Any, facts: Facts, report: Report) -> None:
        """Change the database. Raises AccountsError; what has been changed so far is then of no account."""
        raise NotImplementedError

    def no_backup(self, report: Report) -> Collection[str]:
        """The files whose old version is not kept as "passwd-" and so on."""
        return ()

    def give_up(self, error: AccountsError, locked: bool, facts: Facts, report: Report) -> None:
        """What there is to tell about a failure from the locks on, besides Report.failed.

        locked: whether all files were when it came.
        """


def edit(database: Database, request: Request, facts: Facts) -> Report:
    """Check a request and apply it to a database, of which facts speaks; the report. Raises AccountsError."""
    report = Report()
    request.validate(facts)
    request.edit(database, request.check(facts, report, request.look(facts, report)), facts, report)
    return report
