# SPDX-License-Identifier: MIT
"""What seed, pin and check do grows with the number of accounts and not faster, counted in calls of functions."""

from __future__ import annotations

import cProfile
import pstats
from pathlib import Path

import pytest

from accounts.cli.image import main
from tests.bench.bench_image import write_accounts

FEW, TIMES = 150, 10


def _count_calls(root: Path, count: int, command: str) -> int:
    write_accounts(root, count)
    for before in ("seed",) if command != "seed" else ():
        main([before, str(root), "--json"])
    profile = cProfile.Profile()
    profile.runcall(main, [command, str(root), "--json"])
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["seed", "pin", "check"])
def test_ten_times_the_accounts_are_ten_times_the_work(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    few = _count_calls(tmp_path / "few", FEW, command)
    many = _count_calls(tmp_path / "many", FEW * TIMES, command)
    assert many < few * TIMES * 1.1
