# SPDX-License-Identifier: MIT
"""The sockets at which the service listens: those that systemd passes, or others."""

from __future__ import annotations

import os
import socket
import stat

from accounts.errors import E_BAD_ARG, Fail
from accounts.text import fsdecode

# The first descriptor that systemd passes, as in sd_listen_fds(3).
LISTEN_FDS_START = 3
SOCKET_MODE = 0o666
BACKLOG = 4096


def passed_listeners() -> list[socket.socket]:
    """The sockets of sd_listen_fds(3). Raises Fail."""
    count, pid = os.environ.get("LISTEN_FDS", ""), os.environ.get("LISTEN_PID", "")
    if not count.isdigit() or pid != str(os.getpid()):
        return []
    return [check_listener(LISTEN_FDS_START + number) for number in range(min(int(count), 64))]


def open_listener(value: bytes) -> socket.socket:
    """The listening socket of a descriptor's number, or made at a path. Raises Fail."""
    if value.isdigit():
        return check_listener(int(value[:9]))
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if is_stale(value):
            os.unlink(value)
        made.bind(value)
        os.chmod(value, SOCKET_MODE)
        made.listen(BACKLOG)
    except OSError as error:
        raise Fail(E_BAD_ARG, f"cannot listen at {fsdecode(value)}: {error.strerror}") from None
    return made


def is_stale(path: bytes) -> bool:
    """Whether a socket is there at which nobody listens any more."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
        return False


def check_listener(fd: int) -> socket.socket:
    """The socket of a descriptor. Raises Fail unless it is a unix stream socket that listens."""
    try:
        listener = socket.socket(fileno=fd)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise Fail(E_BAD_ARG, f"descriptor {fd} is no socket: {error.strerror}") from None
    if listener.family != socket.AF_UNIX or listener.type != socket.SOCK_STREAM or not listens:
        raise Fail(E_BAD_ARG, f"descriptor {fd} is no unix stream socket that listens")
    listener.set_inheritable(False)
    return listener
