# SPDX-License-Identifier: MIT
"""Replaces several account files as one: after kill -9, a power cut or an error all are old or all are new.

Hot path: imports only posix, errno, _stat, time and zlib. The caller holds the locks (accounts.system.locks).

How (docs/decisions/journal.md):
  1. An empty journal marks the directory: whoever finds it knows that there is something to clean up.
  2. Every new file is written beside the old ones, and every old file gets a second name by a hard link.
     Everything is fsynced and read back. Until here nothing has happened to the account files.
  3. The journal is filled: names and fingerprints of all old and new files. From here on recover() can go
     either way, and goes forward.
  4. Renames, one fsync of the directory, the second names of the old files become the backups ("passwd-"),
     the journal goes.

Where the file system or a sandbox refuses what only this module does (shield.REFUSED): without link(2) the old file
is copied; without a journal, fsync of a directory or reading back, the change is made without that safety.
"""

from __future__ import annotations

import _stat as stat
import errno
import posix
import time
import zlib

from accounts.errors import CommitError
from accounts.system import contents, shield
from accounts.system.contents import FileChange, FileStep, conflict
from accounts.text import fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

JOURNAL = ".accounts.journal"
TEMPORARY = ".accounts."
MAGIC = b"accounts journal 1"
# All that a journal may name, and so all that recovery acts on.
FILES = (
    "passwd", "group", "shadow", "gshadow", "subuid", "subgid", "accounts/base", "accounts/hidden", "accounts/applied",
    "accounts/ids",
)  # fmt: skip
# What shadow's fopen_set_perms() leaves of the old file's mode: never executable, never world-writable.
_MODE = 0o664


def commit(etc: int, changes: Sequence[FileChange], *, verify: Callable[[str, bytes], None] | None = None) -> None:
    """Apply all changes or none, in the given order. Changes that change nothing are left out.

    etc: descriptor of the directory. The caller holds its locks and has called recover() since.
    verify: called with name and content of each new file as it reads back from the disk; may raise.
    Raises CommitError (also when a file is no longer what the change says it was), what verify raises, and
    Interrupted when a signal came; nothing has changed then, unless that came after the first rename.
    """
    todo = [change for change in changes if change.old != change.new]
    if not todo:
        return
    shield.hold()
    umask = posix.umask(0o077)
    work = Work(etc, f"{posix.getpid()}-{time.time_ns():x}")
    try:
        work.run(todo, verify)
    except OSError as error:
        raise CommitError(work.at, error.strerror or str(error), failed=True) from error
    finally:
        work.close()
        posix.umask(umask)
        shield.let_go()


