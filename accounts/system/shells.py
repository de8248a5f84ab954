# SPDX-License-Identifier: MIT
"""shells(5) over its layers: which login shells a system lists."""

from __future__ import annotations

import posix

from accounts.errors import ConfigError
from accounts.system.target import VENDOR_DIRS, Target

FILE = b"shells"
DROP_INS = b"shells.d"
# What getusershell(3) answers when there is no file.
DEFAULTS = (b"/bin/sh", b"/bin/csh")


def is_listed(target: Target, shell: bytes) -> bool:
    """Whether a shell is in /etc/shells, else the vendor's, or in a file of shells.d. One that cannot be read is empty.

    The vendor's file and the directories are those of a shadow built with libeconf (4.14).
    """
    texts = [_read(target, FILE, layered=True)]
    for directory in (b"etc", *VENDOR_DIRS):
        path = directory + b"/" + DROP_INS
        texts += [_read(target, path + b"/" + name) for name in _list(target, path)]
    found = [text for text in texts if text is not None]
    return shell in (_parse(b"\n".join(found)) if found else DEFAULTS)


def is_valid(target: Target, shell: bytes) -> bool:
    """Whether somebody who is not root might have a login shell."""
    return shell.startswith(b"/") and is_listed(target, shell) and target.is_accessible(shell, posix.X_OK)


def _parse(text: bytes) -> list[bytes]:
    """As getusershell(3): the first word of a line that begins with a slash, before any "#"."""
    lines = [line.partition(b"#")[0] for line in text.split(b"\n")]
    return [line[line.find(b"/") :].split()[0] for line in lines if b"/" in line]


def _read(target: Target, path: bytes, layered: bool = False) -> bytes | None:
    try:
        return target.read_layered(path) if layered else target.read(path)
    except ConfigError:
        return None


def _list(target: Target, path: bytes) -> list[bytes]:
    try:
        fd = target.open(path, posix.O_RDONLY | posix.O_DIRECTORY)
    except OSError:
        return []
    try:
        return sorted(name.encode(errors="surrogateescape") for name in posix.listdir(fd))
    finally:
        posix.close(fd)
