# SPDX-License-Identifier: MIT
"""Error classes that stand for an exit status, for the tools that have no table yet. Goes with the last of them."""

from accounts.errors import AccountsError, FileError


class BadOption(AccountsError):
    """Options that contradict each other or may not be combined (shadow's E_USAGE without usage text)."""


class NoSuchUser(AccountsError):
    """The user does not exist."""


class NoSuchGroup(AccountsError):
    """The group does not exist."""


class NotMember(AccountsError):
    """The user is not a member of the group."""


class NotPermitted(AccountsError):
    """The caller may not do this."""

    why = "E_NOPERM"


class _OldFileError(FileError):
    """Made with its message."""

    of = ("passwd", "write")

    def __init__(self, message: str | None = None, details: tuple[str, ...] = ()) -> None:
        super().__init__(*self.of, details=details, message=message)


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


class UserRefusal(AccountsError):
    """Stands for a Refusal about passwd or shadow in the tables of statuses."""


class GroupRefusal(AccountsError):
    """Stands for a Refusal about group or gshadow."""


_FILES = {"passwd": PasswdFileError, "group": GroupFileError, "subuid": SubuidFileError, "subgid": SubgidFileError}
_EVENTS: dict[tuple[str, str], type[AccountsError]] = {
    ("passwd", "lock"): PasswdLockError, ("shadow", "lock"): PasswdLockError, ("passwd", "open"): PasswdOpenError,
    ("shadow", "open"): ShadowOpenError, ("group", "lock"): GroupLockError, ("gshadow", "lock"): GroupLockError,
    ("group", "open"): GroupOpenError, ("gshadow", "open"): GroupOpenError, ("passwd", "refuse"): UserRefusal,
    ("shadow", "refuse"): UserRefusal, ("group", "refuse"): GroupRefusal, ("gshadow", "refuse"): GroupRefusal,
}  # fmt: skip


def class_of(error: FileError) -> type[AccountsError]:
    """The class that a table of statuses has for a FileError."""
    database = {"shadow": "passwd", "gshadow": "group"}.get(error.database, error.database)
    return _EVENTS.get((error.database, error.event), _FILES[database])


class UserBusy(AccountsError):
    """The user is logged in or has processes."""
