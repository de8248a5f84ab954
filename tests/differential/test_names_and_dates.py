# SPDX-License-Identifier: MIT
"""Names and dates as the real tools of the three releases take them.

ACCOUNTS_NAMES: how many random names and dates besides (default 300 and a tenth). ACCOUNTS_NAMES=2000 takes a minute.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import time
from pathlib import Path

import pytest

from accounts.model.dates import parse_day
from accounts.model.names import is_valid_group_name, is_valid_user_name
from accounts.model.release import parse_release
from tests.support.overlay import in_system, run_tool
from tests.support.recordings import RELEASES
from tests.support.worker import system_root

COUNT = int(os.environ.get("ACCOUNTS_NAMES", "300"))
ALPHABET = ("a", "Z", "0", "_", ".", "-", "$", " ", "#", "é", "@", "/", "~", "\x01")
# All strings of four of these; pwck takes the square of the number of its rows.
SMALL = ("a", "1", "-", ".", "$", "é")
EDGES = [
    "a" * 31, "a" * 32, "a" * 33, "a" * 255, "a" * 256, "1234", "1a", "a b", "a,b", "a'b", 'a"b', "a;b", "a:b", "+a",
    "-a", "~a", "a$", "$", "a$b", "user@dom.example", "\x7f", "a\t", "..", "...", "é", "a" * 31 + "$",
]  # fmt: skip
DATE_PARTS = (
    "2030", "-", "12", "31", "/", "1", " ", "dec", "feb", "30", "monday", "next", "ago", "3", "weeks", "10:00", "pm",
    "utc", "+0100", "tomorrow", "0x10", "010", "99999", ",", "(", ")", "week", "2030-12-31", "12/31/2030", "1970-1-2",
    "-1", "\t",
)  # fmt: skip


def release_of(text: str) -> tuple[int, int]:
    """The release as the policies take it."""
    release = parse_release(text.encode())
    assert release is not None
    return release


def random_names(seed: str) -> list[str]:
    """Names of the alphabet, longer than those that are all tried."""
    draw = random.Random(seed)
    return ["".join(draw.choices(ALPHABET, k=draw.randint(4, 9))) for _ in range(COUNT)]


def check_names(names: list[str], groups: bool, options: list[str]) -> set[str]:
    """The names that pwck or grpck of the system finds invalid, all in one run."""
    tool, tail = ("grpck", "x:{}:") if groups else ("pwck", "x:{}:100::/:/bin/sh")
    rows = "".join(f"{name}:{tail.format(number)}\n" for number, name in enumerate(names, 1000))
    Path("/etc/group").write_text("users:x:100:\n")
    Path("/tmp/rows").write_bytes(os.fsencode(rows))
    Path("/tmp/none").touch()
    result = run_tool(tool, "-r", *options, "/tmp/rows", "/tmp/none")
    return set(re.findall(r"^invalid (?:user|group) name '(.*)'", result.stdout, re.M))


def make_users(names: list[str]) -> dict[tuple[str, bool], int]:
    """(name, --badname) -> the exit status of the system's useradd."""
    found = {}
    for name, bad in itertools.product(names, (False, True)):
        for file, text in (("passwd", ""), ("group", "users:x:100:\n"), ("shadow", ""), ("gshadow", "")):
            Path("/etc", file).write_text(text)
        options = ["--badname"] if bad else []
        found[name, bad] = run_tool("useradd", "-N", "-M", *options, "--", name).returncode
    return found


def set_dates(dates: list[str]) -> dict[str, str]:
    """Date -> the expiry field that the system's chage -E writes, or "refused"."""
    Path("/etc/passwd").write_text("bob:x:1000:100::/:/bin/sh\n")
    Path("/etc/group").write_text("users:x:100:\n")
    found = {}
    for date in dates:
        Path("/etc/shadow").write_text("bob:!:19000:0:99999:7::20000:\n")
        status = run_tool("chage", f"--expiredate={date}", "bob").returncode
        found[date] = "refused" if status else Path("/etc/shadow").read_text().split(":")[7]
    return found


@pytest.mark.parametrize("release", RELEASES)
def test_all_short_names_and_many_long_ones(release: str) -> None:
    """pwck and grpck judge all names in one run; rows that they take for NIS lines or other fields are left out."""
    short = ["".join(letters) for size in (1, 2, 3) for letters in itertools.product(ALPHABET, repeat=size)]
    short += ["".join(letters) for letters in itertools.product(SMALL, repeat=4)]
    names = [name for name in dict.fromkeys([*short, *random_names(release), *EDGES]) if not re.search("^[-+]|:", name)]
    number = release_of(release)
    options = [[], ["-b"]] if number >= (4, 17) else [[]]
    for option in options:
        bad = in_system(system_root(release), check_names, names, False, option)
        ours = {name for name in names if not is_valid_user_name(os.fsencode(name), bool(option), number)}
        assert ours == bad, (option, sorted(ours ^ bad)[:20])
    bad = in_system(system_root(release), check_names, names, True, [])
    ours = {name for name in names if not is_valid_group_name(os.fsencode(name), False, number)}
    assert ours == bad, sorted(ours ^ bad)[:20]


@pytest.mark.parametrize("release", RELEASES)
def test_names_that_useradd_takes(release: str) -> None:
    names = [*EDGES, *random_names(release + " useradd")[: COUNT // 10], ""]
    number = release_of(release)
    for (name, bad), status in in_system(system_root(release), make_users, names).items():
        valid = is_valid_user_name(os.fsencode(name), bad, number)
        # A name that passes may still make a row that cannot be written (1).
        assert status == (3 if number < (4, 17) else 19) or valid, (name, bad, status)
        assert status in (0, 1) or not valid, (name, bad, status)


@pytest.mark.parametrize("release", RELEASES)
def test_dates_that_chage_takes(release: str) -> None:
    draw = random.Random(release)
    dates = ["".join(draw.choices(DATE_PARTS, k=draw.randint(1, 5))) for _ in range(COUNT)]
    dates += [" ".join(draw.choices(DATE_PARTS, k=draw.randint(1, 4))) for _ in range(COUNT)]
    dates += [*DATE_PARTS, "2030-02-30", "2030- 1- 5", " 2030-1-5", "2030-1-5 ", "02030-1-5", "30-1-5", "0-1-1", ""]
    dates += ["1969-12-31", "1970-01-01", "9999-12-31", "10000-1-1", "2030-00-10", "2030-1-0", "2030-1-32"]
    day = time.time() // 86400
    real = in_system(system_root(release), set_dates, dates)
    differences = {}
    for date, expected in real.items():
        days = parse_day(date.encode(), release=release_of(release))
        ours = "refused" if days < -1 else "" if days == -1 else str(days)
        if ours != expected:
            differences[date] = (expected, ours)
    assert not differences or time.time() // 86400 != day, differences
