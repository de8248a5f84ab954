# SPDX-License-Identifier: MIT
"""newgrp(1) and sg(1): run a shell or a command with another group.

The distribution's set-uid newgrp asks NSS and so knows both layers: where it is diverted it is what runs, for
root too. Without it root gets the group all the same, and others are told that it takes a set-uid program.
"""

from __future__ import annotations

import os

from accounts.cli.run import program
from accounts.cli.tool import Given, Tool
from accounts.errors import E_NOPERM, Fail, Usage
from accounts.system.newgroup import NewGroup, check_group, execute, find_gid
from accounts.system.setuid import DIVERTED, exec_diverted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# What "-" and "-c" mean depends on where they stand.
TOOL_NEWGRP = Tool("newgrp", (), {}, raw=True)
TOOL_SG = Tool("sg", (), {}, raw=True)


def parse_arguments(prog: str, argv: list[bytes]) -> NewGroup:
    """argv -> NewGroup. Raises Usage."""
    request = NewGroup()
    words = [os.fsdecode(word) for word in argv]
    if words and words[0] in ("-", "-l"):
        request.login = True
        del words[0]
    if words and not words[0].startswith("-"):
        request.group = words.pop(0)
    elif words or prog == "sg":
        raise Usage
    if prog == "sg" and words:
        # Both "sg group -c command" and "sg group command".
        request.command = words[1] if len(words) > 1 and words[0] == "-c" else words[0]
    return request


def body(given: Given) -> NoReturn:
    """Run newgrp or sg; returns only by an error."""
    exec_diverted(given.run.console.prog, "newgrp", given.operands)
    request = parse_arguments(given.run.tool.name, given.operands)
    check_group(request, given.run.release)
    gid = find_gid(request)
    if os.geteuid():
        path = DIVERTED.format("newgrp")
        raise Fail(E_NOPERM, f"Permission denied: this needs a set-uid program, there is no {path}")
    execute(request, gid)


main = program(TOOL_NEWGRP)(body)
main_sg = program(TOOL_SG)(body)