def has_journal(etc: int) -> bool:
    """Whether a killed predecessor has left one. Raises CommitError."""
    try:
        posix.stat(JOURNAL, dir_fd=etc, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as error:
        # Refused, it stays in the way of the next commit, if it is there at all.
        if error.errno in shield.REFUSED:
            return False
        raise CommitError(JOURNAL, error.strerror or str(error)) from error
    return True


class Work:
    """A commit in progress; accounts.system.recovery has one that it found in a journal.

    token: makes the temporary names unique, also against those of a journal that was set aside.
    at: the file being worked on, for messages.
    """

    def __init__(self, etc: int, token: str) -> None:
        self.etc = etc
        self.token = token
        self.at = JOURNAL
        self.steps: list[FileStep] = []
        self._journal = -1
        self._parents: dict[str, int] = {"": etc}
        self._written: list[tuple[int, str, bytes, bool]] = []

    def close(self) -> None:
        """Close all descriptors."""
        self._parents.pop("")
        for fd in [self._journal, *self._parents.values(), *(entry[0] for entry in self._written)]:
            if fd >= 0:
                shield.close(fd)

    def run(self, todo: Sequence[FileChange], verify: Callable[[str, bytes], None] | None) -> None:
        """All of a commit. Raises with nothing changed."""
        self.at = todo[0].name
        try:
            self._journal = shield.open_file(JOURNAL, posix.O_RDWR | posix.O_CREAT | posix.O_EXCL, self.etc)
        except FileExistsError:
            raise CommitError(JOURNAL, "there is an interrupted change to recover first") from None
        except OSError as error:
            if error.errno not in shield.REFUSED:
                raise
        try:
            for change in todo:
                shield.check()
                self._stage(change)
            self._read_back(verify)
            shield.check()
            self._write_journal()
            self._forward()
            self._back_up()
        except BaseException:
            try:
                self._backward()
                self._clean()
            except OSError:
                pass  # the journal is still there: the next tool ends this one way or the other
            raise
        self._clean()

    def _temporary(self, step: FileStep, kind: str) -> str:
        return f"{TEMPORARY}{self.token}.{step.number}.{kind}"

    def _open_parent(self, parent: str) -> int:
        """Descriptor of a directory below etc, kept open. Raises FileNotFoundError when there is none."""
        fd = self._parents.get(parent)
        if fd is None:
            fd = shield.open_file(parent, posix.O_RDONLY | posix.O_DIRECTORY, self.etc)
            self._parents[parent] = fd
        return fd

    def _stage(self, change: FileChange) -> None:
        """Check that the file is what it should be, write its successor, give it a second name."""
        step = FileStep(len(self.steps), change.name, change.backup and change.old is not None)
        self.at = step.name
        self.steps.append(step)
        fd = -1
        try:
            try:
                fd = shield.open_file(step.base, posix.O_RDONLY | posix.O_NONBLOCK, self._open_parent(step.parent))
            except FileNotFoundError:
                if change.old is not None:
                    raise conflict(step.name) from None
            if fd < 0:
                status = None
            else:
                status = shield.status_of(fd, step.base, self._open_parent(step.parent))
                if not stat.S_ISREG(status.st_mode):
                    raise CommitError(step.name, "not a regular file")
                if change.old is None or not contents.holds(fd, change.old):
                    raise conflict(step.name)
                step.old = contents.format_fingerprint(status, zlib.crc32(change.old))
                self._keep_old(step, status, fd, change.old)
            if change.new is not None:
                self._write_new(step, change, status, fd)
        finally:
            if fd >= 0:
                shield.close(fd)

    def _write_new(self, step: FileStep, change: FileChange, status: posix.stat_result | None, old_fd: int) -> None:
        assert change.new is not None
        if status is None or change.renew:
            uid, gid, mode = change.uid, change.gid, change.mode
        else:
            uid, gid, mode = status.st_uid, status.st_gid, status.st_mode & _MODE
        fd = self._write_temporary(step, "new", change.new, uid, gid, mode)
        if status is not None and not change.renew:
            contents.copy_xattrs(old_fd, fd)
        made = shield.status_of(fd, self._temporary(step, "new"), self.etc)
        step.new = contents.format_fingerprint(made, zlib.crc32(change.new))

    def _keep_old(self, step: FileStep, status: posix.stat_result, fd: int, content: bytes) -> None:
        """Give the old file a second name, from which it can be put back and become the backup."""
        if step.backup:
            self._refuse_directory(f"{step.base}-", step)
            # shadow writes backups in place, so one must not share its inode with somebody's file.
            step.copied = status.st_nlink > 1 or stat.S_IMODE(status.st_mode) & ~_MODE != 0
        try:
            if b"libpseudo" in posix.environ.get(b"LD_PRELOAD", b""):
                # OpenEmbedded's pseudo knows files by inode and path, aborts on a second path of one that it has
                # not seen made, and does the link first.
                raise OSError(errno.ENOTSUP, posix.strerror(errno.ENOTSUP))
            posix.link(
                step.base,
                self._temporary(step, "old"),
                src_dir_fd=self._open_parent(step.parent),
                dst_dir_fd=self.etc,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in shield.REFUSED:
                raise
            self._copy_old(step, "old", status, fd, content, stat.S_IMODE(status.st_mode))
        if step.copied:
            self._copy_old(step, "copy", status, fd, content, status.st_mode & _MODE)

    def _copy_old(
        self, step: FileStep, kind: str, status: posix.stat_result, fd: int, content: bytes, mode: int
    ) -> None:
        copy = self._write_temporary(step, kind, content, status.st_uid, status.st_gid, mode)
        if kind == "old":
            contents.copy_xattrs(fd, copy)
        try:
            posix.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        except OSError as error:
            if error.errno not in shield.REFUSED:
                raise

    def _refuse_directory(self, name: str, step: FileStep) -> None:
        try:
            status = posix.stat(name, dir_fd=self._open_parent(step.parent), follow_symlinks=False)
        except OSError:
            return
        if stat.S_ISDIR(status.st_mode):
            raise OSError(errno.EISDIR, posix.strerror(errno.EISDIR))

    def _write_temporary(self, step: FileStep, kind: str, content: bytes, uid: int, gid: int, mode: int) -> int:
        flags = posix.O_RDWR | posix.O_CREAT | posix.O_EXCL
        fd = shield.open_file(self._temporary(step, kind), flags, self.etc)
        self._written.append((fd, step.name, content, kind == "new"))
        shield.write_all(fd, content)
        # In this order: nobody but the owner reads it before it belongs to the right group.
        posix.fchown(fd, uid, gid)
        posix.fchmod(fd, mode)
        return fd

    def _read_back(self, verify: Callable[[str, bytes], None] | None) -> None:
        """Put everything on the disk and see that it is there."""
        # After all have been written, so that the disk gets them together.
        for fd, name, content, is_new in self._written:
            self.at = name
            posix.fsync(fd)
            if not contents.holds(fd, content):
                raise CommitError(name, "reads back differently than it was written")
            if verify is not None and is_new:
                verify(name, content)

    def _write_journal(self) -> None:
        if self._journal < 0:
            return
        self.at = self.steps[0].name
        if self.at not in FILES and len(self.steps) == 1:
            return  # grpck FILE: one rename needs no journal, and no other name may be in one
        lines = [b"%s %s\n" % (MAGIC, self.token.encode())]
        for step in self.steps:
            backup = "copy" if step.copied else "link" if step.backup else "-"
            line = f"{step.number} {step.old or '-'} {step.new or '-'} {backup} {step.name}\n"
            lines.append(fsencode(line))
        text = b"".join(lines)
        try:
            shield.write_all(self._journal, text + b"end %08x\n" % zlib.crc32(text))
        except OSError as error:
            if error.errno not in shield.REFUSED:
                raise
            # Half a journal would have what is done by halves taken for what was never begun.
            self._remove([JOURNAL])
            return
        # A single rename is atomic by itself: after a power cut either outcome is right.
        if len(self.steps) > 1:
            shield.sync(self._journal)
            shield.sync(self.etc)

    def _find_old(self, step: FileStep) -> tuple[str, str] | None:
        """Name and parent under which the old file is kept: its second name, or already the backup's."""
        for name, parent in ((self._temporary(step, "old"), ""), (f"{step.base}-", step.parent)):
            found = self._fingerprint(name, parent)
            if found == step.old or (found and step.old and contents.is_same_content(found, step.old)):
                return name, parent
        return None

    def _forward(self) -> None:
        """Put all new files in place, and that on the disk."""
        for step in self.steps:
            if step.state != "old":
                continue
            self.at = step.name
            if step.new is None:
                posix.unlink(step.base, dir_fd=self._open_parent(step.parent))
            else:
                new = self._temporary(step, "new")
                posix.rename(new, step.base, src_dir_fd=self.etc, dst_dir_fd=self._make_parent(step, new))
            step.state = "new"
        self._sync()

    def _backward(self) -> None:
        """Put all old files back."""
        moved = False
        for step in reversed(self.steps):
            if step.state != "new":
                continue
            moved = True
            if step.old is None:
                posix.unlink(step.base, dir_fd=self._open_parent(step.parent))
            else:
                kept = self._find_old(step)
                if kept is None:
                    raise FileNotFoundError(errno.ENOENT, posix.strerror(errno.ENOENT))
                name, parent = kept
                posix.rename(
                    name,
                    step.base,
                    src_dir_fd=self._open_parent(parent),
                    dst_dir_fd=self._open_parent(step.parent),
                )
            step.state = "old"
        if moved:
            self._sync()

    def _make_parent(self, step: FileStep, new: str) -> int:
        if not step.parent:
            return self.etc
        wanted = 0o755  # everybody's tools look for accounts.conf beside a private accounts/base
        try:
            fd = self._open_parent(step.parent)
            # Whoever may read the file may enter its directory: everybody's NSS module reads accounts/hidden.
            mode = posix.stat(new, dir_fd=self.etc, follow_symlinks=False).st_mode & 0o444
            wanted = stat.S_IMODE(posix.fstat(fd).st_mode) | mode | mode >> 2
        except FileNotFoundError:
            posix.mkdir(step.parent, 0o700, dir_fd=self.etc)
            fd = self._open_parent(step.parent)
        if stat.S_IMODE(posix.fstat(fd).st_mode) != wanted:
            posix.fchmod(fd, wanted)
        return fd

    def _sync(self) -> None:
        # Subdirectories first: a file must not have left one directory before it has arrived in the other.
        for fd in reversed(self._parents.values()):
            shield.sync(fd)

    def _back_up(self) -> None:
        """Turn the second names of the old files into the backups."""
        for step in self.steps:
            if not step.backup or step.state != "new":
                continue
            self.at = step.name
            source = self._temporary(step, "copy" if step.copied else "old")
            parent = self._open_parent(step.parent)
            try:
                posix.rename(source, f"{step.base}-", src_dir_fd=self.etc, dst_dir_fd=parent)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EBUSY):
                    raise
                # Not there: the predecessor got that far. A mount point is written in place, as shadow does always.
                if error.errno == errno.EBUSY:
                    contents.overwrite(source, self.etc, f"{step.base}-", parent)
                    self._remove([source])

    def _clean(self) -> None:
        """Remove what is not needed any more; the journal last, and only if everything else is gone."""
        names = []
        for step in self.steps:
            if step.state != "new":
                names += [self._temporary(step, kind) for kind in ("new", "old", "copy")]
            elif step.old is not None and (step.copied or not step.backup):
                names.append(self._temporary(step, "old"))
        gone = self._remove(names)
        for step in self.steps:
            if step.parent and {"old": step.old, "new": step.new}.get(step.state, "") is None:
                shield.remove_directory(step.parent, self.etc)
        if gone:
            self._remove([JOURNAL])

    def _remove(self, names: Iterable[str]) -> bool:
        """Try to remove all the files; whether all are gone."""
        left = [name for name in names if not shield.remove(name, self.etc)]
        return not left

    def _fingerprint(self, name: str, parent: str = "") -> str | None:
        """Fingerprint of a file, None for no file, a word for what is no file of ours. Raises OSError."""
        try:
            fd = shield.open_file(name, posix.O_RDONLY | posix.O_NONBLOCK, self._open_parent(parent))
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                return "irregular"
            raise
        try:
            return contents.fingerprint(fd)
        finally:
            shield.close(fd)
