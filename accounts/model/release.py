# SPDX-License-Identifier: MIT
"""The release of shadow-utils that is stood in for, which options and rules are compared with. Pure. Hot path."""

from __future__ import annotations

# (4, 13): compares as it should.
Release = tuple[int, int]
# From here on the minimum of days of shadow(5) is ignored, and lost when a row is written.
NO_MIN = (4, 20)
# From here on 10000 days are no longer for ever.
NO_NEVER = (4, 19)
# Where accounts.conf says nothing.
DEFAULT = (4, 13)
NEWEST = (4, 20)


def parse_release(text: bytes) -> Release | None:
    """(4, 13) of b"4.13"; None for what is no release from 4.13 to 4.20."""
    major, _, minor = text.partition(b".")
    if major != b"4" or len(minor) != 2 or not minor.isdigit():
        return None
    release = (4, int(minor))
    return release if DEFAULT <= release <= NEWEST else None
