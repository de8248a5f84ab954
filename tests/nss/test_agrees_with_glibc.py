# SPDX-License-Identifier: MIT
"""The module answers odd files as glibc's `files` service, enumeration, lookups and group lists alike."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.nss.cases import TABLES, random_files
from tests.nss.conftest import MakePrograms, Programs

RANDOM_FILES = 500


def compare(built: Programs, database: str, files: Iterable[bytes]) -> None:
    """Both services read /etc, which is a tmpfs here."""
    compare_files = [built.program("compare"), built.module, database]
    stream = b"".join(struct.pack("=I", len(text)) + text for text in files)
    shell = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /etc && exec "$@"', "sh"]
    done = subprocess.run([*shell, *compare_files], input=stream, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize("database", TABLES)
def test_on_the_table_of_odd_files(programs: MakePrograms, database: str) -> None:
    compare(programs("asan", Path("/etc")), database, TABLES[database])


@pytest.mark.parametrize("database", TABLES)
def test_on_random_files(programs: MakePrograms, database: str) -> None:
    compare(programs("asan", Path("/etc")), database, random_files(database, RANDOM_FILES, seed=4))
