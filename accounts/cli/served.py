# SPDX-License-Identifier: MIT
"""The tools for a caller elsewhere: a console at the other end of a connection, and PAM in place of root's rights.

While a tool runs, the real UID is the caller's and the effective one root's, as of a set-uid program: PAM modules, the
rules of the tools and access(2) of a shell look at the real one. What changes account files is done as root alone, so
that the caller has no process that could be stopped while it holds a lock.
"""

from __future__ import annotations

import os
import syslog
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from accounts.cli import chage, chfn, chsh, expiry, gpasswd, passwd
from accounts.cli.console import Console
from accounts.cli.run import Run, execute
from accounts.cli.tool import Tool, find_value
from accounts.errors import BadArgument
from accounts.service import authentication
from accounts.service.session import Dialogue, ToolOutcome
from accounts.system import pamapp
from accounts.system.caller import find_caller
from accounts.system.notify import set_ident
from accounts.system.terminal import parse_field
from accounts.text import fsdecode

if TYPE_CHECKING:
    from typing import Any

    from accounts.edit.request import Report, Request
    from accounts.model.records import Passwd

MODULES = {module.TOOL.name: module for module in (chage, chfn, chsh, expiry, gpasswd, passwd)}
# Why a root of the caller's choice is none.
NO_ROOT = "unable to chroot to directory {}: Operation not permitted"


class ServedConsole(Console):
    """Prints and asks through a dialogue. uid: the caller's."""

    def __init__(self, tool: Tool, prog: str, dialogue: Dialogue, uid: int) -> None:
        super().__init__(tool, prog)
        self.dialogue = dialogue
        self.uid = uid

    def print(self, text: str) -> None:
        self.dialogue.write(1, text)

    def complain(self, text: str) -> None:
        self.dialogue.write(2, text)

    def is_terminal(self) -> bool:
        return bool(getattr(self.dialogue, "is_terminal", False))

    def converse(self, prompt: str) -> bytearray | None:
        return _secret(self.dialogue.ask("secret", prompt))

    def read_password(self, prompt: str) -> bytearray | None:
        return _secret(self.dialogue.ask("terminal", prompt))

    def change_field(self, label: str, current: bytes) -> bytes:
        line = self.dialogue.ask("field", f"\t{label} [{fsdecode(current)}]: ")
        return parse_field(line or b"", current)


def _secret(answer: bytes | None) -> bytearray | None:
    return None if answer is None else bytearray(answer)


class ServedRun(Run):
    """A run for a caller who is not root."""

    def do(self, request: Request, ask: Any = None) -> Report:
        with real_root():
            return super().do(request, ask)

    def select_root(self, argv: list[bytes]) -> None:
        """The running system's, whatever the command line asks for: a root of the caller's choice would be trusted."""
        super().select_root([])
        for row in self.tool.options:
            if row.long == "root":
                value = find_value(argv, row)
                if value is not None and row.letter == "R":
                    raise BadArgument(NO_ROOT.format(fsdecode(value)))
            elif row.long == "prefix" and row.since <= self.release < row.until and find_value(argv, row) is not None:
                raise BadArgument("prefix: Operation not permitted")


@contextmanager
def real_root() -> Iterator[None]:
    """Root is the real user, too, for a while."""
    uid = os.getuid()
    os.setresuid(0, 0, 0)
    try:
        yield
    finally:
        os.setresuid(uid, 0, 0)


def run_tool(name: str, arguments: Sequence[bytes], dialogue: Dialogue, uid: int) -> ToolOutcome:
    """Run a tool for a caller; how it ended. To be called once in a process."""
    module = MODULES[name]
    tool: Tool = module.TOOL
    set_ident(name)
    # PAM modules log by what is open.
    syslog.openlog(name, syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    console = ServedConsole(tool, name, dialogue, uid)
    if not uid:
        run = Run(tool, name, console=console)
    else:
        run = ServedRun(tool, name, console=console)
        os.setresuid(uid, 0, 0)
    return ToolOutcome(execute(run, module.main.__wrapped__, list(arguments)), run.error)


def run_again(console: Console, name: str, arguments: list[bytes]) -> int:
    """The exit status of another tool for the same caller."""
    assert isinstance(console, ServedConsole)
    return run_tool(name, arguments, console.dialogue, console.uid).status


def authenticate(run: Run) -> None:
    """Have the caller prove who it is, by the PAM stack of the tool's name. Raises Fail."""
    caller = find_caller(run.facts.view(("passwd",))).name
    authentication.authenticate(run.tool.name, caller, *_other_end(run))


def change_token(run: Run, user: Passwd, *, quiet: bool, expired: bool) -> None:
    """A new password by the PAM stack of passwd, as passwd(1) does. Raises Fail."""
    flags = pamapp.SILENT * quiet | pamapp.CHANGE_EXPIRED_AUTHTOK * expired
    with authentication.local_rows(run.tool.name, user, run.facts, run.do):
        authentication.change_token(run.tool.name, user.name, *_other_end(run), flags)
    run.console.warn("password updated successfully")


def _other_end(run: Run) -> tuple[Dialogue, int]:
    assert isinstance(run.console, ServedConsole)
    return run.console.dialogue, run.console.uid
