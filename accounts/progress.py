# SPDX-License-Identifier: MIT
"""How far long work has come. A leaf: whoever works tells, and whoever listens shows it; by default that is nobody.

Work has stages, one after the other: begin() names one, at() says how much of it is done. Neither costs more than a
comparison where nobody listens. The tools of the shadow family have no listener: what they print is shadow's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_bar: Bar | None = None


def begin(what: str) -> None:
    """A stage of the work begins: "looking at files"."""
    if _bar is not None:
        _bar.begin(what)


def at(done: float, total: float = 1) -> None:
    """So much of the stage is done: numbers of anything."""
    if _bar is not None:
        _bar.at(done / total if total else 1)


def is_shown() -> bool:
    """Whether anybody listens: for what is counted only to be told."""
    return _bar is not None


def hide() -> None:
    """Something else is going to be printed."""
    if _bar is not None:
        _bar.hide()


def track(items: Sequence[T], what: str) -> Iterator[T]:
    """The items, as a stage that is done when the last one is."""
    begin(what)
    for number, item in enumerate(items):
        at(number, len(items))
        yield item


class Descent:
    """How far a walk down a tree has come. Nobody knows how large the tree is: what a directory is of it is spread
    evenly over its own files and the directories in it.
    """

    def __init__(self, part: float = 0, share: float = 1) -> None:
        """part: what was done before; share: what this tree is of all."""
        # For each directory on the way down: where the next one in it begins, and what each of these is of the whole.
        self._levels = [[part, share]]

    def enter(self, depth: int, directories: int) -> None:
        """The walk comes to a directory, 0 for the top, with so many directories in it that it will come to."""
        if _bar is None:
            return
        del self._levels[depth + 1 :]
        above = self._levels[-1]
        part = above[0]
        above[0] += above[1]
        share = above[1] / (directories + 1)
        self._levels.append([part + share, share])
        at(part)


class Bar:
    """Shows the work of a command on standard error: on a terminal a bar that goes when the work is done, elsewhere a
    line now and then, for the log of a build. Short work shows nothing.
    """

    # Seconds: of work before there is a bar, and between two of its pictures.
    PATIENCE, INTERVAL = 0.5, 0.1
    # Seconds: of work before there is a line; the next one comes after as long again, but for the longest.
    FIRST_LINE, LONGEST = 10.0, 60.0

    def __init__(self, prog: str, fd: int = 2) -> None:
        """prog: in front of what is shown."""
        self._prog = prog
        self._fd = fd
        self._terminal = _is_terminal(fd)
        self._start = time.monotonic()
        self._next = self._start + (self.PATIENCE if self._terminal else self.FIRST_LINE)
        self._what = ""
        self._width = 0

    def begin(self, what: str) -> None:
        """As the function."""
        self._what = what
        self._show(None)

    def at(self, part: float) -> None:
        """part: of the stage, 0 to 1."""
        self._show(part)

    def _show(self, part: float | None) -> None:
        """None: nobody has said yet how much is done; of some stages nobody will."""
        now = time.monotonic()
        if now < self._next:
            return
        if not self._terminal:
            self._next = now + min(now - self._start, self.LONGEST)
            self._write(f"{self._prog}: {self._what}" + ("\n" if part is None else f": {part:.0%}\n"))
            return
        self._next = now + self.INTERVAL
        try:
            columns = os.get_terminal_size(self._fd).columns or 80
            # A job in the background must not write between the lines of the one in front.
            if os.tcgetpgrp(self._fd) != os.getpgrp():
                return
        except OSError:
            return
        picture = format_bar(f"{self._prog}: {self._what}", part, now - self._start, columns - 1)
        before = self._width
        # A signal may come right behind the write: what is to be taken away is known before it is there.
        self._width = max(before, len(picture))
        self._write("\r" + picture.ljust(min(before, columns - 1)))
        self._width = len(picture)

    def hide(self) -> None:
        """Take the bar from the terminal; the next at() shows it again."""
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _write(self, text: str) -> None:
        try:
            os.write(self._fd, text.encode(errors="replace"))
        except OSError:
            pass


def format_bar(title: str, part: float | None, seconds: float, width: int) -> str:
    """One line of at most `width` columns: title, bar, per cent, time; what does not fit is left out, the bar first.

    part: 0 to 1, or None for neither bar nor per cent.
    """
    clock = f"{int(seconds) // 60}:{int(seconds) % 60:02}"
    if part is None:
        return f"{title}  {clock}"[:width]
    part = min(max(part, 0.0), 1.0)
    tail = f"{int(part * 100):3} %  {clock}"
    room = min(width - len(title) - len(tail) - 6, 40)
    bar = f"  [{'#' * int(part * room):<{room}}]  " if room >= 4 else "  "
    return (title + bar + tail)[:width]


@contextmanager
def shown_by(bar: Bar | None) -> Iterator[None]:
    """Have a bar show what is done in a with block, and go at its end; None shows nothing."""
    global _bar
    before, _bar = _bar, bar
    try:
        yield
    finally:
        hide()
        _bar = before


def _is_terminal(fd: int) -> bool:
    """One that can go back to the beginning of a line."""
    try:
        return os.isatty(fd) and os.environ.get("TERM") != "dumb"
    except OSError:
        return False
