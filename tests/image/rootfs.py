# SPDX-License-Identifier: MIT
"""Makes small root directories for the tests of image/, and tells everything about one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.image.elf_files import make_library, make_module

TRIPLET = "usr/lib/x86_64-linux-gnu"
LIBPAM = make_library() + b"\0/etc/pam.d/%s\0/usr/lib/pam.d/%s\0"


def make(root: Path, files: dict[str, str | None]) -> Path:
    """Make a root: "DIR/" a directory, "NAME -> TEXT" a link, else a file with that content."""
    root.mkdir(exist_ok=True)
    for name, content in files.items():
        path, _, link = name.partition(" -> ")
        place = root / path
        (place if path.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if link:
            place.symlink_to(link)
        elif not path.endswith("/"):
            place.write_text(content or "")
    return root


def make_wirable_root(path: Path, files: dict[str, str | None], systemd: bool = True, pam: bytes = LIBPAM) -> Path:
    """A root with a C library, the module and libpam, and with systemd when asked for."""
    root = make(path, {"etc/": None, f"{TRIPLET}/": None, **files})
    (root / TRIPLET / "libc.so.6").write_bytes(make_library())
    (root / TRIPLET / "libnss_altfiles.so.2").write_bytes(make_module())
    (root / TRIPLET / "libpam.so.0").write_bytes(pam)
    if systemd:
        programs = ["usr/lib/systemd/systemd", "usr/bin/systemd-tmpfiles", "usr/lib/systemd/system/sysinit.target"]
        make(root, dict.fromkeys(programs, ""))
    return root


def tell(root: Path, times: bool = False) -> dict[str, object]:
    """Everything below a root, by path: type, mode, owner, content or link; with times the mtime as well."""
    told: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content: object = None
        if stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        when = status.st_mtime_ns if times else None
        told[str(path.relative_to(root))] = (status.st_mode, status.st_uid, status.st_gid, content, when)
    return told


def names(root: Path, below: str = "etc") -> list[str]:
    """All that is below a directory of the root, a link as "NAME -> TEXT", a directory as "NAME/"."""
    found = []
    for path in sorted((root / below).rglob("*")):
        name = str(path.relative_to(root / below))
        found.append(f"{name} -> {os.readlink(path)}" if path.is_symlink() else name + "/" * path.is_dir())
    return found
