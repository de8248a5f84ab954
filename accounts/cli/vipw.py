# SPDX-License-Identifier: MIT
"""vipw(8) and vigr(8): edit an account file of the local layer; the image's is never touched.

The editor gets a copy, NAME.edit. It is installed only when every line that is new can be parsed, as one commit.
"""

from __future__ import annotations

import os

from accounts.cli.run import Run, program
from accounts.cli.tool import HIDDEN_PREFIX, ROOT, Given, Option, Tool
from accounts.cli.values import take_no
from accounts.edit.text import EditText
from accounts.errors import E_FAILURE, AccountsError, Done, Fail, FileError
from accounts.model.database import Layered
from accounts.system import shield
from accounts.system.editor import choose_editor, run_editor
from accounts.system.target import READ, read_fd

HEADER = """\
Usage: {} [options]

Options:
"""
OPTIONS = """\
  -g, --group                   edit group database
  -h, --help                    display this help message and exit
  -p, --passwd                  edit passwd database
  -q, --quiet                   quiet mode
  -R, --root CHROOT_DIR         directory to chroot into
  -s, --shadow                  edit shadow or gshadow database

"""


def show_usage(given: Given, _: bytes) -> None:
    """--help, whose first lines went to standard error until 4.19."""
    console = given.run.console
    (console.complain if given.run.release < (4, 19) else console.print)(HEADER.format(console.prog))
    console.print(OPTIONS)
    raise Done


def vipw_tool(name: str) -> Tool:
    """The table of vipw or vigr."""
    return Tool(
        name,
        (HEADER + OPTIONS).format(name),
        (
            Option("g", "group", "group"),
            Option("h", "help", "", show_usage, flag=True),
            Option("p", "passwd", "group", take_no, flag=True),
            Option("q", "quiet"),
            ROOT,
            HIDDEN_PREFIX,
            Option("s", "shadow"),
        ),
        {"E_USAGE": 2, "E_BAD_ARG": 3},
        file_exits={(file, "lock"): 5 for file in ("passwd", "shadow", "group", "gshadow")},
        operands=(0, 0),
    )


TOOL_VIPW = vipw_tool("vipw")
TOOL_VIGR = vipw_tool("vigr")
# File -> the other one of the pair, and the command that edits that.
PAIRS = {
    "passwd": ("shadow", "vipw -s"),
    "shadow": ("passwd", "vipw"),
    "group": ("gshadow", "vigr -s"),
    "gshadow": ("group", "vigr"),
}


def chosen_file(given: Given) -> str:
    """The account file to edit."""
    if given.values.get("group", given.run.tool is TOOL_VIGR):
        return "gshadow" if "s" in given.letters else "group"
    return "shadow" if "s" in given.letters else "passwd"


class Copy:
    """The copy of a file that the editor gets. kept: whether it stays, with what the person has written."""

    def __init__(self, run: Run, file: str) -> None:
        self._run = run
        self._target = run.facts.target
        self._file = file
        self.name = f"{file}.edit"
        self.path = self._target.shown(self.name)
        self.kept = False
        # Of the editor, when it has failed.
        self.status = 0
        self._written = False

    def edit(self, layered: Layered) -> bytes | None:
        """What the person makes of the local file; None when nothing has changed. Raises Fail."""
        path = self._target.shown(self._file)
        if layered.image.present:
            image = os.fsdecode(self._target.prefix + b"/" + self._target.image_dir() + b"/" + self._file.encode())
            self._run.console.warn(f"editing {path} only; the rows of the read-only image are in {image}")
        self._write(layered.local.data)
        while True:
            changed = self._run_editor()
            if changed == layered.local.data:
                return None
            bad = find_broken(layered, changed)
            if not bad:
                return changed
            for number, line in bad:
                self._run.console.warn(f"{path}: line {number} is not valid: '{os.fsdecode(line)}'")
            self.kept = True
            if not ask_again(self._run):
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
            if self._run.release >= (4, 20):
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
            self._run.console.warn(f"failed to remove {self.path}")


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


def ask_again(run: Run) -> bool:
    """Whether to edit again; no without a terminal."""
    from accounts.system.terminal import yes_or_no

    if not os.isatty(0):
        return False
    run.console.print("Edit again? ")
    return yes_or_no(False)


def edit_file(run: Run, copy: Copy, file: str) -> bool:
    """Let the person edit the file; False when nothing has changed. Raises AccountsError."""
    try:
        return run.do(EditText(database=file, change=copy.edit, copy=copy.path)).changed
    except FileError as error:
        if error.event != "lock":
            raise
        raise FileError(file, "lock", details=error.details, message="Couldn't lock file") from None
    finally:
        copy.close()


def body(given: Given) -> int:
    """Edit a file."""
    run, console, facts = given.run, given.run.console, given.run.facts
    file = chosen_file(given)
    path = facts.shown(file)
    copy = Copy(run, file)
    changed, status = False, 0
    try:
        changed = edit_file(run, copy, file)
    except AccountsError as error:
        status = run.show_error(error)
        status = copy.status or status
    if not changed:
        if "q" not in given.letters:
            console.print(f"{console.prog}: {path} is unchanged\n")
        return status
    other, command = PAIRS[file]
    if "s" in given.letters or facts.is_present(other):
        console.print(
            f"You have modified {path}.\n"
            f"You may need to modify {facts.shown(other)} for consistency.\n"
            f"Please use the command '{command}' to do so.\n"
        )
    return 0


main = program(TOOL_VIPW)(body)
main_group = program(TOOL_VIGR)(body)
