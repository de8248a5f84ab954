# SPDX-License-Identifier: MIT
"""Account files at a place that an option names: where adopt takes them from, flatten and reset's backup write them."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from accounts.errors import BadArgument
from accounts.image.tree import Tree
from accounts.machine.delta import FILES
from accounts.machine.words import quote, shown
from accounts.model.database import Database
from accounts.system.target import READ, read_fd

# Documentation/filesystems/overlayfs.rst of the kernel; user. with the mount option userxattr.
_OVERLAY = ("trusted.overlay.", "user.overlay.")
SECRET = ("shadow", "gshadow")


def read_directory(path: Path) -> dict[str, bytes]:
    """Database -> bytes of the account files in a directory, which may be an overlay's upper one.

    A whiteout is no file, in either form: the lower one was removed. Raises BadArgument for what is no account file, or
    whose content is in the lower directory only; OSError.
    """
    files: dict[str, bytes] = {}
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in FILES:
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                continue
            if not stat.S_ISREG(status.st_mode):
                raise BadArgument(f"{path}/{name} is not a regular file")
            fd = os.open(name, READ | os.O_NOFOLLOW, dir_fd=directory)
            attributes = _overlay_attributes(fd)
            if "whiteout" in attributes:
                os.close(fd)
                continue
            if "metacopy" in attributes:
                os.close(fd)
                raise BadArgument(
                    f"{path}/{name} is a metadata copy of an overlay: its content is in the lower directory"
                )
            files[name] = read_fd(fd)
    finally:
        os.close(directory)
    if not files and not _is_overlay(path):
        raise BadArgument(f"{path} has no account file; see accounts adopt --help")
    return files


def _overlay_attributes(file: int | Path) -> set[str]:
    """The names of a file's overlay attributes without their prefix."""
    try:
        names = os.listxattr(file)
    except OSError:
        return set()
    return {name.removeprefix(prefix) for name in names for prefix in _OVERLAY if name.startswith(prefix)}


def _is_overlay(path: Path) -> bool:
    """Whether a directory without account files may be an upper one: nothing was changed, or all was removed."""
    whiteouts = [name for name in FILES if os.path.lexists(path / name)]
    return bool(whiteouts) or bool(_overlay_attributes(path) & {"opaque", "origin", "impure", "uuid"})


@dataclass(frozen=True)
class Placed:
    """A file to be written. mode, gid: of a new one."""

    data: bytes
    mode: int
    gid: int = 0


def write_directory(path: Path, files: Mapping[str, bytes], database: Database, dry_run: bool = False) -> list[str]:
    """Write account files with the modes of a classic /etc; a sentence for each that changed. Raises OSError."""
    group = database.group.get(b"shadow")
    gid = 0 if group is None else group.gid
    placed = {name: Placed(data, 0o640, gid) if name in SECRET else Placed(data, 0o644) for name, data in files.items()}
    return write_files(path, placed, (), dry_run)


def write_files(path: Path, files: Mapping[str, Placed], ours: Collection[str], dry_run: bool = False) -> list[str]:
    """Write files into a directory, and remove those of ours that are not among them; a sentence for each change.

    The directory is accessed as a tree of its own: no link in it leads out. Raises BadArgument, OSError.
    """
    done = []
    if not path.is_dir():
        hint = "" if path.exists() else f"; make it first: mkdir -p {quote(os.fsencode(path))}"
        raise BadArgument(f"{path} is not a directory{hint}")
    where = shown(os.fsencode(path))
    with Tree(path) as tree:
        for name in ours:
            if name not in files and tree.lstat(f"/{name}") is not None:
                done.append(f"{where}/{name}: removed")
                if not dry_run:
                    tree.remove(f"/{name}")
        for name, placed in files.items():
            status = tree.lstat(f"/{name}")
            if status is not None and not stat.S_ISREG(status.st_mode):
                raise BadArgument(f"{path}/{name} is not a regular file")
            if status is not None and tree.read(f"/{name}") == placed.data:
                continue
            done.append(f"{where}/{name}: {placed.data.count(bytes((10,)))} rows")
            if dry_run:
                continue
            tree.write(f"/{name}", placed.data, placed.mode & 0o600 if placed.gid else placed.mode)
            if placed.gid and status is None:
                tree.set_owner(f"/{name}", placed.gid, placed.mode)
    return done


def read_file(path: Path) -> bytes:
    """The bytes of a file that an operand names. Raises OSError with its name."""
    try:
        return read_fd(os.open(path, READ))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_secret(path: Path, data: bytes) -> None:
    """Replace a file by one that only root reads, whole at every moment. Raises OSError."""
    temporary = f"{path}.{os.getpid()}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, 0o600), "wb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno != errno.EEXIST and os.path.lexists(temporary):
            os.unlink(temporary)
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_archive(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files of /etc into a new tar archive that only root reads. Raises OSError, also for one that is there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name, data in files.items():
                entry = tarfile.TarInfo(f"etc/{name}")
                entry.size, entry.mode = len(data), 0o600
                archive.addfile(entry, io.BytesIO(data))
        stream.flush()
        os.fsync(stream.fileno())
