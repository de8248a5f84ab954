# SPDX-License-Identifier: MIT
"""Records of what was done to accounts, for the kernel's audit. Hot path, loaded only where audit is in use.

Nothing here ever fails a tool, and no password, hash or plain text of a user ever comes here.
"""

from __future__ import annotations

import posix
import sys

from accounts.text import fsencode

# linux/audit.h and libaudit.h, without AUDIT_.
KINDS = {
    "USER_ACCT": 1101, "USER_CHAUTHTOK": 1108, "USYS_CONFIG": 1111, "ADD_USER": 1114, "DEL_USER": 1115,
    "ADD_GROUP": 1116, "DEL_GROUP": 1117, "USER_MGMT": 1102, "GRP_MGMT": 1132, "GRP_CHAUTHTOK": 1133, "ACCT_LOCK": 1135,
    "ACCT_UNLOCK": 1136, "CHGRP_ID": 1119,
}  # fmt: skip
_NAME_MAX = 32
_AF_NETLINK = 16
_NETLINK_AUDIT = 9
_NLM_F_REQUEST = 1


def audit(kind: str, operation: str, name: bytes, uid: int | None, success: bool, group: bytes = b"") -> None:
    """One record to the kernel's audit, worded as audit_log_acct_message(3); lost where there is no audit.

    kind: one of KINDS; operation: shadow's words ("adding user"); uid: of the account (or GID), None to name it. group:
    that it is about, b"" for none.
    """
    try:
        import _socket  # without the Python part of socket, which is 12 ms

        payload = format_audit(operation, name, uid, success, group) + b"\0"
        header = b"".join(
            value.to_bytes(size, sys.byteorder)
            for value, size in ((16 + len(payload), 4), (KINDS[kind], 2), (_NLM_F_REQUEST, 2), (1, 4), (0, 4))
        )
        link = _socket.socket(_AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _NETLINK_AUDIT)
        try:
            # The kernel has handled the record when this returns; nothing needs to be read back.
            link.sendto(header + payload, (0, 0))
        finally:
            link.close()
    except (ImportError, OSError):
        pass


def format_audit(operation: str, name: bytes, uid: int | None, success: bool, group: bytes = b"") -> bytes:
    """The text of an audit record: op, grp, acct or id, exe, hostname, addr, terminal, res."""
    account = b"acct=" + encode(name[:_NAME_MAX]) if uid is None else b"id=%d" % uid
    terminal = _terminal()
    return b'op=%s%s %s exe="%s" hostname=%s addr=? terminal=%s res=%s' % (
        fsencode(operation),
        b" grp=" + encode(group) if group else b"",
        account,
        _program_path(),
        # libaudit names the host only where it has found a terminal.
        fsencode(posix.uname().nodename) if terminal != b"?" else b"?",
        terminal,
        b"success" if success else b"failed",
    )


def encode(name: bytes) -> bytes:
    """A name as libaudit writes it: in hex where it could break the record apart, or is not ASCII (char is signed)."""
    if any(not 0x21 <= byte < 0x7F or byte == 0x22 for byte in name):
        return name.hex().upper().encode()
    return b'"' + name + b'"'


def _terminal() -> bytes:
    for fd in (0, 1, 2):
        try:
            return fsencode(posix.ttyname(fd)).removeprefix(b"/dev/")
        except OSError:
            continue
    return b"?"


def _program_path() -> bytes:
    path = fsencode(sys.argv[0])
    return path if path.startswith(b"/") else posix.getcwdb() + b"/" + path
