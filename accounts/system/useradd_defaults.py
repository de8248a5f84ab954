# SPDX-License-Identifier: MIT
"""Replace /etc/default/useradd as useradd -D does: atomically, the old file kept as "useradd-".

One file that nobody else writes under a lock: it needs no journal.
"""

from __future__ import annotations

import os
import time

from accounts.errors import AccountsError
from accounts.system import shield

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.system.target import Target

DIRECTORY = b"default"
NAME = "useradd"


def write_useradd_defaults(target: Target, text: bytes, shown: str, mode: int) -> None:
    """shown: the file's path in messages. mode: permission bits. Raises AccountsError."""
    try:
        os.mkdir(DIRECTORY, 0o755, dir_fd=target.etc)
    except FileExistsError:
        pass
    except OSError:
        raise AccountsError("cannot create directory for defaults file") from None
    temporary = f"nuadd.{os.getpid()}-{time.time_ns():x}"
    try:
        directory = target.open(b"etc/" + DIRECTORY, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        raise AccountsError("cannot create new defaults file") from None
    try:
        try:
            fd = shield.open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, directory)
        except OSError:
            raise AccountsError("cannot create new defaults file") from None
        try:
            _fill(fd, text, mode)
            _keep_old(directory, shown)
            _rename(directory, temporary, shown)
            os.fsync(directory)
        except BaseException:
            shield.remove(temporary, directory)
            raise
    except OSError as error:
        raise AccountsError(f"{shown}: {error.strerror}") from None
    finally:
        os.close(directory)


def _fill(fd: int, text: bytes, mode: int) -> None:
    try:
        os.fchmod(fd, mode)
        shield.write_all(fd, text)
        os.fsync(fd)
    finally:
        os.close(fd)


def _keep_old(directory: int, shown: str) -> None:
    backup = NAME + "-"
    try:
        shield.remove(backup, directory)
        os.link(NAME, backup, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise AccountsError(f"Cannot create backup file ({shown}-): {error.strerror}") from None


def _rename(directory: int, temporary: str, shown: str) -> None:
    try:
        os.rename(temporary, NAME, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError as error:
        path = os.path.join(os.path.dirname(shown), temporary)
        raise AccountsError(f"rename: {path}: {error.strerror}") from None
