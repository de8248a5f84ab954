# SPDX-License-Identifier: MIT
"""Small roots with two layers, and the `accounts` command run on them as people run it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from tests.support.forked import run_forked

TOP = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
FILES = ("passwd", "group", "shadow", "gshadow")
MODES = {"shadow": 0o640, "gshadow": 0o640, "accounts/base": 0o600}

IMAGE = {
    "passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
        "www:x:33:33:web:/var/www:/usr/sbin/nologin\n"
    ),
    "group": "root:x:0:\ndaemon:x:1:\nadm:x:4:daemon\nwww:x:33:\nshadow:x:42:\nvideo:x:44:\n",
    "shadow": "root:*:19000::::::\ndaemon:*:19000::::::\nwww:*:19000::::::\n",
    "gshadow": "root:*::\ndaemon:*::\nadm:*::daemon\nwww:*::\nshadow:*::\nvideo:*::\n",
}


@dataclass
class Result:
    """What a command did."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Its standard output as JSON."""
        return json.loads(self.stdout)


def make_root(
    path: Path, local: dict[str, str] | None = None, image: dict[str, str] | None = None, nsswitch: bool = True
) -> Path:
    """A root with IMAGE (or image) in /usr/lib, and local in /etc: file name -> text."""
    for name in ("etc", "usr/lib", "usr/share/accounts", "var/lib", "home"):
        (path / name).mkdir(parents=True, exist_ok=True)
    write(path / "usr/lib", IMAGE if image is None else image)
    write(path / "etc", local or {})
    if nsswitch:
        text = (TOP / "nss-data/nsswitch.conf").read_text()
        (path / "usr/share/accounts/nsswitch.conf").write_text(text)
        (path / "etc/nsswitch.conf").symlink_to("../usr/share/accounts/nsswitch.conf")
    return path


def write(directory: Path, files: dict[str, str]) -> None:
    """Write account files with the modes that they have."""
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(MODES.get(name, 0o644))
        if name in ("shadow", "gshadow"):
            os.chown(file, 0, 42)


def local(root: Path) -> dict[str, str]:
    """The local layer: file name -> text of those that are there."""
    names = (*FILES, "subuid", "subgid", "accounts/base", "accounts/hidden")
    return {name: (root / "etc" / name).read_text() for name in names if (root / "etc" / name).exists()}


def accounts(root: Path, *argv: str, environ: dict[str, str] | None = None, stdin: str = "") -> Result:
    """Run `accounts ARGV` with --root, in the given environment."""
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(environ or {})}
    done = run_forked(["accounts", argv[0], "--root", root, *argv[1:]], stdin, environ, 120)
    return Result(done.returncode, done.stdout, done.stderr)


def tool(root: Path, *argv: str, stdin: str = "") -> Result:
    """Run one of the account tools, or `accounts COMMAND` as "accounts", "COMMAND", with --root."""
    words = 2 if argv[0] == "accounts" else 1
    done = run_forked([argv[0], *argv[1:words], "--root", root, *argv[words:]], stdin)
    return Result(done.returncode, done.stdout, done.stderr)


def validate(result: Any, schema: str) -> None:
    """Whether a JSON result is what docs/schemas/SCHEMA.json says; raises jsonschema's ValidationError."""
    document = json.loads((TOP / "docs/schemas" / f"{schema}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(document)
    jsonschema.Draft202012Validator(document).validate(result)
