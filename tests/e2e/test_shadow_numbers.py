# SPDX-License-Identifier: MIT
"""Which numbers of a shadow row the real usermod reads, and how it writes them again: ours do the same.

Not beyond 64 bits: there the real tools never end.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.overlay import REAL, in_overlay, run_tool

TEXTS = (
    *("", "0", "007", "+5", " 5", "\t5", "5 ", "0x10", "1e3", "-0", "-1", "-5", "--1", "+-5"),
    *("2147483647", "2147483648", "4294967294", "4294967295", "4294967296", "9223372036854775808"),
    *("18446744073709551615", "-4294967295", "-4294967296", "-18446744073709551615"),
)
# The row of an image user; ours must not let it show again behind one that is passed over.
IMAGE = "alice:x:1:2:3:4:5:6:\n"


def _lay_out(row: str, image: str = "") -> None:
    Path("/etc/passwd").write_text("root:x:0:0:::\nalice:x:1001:100:::/bin/sh\n")
    Path("/etc/shadow").write_text(row)
    Path("/usr/lib/shadow").write_text(image)


def _differences() -> list[tuple[str, str, str]]:
    found = []
    for field in range(2, 9):
        for text in TEXTS:
            fields = ["alice", "x", "1", "2", "3", "4", "5", "6", "7"]
            fields[field] = text
            row = ":".join(fields) + "\n"
            written = []
            for directory in (REAL, "/usr/sbin"):
                _lay_out(row)
                run_tool(f"{directory}/usermod", "-L", "alice")
                written.append(Path("/etc/shadow").read_text())
            if written[0] != written[1]:
                found.append((row, *written))
    return found


def _refusals() -> list[tuple[int, str, str]]:
    outcomes = []
    for command in (("usermod", "-f", "4294967296", "alice"), ("chage", "-I", "4294967296", "alice")):
        _lay_out("", IMAGE)
        # Both layers answer for passwd and shadow.
        Path("/etc/nsswitch.conf").write_text("passwd: files altfiles\nshadow: files altfiles\n")
        # As over a stock module; ours would hide the image's row.
        Path("/etc/accounts").mkdir(exist_ok=True)
        Path("/etc/accounts/accounts.conf").write_text("HIDE=no\n")
        directory = "/usr/sbin" if command[0] == "usermod" else "/usr/bin"
        done = run_tool(f"{directory}/{command[0]}", *command[1:])
        outcomes.append((done.returncode, done.stderr, Path("/etc/shadow").read_text()))
    return outcomes


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")


def test_numbers_are_read_and_written_as_by_the_real_usermod() -> None:
    assert in_overlay(_differences) == []


def test_a_number_that_is_none_is_refused_over_an_image_row() -> None:
    line = (
        "the new shadow row of 'alice' would hold a number out of range, "
        "so that the row of the read-only image would be in force again; give a smaller one\n"
    )
    assert in_overlay(_refusals) == [(1, f"usermod: {line}", ""), (1, f"chage: {line}", "")]
