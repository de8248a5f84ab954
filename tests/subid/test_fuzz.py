# SPDX-License-Identifier: MIT
"""The plugin on broken files under ASan and UBSan, with threads and fork(2) under TSan, and under valgrind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nss.conftest import ASAN, FLAGS
from tests.nss.test_fuzz import ROUNDS, TOP, build, run
from tests.nss.test_module import VALGRIND
from tests.subid.corpus import write_corpus


def program(directory: Path, flags: str) -> Path:
    sources = [TOP / "subid/subid.c", *sorted((TOP / "common").glob("*.c"))]
    return build(directory, TOP / "tests/subid/fuzz.c", sources, flags.split())


def test_no_file_makes_the_plugin_go_wrong(tmp_path: Path) -> None:
    run(program(tmp_path, ASAN), ROUNDS, 0, write_corpus(tmp_path / "corpus"))


@pytest.mark.parametrize("kind", ["plain", "asan", "tsan"])
def test_threads_and_forked_children_ask_at_once(tmp_path: Path, kind: str) -> None:
    run(program(tmp_path, FLAGS[kind]), "3", 4, write_corpus(tmp_path / "corpus"))


def test_under_valgrind(tmp_path: Path) -> None:
    run(program(tmp_path, FLAGS["plain"]), "0", 0, write_corpus(tmp_path / "corpus"), VALGRIND)
