# SPDX-License-Identifier: MIT
"""Bytes of files, names and arguments to text and back. Hot path, a leaf: imports only sys.

os has the same two functions, but its import alone takes 0.7 ms (docs/decisions/hot-path.md).
"""

import sys

_ENCODING = sys.getfilesystemencoding()


def fsdecode(data: bytes) -> str:
    """As os.fsdecode(): bytes that do not decode become surrogates."""
    return data.decode(_ENCODING, "surrogateescape")


def fsencode(text: str) -> bytes:
    """As os.fsencode(), of str only."""
    return text.encode(_ENCODING, "surrogateescape")
