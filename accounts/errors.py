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
E_NOPERM = "E_NOPERM"
E_SHADOW_NOTFOUND = "E_SHADOW_NOTFOUND"
E_GSHADOW_NOTFOUND = "E_GSHADOW_NOTFOUND"
# Those of groupmems, which calls them EXIT_NOT_ROOT and so on.
E_NOT_PRIMARY = "E_NOT_PRIMARY"
E_NOT_MEMBER = "E_NOT_MEMBER"
E_MEMBER_EXISTS = "E_MEMBER_EXISTS"
E_INVALID_USER = "E_INVALID_USER"
E_INVALID_GROUP = "E_INVALID_GROUP"
E_FAILURE = "E_FAILURE"

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


class Done(AccountsError):
    """There is nothing (more) to do, which is a success. message: for standard output."""


class FileError(AccountsError):
    """An account file cannot be used.

    database: "passwd", ...; event: lock, open, put, remove or write; name: of the row that put and remove are about.
    """

    def __init__(self, database: str, event: str, name: bytes = b"", details: tuple[str, ...] = ()) -> None:
        super().__init__(None, details)
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
        return (*self.details, _FILE_WORDS[self.event].format(path=shown(self.database), name=name))


class Usage(AccountsError):
    """The command line is wrong; the usage text follows the message."""

    why = E_USAGE


class BadOption(AccountsError):
    """Options that contradict each other or may not be combined (shadow's E_USAGE without usage text)."""


class BadArgument(AccountsError):
    """A value is not valid: a name, an id, a date, a field."""

    why = E_BAD_ARG


class BadName(BadArgument):
    """A user or group name is not valid."""


class IdInUse(AccountsError):
    """The requested UID or GID is taken."""


class NoSuchUser(AccountsError):
    """The user does not exist."""


class NoSuchGroup(AccountsError):
    """The group does not exist."""


class NameInUse(AccountsError):
    """The user or group name is taken."""


class UserBusy(AccountsError):
    """The user is logged in or has processes."""


class PrimaryGroup(AccountsError):
    """The group is some user's primary group."""


class NoId(AccountsError):
    """No unused id is left in the configured range."""


class ConfigError(AccountsError):
    """A configuration file is there but cannot be read."""


class NotPermitted(AccountsError):
    """The caller may not do this."""

    why = E_NOPERM


class _OldFileError(FileError):
    """Made with its message. Goes when the last tool has a table."""

    of = ("passwd", "write")

    def __init__(self, message: str | None = None, details: tuple[str, ...] = ()) -> None:
        super().__init__(*self.of, details=details)
        self.message = message


class PasswdFileError(_OldFileError):
    """passwd or shadow cannot be locked, opened, updated or written."""


class GroupFileError(_OldFileError):
    """group or gshadow cannot be locked, opened, updated or written."""

    of = ("group", "write")


class PasswdLockError(PasswdFileError):
    """passwd or shadow cannot be locked."""

    of = ("passwd", "lock")


class PasswdOpenError(PasswdFileError):
    """passwd or shadow cannot be opened."""

    of = ("passwd", "open")


class ShadowOpenError(PasswdOpenError):
    """shadow cannot be opened."""

    of = ("shadow", "open")


class GroupLockError(GroupFileError):
    """group or gshadow cannot be locked."""

    of = ("group", "lock")


class GroupOpenError(GroupFileError):
    """group or gshadow cannot be opened."""

    of = ("group", "open")


class SubuidFileError(_OldFileError):
    """subuid cannot be locked, opened, updated or written."""

    of = ("subuid", "write")


class SubgidFileError(_OldFileError):
    """subgid cannot be locked, opened, updated or written."""

    of = ("subgid", "write")


class HomeError(AccountsError):
    """A home directory cannot be created, moved or removed."""

    why = E_HOMEDIR


class MailError(AccountsError):
    """A mail spool cannot be created, moved or removed."""


class SelinuxError(AccountsError):
    """An SELinux login mapping cannot be made or removed."""

    why = E_SE_UPDATE


class DefaultsError(AccountsError):
    """default/useradd cannot be written."""

    why = E_FAILURE


class DuplicateRow(FileError):
    """A row cannot be put or removed because the local file has its name twice.

    removing: whether it was to be removed; told: the name in the tool's line, where it is not the row's.
    """

    def __init__(self, database: str, name: bytes, removing: bool, told: bytes | None = None) -> None:
        super().__init__(database, "remove" if removing else "put", name)
        self.removing = removing
        self.told = name if told is None else told

    def lines(self, shown: "Callable[[str], str]" = _show) -> tuple[str, ...]:
        """The tool's own line; text_for() comes before it."""
        return FileError(self.database, self.event, self.told).lines(shown)

    def text_for(self, shown: "Callable[[str], str]" = _show) -> str:
        """What shadow's commonio says, without the tool's name."""
        name = self.name.decode(errors="surrogateescape")
        return f"Multiple entries named '{name}' in {shown(self.database)}. Please fix this with pwck or grpck.\n"


class MissingRow(FileError):
    """A row that was to be removed is not there."""

    def __init__(self, database: str, name: bytes) -> None:
        super().__init__(database, "remove", name)


class UnwritableRow(FileError):
    """A row has a field that may not be written (a colon, a control character)."""

    def __init__(self, database: str) -> None:
        super().__init__(database, "write")


class Refusal(AccountsError):
    """The classic result cannot be expressed as a delta over a read-only image (docs/contract.md, the law)."""


class UserRefusal(Refusal):
    """A refusal about a passwd or shadow row."""

    why = E_PW_UPDATE


class GroupRefusal(Refusal):
    """A refusal about a group or gshadow row."""

    why = E_GRP_UPDATE
