# SPDX-License-Identifier: MIT
"""Who is connected, by the kernel's word, and what of the service each user has."""

from __future__ import annotations

import resource
import socket
import struct
import time

# Of all users together, of one, and of root. A user has the connections of 64 programs that wait.
CONNECTIONS, USER_CONNECTIONS, ROOT_CONNECTIONS = 1024, 64, 256
WORKERS, USER_WORKERS, ROOT_WORKERS = 32, 4, 16
# Descriptors besides those of connections, and how many there should be room for.
SPARE, DESCRIPTORS = 64, 4096
# Seconds for a message, the first or the next.
PATIENCE = 30.0
_CREDENTIALS = struct.Struct("3i")


class Peer:
    """Who connected, as the kernel says: the effective UID and GID, and the PID, at the time of connect(2).

    A UID of another user namespace is that of this one. pid: 0 in another PID namespace; good for a log only.
    """

    __slots__ = ("gid", "pid", "uid")

    def __init__(self, pid: int, uid: int, gid: int) -> None:
        self.pid = pid
        self.uid = uid
        self.gid = gid

    @classmethod
    def of(cls, connection: socket.socket) -> Peer:
        """The peer of a connected unix socket. Raises OSError."""
        size = _CREDENTIALS.size
        pid, uid, gid = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return cls(pid, uid & 0xFFFFFFFF, gid & 0xFFFFFFFF)


class Connection:
    __slots__ = ("buffer", "deadline", "peer", "pid", "socket", "started", "stops", "user")

    def __init__(self, connection: socket.socket, peer: Peer, user: User) -> None:
        self.socket = connection
        self.peer = peer
        self.user = user
        self.buffer = bytearray()
        self.deadline = time.monotonic() + PATIENCE
        self.started = 0.0
        # The child that answers, 0 while there is none.
        self.pid = 0
        self.stops = 0


class User:
    """What one user has open. ready: connections with a message, in their order; next: when the next may be taken."""

    __slots__ = ("connections", "is_root", "next", "ready", "told", "workers")

    def __init__(self, uid: int) -> None:
        self.is_root = uid == 0
        self.connections: dict[Connection, None] = {}
        self.ready: dict[Connection, None] = {}
        self.workers: dict[Connection, None] = {}
        self.next = 0.0
        self.told = -1e9

    @property
    def is_idle(self) -> bool:
        return not self.connections and self.next <= time.monotonic()

    @property
    def may_start(self) -> bool:
        limit = ROOT_WORKERS if self.is_root else USER_WORKERS
        return bool(self.ready) and len(self.workers) < limit and (self.is_root or self.next <= time.monotonic())


def raise_limit() -> int:
    """How many this process may have, after asking for as many as it could use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass
    return max(DESCRIPTORS if soft == resource.RLIM_INFINITY else soft, 2 * SPARE)
