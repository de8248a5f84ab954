# SPDX-License-Identifier: MIT
"""Audit records: in libaudit's words, never failing a tool, not even loaded when nobody can listen."""

from __future__ import annotations

import os
import posix
import sys

import pytest

from accounts.change import Change
from accounts.system import audit
from tests.support.namespace import run_in_namespace


@pytest.mark.parametrize(
    ("name", "uid", "success", "account", "result"),
    [
        (b"alice", 1000, True, b"id=1000", b"success"),
        (b"alice", None, False, b'acct="alice"', b"failed"),
        (b'a b"', None, True, b"acct=61206222", b"success"),
        ("ä".encode(), None, True, b"acct=C3A4", b"success"),
        (b"", None, True, b'acct=""', b"success"),
        (b"x" * 33, None, True, b'acct="%s"' % (b"x" * 32), b"success"),
    ],
)
def test_audit_text(
    name: bytes, uid: int | None, success: bool, account: bytes, result: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/sbin/useradd"])
    monkeypatch.setattr(posix, "ttyname", lambda fd: "/dev/pts/7")
    host = os.uname().nodename.encode()
    text = audit.format_audit("adding user", name, uid, success)
    assert text == b'op=adding user %s exe="/usr/sbin/useradd" hostname=%s addr=? terminal=pts/7 res=%s' % (
        account, host, result,
    )  # fmt: skip


def test_without_a_terminal_there_is_no_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> str:
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(posix, "ttyname", refuse)
    assert b" hostname=? addr=? terminal=? " in audit.format_audit("adding user", b"x", 5, True)


def test_audit_sends_one_well_formed_netlink_message(monkeypatch: pytest.MonkeyPatch) -> None:
    import _socket

    sent = []

    class Link:
        def __init__(self, family: int, kind: int, protocol: int) -> None:
            assert (family, protocol) == (16, 9)

        def sendto(self, data: bytes, address: tuple[int, int]) -> None:
            sent.append((data, address))

        def close(self) -> None:
            sent.append("closed")

    monkeypatch.setattr(_socket, "socket", Link)
    audit.audit("ADD_USER", "adding user", b"x", 5, True)
    (data, address), closed = sent
    assert address == (0, 0) and closed == "closed"
    assert int.from_bytes(data[:4], sys.byteorder) == len(data)
    assert int.from_bytes(data[4:6], sys.byteorder) == 1114
    assert data[16:].startswith(b"op=adding user id=5 ") and data.endswith(b"res=success\0")


def test_audit_without_audit_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    import _socket

    def refuse(*arguments: object) -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(_socket, "socket", refuse)
    audit.audit("ADD_USER", "adding user", b"x", 5, True)


@pytest.mark.parametrize(
    ("daemon", "login", "expected"),
    [("", "4294967295", "False"), ("", "", "False"), ("1\n", "4294967295", "True"), ("", "1000", "True")],
    ids=["nobody", "a kernel without audit", "auditd runs", "a caller who has logged in"],
)
def test_audit_is_loaded_only_where_somebody_can_listen(daemon: str, login: str, expected: str) -> None:
    out = run_in_namespace(
        r"""
        import pathlib, subprocess, sys
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", "/proc"], check=True)
        daemon, login = sys.argv[1:]
        if daemon:
            pathlib.Path("/run/auditd.pid").write_text(daemon)
        pathlib.Path("/proc/self").mkdir()
        if login:
            pathlib.Path("/proc/self/loginuid").write_text(login)
        from accounts.change import Change
        for name in (b"x", b"y"):
            Change().audit(("ADD_USER", "adding user", name, None, True, b""))
        print("accounts.system.audit" in sys.modules)
        """,
        daemon, login,
    )  # fmt: skip
    assert out == expected + "\n"


def test_another_root_is_not_audited(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(posix, "access", fail)
    with Change(os.fsencode(tmp_path)) as change:
        change.audit(("ADD_USER", "adding user", b"x", None, True, b""))
