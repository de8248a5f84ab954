# SPDX-License-Identifier: MIT
"""Runs a person's editor on a file, with the terminal's job control, as vipw does."""

from __future__ import annotations

import os
import signal

DEFAULT = b"vi"
# What Python or a tool handles or ignores must be as usual again for the editor.
RESET = (
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGALRM, signal.SIGTERM,
)  # fmt: skip


def choose_editor() -> bytes:
    """$VISUAL, else $EDITOR, else vi: a command line for the shell."""
    return os.environb.get(b"VISUAL") or os.environb.get(b"EDITOR") or DEFAULT


def run_editor(editor: bytes, path: bytes) -> int:
    """Edit a file and wait. Returns the exit status of the editor, negative the signal that ended it.

    With a terminal on standard input the editor gets a process group of its own in the foreground; when it is
    suspended, so are we.
    """
    command = [b"sh", b"-c", editor + b' "$@"', b"sh", path]
    try:
        own = os.tcgetpgrp(0)
    except OSError:
        own = -1
    if own < 0:
        return os.waitstatus_to_exitcode(os.waitpid(_start(command, False), 0)[1])
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
    try:
        return _wait(_start(command, True), own)
    finally:
        try:
            os.tcsetpgrp(0, own)
        except OSError:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _start(command: list[bytes], foreground: bool) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        # SIGTTOU is blocked here, so that the group can put itself in the foreground.
        if foreground:
            os.setpgid(0, 0)
            os.tcsetpgrp(0, os.getpid())
        for number in RESET:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTTOU,))
        os.execv("/bin/sh", command)
    finally:
        # Nothing of the parent's may be unwound in the child: it holds the locks.
        os._exit(127)


def _wait(pid: int, own: int) -> int:
    while True:
        status = os.waitpid(pid, os.WUNTRACED)[1]
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        editors = os.tcgetpgrp(0)
        os.tcsetpgrp(0, own)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.tcsetpgrp(0, editors)
        os.killpg(pid, signal.SIGCONT)
