# SPDX-License-Identifier: MIT
"""The other end of the service: a tool that it runs for a caller who is not root, in words of the caller's terminal."""

from __future__ import annotations

import _socket
import posix

from accounts.service.errors import Malformed
from accounts.service.varlink import Channel, Message
from accounts.system.terminal import FIELD_SIZE, read_line
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Terminal(Protocol):
        """Where the caller is: accounts.cli.console.Console."""

        def print(self, text: str) -> None: ...
        def complain(self, text: str) -> None: ...
        def is_terminal(self) -> bool: ...
        def converse(self, prompt: str) -> bytearray | None: ...
        def read_password(self, prompt: str) -> bytearray | None: ...


SOCKET = b"/run/accounts/self.socket"
RUN, ANSWER = "org.stateless-accounts.self.Run", "org.stateless-accounts.self.Answer"
SECONDS = 30.0  # to send; an answer may have to wait for its turn
BROKEN = 1


def run_by_service(terminal: Terminal, tool: str, argv: list[bytes]) -> int | None:
    """The exit status of a tool that the service runs; None when there is no service to ask."""
    if not posix.access(SOCKET, posix.F_OK):
        return None
    # A set-uid program that calls us lends nobody its rights: the service asks the kernel who connects.
    uid, gid = posix.getuid(), posix.getgid()
    posix.setresgid(gid, gid, gid)
    posix.setresuid(uid, uid, uid)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        connection.connect(SOCKET)
    except OSError:
        connection.close()
        return None
    channel = Channel(connection)
    arguments = [argument.decode("latin-1") for argument in argv]
    call: Message = {"tool": tool, "arguments": arguments, "terminal": terminal.is_terminal()}
    method = RUN
    while channel.send({"method": method, "parameters": call, "more": True}, SECONDS):
        reply = _next_reply(channel, terminal)
        if reply is None:
            break
        if "status" in reply:
            return int(reply["status"])
        prompt = fsdecode(str(reply.get("prompt", "")).encode("latin-1"))
        answer = _ask(terminal, str(reply.get("read")), prompt)
        call = {"line": None if answer is None else bytes(answer).decode("latin-1")}
        method = ANSWER
    terminal.complain(f"{tool}: the connection to the service of accounts was lost\n")
    return BROKEN


def _next_reply(channel: Channel, terminal: Terminal) -> Message | None:
    """The reply that ends a call, with what comes before it printed; None when there is none."""
    while True:
        try:
            message = channel.receive(None)
        except Malformed:
            return None
        if message is None or message.get("error") is not None:
            return None
        reply = message.get("parameters", {}).get("reply", {})
        if not message.get("continues"):
            return dict(reply)
        for stream, write in (("stdout", terminal.print), ("stderr", terminal.complain)):
            if stream in reply:
                write(fsdecode(reply[stream].encode("latin-1")))


def _ask(terminal: Terminal, kind: str, prompt: str) -> bytes | bytearray | None:
    if kind == "terminal":
        return terminal.read_password(prompt)
    if kind == "secret":
        return terminal.converse(prompt)
    (terminal.print if kind == "field" else terminal.complain)(prompt)
    line = read_line(FIELD_SIZE)
    if kind == "field":
        return line
    return line.removesuffix(b"\n") if line else None
