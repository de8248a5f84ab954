# SPDX-License-Identifier: MIT
"""The line that has PAM let image users with an expired password change it (docs/decisions/expired.md). Pure."""

from __future__ import annotations

import re

COMMAND = "/usr/bin/accounts"
MODULE = "pam_exec.so"
# optional: whatever becomes of it, the modules behind it decide. seteuid: su(1) is called with a user's real UID.
LINE = f"account\toptional\t\t\t{MODULE} quiet seteuid {COMMAND} materialize --expired\n".encode()
COMMENT = b"# Image users whose password has expired get the rows in /etc that pam_unix needs to change it.\n"
_ACCOUNT = re.compile(rb"^[ \t]*-?account[ \t].*$", re.MULTILINE)
# pam-auth-update(8) keeps what is before its block, and takes no line inside of it for its own.
_BLOCK = re.compile(rb"^# here are the per-package modules.*\n(?=[ \t]*-?account[ \t])", re.MULTILINE)


def add_helper(text: bytes) -> bytes:
    """A pam.d(5) file in which the account stack of pam_unix begins with the helper's line.

    Files that ask pam_unix only through others stay, and so does one that has the line.
    """
    accounts = [match for match in _ACCOUNT.finditer(text) if b"pam_unix.so" in match[0]]
    if not accounts or b"materialize --expired" in text:
        return text
    block = _BLOCK.search(text)
    first = _ACCOUNT.search(text)
    assert first is not None
    at = block.start() if block is not None else first.start()
    return text[:at] + COMMENT + LINE + text[at:]


def drop_helper(text: bytes) -> bytes:
    """The file without the helper's line and its comment."""
    return text.replace(COMMENT + LINE, b"")
