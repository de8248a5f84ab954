# SPDX-License-Identifier: MIT
"""`accounts serve`: the service of accounts-self.socket, at sockets of systemd or of others."""

from __future__ import annotations

import os

from accounts.cli.run import program
from accounts.cli.tool import HELP, Given, Option, Tool
from accounts.errors import E_BAD_ARG, E_NOPERM, Fail
from accounts.service.listeners import open_listener, passed_listeners
from accounts.system.notify import set_ident
from accounts.text import fsdecode


def take_seconds(_: Given, value: bytes) -> float:
    """A positive number of seconds."""
    if not value.isdigit() or not 0 < int(value) < 1 << 31:
        raise Fail(E_BAD_ARG, f"invalid number of seconds '{fsdecode(value)}'")
    return float(value)


def take_listener(given: Given, value: bytes) -> list[bytes]:
    """One more of them."""
    return [*given.values.get("listen", ()), value]


TOOL = Tool(
    "accounts serve",
    (HELP, Option("", "idle", "idle", take_seconds), Option("", "listen", "listen", take_listener)),
    {"E_USAGE": 2, "E_BAD_ARG": 3},
    operands=(0, 0),
)


@program(TOOL)
def main(given: Given) -> None:
    """Serve."""
    if os.geteuid():
        raise Fail(E_NOPERM, "this needs root")
    named = given.values.get("listen")
    listeners = [open_listener(value) for value in named] if named else passed_listeners()
    if not listeners:
        raise Fail(E_BAD_ARG, "no socket to listen at: give --listen, or start accounts-self.socket")
    from accounts.cli.served import run_tool
    from accounts.service.process import prepare
    from accounts.service.server import Server

    set_ident("accounts")
    Server(listeners, prepare(run_tool), given.values.get("idle")).run()
