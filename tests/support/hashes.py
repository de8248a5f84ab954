# SPDX-License-Identifier: MIT
"""Compares salted password hashes: the same method, and both verify against the plaintext (crypt(3))."""

from __future__ import annotations

import ctypes
import functools
import re

from tests.support.state import Command


@functools.cache
def _libcrypt() -> ctypes.CDLL:
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    library.crypt.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    return library


@functools.cache
def verifies(plaintext: bytes, hashed: bytes) -> bool:
    """Whether crypt(3) says that hashed is a hash of plaintext."""
    answer = _libcrypt().crypt(plaintext, hashed)
    return answer is not None and answer == hashed and not answer.startswith(b"*")


def method(hashed: bytes) -> tuple[bytes, bytes] | None:
    """(method, cost), e.g. (b"$y$", b"j9T") or (b"$5$", b"6000"); None for no hash."""
    found = re.match(rb"(\$(?:[156]|g?y|7|2[abxy])\$)", hashed)
    if not found:
        return (b"des", b"") if re.fullmatch(rb"[./0-9A-Za-z]{13}", hashed) else None
    rest = hashed[found.end() :]
    if found[1] in (b"$5$", b"$6$"):
        rounds = re.match(rb"rounds=(\d+)\$", rest)
        return found[1], rounds[1] if rounds else b""
    if found[1] == b"$1$":
        return found[1], b""
    return found[1], rest[:11] if found[1] == b"$7$" else rest.split(b"$")[0]


def plaintexts(command: Command) -> dict[bytes, set[bytes]]:
    """Name -> the passwords in clear that the command's input gives it (chpasswd, chgpasswd, newusers)."""
    found: dict[bytes, set[bytes]] = {}
    if command.tool in ("chpasswd", "chgpasswd", "newusers"):
        for text in (command.stdin, *command.files.values()):
            for line in text.split(b"\n"):
                parts = line.split(b":")
                if len(parts) > 1:
                    password = parts[1] if command.tool == "newusers" else line.split(b":", 1)[1]
                    found.setdefault(parts[0], set()).add(password)
    return found


def sha_rounds(login_defs: bytes) -> tuple[int, int] | None:
    """The range from which login.defs lets SHA-2 rounds be drawn; None when it leaves no choice."""
    found = {}
    for name in (b"MIN", b"MAX"):
        match = re.search(rb"^\s*SHA_CRYPT_%s_ROUNDS\s+(\d+)" % name, login_defs, re.MULTILINE)
        found[name] = int(match[1]) if match else None
    low, high = found[b"MIN"], found[b"MAX"]
    return (low, high) if low is not None and high is not None and low < high else None


def asks_for_no_method(command: Command, login_defs: bytes) -> bool:
    """Whether pam_unix hashes for the command, and neither it nor login.defs was told how (roots/case.py)."""
    through_pam = command.tool == "newusers" or (command.tool == "chpasswd" and not command.argv)
    return through_pam and not re.search(rb"^\s*(ENCRYPT_METHOD|MD5_CRYPT_ENAB)\s", login_defs, re.MULTILINE)


def same_hash(expected: bytes, got: bytes, words: set[bytes], rounds: tuple[int, int] | None = None) -> bool:
    """Whether two different hashes are as good as the same: one method and cost, and one word behind both."""
    return _same_cost(method(expected), method(got), rounds) and _same_word(expected, got, words)


def better_than_des(expected: bytes, got: bytes, words: set[bytes]) -> bool:
    """Whether got is libxcrypt's preferred hash of the word behind a DES hash."""
    chosen = (b"$y$", b"j9T")
    return method(expected) == (b"des", b"") and method(got) == chosen and _same_word(expected, got, words)


def _same_word(expected: bytes, got: bytes, words: set[bytes]) -> bool:
    return any(verifies(word, expected) and verifies(word, got) for word in words)


def _same_cost(
    mine: tuple[bytes, bytes] | None, theirs: tuple[bytes, bytes] | None, rounds: tuple[int, int] | None
) -> bool:
    if mine is None or theirs is None or mine[0] != theirs[0]:
        return False
    drawn = rounds is not None and theirs[1].isdigit() and rounds[0] <= int(theirs[1]) <= rounds[1]
    return mine[1] == theirs[1] or drawn


def unsalt(
    data: bytes,
    reference: bytes,
    words: dict[bytes, set[bytes]],
    rounds: tuple[int, int] | None = None,
    no_des: bool = False,
) -> bytes:
    """data with each hash replaced by that of reference for the same name where same_hash() holds.

    no_des: or better_than_des() does.
    """
    theirs = {row[0]: row for row in (line.split(b":") for line in reference.split(b"\n")) if len(row) > 1}
    lines = []
    for line in data.split(b"\n"):
        row = line.split(b":")
        other = theirs.get(row[0])
        if len(row) > 1 and other:
            known = words.get(row[0], set())
            if same_hash(other[1], row[1], known, rounds) or (no_des and better_than_des(other[1], row[1], known)):
                row[1] = other[1]
        lines.append(b":".join(row))
    return b"\n".join(lines)
