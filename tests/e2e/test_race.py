# SPDX-License-Identifier: MIT
"""Our tools and the real ones at the same time on one root: nobody's work is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.overlay import REAL, in_overlay

USERS = 200
WORKERS = 8


def add_in_parallel(stateless: bool) -> list[str]:
    """USERS users by WORKERS processes, ours and (on a classic root) the real useradd by turns; the faults."""
    environment = {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C"}
    workers = []
    for worker in range(WORKERS):
        pid = os.fork()
        if not pid:
            faults = 0
            for number in range(worker, USERS, WORKERS):
                ours = stateless or (number // WORKERS) % 2 == 0
                program = "/usr/sbin/useradd" if ours else f"{REAL}/useradd"
                # The real tool gives up at once on a .lock file of another's, and so do we behind lckpwdf:
                # as everywhere, the caller tries again.
                for _ in range(40):
                    child = os.posix_spawn(program, [program, f"race{number}"], environment)
                    if os.waitpid(child, 0)[1] == 0:
                        break
                else:
                    faults += 1
            os._exit(min(faults, 255))
        workers.append(pid)
    lost = [f"worker: {status}" for status in (os.waitpid(pid, 0)[1] for pid in workers) if status]
    for name in ("passwd", "shadow", "group", "gshadow"):
        rows = Path(f"/etc/{name}").read_text().splitlines()
        names = [row.split(":")[0] for row in rows]
        lost += [f"{name}: race{n} {names.count(f'race{n}')} times" for n in range(USERS)
                 if names.count(f"race{n}") != 1]  # fmt: skip
        if name in ("passwd", "group"):
            ids = [row.split(":")[2] for row in rows if row.startswith("race")]
            if len(set(ids)) != USERS:
                lost.append(f"{name}: only {len(set(ids))} different ids")
    lost += [f"left over: {name}" for name in os.listdir("/etc") if name.endswith(".lock") and name != ".pwd.lock"]
    return lost


@pytest.mark.parametrize("stateless", [False, True], ids=["classic: ours and the real useradd", "stateless: ours"])
def test_no_user_is_lost(stateless: bool) -> None:
    assert in_overlay(add_in_parallel, stateless, stateless=stateless) == []
