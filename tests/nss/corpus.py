# SPDX-License-Identifier: MIT
"""The corpus of fuzz.c. `python3 -m tests.nss.corpus DIRECTORY` writes it; needs no package."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from accounts.image.index import format_index
from tests.nss.cases import TABLES


def write_corpus(directory: Path) -> list[Path]:
    """Each odd file with its own index, something hidden and something in /etc."""
    files = []
    for number, (database, tables) in enumerate(TABLES.items()):
        for text in tables:
            if len(text) > 4000:
                continue
            index = format_index(database, text) or b""
            parts = (text, index, b"%s:a\n%s:u\n" % (database.encode(), database.encode()), text[: len(text) // 2])
            path = directory / f"{database}-{len(files)}"
            path.write_bytes(bytes([number]) + b"".join(struct.pack("<H", len(part)) + part for part in parts))
            files.append(path)
    return files


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]))
