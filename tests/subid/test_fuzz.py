# SPDX-License-Identifier: MIT
"""The plugin on broken files under ASan and UBSan, with threads and fork(2) under TSan, and under valgrind."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from tests.nss.conftest import ASAN, FLAGS
from tests.nss.test_fuzz import ROUNDS, TOP, build, run
from tests.nss.test_module import VALGRIND

TABLES = [
    # (image, /etc, hidden)
    (b"root:100:10\n0:110:10\ndaemon:100:5\n", b"root:120:5\n", b""),
    (b"root:100:10\nroot:95:10\nroot:105:200\n", b"", b"subuid:root\n"),
    (b"root:18446744073709551615:1\nroot:0:18446744073709551615\n", b"root:0x64:0144\n", b"subuid:x\n"),
    (b"root:1:0\nroot::\n:1:1\nroot:1\nroot\n\n#\nroot:-1:1\nroot: 1:1\nroot:1:1:1\n", b"root:1:1", b"broken"),
    (b"a\0b:1:1\nroot:1\0:1\n" + b"r" * 3000 + b":1:1\n", b"\0", b"\0\n"),
]


def corpus(directory: Path) -> list[Path]:
    files = []
    for number, parts in enumerate(TABLES):
        path = directory / f"subuid-{number}"
        path.write_bytes(b"".join(struct.pack("<H", len(part)) + part for part in parts))
        files.append(path)
    return files


def program(directory: Path, flags: str) -> Path:
    sources = [TOP / "subid/subid.c", *sorted((TOP / "common").glob("*.c"))]
    return build(directory, TOP / "tests/subid/fuzz.c", sources, flags.split())


def test_no_file_makes_the_plugin_go_wrong(tmp_path: Path) -> None:
    run(program(tmp_path, ASAN), ROUNDS, 0, corpus(tmp_path / "corpus"))


@pytest.mark.parametrize("kind", ["plain", "asan", "tsan"])
def test_threads_and_forked_children_ask_at_once(tmp_path: Path, kind: str) -> None:
    run(program(tmp_path, FLAGS[kind]), "3", 4, corpus(tmp_path / "corpus"))


def test_under_valgrind(tmp_path: Path) -> None:
    run(program(tmp_path, FLAGS["plain"]), "0", 0, corpus(tmp_path / "corpus"), VALGRIND)


if __name__ == "__main__":
    corpus(Path(sys.argv[1]))
