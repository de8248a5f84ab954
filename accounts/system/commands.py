# SPDX-License-Identifier: MIT
"""Run other programs, and look for a user's processes. Imports only os, stat, errno, _signal."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the built-in part of signal, which would import enum
import errno
import os
import stat

from accounts.system.paths import open_beneath, stat_beneath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Exit statuses that shadow and sh(1) share: found but not executable, not found.
NOT_EXECUTABLE = 126
NOT_FOUND = 127


def run_command(
    command: bytes,
    argv: list[bytes],
    warn: Callable[[str], None],
    env: Mapping[bytes, bytes] | None = None,
    chroot: int | None = None,
) -> int:
    """Run a program and wait for it, without a shell, as shadow's run_command().

    env None means ours. chroot: descriptor of the root to run it in. Returns the exit status, negative the
    number of the signal that ended it; 127 when there is no such program, 126 (warned of) when it cannot be
    executed.
    """
    environment = os.environb if env is None else env
    try:
        if chroot is None:
            # Python ignores these two, which a child would inherit.
            pid = os.posix_spawn(command, argv, environment, setsigdef=(_signal.SIGPIPE, _signal.SIGXFSZ))
        else:
            pid = _spawn_beneath(command, argv, environment, chroot)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except FileNotFoundError:
        return NOT_FOUND
    except OSError as error:
        warn(f"cannot execute {os.fsdecode(command)}: {error.strerror}")
        return NOT_EXECUTABLE
    return status


def _spawn_beneath(command: bytes, argv: list[bytes], env: Mapping[bytes, bytes], root: int) -> int:
    """posix_spawn(3) inside another root; raises the OSError that the child met."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
            _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
            os.fchdir(root)
            os.chroot(".")
            os.execve(command, argv, env)
        except OSError as error:
            os.write(writer, b"%d" % (error.errno or errno.EIO))
        finally:
            os._exit(NOT_FOUND)
    os.close(writer)
    try:
        # Closed without a word by a successful exec.
        failure = os.read(reader, 16)
    finally:
        os.close(reader)
    if failure:
        os.waitpid(pid, 0)
        raise OSError(int(failure), os.strerror(int(failure)))
    return pid


def run_parts(
    root: int,
    directory: bytes,
    subject: bytes,
    action: bytes,
    warn: Callable[[str], None],
    say: Callable[[str], None],
    chroot: int | None = None,
) -> bool:
    """Run the programs of a hook directory (/etc/shadow-maint/useradd-pre.d) in the order of their names.

    They get ACTION (the tool) and SUBJECT (the account) in the environment. Stops at the first that fails and
    returns False; say gets the whole line that shadow prints then. No directory: nothing to do.
    """
    try:
        fd = open_beneath(root, directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return True
    try:
        env = {**os.environb, b"ACTION": action, b"SUBJECT": subject}
        for entry in sorted(os.fsencode(name) for name in os.listdir(fd)):
            try:
                script = directory + b"/" + entry
                regular = stat.S_ISREG(stat_beneath(root, script, any_link=True).st_mode)
            except OSError as error:
                say(f"stat: {error.strerror}\n")
                return False
            if regular and run_command(script, [script], warn, env, chroot) != 0:
                say(f"{os.fsdecode(entry)}: did not exit cleanly.\n")
                return False
    finally:
        os.close(fd)
    return True


def run_userdel_cmd(command: bytes | None, name: bytes, warn: Callable[[str], None], chroot: int | None = None) -> None:
    """USERDEL_CMD of login.defs(5) with the user's name, its status ignored as userdel does."""
    if command:
        run_command(command, [command, name], warn, None, chroot)


def find_process(
    uid: int, ranges: Sequence[tuple[int, int]], root: int | None = None, threads: bool = False
) -> int | None:
    """The PID of a process that a user runs in a root directory, or None; a best effort over /proc.

    root: its descriptor; None for our own. threads: whether a thread with other uids than its process counts, too,
    which 4.13 means to do (it reads a path that never exists) and 4.20 does.

    Its real, effective or saved uid is the user's, or one of the subordinate uids in ranges (start, count)
    and it is in another user namespace. Tools say "user NAME is currently used by process PID".
    """
    try:
        here = os.stat("/") if root is None else os.fstat(root)
        pids = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    except OSError:
        return None
    for pid in pids:
        try:
            tasks = [f"{pid}/task/{task}" for task in os.listdir(f"/proc/{pid}/task")] if threads else []
            if not any(_runs_as(task, uid, ranges) for task in (pid, *tasks)):
                continue
            there = os.stat(f"/proc/{pid}/root")
        except OSError:
            continue
        if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
            return int(pid)
    return None


def _runs_as(task: str, uid: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether a process or thread (its place in /proc) has the uid, or a subordinate one in another namespace."""
    try:
        fd = os.open(f"/proc/{task}/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, 4096)
        finally:
            os.close(fd)
        uids = {int(field) for field in text.partition(b"\nUid:\t")[2].split(b"\n", 1)[0].split()[:3]}
        return uid in uids or (
            any(start <= other < start + count for other in uids for start, count in ranges)
            and os.readlink(f"/proc/{task}/ns/user") != os.readlink("/proc/self/ns/user")
        )
    except (OSError, ValueError):
        return False
