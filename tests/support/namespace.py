# SPDX-License-Identifier: MIT
"""Run a piece of Python as root of a mount namespace of its own, so that it may mount what it likes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import textwrap
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def run_in_namespace(script: str, *arguments: str) -> str:
    """What the script (it can import accounts) prints; fails the test when it does not end well.

    What it makes by the tempfile module is removed afterwards; its mounts are gone by then.
    """
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        done = subprocess.run(
            ["unshare", "-m", "/usr/bin/python3", "-c", textwrap.dedent(script), *arguments],
            env={**os.environ, "PYTHONPATH": str(TOP), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": directory},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout
