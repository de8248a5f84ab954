# SPDX-License-Identifier: MIT
"""What pyproject.toml cannot say: the manuals and the completion of `accounts` are made when a wheel is built.

They go to share/ below the prefix, where man(1) and bash-completion look for those of a command in bin/.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from setuptools import setup

TOP = Path(__file__).resolve().parent
MADE = Path("build/share")


def make(script: str, directory: Path) -> None:
    """Run a script of this tree that writes files there."""
    subprocess.run([sys.executable, "-IS", TOP / "scripts" / script, TOP / directory], check=True)


make("manuals.py", MADE / "man")
make("completions.py", MADE / "completions")
data_files = [
    (f"share/man/{section.name}", sorted(str(page.relative_to(TOP)) for page in section.glob("accounts*")))
    for section in sorted((TOP / MADE / "man").iterdir())
]
data_files.append(("share/bash-completion/completions", [str(MADE / "completions/bash/accounts")]))
setup(data_files=[entry for entry in data_files if entry[1]])
