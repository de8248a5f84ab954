# SPDX-License-Identifier: MIT
"""A directory with two layers of account files to be given as --prefix, and the tools run on it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.forked import run_forked


class Prefix:
    """path: the directory, with etc/ and usr/lib/. env: what the tools find in their environment besides a PATH."""

    def __init__(self, path: Path, **env: str) -> None:
        self.path = path
        self.env = {"PATH": os.defpath, "TZ": "UTC", **env}
        (path / "etc").mkdir()
        (path / "usr/lib").mkdir(parents=True)

    def image(self, **files: str) -> Prefix:
        """Write files of the image layer."""
        for name, text in files.items():
            (self.path / "usr/lib" / name).write_text(text)
        return self

    def local(self, **files: str) -> Prefix:
        """Write files of /etc."""
        for name, text in files.items():
            (self.path / "etc" / name).write_text(text)
        return self

    def run(self, tool: str, *argv: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Run a tool of the source tree."""
        return run_forked([tool, *argv, "-P", self.path], stdin, {**self.env, **env}, 30)

    def etc(self) -> dict[str, str]:
        """The files of /etc, without backups and what is in directories."""
        found = (path for path in sorted((self.path / "etc").iterdir()) if path.is_file())
        return {path.name: path.read_text() for path in found if not path.name.endswith("-")}

    def read(self, name: str) -> str | None:
        """A file of /etc, None when it is not there."""
        path = self.path / "etc" / name
        return path.read_text() if path.exists() else None

    def shown(self, name: str) -> str:
        """Its path in messages."""
        return f"{self.path}//etc/{name}"
