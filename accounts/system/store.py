# SPDX-License-Identifier: MIT
"""The account files of a target root: lock, recover, load both layers, commit. Hot path.

A local file is read in one of two ways, as in shadow. commonio_open(), for what is locked, checked or listed,
follows no link and fails. The getpwnam(3) of everything else follows links, and has no rows of a file that cannot
be read. The image's files are read as NSS reads them, but one that cannot be read is an error.
"""

from __future__ import annotations

import _stat as stat
import errno
import posix

from accounts.errors import FILE_EXITS, AccountsError, CommitError, FileError, LockError
from accounts.model.database import APPLIED, BASE, HIDDEN, LEDGER, Base, Database, Hides, kinds
from accounts.model.policy import SUBIDS
from accounts.model.release import DEFAULT
from accounts.model.table import Table
from accounts.system import shield
from accounts.system.commit import commit, has_journal
from accounts.system.contents import FileChange
from accounts.system.locks import Locks
from accounts.system.notify import LOG_ERR, syslog
from accounts.system.target import MAX_ACCOUNT_FILE, NOT_THERE, READ, read_fd
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from accounts.model.release import Release
    from accounts.system.logindefs import LoginDefs
    from accounts.system.target import Target

FILE_MODE = 0o644
# Where `accounts image seed` puts subuid and subgid, below the root: tmpfiles.d(5) copies them at the first boot.
FACTORY = b"usr/share/factory/etc/"


def recover(etc: int) -> list[str]:
    """Finish or undo what a killed predecessor left; to be called under the locks, before reading.

    Returns what was done, one sentence each; empty when there was nothing to do, the usual case. Raises CommitError.
    """
    if not has_journal(etc):
        return []
    from accounts.system.recovery import recover_from

    return recover_from(etc)


