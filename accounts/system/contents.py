# SPDX-License-Identifier: MIT
"""What a commit is made of: the files to change, and how their contents are known again. Hot path."""

from __future__ import annotations

import _stat as stat
import posix
import zlib

from accounts.errors import CommitError
from accounts.system import shield
from accounts.system.target import MAX_ACCOUNT_FILE

CHUNK = 1 << 18
# Hashes and signatures of the old content, which the kernel makes anew.
_CONTENT_XATTRS = ("security.ima", "security.evm")


class FileChange:
    """One file to create (old is None), to remove (new is None) or to replace.

    name: relative to the directory, with at most one "/", whose left side is created when it is absent.
    old, new: contents. mode, uid, gid: of a file that did not exist; else the old file's are kept, unless its
    owner or mode was found to be wrong (renew).
    backup: keep the old file as NAME-, as shadow does.
    """

    __slots__ = ("backup", "gid", "mode", "name", "new", "old", "renew", "uid")

    def __init__(
        self,
        name: str,
        old: bytes | None,
        new: bytes | None,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        backup: bool = False,
        renew: bool = False,
    ) -> None:
        self.name = name
        self.old = old
        self.new = new
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.backup = backup
        self.renew = renew


class FileStep:
    """What happens to one file.

    old, new: fingerprints, None for no file. copied: the backup is a copy, not the old file itself.
    state: what is in place: "old", "new", or "other" when somebody else has written it.
    """

    __slots__ = ("backup", "base", "copied", "name", "new", "number", "old", "parent", "state")

    def __init__(self, number: int, name: str, backup: bool) -> None:
        self.number = number
        self.name = name
        self.parent, _, self.base = name.rpartition("/")
        self.backup = backup
        self.copied = False
        self.old: str | None = None
        self.new: str | None = None
        self.state = "old"


def conflict(name: str) -> CommitError:
    """The error of a file that is not what a change says it was."""
    return CommitError(name, "changed by another program in the meantime")


def holds(fd: int, content: bytes) -> bool:
    """Whether the file's content is this, without another copy of it in memory; True where it cannot be read."""
    position = 0
    try:
        try:
            size = posix.fstat(fd).st_size
        except OSError as error:
            if error.errno not in shield.REFUSED:
                raise
            size = len(content) + len(posix.pread(fd, 1, len(content)))
        if size != len(content):
            return False
        while position < len(content):
            chunk = posix.pread(fd, min(CHUNK, len(content) - position), position)
            if not chunk or not content.startswith(chunk, position):
                return False
            position += len(chunk)
    except OSError as error:
        if error.errno not in shield.REFUSED:
            raise
    return True


def format_fingerprint(status: posix.stat_result, checksum: int) -> str:
    """The fingerprint of a file; checksum: CRC-32 of its content."""
    # Not a strong hash: those cost five times as much on the way of every commit. Whoever writes the file
    # changes its time as well, and a root who forges all three has easier ways.
    return f"{status.st_size}:{status.st_mtime_ns}:{checksum:08x}"


def is_same_content(first: str, second: str) -> bool:
    """Whether two fingerprints say the same but for the time, which a copy may have been refused."""
    return first.split(":")[::2] == second.split(":")[::2]


def copy_xattrs(source: int, target: int) -> None:
    """Copy SELinux label, ACL and so on, as far as the file system and our privileges go."""
    try:
        names = posix.listxattr(source)
    except OSError as error:
        if error.errno in shield.REFUSED:
            return
        raise
    for name in names:
        if name in _CONTENT_XATTRS:
            continue
        try:
            posix.setxattr(target, name, posix.getxattr(source, name))
        except OSError as error:
            if error.errno not in shield.REFUSED:
                raise


def overwrite(source: str, source_dir: int, target: str, target_dir: int) -> None:
    """Write a file's content, owner, mode and times into another one that is there. Raises OSError."""
    reader = shield.open_file(source, posix.O_RDONLY, source_dir)
    try:
        status = posix.fstat(reader)
        writer = shield.open_file(target, posix.O_WRONLY, target_dir)
        try:
            posix.ftruncate(writer, 0)
            # Before there is anything to read.
            posix.fchown(writer, status.st_uid, status.st_gid)
            posix.fchmod(writer, stat.S_IMODE(status.st_mode))
            while chunk := posix.read(reader, CHUNK):
                shield.write_all(writer, chunk)
            posix.utime(writer, ns=(status.st_atime_ns, status.st_mtime_ns))
            posix.fsync(writer)
        finally:
            shield.close(writer)
    finally:
        shield.close(reader)


def fingerprint(fd: int) -> str:
    """The fingerprint of an open file, a word for what is no file of ours. Raises OSError."""
    status = posix.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_ACCOUNT_FILE:
        return "irregular"
    checksum = 0
    while chunk := posix.read(fd, CHUNK):
        checksum = zlib.crc32(chunk, checksum)
    return format_fingerprint(status, checksum)
