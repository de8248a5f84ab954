# SPDX-License-Identifier: MIT
"""What the NSS module of a root can do, read from its ELF file without loading it.

Loaded only where a row has to be hidden, or is.
"""

from __future__ import annotations

import posix

from accounts.system.target import READ, Target, read_fd

MODULE = b"libnss_altfiles.so.2"
# nss/altfiles.c exports a symbol of this name, so that it is in .dynstr of what strip(1) leaves.
SYMBOL = b"\0_nss_altfiles_hidden_1\0"
# Where glibc looks on the distributions there are; below lib a directory for each machine's libraries (Debian).
DIRECTORIES = (b"usr/lib64", b"usr/lib", b"usr/lib32", b"usr/libx32", b"lib64", b"lib", b"lib32")
LARGEST = 1 << 22


def honours_hides(target: Target) -> bool:
    """Whether the root has our module, and no other one of that name for another kind of program."""
    found = False
    for path in _candidates(target):
        try:
            data = read_fd(target.open(path, READ), LARGEST)
        except OSError:
            continue
        if not data.startswith(b"\x7fELF") or SYMBOL not in data:
            return False
        found = True
    return found


def _candidates(target: Target) -> list[bytes]:
    places = []
    for directory in DIRECTORIES:
        places.append(directory)
        try:
            fd = target.open(directory, posix.O_RDONLY | posix.O_DIRECTORY)
        except OSError:
            continue
        try:
            # x86_64-linux-gnu, aarch64-linux-gnu, arm-linux-gnueabihf, ...
            places += [b"%s/%s" % (directory, name.encode()) for name in posix.listdir(fd) if "-linux-" in name]
        finally:
            posix.close(fd)
    return [place + b"/" + MODULE for place in places]
