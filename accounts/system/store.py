# SPDX-License-Identifier: MIT
"""The account files of a target root: lock, recover, load both layers, commit. Hot path.

Never reads the host's files for another root, never follows a link in place of an account file.
"""

from __future__ import annotations

import _stat as stat
import errno
import posix

from accounts.errors import (
    AccountsError,
    BadArgument,
    GroupFileError,
    GroupLockError,
    GroupOpenError,
    PasswdFileError,
    PasswdLockError,
    PasswdOpenError,
    ShadowOpenError,
    SubgidFileError,
    SubuidFileError,
)
from accounts.model.database import BASE, KINDS, Base, Database
from accounts.model.policy import DATABASES, Policy, default_policy, parse_nsswitch
from accounts.model.table import Table
from accounts.system.commit import Change, commit, recover
from accounts.system.locks import LockError, Locks
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from accounts.system.logindefs import LoginDefs

FILE_ERRORS: dict[str, type[AccountsError]] = {
    "passwd": PasswdFileError,
    "shadow": PasswdFileError,
    "group": GroupFileError,
    "gshadow": GroupFileError,
    "subuid": SubuidFileError,
    "subgid": SubgidFileError,
}
LOCK_ERRORS: dict[str, type[AccountsError]] = FILE_ERRORS | {
    "passwd": PasswdLockError,
    "shadow": PasswdLockError,
    "group": GroupLockError,
    "gshadow": GroupLockError,
}
OPEN_ERRORS: dict[str, type[AccountsError]] = FILE_ERRORS | {
    "passwd": PasswdOpenError,
    "shadow": ShadowOpenError,
    "group": GroupOpenError,
    "gshadow": GroupOpenError,
}
# Where vendor copies of configuration files are looked for, below the root, after /etc.
VENDOR_DIRS = (b"usr/etc", b"usr/share/accounts", b"usr/lib")
READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOCTTY | posix.O_NONBLOCK
FILE_MODE = 0o644


def read_fd(fd: int) -> bytes:
    """All bytes of a regular file; closes fd. OSError(EINVAL) for anything else."""
    try:
        status = posix.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL, "not a regular file")
        # A byte more than there is: what comes shorter than asked for is all of it.
        data = posix.read(fd, status.st_size + 1)
        if len(data) == status.st_size:
            return data
        pieces = [data]
        while piece := posix.read(fd, 65536):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        posix.close(fd)


