# SPDX-License-Identifier: MIT
"""Locks: shadow's protocol and words, stale locks, waiting, signals. The real tools are in tests/crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.errors import AccountsError
from accounts.system import locks as module
from accounts.system.locks import LockError, Locks

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture
def etc(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def _dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_lock_files_name_their_owner_and_go_in_the_end(etc: int, tmp_path: Path) -> None:
    locks = Locks(etc)
    assert locks.held == ()
    locks.acquire("passwd")
    locks.acquire("group")
    locks.acquire("passwd")
    assert locks.held == ("passwd", "group")
    assert sorted(os.listdir(tmp_path)) == [".pwd.lock", "group.lock", "passwd.lock"]
    assert (tmp_path / "passwd.lock").read_bytes() == b"%d\0" % os.getpid()
    assert (tmp_path / ".pwd.lock").stat().st_mode & 0o777 == 0o600
    locks.release()
    locks.release()
    assert locks.held == ()
    assert os.listdir(tmp_path) == [".pwd.lock"]
    locks.acquire("shadow")
    locks.release()


def test_below_a_prefix_there_is_no_pwd_lock(etc: int, tmp_path: Path) -> None:
    locks = Locks(etc, passwd_lock=False)
    locks.acquire("group")
    assert os.listdir(tmp_path) == ["group.lock"]
    locks.release()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("umask", [0, 0o777])
def test_the_umask_of_the_caller_does_not_matter(etc: int, tmp_path: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        locks = Locks(etc)
        locks.acquire("passwd")
        modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in os.listdir(tmp_path)}
        locks.release()
        assert os.umask(umask) == umask
    finally:
        os.umask(previous)
    assert modes == {".pwd.lock": 0o600, "passwd.lock": 0o600}


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "existing lock file /etc/passwd.lock without a PID"),
        (b"x", "existing lock file /etc/passwd.lock with an invalid PID 'x'"),
        (b"\0", "existing lock file /etc/passwd.lock with an invalid PID ''"),
        (b"12 \0", "existing lock file /etc/passwd.lock with an invalid PID '12 '"),
        (b"1_0", "existing lock file /etc/passwd.lock with an invalid PID '1_0'"),
        (b"99999999999\0", "existing lock file /etc/passwd.lock with an invalid PID '99999999999'"),
        (b"12\n", "existing lock file /etc/passwd.lock with an invalid PID '12\n'"),
    ],
)
def test_a_broken_lock_file_is_reported_as_shadow_does(
    etc: int, tmp_path: Path, content: bytes, line: str, prefix: bool
) -> None:
    (tmp_path / "passwd.lock").write_bytes(content)
    locks = Locks(etc, passwd_lock=not prefix)
    started = time.monotonic()
    with pytest.raises(LockError) as caught:
        locks.acquire("passwd")
    locks.release()
    assert time.monotonic() - started < 5  # nobody will repair it: not worth the 15 s
    assert isinstance(caught.value, AccountsError)
    assert caught.value.message == "cannot lock /etc/passwd; try again later."
    assert list(caught.value.details) == [line]
    assert (tmp_path / "passwd.lock").read_bytes() == content
    assert set(os.listdir(tmp_path)) <= {".pwd.lock", "passwd.lock"}


@pytest.mark.parametrize("pid", ["{parent}", " +{parent}", "1", "0", "-1"])
def test_a_lock_of_a_live_process_is_respected(etc: int, tmp_path: Path, pid: str) -> None:
    text = pid.format(parent=os.getppid())
    (tmp_path / "group.lock").write_text(text)
    locks = Locks(etc, path="/srv/root/etc")
    with pytest.raises(LockError) as caught:
        locks.acquire("group")
    locks.release()
    assert caught.value.message == "cannot lock /srv/root/etc/group; try again later."
    assert list(caught.value.details) == [
        f"lock /srv/root/etc/group.lock already used by PID {int(text) % 2**64}"
    ]
    assert (tmp_path / "group.lock").read_text() == text


def test_a_lock_of_a_dead_process_is_broken(etc: int, tmp_path: Path) -> None:
    (tmp_path / "passwd.lock").write_bytes(b"%d\0" % _dead_pid())
    (tmp_path / ".accounts.lock").write_bytes(b"left by a killed process")
    locks = Locks(etc)
    locks.acquire("passwd")
    assert (tmp_path / "passwd.lock").read_bytes() == b"%d\0" % os.getpid()
    locks.release()
    assert os.listdir(tmp_path) == [".pwd.lock"]


def test_a_lock_that_was_just_broken_by_somebody_else_is_put_back(
    etc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "passwd.lock"
    lock.write_bytes(b"%d\0" % _dead_pid())
    rename = os.rename

    def late(*arguments: str, **options: int) -> None:
        lock.unlink()
        lock.write_bytes(b"%d\0" % os.getppid())
        rename(*arguments, **options)

    monkeypatch.setattr(module.posix, "rename", late)
    locks = Locks(etc)
    with pytest.raises(LockError) as caught:
        locks.acquire("passwd")
    locks.release()
    assert list(caught.value.details) == ["cannot get lock /etc/passwd.lock: File exists"]
    assert lock.read_bytes() == b"%d\0" % os.getppid()
    assert sorted(os.listdir(tmp_path)) == [".pwd.lock", "passwd.lock"]


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("directory", "/etc/passwd.lock: Is a directory"),
        ("dangling", "/etc/passwd.lock: Too many levels of symbolic links"),
        ("fifo", "existing lock file /etc/passwd.lock without a PID"),
    ],
)
def test_what_is_no_lock_file_is_neither_followed_nor_waited_for(
    etc: int, tmp_path: Path, kind: str, line: str
) -> None:
    lock = tmp_path / "passwd.lock"
    if kind == "directory":
        lock.mkdir()
    elif kind == "fifo":
        os.mkfifo(lock)
    else:
        lock.symlink_to("elsewhere")
    locks = Locks(etc)
    with pytest.raises(LockError) as caught:
        locks.acquire("passwd")
    locks.release()
    assert list(caught.value.details) == [line]
    assert sorted(os.listdir(tmp_path)) == [".pwd.lock", "passwd.lock"]


def test_a_pwd_lock_that_is_a_link_is_not_followed(etc: int, tmp_path: Path) -> None:
    (tmp_path / ".pwd.lock").symlink_to("target")
    locks = Locks(etc)
    with pytest.raises(LockError) as caught:
        locks.acquire("passwd")
    locks.release()
    assert list(caught.value.details) == []
    assert os.listdir(tmp_path) == [".pwd.lock"]


@pytest.mark.parametrize("prefix", [False, True])
def test_the_wait_ends_with_the_timeout(etc: int, tmp_path: Path, prefix: bool) -> None:
    first = Locks(etc, passwd_lock=not prefix)
    first.acquire("passwd")
    second = Locks(etc, passwd_lock=not prefix, timeout=0.3)
    started = time.monotonic()
    with pytest.raises(LockError):
        second.acquire("group")  # even another file: the journal and accounts/base are shared
    assert 0.3 <= time.monotonic() - started < 3
    second.release()
    assert first.held == ("passwd",)
    first.release()
    second.acquire("group")
    second.release()


def test_the_wait_ends_with_the_other_holder(etc: int, tmp_path: Path) -> None:
    first, second = Locks(etc), Locks(etc)
    first.acquire("passwd")
    timer = threading.Timer(0.2, lambda: first.release())
    timer.start()
    second.acquire("passwd")
    assert second.held == ("passwd",)
    second.release()
    timer.join()


def test_below_a_prefix_a_live_lock_file_is_waited_for(etc: int, tmp_path: Path) -> None:
    holder = subprocess.Popen(["sleep", "60"])
    (tmp_path / "passwd.lock").write_bytes(b"%d\0" % holder.pid)
    timer = threading.Timer(0.3, (tmp_path / "passwd.lock").unlink)
    timer.start()
    locks = Locks(etc, passwd_lock=False)
    locks.acquire("passwd")
    locks.release()
    timer.join()
    (tmp_path / "passwd.lock").write_bytes(b"%d\0" % holder.pid)
    locks = Locks(etc, passwd_lock=False, timeout=0.3)
    with pytest.raises(LockError) as caught:
        locks.acquire("passwd")
    locks.release()
    assert list(caught.value.details) == [f"lock /etc/passwd.lock already used by PID {holder.pid}"]
    holder.kill()
    holder.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("waiting", [False, True])
def test_a_signal_releases_the_locks_and_then_kills(
    etc: int, tmp_path: Path, number: signal.Signals, waiting: bool
) -> None:
    code = (
        "import os, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from accounts.system.locks import Locks\n"
        "locks = Locks(os.open(sys.argv[2], os.O_RDONLY))\n"
        "try:\n"
        "    print('waiting', flush=True)\n"
        "    locks.acquire('passwd'); locks.acquire('group')\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
        "finally:\n"
        "    locks.release()\n"
    )
    holder = Locks(etc)
    if waiting:
        holder.acquire("shadow")
    command = [sys.executable, "-c", code, str(TOP), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        for _ in range(1 if waiting else 2):
            process.stdout.readline()
        if waiting:
            time.sleep(0.5)
        process.send_signal(number)
        status, errors = process.wait(10), process.stderr.read()
    holder.release()
    assert (status, errors) == (-number, "")
    assert os.listdir(tmp_path) == [".pwd.lock"]


def test_handlers_are_back_after_the_release(etc: int) -> None:
    before = [signal.getsignal(number) for number in module.shield.SIGNALS]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        locks = Locks(etc)
        locks.acquire("passwd")
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        locks.release()
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert [signal.getsignal(number) for number in module.shield.SIGNALS] == before


def test_filelock_is_imported_only_to_wait(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from accounts.system.locks import Locks\n"
        "etc = os.open(sys.argv[2], os.O_RDONLY)\n"
        "first, second = Locks(etc), Locks(etc, timeout=0.1)\n"
        "first.acquire('passwd')\n"
        "print('filelock' in sys.modules)\n"
        "try: second.acquire('passwd')\n"
        "except Exception as error: print(error)\n"
        "print('filelock' in sys.modules)\n"
        "first.release(); second.release()\n"
    )
    command = [sys.executable, "-c", code, str(TOP), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "False\ncannot lock /etc/passwd; try again later.\nTrue\n"
