# SPDX-License-Identifier: MIT
"""What may stand in the password field of shadow(5), as chpasswd -e asks since 4.19. Pure.

Source: crypt(5) of libxcrypt. shadow itself knows neither gost-yescrypt nor scrypt and refuses their hashes; they are
valid here.
"""

from __future__ import annotations

_ALPHABET = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SHORTEST = 48


def is_valid_hash(text: bytes) -> bool:
    """Whether it is a hash, with "!" before it or not, "*" or nothing."""
    text = text.removeprefix(b"!")
    if text in (b"", b"*"):
        return True
    if len(text) < _SHORTEST or not text.startswith(b"$"):
        return False
    _, method, *fields = text.split(b"$")
    if method in (b"y", b"gy"):
        return (
            len(fields) == 3
            and _is_text(fields[0], 1, len(text))
            and _is_text(fields[1], 1, 86)
            and _is_text(fields[2], 43, 43)
        )
    if method == b"7":
        return len(fields) == 2 and _is_text(fields[0], 11, 97) and _is_text(fields[1], 43, 43)
    if method in (b"2a", b"2b", b"2x", b"2y"):
        cost = fields[0]
        return len(fields) == 2 and len(cost) == 2 and cost.isdigit() and _is_text(fields[1], 53, 53)
    if method in (b"5", b"6"):
        if len(fields) == 3 and _is_rounds(fields[0]):
            del fields[0]
        length = 43 if method == b"5" else 86
        return len(fields) == 2 and _is_salt(fields[0]) and _is_text(fields[1], length, length)
    return False


def _is_text(text: bytes, least: int, most: int) -> bool:
    return least <= len(text) <= most and not text.strip(_ALPHABET)


def _is_salt(text: bytes) -> bool:
    return 1 <= len(text) <= 16 and b":" not in text and b"\n" not in text


def _is_rounds(text: bytes) -> bool:
    number = text.removeprefix(b"rounds=")
    return number != text and number.isdigit() and 4 <= len(number) <= 9 and not number.startswith(b"0")
