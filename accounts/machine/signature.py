# SPDX-License-Identifier: MIT
"""Signatures of exports, by ssh-keygen -Y (ssh-keygen(1)): who has ssh keys needs no others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from accounts.errors import BadArgument
from accounts.machine.words import shown

# What a signature is for: one of a git commit or an e-mail is not one of this.
NAMESPACE = "accounts-delta@stateless-accounts"
PROGRAM = "/usr/bin/ssh-keygen"


def sign(data: bytes, key: Path) -> bytes:
    """The signature of data with a private key, or a public one whose private one an agent has. Raises BadArgument."""
    return _run(["-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE], data, "cannot sign")


def verify(data: bytes, signature: Path, allowed: Path, identity: str | None) -> str:
    """Who has signed data, by an allowed signers file. identity: who it has to be. Raises BadArgument."""
    files = ["-f", str(allowed), "-s", str(signature)]
    if identity is None:
        found = _run(["-Y", "find-principals", *files], data, "the signature is not that of an allowed signer")
        identity = found.decode("utf-8", "replace").split("\n", 1)[0]
    _run(["-Y", "verify", "-I", identity, "-n", NAMESPACE, *files], data, "the signature is not valid")
    return identity


def _run(arguments: list[str], data: bytes, what: str) -> bytes:
    try:
        done = subprocess.run(
            [PROGRAM, *arguments],
            input=data,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", **_agent()},
        )
    except OSError as error:
        raise BadArgument(f"{what}: {PROGRAM}: {error.strerror}") from None
    if done.returncode:
        said = shown(b"; ".join(line for line in done.stderr.replace(b"\r", b"").split(b"\n") if line))
        raise BadArgument(f"{what}: {said}" if said else what)
    return done.stdout


def _agent() -> dict[str, str]:
    return {name: os.environ[name] for name in ("SSH_AUTH_SOCK", "SSH_ASKPASS", "HOME") if name in os.environ}
