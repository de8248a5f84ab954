# SPDX-License-Identifier: MIT
"""The service, started by hand in a throw-away root, and clients of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

SOCKET = "/run/accounts/self.socket"
ALICE, BOB, IVY = (1000, 1000, "alice"), (1001, 1001, "bob"), (1500, 1500, "ivy")
# "secret", hashed by $6$ with 1,000 rounds.
HASH = "$6$rounds=1000$abcdefgh$"


class Service:
    """`accounts serve` of the root that this process is in; a with block starts and ends it."""

    def __init__(self, *options: str, descriptors: int = 0) -> None:
        """descriptors: how many it may have, 0 for as many as this process."""
        self.options = options
        self.limit = descriptors
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Service:
        os.makedirs(os.path.dirname(SOCKET), 0o755, exist_ok=True)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = ["/usr/bin/accounts", "serve", "--listen", SOCKET, *self.options]
        if self.limit:
            command = ["prlimit", f"--nofile={self.limit}", *command]
        self.process = subprocess.Popen(command, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                client = Client()
                client.call("org.varlink.service.GetInfo")
                client.close()
                return
            except OSError:
                assert self.process.poll() is None, "the service has ended"
                time.sleep(0.02)
        raise AssertionError("the service does not listen")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    @property
    def pid(self) -> int:
        """Of the process that waits for connections."""
        assert self.process is not None
        return self.process.pid

    def memory(self) -> int:
        """Bytes of its own: VmRSS without what is shared."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return sum(int(kib) * 1024 for kib in re.findall(r"^Private_\w+: +(\d+)", text, re.MULTILINE))

    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def children(self) -> list[int]:
        """Its processes that answer."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


class Client:
    """A connection to the service, from whoever this process is."""

    def __init__(self, path: str = SOCKET) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self._buffer = b""

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def send(self, method: str, parameters: dict[str, Any] | None = None, **flags: Any) -> None:
        """Send a call."""
        message = {"method": method, "parameters": parameters or {}, **flags}
        self.socket.sendall(json.dumps(message).encode() + b"\0")

    def receive(self) -> dict[str, Any] | None:
        """The next reply; None at the end."""
        while b"\0" not in self._buffer:
            try:
                piece = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not piece:
                return None
            self._buffer += piece
        data, _, self._buffer = self._buffer.partition(b"\0")
        reply: dict[str, Any] = json.loads(data)
        return reply

    def call(self, method: str, parameters: dict[str, Any] | None = None, **flags: Any) -> dict[str, Any] | None:
        """Send a call; its reply."""
        self.send(method, parameters, **flags)
        return self.receive()


@contextmanager
def become(uid: int) -> Iterator[None]:
    """Be another user for a while, as far as the kernel tells the other end of a new connection."""
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def connect_as(uid: int) -> Client:
    """A connection of a user's."""
    with become(uid):
        return Client()
