# SPDX-License-Identifier: MIT
"""Messages of Varlink, and what is none."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from accounts.service.errors import Malformed
from accounts.service.varlink import MAX_MESSAGE, Channel, format_message, parse_message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"nul",
        b"NaN",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b"\xff",
        b'"x"',
        b"[" * 100_000,
        b"9" * 10_000,
        b"{}x",
    ],
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_message(data)


def test_a_message_there_and_back() -> None:
    message = {"method": "a.b.C", "parameters": {"text": 'é\0\n"', "number": -1, "flag": True, "none": None}}
    data = format_message(message)
    assert data.count(b"\0") == 1 and data.endswith(b"\0")
    assert parse_message(data[:-1]) == message
    # What is no Unicode is nothing that a client could read.
    assert parse_message(format_message({"name": "a\udcffb"})[:-1]) == {"name": "a?b"}


def test_a_channel_takes_messages_apart() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = Channel(ours, b'{"n":1}\0{"n"')
        assert channel.is_ready and channel.receive(1) == {"n": 1}
        assert not channel.is_ready
        theirs.sendall(b':2}\0{"n":3}\0')
        assert [channel.receive(1), channel.receive(1)] == [{"n": 2}, {"n": 3}]
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            channel.receive(0.05)
        assert time.monotonic() - start < 5
        theirs.sendall(b'{"n":')
        theirs.close()
        assert channel.receive(1) is None


def test_a_message_without_end_is_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        writer = threading.Thread(target=theirs.sendall, args=(b"x" * MAX_MESSAGE,))
        writer.start()
        with pytest.raises(Malformed):
            Channel(ours).receive(5)
        writer.join()


def test_who_does_not_read_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not Channel(ours).send({"text": "x" * (4 << 20)}, 0.05)
        theirs.close()
        assert not Channel(ours).send({"text": "x"}, 5)
