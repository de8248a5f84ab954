# SPDX-License-Identifier: MIT
"""Asks a person at the terminal: passwords without echo, fields with a default, yes or no.

Prompt and answer belong together, so this is the one module below cli/ that writes to the standard streams.
All reading is one byte at a time, unbuffered: nothing that follows an answer on a pipe is lost to the next
reader, and no buffer keeps a password.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from accounts.errors import E_FAILURE, Fail

FIELD_SIZE = 200  # of shadow's change_field(), newline and NUL included
ANSWER_SIZE = 80  # of yes_or_no()
TRIES = 3  # of pam_unix, for something better than nothing
TRIES_BELOW = 5  # of shadow's own passwd, which asks where PAM does not
PASSWORD_SIZE = 4096  # longest line of a terminal in canonical mode; far above what can be hashed


def read_password(prompt: str) -> bytearray | None:
    """A line from the controlling terminal with echo off, as getpass(3); None at its end.

    Without a controlling terminal it is read from standard input, the prompt goes to standard error. The
    caller wipes the answer. Unlike getpass, the interrupt key works and the end of input is not an empty
    password, as in shadow since 4.14. A signal finds the terminal restored before it takes its effect.
    """
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return converse(prompt)
    try:
        return _ask(fd, fd, prompt)
    finally:
        os.close(fd)


def has_terminal() -> bool:
    """Whether there is a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def converse(prompt: str) -> bytearray | None:
    """The same on standard input and standard error, as PAM's misc_conv(3) does, so passwd(1) on Debian."""
    return _ask(0, 2, prompt)


def ask_new_password(ask: Callable[[str], bytearray | None], complain: Callable[[str], None]) -> bytearray | None:
    """A password typed twice, never an empty one, in the words of pam_unix(8); None when it was not.

    ask: as converse().
    """
    for _ in range(TRIES):
        password, ended = _ask_twice(ask, "New password: ", "Retype new password: ")
        if password:
            return password
        if password is None:
            complain("Password change has been aborted.\n" if ended else "Sorry, passwords do not match.\n")
            return None
        complain("No password has been supplied.\n")
    return None


def read_new_password(ask: Callable[[str], bytearray | None], complain: Callable[[str], None]) -> bytearray | None:
    """The first line of standard input; None when there is no password in it."""
    password = ask("")
    if not password:
        complain("No password has been supplied.\n")
        return None
    return password


def ask_group_password(ask: Callable[[str], bytearray | None], say: Callable[[str], None]) -> bytearray:
    """A password typed twice, in the words of gpasswd(1). ask: as read_password(). Raises Fail."""
    for turn in range(TRIES):
        password, ended = _ask_twice(ask, "New Password: ", "Re-enter new password: ")
        if password is not None:
            return password
        if ended:
            raise Fail(E_FAILURE)
        if turn + 1 < TRIES:
            say("They don't match; try again\n")
    raise Fail(E_FAILURE, "Try again later")


def ask_password_below(ask: Callable[[str], bytearray | None], complain: Callable[[str], None]) -> bytearray | None:
    """A password typed twice, in the words of passwd(1) below a prefix; None when it was not, or nobody is there.

    ask: as read_password().
    """
    for _ in range(TRIES_BELOW):
        password, ended = (
            _ask_twice(ask, "New password: ", "Re-enter new password: ") if has_terminal() else (None, True)
        )
        if password is not None or ended:
            return password
        complain("They don't match; try again.\n")
    return None


def _ask_twice(ask: Callable[[str], bytearray | None], prompt: str, again: str) -> tuple[bytearray | None, bool]:
    """(what was typed both times, or None; whether there was no answer)."""
    from accounts.system.hashing import wipe

    first = ask(prompt)
    second = None if first is None else ask(again)
    if first is not None and first == second:
        wipe(second)
        return first, False
    wipe(first or bytearray())
    wipe(second or bytearray())
    return None, second is None


def change_field(label: str, current: bytes) -> bytes:
    """The answer to "label [current]: " on standard input; current for none.

    Blanks around the answer go, so that a single blank empties the field. An answer longer than 198 bytes,
    with a NUL or without newline is none (shadow 4.13, lib/fields.c).
    """
    _write(1, b"\t" + os.fsencode(label) + b" [" + current + b"]: ")
    return parse_field(read_line(FIELD_SIZE), current)


def parse_field(line: bytes, current: bytes) -> bytes:
    """What a line that was read for change_field() means."""
    if len(line) >= FIELD_SIZE or not line.endswith(b"\n") or line == b"\n" or b"\0" in line:
        return current
    return line.strip(b" \t\n\v\f\r")


def yes_or_no(read_only: bool) -> bool:
    """Whether the line on standard input starts with y or Y; read_only prints and answers "No"."""
    if read_only:
        _write(1, b"No\n")
        return False
    return read_line(ANSWER_SIZE)[:1] in (b"y", b"Y")


def read_line(size: int, fd: int = 0) -> bytes:
    """What fgets(3) reads into a buffer of size bytes: at most size - 1, up to and with the newline."""
    line = bytearray()
    while len(line) < size - 1 and not line.endswith(b"\n"):
        try:
            byte = os.read(fd, 1)
        except OSError:
            break
        if not byte:
            break
        line += byte
    return bytes(line)


def _ask(source: int, sink: int, prompt: str) -> bytearray | None:
    import signal

    while True:
        answer, signum = _ask_once(source, sink, os.fsencode(prompt))
        if not signum:
            return answer
        if signal.getsignal(signum) is signal.default_int_handler:
            # Python's own; the C tools die here without a word.
            signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
        # Still here: stopped and continued, or handled. Ask again.


def _ask_once(source: int, sink: int, prompt: bytes) -> tuple[bytearray | None, int]:
    """(answer, 0), or (None, number) of the signal that came first; the terminal is as before."""
    import signal
    import termios

    caught = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP)
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    # A handler alone cannot end a read(2) that begins just after it ran; a readable descriptor can.
    old_waker = signal.set_wakeup_fd(waker)
    old_handlers = {
        number: signal.signal(number, lambda number, frame: None)
        for number in caught
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        old_mode = None
        try:
            old_mode = termios.tcgetattr(source)
            quiet = [*old_mode[:3], old_mode[3] & ~termios.ECHO, *old_mode[4:]]
            termios.tcsetattr(source, termios.TCSAFLUSH, quiet)
        except termios.error:
            pass  # no terminal, so no echo
        _write(sink, prompt)
        try:
            return _read_secret(source, wake)
        finally:
            if old_mode is not None:
                try:
                    termios.tcsetattr(source, termios.TCSAFLUSH, old_mode)
                except termios.error:
                    pass  # it hung up meanwhile
                _write(sink, b"\n")  # the one that was not echoed
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(old_waker)
        os.close(wake)
        os.close(waker)


def _read_secret(source: int, wake: int) -> tuple[bytearray | None, int]:
    import select

    line = bytearray(PASSWORD_SIZE)
    view = memoryview(line)
    length = 0
    try:
        while True:
            ready = select.select([source, wake], [], [])[0]
            if wake in ready:
                return None, os.read(wake, 1)[0]
            try:
                ended = not os.readv(source, [view[length : length + 1]])
            except OSError:
                ended = True  # the terminal hung up
            if ended and not length:
                return None, 0
            if ended or line[length] == ord("\n"):
                return line[:length], 0
            length = min(length + 1, PASSWORD_SIZE - 1)
    finally:
        view[:] = bytes(PASSWORD_SIZE)


def _write(fd: int, text: bytes) -> None:
    try:
        while text:
            text = text[os.write(fd, text) :]
    except OSError:
        pass
