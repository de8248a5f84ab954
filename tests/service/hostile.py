# SPDX-License-Identifier: MIT
"""What hostile and unlucky clients do to the service. Each function runs in a root that has it, and asserts."""

from __future__ import annotations

import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.service.machine import SOCKET, Service, become, connect_as

USERS = range(2000, 2064)
FILES = ("passwd", "shadow", "group", "gshadow")
SELF, PWUPD, PWACCESS = "org.stateless-accounts.self", "org.openSUSE.pwupd", "org.openSUSE.pwaccess"
PASSWORD = "Secret-123"
# In /etc/shells of Debian 12 and 13.
SHELLS = ("/bin/sh", "/bin/bash", "/bin/rbash")
# One of every call, as its clients make it.
CALLS: tuple[tuple[str, dict[str, object]], ...] = (
    ("org.varlink.service.GetInfo", {}),
    ("org.varlink.service.GetInterfaceDescription", {"interface": PWUPD}),
    (f"{PWACCESS}.GetAccountName", {"uid": 2000}),
    (f"{PWACCESS}.GetUserRecord", {"userName": "u2000"}),
    (f"{PWACCESS}.GetUserRecord", {"uid": 0}),
    (f"{PWACCESS}.VerifyPassword", {"userName": "u2000", "password": "x", "nullOK": False}),
    (f"{PWACCESS}.ExpiredCheck", {"userName": "u2000"}),
    (f"{PWACCESS}.Ping", {}),
    (f"{PWUPD}.Chauthtok", {"userName": "u2000", "flags": 0}),
    (f"{PWUPD}.Chsh", {"userName": "u2000", "shell": "/bin/bash"}),
    (f"{PWUPD}.Chfn", {"userName": "u2000", "room": "7"}),
    (f"{PWUPD}.Conv", {"response": "x"}),
    (f"{SELF}.Run", {"tool": "passwd", "arguments": ["-S"], "terminal": False}),
    (f"{SELF}.Run", {"tool": "gpasswd", "arguments": ["-a", "u2001", "devs"], "terminal": True}),
    (f"{SELF}.Answer", {"line": "x"}),
)
VALUES: tuple[object, ...] = (
    *(None, True, -1, 0, 1 << 31, 1 << 64, 1.5, "", "\0", "\n", ":", "../../etc/passwd", "\ud800", "x" * 5000),
    *([], ["x"] * 100, {}, {"a": {"b": []}}, "root", "u2000", "/bin/bash\nroot::0:0::/:/bin/sh", "%s%n", "é" * 40),
)  # fmt: skip
RAW = (
    *(b"\0", b"{}\0", b"[]\0", b"[" * 5000 + b"\0", b'{"method":' * 3000 + b"\0", b"\xff\xfe\0", b"nul\0", b"NaN\0"),
    *(b'{"method":1}\0', b'{"method":"x","parameters":[]}\0', b'{"a":' + b"9" * 10000 + b"}\0", b"x" * 40000 + b"\0"),
    *(b'{"method":"a.b.c"}\0' * 50, b'{"method":"org.openSUSE.pwaccess.Ping"}\0{"meth', b"\xc0\x80\0"),
)


def lay_out() -> None:
    """Users u2000 ..., all with the same password, and a group that the first of them administers."""
    command = ["openssl", "passwd", "-6", "-salt", "abcdefgh", PASSWORD]
    hashed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    rows = {
        "passwd": "".join(f"u{uid}:x:{uid}:{uid}::/:/bin/sh\n" for uid in USERS),
        "shadow": "".join(f"u{uid}:{hashed}:19000:0:99999:7:::\n" for uid in USERS),
        "group": "".join(f"u{uid}:x:{uid}:\n" for uid in USERS) + "devs:x:3000:\n",
        "gshadow": "".join(f"u{uid}:!::\n" for uid in USERS) + "devs:!:u2000:\n",
    }
    for name, text in rows.items():
        with open(f"/etc/{name}", "a") as file:
            file.write(text)
    pam = Path("/etc/pam.d/common-auth")
    pam.write_text(pam.read_text().replace("nullok", "nullok nodelay"))


