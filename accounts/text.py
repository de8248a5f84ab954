# SPDX-License-Identifier: MIT
"""Bytes of files, names and arguments to text and back. Hot path, a leaf: imports only sys.

os has the same two functions, but its import alone takes 0.7 ms (docs/decisions/hot-path.md).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_ENCODING = sys.getfilesystemencoding()


def fsdecode(data: bytes) -> str:
    """As os.fsdecode(): bytes that do not decode become surrogates."""
    return data.decode(_ENCODING, "surrogateescape")


def fsencode(text: str) -> bytes:
    """As os.fsencode(), of str only."""
    return text.encode(_ENCODING, "surrogateescape")


def suggest(word: str, words: Iterable[str]) -> str:
    """What somebody who typed a word that there is not has meant, for the end of the line that says so."""
    try:
        from difflib import get_close_matches
    except ModuleNotFoundError:  # python3-minimal
        return ""
    likely = get_close_matches(word, list(words), n=1)
    return f", did you mean '{likely[0]}'?" if likely else ""
