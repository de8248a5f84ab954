# SPDX-License-Identifier: MIT
"""The roots of whole systems that tests/support/make-root.sh makes and keeps: never to be changed, so copied."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

MAKE_ROOT = Path(__file__).resolve().parents[1] / "make-root.sh"


def available() -> bool:
    """Whether they can be made here."""
    return os.geteuid() == 0 and shutil.which("debootstrap") is not None


def cached_root(name: str) -> Path:
    """The root of that name, which takes minutes when nobody has asked for it before."""
    made = subprocess.run([MAKE_ROOT, name], capture_output=True, text=True)
    assert made.returncode == 0, f"{name}: exit {made.returncode}\n{made.stderr[-4000:]}"
    return Path(made.stdout.strip())


def copy_root(name: str, place: Path) -> Path:
    """A copy of it as place, for what an overlay is not enough for."""
    subprocess.run(["cp", "-a", "--reflink=auto", cached_root(name), place], check=True)
    return place
