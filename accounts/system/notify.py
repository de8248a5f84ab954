# SPDX-License-Identifier: MIT
"""Tell others what was done: syslog, the caches of nscd and sssd. Hot path.

Nothing here ever fails a tool, and no password, hash or plain text of a user ever comes here.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Priorities of syslog(3).
LOG_ERR = 3
LOG_WARN = 4
LOG_NOTICE = 5
LOG_INFO = 6

_NOT_FOUND = 127

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
    # An image build, a container: nobody to load it for.
    if not posix.access("/dev/log", posix.F_OK):
        return
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
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


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
