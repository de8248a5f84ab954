# SPDX-License-Identifier: MIT
"""Runs a function in a child process under ptrace(2) and disturbs exactly one of its system calls.

strace can inject the same faults, but a forked child needs no new interpreter: thousands of runs a minute,
and no package beside Python.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
import traceback
from collections.abc import Callable, Container
from dataclasses import dataclass, field

CAN_INJECT_ERRORS = platform.machine() == "x86_64"

_TRACEME, _PEEKUSER, _POKEUSER, _SYSCALL, _SETOPTIONS = 0, 3, 6, 24, 0x4200
_TRACESYSGOOD, _TRACEEXEC, _EXITKILL = 1, 1 << 4, 1 << 20
_RAX, _ORIG_RAX = 10 * 8, 15 * 8
_SYSCALL_STOP = signal.SIGTRAP | 0x80

# The calls of asm/unistd_64.h that name or change a file: those that a full, failing or read-only disk fails.
_NUMBERS = """
    0 read, 1 write, 2 open, 3 close, 5 fstat, 17 pread64, 72 fcntl, 73 flock, 74 fsync, 82 rename, 83 mkdir,
    84 rmdir, 86 link, 87 unlink, 91 fchmod, 93 fchown, 190 fsetxattr, 193 fgetxattr, 196 flistxattr,
    217 getdents64, 257 openat, 258 mkdirat, 262 newfstatat, 263 unlinkat, 264 renameat, 265 linkat,
    280 utimensat, 316 renameat2
"""
FILE_CALLS = {int(number): name for number, name in (pair.split() for pair in _NUMBERS.split(","))}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    ctypes.set_errno(0)
    result: int = _libc.ptrace(request, pid, address, data)
    if result == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"ptrace {request}")
    return result


@dataclass
class Outcome:
    """calls: the number of each system call made and counted. status: exit status, negative for a signal."""

    calls: list[int] = field(default_factory=list)
    status: int = 0


DISPOSITIONS = {
    signal.SIGHUP: signal.SIG_DFL, signal.SIGQUIT: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler,
}  # fmt: skip


def run(
    action: Callable[[], int],
    at: int = -1,
    *,
    kill: bool = False,
    send: int = 0,
    error: int = 0,
    onwards: bool = False,
    counted: Container[int] | None = None,
) -> Outcome:
    """Run action in a child; when it enters its at-th system call, kill it, send a signal or fail the call.

    onwards: fail all later calls on files, too. counted: the calls that are counted at all, by their numbers. action
    returns the child's exit status, or becomes another program; 99: it raised.
    """
    pid = os.fork()
    if not pid:
        status = 99
        try:
            _ptrace(_TRACEME, 0)
            # As after execve(2), whatever tests/conftest.py has for the test run.
            for number, disposition in DISPOSITIONS.items():
                signal.signal(number, disposition)
            os.kill(os.getpid(), signal.SIGSTOP)
            status = action()
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(status)
    os.waitpid(pid, 0)
    _ptrace(_SETOPTIONS, pid, 0, _TRACESYSGOOD | _TRACEEXEC | _EXITKILL)
    outcome = Outcome()
    entering, failing, deliver = True, False, 0
    while True:
        _ptrace(_SYSCALL, pid, 0, deliver)
        deliver = 0
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            outcome.status = os.waitstatus_to_exitcode(status)
            return outcome
        if os.WSTOPSIG(status) != _SYSCALL_STOP:
            # Not at an event of ptrace's, such as an execve(2).
            deliver = 0 if status >> 16 else os.WSTOPSIG(status)
            continue
        call = _ptrace(_PEEKUSER, pid, _ORIG_RAX) if CAN_INJECT_ERRORS else 0
        if entering and (counted is None or call in counted):
            outcome.calls.append(call)
            now = len(outcome.calls) - 1
            if error and (now == at or (onwards and now > at and outcome.calls[-1] in FILE_CALLS)):
                _ptrace(_POKEUSER, pid, _ORIG_RAX, -1)  # no system call at all
                failing = True
            if now == at:
                if kill:
                    os.kill(pid, signal.SIGKILL)
                    outcome.status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    return outcome
                if send:
                    os.kill(pid, send)
        elif failing:
            _ptrace(_POKEUSER, pid, _RAX, -error)
            failing = False
        entering = not entering
