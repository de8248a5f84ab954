# SPDX-License-Identifier: MIT
"""Runs a person's editor on a copy of an account file, with the terminal's job control, as vipw does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from accounts.errors import E_FAILURE, Fail
from accounts.model.database import Layered
from accounts.model.release import NEWEST, Release
from accounts.system import shield
from accounts.system.target import READ, Target, read_fd

DEFAULT = b"vi"
# What Python or a tool handles or ignores must be as usual again for the editor.
RESET = (
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGALRM, signal.SIGTERM,
)  # fmt: skip


def choose_editor() -> bytes:
    """$VISUAL, else $EDITOR, else vi: a command line for the shell."""
    return os.environb.get(b"VISUAL") or os.environb.get(b"EDITOR") or DEFAULT


def run_editor(editor: bytes, path: bytes) -> int:
    """Edit a file and wait. Returns the exit status of the editor, negative the signal that ended it.

    With a terminal on standard input the editor gets a process group of its own in the foreground; when it is
    suspended, so are we.
    """
    command = [b"sh", b"-c", editor + b' "$@"', b"sh", path]
    try:
        own = os.tcgetpgrp(0)
    except OSError:
        own = -1
    if own < 0:
        return os.waitstatus_to_exitcode(os.waitpid(_start(command, False), 0)[1])
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
    try:
        return _wait(_start(command, True), own)
    finally:
        try:
            os.tcsetpgrp(0, own)
        except OSError:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _start(command: list[bytes], foreground: bool) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        # SIGTTOU is blocked here, so that the group can put itself in the foreground.
        if foreground:
            os.setpgid(0, 0)
            os.tcsetpgrp(0, os.getpid())
        for number in RESET:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTTOU,))
        os.execv("/bin/sh", command)
    finally:
        # Nothing of the parent's may be unwound in the child: it holds the locks.
        os._exit(127)


def _wait(pid: int, own: int) -> int:
    while True:
        status = os.waitpid(pid, os.WUNTRACED)[1]
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        editors = os.tcgetpgrp(0)
        os.tcsetpgrp(0, own)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.tcsetpgrp(0, editors)
        os.killpg(pid, signal.SIGCONT)


class EditedCopy:
    """The copy of an account file, FILE.edit, that the editor gets.

    kept: whether it stays, with what the person has written. status: of the editor, when it has failed.
    """

    def __init__(
        self,
        target: Target,
        file: str,
        warn: Callable[[str], None],
        ask_again: Callable[[], bool],
        release: Release = NEWEST,
    ) -> None:
        """warn: gets lines; ask_again: whether to edit again what is not valid."""
        self._target = target
        self._file = file
        self._warn = warn
        self._ask_again = ask_again
        self._release = release
        self.name = f"{file}.edit"
        self.path = self._target.shown(self.name)
        self.kept = False
        self.status = 0
        self._written = False

    def edit(self, layered: Layered) -> bytes | None:
        """What the person makes of the local file; None when nothing has changed. Raises Fail."""
        path = self._target.shown(self._file)
        if layered.image.present:
            image = os.fsdecode(self._target.prefix + b"/" + self._target.image_dir() + b"/" + self._file.encode())
            self._warn(f"editing {path} only; the rows of the read-only image are in {image}")
        self._write(layered.local.data)
        while True:
            changed = self._run_editor()
            if changed == layered.local.data:
                return None
            bad = find_broken(layered, changed)
            if not bad:
                self.kept = True  # until it is installed
                return changed
            for number, line in bad:
                self._warn(f"{path}: line {number} is not valid: '{os.fsdecode(line)}'")
            self.kept = True
            if not self._ask_again():
                raise Fail(E_FAILURE, f"not installed (your changes are in {self.path})")
            self.kept = False

    def _write(self, data: bytes) -> None:
        # Readable by root only.
        shield.remove(self.name, self._target.etc)
        try:
            fd = shield.open_file(self.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._target.etc)
            self._written = True
            try:
                shield.write_all(fd, data)
            finally:
                os.close(fd)
        except OSError as error:
            raise Fail(E_FAILURE, f"Couldn't make backup: {error.strerror}") from None

    def _run_editor(self) -> bytes:
        editor = choose_editor()
        status = run_editor(editor, self._target.path_of(os.fsencode(self.name)))
        self.status = max(status, 1) if status else 0
        if status:
            signal, ended = (" killed by signal {}", " returned with status {}")
            if self._release >= (4, 20):
                signal, ended = (": WTERMSIG(): {}", ": WEXITSTATUS(): {}")
            raise Fail(E_FAILURE, os.fsdecode(editor) + (signal if status < 0 else ended).format(abs(status)))
        try:
            # The editor may have put another file in its place.
            return read_fd(shield.open_file(self.name, READ, self._target.etc))
        except OSError as error:
            raise Fail(E_FAILURE, f"{self.path}: {error.strerror}") from None

    def close(self) -> None:
        """Remove it, unless it is to stay."""
        if self.kept or not self._written:
            return
        try:
            os.unlink(self.name, dir_fd=self._target.etc)
        except OSError:
            self._warn(f"failed to remove {self.path}")


def find_broken(layered: Layered, changed: bytes) -> list[tuple[int, bytes]]:
    """(number, line) of each new line that is no row, NIS row, comment or blank."""
    known = set(layered.local.data.split(b"\n"))
    return [
        (number, line)
        for number, line in enumerate(changed.split(b"\n"), 1)
        if line.strip()
        and line not in known
        and line[:1] not in (b"#", b"+", b"-")
        and (b"\0" in line or layered.local.kind.parse_line(line) is None)
    ]