class Store:
    """The locked account files of a target. Use: open, edit the database, commit, close."""

    def __init__(
        self,
        target: Target,
        warn: Callable[[str], None],
        defs: Callable[[], LoginDefs] | None = None,
        release: Release = DEFAULT,
    ) -> None:
        """warn is called with each line (without "PROG: " and newline) that a recovery has to report.

        defs: gives login.defs(5), of which MAX_MEMBERS_PER_GROUP and FORCE_SHADOW matter here. release: of
        shadow-utils, whose way to read rows it is.
        """
        self._kinds, self._image_kinds = kinds(release), kinds(release, image=True)
        self.target = target
        self._warn = warn
        self._defs = defs
        self._locks: Locks | None = None
        self._locked: list[str] = []
        self._modes: dict[str, tuple[int, int, int]] = {}
        self._hides_trusted = True
        # Why accounts/hidden, which is there, cannot be read: without effect on NSS, but it cannot be replaced.
        self._hides_error: OSError | None = None
        self._inodes: dict[str, tuple[int, int]] = {}
        # No lock protects the image layer and no tool writes it, so it is read once.
        self._image: dict[str, Table] = {}

    def is_present(self, name: str) -> bool:
        """Whether an account file exists in either layer (shadow's *_file_present, before locking)."""
        target = self.target
        for path in (b"etc/" + name.encode(), target.image_dir() + b"/" + name.encode()):
            if path.startswith(b"etc/") or target.policy().image.get(name):
                try:
                    target.stat(path)
                except OSError as error:
                    # A file that cannot be looked at is there, and will be found unreadable; of a link that leads
                    # nowhere or round and round access(2) says no to the real tools, too.
                    if error.errno in (*NOT_THERE, errno.ELOOP):
                        continue
                if path.startswith(b"etc/") or all(database != name for database, _ in self._read_hides().rows):
                    return True
                return self.load((name,)).tables[name].present or self._is_forced(name)
        return self._is_forced(name) or self._read_factory(name) is not None

    def open(
        self, names: Sequence[str], read: Sequence[str] = (), create: Sequence[str] = (), splits: bool = True
    ) -> Database:
        """Lock the files in the given order, finish a crashed commit, read both layers.

        names: the files to lock, of passwd group shadow gshadow subuid subgid; those of shadow, gshadow,
        subuid and subgid that exist nowhere are left out, as shadow does, but for those in create (pwconv).
        read: files to read besides, as NSS reads them. splits: whether MAX_MEMBERS_PER_GROUP is honoured.
        Raises FileError.
        """
        target = self.target
        try:
            etc = target.etc
        except FileNotFoundError as error:
            # shadow says why of its own locks only; without a prefix lckpwdf(3) is first.
            why = f"{target.shown(names[0])}.{posix.getpid()}: {error.strerror}"
            raise FileError(names[0], "lock", details=(why,) if target.prefix else ()) from None
        self._locks = locks = Locks(etc, passwd_lock=not target.prefix, path=target.shown(""), timeout=15.0)
        wanted = []
        for name in names:
            if name in ("passwd", "group") or name in create or self.is_present(name):
                try:
                    locks.acquire(name)
                except LockError as error:
                    raise FileError(name, "lock", details=error.details) from None
                wanted.append(name)
        self._locked = wanted
        try:
            for line in recover(etc):
                self._warn(line)
        except CommitError as error:
            message = f"cannot open {target.shown(names[0])}: {error.message}"
            raise FileError(names[0], "open", message=message) from None
        database = self._load((*wanted, *(name for name in read if name not in wanted)), wanted)
        max_members = 0
        if splits and "group" in wanted and self._defs is not None:
            max_members = self._defs().get_unsigned("MAX_MEMBERS_PER_GROUP", 0)
        if max_members:
            for table in (database.group.local, database.group.image):
                table.split_groups(max_members)
        return database

    def load(self, names: Sequence[str], strict: Sequence[str] = ()) -> Database:
        """Read both layers of the named files, without locking. Raises FileError.

        strict: those that shadow's tool reads by commonio, if access(2) finds them, not through NSS.
        """
        return self._load(names, [name for name in strict if name in ("passwd", "group") or self.is_present(name)])

    def _load(self, names: Sequence[str], strict: Sequence[str]) -> Database:
        policy = self.target.policy()
        local = {}
        for name in names:
            local[name] = self._read_local(name, name in strict)
            if name not in self._image and policy.image.get(name):
                self._image[name] = self._read_image(name)
        image = {name: self._image[name] for name in names if name in self._image}
        base = Base()
        hides = None
        if any(table.present for table in image.values()):
            base = Base(self.target.read(b"etc/" + BASE.encode(), MAX_ACCOUNT_FILE))
            hides = self._read_hides()
        ledger = None
        if any(policy.image.get(name) for name in names if name in SUBIDS):
            ledger = self.target.read(b"etc/" + LEDGER.encode(), MAX_ACCOUNT_FILE)
        database = Database(local, image, policy, base, hides, ledger)
        for name in names:
            table = database.tables[name]
            if hides is not None and hides.rows and not table.present:
                # All of the image's rows are hidden: a new file is made as where there never was one.
                self._modes.pop(name, None)
            table.forced = not table.present and self._is_forced(name)
        return database

    def _is_forced(self, name: str) -> bool:
        """Whether shadow and gshadow count as present whatever there is."""
        return name in ("shadow", "gshadow") and self._defs is not None and self._defs().get_bool("FORCE_SHADOW")

    def _read_local(self, name: str, strict: bool) -> Table:
        target = self.target
        try:
            path = b"etc/" + name.encode()
            fd = shield.open_file(name, READ, target.etc) if strict else target.open(path, READ)
            status = self._status_of(fd, path)
            self._inodes[name] = (status.st_dev, status.st_ino)
            return Table(self._kinds[name], read_fd(fd))
        except OSError as error:
            if strict and error.errno != errno.ENOENT:
                raise FileError(name, "open", reason=error.strerror) from None
            return Table(self._kinds[name], self._read_factory(name) or b"", present=False)

    def _status_of(self, fd: int, path: bytes) -> posix.stat_result:
        """fstat(2), or where that is refused stat(2) of the path. Raises OSError."""
        try:
            return posix.fstat(fd)
        except OSError as error:
            if error.errno not in shield.REFUSED:
                raise
            return self.target.stat(path)

    def _read_factory(self, name: str) -> bytes | None:
        """What the first boot will copy to /etc: rows that count already, and that a new file begins with."""
        return self.target.read(FACTORY + name.encode(), MAX_ACCOUNT_FILE) if name in ("subuid", "subgid") else None

    def _read_image(self, name: str) -> Table:
        path = self.target.image_dir() + b"/" + name.encode()
        try:
            fd = self.target.open(path, READ)
            status = self._status_of(fd, path)
            if self._inodes.get(name) == (status.st_dev, status.st_ino):
                # IMAGE_DIR leads to /etc: there is one layer, and taking a row out of it for being in the other
                # would lose it.
                posix.close(fd)
                return Table(self._image_kinds[name], present=False)
            self._modes[name] = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
            return Table(self._image_kinds[name], read_fd(fd))
        except FileNotFoundError:
            return Table(self._image_kinds[name], present=False)
        except OSError as error:
            message = f"cannot open /{fsdecode(path)}: {error.strerror}"
            raise FileError(name, "open", message=message) from None

    def _read_hides(self) -> Hides:
        """The hide rows; none where NSS does not honour the file, by the rules of nss/hidden.c.

        Raises BadArgument and ConfigError.
        """
        target = self.target
        target.check_hide()
        try:
            fd = target.open(b"etc/" + HIDDEN.encode(), READ)
        except OSError as error:
            self._hides_error = None if error.errno in NOT_THERE else error
            return Hides(is_honoured=target.honours_hides)
        status = self._status_of(fd, b"etc/" + HIDDEN.encode())
        self._hides_trusted = status.st_uid == 0 and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        try:
            data = read_fd(fd)
        except OSError as error:
            self._hides_error = error
            return Hides(is_honoured=target.honours_hides)
        rows = None
        if data and self._hides_trusted and target.honours_hides():
            from accounts.model.hidden import parse_hidden

            rows = parse_hidden(data)
        hides = Hides(data, rows or (), target.honours_hides)
        hides.present = True
        return hides

    def commit(self, database: Database, no_backup: Collection[str] = (), backup: Collection[str] = ()) -> bool:
        """Write the delta, all or nothing. Returns whether anything had to be written.

        no_backup: names of files whose old version is not kept as "passwd-" and so on; backup: those whose is,
        although no tool does so.
        Raises FileError for a row that shadow would not write; then nothing is written. (The
        real tools find that out after the files before it: docs/decisions/journal.md.)
        """
        bad = database.find_unwritable()
        if bad is not None:
            raise FileError(bad, "write")
        changes = []
        for name, old, new in database.render_changes():
            if name == HIDDEN and self._hides_error is not None:
                raise self.target.unreadable(b"etc/" + HIDDEN.encode(), self._hides_error)
            mode, uid, gid = self.new_file_mode(name, database)
            keep = name not in (BASE, HIDDEN, APPLIED, LEDGER, *no_backup) and not database.is_deleted(name)
            keep = keep or name in backup
            renew = name == HIDDEN and not self._hides_trusted
            changes.append(FileChange(name, old, new, mode, uid, gid, keep, renew))
        if changes:
            try:
                commit(self.target.etc, changes)
            except CommitError as error:
                raise self._words_of(error) from None
        return bool(changes)

    def _words_of(self, error: CommitError) -> AccountsError:
        """The error of a commit as the real tools say it; the reason, which they keep to themselves, is logged.

        They open all their files for writing before they write one: a file that is mounted read-only or immutable
        cannot be opened, one that cannot be replaced (a mount point) fails while it is written.
        """
        if not error.failed or error.name not in FILE_EXITS:
            return error
        syslog(LOG_ERR, f"cannot write {error.message}")
        for name in self._locked:
            try:
                posix.close(shield.open_file(name, READ | posix.O_RDWR, self.target.etc))
            except FileNotFoundError:
                continue
            except OSError as refusal:
                return FileError(name, "open", reason=refusal.strerror)
        return FileError(error.name, "write", reason=error.message.partition(": ")[2] if error.message else None)

    def hide_backup(self, name: str) -> None:
        """Let only root read "NAME-", where there is one."""
        try:
            fd = shield.open_file(f"{name}-", READ, self.target.etc)
        except OSError:
            return
        try:
            posix.fchmod(fd, 0o600)
        except OSError:
            self._warn(f"failed to change the mode of {self.target.shown(name)}- to 0600")
        finally:
            posix.close(fd)

    def new_file_mode(self, name: str, database: Database) -> tuple[int, int, int]:
        """(mode, uid, gid) of a local file that does not exist yet: never wider than the image's."""
        if name in (BASE, APPLIED):
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
