# SPDX-License-Identifier: MIT
"""Runs a tool: descriptors, signals, the command line, its body; its error becomes an exit status. Hot path."""

from __future__ import annotations

import posix
import sys

from accounts.change import Change
from accounts.cli.console import Console, missing_module, word_failure
from accounts.cli.tool import find_value, parse
from accounts.errors import E_NOPERM, AccountsError, BadArgument, Done, Fail, FileError, Usage
from accounts.model.release import DEFAULT
from accounts.system.target import Target, find_release
from accounts.text import fsdecode, fsencode, suggest

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import Any, NoReturn

    from accounts.cli.tool import Given, Tool
    from accounts.edit.request import Report, Request

    Body = Callable[[Given], int | None]
    Main = Callable[..., NoReturn]
    from accounts.system.known import Facts
else:
    import _signal


class Run:
    """One run of a tool: its table, its console, and the root that it works on. release: of shadow-utils."""

    __slots__ = ("_change", "console", "error", "release", "target", "tool")

    def __init__(self, tool: Tool, prog: str, change: Change | None = None, console: Console | None = None) -> None:
        self.tool = tool
        self.console = console or Console(tool, prog)
        # What it ended with.
        self.error: AccountsError | None = None
        self.release = DEFAULT if change is None else change.facts.release
        self.target: Target | None = None
        self._change = change

    @property
    def change(self) -> Change:
        """The way through the account files of the target."""
        if self._change is None:
            self._change = Change(target=self.target or Target(), listener=self.console, release=self.release)
        return self._change

    @property
    def facts(self) -> Facts:
        """What is known about the target."""
        return self.change.facts

    def do(self, request: Request, ask: Any = None) -> Report:
        """Take a request all the way. ask: as Change.do() has it. Raises AccountsError."""
        return self.change.do(request, ask)

    def select_root(self, argv: list[bytes]) -> None:
        """--root and --prefix, found before all other options as shadow does, and the release.

        Raises BadArgument and ConfigError.
        """
        rows = {row.long: row for row in self.tool.options if row.long in ("root", "prefix")}
        root = find_value(argv, rows["root"]) if "root" in rows else None
        prefix = find_value(argv, rows["prefix"]) if "prefix" in rows else None
        if root is not None or prefix is not None:
            from accounts.system.setuid import drop_privileges

            drop_privileges()
        if root is not None:
            if root[:1] not in (b"", b"/") and " " in self.tool.name:
                # `accounts` commands take any path; shadow's tools do not.
                root = posix.getcwdb() + b"/" + root
            if not root.startswith(b"/"):
                raise BadArgument(f"invalid chroot path '{fsdecode(root)}', only absolute paths are supported.")
            self._open(root, b"", f"cannot access chroot directory {fsdecode(root)}")
        if prefix is not None and prefix.strip(b"/"):
            if not prefix.startswith(b"/"):
                raise BadArgument("prefix must be an absolute path")
            self._open(root or b"/", prefix, f"cannot access prefix directory {fsdecode(prefix)}")
        if self.target is None:
            self.target = Target()
        self.release = find_release(self.target)
        if self.release >= (4, 15):
            # Before, messages name the tool as it was called.
            self.console.prog = self.tool.name

    def _open(self, root: bytes, prefix: bytes, failure: str) -> None:
        try:
            self.target = Target(root, prefix)
        except OSError as error:
            raise BadArgument(f"{failure}: {error.strerror}") from None

    def show_error(self, error: AccountsError) -> int:
        """Say what went wrong; the exit status."""
        if " " in self.tool.name:
            self._show_plainly(error)
            return self.tool.status(error)
        shown = _shown if self._change is None else self._change.facts.shown
        self.console.show_error(error, shown)
        if isinstance(error, Usage):
            self._show_usage()
        if self._change is not None:
            for line in self._change.report.notes:
                self.console.warn(line)
        return self.tool.status(error)

    def _show_plainly(self, error: AccountsError) -> None:
        """Of an `accounts` command, as its kin have it: one line, and no usage text."""
        if not isinstance(error, Usage):
            locked = False
            if isinstance(error, FileError):
                error.tells_reason, locked = True, error.event == "lock"
            self.console.warn(word_failure(error.lines(), locked))
            return
        name, message = self.tool.name, error.message or "wrong number of arguments"
        if error.unknown:
            options = [f"--{row.long}" for row in self.tool.rows(self.release) if row.long]
            message = f"there is no option '{error.unknown}'{suggest(error.unknown, options)}"
        self.console.warn(f"{message}; see {name} --help")

    def _show_usage(self) -> None:
        try:
            self.console.complain(self.usage())
        except OSError as error:
            self.console.show_os_error(error)

    def usage(self) -> str:
        """The usage text of the release, with the name that the tool was called by. Raises OSError."""
        usage = self.tool.usage_for(self.release)
        if " " in self.tool.name:
            from accounts.cli.told import format_help

            return format_help(self.tool.name, usage)
        head, blank, options = usage.partition("\n\n")
        return head.replace(f" {self.tool.name} ", f" {self.console.prog} ") + blank + options

    def close(self) -> None:
        """Release the locks."""
        if self._change is not None:
            self._change.release()


