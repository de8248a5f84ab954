# SPDX-License-Identifier: MIT
"""newgrp(1) and sg(1): run a shell or a command with another group.

The distribution's set-uid newgrp asks NSS and so knows both layers: where it is diverted it is what runs, for
root too. Without it root gets the group all the same, and others are told that it takes a set-uid program.
"""

from __future__ import annotations

import os

from accounts.cli.run import program
from accounts.cli.tool import Given, Tool
from accounts.errors import E_CMD_NOEXEC, E_CMD_NOTFOUND, E_NOPERM, Fail, Usage
from accounts.system.newgroup import NewGroup, execute, failure, find_gid, success
from accounts.system.setuid import DIVERTED, exec_diverted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# What "-" and "-c" mean depends on where they stand.
EXITS = {E_CMD_NOEXEC: 126, E_CMD_NOTFOUND: 127}
TOOL_NEWGRP = Tool("newgrp", (), EXITS, raw=True)
TOOL_SG = Tool("sg", (), EXITS, raw=True)


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
    prog, change = given.run.tool.name, given.run.change
    request = NewGroup()
    try:
        request = parse_arguments(prog, given.operands)
        gid = find_gid(request, given.run.release)
    except (Fail, Usage) as error:
        # sg's usage is no failure to audit.
        if not (prog == "sg" and isinstance(error, Usage)):
            change.audit(failure(request, given.run.release))
        raise
    if os.geteuid():
        path = DIVERTED.format("newgrp")
        raise Fail(E_NOPERM, f"Permission denied: this needs a set-uid program, there is no {path}")
    execute(request, gid, lambda: change.audit(success(gid, given.run.release)))


main = program(TOOL_NEWGRP)(body)
main_sg = program(TOOL_SG)(body)
