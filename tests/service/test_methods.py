# SPDX-License-Identifier: MIT
"""The methods of the service, message by message as account-utils' clients send them, on a stateless root.

IVY is a user of the image, ALICE and BOB of this machine; the password of all is OLD. No row but theirs is in /etc.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts.service.errors import VarlinkError
from accounts.service.peers import Peer
from accounts.service.pwaccess import verify_password
from accounts.service.session import Session, ToolOutcome
from accounts.service.varlink import Channel
from tests.clients.dialogue import talk
from tests.service.machine import ALICE, BOB, IVY, SOCKET, Client, Service, connect_as
from tests.support.overlay import in_overlay

OLD, NEW = "Secret-123", "Xk3!vbe9Qz"
PWACCESS, PWUPD, SELF = "org.openSUSE.pwaccess", "org.openSUSE.pwupd", "org.stateless-accounts.self"
PROMPT, INFO = 1, 4  # PAM_PROMPT_ECHO_OFF, PAM_TEXT_INFO
CURRENT = {"parameters": {"msg_style": PROMPT, "message": "Current password: "}}
Reply = dict[str, Any]


def _hash() -> str:
    command = ["openssl", "passwd", "-6", "-salt", "abcdefgh", OLD]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _prepare() -> None:
    row = f"{_hash()}:19000:0:99999:7:::\n"
    for path, names in (("/usr/lib", (IVY,)), ("/etc", (ALICE, BOB))):
        for uid, gid, name in names:
            with open(f"{path}/passwd", "a") as passwd, open(f"{path}/shadow", "a") as shadow:
                passwd.write(f"{name}:x:{uid}:{gid}:{name.title()}:/:/bin/sh\n")
                shadow.write(f"{name}:{row}")
    os.chown("/etc/shadow", 0, 42)
    os.chmod("/etc/shadow", 0o640)
    # No two seconds after each wrong password.
    pam = Path("/etc/pam.d/common-auth")
    pam.write_text(pam.read_text().replace("nullok", "nullok nodelay"))


def _row(database: str, name: str) -> str | None:
    """The row in /etc, without a hash."""
    path = Path("/etc", database)
    for line in path.read_text().splitlines() if path.exists() else ():
        fields = line.split(":")
        if fields[0] == name:
            return ":".join(["HASH" if field.startswith("$") else field for field in fields])
    return None


def _forget_attempts() -> None:
    for path in Path("/run/accounts/attempts").glob("*"):
        path.unlink()


def _ask(uid: int, method: str, parameters: Reply, *answers: str | None) -> list[Reply | None]:
    """All replies of a dialogue of pwupd."""
    client = connect_as(uid)
    replies = [client.call(method, parameters, more=True)]
    rest = list(answers)
    while (last := replies[-1]) is not None:
        if last.get("continues"):
            replies.append(client.receive())
        elif "message" in last["parameters"] and rest:
            replies.append(client.call(f"{PWUPD}.Conv", {"response": rest.pop(0)}, more=True))
        else:
            break
    client.close()
    return replies


def _call(uid: int, method: str, parameters: Reply | None = None) -> Reply | None:
    client = connect_as(uid)
    reply = client.call(method, parameters)
    client.close()
    return reply


def speaks_varlink() -> None:
    info = _call(1000, "org.varlink.service.GetInfo")
    assert info is not None
    assert info["parameters"]["interfaces"] == sorted(("org.varlink.service", PWACCESS, PWUPD, SELF))
    for name in info["parameters"]["interfaces"]:
        shown = _call(1000, "org.varlink.service.GetInterfaceDescription", {"interface": name})
        assert shown is not None and f"\ninterface {name}\n" in shown["parameters"]["description"]
    service = "org.varlink.service"
    for method, parameters, error, told in (
        ("x.y.Z", {}, "InterfaceNotFound", {"interface": "x.y"}),
        (f"{PWACCESS}.Nothing", {}, "MethodNotFound", {"method": f"{PWACCESS}.Nothing"}),
        (f"{PWACCESS}.GetGroupRecord", {"gid": 0}, "MethodNotImplemented", {"method": f"{PWACCESS}.GetGroupRecord"}),
        (f"{PWACCESS}.Ping", {"x": 1}, "InvalidParameter", {"parameter": "x"}),
        (f"{PWACCESS}.GetAccountName", {"uid": True}, "InvalidParameter", {"parameter": "uid"}),
        (f"{PWACCESS}.GetAccountName", {}, "InvalidParameter", {"parameter": "uid"}),
        (f"{SELF}.Run", {"tool": "passwd", "arguments": [], "terminal": False}, "ExpectedMore", {}),
        (f"{PWACCESS}.Quit", {}, "PermissionDenied", {}),
    ):
        assert _call(1000, method, parameters) == {"error": f"{service}.{error}", "parameters": told}, method
    client = connect_as(1000)
    client.send(f"{PWACCESS}.Ping")
    client.send(f"{PWACCESS}.Ping", oneway=True)
    client.send(f"{PWACCESS}.GetAccountName", {"uid": 1500})
    assert client.receive() == {"parameters": {"Alive": True}}
    assert client.receive() == {"parameters": {"Success": True, "userName": "ivy"}}
    client.close()


def reads_records() -> None:
    passwd = {"name": "ivy", "UID": 1500, "GID": 1500, "GECOS": "Ivy", "dir": "/", "shell": "/bin/sh"}
    shadow = {"lstchg": 19000, "min": 0, "max": 99999, "warn": 7, "inact": -1, "expire": -1, "flag": -1}
    complete = {
        "Success": True,
        "Complete": True,
        "passwd": {**passwd, "passwd": "x"},
        "shadow": {"name": "ivy", "passwd": _hash(), **shadow},
    }
    other = {"Success": True, "Complete": False, "passwd": {**passwd, "passwd": None}}
    for key in ({"userName": "ivy"}, {"uid": 1500}):
        assert _call(0, f"{PWACCESS}.GetUserRecord", key) == {"parameters": complete}
        assert _call(1500, f"{PWACCESS}.GetUserRecord", key) == {"parameters": complete}
        assert _call(1000, f"{PWACCESS}.GetUserRecord", key) == {"parameters": other}
    absent = {"error": f"{PWACCESS}.NoEntryFound", "parameters": {"Success": False}}
    assert _call(1000, f"{PWACCESS}.GetUserRecord", {"userName": "nosuch"}) == absent
    assert _call(1000, f"{PWACCESS}.GetUserRecord", {"uid": 4711}) == absent
    bad = _call(1000, f"{PWACCESS}.GetUserRecord", {"uid": 1, "userName": "x"})
    assert bad is not None and bad["error"] == f"{PWACCESS}.InvalidParameter"
    expired = {"Success": True, "Expired": 0, "DaysLeft": -1, "PWChangeAble": True}
    assert _call(1500, f"{PWACCESS}.ExpiredCheck", {"userName": "ivy"}) == {"parameters": expired}
    denied = _call(1000, f"{PWACCESS}.ExpiredCheck", {"userName": "ivy"})
    assert denied is not None and denied["parameters"]["ErrorMsg"].startswith("Peer UID 1000 is not allowed")


def verifies_passwords() -> None:
    method = f"{PWACCESS}.VerifyPassword"
    for uid in (0, 1500):
        for password, good in ((OLD, True), (NEW, False), ("", False)):
            reply = _call(uid, method, {"userName": "ivy", "password": password, "nullOK": True})
            assert reply == {"parameters": {"Success": good}}, (uid, password)
    denied = _call(1000, method, {"userName": "ivy", "password": OLD})
    assert denied is not None and denied["error"] == f"{PWACCESS}.InternalError"
    for password in ("x" * 600, "\0", OLD + "\0"):
        assert _call(0, method, {"userName": "ivy", "password": password}) == {"parameters": {"Success": False}}


def costs_the_same() -> None:
    """To root, as a daemon asks for who wants to log in: a user who is not there, one without password, a wrong one."""
    pam = Path("/etc/pam.d/common-password")
    text = pam.read_text()
    pam.write_text(text.replace(" yescrypt", " sha512"))
    peer = Peer(os.getpid(), 0, 0)
    times: dict[str, list[float]] = {name: [] for name in ("ivy", "nosuch", "daemon")}
    for _ in range(15):
        for name, taken in times.items():
            session = Session(Channel(socket.socket()), peer, {}, lambda *_: ToolOutcome(0, None))
            # Of the processor: what others do on this machine does not count.
            start = time.process_time()
            try:
                verify_password(session, {"userName": name, "password": "guess"}, False)
            except VarlinkError:
                pass
            taken.append(time.process_time() - start)
    least = {name: round(min(taken) * 1000, 2) for name, taken in times.items()}
    print("VerifyPassword, ms:", least)
    assert max(least.values()) < 1.4 * min(least.values()), least
    pam.write_text(text)


def changes_passwords() -> None:
    """The dialogue of passwd and chauthtok() of account-utils; the delta of an image user is one shadow row."""
    today = int(time.time()) // 86400
    replies = _ask(1500, f"{PWUPD}.Chauthtok", {"userName": "ivy"}, OLD, NEW, NEW)
    asked = [
        {"parameters": {"msg_style": PROMPT, "message": text}} for text in ("New password: ", "Retype new password: ")
    ]
    said = {"parameters": {"msg_style": INFO, "message": "Changing password for ivy."}, "continues": True}
    assert replies == [said, CURRENT, *asked, {"parameters": {"Success": True}}], replies
    assert (_row("passwd", "ivy"), _row("shadow", "ivy")) == (None, f"ivy:HASH:{today}:0:99999:7:::")
    verify = {"userName": "ivy", "password": NEW}
    assert _call(1500, f"{PWACCESS}.VerifyPassword", verify) == {"parameters": {"Success": True}}
    wrong = _ask(1500, f"{PWUPD}.Chauthtok", {"userName": "ivy"}, OLD)[-1]
    message = "Authentication token manipulation error; password unchanged"
    aborted = {"Success": False, "ErrorMsg": message}
    assert wrong == {"error": f"{PWUPD}.PasswordChangeAborted", "parameters": aborted}, wrong
    assert _ask(1500, f"{PWUPD}.Chauthtok", {"userName": "ivy"}, None)[-1] == wrong
    denied = _ask(1000, f"{PWUPD}.Chauthtok", {"userName": "ivy"})[-1]
    assert denied is not None and denied["error"] == f"{PWUPD}.PermissionDenied"
    absent = {"error": f"{PWUPD}.NoEntryFound", "parameters": {"Success": False}}
    assert _ask(1000, f"{PWUPD}.Chauthtok", {"userName": "nosuch"}) == [absent]
    # Root is asked for the new one only, which an expired password does not change.
    root = _ask(0, f"{PWUPD}.Chauthtok", {"userName": "ivy"}, OLD, OLD)
    assert root == [*asked, {"parameters": {"Success": True}}], root
    stray = _call(1000, f"{PWUPD}.Conv", {"response": "x"})
    assert stray is not None and stray["error"] == f"{PWUPD}.InternalError"


def changes_shell_and_gecos() -> None:
    asked = {"parameters": {"msg_style": PROMPT, "message": "Password: "}}
    good = {"parameters": {"Success": True}}
    assert _ask(1500, f"{PWUPD}.Chsh", {"userName": "ivy", "shell": "/bin/bash"}, OLD) == [asked, good]
    assert _row("passwd", "ivy") == "ivy:x:1500:1500:Ivy:/:/bin/bash"
    assert _ask(1500, f"{PWUPD}.Chsh", {"userName": "ivy", "shell": "/bin/sh"}, OLD) == [asked, good]
    assert _row("passwd", "ivy") is None  # as the image says again
    for shell in ("bash", "/bin/nosuch", "/etc/passwd", "/bin/../bin/bash", "/bin/bash\0", "/bin/sh:x", "--help", ""):
        last = _ask(1500, f"{PWUPD}.Chsh", {"userName": "ivy", "shell": shell}, OLD)[-1]
        assert last is not None and "error" in last, (shell, last)
    invalid = _ask(1500, f"{PWUPD}.Chsh", {"userName": "ivy", "shell": "bash"}, OLD)[-1]
    message = {"Success": False, "ErrorMsg": "bash is an invalid shell"}
    assert invalid == {"error": f"{PWUPD}.InvalidShell", "parameters": message}
    failed = _ask(1500, f"{PWUPD}.Chsh", {"userName": "ivy", "shell": "/bin/bash"}, "wrong")[-1]
    message = {"Success": False, "ErrorMsg": "PAM: Authentication failure"}
    assert failed == {"error": f"{PWUPD}.AuthenticationFailed", "parameters": message}
    _forget_attempts()
    parts = {"userName": "ivy", "room": "7", "workPhone": "555"}
    assert _ask(1500, f"{PWUPD}.Chfn", parts, OLD) == [asked, good]
    assert _row("passwd", "ivy") == "ivy:x:1500:1500:Ivy,7,555,:/:/bin/sh"
    for value in ("a:b", "a\nroot::0:0::/:/bin/sh", "a\x07b", "x" * 200, "a,b", "\ud800"):
        last = _ask(1500, f"{PWUPD}.Chfn", {"userName": "ivy", "room": value}, OLD)[-1]
        assert last is None or "error" in last, (value, last)
    name = _ask(1500, f"{PWUPD}.Chfn", {"userName": "ivy", "fullName": "Eve"}, OLD)[-1]
    assert name is not None and "error" in name  # CHFN_RESTRICT
    assert _row("passwd", "ivy") == "ivy:x:1500:1500:Ivy,7,555,:/:/bin/sh"
    update = {"passwd": {"name": "ivy", "UID": 1500, "GID": 1500, "GECOS": "Ivy"}, "shadow": None}
    assert _call(0, f"{PWUPD}.UpdatePasswdShadow", update) == good
    assert _row("passwd", "ivy") is None
    refused = _call(1500, f"{PWUPD}.UpdatePasswdShadow", update)
    assert refused is not None and refused["error"] == f"{PWUPD}.PermissionDenied"
    _forget_attempts()


def makes_who_guesses_wait(service: Service) -> None:
    """Five guesses are free; then each has to wait, also at once, by another tool, and after a restart."""
    _forget_attempts()
    for _ in range(5):
        assert _call(1001, f"{PWACCESS}.VerifyPassword", {"userName": "bob", "password": "x"}) == {
            "parameters": {"Success": False}
        }
    # Of a machine that is busy two seconds are none: as after ten.
    count = Path("/run/accounts/attempts/1001")
    number, last = count.read_text().split()
    assert number == "5"
    count.write_text(f"10 {last}\n")
    waits = {}
    for turn in range(2):
        reply = _call(1001, f"{PWACCESS}.VerifyPassword", {"userName": "bob", "password": OLD})
        assert reply is not None and "Too many attempts" in reply["parameters"]["ErrorMsg"], reply
        shown = talk("/", BOB, ["/usr/bin/chsh", "-s", "/bin/bash"], seconds=60)
        waits[turn] = (shown.status, "chsh: Too many attempts; try again in " in shown.output)
        if not turn:
            service.stop()
            service.start()
    assert waits == {0: (1, True), 1: (1, True)}
    # Nobody else has to.
    assert _call(1000, f"{PWACCESS}.VerifyPassword", {"userName": "alice", "password": OLD}) == {
        "parameters": {"Success": True}
    }
    count.write_text(f"10 {int(last) - 65}\n")
    assert _call(1001, f"{PWACCESS}.VerifyPassword", {"userName": "bob", "password": OLD}) == {
        "parameters": {"Success": True}
    }
    assert count.read_text().startswith("0 ")


def believes_the_kernel_alone() -> None:
    """What a set-uid program calls has its caller's rights; nobody, as whom others' namespaces come, has none.

    That root of a user namespace is who made it, tests/service/test_boot.py shows: here is a chroot, which has none.
    """
    assert _call(65534, f"{PWACCESS}.Ping") is None

    def as_set_uid_program() -> None:
        os.setgroups([1001])
        os.setresgid(1001, 0, 0)
        os.setresuid(1001, 0, 0)

    for command, shown in (("passwd -S alice", "You may not view"), ("chage -l alice", "Permission denied")):
        done = subprocess.run(
            [f"/usr/bin/{command.split()[0]}", *command.split()[1:]], capture_output=True, text=True, timeout=60,
            preexec_fn=as_set_uid_program, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "") and shown in done.stderr, done


def tools_of_an_image_user() -> None:
    """At a terminal, in a shell that can gain no rights, with no set-uid program."""
    bare = ["/usr/bin/setpriv", "--no-new-privs"]
    change = (("Current password: ", OLD), ("New password: ", NEW), ("Retype new password: ", NEW))
    done = talk("/", IVY, [*bare, "/usr/bin/passwd"], change, seconds=60)
    expected = "Changing password for ivy.\nCurrent password: \nNew password: \nRetype new password: \n"
    assert (done.status, done.output) == (0, expected + "passwd: password updated successfully\n"), done
    done = talk("/", IVY, [*bare, "/usr/bin/chsh", "-s", "/bin/bash"], (("Password: ", NEW),), seconds=60)
    assert (done.status, done.output) == (0, "Password: \n"), done
    assert _row("passwd", "ivy") == "ivy:x:1500:1500:Ivy:/:/bin/bash"
    done = talk("/", IVY, [*bare, "/usr/bin/chage", "-l", "ivy"], seconds=60)
    assert done.status == 0 and done.output.startswith("Last password change"), done
    done = talk("/", IVY, [*bare, "/usr/bin/expiry", "-c"], seconds=60)
    assert (done.status, done.output) == (0, ""), done


def without_a_service() -> None:
    done = talk("/", IVY, ["/usr/bin/chage", "-l", "ivy"], seconds=60)
    why = "Permission denied: this needs root, accounts-self.socket, or a set-uid /usr/bin/chage.distrib"
    assert (done.status, done.output) == (1, f"chage: {why}\n"), done


STEPS: tuple[Callable[[], None], ...] = (
    speaks_varlink, reads_records, verifies_passwords, costs_the_same, changes_passwords, changes_shell_and_gecos,
    believes_the_kernel_alone, tools_of_an_image_user,
)  # fmt: skip


def _run_all() -> None:
    _prepare()
    without_a_service()
    with Service() as service:
        for step in STEPS:
            step()
        makes_who_guesses_wait(service)
        # Root ends it; a client of a socket that is left finds nobody.
        assert _call(0, f"{PWACCESS}.Quit", {"ExitCode": 0}) == {"parameters": {"Success": True}}
        assert service.process is not None and service.process.wait(60) == 0
        assert os.path.exists(SOCKET)
        with pytest.raises(ConnectionRefusedError):
            Client()
        service.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_methods() -> None:
    in_overlay(_run_all, stateless=True)
