# SPDX-License-Identifier: MIT
"""The fuzz target of fuzz.c, bounded, under ASan and UBSan, and with threads and fork(2) under TSan and valgrind.

ACCOUNTS_FUZZ_ROUNDS: mutations of each corpus file. docs/contributing.md says how libFuzzer and AFL++ run it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.nss.conftest import ASAN, FLAGS, HERE, TOP
from tests.nss.corpus import write_corpus
from tests.nss.test_module import VALGRIND

ROUNDS = os.environ.get("ACCOUNTS_FUZZ_ROUNDS", "40")
WHERE = {"DATADIR": ".", "INDEXDIR": "./index", "LOCALDIR": "./local"}
# The index is asked for all but the first line of a file, however new.
ALWAYS = ("-DFIRST_READ=8", "-DFIRST_LOOK=0", "-DTICK=0")


def build(directory: Path, target: Path, sources: list[Path], flags: list[str]) -> Path:
    """Make the program in a directory with the places of the input's files."""
    for name in ("index", "local/accounts", "corpus"):
        (directory / name).mkdir(parents=True)
    defines = [f'-D{key}="{value}"' for key, value in WHERE.items()]
    words = ["cc", *flags, "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *ALWAYS, *defines]
    program = directory / "fuzz"
    subprocess.run([*words, f"-I{TOP}/common", "-o", program, target, *sources, "-pthread"], check=True)
    return program


def run(program: Path, rounds: str, threads: int, files: list[Path], wrapper: tuple[str, ...] = ()) -> None:
    done = subprocess.run(
        [*wrapper, program, rounds, "1", str(threads), *files],
        cwd=program.parent, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def sources() -> list[Path]:
    return [*sorted((TOP / "nss").glob("*.c")), *sorted((TOP / "common").glob("*.c"))]


def test_no_file_makes_the_module_go_wrong(tmp_path: Path) -> None:
    program = build(tmp_path, HERE / "fuzz.c", sources(), ASAN.split())
    run(program, ROUNDS, 0, write_corpus(tmp_path / "corpus"))


@pytest.mark.parametrize("kind", ["plain", "asan", "tsan"])
def test_threads_and_forked_children_ask_at_once(tmp_path: Path, kind: str) -> None:
    """Of the index, of what /etc has and of what is hidden; ThreadSanitizer wants locks for what they share."""
    program = build(tmp_path, HERE / "fuzz.c", sources(), FLAGS[kind].split())
    run(program, "2", 4, write_corpus(tmp_path / "corpus"))


def test_under_valgrind(tmp_path: Path) -> None:
    program = build(tmp_path, HERE / "fuzz.c", sources(), FLAGS["plain"].split())
    run(program, "0", 0, write_corpus(tmp_path / "corpus"), VALGRIND)
