# SPDX-License-Identifier: MIT
"""Standard input as fgets(3) gives it to chpasswd, chgpasswd and newusers."""

from __future__ import annotations

import errno
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# BUFSIZ of stdio: what fgets(3) takes at once, NUL included.
LINE_SIZE = 8192
# Bytes. Input that does not end (/dev/zero) must not fill the memory; the real tools print a line for each 8 KiB of it.
MAX_INPUT = 1 << 28


def read_all(fd: int) -> bytes:
    """All that can be read from a descriptor. OSError: EFBIG for more than MAX_INPUT."""
    pieces = []
    left = MAX_INPUT
    while piece := posix.read(fd, 1 << 20):
        left -= len(piece)
        if left < 0:
            raise OSError(errno.EFBIG, posix.strerror(errno.EFBIG))
        pieces.append(piece)
    return b"".join(pieces)


def split_lines(text: bytes, drop_rest: bool, open_end: bool) -> Iterator[bytes | None]:
    """The lines without newline as fgets(3) into a buffer of BUFSIZ gives them; None for one too long.

    drop_rest: the rest of a line that is too long is passed over (chpasswd), else it counts as further lines.
    open_end: the last line may lack its newline (chpasswd, newusers), else it counts as too long.
    """
    position = 0
    while position < len(text):
        end = text.find(b"\n", position, position + LINE_SIZE - 1)
        if end >= 0:
            line = text[position:end]
            position = end + 1
            # For C the string ends at a NUL, and then it has no newline.
            yield None if b"\0" in line else line
            continue
        piece = text[position : position + LINE_SIZE - 1]
        position += len(piece)
        if open_end and position >= len(text):
            yield piece.partition(b"\0")[0]
            return
        if drop_rest:
            end = text.find(b"\n", position)
            position = end + 1 if end >= 0 else len(text)
        yield None
