# SPDX-License-Identifier: MIT
"""Who may import whom where import-linter does not look: tests/support imports no test, no demo and no bench."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
SUPPORT = sorted((TOP / "tests/support").rglob("*.py"))


@pytest.mark.parametrize("path", SUPPORT, ids=lambda path: str(path.relative_to(TOP / "tests/support")))
def test_support_imports_no_test(path: Path) -> None:
    imported = set(re.findall(r"^\s*(?:from|import) (tests(?:\.\w+)*)", path.read_text(), re.M))
    assert {name for name in imported if not name.startswith("tests.support")} == set()
