# SPDX-License-Identifier: MIT
"""Runs a tool of this checkout in a fork of the test's process, where its modules are imported already.

To start an interpreter and import the modules takes longer than most runs. What the tool is given and what it does
are the same: arguments, environment, descriptors, working directory, its way out through _exit(2). That the shims
start it is for tests/unit/test_shims.py, and for all that run an installed tree.
"""

from __future__ import annotations

import os
import posix
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess
from typing import NoReturn

TOP = Path(__file__).resolve().parents[2]
_ENTRY = re.compile(r"from (accounts\.\S+) import (\w+)")


@cache
def entry_of(tool: str) -> tuple[str, str]:
    """(module, function) that the shim of a tool calls."""
    match = _ENTRY.search((TOP / "shims" / tool).read_text())
    assert match, tool
    return match[1], match[2]


def run_forked(
    argv: Sequence[str | Path], stdin: str = "", environ: Mapping[str, str] | None = None, timeout: float = 60
) -> CompletedProcess[str]:
    """Run argv, whose first word is a tool's name; raises TimeoutError after so many seconds."""
    words = [os.fspath(word) for word in argv]
    module, function = entry_of(words[0])
    import_module(module)
    streams = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
    try:
        os.write(streams[0], stdin.encode())
        os.lseek(streams[0], 0, os.SEEK_SET)
        pid = os.fork()
        if not pid:
            _act(words, module, function, streams, os.environ if environ is None else environ)
        status = _wait(pid, timeout, words)
        out, err = (os.pread(fd, os.fstat(fd).st_size, 0) for fd in streams[1:])
    finally:
        for fd in streams:
            os.close(fd)
    return CompletedProcess(words, status, _decode(out), _decode(err))


def _act(words: list[str], module: str, function: str, streams: list[int], environ: Mapping[str, str]) -> NoReturn:
    try:
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        os.closerange(3, 1024)
        for signal_number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(signal_number, signal.SIG_DFL)
        given = dict(environ)
        for name in set(os.environ) - set(given):
            del os.environ[name]
        os.environ.update(given)
        # What a process is given at its start is what the tools look at.
        posix.environ.clear()
        posix.environ.update({os.fsencode(name): os.fsencode(value) for name, value in given.items()})
        sys.argv = [f"/usr/sbin/{words[0]}", *words[1:]]
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(fd, "w" if fd else "r", closefd=False) for fd in range(3))
        getattr(sys.modules[module], function)()
    except SystemExit as error:
        os._exit(error.code if isinstance(error.code, int) else 1)
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
    finally:
        # Of a tool that returns, or has raised what it should have caught.
        os._exit(120)


def _wait(pid: int, timeout: float, words: list[str]) -> int:
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TimeoutError(f"{words}: still runs after {timeout} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
