# SPDX-License-Identifier: MIT
"""The Varlink protocol over a unix stream socket: messages of JSON that end with a NUL. Both ends of it.

Source: varlink.org's description of the protocol, and what sd-varlink(3) sends. Never sends or takes descriptors.
"""

from __future__ import annotations

import _socket
import json
import select
import time

from accounts.service.errors import Malformed, VarlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]
else:
    Message = dict

# Bytes of one message with its NUL. A list of a thousand members of a group fits.
MAX_MESSAGE = 1 << 15
SERVICE = "org.varlink.service"


def invalid_parameter(name: str) -> VarlinkError:
    """The protocol's own error for a parameter that is missing, unknown or of another type."""
    return VarlinkError(f"{SERVICE}.InvalidParameter", parameter=name)


def parse_message(data: bytes) -> Message:
    """The object of a message, without its NUL. Raises Malformed."""
    try:
        # A number of thousands of digits, brackets of thousands of levels, NaN and bytes that are no UTF-8 are refused.
        message = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Malformed from None
    if not isinstance(message, dict):
        raise Malformed
    return message


def _refuse_constant(word: str) -> None:
    raise ValueError(word)


def format_message(message: Message) -> bytes:
    """The bytes of a message, with its NUL. Characters that no UTF-8 has (surrogates) become "?"."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    # json writes NUL as \\u0000 also then.
    return text.encode("utf-8", "replace") + b"\0"


class Channel:
    """One end of a connection, blocking with deadlines. buffer: what has been received and not been looked at."""

    def __init__(self, connection: _socket.socket, buffer: bytes = b"") -> None:
        self._socket = connection
        self._poll = select.poll()
        self.buffer = bytearray(buffer)
        connection.setblocking(False)

    @property
    def is_ready(self) -> bool:
        """Whether a whole message is in the buffer."""
        return 0 in self.buffer

    def receive(self, seconds: float | None) -> Message | None:
        """The next message; None at the end of the connection, however it ended.

        seconds: how long to wait for all of it, None for ever. Raises TimeoutError and Malformed.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        start = 0
        while True:
            end = self.buffer.find(0, start)
            if end >= 0:
                data = bytes(self.buffer[:end])
                self.buffer[: end + 1] = b""
                return parse_message(data)
            start = len(self.buffer)
            if start >= MAX_MESSAGE:
                raise Malformed
            self._wait(select.POLLIN, deadline)
            try:
                piece = self._socket.recv(MAX_MESSAGE - start)
            except BlockingIOError:
                continue
            except OSError:
                return None
            if not piece:
                return None
            self.buffer += piece

    def send(self, message: Message, seconds: float) -> bool:
        """Send a message within so many seconds; False when the other end does not take it."""
        deadline = time.monotonic() + seconds
        data = memoryview(format_message(message))
        try:
            while data:
                try:
                    data = data[self._socket.send(data, _socket.MSG_NOSIGNAL) :]
                except BlockingIOError:
                    self._wait(select.POLLOUT, deadline)
        except OSError:  # TimeoutError is one
            return False
        return True

    def _wait(self, event: int, deadline: float | None) -> None:
        self._poll.register(self._socket, event)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not self._poll.poll(left):
            raise TimeoutError
