# SPDX-License-Identifier: MIT
"""What a test root holds and what one run made of it: plain values that travel between processes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class File(NamedTuple):
    """A regular file below /etc or /usr/lib."""

    data: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


class Node(NamedTuple):
    """An entry of a compared tree. size is that of a file; the contents are not compared (nor recorded)."""

    kind: str  # d, f or l
    mode: int
    uid: int
    gid: int
    size: int = 0
    target: str = ""


@dataclass
class State:
    """etc: name below /etc -> file. image: name below /usr/lib -> file. tree: absolute path -> node.

    merge: whether nsswitch.conf of a root with an image says `group: files [SUCCESS=merge] altfiles`.
    hide: whether accounts.conf of such a root says HIDE=yes, so that etc's accounts/hidden counts; else HIDE=no.
    """

    etc: dict[str, File] = field(default_factory=dict)
    image: dict[str, File] = field(default_factory=dict)
    tree: dict[str, Node] = field(default_factory=dict)
    merge: bool = True
    hide: bool = False


@dataclass(repr=False)
class Command:
    """One call of a tool.

    day: days since the epoch, given to the tool as SOURCE_DATE_EPOCH; None leaves the variable out.
    files: written below the working directory (/tmp of the root) before the run.
    """

    tool: str
    argv: list[bytes]
    stdin: bytes = b""
    env: dict[str, str] = field(default_factory=dict)
    umask: int = 0o022
    day: int | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    timeout: float = 30.0

    def __repr__(self) -> str:
        words = shlex.join([self.tool, *(word.decode("utf-8", "backslashreplace") for word in self.argv)])
        return f"Command({words}{' < ' + repr(self.stdin) if self.stdin else ''})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # hypothesis would else spell out every field


@dataclass
class Outcome:
    """exit: status, negative signal number, or None after the time limit.

    touched: account files (names below /etc) that are not the same inode with the same mtime any more.
    strays: paths outside the account files and the compared trees that appeared, changed or went.
    """

    exit: int | None
    stdout: bytes
    stderr: bytes
    after: State
    touched: set[str]
    strays: list[str]
    seconds: float
