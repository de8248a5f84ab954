# SPDX-License-Identifier: MIT
"""Gives one file to its new owner, with ACLs, set-id bits and file capabilities (docs/decisions/re-own.md).

A file is called by the /proc name of a descriptor, so that what is changed is what was looked at; or, where nobody
else is at work, by its name in the working directory, which is all that fakeroot and pseudo understand.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable

from accounts.model.moves import Moves
from accounts.system.errors import ReadOnly
from accounts.system.kernel import APPEND, IMMUTABLE, change_owner, read_attributes
from accounts.system.walklog import Attributes, Planned

ACLS = ("system.posix_acl_access", "system.posix_acl_default")
CAPABILITY = "security.capability"
ATTRIBUTES = frozenset((CAPABILITY, *ACLS))
SET_ID = stat.S_ISUID | stat.S_ISGID
# Errors that concern one file; any other ends a walk, which the next run takes up.
OF_A_FILE = (
    errno.EPERM, errno.EACCES, errno.EDQUOT, errno.EOPNOTSUPP, errno.EINVAL, errno.EOVERFLOW, errno.EIO, errno.ESTALE,
    errno.EBUSY, errno.ETXTBSY, errno.ELOOP,
)  # fmt: skip
NO_ATTRIBUTES: Attributes = (b"", b"", b"")
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# AT_FDCWD: the working directory.
_HERE = -100
# st_ino and st_dev.
Inode = tuple[int, ...]
# Gives the path of a file for a message.
Path = Callable[[], str]


def is_special(mode: int, attributes: Attributes) -> bool:
    """Whether chown(2) takes something away from a file."""
    return stat.S_ISREG(mode) and bool(mode & SET_ID or attributes[0])


def read_all(name: bytes) -> Attributes:
    """The attributes that matter, of a file in the working directory. Raises OSError."""
    try:
        there = os.listxattr(name, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return NO_ATTRIBUTES
        raise
    if ATTRIBUTES.isdisjoint(there):
        return NO_ATTRIBUTES
    capability, access, default = (
        _read(name, attribute, False) if attribute in there else b"" for attribute in (CAPABILITY, *ACLS)
    )
    return capability, access, default


def _read(place: str | bytes, attribute: str, follow: bool) -> bytes:
    """An attribute, b"" for none. Raises OSError."""
    try:
        return os.getxattr(place, attribute, follow_symlinks=follow)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return b""
        raise


class Owners:
    """Changes files. quiet, foreign: as in a Walk; tell: gets a sentence about what could not be done."""

    def __init__(self, moves: Moves, quiet: bool, foreign: bool, tell: Callable[[str], None]) -> None:
        self._moves = moves
        self._quiet = quiet
        self._foreign = foreign
        # Without /proc, as in a bare chroot, files go by their names in any case.
        self._by_name = quiet or not os.access("/proc/self/fd", os.X_OK)
        self._tell = tell

    def change(self, name: bytes, inode: Inode, path: Path, planned: Planned) -> bool:
        """Give a file of the working directory to its new owner, if it is still that one, and as planned.

        path: called for a message. Whether there is no more to do about it. Raises OSError, ReadOnly.
        """
        try:
            fd = -1 if self._by_name else os.open(name, _PATH)
        except FileNotFoundError:
            return False
        try:
            now = os.lstat(name) if fd < 0 else os.fstat(fd)
            # st_ino, st_dev; st_uid, st_gid
            if now[1:3] != inode or now[4:6] != planned[:2]:
                return False
            if planned[5] != NO_ATTRIBUTES or planned[4] & SET_ID:
                self._change_all(name if fd < 0 else f"/proc/self/fd/{fd}", fd >= 0, path, now, planned)
            elif fd < 0:
                os.chown(name, planned[2], planned[3], follow_symlinks=False)
            else:
                change_owner(fd, planned[2], planned[3])
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.EROFS:
                raise ReadOnly from None
            if error.errno not in OF_A_FILE:
                raise
            why = error.strerror
            if read_attributes(_HERE, name)[0] & (IMMUTABLE | APPEND):
                why = "immutable or append-only, see chattr(1)"
            self._tell(f"{path()} stays with {planned[0]}:{planned[1]}, not {planned[2]}:{planned[3]}: {why}")
        finally:
            if fd >= 0:
                os.close(fd)
        return True

    def _change_all(self, place: str | bytes, follow: bool, path: Path, now: os.stat_result, planned: Planned) -> None:
        for attribute, old in zip(ACLS, planned[5][1:], strict=True):
            new = self._moves.map_acl(old) if old else old
            if new != old and _read(place, attribute, follow) == old:
                os.setxattr(place, attribute, new, follow_symlinks=follow)
        if planned[:2] == planned[2:4]:
            return
        if is_special(now.st_mode, planned[5]):
            self._set_owner_of_special(place, follow, path, planned)
        else:
            os.chown(place, planned[2], planned[3], follow_symlinks=follow)

    def _set_owner_of_special(self, place: str | bytes, follow: bool, path: Path, planned: Planned) -> None:
        """chown(2), and what it takes away given back where nobody can have written into the file meanwhile."""
        _, _, uid, gid, mode, attributes = planned
        file = -1
        try:
            leased = self._quiet
            if not self._quiet:
                flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
                file = os.open(place, flags)
                leased = not self._foreign and _take_lease(file)
            # What is given back is what is there under the lease, as far as it was planned.
            there = os.stat(place, follow_symlinks=follow).st_mode & ~(SET_ID & ~mode)
            capability = _read(place, CAPABILITY, follow)
            os.chown(place, uid, gid, follow_symlinks=follow)
            if leased and (self._quiet or fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_RDLCK):
                _give_back(place, follow, there, capability if capability == attributes[0] else b"")
            else:
                self._tell_lost(path, mode, attributes[0])
        finally:
            if file >= 0:
                os.close(file)

    def finish(self, name: bytes, status: os.stat_result, path: Path, planned: Planned) -> bool:
        """A file at which an earlier run was stopped, in the working directory; as change()."""
        if status[4:6] == planned[:2]:
            return self.change(name, status[1:3], path, planned)
        if status[4:6] != planned[2:4]:
            owner = f"{status.st_uid}:{status.st_gid}"
            self._tell(f"{path()} is of {owner} now, which nobody expected: it stays as it is")
            return True
        if is_special(planned[4], planned[5]) and stat.S_ISREG(status.st_mode):
            lost = planned[4] & SET_ID & ~status.st_mode
            capability = b"" if planned[5][0] == _read(name, CAPABILITY, False) else planned[5][0]
            if self._quiet:
                _give_back(name, False, status.st_mode | lost, capability)
            else:
                # Nobody knows what has been written into it since.
                self._tell_lost(path, lost and planned[4], capability)
        return True

    def _tell_lost(self, path: Path, mode: int, capability: bytes) -> None:
        lost = f"set-id bits (mode {stat.S_IMODE(mode):04o})" if mode & SET_ID else ""
        lost += " and " * bool(lost and capability) + "capabilities" * bool(capability)
        if lost:
            self._tell(f"{path()} has lost its {lost}: look at it before it gets them back")


def _give_back(place: str | bytes, follow: bool, mode: int, capability: bytes) -> None:
    if mode & SET_ID:
        os.chmod(place, stat.S_IMODE(mode))
    if capability:
        os.setxattr(place, CAPABILITY, capability, follow_symlinks=follow)


def _take_lease(file: int) -> bool:
    """Whether nobody has a file open for writing, and nobody gets to until it is closed here: fcntl(2), F_SETLEASE."""
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:
        return False
    return True
