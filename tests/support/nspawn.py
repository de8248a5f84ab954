# SPDX-License-Identifier: MIT
"""Boots a root directory with systemd-nspawn and types at its console."""

from __future__ import annotations

import functools
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")


# From this version on systemd-nspawn(1) refuses machines with cgroups of version 1.
UNIFIED_ONLY = 258


@functools.cache
def available() -> bool:
    """Whether this machine can boot containers: root and a systemd-nspawn that takes its cgroups."""
    if os.geteuid() or shutil.which("systemd-nspawn") is None:
        return False
    shown = subprocess.run(["systemd-nspawn", "--version"], capture_output=True, text=True, check=True).stdout
    version = int(re.match(r"systemd (\d+)", shown)[1])  # type: ignore[index]
    return version < UNIFIED_ONLY or os.path.exists("/sys/fs/cgroup/cgroup.controllers")


class Machine:
    """A booted root; a with block boots it and powers it off. Everything the console said is in `log`.

    arguments: further ones of systemd-nspawn(1).
    """

    def __init__(self, root: Path, *arguments: str) -> None:
        self.root = root
        self.arguments = arguments
        self.log = b""
        self._seen = 0
        self._terminal = -1
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Machine:
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            self._command(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "TERM": "dumb"},
        )
        os.close(theirs)
        return self

    def _command(self) -> list[str]:
        """What boots it, at a terminal."""
        name = f"accounts-test-{os.getpid()}-{time.monotonic_ns() % 10**9}"
        return [
            *("systemd-nspawn", "-q", "--register=no", "--keep-unit", "--boot", "--private-network"),
            *(f"--machine={name}", "--uuid=" + os.urandom(16).hex(), *self.arguments, "-D", str(self.root)),
        ]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)  # nspawn halts the container
        deadline = time.monotonic() + 30
        while self._process.poll() is None and time.monotonic() < deadline:
            self._read(0.1)  # a full terminal would hold up the shutdown
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def expect(self, text: str, timeout: float = 300) -> str:
        """Wait until the console says `text`; return what came before it since the last call.

        timeout: seconds; a busy machine may take minutes, and only a failure waits for all of it.
        """
        deadline = time.monotonic() + timeout
        while (at := self.log.find(text.encode(), self._seen)) < 0:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no {text!r} on the console:\n{self.log.decode(errors='replace')}")
            self._read(0.2)
        before = self.log[self._seen : at]
        self._seen = at + len(text)
        return before.decode(errors="replace")

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._terminal, line.encode() + b"\n")

    def login(self, user: str, password: str) -> str:
        """Log in at the prompt; return what was shown between password and shell (motd)."""
        self.expect("login: ")
        self.type(user)
        self.expect("Password: ")
        self.type(password)
        shown = self.expect(f"{user}@")  # the prompt: login(1) throws away what is typed before
        # Only the output has the sum: the echo of what is typed must not count.
        self.type("PS1= PS2=; stty -echo; echo in-$((40+2))")
        self.expect("in-42\n")
        return shown.strip()

    def run(self, command: str, timeout: float = 300) -> str:
        """Run a command in the shell; return its output, standard error included."""
        self.type(f"{{ {command}\n}} 2>&1; echo done-$((40+2))")
        return self.expect("done-42\n", timeout).strip()

    def _read(self, timeout: float) -> None:
        if select.select([self._terminal], [], [], timeout)[0]:
            try:
                self.log += _CONTROL.sub(b"", os.read(self._terminal, 65536))
            except OSError:
                time.sleep(timeout)  # EIO: nobody has the other end open now
