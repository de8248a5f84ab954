# SPDX-License-Identifier: MIT
"""The release of shadow-utils that is stood in for, which options and rules are compared with. Pure. Hot path."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # (4, 13): compares as it should.
    Release = tuple[int, int]

DEFAULT = (4, 13)


def parse_release(text: bytes) -> Release | None:
    """(4, 13) of b"4.13", or None."""
    major, _, minor = text.partition(b".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None
