# SPDX-License-Identifier: MIT
"""Home directories of a target root: create, move, re-own, remove. Hot path.

Wordings are shadow's. Functions take the root's descriptor and absolute paths inside it; prefix is what
--prefix gave, for messages only. warn gets each line (without "PROG: ") that shadow prints before it carries
on, say gets whole lines (perror(3) prints no program name).
"""

from __future__ import annotations

import _stat as stat
import errno
import posix

from accounts.errors import HomeError
from accounts.system.copies import Copy
from accounts.system.hometree import KEEP, Ids, chown_tree, remove_tree
from accounts.system.paths import DIRECTORY, open_beneath, open_parent, real_path, shown_path, split_path, stat_each
from accounts.text import fsdecode, fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Warn = Callable[[str], None]

# Never removed and never moved, whosever home they are. Relative to the root, "" is the root itself.
SYSTEM_DIRECTORIES = (
    b" bin boot dev etc home lib lib32 lib64 libx32 media mnt opt ostree proc run sbin srv sys sysroot tmp"
    b" usr usr/bin usr/etc usr/games usr/include usr/lib usr/lib32 usr/lib64 usr/libexec usr/libx32 usr/local"
    b" usr/local/bin usr/local/lib usr/local/sbin usr/local/share usr/sbin usr/share usr/src var var/backups"
    b" var/cache var/db var/home var/lib var/local var/lock var/log var/mail var/opt var/run"
    b" var/spool var/spool/mail var/srv var/tmp var/usrlocal run/lock run/user etc/skel"
).split(b" ")
_PATH = posix.O_PATH


def create_home(
    root: int,
    home: bytes,
    owner: tuple[int, int],
    mode: int,
    skels: tuple[bytes, ...],
    warn: Warn,
    prefix: bytes = b"",
    subvolume: str = "no",
) -> bool:
    """Create a home directory with a copy of skels, as useradd -m; False (and a warning) when it is there.

    Missing parents become 0755 and root's. The home belongs to root and is closed until all of them are in it.
    mode: permission bits (HOME_MODE, or 0777 less UMASK). skels: directories' paths inside the root, which may
    be missing; what one has stands before the same of a later one. owner: its UID and GID. subvolume: "yes" for
    one of btrfs, "try" for that or, with a warning, a directory. Raises HomeError.
    """
    if _exists(root, home):
        warn(f"warning: the home directory {fsdecode(home)} already exists.")
        warn("Not copying any file from skel directory into it.")
        return False
    parts = split_path(home)
    shown = b"/".join([b"", *split_path(prefix or b"/")])
    place = b""
    for part in parts:
        place += b"/" + part
        if _exists(root, place):
            continue
        path = fsdecode(shown + place)
        last = place.count(b"/") == len(parts)
        fd = _make_directory(root, place, path, subvolume != "no" and last, warn if subvolume == "try" else None)
        try:
            _set_mode(fd, 0o700 if last else 0o755, path, warn)
            if last:
                for skel in skels:
                    # What the first has stays.
                    _fill_home(root, fd, home, skel, *owner, warn, merge=skel != skels[0])
                try:
                    posix.fchown(fd, *owner)
                except OSError:
                    pass
                try:
                    posix.fchmod(fd, mode)
                except OSError as error:
                    warn(f"warning: chown on '{path}' failed: {error.strerror}")
        finally:
            posix.close(fd)
    return True


def make_home(root: int, home: bytes, uid: int, gid: int, mode: int) -> None:
    """Create an empty home directory in a parent that exists, as newusers; mode less the umask.

    Raises FileExistsError when anything has that name, and other OSErrors; strerror is for the message, filename says
    "chown" where that is what failed.
    """
    parent, name = open_parent(root, home)
    try:
        posix.mkdir(name, mode, dir_fd=parent)
        fd = posix.open(name, DIRECTORY, dir_fd=parent)
        try:
            posix.fchown(fd, uid, gid)
        except OSError as error:
            error.filename = "chown"
            raise
        finally:
            posix.close(fd)
    finally:
        posix.close(parent)


def _exists(root: int, path: bytes) -> bool:
    try:
        posix.close(open_beneath(root, path, _PATH))
    except OSError:
        return False
    return True


def _make_directory(root: int, place: bytes, path: str, subvolume: bool, warn: Warn | None) -> int:
    """warn: gets the line about a subvolume that becomes a directory, off btrfs; None for an error."""
    try:
        parent, name = open_parent(root, place)
        try:
            if subvolume:
                from accounts.system.btrfs import make_subvolume

                subvolume = make_subvolume(parent, name, path, warn)
            if not subvolume:
                posix.mkdir(name, 0o700, dir_fd=parent)
            return posix.open(name, DIRECTORY, dir_fd=parent)
        finally:
            posix.close(parent)
    except OSError:
        raise HomeError(f"cannot create directory {path}") from None


