# SPDX-License-Identifier: MIT
"""System calls that Python 3.11 has no function for: statx(2), syncfs(2), fchownat(2) of a descriptor. By ctypes, so
not for a hot path.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

from accounts import progress

_AT_NO_AUTOMOUNT, _AT_EMPTY_PATH, _AT_SYMLINK_NOFOLLOW, _AT_STATX_DONT_SYNC = 0x800, 0x1000, 0x100, 0x4000
# linux/stat.h: struct statx and its stx_attributes, stx_attributes_mask.
_SIZE, _ATTRIBUTES, _MASK = 256, 8, 56
# linux/fs.h: _IOWR('X', 121, struct fstrim_range). Where ioctl(2) has other numbers, it is none, and is refused.
_FITRIM = 0xC0185879
# Bytes that one call of it is about, at least.
_PIECE = 1 << 30
IMMUTABLE, APPEND, MOUNT_ROOT = 0x10, 0x20, 0x2000

_libc = ctypes.CDLL(None, use_errno=True)
_statx = getattr(_libc, "statx", None)
if _statx is not None:
    _statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
_libc.fchownat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_int)
_buffer = ctypes.create_string_buffer(_SIZE)
_unpack = struct.Struct("=Q").unpack_from


def read_attributes(directory: int, name: bytes) -> tuple[int, int]:
    """(attributes, those that the file system knows) of a name in a directory, of the directory itself for b"".

    No link is followed, nothing is mounted for it. (0, 0) where it cannot be told.
    """
    flags = _AT_NO_AUTOMOUNT | _AT_SYMLINK_NOFOLLOW | _AT_STATX_DONT_SYNC | (0 if name else _AT_EMPTY_PATH)
    if _statx is None or _statx(directory, name, flags, 0, _buffer):
        return 0, 0
    return _unpack(_buffer, _ATTRIBUTES)[0], _unpack(_buffer, _MASK)[0]


def sync_file_system(fd: int) -> None:
    """syncfs(2): all that was done to the file system of an open file is on the disk. Raises OSError."""
    if _libc.syncfs(fd):
        raise _error()


def discard_free_blocks(directory: int) -> bool:
    """FITRIM (fstrim(8)): the disk forgets what the file system of a directory does not use; whether it could.

    Piece by piece, as a large disk takes minutes, and a call can neither be watched nor interrupted.
    """
    status = os.fstatvfs(directory)
    size = status.f_blocks * status.f_frsize
    piece = max(size // 100, _PIECE)
    for start in range(0, size, piece):
        progress.at(start, size)
        length = piece if start + piece < size else 2**64 - 1 - start
        try:
            fcntl.ioctl(directory, _FITRIM, struct.pack("=QQQ", start, length, 0))
        except OSError:
            return start > 0
    return size > 0


def change_owner(fd: int, uid: int, gid: int) -> None:
    """chown(2) of what a descriptor stands for, which may be one of O_PATH. Raises OSError."""
    if _libc.fchownat(fd, b"", uid, gid, _AT_EMPTY_PATH):
        raise _error()


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
