# SPDX-License-Identifier: MIT
"""What a tool says, and where: the only module that prints. Hot path."""

from __future__ import annotations

import posix

from accounts.change import Listener
from accounts.errors import AccountsError, DuplicateRow, FileError
from accounts.text import fsdecode, fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from accounts.cli.tool import Tool


class Console(Listener):
    """Standard output and standard error of one tool. prog: the name that it was called by."""

    def __init__(self, tool: Tool, prog: str) -> None:
        self.tool = tool
        self.ident = tool.name
        self.prog = prog

    def print(self, text: str) -> None:
        """Text to standard output, as it is."""
        write_all(1, text)

    def complain(self, text: str) -> None:
        """Text to standard error, as it is."""
        write_all(2, text)

    def warn(self, line: str) -> None:
        """ "PROG: line" to standard error.

        A value of the caller's is shown as the real tools show it, newlines included, but for the control
        characters that could command a terminal: \\x1b.
        """
        if not line.isprintable():
            line = "".join(_escape(char) if ord(char) < 0x20 or ord(char) == 0x7F else char for char in line)
        self.complain(f"{self.prog}: {line}\n")

    def status(self, error: AccountsError) -> int:
        """The exit status of an error."""
        return self.tool.status(error)

    # Questions. Another console may ask somebody else than who is at the terminal.

    def is_terminal(self) -> bool:
        """Whether standard input and output are a terminal."""
        return posix.isatty(0) and posix.isatty(1)

    def converse(self, prompt: str) -> bytearray | None:
        """As terminal.converse()."""
        from accounts.system.terminal import converse

        return converse(prompt)

    def read_password(self, prompt: str) -> bytearray | None:
        """As terminal.read_password()."""
        from accounts.system.terminal import read_password

        return read_password(prompt)

    def change_field(self, label: str, current: bytes) -> bytes:
        """As terminal.change_field()."""
        from accounts.system.terminal import change_field

        return change_field(label, current)

    def show_error(self, error: AccountsError, shown: Callable[[str], str]) -> None:
        """All that an error says. shown: database -> its path."""
        if error.text:
            self.complain(error.text)
        if isinstance(error, DuplicateRow):
            self.complain(error.text_for(shown))
        for line in error.lines(shown) if isinstance(error, FileError) else error.lines():
            self.warn(line)

    def show_os_error(self, error: OSError) -> None:
        """What the system said no to."""
        path = error.filename
        if isinstance(path, bytes):
            path = fsdecode(path)
        self.warn(f"{error.strerror}" if path is None else f"{path}: {error.strerror}")


def _escape(char: str) -> str:
    return char if char in "\n\t" else f"\\x{ord(char):02x}"


def write_all(fd: int, text: str) -> None:
    """Write text to a descriptor that may be closed, full or a broken pipe: then it is lost, nothing else."""
    data = fsencode(text)
    try:
        while data:
            data = data[posix.write(fd, data) :]
    except OSError:
        pass


def write_out(text: str) -> None:
    """Text to standard output, of which nothing may be lost: what is cut off must not look like a success.

    Raises OSError.
    """
    data = fsencode(text)
    try:
        while data:
            data = data[posix.write(1, data) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def word_failure(lines: Iterable[str], locked: bool) -> str:
    """What an `accounts` command says when it fails: one line, which ends with what helps.

    lines: the error's; locked: whether it is about a lock that cannot be had.
    """
    from errno import EACCES, EPERM

    told = "; ".join(line.rstrip(".") for line in lines)
    if posix.geteuid() and any(posix.strerror(number) in told for number in (EACCES, EPERM)):
        return told.replace("; try again later", "") + "; this needs root"
    return f"{told}; see accounts check" if locked else told


def missing_module(error: ModuleNotFoundError) -> str:
    """The line for a Python without all of its standard library (python3-minimal), or a checkout without build/deps."""
    if error.name in ("passlib", "filelock"):
        return f"Python's module {error.name} is missing: in a checkout `make build/deps` brings it"
    return f"this needs the whole standard library of Python: {error}"
