# SPDX-License-Identifier: MIT
"""The one error tree. A leaf: imports nothing.

An error says what happened: `why` is shadow's own name for it (E_NOTFOUND), and it words itself once, without program
name and newline. It never carries a number: exit statuses differ from tool to tool and are in the tables of cli/.
"""

# Names of shadow's exit statuses, as its tools have them.
E_PW_UPDATE = "E_PW_UPDATE"
E_USAGE = "E_USAGE"
E_BAD_ARG = "E_BAD_ARG"
E_UID_IN_USE = "E_UID_IN_USE"
E_GID_IN_USE = "E_GID_IN_USE"
E_NOTFOUND = "E_NOTFOUND"
E_USER_BUSY = "E_USER_BUSY"
E_GROUP_BUSY = "E_GROUP_BUSY"
E_NAME_IN_USE = "E_NAME_IN_USE"
E_GRP_UPDATE = "E_GRP_UPDATE"
E_HOMEDIR = "E_HOMEDIR"
E_SE_UPDATE = "E_SE_UPDATE"
E_SUB_UID_UPDATE = "E_SUB_UID_UPDATE"
E_SUB_GID_UPDATE = "E_SUB_GID_UPDATE"
E_BAD_NAME = "E_BAD_NAME"
E_PASSWORDLESS = "E_PASSWORDLESS"
E_NOPERM = "E_NOPERM"
E_SHADOW_NOTFOUND = "E_SHADOW_NOTFOUND"
E_PAM_ERR = "E_PAM_ERR"
# Options of passwd that do not go together.
E_CONFLICT = "E_CONFLICT"
E_GSHADOW_NOTFOUND = "E_GSHADOW_NOTFOUND"
# Those of groupmems, which calls them EXIT_NOT_ROOT and so on.
E_NOT_PRIMARY = "E_NOT_PRIMARY"
E_NOT_MEMBER = "E_NOT_MEMBER"
E_MEMBER_EXISTS = "E_MEMBER_EXISTS"
E_INVALID_USER = "E_INVALID_USER"
E_INVALID_GROUP = "E_INVALID_GROUP"
E_FAILURE = "E_FAILURE"
# The shell of newgrp(1).
E_CMD_NOEXEC = "E_CMD_NOEXEC"
E_CMD_NOTFOUND = "E_CMD_NOTFOUND"

# What it is called when a database cannot be locked, opened, changed or written.
FILE_EXITS = {
    "passwd": E_PW_UPDATE, "shadow": E_PW_UPDATE, "group": E_GRP_UPDATE, "gshadow": E_GRP_UPDATE,
    "subuid": E_SUB_UID_UPDATE, "subgid": E_SUB_GID_UPDATE,
}  # fmt: skip
_FILE_WORDS = {
    "lock": "cannot lock {path}; try again later.",
    "open": "cannot open {path}",
    "put": "failed to prepare the new {path} entry '{name}'",
    "remove": "cannot remove entry '{name}' from {path}",
    "write": "failure while writing changes to {path}",
}
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _show(database: str) -> str:
    return f"/etc/{database}"


class AccountsError(Exception):
    """Base of all errors that end a tool with one clear message.

    message: what to print after "PROG: "; None when everything has been said in details, notes or text.
    details: lines to print before it, notes: behind it, each after "PROG: "; text: printed as it is before all.
    why: what happened, one of the names above.
    """

    why = E_FAILURE
    text = ""
    notes: tuple[str, ...] = ()

    def __init__(self, message: str | None = None, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def lines(self, shown: "Callable[[str], str]" = _show) -> tuple[str, ...]:
        """What to print, each line after "PROG: ". shown: database -> its path in messages."""
        return self.details if self.message is None else (*self.details, self.message)

    def __str__(self) -> str:
        return "\n".join(self.lines()) or self.text.rstrip("\n") or self.why


class Fail(AccountsError):
    """The request cannot be done. why: E_NOTFOUND and so on; lines: what to say, the last one is the message."""

    def __init__(self, why: str, *lines: str, text: str = "") -> None:
        super().__init__(lines[-1] if lines else None, lines[:-1])
        self.why = why
        self.text = text


class Usage(AccountsError):
    """The command line is wrong; the usage text follows the message. unknown: an option that there is not, or ""."""

    unknown = ""

    def __init__(self, message: str | None = None, why: str = E_USAGE) -> None:
        super().__init__(message)
        self.why = why


class Done(AccountsError):
    """There is nothing (more) to do, which is a success. message: for standard output."""


class BadArgument(AccountsError):
    """A value is not valid: an option, a line of a file."""

    why = E_BAD_ARG


class NoId(AccountsError):
    """No unused id is left in the configured range."""


class ConfigError(AccountsError):
    """A configuration file is there but cannot be read, or says what it cannot say: any tool's failure, 1."""


class HomeError(AccountsError):
    """A home directory cannot be created, moved or removed."""

    why = E_HOMEDIR


class FileError(AccountsError):
    """An account file cannot be used.

    database: "passwd", ...; event: find, lock, open, put, remove or write; name: of the row that put and remove are
    about; message: in place of the words that shadow has for the event; reason: strerror(3) of the system call that
    failed, which a tool tells that sets tells_reason.
    """

    tells_reason = False

    def __init__(
        self,
        database: str,
        event: str,
        name: bytes = b"",
        details: tuple[str, ...] = (),
        message: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message, details)
        self.reason = reason
        self.database = database
        self.event = event
        self.name = name
        self.why = FILE_EXITS[database]

    def lines(self, shown: "Callable[[str], str]" = _show) -> tuple[str, ...]:
        """As AccountsError.lines()."""
        if self.message is not None:
            return super().lines(shown)
        # A name may hold bytes of any kind; text.py is not a leaf's to import.
        name = self.name.decode(errors="surrogateescape")
        line = _FILE_WORDS[self.event].format(path=shown(self.database), name=name)
        return (*self.details, f"{line}: {self.reason}" if self.tells_reason and self.reason else line)


class DuplicateRow(FileError):
    """A row cannot be put or removed because the local file has its name twice.

    told: the name in the tool's line, where it is not the row's. text_for() comes before that line.
    """

    def __init__(self, database: str, name: bytes, removing: bool, told: bytes | None = None) -> None:
        super().__init__(database, "remove" if removing else "put", name if told is None else told)
        self._double = name

    def text_for(self, shown: "Callable[[str], str]" = _show) -> str:
        """What shadow's commonio says, without the tool's name."""
        name = self._double.decode(errors="surrogateescape")
        return f"Multiple entries named '{name}' in {shown(self.database)}. Please fix this with pwck or grpck.\n"


class Refusal(FileError):
    """The classic result cannot be expressed as a delta over a read-only image (docs/contract.md, the law)."""

    def __init__(self, database: str, message: str) -> None:
        super().__init__(database, "refuse", message=message)


class DuplicateName(AccountsError):
    """The table has more than one row of that name, so it is not clear which one to change."""

    def __init__(self, name: bytes) -> None:
        super().__init__(None)
        self.name = name


class LockError(AccountsError):
    """A database cannot be locked; details are shadow's own lines about the reason."""


class CommitError(AccountsError):
    """A file could not be written; all files are as they were.

    name: of the file, relative to the directory; of the first one when it concerns all, the journal's when it is
    about somebody else's interrupted change. failed: whether a system call said no (else the file is not as
    expected).
    """

    def __init__(self, name: str, reason: str, failed: bool = False) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.failed = failed


class Interrupted(BaseException):
    """A signal asks the process to end; not an Exception, so that nothing but a finally stands in its way."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
