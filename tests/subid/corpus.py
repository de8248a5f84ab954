# SPDX-License-Identifier: MIT
"""The corpus of fuzz.c. `python3 -m tests.subid.corpus DIRECTORY` writes it; needs no package."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

TABLES = [
    # (image, /etc, hidden)
    (b"root:100:10\n0:110:10\ndaemon:100:5\n", b"root:120:5\n", b""),
    (b"root:100:10\nroot:95:10\nroot:105:200\n", b"", b"subuid:root\n"),
    (b"root:18446744073709551615:1\nroot:0:18446744073709551615\n", b"root:0x64:0144\n", b"subuid:x\n"),
    (b"root:1:0\nroot::\n:1:1\nroot:1\nroot\n\n#\nroot:-1:1\nroot: 1:1\nroot:1:1:1\n", b"root:1:1", b"broken"),
    (b"a\0b:1:1\nroot:1\0:1\n" + b"r" * 3000 + b":1:1\n", b"\0", b"\0\n"),
]


def write_corpus(directory: Path) -> list[Path]:
    files = []
    for number, parts in enumerate(TABLES):
        path = directory / f"subuid-{number}"
        path.write_bytes(b"".join(struct.pack("<H", len(part)) + part for part in parts))
        files.append(path)
    return files


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]))