def _set_mode(fd: int, mode: int, path: str, warn: Warn) -> None:
    try:
        posix.fchown(fd, 0, 0)
    except OSError as error:
        warn(f"warning: chown on `{path}' failed: {error.strerror}")
    try:
        posix.fchmod(fd, mode)
    except OSError as error:
        warn(f"warning: chmod on `{path}' failed: {error.strerror}")


def _fill_home(
    root: int, fd: int, home: bytes, skel: bytes, uid: int, gid: int, warn: Warn, merge: bool = False
) -> None:
    try:
        source = open_beneath(root, skel, posix.O_RDONLY | posix.O_DIRECTORY)
    except OSError:
        # No skel is no error, and nothing that shadow mentions.
        return
    try:
        Copy(Ids(KEEP, uid, KEEP, gid), skel, home, warn).fill(source, fd, merge)
    except OSError as error:
        # shadow is silent about half a copy (a full disk); the status stays 0 as its does.
        warn(f"warning: cannot copy {fsdecode(skel)} to {fsdecode(home)}: {error.strerror}")
    finally:
        posix.close(source)


def move_home(root: int, old: bytes, new: bytes, ids: Ids, warn: Warn, prefix: bytes = b"") -> bool:
    """Move a home directory and change owners in it, as usermod -m -d; whether there was one. Raises HomeError.

    ids: old_uid and old_gid are the user's, new_uid and new_gid KEEP where they do not change. A home that
    does not exist is warned of, no error.
    """
    if _exists(root, new):
        raise HomeError(f"directory {fsdecode(new)} exists")
    try:
        home = open_beneath(root, old, _PATH)
    except OSError:
        warn(
            f"The previous home directory ({shown_path(old, prefix)}) does not exist or is inaccessible. "
            "Move cannot be completed."
        )
        return False
    failure = f"cannot rename directory {shown_path(old, prefix)} to {shown_path(new, prefix)}"
    try:
        status = posix.fstat(home)
        if not stat.S_ISDIR(status.st_mode):
            raise HomeError(
                f"The previous home directory ({fsdecode(old)}) was not a directory. "
                "It is not removed and no home directories are created."
            )
        if _is_system_directory(root, status):
            raise HomeError(failure)
    except OSError:
        raise HomeError(failure) from None
    finally:
        posix.close(home)
    try:
        source, old_name = open_parent(root, old)
        try:
            target, new_name = open_parent(root, new)
            try:
                posix.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)
                _chown_home(target, new_name, ids)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                from accounts.system.btrfs import check_subvolume

                check_subvolume(source, old_name, shown_path(old, prefix), shown_path(new, prefix))
                _copy_home(source, old_name, target, new_name, Copy(ids, old, new, warn))
                try:
                    remove_tree(source, old_name)
                except OSError:
                    shown = shown_path(old, prefix)
                    warn(f"warning: failed to completely remove old home directory {shown}")
            finally:
                posix.close(target)
        finally:
            posix.close(source)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            warn(f"warning: {shown_path(new, prefix)}: {error.strerror}")
        raise HomeError(failure) from None
    return True


def _copy_home(source: int, old_name: bytes, target: int, new_name: bytes, copy: Copy) -> None:
    """Copy a home to another file system; nothing is left of a copy that fails."""
    reader = posix.open(old_name, DIRECTORY, dir_fd=source)
    try:
        posix.mkdir(new_name, 0o700, dir_fd=target)
        try:
            writer = posix.open(new_name, DIRECTORY, dir_fd=target)
            try:
                copy.fill(reader, writer)
                copy.finish(reader, writer)
            finally:
                posix.close(writer)
        except OSError:
            try:
                remove_tree(target, new_name)
            except OSError:
                pass
            raise
    finally:
        posix.close(reader)


def chown_home(root: int, home: bytes, ids: Ids) -> bool:
    """Change owners in a home that stays where it is, as usermod -u or -g without -m; whether it did. Raises HomeError.

    Does nothing when the home is not there, or is neither the user's nor, with a new uid, already that uid's.
    """
    try:
        fd = open_beneath(root, home, _PATH)
    except OSError:
        return False
    failure = "Failed to change ownership of the home directory"
    try:
        owner = posix.fstat(fd).st_uid
    except OSError:
        raise HomeError(failure) from None
    finally:
        posix.close(fd)
    if owner != ids.old_uid and (ids.new_uid == KEEP or owner != ids.new_uid):
        return False
    try:
        parent, name = open_parent(root, home)
    except OSError:
        raise HomeError(failure) from None
    try:
        _chown_home(parent, name, ids)
    finally:
        posix.close(parent)
    return True