class Target:
    """A root directory whose accounts are worked on.

    root, etc: directory descriptors; path: of the root, with the prefix; prefix: what --prefix gave, put before
    "/etc/..." in messages (with the slash that shadow has there); live: whether it is the running system's own root.
    """

    def __init__(self, root: bytes = b"/", prefix: bytes = b"") -> None:
        """Raises OSError when the root, or the prefix inside of it, cannot be opened."""
        self.prefix = prefix
        self.path = root.rstrip(b"/") + prefix or b"/"
        self.live = self.path == b"/"
        flags = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC
        if prefix and root != b"/":
            # As after chroot(2): a link in the root does not lead out of it.
            from accounts.system.paths import open_beneath

            outer = posix.open(root, flags)
            try:
                self.root = open_beneath(outer, prefix, flags)
            finally:
                posix.close(outer)
        else:
            self.root = posix.open(self.path, flags)
        self._etc: int | None = None
        self._conf: dict[bytes, bytes] | None = None
        self._policy: Policy | None = None

    @property
    def etc(self) -> int:
        """Directory descriptor of /etc. Raises PasswdFileError when there is none."""
        if self._etc is None:
            try:
                self._etc = posix.open(
                    b"etc", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW, dir_fd=self.root
                )
            except OSError as error:
                raise PasswdFileError(f"cannot open {self.shown('')}: {error.strerror}") from None
        return self._etc

    def shown(self, name: str) -> str:
        """The path of a file of /etc as messages name it."""
        path = f"/etc/{name}" if name else "/etc"
        return f"{fsdecode(self.prefix)}/{path}" if self.prefix else path

    def read(self, path: bytes) -> bytes | None:
        """The bytes of a configuration file below the root, or None when it cannot be read."""
        try:
            return read_fd(posix.open(path, READ, dir_fd=self.root))
        except OSError:
            return None

    def read_layered(self, name: bytes) -> bytes | None:
        """The bytes of /etc/NAME, else of the vendor's copy of it, or None."""
        for directory in (b"etc", *VENDOR_DIRS):
            text = self.read(directory + b"/" + name)
            if text is not None:
                return text
        return None

    def find_layered(self, name: bytes) -> bytes:
        """The path below the root of /etc/NAME, else of the vendor's copy of it; /etc/NAME if none is there."""
        for directory in (b"etc", *VENDOR_DIRS):
            try:
                posix.stat(directory + b"/" + name, dir_fd=self.root)
            except OSError:
                continue
            return b"/" + directory + b"/" + name
        return b"/etc/" + name

    def setting(self, key: bytes, default: bytes) -> bytes:
        """A value of accounts.conf: /etc/accounts/accounts.conf over /usr/share/accounts/accounts.conf."""
        if self._conf is None:
            self._conf = {}
            for path in (b"usr/share/accounts/accounts.conf", b"etc/accounts/accounts.conf"):
                for line in (self.read(path) or b"").split(b"\n"):
                    name, equals, value = line.strip().partition(b"=")
                    if equals and not name.startswith(b"#"):
                        self._conf[name.strip()] = value.strip().strip(b"\"'")
        return self._conf.get(key, default)

    def image_dir(self) -> bytes:
        """IMAGE_DIR of accounts.conf, relative to the root."""
        path = self.setting(b"IMAGE_DIR", b"/usr/lib")
        if not path.startswith(b"/"):
            raise BadArgument(f"accounts.conf: IMAGE_DIR must be an absolute path: '{fsdecode(path)}'")
        return path.strip(b"/") or b"."

    def policy(self) -> Policy:
        """The NSS policy: GROUP_POLICY, else nsswitch.conf of the target, else the vendor's, else merge."""
        wanted = self.setting(b"GROUP_POLICY", b"auto")
        if wanted in (b"merge", b"first"):
            return default_policy(wanted == b"merge")
        if wanted != b"auto":
            raise BadArgument(
                f"accounts.conf: GROUP_POLICY must be auto, merge or first: '{fsdecode(wanted)}'"
            )
        if self._policy is None:
            text = self.read_layered(b"nsswitch.conf")
            self._policy = default_policy() if text is None else parse_nsswitch(text)
        return self._policy

    def asks_nss(self, database: str) -> bool:
        """Whether NSS may know more of a database than the two layers: only on the live system."""
        return self.live and (self.policy().others[database] or self.image_dir() != b"usr/lib")

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in (self._etc, self.root):
            if fd is not None:
                posix.close(fd)
        self._etc = None


