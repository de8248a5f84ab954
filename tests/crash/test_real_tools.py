# SPDX-License-Identifier: MIT
"""Our locks against glibc's lckpwdf(3) and the real useradd, and everybody in a race.

Needs root, unshare and mount (util-linux) and useradd (passwd). A throw-away directory is mounted over /etc
in a mount namespace of its own; this machine's /etc is never written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.errors import LockError
from accounts.system.locks import Locks

TOP = Path(__file__).resolve().parents[2]
USERADD = shutil.which("useradd.distrib", path="/usr/sbin") or "/usr/sbin/useradd"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists(USERADD) or not shutil.which("unshare"),
    reason="needs root, unshare and useradd",
)

HOLD_LCKPWDF = (
    "import ctypes, sys\n"
    "status = ctypes.CDLL(None).lckpwdf()\n"
    "print('held' if status == 0 else 'failed', flush=True)\n"
    "sys.stdin.read()\n"
)

# Adds one to a number that every process shares, under the locks, in two files at once.
COUNT = """
import os, sys
sys.path[:0] = sys.argv[3:]
from accounts.system.commit import FileChange, commit
from accounts.system.store import recover
from accounts.system.locks import Locks
etc = os.open(sys.argv[1], os.O_RDONLY)
for _ in range(int(sys.argv[2])):
    locks = Locks(etc)
    try:
        for name in ("passwd", "group"):
            locks.acquire(name)
        assert recover(etc) == []
        changes = []
        for name in ("count", "accounts/base"):
            with open(name, "rb", opener=lambda path, flags: os.open(path, flags, dir_fd=etc)) as file:
                old = file.read()
            changes.append(FileChange(name, old, b"%d" % (int(old) + 1), backup=True))
        commit(etc, changes)
    finally:
        locks.release()
"""


@pytest.fixture
def etc(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "etc"
    path.mkdir()
    (path / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (path / "group").write_text("root:x:0:\n")
    (path / "login.defs").write_text("USERGROUPS_ENAB yes\nCREATE_HOME no\n")
    (path / "nsswitch.conf").write_text("passwd: files\ngroup: files\n")
    (path / "count").write_text("0")
    (path / "accounts").mkdir()
    (path / "accounts" / "base").write_text("0")
    yield path


@pytest.fixture
def locks(etc: Path) -> Iterator[Locks]:
    fd = os.open(etc, os.O_RDONLY)
    locks = Locks(fd, timeout=0.4)
    yield locks
    locks.release()
    os.close(fd)


def _start(etc: Path, *command: str) -> subprocess.Popen[str]:
    """Start a command that sees the directory as its /etc."""
    script = 'mount --bind "$0" /etc && exec "$@"'
    return subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script, str(etc), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_lckpwdf_waits_for_us(etc: Path, locks: Locks) -> None:
    locks.acquire("passwd")
    with _start(etc, "/usr/bin/python3", "-IS", "-c", HOLD_LCKPWDF) as process:
        time.sleep(0.6)
        assert process.poll() is None
        released = time.monotonic()
        locks.release()
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "held\n"
        assert time.monotonic() - released < 2
        process.stdin.close()


def test_we_wait_for_lckpwdf(etc: Path, locks: Locks) -> None:
    with _start(etc, "/usr/bin/python3", "-IS", "-c", HOLD_LCKPWDF) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LockError):
            locks.acquire("passwd")
        process.stdin.close()
        process.wait()
        locks.acquire("passwd")


def test_useradd_waits_for_us(etc: Path, locks: Locks) -> None:
    locks.acquire("passwd")
    with _start(etc, USERADD, "alice") as process:
        time.sleep(0.6)
        assert process.poll() is None
        assert "alice" not in (etc / "passwd").read_text()
        locks.release()
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    assert "alice" in (etc / "passwd").read_text()


def test_a_lock_file_of_ours_stops_useradd_with_its_own_words(etc: Path) -> None:
    fd = os.open(etc, os.O_RDONLY)
    locks = Locks(fd, passwd_lock=False)  # as below --prefix: only the lock files are there to see
    try:
        locks.acquire("group")
        with _start(etc, USERADD, "alice") as process:
            errors = process.communicate()[1]
        assert process.returncode == 10
        assert errors == (
            f"useradd: lock /etc/group.lock already used by PID {os.getpid()}\n"
            "useradd: cannot lock /etc/group; try again later.\n"
        )
    finally:
        locks.release()
        os.close(fd)


def test_twenty_processes_and_the_real_useradd_lose_nothing(etc: Path) -> None:
    processes, rounds, users = 20, 4, 12
    # Children import the package and filelock from where this test does.
    paths = [str(TOP), *(path for path in sys.path if path.endswith("site-packages"))]
    with contextlib.ExitStack() as stack:
        ours = [
            stack.enter_context(subprocess.Popen([sys.executable, "-S", "-c", COUNT, str(etc), str(rounds), *paths]))
            for _ in range(processes)
        ]
        real = [stack.enter_context(_start(etc, USERADD, f"user{number}")) for number in range(users)]
        results = [process.communicate() for process in real]
        statuses = [process.wait() for process in ours]
    assert statuses == [0] * processes
    assert [result[1] for result in results] == [""] * users
    assert (etc / "count").read_text() == (etc / "accounts" / "base").read_text() == str(processes * rounds)
    names = {line.split(":")[0] for line in (etc / "passwd").read_text().splitlines()}
    assert names == {"root", *(f"user{number}" for number in range(users))}
    assert len((etc / "group").read_text().splitlines()) == users + 1
    left = {name for name in os.listdir(etc) if name.startswith(".") or name.endswith(".lock")}
    assert left == {".pwd.lock"}


def test_killed_lock_holders_do_not_stop_the_next(etc: Path, locks: Locks) -> None:
    code = COUNT.replace("    finally:\n        locks.release()", "    finally:\n        os.kill(os.getpid(), 9)")
    command = [sys.executable, "-S", "-c", code, str(etc), "1", str(TOP)]
    assert subprocess.run(command, check=False).returncode == -9
    assert (etc / "passwd.lock").exists()
    locks.acquire("passwd")
    locks.acquire("group")
    locks.release()
    with _start(etc, USERADD, "alice") as process:
        assert process.communicate()[1] == ""
    assert (etc / "count").read_text() == "1"
