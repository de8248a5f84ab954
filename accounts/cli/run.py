# SPDX-License-Identifier: MIT
"""What every tool does around its own work: arguments in, messages and exit status out. Hot path.

The only package that prints or exits is cli/.
"""

from __future__ import annotations

import os
import sys
import time

from accounts.errors import AccountsError, BadArgument, Usage
from accounts.system.logindefs import LoginDefs
from accounts.system.store import Store, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

DAY = 86400


class Session:
    """One run of one tool: where it prints, which root it works on, its configuration, its clock."""

    def __init__(self, prog: str) -> None:
        self.prog = prog
        self._target: Target | None = None
        self._store: Store | None = None
        self._defs: LoginDefs | None = None

    # -- printing ------------------------------------------------------------------------------------

    def print(self, text: str) -> None:
        """Text to standard output, as it is."""
        write_all(1, text)

    def print_error(self, text: str) -> None:
        """Text to standard error, as it is."""
        write_all(2, text)

    def warn(self, line: str) -> None:
        """ "PROG: line" to standard error."""
        write_all(2, f"{self.prog}: {line}\n")

    # -- the target ----------------------------------------------------------------------------------

    @property
    def target(self) -> Target:
        """The root to work on: / unless select_root or select_prefix chose another."""
        if self._target is None:
            self._target = Target()
        return self._target

    def select(self, root: bytes | None, prefix: bytes | None) -> None:
        """--root and --prefix, with shadow's checks. Raises BadArgument."""
        if root is not None:
            if not root.startswith(b"/"):
                raise BadArgument(
                    f"invalid chroot path '{os.fsdecode(root)}', only absolute paths are supported."
                )
            self._open(root, b"", f"cannot access chroot directory {os.fsdecode(root)}")
        elif prefix not in (None, b"", b"/"):
            assert prefix is not None
            if not prefix.startswith(b"/"):
                raise BadArgument("prefix must be an absolute path")
            self._open(b"/", prefix, f"cannot access prefix directory {os.fsdecode(prefix)}")

    def _open(self, root: bytes, prefix: bytes, failure: str) -> None:
        try:
            self._target = Target(root, prefix)
        except OSError as error:
            raise BadArgument(f"{failure}: {error.strerror}") from None

    @property
    def store(self) -> Store:
        """The account files of the target."""
        if self._store is None:
            self._store = Store(self.target, self.warn)
        return self._store

    @property
    def defs(self) -> LoginDefs:
        """login.defs of the target, read once."""
        if self._defs is None:
            text = self.target.read_layered(b"login.defs")
            self._defs = LoginDefs(text or b"", self.print_error)
        return self._defs

    def close(self) -> None:
        """Release locks."""
        if self._store is not None:
            self._store.close()

    # -- the clock -----------------------------------------------------------------------------------

    def now(self) -> int:
        """Seconds since the epoch: SOURCE_DATE_EPOCH where it is valid, as shadow's gettime()."""
        current = int(time.time())
        text = os.environ.get("SOURCE_DATE_EPOCH")
        if text is None:
            return current
        if text.isdecimal() and text.isascii():
            value = int(text)
            if value <= current:
                return value
            why = (
                "value must be smaller than or equal to the current time "
                f"({current}) but was found to be: {value}"
            )
        elif text[:1].isdigit():
            why = f"Trailing garbage: {text.lstrip('0123456789')}"
        else:
            why = f"No digits were found: {text}"
        self.print_error(f"Environment variable $SOURCE_DATE_EPOCH: {why}\n")
        return current

    def today(self) -> int:
        """Days since the epoch."""
        return self.now() // DAY


def write_all(fd: int, text: str) -> None:
    """Write text to a descriptor that may be closed, full or a broken pipe: then it is lost, nothing else."""
    data = os.fsencode(text)
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        pass


def find_root_options(argv: list[bytes], prog: str, prefix_too: bool = True) -> tuple[bytes | None, bytes | None]:
    """(--root, --prefix) of a command line, found before all other options as shadow does.

    Raises BadArgument for an option given twice or without its argument.
    """
    found: dict[bytes, bytes] = {}
    options = ((b"--root", b"-R"),) + (((b"--prefix", b"-P"),) if prefix_too else ())
    for long, short in options:
        index = 0
        while index < len(argv):
            argument = argv[index]
            if argument in (long, short) or argument.startswith(long + b"="):
                if long in found:
                    raise BadArgument(f"multiple {long.decode()} options")
                if argument not in (long, short):
                    found[long] = argument[len(long) + 1 :]
                elif index + 1 == len(argv):
                    raise BadArgument(f"option '{argument.decode()}' requires an argument")
                else:
                    index += 1
                    found[long] = argv[index]
            index += 1
    return found.get(b"--root"), found.get(b"--prefix")


def status_of(error: AccountsError, statuses: Mapping[type[AccountsError], int]) -> int:
    """The exit status of the nearest class of error in a tool's table; 1 when it names none."""
    for kind in type(error).__mro__:
        if kind in statuses:
            return statuses[kind]
    return 1


def run(
    prog: str,
    body: Callable[[Session, list[bytes]], int],
    statuses: Mapping[type[AccountsError], int],
    usage: str = "",
) -> NoReturn:
    """Run a tool's body with its arguments; print its error; exit with the status of the tool's table."""
    for fd in (0, 1, 2):
        # A file of ours must never get the number of a standard stream that the caller closed.
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDWR)
    session = Session(prog)
    try:
        status = body(session, [os.fsencode(argument) for argument in sys.argv[1:]])
    except AccountsError as error:
        for line in error.details:
            session.warn(line)
        if error.message is not None:
            session.warn(error.message)
        if isinstance(error, Usage) and usage:
            session.print_error(usage)
        status = status_of(error, statuses)
    except OSError as error:
        path = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        session.warn(f"{path}{error.strerror}")
        status = 1
    finally:
        session.close()
    # Skips the interpreter's teardown, which takes longer than all of our own work.
    os._exit(status)
