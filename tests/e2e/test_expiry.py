# SPDX-License-Identifier: MIT
"""expiry(1) as root beside the real one, over all states that a row of shadow(5) can be in.

-f in a fourth of them, others each day; ACCOUNTS_FULL: in all.
"""

from __future__ import annotations

import itertools
import os
import time

import pytest

from tests.support.overlay import REAL, in_overlay, run_tool

TODAY = int(time.time()) // 86400
FIELDS = {
    "lstchg": ("", "0", str(TODAY - 10), str(TODAY - 100)),
    "minimum": ("0", "200"),
    "maximum": ("", "9", "10", "11"),
    "warning": ("", "7"),
    "inactive": ("", "5"),
    "expire": ("", str(TODAY - 1), str(TODAY + 9)),
}


def _differences() -> tuple[list[str], int]:
    """Where the two differ, and how many different answers the real one gave."""
    found = []
    answers = set()
    with open("/etc/shadow") as file:
        others = [line for line in file if not line.startswith("root:")]
    for number, fields in enumerate(itertools.product(*FIELDS.values())):
        row = f"root:x:{':'.join(fields)}:\n"
        with open("/etc/shadow", "w") as file:
            file.writelines([row, *others])
        forced = "ACCOUNTS_FULL" in os.environ or number % 4 == TODAY % 4
        for option in ("-c", "-f") if forced else ("-c",):
            real, ours = (run_tool(f"{directory}/expiry", option) for directory in (REAL, "/usr/bin"))
            answers.add((real.returncode, real.stdout))
            if (real.returncode, real.stdout, real.stderr) != (ours.returncode, ours.stdout, ours.stderr):
                found.append(f"{option} {row}real: {real}\nours: {ours}")
    return found, len(answers)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_expiry_says_what_the_real_one_says() -> None:
    differences, answers = in_overlay(_differences)
    assert differences == []
    assert answers >= 7
