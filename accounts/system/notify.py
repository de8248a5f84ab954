# SPDX-License-Identifier: MIT
"""Tell others what was done: syslog, the kernel's audit, the caches of nscd and sssd. Hot path.

Nothing here ever fails a tool, and no password, hash or plain text of a user ever comes here.
"""

from __future__ import annotations

import posix
import sys

from accounts.text import fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Priorities of syslog(3).
LOG_CRIT = 2
LOG_ERR = 3
LOG_WARN = 4
LOG_NOTICE = 5
LOG_INFO = 6

# Audit records, linux/audit.h and libaudit.h.
AUDIT_USER_CHAUTHTOK = 1108
AUDIT_ADD_USER = 1114
AUDIT_DEL_USER = 1115
AUDIT_ADD_GROUP = 1116
AUDIT_DEL_GROUP = 1117

_NOT_FOUND = 127
_AF_NETLINK = 16
_NETLINK_AUDIT = 9
_NLM_F_REQUEST = 1

_ident = "shadow"
_opened = ""


def set_ident(prog: str) -> None:
    """The program name that log records carry, as shadow's OPENLOG(); free until the first record."""
    global _ident
    _ident = prog


def syslog(priority: int, text: str) -> None:
    """One record to syslog(3), facility authpriv, with the PID; lost when nobody listens on /dev/log.

    Control characters and undecodable bytes come out as \\x1b or \\udcff: no record can fake another.
    """
    global _opened
    try:
        import syslog as log
    except ImportError:
        return
    if _opened != _ident:
        log.openlog(_ident, log.LOG_PID, log.LOG_AUTHPRIV)
        _opened = _ident
    log.syslog(priority, _printable(text))


def _printable(text: str) -> str:
    text = text.rstrip("\n")
    if text.isascii() and text.isprintable():
        return text
    # Letters of other alphabets stay; isprintable() is false for surrogates and control characters.
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def audit(kind: int, operation: str, name: bytes, uid: int | None, success: bool) -> None:
    """One record to the kernel's audit, worded as audit_log_acct_message(3); lost where there is no audit.

    kind: AUDIT_...; operation: shadow's words ("adding user"); uid: of the account, None to name it instead.
    """
    try:
        import _socket  # without the Python part of socket, which is 12 ms
    except ImportError:
        return
    payload = format_audit(operation, name, uid, success) + b"\0"
    header = b"".join(
        value.to_bytes(size, sys.byteorder)
        for value, size in ((16 + len(payload), 4), (kind, 2), (_NLM_F_REQUEST, 2), (1, 4), (0, 4))
    )
    try:
        link = _socket.socket(_AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _NETLINK_AUDIT)
        try:
            # The kernel has handled the record when this returns; nothing needs to be read back.
            link.sendto(header + payload, (0, 0))
        finally:
            link.close()
    except OSError:
        pass


def format_audit(operation: str, name: bytes, uid: int | None, success: bool) -> bytes:
    """The text of an audit record: op, acct or id, exe, hostname, addr, terminal, res."""
    if uid is None:
        # libaudit writes names that could break the record apart in hex.
        if any(byte < 0x21 or byte in b'"\x7f' for byte in name):
            account = b"acct=" + name.hex().upper().encode()
        else:
            account = b'acct="' + name + b'"'
    else:
        account = b"id=%d" % uid
    try:
        terminal = fsencode(posix.ttyname(0)).removeprefix(b"/dev/")
    except OSError:
        terminal = b"?"
    return b'op=%s %s exe="%s" hostname=%s addr=? terminal=%s res=%s' % (
        operation.encode(),
        account,
        _program_path(),
        fsencode(posix.uname().nodename) or b"?",
        terminal,
        b"success" if success else b"failed",
    )


def _program_path() -> bytes:
    path = fsencode(sys.argv[0])
    return path if path.startswith(b"/") else posix.getcwdb() + b"/" + path


def flush_caches(live: bool, warn: Callable[[str], None], passwd: bool = True, group: bool = True) -> None:
    """Make nscd and sssd forget what they know, as shadow does after each change.

    live: whether it was the running system's own files that changed; nothing is to be done otherwise.
    passwd, group: which databases. Programs that are not installed and an nscd that is not running are fine.
    """
    if not live:
        return
    for wanted, service in ((passwd, b"passwd"), (group, b"group")):
        if wanted and not _flush_nscd(service, warn):
            warn("Failed to flush the nscd cache.")
    letters = b"U" * passwd + b"G" * group
    if letters and not _flush_sssd(b"-" + letters):
        syslog(LOG_WARN, f"{_ident}: Failed to flush the sssd cache.")


def _run(command: bytes, argv: list[bytes], warn: Callable[[str], None]) -> int:
    # Most machines have neither program, and then need not load what runs them.
    if not posix.access(command, posix.F_OK):
        return _NOT_FOUND
    from accounts.system.commands import run_command

    return run_command(command, argv, warn, {})


def _flush_nscd(service: bytes, warn: Callable[[str], None]) -> bool:
    status = _run(b"/usr/sbin/nscd", [b"nscd", b"-i", service], warn)
    if status < 0:
        warn(f"nscd did not terminate normally (signal {-status})")
    # 1: installed, not running.
    elif status not in (0, 1, _NOT_FOUND):
        warn(f"nscd exited with status {status}")
        return False
    return True


def _flush_sssd(option: bytes) -> bool:
    def log(text: str) -> None:
        syslog(LOG_WARN, f"{_ident}: {text}")

    status = _run(b"/usr/sbin/sss_cache", [b"sss_cache", option], log)
    if status < 0:
        log(f"sss_cache did not terminate normally (signal {-status})")
    elif status not in (0, _NOT_FOUND):
        log(f"sss_cache exited with status {status}")
        return False
    return True
