# SPDX-License-Identifier: MIT
"""accounts apply killed at any system call: files are all old or all new, and the next run completes, homes included.

ACCOUNTS_KILLS is at how many of them (docs/contributing.md). ACCOUNTS_USERS: how many users the scale test declares.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.change import Change
from accounts.machine.applyrun import Apply
from tests.crash import trace
from tests.machine.life import PYTHON, TOP, accounts, local, make_root

KILLS = int(os.environ.get("ACCOUNTS_KILLS", "14"))
USERS = int(os.environ.get("ACCOUNTS_USERS", "300"))
BEFORE = "remove = true\n[users.old]\n[users.alice]\ngroups = ['video']\n"
AFTER = """
remove = true
[groups.crew]
[users.alice]
shell = "/bin/sh"
subuid = [{ start = 100000, count = 65536 }]
[users.bob]
groups = ["crew", "video"]
maxdays = 90
[users.www]
gecos = "Web"
"""


@pytest.fixture
def fast() -> Iterator[Path]:
    """A directory in memory where that is possible."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        yield Path(name)


def declare(root: Path, text: str) -> None:
    (root / "etc/accounts.d").mkdir(exist_ok=True)
    (root / "etc/accounts.d/a.toml").write_text(text)


def homes(root: Path) -> dict[str, tuple[int, int, str]]:
    """Path -> owner, mode and content below /home."""
    return {
        str(path.relative_to(root)): (
            path.stat().st_uid,
            path.stat().st_mode,
            path.read_text() if path.is_file() else "",
        )
        for path in sorted((root / "home").rglob("*"))
    }


def state(root: Path) -> dict[str, str]:
    path = root / "etc/accounts/applied"
    return local(root) | {"applied": path.read_text() if path.exists() else ""}


def test_killed_at_any_call_the_next_run_completes(fast: Path) -> None:
    template, root = fast / "template", fast / "root"
    template.mkdir()
    make_root(template)
    (template / "etc/login.defs").write_text("USERGROUPS_ENAB yes\n")
    (template / "etc/skel/deep").mkdir(parents=True)
    (template / "etc/skel/.profile").write_text("hello\n" * 100)
    (template / "etc/skel/deep/file").write_text("x\n")
    declare(template, BEFORE)
    assert accounts(template, "apply").status == 0
    declare(template, AFTER)

    def act() -> int:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with Change(os.fsencode(root)) as change:
            Apply(change).run()
        return 0

    def start() -> None:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(template, root, symlinks=True)
        shutil.rmtree(root / "home")
        shutil.copytree(template / "home", root / "home")
        for name, uid in (("old", 1000), ("alice", 1001)):
            for path in (root / "home" / name, *(root / "home" / name).rglob("*")):
                os.chown(path, uid, uid)

    start()
    calls = len(trace.run(act).calls)
    expected, made = state(root), homes(root)
    assert set(made) >= {"home/bob", "home/bob/deep/file", "home/alice", "home/old"}
    start()
    old = local(root)
    kinds = set()
    for at in range(0, calls, max(1, calls // KILLS)):
        start()
        if trace.run(act, at, kill=True).status == 0:
            break
        # What any tool finds next.
        assert accounts(root, "check", "--fix=journal").status in (0, 1)
        found = local(root)
        files = {name: text for name, text in expected.items() if name != "applied"}
        kinds.add("new" if found == files else "old" if found == old else "neither")
        assert act() == 0
        assert state(root) == expected, f"killed at call {at} of {calls}"
        assert homes(root) == made, f"killed at call {at} of {calls}"
        assert accounts(root, "apply", "--check").status == 0
    assert kinds == {"old", "new"}


def test_runs_beside_each_other_are_one_after_the_other(fast: Path) -> None:
    root = make_root(fast)
    (root / "etc/skel").mkdir()
    (root / "etc/skel/file").write_text("x\n")
    declare(root, "".join(f"[users.u{number}]\n" for number in range(40)))
    command = [PYTHON, "-IS", TOP / "shims/accounts", "apply", "--root", root]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(3)]
    said = sorted(run.communicate(timeout=60)[0] for run in runs)
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert said[:2] == ["", ""]
    assert said[2].count("made, UID") == said[2].count("home ") == 40
    assert len(list((root / "home").glob("*/file"))) == 40


def test_many_users_twice(fast: Path) -> None:
    root = make_root(fast)
    (root / "etc/login.defs").write_text("USERGROUPS_ENAB yes\n")
    for name in ("subuid", "subgid"):
        (root / "etc" / name).write_text("")
    users = "".join(f'[users.u{number:05}]\ngroups = ["video", "crew"]\nmaxdays = 90\n' for number in range(USERS))
    declare(root, "[groups.crew]\ngid = 60001\n" + users)
    times = []
    for _ in range(2):
        began = time.monotonic()
        done = accounts(root, "apply")
        times.append(time.monotonic() - began)
        assert (done.status, done.stderr) == (0, "")
        seen = {str(path): path.lstat().st_mtime_ns for path in (root / "etc").rglob("*")}
        if len(times) == 1:
            before = seen
    print(f"{USERS} users: {times[0]:.2f} s, again {times[1]:.2f} s")
    assert (done.stdout, seen) == ("", before)
    assert len(os.listdir(root / "home")) == USERS
    rows = (root / "etc/passwd").read_text().splitlines()
    assert len({row.split(":")[2] for row in rows}) == len(rows) == USERS
    assert len((root / "etc/subuid").read_text().splitlines()) == USERS
    assert (root / "etc/group").read_text().splitlines()[-1].count(",u") == USERS - 1