def shell_of(uid: int) -> str:
    """The login shell of a user."""
    rows = [row.split(":") for row in Path("/etc/passwd").read_text().splitlines()]
    return next(row[6] for row in rows if row[0] == f"u{uid}")


def change_shell(uid: int, shell: str, service: str = SELF) -> dict[str, object] | None:
    """One dialogue of chsh; the last reply, None when the connection broke."""
    client = connect_as(uid)
    try:
        arguments = {"tool": "chsh", "arguments": ["-s", shell], "terminal": False}
        reply = client.call(f"{SELF}.Run", arguments, more=True)
        while reply is not None:
            body = reply.get("parameters", {}).get("reply", {})
            if reply.get("continues"):
                reply = client.receive()
            elif "prompt" in body:
                reply = client.call(f"{SELF}.Answer", {"line": PASSWORD}, more=True)
            else:
                return reply
        return None
    finally:
        client.close()


def is_alive(uid: int = USERS[-1], seconds: float = 10) -> None:
    """Another user is served within a moment."""
    start = time.monotonic()
    client = connect_as(uid)
    reply = client.call(f"{PWACCESS}.Ping")
    client.close()
    assert reply == {"parameters": {"Alive": True}}, reply
    assert time.monotonic() - start < seconds, time.monotonic() - start


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Until that holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def state() -> tuple[str, ...]:
    """The account files."""
    return tuple(Path(f"/etc/{name}").read_text() for name in FILES)


def mutate(chance: random.Random) -> bytes:
    """A message that is wrong somewhere, or nearly right."""
    if chance.random() < 0.1:
        return chance.choice(RAW)
    method, parameters = chance.choice(CALLS)
    parameters = dict(parameters)
    kind = chance.randrange(6)
    if kind == 0 and parameters:
        parameters[chance.choice(list(parameters))] = chance.choice(VALUES)
    elif kind == 1:
        parameters[chance.choice(("x", "userName", "uid", "flags", "shell"))] = chance.choice(VALUES)
    elif kind == 2:
        method = chance.choice((method.lower(), method + "x", "", ".", method.rpartition(".")[2], "x" * 9000))
    message = {"method": method, "parameters": parameters}
    if chance.random() < 0.5:
        message[chance.choice(("more", "oneway", "upgrade"))] = chance.choice((True, False, 1, None))
    data = bytearray(json.dumps(message).encode())
    if kind >= 4:
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(data))
            how = chance.randrange(4)
            if how == 0:
                data[place] = chance.randrange(256)
            elif how == 1:
                del data[place : place + chance.randrange(8)]
            elif how == 2:
                data[place:place] = bytes(chance.randrange(256) for _ in range(chance.randrange(5)))
            else:
                data += data[place:]
            if not data:
                break
    return bytes(data) + b"\0" * (chance.random() < 0.95)


