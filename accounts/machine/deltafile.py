# SPDX-License-Identifier: MIT
"""A delta as a file, with its signature beside it: what `accounts export` writes and `accounts import-delta` takes."""

from __future__ import annotations

from pathlib import Path

from accounts.machine.source import read_file, write_secret
from accounts.machine.travel import DeltaLine, parse_delta


def signature_of(path: Path) -> Path:
    """Where the signature of a file is."""
    return path.with_name(path.name + ".sig")


def write_delta(data: bytes, path: Path, key: Path | None = None) -> None:
    """Write a delta for root only. key: to sign it with. Raises BadArgument, OSError."""
    signature = b""
    if key is not None:
        from accounts.machine.signature import sign

        signature = sign(data, key)
    write_secret(path, data)
    if signature:
        write_secret(signature_of(path), signature)


def read_delta(
    path: Path, allowed: Path | None = None, identity: str | None = None, signature: Path | None = None
) -> tuple[list[DeltaLine], str | None]:
    """The lines of a delta, and who has signed it. Raises BadArgument, OSError.

    allowed: the file of who may have, None where nobody asks. identity: who it has to be; signature: where it is, if
    not beside it.
    """
    data = read_file(path)
    signer = None
    if allowed is not None:
        from accounts.machine.signature import verify

        signer = verify(data, signature or signature_of(path), allowed, identity)
    return parse_delta(data, str(path)), signer
