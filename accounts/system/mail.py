# SPDX-License-Identifier: MIT
"""Mail spools of a target root: create, move, re-own, remove. Parameters are those of accounts.system.homes."""

from __future__ import annotations

import errno
import posix

from accounts.system.hometree import KEEP
from accounts.system.notify import LOG_ERR, syslog
from accounts.system.paths import open_beneath, open_parent, shown_path
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Warn = Callable[[str], None]

MAIL_DIR = b"/var/mail"
_PATH = posix.O_PATH


def mail_directory(mail_dir: bytes | None, mail_file: bytes | None) -> bytes | None:
    """The spool directory that MAIL_DIR and MAIL_FILE of login.defs(5) name; None when there is none.

    With MAIL_FILE alone the mailbox is in the home, and none of the tools touches it by itself.
    """
    if mail_dir is None and mail_file is None:
        return MAIL_DIR
    return mail_dir


def create_mail(
    root: int,
    directory: bytes | None,
    name: bytes,
    uid: int,
    gid: int,
    mail_gid: int | None,
    say: Callable[[str], None],
) -> None:
    """Create an empty mail spool, as useradd with CREATE_MAIL_SPOOL=yes; failures are said, not raised.

    mail_gid: GID of the group mail, None when there is none: then the spool is 0600 and of group gid.
    """
    if directory is None:
        return
    try:
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL
        fd = open_beneath(root, directory + b"/" + name, flags, 0)
    except OSError as error:
        say(f"Creating mailbox file: {error.strerror}\n")
        return
    try:
        mode = 0o660
        if mail_gid is None:
            say("Group 'mail' not found. Creating the user mailbox file with 0600 mode.\n")
            mail_gid, mode = gid, 0o600
        try:
            posix.fchown(fd, uid, mail_gid)
            posix.fchmod(fd, mode)
        except OSError as error:
            say(f"Setting mailbox file permissions: {error.strerror}\n")
    finally:
        posix.close(fd)


def move_mailbox(
    root: int,
    directory: bytes | None,
    names: tuple[bytes, bytes],
    uids: tuple[int, int],
    warn: Warn,
    say: Callable[[str], None],
    prefix: bytes = b"",
) -> bool:
    """Give a mail spool its new owner and name, as usermod -l and -u; whether it has them.

    Failures are said, not raised.

    names, uids: old and new; KEEP for a UID that does not change. A new name that is taken is never overwritten.
    """
    (name, new_name), (uid, new_uid) = names, uids
    if directory is None:
        return False
    done = True
    path = directory + b"/" + name
    shown = shown_path(path, prefix)
    try:
        parent, old = open_parent(root, path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            say(f"{shown}: {error.strerror}\n")
        return False
    try:
        try:
            # O_NONBLOCK: neither a FIFO nor a mandatory lock may hold us up.
            flags = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_NOFOLLOW | posix.O_CLOEXEC
            fd = posix.open(old, flags, dir_fd=parent)
        except OSError as error:
            if error.errno != errno.ENOENT:
                say(f"{shown}: {error.strerror}\n")
            return False
        try:
            try:
                owner = posix.fstat(fd).st_uid
            except OSError as error:
                say(f"fstat: {error.strerror}\n")
                return False
            if owner != uid:
                warn(f"warning: {shown} not owned by {fsdecode(name)}")
                return False
            if new_uid != KEEP:
                try:
                    posix.fchown(fd, new_uid, KEEP)
                except OSError as error:
                    say(f"failed to change mailbox owner: {error.strerror}\n")
                    done = False
        finally:
            posix.close(fd)
        if new_name != name:
            try:
                posix.link(old, new_name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
                posix.unlink(old, dir_fd=parent)
            except OSError as error:
                say(f"failed to rename mailbox: {error.strerror}\n")
                done = False
    finally:
        posix.close(parent)
    return done


def remove_mailbox(
    root: int, directory: bytes | None, name: bytes, uid: int, force: bool, warn: Warn, prefix: bytes = b""
) -> bool:
    """Remove a mail spool, as userdel -r; False when it was left (status 12). force: also another user's.

    Of a symbolic link the link itself is judged and removed.
    """
    if directory is None:
        return True
    user = fsdecode(name)
    path = directory + b"/" + name
    shown = shown_path(path, prefix)
    try:
        parent, last = open_parent(root, path)
        try:
            if not force and posix.stat(last, dir_fd=parent, follow_symlinks=False).st_uid != uid:
                warn(f"{shown} not owned by {user}, not removing")
                syslog(LOG_ERR, f"{shown} not owned by {user}, not removed")
                return False
            posix.unlink(last, dir_fd=parent)
        finally:
            posix.close(parent)
    except FileNotFoundError:
        warn(f"{user} mail spool ({shown}) not found")
    except OSError as error:
        warn(f"warning: can't remove {shown}: {error.strerror}")
        syslog(LOG_ERR, f"Cannot remove {shown}: {error.strerror}")
        return False
    return True