def send_garbage(service: Service, count: int, seed: int = 1) -> None:
    """Random and mutated messages of root and of many users: each is answered or hung up on.

    What changes is what some of them may change: root whomever it names, and u2000 the group that it administers.
    """
    chance = random.Random(seed)
    before = _rows()
    may_change = {"u2000", "devs"}
    connections: dict[int, tuple[socket.socket, bytes, float]] = {}
    poller = select.poll()
    sent, memory = 0, 0
    # A second run of it all must not take more than the first.
    if count > 200:
        send_garbage(service, min(count // 2, 500), seed + 1)
        memory = service.memory()
    while sent < count or connections:
        while sent < count and len(connections) < 24:
            uid = 0 if chance.random() < 0.2 else chance.choice(USERS)
            with become(uid):
                made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                made.connect(SOCKET)
            data = mutate(chance)
            if uid == 0:
                may_change.update(name.decode() for name in re.findall(rb'"userName": "([a-z0-9]+)"', data))
            try:
                made.sendall(data)
                if chance.random() < 0.2:
                    made.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            sent += 1
            if b"\0" not in data or chance.random() < 0.1:
                made.close()  # a client that dies
                continue
            connections[made.fileno()] = (made, data, time.monotonic())
            poller.register(made, select.POLLIN)
        for fd, _ in poller.poll(1000):
            made, data, _start = connections[fd]
            try:
                piece = made.recv(1 << 16)
            except OSError:
                piece = b""
            if not piece or b"\0" in piece:
                poller.unregister(fd)
                made.close()
                del connections[fd]
        for fd, (made, data, start) in list(connections.items()):
            if b'"oneway"' in data:
                made.settimeout(0)
            if time.monotonic() - start > (0.3 if b'"oneway"' in data else 60):
                assert b'"oneway"' in data, data
                poller.unregister(fd)
                made.close()
                del connections[fd]
    is_alive()
    wait_until(lambda: not service.children())
    assert not memory or service.memory() - memory < 1 << 20, (memory, service.memory())
    changed = {line.partition(":")[0] for line in _rows() ^ before}
    assert changed <= may_change, changed - may_change


def _rows() -> set[str]:
    return {line for text in state() for line in text.splitlines()}


def hold_connections(service: Service) -> None:
    """1,000 connections of one user, half of them with half a message: others are served as before."""
    quiet = service.descriptors()
    held = []
    for number in range(1000):
        client = connect_as(USERS[0])
        held.append(client)
        if number % 2:
            try:
                client.socket.sendall(b'{"method":"org.openSUSE.pwaccess.Ping"')
            except OSError:
                pass  # one too many: hung up on
    is_alive()
    wait_until(lambda: service.descriptors() <= quiet + 64)
    assert service.descriptors() >= quiet + 32
    assert change_shell(USERS[1], "/bin/bash") == {"parameters": {"reply": {"status": 0}}}
    is_alive(0)
    for client in held:
        client.close()
    wait_until(lambda: service.descriptors() <= quiet + 1)  # syslog's, since then


def fill_all_places(service: Service) -> None:
    """Connections of all users together beyond what there is: the one with few still gets one."""
    held = []
    with become(USERS[0]):
        pass
    for uid in USERS[:20]:
        held += [connect_as(uid) for _ in range(64)]
    is_alive(USERS[-1])
    is_alive(0)
    for client in held:
        client.close()
    wait_until(lambda: service.descriptors() < 20)


def run_out_of_descriptors() -> None:
    """With a hundred descriptors: it neither ends nor spins, and whoever comes is served."""
    with Service(descriptors=100) as service:
        held = [connect_as(uid) for uid in USERS[:8] for _ in range(64)]
        is_alive(USERS[-1])
        spent = _processor_time(service.pid)
        time.sleep(1)
        assert _processor_time(service.pid) - spent < 0.5
        for client in held:
            client.close()
        is_alive(USERS[-1])


def _processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def hold_dialogues(service: Service) -> None:
    """A user with all the dialogues that there can be keeps nobody from one; nor do sixteen."""
    held = []
    for uid in USERS[:16]:
        for _ in range(4):
            client = connect_as(uid)
            client.send(f"{PWUPD}.Chsh", {"userName": f"u{uid}", "shell": "/bin/bash"}, more=True)
            held.append(client)
    wait_until(lambda: len(service.children()) >= 32)
    start = time.monotonic()
    assert change_shell(USERS[40], "/bin/bash") == {"parameters": {"reply": {"status": 0}}}
    assert time.monotonic() - start < 20
    for client in held:
        client.close()
    wait_until(lambda: not service.children())


def refuse_to_read(service: Service) -> None:
    """Clients that send much and read nothing: their process ends, others go on."""
    held = []
    for _ in range(8):
        client = connect_as(USERS[0])
        client.socket.setblocking(False)
        call = json.dumps({"method": CALLS[1][0], "parameters": CALLS[1][1]}).encode() + b"\0"
        try:
            for _ in range(1000):
                client.socket.send(call * 40)
        except BlockingIOError:
            pass
        held.append(client)
    is_alive()
    assert change_shell(USERS[2], "/bin/bash") == {"parameters": {"reply": {"status": 0}}}
    for client in held:
        client.close()
    wait_until(lambda: not service.children())


def die_in_dialogues(service: Service) -> None:
    """Clients that go at a prompt, before it, and after the answer."""
    before = state()
    for turn in range(12):
        client = connect_as(USERS[turn])
        client.send(f"{PWUPD}.Chauthtok", {"userName": f"u{USERS[turn]}"}, more=True)
        if turn % 3:
            while (reply := client.receive()) is not None and reply.get("continues"):
                pass
        if turn % 3 == 2:
            client.send(f"{PWUPD}.Conv", {"response": PASSWORD}, more=True)
        client.close()
    wait_until(lambda: not service.children())
    is_alive()
    assert state() == before


def stop_its_processes(service: Service) -> None:
    """The user stops the process that speaks PAM for it, which may hold a lock: it is continued, or ends."""
    client = connect_as(USERS[3])
    client.send(f"{PWUPD}.Chsh", {"userName": f"u{USERS[3]}", "shell": "/bin/bash"}, more=True)
    wait_until(service.children)
    assert client.receive() is not None
    (pid,) = service.children()
    uids = Path(f"/proc/{pid}/status").read_text().partition("\nUid:\t")[2].partition("\n")[0].split()
    assert uids == [str(USERS[3]), "0", "0", "0"]
    os.kill(pid, signal.SIGSTOP)
    reply = client.call(f"{PWUPD}.Conv", {"response": PASSWORD}, more=True)
    assert reply == {"parameters": {"Success": True}}, reply
    wait_until(lambda: not service.children())
    client.send(f"{PWUPD}.Chsh", {"userName": f"u{USERS[3]}", "shell": "/bin/sh"}, more=True)
    wait_until(service.children)
    (pid,) = service.children()
    for _ in range(200):
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            break
        time.sleep(0.01)
    wait_until(lambda: not service.children())
    client.close()


def serve_many_at_once(service: Service, count: int) -> None:
    """So many users change their shells at the same time, then one user half as often: none is lost."""
    for uids in (list(USERS[:count]), [USERS[0]] * (count // 2)):
        children = []
        for number, uid in enumerate(uids):
            pid = os.fork()
            if not pid:
                try:
                    reply = change_shell(uid, "/bin/bash")
                    os._exit(reply != {"parameters": {"reply": {"status": 0}}})
                finally:
                    os._exit(9)
            children.append((number, pid))
        failed = [number for number, pid in children if os.waitpid(pid, 0)[1]]
        assert not failed, failed
        assert {shell_of(uid) for uid in uids} == {"/bin/bash"}
        for uid in set(uids):
            assert change_shell(uid, "/bin/sh") is not None


def kill_it(service: Service, count: int, seed: int = 1) -> None:
    """kill -9 of the service and its processes at any point of a change: the files are as before or as after."""
    chance = random.Random(seed)
    other = [line for line in state()[0].splitlines() if not line.startswith("u2000:")]
    for turn in range(count):
        pid = os.fork()
        if not pid:
            try:
                change_shell(USERS[0], SHELLS[turn % 3])
            finally:
                os._exit(0)
        time.sleep(chance.random() * 0.2)
        victims = [*service.children(), service.pid]
        if turn % 2:
            victims = victims[:1] if len(victims) > 1 else []  # the process that works, alone
        for victim in victims:
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass
        os.waitpid(pid, 0)
        if service.pid in victims:
            assert service.process is not None
            service.process.wait(60)
            service.start()
        assert shell_of(USERS[0]) in SHELLS
        assert [line for line in state()[0].splitlines() if not line.startswith("u2000:")] == other
        # The next change goes: no lock is left, and what was begun is finished or undone.
        shell = SHELLS[(turn + 1) % 3]
        assert change_shell(USERS[0], shell) == {"parameters": {"reply": {"status": 0}}}
        assert shell_of(USERS[0]) == shell
    left = [name for name in os.listdir("/etc") if ".new" in name or name in {f"{name}.lock" for name in FILES}]
    assert not left, left
