# SPDX-License-Identifier: MIT
"""The one error tree. A leaf: imports nothing.

An error carries the sentence for the user (without program name and newline). It never carries an exit
status: those differ from tool to tool and live in the tables of cli/, keyed by these classes.
"""


class AccountsError(Exception):
    """Base of all errors that end a tool with one clear message.

    message: what to print after "PROG: "; None when everything has been said in details or notes.
    details: lines to print before it, notes: behind it, each after "PROG: ".
    """

    notes: tuple[str, ...] = ()

    def __init__(self, message: str | None = None, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Usage(AccountsError):
    """The command line is wrong; the usage text follows the message."""


class BadOption(AccountsError):
    """Options that contradict each other or may not be combined (shadow's E_USAGE without usage text)."""


class BadArgument(AccountsError):
    """A value is not valid: a name, an id, a date, a field."""


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


class NotMember(AccountsError):
    """The user is not a member of the group."""


class AlreadyMember(AccountsError):
    """The user is a member of the group already."""


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


class PasswdFileError(AccountsError):
    """passwd or shadow cannot be locked, opened, updated or written."""


class GroupFileError(AccountsError):
    """group or gshadow cannot be locked, opened, updated or written."""


class PasswdLockError(PasswdFileError):
    """passwd or shadow cannot be locked."""


class PasswdOpenError(PasswdFileError):
    """passwd or shadow cannot be opened."""


class ShadowOpenError(PasswdOpenError):
    """shadow cannot be opened."""


class GroupLockError(GroupFileError):
    """group or gshadow cannot be locked."""


class GroupOpenError(GroupFileError):
    """group or gshadow cannot be opened."""


class SubuidFileError(AccountsError):
    """subuid cannot be locked, opened, updated or written."""


class SubgidFileError(AccountsError):
    """subgid cannot be locked, opened, updated or written."""


class HomeError(AccountsError):
    """A home directory cannot be created, moved or removed."""


class MailError(AccountsError):
    """A mail spool cannot be created, moved or removed."""


class SelinuxError(AccountsError):
    """An SELinux login mapping cannot be made or removed."""


class DefaultsError(AccountsError):
    """default/useradd cannot be written."""


class DuplicateRow(AccountsError):
    """A row cannot be put or removed because the local file has its name twice.

    database: "passwd", ...; name: the row's; removing: whether it was to be removed; told: the name in the tool's line.
    """

    def __init__(self, database: str, name: bytes, removing: bool) -> None:
        super().__init__(None)
        self.database = database
        self.name = self.told = name
        self.removing = removing


class MissingRow(AccountsError):
    """A row that was to be removed is not there.

    database: "passwd", ...; name: the row's.
    """

    def __init__(self, database: str, name: bytes) -> None:
        super().__init__(None)
        self.database = database
        self.name = name


class UnwritableRow(AccountsError):
    """A row has a field that may not be written (a colon, a control character). database: whose row."""

    def __init__(self, database: str) -> None:
        super().__init__(None)
        self.database = database


class Refusal(AccountsError):
    """The classic result cannot be expressed as a delta over a read-only image (docs/contract.md, the law)."""


class UserRefusal(Refusal):
    """A refusal about a passwd or shadow row."""


class GroupRefusal(Refusal):
    """A refusal about a group or gshadow row."""
