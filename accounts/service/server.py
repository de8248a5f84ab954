# SPDX-License-Identifier: MIT
"""Waits for connections and messages, counts them for each user, and has a process of its own answer each message.

This process looks at nothing that a client sends but for the NUL that ends a message, and never blocks: no client can
keep it from others, or make it fail. What is said is parsed by a child (accounts.service.session), which ends with it.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time
from collections.abc import Callable

from accounts.service.peers import (
    CONNECTIONS,
    PATIENCE,
    ROOT_CONNECTIONS,
    ROOT_WORKERS,
    SPARE,
    USER_CONNECTIONS,
    WORKERS,
    Connection,
    Peer,
    User,
    raise_limit,
)
from accounts.service.users import KnownUsers
from accounts.service.varlink import MAX_MESSAGE
from accounts.system.notify import LOG_WARN, syslog

# Messages of one user in a second, in the long run, and how many at once.
RATE, BURST = 50, 50
# Seconds: for all that comes of a message; before a child that should end is killed.
LONGEST = 900.0
GRACE = 10.0
TICK = 1.0  # how often deadlines are looked at
# Connections taken in a row before others are looked at.
ACCEPTS = 64
# How often a child that somebody has stopped is continued.
CONTINUES = 20
# What accept(2) says when this process, or the system, has no more.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
KEEP, CLOSE = 0, 1  # exit statuses of a child
UNKNOWN = -1  # all UIDs without an account share what one user has

# A connection, who is at its other end, and what has been received -> whether the connection is to be kept.
Serve = Callable[[socket.socket, "Peer", bytes], bool]


class Server:
    """One run of the service. idle: seconds without a connection after which it ends, None for never."""

    def __init__(self, listeners: list[socket.socket], serve: Serve, idle: float | None = None) -> None:
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._serve = serve
        self._idle = idle
        self._users: dict[int, User] = {}
        self._connections: dict[int, Connection] = {}
        self._children: dict[int, Connection] = {}
        self._known = KnownUsers()
        self._places = min(CONNECTIONS, raise_limit() - SPARE)
        self._paused = False
        self._stopping = False
        self._looked = 0.0
        self._quiet_since = time.monotonic()
        self._epoll = select.epoll()
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, or until nobody has come for a while."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._epoll.register(self._wake, select.EPOLLIN)
        for fd, listener in self._listeners.items():
            listener.setblocking(False)
            self._epoll.register(fd, select.EPOLLIN)
        while not self._stopping:
            for fd, _ in self._epoll.poll(self._next_timeout()):
                if fd == self._wake:
                    self._drain_wake()
                elif fd in self._listeners:
                    self._accept(self._listeners[fd])
                elif fd in self._connections:
                    self._read(self._connections[fd])
            self._reap()
            self._end_late_ones()
            self._start_workers()
            if self._is_over():
                break
        self._finish()

    def _on_signal(self, number: int, _: object) -> None:
        if number != signal.SIGCHLD:
            self._stopping = True

    def _drain_wake(self) -> None:
        try:
            while os.read(self._wake, 4096):
                pass
        except BlockingIOError:
            pass

    # Connections

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                connection, _address = listener.accept()
            except OSError as error:  # nobody any more, or gone already
                if error.errno in EXHAUSTED:
                    self._pause()
                return
            try:
                peer = Peer.of(connection)
            except OSError:
                connection.close()
                continue
            self._take(connection, peer)

    def _pause(self) -> None:
        """Do not listen until the next tick: there is no descriptor for who comes."""
        if not self._paused:
            self._paused = True
            for fd in self._listeners:
                self._epoll.unregister(fd)

    def _take(self, connection: socket.socket, peer: Peer) -> None:
        key = peer.uid if self._known.has(peer.uid) else UNKNOWN
        user = self._users.get(key)
        if user is None:
            self._forget_idle_users()
            user = self._users[key] = User(key)
        limit = ROOT_CONNECTIONS if user.is_root else USER_CONNECTIONS
        if len(user.connections) >= limit or not self._make_room(user):
            self._tell(user, f"too many connections of UID {peer.uid}")
            connection.close()
            return
        connection.setblocking(False)
        taken = Connection(connection, peer, user)
        self._connections[connection.fileno()] = taken
        user.connections[taken] = None
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def _make_room(self, user: User) -> bool:
        """Whether there is a place for one more; who has most gives one up."""
        if len(self._connections) < self._places:
            return True
        heaviest = self._heaviest(lambda other: len(other.connections))
        if heaviest is None or not (user.is_root or len(heaviest.connections) > len(user.connections) + 1):
            return False
        return self._close_first(heaviest)

    def _heaviest(self, weight: Callable[[User], int]) -> User | None:
        return max((user for user in self._users.values() if not user.is_root), key=weight, default=None)

    def _close_first(self, user: User) -> bool:
        """Close the oldest connection of a user that no child works for."""
        for connection in user.connections:
            if not connection.pid:
                self._close(connection)
                return True
        return False

    def _tell(self, user: User, text: str) -> None:
        """One line a minute and user: a log is something to fill, too."""
        now = time.monotonic()
        if now - user.told > 60:
            user.told = now
            syslog(LOG_WARN, text)

    def _forget_idle_users(self) -> None:
        if len(self._users) > CONNECTIONS:
            self._users = {uid: user for uid, user in self._users.items() if not user.is_idle}

    def _read(self, connection: Connection) -> None:
        try:
            piece = connection.socket.recv(MAX_MESSAGE - len(connection.buffer))
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._close(connection)
            return
        connection.buffer += piece
        if 0 in connection.buffer:
            # Whatever else comes is left in the socket until this has been answered.
            self._epoll.unregister(connection.socket.fileno())
            connection.user.ready[connection] = None
        elif len(connection.buffer) >= MAX_MESSAGE:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        fd = connection.socket.fileno()
        del self._connections[fd]
        connection.user.connections.pop(connection, None)
        connection.user.ready.pop(connection, None)
        connection.user.workers.pop(connection, None)
        try:
            self._epoll.unregister(fd)
        except (OSError, ValueError):
            pass  # it was not: a child had it
        connection.socket.close()

    # Children

    def _start_workers(self) -> None:
        # One of each user, then the next of each: whoever asks much waits behind who asks little.
        while waiting := [user for user in self._users.values() if user.may_start]:
            waiting.sort(key=lambda user: len(user.workers))
            for user in waiting:
                if not user.is_root and len(self._children) >= WORKERS + ROOT_WORKERS:
                    self._end_a_dialogue(user)
                    return
                self._start(user, next(iter(user.ready)))

    def _end_a_dialogue(self, user: User) -> None:
        """Who has most children loses the oldest, if that is more than this user has: it may wait for a person."""
        heaviest = self._heaviest(lambda other: len(other.workers))
        if heaviest is None or len(heaviest.workers) <= len(user.workers) + 1:
            return
        oldest = min(heaviest.workers, key=lambda connection: connection.started)
        self._hang_up(oldest)

    def _hang_up(self, connection: Connection) -> None:
        """A child that asks gets no answer any more and ends; one that works goes on to the end."""
        try:
            connection.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _start(self, user: User, connection: Connection) -> None:
        now = time.monotonic()
        del user.ready[connection]
        user.next = max(user.next, now - BURST / RATE) + 1 / RATE
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(user, f"cannot start a process: {error.strerror}")
            self._close(connection)
            return
        if not pid:
            self._be_child(connection)
        connection.pid = pid
        connection.started = now
        connection.deadline = now + LONGEST
        connection.stops = 0
        connection.buffer.clear()
        user.workers[connection] = None
        self._children[pid] = connection

    def _be_child(self, connection: Connection) -> None:
        status = CLOSE
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            for other in self._connections.values():
                if other is not connection:
                    os.close(other.socket.fileno())
            for fd in (*self._listeners, self._epoll.fileno(), self._wake, self._waker):
                os.close(fd)
            if self._serve(connection.socket, connection.peer, bytes(connection.buffer)):
                status = KEEP
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if not pid:
                return
            connection = self._children.get(pid)
            if os.WIFSTOPPED(status):
                self._continue(pid, connection)
            elif connection is not None:
                del self._children[pid]
                self._resume(connection, os.waitstatus_to_exitcode(status))

    def _continue(self, pid: int, connection: Connection | None) -> None:
        """A child has the user's real UID while it speaks PAM, so the user can stop it, and a lock that it holds."""
        if connection is not None:
            connection.stops += 1
        os.kill(pid, signal.SIGKILL if connection is None or connection.stops > CONTINUES else signal.SIGCONT)

    def _resume(self, connection: Connection, status: int) -> None:
        connection.pid = 0
        connection.user.workers.pop(connection, None)
        if status != KEEP:
            self._close(connection)
            return
        connection.deadline = time.monotonic() + PATIENCE
        self._epoll.register(connection.socket.fileno(), select.EPOLLIN)

    # Time

    def _next_timeout(self) -> float:
        now = time.monotonic()
        if not self._connections and not self._paused:
            return -1 if self._idle is None else max(0.0, self._quiet_since + self._idle - now)
        # A child that ends wakes us; who waits for its place need not be asked for sooner.
        waits = (user.next - now for user in self._users.values() if user.ready and user.next > now)
        return min(TICK, *waits, TICK)

    def _end_late_ones(self) -> None:
        now = time.monotonic()
        if now - self._looked < TICK:
            return
        self._looked = now
        if self._paused:
            self._paused = False
            for fd in self._listeners:
                self._epoll.register(fd, select.EPOLLIN)
        for connection in [one for one in self._connections.values() if one.deadline <= now]:
            if not connection.pid and connection not in connection.user.ready:
                self._close(connection)
            elif connection.pid and now < connection.started + LONGEST + GRACE:
                self._hang_up(connection)
                connection.deadline = connection.started + LONGEST + GRACE
            elif connection.pid:
                os.kill(connection.pid, signal.SIGKILL)
                connection.deadline = now + GRACE
            else:
                connection.deadline = now + PATIENCE

    def _is_over(self) -> bool:
        now = time.monotonic()
        if self._connections:
            self._quiet_since = now
        return self._idle is not None and not self._connections and now - self._quiet_since >= self._idle

    def _finish(self) -> None:
        """Let the children come to their end, those that ask a person after a while without an answer."""
        self._wait_for_children(GRACE / 2)
        for connection in self._children.values():
            self._hang_up(connection)
        self._wait_for_children(GRACE)

    def _wait_for_children(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._children and time.monotonic() < deadline:
            self._reap()
            select.select([self._wake], [], [], 0.05)
            self._drain_wake()
