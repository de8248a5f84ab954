# SPDX-License-Identifier: MIT
"""Homes that were being made when somebody was killed: root's and closed, with some of skel in them.

Only who knows that a home was under way may take one for that: another directory of root's may look like it.
"""

from __future__ import annotations

import _stat as stat
import posix

from accounts.system.hometree import remove_tree
from accounts.system.paths import open_parent

_MODE = 0o700


def is_unfinished(root: int, home: bytes) -> bool:
    """Whether a path inside the root is a directory as accounts.system.homes.create_home() leaves it until its end."""
    try:
        parent, name = open_parent(root, home)
    except OSError:
        return False
    try:
        status = posix.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError:
        return False
    finally:
        posix.close(parent)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and stat.S_IMODE(status.st_mode) == _MODE


def remove_unfinished(root: int, home: bytes) -> None:
    """Remove such a home. Raises OSError."""
    parent, name = open_parent(root, home)
    try:
        remove_tree(parent, name)
    finally:
        posix.close(parent)
