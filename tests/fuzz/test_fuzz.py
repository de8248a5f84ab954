# SPDX-License-Identifier: MIT
"""Broken files, arguments and input: no traceback, no hang, bounded memory, the tool's own statuses, all or nothing.

ACCOUNTS_FUZZ_SECONDS: how long (20 otherwise); ACCOUNTS_FUZZ_SEED: the first seed, to repeat a failure (otherwise other
ones each day). Nothing but a tmpfs can be written meanwhile.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz import mutate
from tests.hostile import roots
from tests.support.overlay import in_child, run_tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SECONDS = float(os.environ.get("ACCOUNTS_FUZZ_SECONDS", "20"))
SEED = int(os.environ.get("ACCOUNTS_FUZZ_SEED", "0")) or int(time.time()) // 86400 * 1_000_000
SCRATCH = Path("/srv")
# Of the tools' manual pages, section EXIT VALUES; 1 is any tool's for what it cannot open.
STATUSES = {
    "useradd": {0, 1, 2, 3, 4, 6, 9, 10, 12, 14},
    "usermod": {0, 1, 2, 3, 4, 6, 8, 9, 10, 12, 13, 16, 18},
    "userdel": {0, 1, 2, 3, 6, 8, 10, 12},
    "groupadd": {0, 1, 2, 3, 4, 9, 10},
    "groupmod": {0, 1, 2, 3, 4, 6, 9, 10},
    "groupdel": {0, 1, 2, 6, 8, 10},
    "groupmems": {0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 13},
    "gpasswd": {0, 1, 2, 3, 17},
    "chage": {0, 1, 2, 3, 15},
    "passwd": {0, 1, 2, 3, 4, 5, 6, 10},
    "chsh": {0, 1, 2, 3},
    "chfn": {0, 1, 2, 3},
    "chpasswd": {0, 1, 2, 3},
    "chgpasswd": {0, 1, 2, 3},
    "newusers": {0, 1, 2, 3},
    "pwck": {0, 1, 2, 3, 4, 5, 6},
    "grpck": {0, 1, 2, 3, 4, 5},
    "pwconv": {0, 1, 2, 3, 4, 5},
    "pwunconv": {0, 1, 2, 3, 4, 5},
    "grpconv": {0, 1, 2, 3, 4, 5},
    "grpunconv": {0, 1, 2, 3, 4, 5},
    "vipw": {0, 1, 2},
    "vigr": {0, 1, 2},
    "accounts": {0, 1, 2, 3},
}  # fmt: skip
# Failures behind the commit, of one user of several, or with a repair before: shadow's files have changed then too.
LATE = {
    "useradd": {12, 14},
    "usermod": {12, 13},
    "userdel": {12},
    "chpasswd": {1},
    "newusers": {1},
    "pwck": {2},
    "grpck": {2},
}
NAMES = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid", "accounts/base", "accounts/hidden")
# Change rows of nobody who is not named.
NARROW = ("useradd", "groupadd", "gpasswd", "chage", "passwd", "chsh", "chfn")


# Of the runs as they are before anything is spoiled, those that do not end with 0.
UNSPOILED = {
    "gpasswd team": 1,  # no terminal
    "pwck -r": 2,
    "pwck /etc/passwd /etc/shadow": 2,
    "grpck -r": 2,
    "pwunconv": 3,  # rows of the image
    "grpunconv": 3,
    "accounts diff -R {}": 1,
    "accounts status -R {}": 1,  # one problem: no module there
    "accounts status --json -R {}": 1,
    "accounts image check {}": 1,
}


def test_runs_without_faults_succeed() -> None:
    """What is spoiled would work otherwise."""
    assert in_child(_run_unspoiled) == UNSPOILED


def _run_unspoiled() -> dict[str, int | None]:
    _protect()
    statuses = {}
    for tool, runs in mutate.TOOLS.items():
        for arguments in runs:
            run = mutate.Run(tool, list(arguments), mutate.INPUT.get(tool, b""), files={**mutate.PAM, **mutate.BUILD})
            run.files["users"] = run.stdin
            statuses[" ".join([tool, *arguments])] = _run(run, "root")[0].status
    return {command: status for command, status in statuses.items() if status}


def test_no_input_breaks_a_tool() -> None:
    failures, statuses = in_child(_fuzz)
    print(f"{sum(statuses.values())} runs from seed {SEED}:", dict(sorted(statuses.items())))
    assert not failures, f"{len(failures)} failures\n" + "\n".join(failures[:30])


def _protect() -> None:
    # Whatever a wrong option makes a tool work on, it is not this machine.
    for command in (["-o", "remount,ro,bind", "/"], ["-t", "tmpfs", "none", str(SCRATCH)]):
        assert run_tool("mount", *command).returncode == 0


def _fuzz() -> tuple[list[str], Counter[int | None]]:
    _protect()
    failures: list[str] = []
    statuses: Counter[int | None] = Counter()
    end = time.monotonic() + SECONDS
    seed = SEED
    while time.monotonic() < end and len(failures) < 30:
        failures += _try(seed, statuses)
        seed += 1
    return failures, statuses


def _help(tool: str) -> str:
    return roots.run_tool(tool, ("-u" if tool == "chfn" else "--help",), (), SCRATCH).stdout


def _try(seed: int, statuses: Counter[int | None]) -> list[str]:
    run = mutate.draw(seed, _help)
    outcome, before, after = _run(run, ("root", "prefix")[seed % 2])
    statuses[outcome.status] += 1
    faults = []
    if outcome.status is None:
        faults.append("hangs")
    elif outcome.status not in STATUSES[run.tool]:
        faults.append(f"status {outcome.status}")
    if "Traceback" in outcome.stderr or "MemoryError" in outcome.stderr:
        faults.append(outcome.stderr[-600:])
    if outcome.status and not outcome.stderr and not outcome.stdout:
        faults.append("fails without a word")
    builds = run.tool == "accounts"
    if outcome.status and before != after and not builds and outcome.status not in LATE.get(run.tool, ()):
        faults.append(
            "fails, and yet changes " + " ".join(sorted(name for name in after if before.get(name) != after[name]))
        )
    if not builds and any(before.get(name) != after.get(name) for name in before if name.startswith("usr/")):
        faults.append("writes the image")
    if run.tool in NARROW:
        faults += _strangers(run, before, after)
    shown = [word if len(word) < 60 else f"{word[:20]}...{len(word)}" for word in run.arguments]
    return [f"seed {seed}: {run.tool} {shown} ({sorted(run.files)}): {fault}" for fault in faults]


def _run(run: mutate.Run, mode: str) -> tuple[roots.Outcome, dict[str, bytes], dict[str, bytes]]:
    """(how it ended, the account files before and after)."""
    root = SCRATCH / "R"
    roots.populate(root)
    mutate.write(root, run)
    before = _layers(root)
    options: tuple[str, ...] = ()
    if run.tool == "accounts":
        run.arguments = [word.format(root) for word in run.arguments]
    else:
        options = roots.where(run.tool, root, mode)
    outcome = roots.run_tool(run.tool, tuple(run.arguments), options, SCRATCH, run.stdin, run.environment)
    after = _layers(root)
    shutil.rmtree(root)
    return outcome, before, after


def _layers(root: Path) -> dict[str, bytes]:
    paths = [f"{layer}/{name}" for name in NAMES for layer in ("etc", "usr/lib")]
    return {path: (root / path).read_bytes() for path in paths if (root / path).is_file()}


def _strangers(run: mutate.Run, before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """Lines of others that a tool has lost."""
    if any(b"MAX_MEMBERS" in (data or b"") for data in run.files.values()):
        return []
    words = {part.encode(errors="surrogateescape") for word in run.arguments for part in word.split(",")}
    if run.tool in ("passwd", "chsh", "chfn"):
        words.add(b"root")  # the caller
    faults = []
    for name, data in before.items():
        if name == "etc/accounts/base":
            continue  # nobody's but ours
        lost = Counter(data.split(b"\n")) - Counter(after.get(name, b"").split(b"\n"))
        strangers = [line for line in lost if line and not any(word and word in line for word in words)]
        if strangers:
            faults.append(f"{name} loses {strangers[:3]}")
    return faults
