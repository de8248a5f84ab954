# SPDX-License-Identifier: MIT
"""Home directories that are subvolumes of btrfs. Loaded only for them."""

from __future__ import annotations

import errno
import fcntl
import posix

from accounts.errors import HomeError
from accounts.system.paths import DIRECTORY

# linux/btrfs.h
_BTRFS_IOC_SUBVOL_CREATE = 0x5000940E
_BTRFS_IOC_SUBVOL_GETFLAGS = 0x80089419
_BTRFS_SUBVOLUME_INODE = 256


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def make_subvolume(parent: int, name: bytes, path: str, warn: Callable[[str], None] | None) -> bool:
    """Make a subvolume of that name; False, off btrfs, with a line to warn. Raises HomeError and OSError.

    path: of the home, for messages. warn: None where there has to be one.
    """
    # struct btrfs_ioctl_vol_args: an int64 and 4088 bytes of name. Of a descriptor that is not O_PATH.
    request = bytearray(bytes(8) + name.ljust(4088, b"\0"))
    fd = posix.open(b".", DIRECTORY, dir_fd=parent)
    try:
        fcntl.ioctl(fd, _BTRFS_IOC_SUBVOL_CREATE, request)
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP):
            if warn is not None:
                warn(f'warning: "{path}" is not on BTRFS; creating regular directory instead of subvolume')
                return False
            raise HomeError(f'home directory "{path}" must be mounted on BTRFS') from None
        raise HomeError(f"failed to create BTRFS subvolume: {path}") from None
    finally:
        posix.close(fd)
    return True


def check_subvolume(parent: int, name: bytes, old: str, new: str) -> None:
    """Raise HomeError for a subvolume, which cannot be moved to another device."""
    fd = posix.open(name, DIRECTORY, dir_fd=parent)
    try:
        if posix.fstat(fd).st_ino == _BTRFS_SUBVOLUME_INODE:
            fcntl.ioctl(fd, _BTRFS_IOC_SUBVOL_GETFLAGS, bytes(8))
            raise HomeError(f"error: cannot move subvolume from {old} to {new} - different device")
    except OSError:
        # Not btrfs: an ordinary directory that happens to have this inode number.
        pass
    finally:
        posix.close(fd)
