# SPDX-License-Identifier: MIT
"""What useradd, usermod and userdel share: checks of option values, look-ups before locking, hooks. Hot path."""

from __future__ import annotations

import _stat as stat
import posix

from accounts.errors import AccountsError, BadArgument, SelinuxError, UserBusy
from accounts.model.records import parse_id
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from accounts.cli.session import Session
    from accounts.model.database import Database

NOLOGIN = b"/sbin/nologin"


class Look:
    """The account files as they are before anything is locked, read when they are first asked for."""

    def __init__(self, session: Session, names: Sequence[str]) -> None:
        self._session = session
        self._names = names
        self._database: Database | None = None

    @property
    def database(self) -> Database:
        """Good for the errors that shadow finds before it locks, never for a decision."""
        if self._database is None:
            self._database = self._session.store.load(self._names)
        return self._database


def is_field(value: bytes) -> bool:
    """shadow's VALID(): whether a value has neither colon nor newline."""
    return b":" not in value and b"\n" not in value


def check_shell(session: Session, shell: bytes) -> bytes:
    """The value of -s, with a warning when no such program is in the target. Raises BadArgument."""
    if not is_field(shell) or shell[:1] not in (b"", b"/", b"*"):
        raise BadArgument(f"invalid shell '{fsdecode(shell)}'")
    if shell.startswith(b"/") and shell != NOLOGIN and not _is_program(session, shell):
        session.warn(f"Warning: missing or non-executable shell '{fsdecode(shell)}'")
    return shell


def _is_program(session: Session, path: bytes) -> bool:
    try:
        mode = session.target.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISDIR(mode) and bool(mode & 0o111)


def find_group(session: Session, database: Database, text: bytes) -> tuple[bytes, int] | None:
    """shadow's getgr_nam_gid(): (name, GID) of the group with that GID or name, NSS included; or None.

    The name of a group that only NSS knows by its GID is empty.
    """
    gid = parse_id(text)
    if gid is not None:
        row = database.group.get_id(gid)
        if row is not None:
            return row.name, row.gid
        return (b"", gid) if session.has_gid(database, gid) else None
    gid = session.find_group(database, text)
    return None if gid is None else (text, gid)


def check_selinux(session: Session) -> None:
    """-Z needs SELinux and the running system's own root. Raises BadArgument."""
    if session.target.prefix:
        raise BadArgument("-Z cannot be used with --prefix")
    # As is_selinux_enabled(3): selinuxfs is mounted where the policy is loaded.
    if not posix.access("/sys/fs/selinux/enforce", posix.F_OK):
        raise BadArgument("-Z requires SELinux enabled kernel")


def map_selinux_user(session: Session, name: bytes, seuser: bytes) -> None:
    """Map a user to an SELinux user, or to none any more ("" as seuser). Raises SelinuxError."""
    from accounts.system.selinux import map_user, unmap_user

    chroot = None if session.target.live else session.target.root
    user = fsdecode(name)
    if seuser:
        if not map_user(name, seuser, session.warn, chroot):
            raise SelinuxError(f"warning: the user name {user} to {fsdecode(seuser)} SELinux user mapping failed.")
    elif not unmap_user(name, session.warn, chroot):
        raise SelinuxError(f"warning: the user name {user} to SELinux user mapping removal failed.")


def check_busy(session: Session, name: bytes, uid: int) -> None:
    """Whether the user has no process in the target; not asked under --prefix. Raises UserBusy."""
    target = session.target
    if target.prefix:
        return
    from accounts.system.commands import find_process

    try:
        ranges = [(row.start, row.count) for row in session.store.load(("subuid",)).subuid if row.name == name]
    except AccountsError:
        ranges = []  # usermod changes nothing in it; the real one looks no closer, either
    pid = find_process(uid, ranges, target.root)
    if pid is not None:
        raise UserBusy(f"user {fsdecode(name)} is currently used by process {pid}")


def run_hooks(session: Session, when: str, user: bytes) -> None:
    """The programs in /etc/shadow-maint/TOOL-pre.d or -post.d of the target; raises AccountsError if one fails.

    Under --prefix none are run: they are programs of the target, which need not run here.
    """
    target = session.target
    if target.prefix:
        return
    directory = f"/etc/shadow-maint/{session.tool}-{when}.d".encode()
    try:
        target.stat(directory)
    except FileNotFoundError:
        return
    except OSError:
        pass  # run_parts words it
    from accounts.system.commands import run_parts

    chroot = None if target.live else target.root
    if not run_parts(target.root, directory, user, session.prog.encode(), session.warn, session.print_error, chroot):
        raise AccountsError
