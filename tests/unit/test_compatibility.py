# SPDX-License-Identifier: MIT
"""The tables of docs/compatibility.md are what the tools are."""

from __future__ import annotations

import pytest

from scripts import compatibility


def test_the_tables_are_made_of_this_code() -> None:
    text = compatibility.DOCUMENT.read_text()
    assert compatibility.with_tables(text) == text, "run `python3 scripts/compatibility.py`"


def test_a_change_of_a_tool_is_a_change_of_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compatibility.tables()
    tool = next(tool for tool in compatibility.find_tools() if tool.name == "usermod")
    row = next(row for row in tool.options if row.long == "add-subids")
    monkeypatch.setattr(row, "since", (4, 19))
    assert compatibility.tables() != before
    assert "| usermod | `-S, --add-subids` | 4.13 to 4.18: –; since 4.19: there |" in compatibility.tables()
