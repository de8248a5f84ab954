# SPDX-License-Identifier: MIT
"""A tool on a root that somebody made: nothing beside the root is read or written, one line, no waiting.

Of all runs (tests.hostile.roots: places x kinds x tools x --root and --prefix) one in STRIDE is made, others each day.
ACCOUNTS_HOSTILE_ROOTS=all makes all, ACCOUNTS_HOSTILE_ROOTS=N/M only the N-th of M parts.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile import roots

WANTED = os.environ.get("ACCOUNTS_HOSTILE_ROOTS", "")
STRIDE = 61
MODES = ("root", "prefix")
ALL = [
    (place, kind, tool, arguments, mode)
    for tool, arguments in roots.RUNS
    for mode in MODES
    for place, kind in roots.CASES
]


def chosen() -> list[tuple[str, str, str, tuple[str, ...], str]]:
    if WANTED == "all":
        return ALL
    if WANTED:
        part, parts = map(int, WANTED.split("/"))
        return ALL[part % parts :: parts]
    return ALL[int(time.time()) // 86400 % STRIDE :: STRIDE]


@pytest.fixture
def base() -> Iterator[Path]:
    path = Path("/dev/shm") / f"accounts-roots.{os.getpid()}"
    path.mkdir(mode=0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def has_secret(root: Path) -> list[str]:
    """Files of the root that hold something of the host's."""
    found = []
    for head, _, files in os.walk(root):
        for name in files:
            path = os.path.join(head, name)
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and status.st_size < 1 << 20 and roots.SECRET in Path(path).read_text():
                found.append(path)
    return found


def faults(outcome: roots.Outcome, tool: str) -> list[str]:
    """What is wrong with the way a run ended."""
    found = []
    if outcome.status is None:
        return ["hangs"]
    if not 0 <= outcome.status < 30:
        found.append(f"status {outcome.status}")
    if "Traceback" in outcome.stderr:
        found.append("traceback: " + outcome.stderr[-400:])
    if outcome.status and not outcome.stderr and not outcome.stdout:
        found.append("fails without a word")
    if roots.SECRET in outcome.stdout + outcome.stderr:
        found.append("shows the host's")
    return found


def test_nothing_outside_of_a_hostile_root_is_touched(base: Path) -> None:
    host, root = base / "host", base / "R"
    roots.make_host(host)
    before = roots.picture(host)
    statuses: Counter[str] = Counter()
    bad = []
    for place, kind, tool, arguments, mode in chosen():
        roots.populate(root)
        roots.spoil(root, host, place, kind)
        outcome = roots.run_tool(tool, arguments, roots.where(tool, root, mode), base)
        found = faults(outcome, tool)
        after = roots.picture(host)
        if after != before:
            changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
            found.append(f"touched {changed}")
            shutil.rmtree(host)
            roots.make_host(host)
            before = roots.picture(host)
        found += [f"holds the host's: {path}" for path in has_secret(root)]
        statuses["0" if outcome.status == 0 else "refused" if outcome.status else "hangs"] += 1
        if found:
            bad.append(f"{kind} at {place}: {tool} {' '.join(arguments)} ({mode}): {'; '.join(found)}; {outcome}")
        shutil.rmtree(root)
    print(dict(statuses), len(ALL), "in all")
    assert not bad, f"{len(bad)} runs\n" + "\n".join(bad[:40])
