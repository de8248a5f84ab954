# SPDX-License-Identifier: MIT
"""The shims are those of the list of tools, and each finds its function."""

from __future__ import annotations

import importlib

import pytest

from scripts.shims import SHIMS, TOOLS, format_shim


@pytest.mark.parametrize("tool", TOOLS)
def test_a_shim_is_what_the_list_makes_of_it(tool: str) -> None:
    path = SHIMS / tool
    assert path.read_text() == format_shim(tool)
    assert path.stat().st_mode & 0o777 == 0o755
    module, function = TOOLS[tool]
    assert callable(getattr(importlib.import_module(f"accounts.cli.{module}"), function))


def test_there_is_no_other_shim_but_that_of_accounts() -> None:
    found = {str(path.relative_to(SHIMS)) for path in SHIMS.rglob("*") if path.is_file()}
    assert found == {*TOOLS, "accounts"}
