# SPDX-License-Identifier: MIT
"""Replace /etc/default/useradd as useradd -D does: atomically, the old file kept as "useradd-".

One file that nobody else writes under a lock: it needs no journal.
"""

from __future__ import annotations

import os
import time

from accounts.errors import AccountsError
from accounts.model.useradd_defaults import FILE, KEYS
from accounts.system import shield
from accounts.system.notify import LOG_INFO, syslog
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from accounts.system.known import Facts
    from accounts.system.target import Target

DIRECTORY = b"default"
NAME = "useradd"


def change_useradd_defaults(facts: Facts, changes: Mapping[str, Any]) -> None:
    """Write the defaults with these changes, field of Defaults -> value, and tell syslog. Raises AccountsError."""
    defaults = facts.useradd_defaults
    for field, value in changes.items():
        setattr(defaults, field, value)
    text = defaults.render(facts.useradd_text)
    # mkstemp(3)'s mode at first.
    write_useradd_defaults(facts.target, text, facts.shown(FILE), 0o600 if facts.release < (4, 17) else 0o644)
    logged = {key for key, _, since in KEYS if since == (4, 13)}
    values = ", ".join(f"{fsdecode(key)}={fsdecode(value)}" for key, value in defaults.items() if key in logged)
    syslog(LOG_INFO, f"useradd defaults: {values}")


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
