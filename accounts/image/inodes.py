# SPDX-License-Identifier: MIT
"""Copies an inode with all that belongs to it: content, owner, mode, extended attributes, times."""

from __future__ import annotations

import errno
import os
import shutil
import stat

Inode = tuple[int, int]


def copy_inode(
    source: int, old: str, target: int, new: str, status: os.stat_result, first: tuple[int, str] | None = None
) -> None:
    """Make entry `new` of directory target a copy of `old` in directory source, and put it on the disk.

    status: of old. first: directory and name of an earlier copy of the same inode, which is linked to.
    """
    temporary = f".{new}.accounts-tmp"
    unlink_if_there(temporary, target)
    if first is not None:
        os.link(first[1], temporary, src_dir_fd=first[0], dst_dir_fd=target, follow_symlinks=False)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(old, dir_fd=source), temporary, dir_fd=target)
        os.chown(temporary, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    elif stat.S_ISREG(status.st_mode):
        reader = os.open(old, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writer = os.open(temporary, flags, 0o600, dir_fd=target)
        try:
            with open(reader, "rb", closefd=False) as old_file, open(writer, "wb", closefd=False) as file:
                shutil.copyfileobj(old_file, file)
            copy_metadata(reader, writer)
            os.fsync(writer)
        finally:
            os.close(reader)
            os.close(writer)
    else:
        os.mknod(temporary, status.st_mode, status.st_rdev, dir_fd=target)
        os.chown(temporary, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        os.chmod(temporary, stat.S_IMODE(status.st_mode), dir_fd=target)
    os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
    os.rename(temporary, new, src_dir_fd=target, dst_dir_fd=target)


def copy_metadata(source: int, target: int) -> None:
    """Copy owner, mode and extended attributes, in the order that keeps set-id bits and file capabilities."""
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    try:
        names = os.listxattr(source)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return
        raise
    for name in names:
        os.setxattr(target, name, os.getxattr(source, name))


def unlink_if_there(name: str, directory: int) -> None:
    """Remove a file that may not be there."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
