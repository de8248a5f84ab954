# SPDX-License-Identifier: MIT
"""The process that the answers are forked from: what it holds, and what of its surroundings it has laid aside."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from accounts.service import pwaccess, pwupd, tools
from accounts.service.session import Dialogue, Session, ToolOutcome
from accounts.service.varlink import Channel
from accounts.system import libxcrypt, pamapp
from accounts.system.coredump import forbid_core_dumps

if TYPE_CHECKING:
    from accounts.service.peers import Peer
    from accounts.service.server import Serve

    # Tool, arguments, dialogue, UID of the caller -> how it ended.
    RunFor = Callable[[str, Sequence[bytes], Dialogue, int], ToolOutcome]

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def prepare(run_tool: RunFor) -> Serve:
    """The function that answers a connection in a child, with all loaded that it needs.

    Nothing of the environment counts for what runs as root.
    """
    from accounts.system import hashers

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
        def run_for_peer(name: str, arguments: Sequence[bytes], dialogue: Dialogue) -> ToolOutcome:
            return run_tool(name, arguments, dialogue, peer.uid)

        return Session(Channel(connection, buffer), peer, methods, run_for_peer).run()

    # Children share what is there; none of it has to be looked at for garbage.
    gc.collect()
    gc.freeze()
    return serve
