# SPDX-License-Identifier: MIT
"""Every system call of every tool, refused: where the real tool goes on, ours does.

`make test` tries a quarter of the calls with one errno each; ACCOUNTS_FAULTS=1 all of them with every errno (ten
minutes). `python -m tests.faults` prints the table.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable

import pytest

from tests.crash import trace
from tests.faults import table
from tests.support.overlay import in_overlay

ALL = "ACCOUNTS_FAULTS" in os.environ


def errors(command: str, site: str) -> Iterable[str]:
    """Those to try: always the same ones."""
    number = zlib.crc32(f"{command}: {site}".encode())
    if ALL:
        return table.ERRORS
    return [table.ERRORS[number // 4 % len(table.ERRORS)]] if number % 4 == 0 else []


def run_commands(commands: list[str]) -> tuple[int, list[str], set[str]]:
    """(rows, those that break the rule without a reason, the reasons that were needed). In an overlay."""
    count, faults, reasons = 0, [], set()
    for row in table.rows(commands, errors):
        count += 1
        if row.verdict and not row.reason:
            faults.append(str(row))
        elif row.verdict:
            reasons.add(row.reason)
    return count, faults, reasons


@pytest.mark.skipif(not trace.CAN_INJECT_ERRORS, reason="the registers are those of x86-64")
def test_where_the_real_tool_goes_on_ours_does() -> None:
    count, faults, reasons = in_overlay(run_commands, list(table.COMMANDS))
    assert not faults, "\n".join(faults)
    assert count > (8000 if ALL else 300)
    if ALL:
        assert reasons == set(table.DIFFERENCES.values()), "a reason for what does not differ any more"
