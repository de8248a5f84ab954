# SPDX-License-Identifier: MIT
"""Locks: shadow's protocol and words, stale locks, waiting, signals. The real tools are in tests/crash."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.errors import AccountsError, LockError
from accounts.system import locks as module
from accounts.system.locks import Locks

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
    assert sorted(os.listdir(tmp_path)) == [".accounts.lock", ".pwd.lock", "group.lock", "passwd.lock"]
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
    assert sorted(os.listdir(tmp_path)) == [".accounts.lock", "group.lock"]
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
    assert modes == {".accounts.lock": 0o600, ".pwd.lock": 0o600, "passwd.lock": 0o600}


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
    # To kill(2) -1 is all processes but this one and the first; in a namespace there may be no other.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE), pytest.raises(LockError) as caught:
        locks.acquire("group")
    locks.release()
    assert caught.value.message == "cannot lock /srv/root/etc/group; try again later."
    assert list(caught.value.details) == [f"lock /srv/root/etc/group.lock already used by PID {int(text) % 2**64}"]
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
        ("fifo", "/etc/passwd.lock: not a regular file"),
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
        # A signal that comes just before a sleep is handled behind it (Python 3.14: one in ten).
        "    for _ in range(600): time.sleep(0.1)\n"
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
        signal.signal(signal.SIGHUP, before[module.shield.SIGNALS.index(signal.SIGHUP)])
    assert [signal.getsignal(number) for number in module.shield.SIGNALS] == before


def test_nobody_but_root_can_make_us_wait(etc: int, tmp_path: Path) -> None:
    """Whoever can open a file for reading can hold a shared lock on it: nobody opens what we lock."""
    tmp_path.chmod(0o755)
    (tmp_path / "passwd").write_text("")
    before = Locks(etc)
    before.acquire("passwd")
    code = """
import fcntl, os, struct, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
held = []
for path in sys.argv[1:] + [os.path.join(sys.argv[1], name) for name in sorted(os.listdir(sys.argv[1]))]:
    try:
        held.append(os.open(path, os.O_RDONLY))
    except PermissionError:
        print("closed", os.path.basename(path))
        continue
    fcntl.flock(held[-1], fcntl.LOCK_SH)
    if os.path.isfile(path):
        fcntl.fcntl(held[-1], fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))
print("held", flush=True)
sys.stdin.read()
"""
    for path in tmp_path.parents:
        if path.stat().st_mode & 0o5 != 0o5:
            path.chmod(0o755)
    command = [sys.executable, "-c", code, str(tmp_path), str(tmp_path.parent), "/"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        lines = [process.stdout.readline() for _ in range(4)]
        assert lines == ["closed .accounts.lock\n", "closed .pwd.lock\n", "closed passwd.lock\n", "held\n"]
        before.release()
        for prefix in (False, True):
            locks = Locks(etc, passwd_lock=not prefix)
            started = time.monotonic()
            locks.acquire("passwd")
            locks.release()
            assert time.monotonic() - started < 1
        process.stdin.close()


def test_tools_with_and_without_prefix_exclude_each_other(etc: int, tmp_path: Path) -> None:
    first = Locks(etc, passwd_lock=False)
    first.acquire("passwd")
    second = Locks(etc, timeout=0.2)
    with pytest.raises(LockError):
        second.acquire("group")
    second.release()
    first.release()
    assert os.listdir(tmp_path) == [".pwd.lock"]


@pytest.mark.parametrize(
    "refused",
    [(fcntl.F_OFD_SETLK,), (fcntl.F_OFD_SETLK, fcntl.F_SETLK)],
    ids=["no OFD locks", "no record locks"],
)
def test_older_kernels_have_other_locks(
    etc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: tuple[int, ...]
) -> None:
    real = fcntl.fcntl

    def refuse(fd: int, command: int, argument: bytes) -> object:
        if command in refused:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(fd, command, argument)

    monkeypatch.setattr(module.fcntl, "fcntl", refuse)
    for prefix in (False, True):
        locks = Locks(etc, passwd_lock=not prefix)
        if not prefix and fcntl.F_SETLK in refused:
            # lckpwdf(3) says no, too.
            with pytest.raises(LockError):
                locks.acquire("passwd")
        else:
            locks.acquire("passwd")
            code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
            command = [sys.executable, "-c", code, str(tmp_path / ".accounts.lock")]
            other = subprocess.run(command, stderr=subprocess.PIPE, text=True)
            assert ("BlockingIOError" in other.stderr) == (fcntl.F_SETLK not in refused)
        locks.release()
    # Without any, a live process that the file names is respected.
    (tmp_path / ".accounts.lock").write_bytes(b"%d\0" % os.getppid())
    locks = Locks(etc, passwd_lock=False, timeout=0.1)
    if fcntl.F_SETLK in refused:
        with pytest.raises(LockError):
            locks.acquire("passwd")
        assert (tmp_path / ".accounts.lock").read_bytes() == b"%d\0" % os.getppid()
    else:
        locks.acquire("passwd")
    locks.release()


def test_what_a_killed_process_leaves_is_taken_over_unwritten(etc: int, tmp_path: Path) -> None:
    """.accounts.lock may be a link of the lock of the dead: our PID must not come into that."""
    dead = b"%d\0" % _dead_pid()
    (tmp_path / ".accounts.lock").write_bytes(dead)
    os.link(tmp_path / ".accounts.lock", tmp_path / "shadow.lock")
    (tmp_path / ".accounts.stale").write_bytes(dead)
    locks = Locks(etc)
    locks.acquire("passwd")
    assert (tmp_path / "shadow.lock").read_bytes() == dead
    locks.acquire("shadow")
    locks.release()
    assert os.listdir(tmp_path) == [".pwd.lock"]


def test_a_signal_strands_no_lock_of_a_second_directory(tmp_path: Path) -> None:
    """grpck GROUP GSHADOW locks in two directories; both locks go before the signal takes effect."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/group").write_text("root:x:0:\nx:x:7:\n")
    (tmp_path / "b/gshadow").write_text("root:*::\n")
    command = [sys.executable, "-IS", TOP / "shims/grpck", tmp_path / "a/group", tmp_path / "b/gshadow"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.read(10) == b"no matchin"
        assert (tmp_path / "a/group.lock").exists() and (tmp_path / "b/gshadow.lock").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
    assert (os.listdir(tmp_path / "a"), os.listdir(tmp_path / "b")) == (["group"], ["gshadow"])


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
