# SPDX-License-Identifier: MIT
"""A tool for a caller who is not root: the distribution's own set-uid program does it, or the service.

What the service's tool asks and tells is asked and told here.
"""

from __future__ import annotations

import _socket
import posix

from accounts.cli.console import write_all
from accounts.errors import E_NOPERM, Fail
from accounts.system.setuid import DIVERTED, exec_diverted, gains_rights, is_local, is_root
from accounts.system.terminal import FIELD_SIZE, converse, read_line, read_password
from accounts.system.varlink import Channel, Malformed, Message
from accounts.text import fsdecode

SOCKET = b"/run/accounts/self.socket"
RUN, ANSWER = "org.stateless-accounts.self.Run", "org.stateless-accounts.self.Answer"
SECONDS = 30.0  # to send; an answer may have to wait for its turn
BROKEN = 1


def hand_over(tool: str, prog: str, argv: list[bytes]) -> None:
    """Exec the diverted program of tool, as prog, with the caller's arguments and environment; does nothing for root.

    Where that could not do it, for want of rights or of a row in /etc, the service does, and this process ends with
    its status. To be called before anything else is read. Raises Fail when there is neither.
    """
    if is_root():
        return
    path = DIVERTED.format(tool)
    suits = gains_rights(path) and is_local(tool)
    if suits:
        exec_diverted(prog, tool, argv)
    status = run_by_service(tool, argv)
    if status is not None:
        posix._exit(status)
    if not suits:
        exec_diverted(prog, tool, argv)
    raise Fail(E_NOPERM, f"Permission denied: this needs root, accounts-self.socket, or a set-uid {path}")


def run_by_service(tool: str, argv: list[bytes]) -> int | None:
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
    terminal = posix.isatty(0) and posix.isatty(1)
    arguments = [argument.decode("latin-1") for argument in argv]
    call: Message = {"tool": tool, "arguments": arguments, "terminal": terminal}
    method = RUN
    while channel.send({"method": method, "parameters": call, "more": True}, SECONDS):
        reply = _next_reply(channel)
        if reply is None:
            break
        if "status" in reply:
            return int(reply["status"])
        answer = _ask(str(reply.get("read")), fsdecode(str(reply.get("prompt", "")).encode("latin-1")))
        call = {"line": None if answer is None else bytes(answer).decode("latin-1")}
        method = ANSWER
    write_all(2, f"{tool}: the connection to the service of accounts was lost\n")
    return BROKEN


def _next_reply(channel: Channel) -> Message | None:
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
        for fd, stream in ((1, "stdout"), (2, "stderr")):
            if stream in reply:
                write_all(fd, fsdecode(reply[stream].encode("latin-1")))


def _ask(kind: str, prompt: str) -> bytes | bytearray | None:
    if kind == "terminal":
        return read_password(prompt)
    if kind == "secret":
        return converse(prompt)
    write_all(1 if kind == "field" else 2, prompt)
    line = read_line(FIELD_SIZE)
    if kind == "field":
        return line
    return line.removesuffix(b"\n") if line else None
