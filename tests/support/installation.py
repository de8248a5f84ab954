# SPDX-License-Identifier: MIT
"""`make install` into a root directory. What it compiles is compiled once, and copied: that takes three seconds."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.roots.mounts import run_quiet

TOP = Path(__file__).resolve().parents[2]
# What is in an installed tree, or makes it.
SOURCES = ("accounts", "shims", "scripts", "nss", "nss-data", "pam", "subid", "common", "build/deps", "Makefile")


def install(root: str | Path) -> None:
    """Install the tools, modules and vendor files as `make install DESTDIR=root PREFIX=/usr` does."""
    run_quiet("cp", "-a", "--remove-destination", f"{_made()}/.", f"{root}/")
    release = subprocess.run([TOP / "packaging/find-shadow", root], stdout=subprocess.PIPE, text=True, check=True)
    # The one file that depends on the root.
    run_quiet(
        *("make", "-s", "-C", str(TOP / "nss-data"), "install", f"DESTDIR={root}", "PREFIX=/usr"),
        *("UNITDIR=/usr/lib/systemd/system", f"SHADOW_COMPAT={release.stdout.strip()}"),
    )


@cache
def _made() -> Path:
    """The tree of `make install`, made by the first process that asks, and again when a source has changed."""
    place, stamp = TOP / "build/installed", TOP / "build/installed.stamp"
    (TOP / "build").mkdir(exist_ok=True)
    with open(TOP / "build/installed.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run_quiet("make", "-s", "-C", str(TOP), "all")
        sources = hashlib.sha256("\n".join(sorted(_describe())).encode()).hexdigest()
        if not stamp.exists() or stamp.read_text() != sources:
            stamp.unlink(missing_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            run_quiet("make", "-s", "-C", str(TOP), "install", f"DESTDIR={place}", "PREFIX=/usr")
            stamp.write_text(sources)
    return place


def _describe() -> Iterator[str]:
    for source in SOURCES:
        top = TOP / source
        for path in (top, *top.rglob("*")) if top.is_dir() else (top,):
            if "__pycache__" not in path.parts and path.is_file():
                status = os.stat(path)
                yield f"{path} {status.st_mtime_ns} {status.st_size} {status.st_mode}"
