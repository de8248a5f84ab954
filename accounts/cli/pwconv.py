# SPDX-License-Identifier: MIT
"""pwconv(8), pwunconv(8), grpconv(8) and grpunconv(8): passwords to shadow files and back."""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.tool import HELP, HIDDEN_PREFIX, ROOT, Given, Tool
from accounts.edit.conversion import ShadowGroups, ShadowUsers, UnshadowGroups, UnshadowUsers

OPTIONS = (HELP, ROOT, HIDDEN_PREFIX)
EXITS = {"E_USAGE": 2, "E_BAD_ARG": 3, "E_PW_UPDATE": 3, "E_GRP_UPDATE": 3}
LOCKED = {("passwd", "lock"): 5, ("shadow", "lock"): 5, ("group", "lock"): 5, ("gshadow", "lock"): 5}
# They do not agree about a file that cannot be opened.
OPENED = {("passwd", "open"): 1, ("shadow", "open"): 1, ("group", "open"): 1, ("gshadow", "open"): 1}
TOOL_PWCONV = Tool("pwconv", OPTIONS, EXITS, operands=(0, 0), file_exits=LOCKED | {("passwd", "open"): 4})
TOOL_PWUNCONV = Tool("pwunconv", OPTIONS, EXITS, operands=(0, 0), file_exits=LOCKED | OPENED)
TOOL_GRPCONV = Tool("grpconv", OPTIONS, EXITS, operands=(0, 0), file_exits=LOCKED | OPENED)
TOOL_GRPUNCONV = Tool("grpunconv", OPTIONS, EXITS, operands=(0, 0), file_exits=LOCKED | OPENED)


@program(TOOL_PWCONV)
def main(given: Given) -> None:
    """Make shadow."""
    given.run.do(ShadowUsers())
    # The backup may hold passwords.
    given.run.change.store.hide_backup("passwd")


@program(TOOL_PWUNCONV)
def main_pwunconv(given: Given) -> None:
    """Undo it."""
    given.run.do(UnshadowUsers())


@program(TOOL_GRPCONV)
def main_grpconv(given: Given) -> None:
    """Make gshadow."""
    given.run.do(ShadowGroups())


@program(TOOL_GRPUNCONV)
def main_grpunconv(given: Given) -> None:
    """Undo it."""
    given.run.do(UnshadowGroups())