class Store:
    """The locked account files of a target. Use: open, edit the database, commit, close."""

    def __init__(
        self, target: Target, warn: Callable[[str], None], defs: Callable[[], LoginDefs] | None = None
    ) -> None:
        """warn is called with each line (without "PROG: " and newline) that a recovery has to report.

        defs: gives login.defs(5), of which MAX_MEMBERS_PER_GROUP and FORCE_SHADOW matter here.
        """
        self.target = target
        self._warn = warn
        self._defs = defs
        self._locks: Locks | None = None
        self._modes: dict[str, tuple[int, int, int]] = {}
        # No lock protects the image layer and no tool writes it, so it is read once.
        self._image: dict[str, Table] = {}

    def is_present(self, name: str) -> bool:
        """Whether an account file exists in either layer (shadow's *_file_present, before locking)."""
        if self._is_forced(name):
            return True
        target = self.target
        for path in (b"etc/" + name.encode(), target.image_dir() + b"/" + name.encode()):
            if path.startswith(b"etc/") or (name in DATABASES and target.policy().image[name]):
                try:
                    posix.stat(path, dir_fd=target.root)
                except OSError:
                    continue
                return True
        return False

    def open(self, names: Sequence[str], read: Sequence[str] = (), create: Sequence[str] = ()) -> Database:
        """Lock the files in the given order, finish a crashed commit, read both layers.

        names: the files to lock, of passwd group shadow gshadow subuid subgid; those of shadow, gshadow,
        subuid and subgid that exist nowhere are left out, as shadow does, but for those in create (pwconv).
        read: files to read besides.
        Raises the error class of the file, with shadow's words.
        """
        target = self.target
        etc = target.etc
        self._locks = locks = Locks(
            etc, passwd_lock=not target.prefix, path=target.shown(""), timeout=15.0
        )
        wanted = []
        for name in names:
            if name in ("passwd", "group") or name in create or self.is_present(name):
                try:
                    locks.acquire(name)
                except LockError as error:
                    raise LOCK_ERRORS[name](error.message, tuple(error.details)) from None
                wanted.append(name)
        for line in recover(etc):
            self._warn(line)
        database = self.load(tuple(wanted) + tuple(name for name in read if name not in wanted))
        max_members = 0
        if "group" in wanted and self._defs is not None:
            max_members = self._defs().get_unsigned("MAX_MEMBERS_PER_GROUP", 0)
        if max_members:
            for table in (database.group.local, database.group.image):
                table.split_groups(max_members)
        return database

    def load(self, names: Sequence[str]) -> Database:
        """Read both layers of the named files, without locking. Raises the error class of the file."""
        target = self.target
        policy = target.policy()
        local = {}
        for name in names:
            local[name] = self._read_table(target.etc, name.encode(), name, target.shown(name))
            if name in DATABASES and name not in self._image and policy.image[name]:
                path = target.image_dir() + b"/" + name.encode()
                self._image[name] = self._read_table(target.root, path, name, "/" + fsdecode(path), image=True)
        image = {name: self._image[name] for name in names if name in self._image}
        base = Base()
        if any(table.present for table in image.values()):
            base = Base(target.read(b"etc/" + BASE.encode()) or b"")
        database = Database(local, image, policy, base)
        for name in names:
            database.tables[name].forced = self._is_forced(name)
        return database

    def _is_forced(self, name: str) -> bool:
        """Whether shadow and gshadow count as present whatever there is."""
        return name in ("shadow", "gshadow") and self._defs is not None and self._defs().get_bool("FORCE_SHADOW")

    def _read_table(self, fd: int, path: bytes, name: str, shown: str, image: bool = False) -> Table:
        kind = KINDS[name]
        try:
            file = posix.open(path, READ | posix.O_NOFOLLOW, dir_fd=fd)
            if image:
                status = posix.fstat(file)
                self._modes[name] = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
            return Table(kind, read_fd(file))
        except FileNotFoundError:
            return Table(kind, present=False)
        except OSError as error:
            why = f": {error.strerror}" if image else ""
            raise OPEN_ERRORS[name](f"cannot open {shown}{why}") from None

    def open_error(self, name: str) -> AccountsError:
        """The error of a file that cannot be opened."""
        return OPEN_ERRORS[name](f"cannot open {self.target.shown(name)}")

    def commit(self, database: Database, no_backup: Collection[str] = ()) -> bool:
        """Write the delta, all or nothing. Returns whether anything had to be written.

        no_backup: names of files whose old version is not kept as "passwd-" and so on.
        Raises the error class of a file with a row that shadow would not write; then nothing is written. (The
        real tools find that out after the files before it: docs/decisions/journal.md.)
        """
        bad = database.find_unwritable()
        if bad is not None:
            raise FILE_ERRORS[bad](f"failure while writing changes to {self.target.shown(bad)}")
        changes = []
        for name, old, new in database.render_changes():
            mode, uid, gid = self._new_file_mode(name, database)
            keep = name not in (BASE, *no_backup) and not database.is_deleted(name)
            changes.append(Change(name, old, new, mode, uid, gid, keep))
        if changes:
            commit(self.target.etc, changes)
        return bool(changes)

    def hide_backup(self, name: str) -> None:
        """Let only root read "NAME-", where there is one."""
        try:
            fd = posix.open(name.encode() + b"-", READ | posix.O_NOFOLLOW, dir_fd=self.target.etc)
        except OSError:
            return
        try:
            posix.fchmod(fd, 0o600)
        except OSError:
            self._warn(f"failed to change the mode of {self.target.shown(name)}- to 0600")
        finally:
            posix.close(fd)

    def _new_file_mode(self, name: str, database: Database) -> tuple[int, int, int]:
        """(mode, uid, gid) of a local file that does not exist yet: never wider than the image's."""
        if name == BASE:
            return 0o600, 0, 0
        if name not in ("shadow", "gshadow"):
            return FILE_MODE, 0, 0
        if name in self._modes:
            mode, _, gid = self._modes[name]
            return mode & 0o640, 0, gid if mode & 0o040 else 0
        shadow = database.group.get(b"shadow")
        # As shadow's commonio makes them.
        return (0o440, 0, shadow.gid) if shadow is not None else (0o400, 0, 0)

    def close(self) -> None:
        """Release the locks. Safe to call twice."""
        if self._locks is not None:
            self._locks.release()
            self._locks = None
