# SPDX-License-Identifier: MIT
"""Answers the messages of one connection, in a process of its own that ends with the answer.

A method is a function (session, parameters, more) -> the parameters of the reply. What it may do is decided by the
peer's UID alone; nothing that a message says about who sends it is believed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from accounts.change import Change, Listener
from accounts.errors import AccountsError
from accounts.service.errors import ClientGone, Malformed, VarlinkError
from accounts.service.interfaces import DESCRIPTIONS, VERSION
from accounts.service.peers import PATIENCE, Peer
from accounts.service.varlink import SERVICE, Channel, Message, invalid_parameter
from accounts.text import fsencode

# Seconds: for a person to answer, and for a client to take what we say.
THINKING = 300.0
SENDING = 10.0
# UID of whom the kernel cannot name here: from outside of our user namespace.
OVERFLOW_UID = 65534
REQUIRED = object()

Method = Callable[["Session", Message, bool], Message]


class ToolOutcome:
    """How a tool ended. status: its exit status; error: what it said no with, None for what it did."""

    __slots__ = ("error", "status")

    def __init__(self, status: int, error: AccountsError | None) -> None:
        self.status = status
        self.error = error


class Dialogue:
    """What a tool says and asks, as an interface has it on the wire."""

    def write(self, fd: int, text: str) -> None:
        """Text for standard output (1) or standard error (2). Never waits for the client."""
        raise NotImplementedError

    def ask(self, kind: str, prompt: str) -> bytes | None:
        """The answer to a prompt; None when there is none. kind: one of KINDS. Raises ClientGone."""
        raise NotImplementedError

    def speak(self, style: int, text: bytes) -> bytes | None:
        """A message of PAM: its style and text; the answer to a prompt. Raises ClientGone."""
        raise NotImplementedError


# Tool, arguments, dialogue -> how it ended.
RunTool = Callable[[str, Sequence[bytes], Dialogue], ToolOutcome]


class Session:
    """One connection. run_tool: runs one of the tools for the peer. tools: those that it may ask for."""

    def __init__(self, channel: Channel, peer: Peer, methods: dict[str, Method], run_tool: RunTool) -> None:
        self.channel = channel
        self.peer = peer
        self.run_tool = run_tool
        # Whether the process that waits for connections ends after the reply.
        self.ends_service = False
        self._methods = methods
        self._change: Change | None = None

    @property
    def is_root(self) -> bool:
        """Whether root asks."""
        return self.peer.uid == 0

    @property
    def change(self) -> Change:
        """The account files of the running system."""
        if self._change is None:
            self._change = Change(listener=Listener())
        return self._change

    def run(self) -> bool:
        """Answer all messages that are there; whether the connection is of use afterwards."""
        if self.peer.uid >= 0xFFFFFFFF or self.peer.uid == OVERFLOW_UID:
            return False
        try:
            while self.channel.is_ready or self.channel.buffer:
                message = self.channel.receive(PATIENCE)
                if message is None or not self._handle(message):
                    return False
        except (Malformed, TimeoutError, ClientGone):
            return False
        return True

    def _handle(self, message: Message) -> bool:
        name, parameters = message.get("method"), message.get("parameters")
        if not isinstance(name, str) or not (parameters is None or isinstance(parameters, dict)):
            raise Malformed
        more, silent = message.get("more") is True, message.get("oneway") is True
        try:
            if message.get("upgrade"):
                raise invalid_parameter("upgrade")
            reply: Message = {"parameters": self._call(name, parameters or {}, more)}
        except VarlinkError as error:
            reply = {"error": error.name, "parameters": error.parameters}
        sent = silent or self.send(reply)
        if self.ends_service:
            os.kill(os.getppid(), signal.SIGTERM)
        return sent

    def _call(self, name: str, parameters: Message, more: bool) -> Message:
        interface, _, method = name.rpartition(".")
        if interface == SERVICE:
            return _describe(self, method, parameters)
        if interface not in DESCRIPTIONS:
            raise VarlinkError(f"{SERVICE}.InterfaceNotFound", interface=interface)
        function = self._methods.get(name)
        if function is not None:
            return function(self, parameters, more)
        known = f"\nmethod {method}(" in DESCRIPTIONS[interface] and method.isalnum()
        why = "MethodNotImplemented" if known else "MethodNotFound"
        raise VarlinkError(f"{SERVICE}.{why}", method=name)

    def send(self, reply: Message) -> bool:
        """Send a reply; False when the client does not take it."""
        return self.channel.send(reply, SENDING)

    def wait_for(self, method: str) -> Message:
        """The parameters of the next call, which must be of that method; others are refused. Raises ClientGone."""
        while True:
            try:
                message = self.channel.receive(THINKING)
            except (Malformed, TimeoutError):
                raise ClientGone from None
            if message is None:
                raise ClientGone
            if message.get("method") == method and isinstance(parameters := message.get("parameters", {}) or {}, dict):
                return parameters
            if not self.send({"error": f"{SERVICE}.PermissionDenied", "parameters": {}}):
                raise ClientGone


def _describe(session: Session, method: str, parameters: Message) -> Message:
    """org.varlink.service itself."""
    if method == "GetInfo":
        take(parameters)
        return {
            "vendor": "stateless-accounts",
            "product": "accounts serve",
            "version": VERSION,
            "url": "https://varlink.org",
            "interfaces": sorted(DESCRIPTIONS),
        }
    if method == "GetInterfaceDescription":
        (name,) = take(parameters, interface=str)
        if name not in DESCRIPTIONS:
            raise VarlinkError(f"{SERVICE}.InterfaceNotFound", interface=name)
        return {"description": DESCRIPTIONS[name]}
    raise VarlinkError(f"{SERVICE}.MethodNotFound", method=f"{SERVICE}.{method}")


def take(parameters: Message, **kinds: Any) -> list[Any]:
    """The values of parameters in the order of kinds; what no kind names is refused. Raises VarlinkError.

    A kind is a type, or (type, default) of a parameter that may be null or missing.
    """
    for name in parameters:
        if name not in kinds:
            raise invalid_parameter(name)
    values = []
    for name, kind in kinds.items():
        wanted, default = kind if isinstance(kind, tuple) else (kind, REQUIRED)
        value = parameters.get(name)
        if value is None and default is not REQUIRED:
            value = default
        elif type(value) is not wanted:  # True is no integer
            raise invalid_parameter(name)
        values.append(value)
    return values


def encode(text: str, name: str) -> bytes:
    """A parameter's text as the files have it. Raises VarlinkError for what no file can have."""
    try:
        data = fsencode(text)
    except UnicodeEncodeError:
        raise invalid_parameter(name) from None
    if b"\0" in data or b"\n" in data:
        raise invalid_parameter(name)
    return data