def _chown_home(parent: int, name: bytes, ids: Ids) -> None:
    if (ids.new_uid, ids.new_gid) == (KEEP, KEEP):
        return
    try:
        chown_tree(parent, name, ids)
    except OSError:
        raise HomeError("Failed to change ownership of the home directory") from None


def remove_home(
    root: int,
    home: bytes,
    uid: int,
    name: bytes,
    others: Iterable[tuple[bytes, bytes]],
    warn: Warn,
    prefix: bytes = b"",
) -> bool:
    """Remove a home directory, as userdel -r; False when it was left, or not all of it went (status 12).

    others: (name, home) of all other accounts of both layers. Whatever -f says, it is not removed when it is
    not the user's, is a directory of the system, or is or holds another account's home. A home that does not
    exist is warned of and is no failure.
    """
    shown = shown_path(home, prefix)
    user = fsdecode(name)
    try:
        fd = open_beneath(root, home, _PATH)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            warn(f"{user} home directory ({shown}) not found")
            return True
        warn(f"{shown} not owned by {user}, not removing")
        return False
    try:
        status = posix.fstat(fd)
    except OSError:
        warn(f"error removing directory {shown}")
        return False
    finally:
        posix.close(fd)
    if status.st_uid != uid:
        warn(f"{shown} not owned by {user}, not removing")
        return False
    if _is_system_directory(root, status):
        warn(f"not removing directory {shown} (it belongs to the system)")
        return False
    other = _find_sharer(root, home, status, others)
    if other is not None:
        warn(f"not removing directory {shown} (would remove home of user {fsdecode(other)})")
        return False
    try:
        parent, last = open_parent(root, home)
        try:
            # The directory that was checked, not a link to it: shadow stops at a symbolic link, too.
            if not _is_same(posix.stat(last, dir_fd=parent, follow_symlinks=False), status):
                raise OSError(errno.ELOOP, posix.strerror(errno.ELOOP))
            remove_tree(parent, last)
        finally:
            posix.close(parent)
    except OSError:
        warn(f"error removing directory {shown}")
        return False
    return True


def _is_system_directory(root: int, status: posix.stat_result) -> bool:
    return any(_is_same(status, other) for other in stat_each(root, (b"/" + path for path in SYSTEM_DIRECTORIES)))


def _find_sharer(
    root: int, home: bytes, status: posix.stat_result, others: Iterable[tuple[bytes, bytes]]
) -> bytes | None:
    """The first of others whose home is this directory or lies below it, whatever path it is named by."""
    mine = {_normal(home), _real(root, home)}
    inside = tuple(path + b"/" for path in mine)
    # Homes are in few directories, however many accounts there are: those are looked into once.
    known: dict[bytes, tuple[bytes, set[bytes]]] = {}
    for name, other in others:
        if not other.startswith(b"/"):
            continue
        other = _normal(other)
        directory, _, last = other.rpartition(b"/")
        if directory not in known:
            known[directory] = _look_into(root, directory or b"/", status.st_ino)
        real, suspects = known[directory]
        place = real + b"/" + last
        if other in mine or place in mine or other.startswith(inside) or place.startswith(inside):
            return name
        if last in suspects and any(_is_same(status, found) for found in stat_each(root, (other,))):
            return name
    return None


def _look_into(root: int, directory: bytes, inode: int) -> tuple[bytes, set[bytes]]:
    """(real path of a directory without final slash, its entries that are links or have that inode)."""
    real = _real(root, directory).rstrip(b"/")
    try:
        fd = open_beneath(root, directory, posix.O_RDONLY | posix.O_DIRECTORY)
    except OSError:
        return real, set()
    try:
        with posix.scandir(fd) as entries:
            return real, {fsencode(entry.name) for entry in entries if entry.is_symlink() or entry.inode() == inode}
    except OSError:
        return real, set()
    finally:
        posix.close(fd)


def _real(root: int, path: bytes) -> bytes:
    try:
        return real_path(root, path)
    except OSError:
        return _normal(path)


def _is_same(first: posix.stat_result, second: posix.stat_result) -> bool:
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _normal(path: bytes) -> bytes:
    if b"//" in path or b"/." in path or path.endswith(b"/"):
        import posixpath

        return posixpath.normpath(b"/" + path.lstrip(b"/"))
    return path
