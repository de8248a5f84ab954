# SPDX-License-Identifier: MIT
"""The fuzz target of fuzz.c under ASan and UBSan, bounded; ACCOUNTS_FUZZ_ROUNDS: mutations of each corpus file.

With clang: cc="clang -fsanitize=fuzzer -DLIBFUZZER" in place of the compiler, then run it on the corpus directory.
"""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

from accounts.image.index import format_index
from tests.nss.cases import TABLES
from tests.nss.conftest import ASAN, HERE, TOP

ROUNDS = os.environ.get("ACCOUNTS_FUZZ_ROUNDS", "40")
WHERE = {"DATADIR": ".", "INDEXDIR": "./index", "LOCALDIR": "./local"}


def corpus(directory: Path) -> list[Path]:
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


def test_no_file_makes_the_module_go_wrong(tmp_path: Path) -> None:
    for name in ("index", "local/accounts", "corpus"):
        (tmp_path / name).mkdir(parents=True)
    sources = [*sorted((TOP / "nss").glob("*.c")), *sorted((TOP / "common").glob("*.c"))]
    defines = [f'-D{key}="{value}"' for key, value in WHERE.items()]
    subprocess.run(
        ["cc", *ASAN.split(), "-std=gnu11", "-D_GNU_SOURCE", "-DFIRST_READ=8", "-DFIRST_LOOK=0", "-DTICK=0", *defines,
         f"-I{TOP}/common", "-o", tmp_path / "fuzz", HERE / "fuzz.c", *sources],
        check=True,
    )  # fmt: skip
    done = subprocess.run(
        [tmp_path / "fuzz", ROUNDS, "1", *corpus(tmp_path / "corpus")],
        cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
