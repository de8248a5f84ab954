# SPDX-License-Identifier: MIT
"""vipw(8) and vigr(8): edit an account file of the local layer; the image's is never touched.

The editor gets a copy, NAME.edit. It is installed only when every line that is new can be parsed, as one commit.
"""

from __future__ import annotations

import os

from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run, status_of
from accounts.errors import (
    AccountsError,
    BadArgument,
    FileError,
    GroupLockError,
    PasswdLockError,
    Usage,
)
from accounts.system import shield
from accounts.system.editor import choose_editor, run_editor
from accounts.system.target import READ, read_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.model.database import Layered

STATUSES: dict[type[AccountsError], int] = {
    Usage: 2, BadArgument: 3, PasswdLockError: 5, GroupLockError: 5,
}  # fmt: skip
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
LONG = {
    "group": "g", "help": "h", "passwd": "p", "quiet": "q", "root=": "R", "prefix=": "P", "shadow": "s",
}  # fmt: skip
# File -> the other one of the pair, and the command that edits that.
PAIRS = {
    "passwd": ("shadow", "vipw -s"),
    "shadow": ("passwd", "vipw"),
    "group": ("gshadow", "vigr -s"),
    "gshadow": ("group", "vigr"),
}


class Request:
    """What the command line asks for."""

    group = False
    shadow = False
    quiet = False

    @property
    def file(self) -> str:
        """The account file to edit."""
        if self.group:
            return "gshadow" if self.shadow else "group"
        return "shadow" if self.shadow else "passwd"


class EditorFailed(AccountsError):
    """The editor ended with an exit status, or by a signal (status 1 then)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage, or Done after --help."""
    request = Request()
    request.group = session.tool == "vigr"
    operands: list[bytes] = []
    for option, _ in scan(argv, "ghpqR:P:s", LONG, operands):
        if option == "h":
            # As in 4.13: the first lines go to standard error.
            session.print_error(HEADER.format(session.prog))
            session.print(OPTIONS)
            raise Done
        if option in "gp":
            request.group = option == "g"
        elif option == "q":
            request.quiet = True
        elif option == "s":
            request.shadow = True
    if operands:
        raise Usage
    return request


def edit(session: Session, file: str) -> bool:
    """Let the person edit one file; False when nothing has changed. Raises AccountsError."""
    target, store = session.target, session.store
    path = target.shown(file)
    if not store.is_present(file):
        raise AccountsError(f"{path}: {os.strerror(2)}")
    try:
        database = store.open((file,))
    except FileError as error:
        if error.event != "lock":
            raise
        raise FileError(file, "lock", details=error.details, message="Couldn't lock file") from None
    layered: Layered = database.tables[file]
    if layered.image.present:
        image = os.fsdecode(target.prefix + b"/" + target.image_dir() + b"/" + file.encode())
        session.warn(f"editing {path} only; the rows of the read-only image are in {image}")
    copy = f"{file}.edit"
    keep = False
    write_copy(target.etc, copy, layered.local.data)
    try:
        while True:
            changed = run_and_read(session, copy)
            if changed == layered.local.data:
                return False
            bad = find_broken(layered, changed)
            if not bad:
                break
            keep = True
            for number, line in bad:
                session.warn(f"{path}: line {number} is not valid: '{os.fsdecode(line)}'")
            if not ask_again(session):
                raise AccountsError(f"not installed (your changes are in {target.shown(copy)})")
            keep = False
        layered.replace_text(changed)
        session.commit(database)
    finally:
        if not keep:
            try:
                os.unlink(copy, dir_fd=target.etc)
            except OSError:
                session.warn(f"failed to remove {target.shown(copy)}")
    session.log(f"file {target.shown(copy)} edited")
    return True


def write_copy(etc: int, name: str, data: bytes) -> None:
    """The copy for the editor, readable by root only. Raises AccountsError."""
    shield.remove(name, etc)
    try:
        fd = shield.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, etc)
        try:
            shield.write_all(fd, data)
        finally:
            os.close(fd)
    except OSError as error:
        raise AccountsError(f"Couldn't make backup: {error.strerror}") from None


def run_and_read(session: Session, copy: str) -> bytes:
    """Run the editor; what the copy holds then. Raises EditorFailed and AccountsError."""
    editor = choose_editor()
    name = os.fsdecode(editor)
    status = run_editor(editor, session.target.path_of(os.fsencode(copy)))
    if status < 0:
        raise EditorFailed(f"{name} killed by signal {-status}", 1)
    if status > 0:
        raise EditorFailed(f"{name} returned with status {status}", status)
    try:
        # The editor may have put another file in its place.
        return read_fd(shield.open_file(copy, READ, session.target.etc))
    except OSError as error:
        raise AccountsError(f"{session.target.shown(copy)}: {error.strerror}") from None


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


def ask_again(session: Session) -> bool:
    """Whether to edit again; no without a terminal."""
    from accounts.system.terminal import yes_or_no

    if not os.isatty(0):
        return False
    session.print("Edit again? ")
    return yes_or_no(False)


def body(session: Session, argv: list[bytes]) -> int:
    """Run vipw or vigr; the exit status."""
    session.select_root(argv)
    request = parse_arguments(session, argv)
    file = request.file
    path = session.target.shown(file)
    changed, status = False, 0
    try:
        changed = edit(session, file)
    except AccountsError as error:
        for line in (*error.details, error.message):
            if line is not None:
                session.warn(line)
        status = error.status if isinstance(error, EditorFailed) else status_of(error, STATUSES)
    if not changed:
        if not request.quiet:
            session.print(f"{session.prog}: {path} is unchanged\n")
        return status
    other, command = PAIRS[file]
    if request.shadow or session.store.is_present(other):
        session.print(
            f"You have modified {path}.\n"
            f"You may need to modify {session.target.shown(other)} for consistency.\n"
            f"Please use the command '{command}' to do so.\n"
        )
    return 0


def main() -> NoReturn:
    """Entry point of the shim of vipw."""
    run("vipw", body, STATUSES, (HEADER + OPTIONS).format("vipw"))


def main_group() -> NoReturn:
    """Entry point of the shim of vigr."""
    run("vigr", body, STATUSES, (HEADER + OPTIONS).format("vigr"))
