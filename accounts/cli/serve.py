# SPDX-License-Identifier: MIT
"""`accounts serve`: the service of accounts-self.socket, at sockets of systemd or of others."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from accounts.cli.run import program
from accounts.cli.tool import HELP, Given, Option, Tool
from accounts.errors import E_BAD_ARG, E_NOPERM, Fail
from accounts.service.listeners import open_listener, passed_listeners
from accounts.system.notify import set_ident
from accounts.text import fsdecode

if TYPE_CHECKING:
    from accounts.service.peers import Peer
    from accounts.service.server import Serve
    from accounts.service.session import Dialogue, Outcome

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


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
    from accounts.service.server import Server

    set_ident("accounts")
    Server(listeners, prepare(), given.values.get("idle")).run()


def prepare() -> Serve:
    """The function that answers a connection in a child, with all loaded that it needs.

    Nothing of the environment counts for what runs as root.
    """
    from accounts.cli.served import run_tool
    from accounts.service import pwaccess, pwupd, tools
    from accounts.service.session import Session
    from accounts.service.varlink import Channel
    from accounts.system import hashers, libxcrypt, pamapp
    from accounts.system.coredump import forbid_core_dumps

    os.chdir("/")
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    forbid_core_dumps()
    libxcrypt.load()
    pamapp.load()
    hashers.context()
    methods = {**pwaccess.METHODS, **pwupd.METHODS, **tools.METHODS}

    def serve(connection: socket.socket, peer: Peer, buffer: bytes) -> bool:
        def run_for_peer(name: str, arguments: Sequence[bytes], dialogue: Dialogue) -> Outcome:
            return run_tool(name, arguments, dialogue, peer.uid)

        return Session(Channel(connection, buffer), peer, methods, run_for_peer).run()

    # Children share what is there; none of it has to be looked at for garbage.
    gc.collect()
    gc.freeze()
    return serve
