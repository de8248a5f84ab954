# SPDX-License-Identifier: MIT
"""Runs a program at a terminal of its own as any user of a root, and answers what it asks."""

from __future__ import annotations

import os
import pty
import select
import signal
import time

from tests.support.roots.debian import ENVIRONMENT, Result


def talk(
    root: str,
    user: tuple[int, int, str],
    command: list[str],
    say: tuple[tuple[str, str], ...] = (),
    environment: dict[str, str] | None = None,
    seconds: float = 300,
) -> Result:
    """Run a command in a root (chroot) as a user; exit status and what the terminal showed.

    user: UID, GID, name. say: pairs of what to wait for and the line to type then. environment: more of it.
    seconds: for all of it, on a busy machine; only a failure waits for them.
    """
    uid, gid, name = user
    pid, fd = pty.fork()
    if pid == 0:
        try:
            os.chroot(root)
            os.chdir("/")
            os.initgroups(name, gid)
            os.setgid(gid)
            os.setuid(uid)
            variables = {**ENVIRONMENT, "USER": name, "LOGNAME": name, "HOME": "/", **(environment or {})}
            os.execve(command[0], command, variables)
        finally:
            os._exit(99)
    shown, mark = b"", 0
    answers = list(say)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answers and (at := shown.find(answers[0][0].encode(), mark)) >= 0:
            mark = at + len(answers[0][0])
            os.write(fd, answers.pop(0)[1].encode() + b"\n")
        if not select.select([fd], [], [], 0.05)[0]:
            continue
        try:
            shown += os.read(fd, 4096)
        except OSError:
            break  # the program has gone, and its terminal with it
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(fd)
    text = shown.replace(b"\r\n", b"\n").decode(errors="replace")
    assert not answers, f"{command} never asked {answers}, but showed {text!r}"
    return Result(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text)
