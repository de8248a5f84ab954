# SPDX-License-Identifier: MIT
"""Questions at the terminal, through a pseudo-terminal as a person sees them, and through pipes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SETUP = f"""
import fcntl, os, signal, sys, termios
sys.path.insert(0, {ROOT!r})
from accounts.system import terminal
def show(answer):
    os.write(1, b"got " + repr(None if answer is None else bytes(answer)).encode() + b"\\n")
"""
CONTROLLING = "fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)\n"
PYTHON = ["/usr/bin/python3", "-IS", "-W", "error", "-c"]


class Person:
    """A child on a pseudo-terminal that is its controlling terminal, and who sits before it."""

    def __init__(self, code: str, stdin: int | None = None) -> None:
        self.master, slave = os.openpty()
        self.name = os.ttyname(slave)
        self.seen = b""
        self.child = subprocess.Popen(
            [*PYTHON, SETUP + CONTROLLING + code, str(slave)],
            stdin=slave if stdin is None else stdin,
            stdout=slave,
            stderr=slave,
            pass_fds=[slave],
            start_new_session=True,
        )
        os.close(slave)

    def flag(self, flag: int) -> bool:
        """A local mode of the terminal, ECHO or ISIG."""
        return bool(termios.tcgetattr(self.master)[3] & flag)

    def wait_for(self, text: bytes, condition: Callable[[], bool] = lambda: True) -> None:
        """Until text has been shown (what has been waited for before does not count) and condition holds."""
        end = time.monotonic() + 20
        while text not in self.seen or not condition():
            assert time.monotonic() < end, f"{text!r} did not come: {self.seen!r}"
            self._read()
        self.seen = self.seen.split(text, 1)[1]

    def wait_for_prompt(self, text: bytes) -> None:
        self.wait_for(text, lambda: not self.flag(termios.ECHO))

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def finish(self) -> tuple[bytes, int]:
        """What was shown since, and the exit status (negative: the signal)."""
        while self.child.poll() is None or select.select([self.master], [], [], 0)[0]:
            if not self._read():
                break
        return self.seen, self.child.wait(20)

    def _read(self) -> bool:
        if select.select([self.master], [], [], 0.02)[0]:
            try:
                self.seen += os.read(self.master, 1000)
            except OSError:
                return False  # the last user of the other side has gone
        return True


@pytest.fixture
def person() -> Iterator[Callable[..., Person]]:
    made: list[Person] = []

    def make(code: str, stdin: int | None = None) -> Person:
        made.append(Person(code, stdin))
        return made[-1]

    yield make
    for one in made:
        one.child.kill()
        one.child.wait()
        os.close(one.master)


def run(code: str, stdin: bytes) -> tuple[bytes, bytes]:
    """(stdout, stderr) of code without any terminal."""
    done = subprocess.run([*PYTHON, SETUP + code], input=stdin, capture_output=True, start_new_session=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("function", ["read_password", "converse"])
class TestPassword:
    def test_is_read_without_echo(self, person: Callable[..., Person], function: str) -> None:
        me = person(f"show(terminal.{function}('New password: '))\nterminal.read_line(2)")
        me.wait_for_prompt(b"New password: ")
        me.type(b"geh\xffeim \n")
        me.wait_for(b"\r\ngot b'geh\\xffeim '\r\n", lambda: me.flag(termios.ECHO))
        me.type(b"\n")
        assert me.finish() == (b"\r\n", 0)

    def test_two_in_a_row(self, person: Callable[..., Person], function: str) -> None:
        me = person(f"for prompt in 'New: ', 'Again: ': show(terminal.{function}(prompt))")
        for prompt, word in (b"New: ", b"one"), (b"Again: ", b""):
            me.wait_for_prompt(prompt)
            me.type(word + b"\n")
        assert me.finish() == (b"\r\ngot b''\r\n", 0)

    def test_what_was_typed_ahead_is_not_the_password(self, person: Callable[..., Person], function: str) -> None:
        me = person(f"terminal.read_line(10)\nshow(terminal.{function}('New: '))")
        me.type(b"go\nahead\n")
        me.wait_for_prompt(b"New: ")
        me.type(b"secret\n")
        me.wait_for(b"got b'secret'")

    def test_end_of_input_is_no_password(self, person: Callable[..., Person], function: str) -> None:
        me = person(f"show(terminal.{function}('New: '))")
        me.wait_for_prompt(b"New: ")
        me.type(b"\x04")
        assert me.finish() == (b"\r\ngot None\r\n", 0)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
    def test_signal_kills_with_the_terminal_restored(
        self, person: Callable[..., Person], function: str, number: signal.Signals
    ) -> None:
        me = person(f"show(terminal.{function}('New: '))")
        # The last close would reset the terminal, and the test would see that instead.
        keep = os.open(me.name, os.O_RDWR | os.O_NOCTTY)
        me.wait_for_prompt(b"New: ")
        me.type(b"half")
        me.child.send_signal(number)
        assert me.child.wait(20) == -number
        assert me.flag(termios.ECHO) and me.flag(termios.ISIG)
        os.close(keep)

    def test_interrupt_key_works(self, person: Callable[..., Person], function: str) -> None:
        me = person(f"show(terminal.{function}('New: '))")
        me.wait_for_prompt(b"New: ")
        me.type(b"half\x03")
        assert me.finish()[1] == -signal.SIGINT
        assert b"Traceback" not in me.seen

    def test_handler_of_the_caller_runs(self, person: Callable[..., Person], function: str) -> None:
        me = person(
            "signal.signal(signal.SIGTERM, lambda number, frame: (os.write(1, b'handled\\n'), os._exit(7)))\n"
            f"show(terminal.{function}('New: '))"
        )
        me.wait_for_prompt(b"New: ")
        me.child.send_signal(signal.SIGTERM)
        assert me.finish() == (b"\r\nhandled\r\n", 7)

    def test_ignored_signal_stays_ignored(self, person: Callable[..., Person], function: str) -> None:
        me = person(
            f"signal.signal(signal.SIGHUP, signal.SIG_IGN)\nshow(terminal.{function}('New: '))\n"
            "os.write(1, repr(signal.getsignal(signal.SIGHUP)).encode())"
        )
        me.wait_for_prompt(b"New: ")
        me.type(b"one")
        me.child.send_signal(signal.SIGHUP)
        me.type(b"two\n")
        me.wait_for(b"got b'onetwo'")
        me.wait_for(b"SIG_IGN")

    def test_stop_and_continue_asks_again(self, person: Callable[..., Person], function: str) -> None:
        me = person(
            "signal.signal(signal.SIGTSTP, lambda number, frame: os.write(1, b'stopped'))\n"
            f"show(terminal.{function}('New: '))"
        )
        me.wait_for_prompt(b"New: ")
        me.type(b"half\x1a")
        me.wait_for(b"stopped")
        me.wait_for_prompt(b"New: ")
        me.type(b"whole\n")
        me.wait_for(b"got b'whole'")

    def test_leaves_no_descriptor_and_no_handler(self, person: Callable[..., Person], function: str) -> None:
        me = person(
            "before = sorted(os.listdir('/proc/self/fd'))\n"
            f"show(terminal.{function}('New: '))\n"
            "assert sorted(os.listdir('/proc/self/fd')) == before\n"
            "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
            "assert signal.set_wakeup_fd(-1) == -1"
        )
        me.wait_for_prompt(b"New: ")
        me.type(b"x\n")
        assert me.finish() == (b"\r\ngot b'x'\r\n", 0)

    def test_without_a_terminal(self, function: str) -> None:
        code = f"for prompt in 'New: ', 'Again: ', 'End: ': show(terminal.{function}(prompt))"
        assert run(code, b"one\ntwo") == (b"got b'one'\ngot b'two'\ngot None\n", b"New: Again: End: ")
        code = f"show(terminal.{function}('New: '))\nos.write(1, os.read(0, 9))"
        assert run(code, b"one\nrest\n") == (b"got b'one'\nrest\n", b"New: ")

    def test_overlong_line_is_read_to_its_end(self, function: str) -> None:
        code = f"for i in range(2): os.write(1, b'%d ' % len(terminal.{function}('')))"
        assert run(code, b"a" * 10000 + b"\nnext\n") == (b"4095 4 ", b"")


def test_password_comes_from_the_terminal_whatever_stdin_is(person: Callable[..., Person]) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"piped\n")
    me = person("show(terminal.read_password('New: '))\nshow(terminal.converse('Again: '))", reader)
    me.wait_for_prompt(b"New: ")
    me.type(b"typed\n")
    me.wait_for(b"got b'typed'\r\nAgain: ")
    me.wait_for(b"got b'piped'")
    os.close(reader)
    os.close(writer)


def test_buffer_is_wiped_and_the_answer_is_the_callers() -> None:
    code = (
        "made = []\n"
        "terminal.bytearray = lambda size: made.append(bytearray(size)) or made[-1]\n"
        "show(terminal.converse(''))\n"
        "assert len(made) == 1 and not any(made[0])"
    )
    assert run(code, b"secret\n") == (b"got b'secret'\n", b"")


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        (b"new\n", b"new"),
        (b"  New \t Name \v\n", b"New \t Name"),
        (b"\n", b"old"),
        (b" \n", b""),
        (b"", b"old"),
        (b"new", b"old"),
        (b"a\0b\n", b"old"),
        (b"g\xfc\xff\n", b"g\xfc\xff"),
        (b"a" * 198 + b"\n", b"a" * 198),
        (b"a" * 199 + b"\n", b"old"),
    ],
)
def test_change_field(typed: bytes, value: bytes) -> None:
    out, err = run("show(terminal.change_field('Full Name', b'old'))", typed)
    assert (out, err) == (b"\tFull Name [old]: got " + repr(value).encode() + b"\n", b"")


def test_fields_in_a_row_read_one_line_each() -> None:
    code = "for label in 'Room', 'Phone', 'Other': show(terminal.change_field(label, b''))"
    out, _ = run(code, b"1\n" + b"b" * 250 + b"\n")
    # As with fgets: the rest of an overlong line answers the next question.
    assert out == b"\tRoom []: got b'1'\n\tPhone []: got b''\n\tOther []: got b'" + b"b" * 51 + b"'\n"


@pytest.mark.parametrize(
    ("typed", "answer"), [(b"y\n", b"y"), (b"Yes\n", b"y"), (b"n\n", b"n"), (b"\n", b"n"), (b"", b"n")]
)
def test_yes_or_no(typed: bytes, answer: bytes) -> None:
    assert run("os.write(1, b'y' if terminal.yes_or_no(False) else b'n')", typed) == (answer, b"")


def test_yes_or_no_when_read_only() -> None:
    code = "os.write(1, b'y' if terminal.yes_or_no(True) else b'n')\nos.write(1, os.read(0, 9))"
    assert run(code, b"y\n") == (b"No\nny\n", b"")


def test_unusable_streams_are_no_answer() -> None:
    code = (
        "os.dup2(os.open('/dev/null', os.O_WRONLY), 0); os.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
        "got = terminal.converse(''), terminal.change_field('a', b'b'), terminal.yes_or_no(False)\n"
        "os.write(2, repr(got).encode())"
    )
    assert run(code, b"")[1] == b"(None, b'b', False)"


def test_hang_up_is_the_end_of_input(person: Callable[..., Person], tmp_path: Path) -> None:
    log = tmp_path / "log"
    me = person(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        f"os.dup2(os.open({str(log)!r}, os.O_RDWR | os.O_CREAT), 1)\n"
        "show(terminal.read_password('New: '))"
    )
    me.wait_for_prompt(b"New: ")
    os.dup2(os.open("/dev/null", os.O_RDONLY), me.master)
    assert me.child.wait(20) == 0
    assert log.read_bytes() == b"got None\n"


def test_import_is_cheap() -> None:
    code = (
        f"import sys; sys.path.insert(0, {ROOT!r}); import accounts.system.terminal\n"
        "print(*(m for m in ('signal', 'termios', 'select', 'enum') if m in sys.modules))"
    )
    assert subprocess.run([*PYTHON, code], capture_output=True).stdout == b"\n"