def _shown(database: str) -> str:
    return f"/etc/{database}"


def program(tool: Tool, prepare: Callable[[Run], None] | None = None, secret: bool = False) -> Callable[[Body], Main]:
    """Decorator that makes the tool's program of what it does with its command line: main(), which its shim calls.

    What is decorated answers the exit status, None for 0. prepare: called before the options are looked at. secret:
    passwords go through its memory, so that no core is dumped of it.
    """

    def decorate(body: Body) -> Main:
        def main(arguments: list[str] | None = None) -> NoReturn:
            if secret:
                from accounts.system.coredump import forbid_core_dumps

                forbid_core_dumps()
            run(tool, body, prepare, arguments)

        # For who runs it in a process that goes on.
        main.__wrapped__ = body  # type: ignore[attr-defined]
        return main

    return decorate


def run(
    tool: Tool, body: Body, prepare: Callable[[Run], None] | None = None, arguments: list[str] | None = None
) -> NoReturn:
    """Run a tool's body with what the command line gives; exit with the status that it answers.

    arguments: where they are not those of the process.
    """
    # ^C ends a tool silently, as it ends the real ones; while locks are held system.shield takes care of it.
    if _signal.getsignal(_signal.SIGINT) == _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    called = sys.argv[0].rpartition("/")[2]
    # "-c" and the like are the interpreter's.
    run = Run(tool, called if arguments is None and called[:1] != "-" else tool.name)
    argv = [fsencode(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    # Skips the interpreter's teardown, which takes longer than all of our own work.
    posix._exit(execute(run, body, argv, prepare, tool.setuid))


def execute(
    run: Run,
    body: Body,
    argv: list[bytes],
    prepare: Callable[[Run], None] | None = None,
    setuid: bool = False,
) -> int:
    """The exit status of a run, whose errors have been said. setuid: callers who are not root are handed over."""
    tool = run.tool
    try:
        if setuid:
            from accounts.system.setuid import is_root

            if not is_root():
                return hand_over(run.console, tool.name, argv)
        run.select_root(argv)
        if run.release >= tool.until:
            raise AccountsError(tool.instead)
        if prepare is not None:
            prepare(run)
        return body(parse(run, argv)) or 0
    except Done:
        return 0
    except AccountsError as error:
        run.error = error
        return run.show_error(error)
    except ModuleNotFoundError as error:
        run.console.warn(missing_module(error))
        return tool.other
    except OSError as error:
        run.console.show_os_error(error)
        return tool.other
    finally:
        run.close()


def hand_over(console: Console, tool: str, argv: list[bytes]) -> int:
    """Exec the distribution's set-uid program of the tool, with the caller's arguments and environment.

    Where that could not do it, for want of rights or of a row in /etc, the service does: then its exit status. To be
    called before anything else is read. Raises Fail when there is neither.
    """
    from accounts.system.setuid import DIVERTED, exec_diverted, gains_rights, is_local

    path = DIVERTED.format(tool)
    suits = gains_rights(path) and is_local(tool)
    if suits:
        exec_diverted(console.prog, tool, argv)
    from accounts.service.client import run_by_service

    status = run_by_service(console, tool, argv)
    if status is not None:
        return status
    if not suits:
        exec_diverted(console.prog, tool, argv)
    raise Fail(E_NOPERM, f"Permission denied: this needs root, accounts-self.socket, or a set-uid {path}")
