# SPDX-License-Identifier: MIT
"""groupmems(8). Hot path."""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.tool import HELP, HIDDEN_PREFIX, ROOT, Given, Option, Tool, as_given
from accounts.edit.members import FILES, ChangeOwnGroup, check_group
from accounts.errors import E_INVALID_USER, E_NOPERM, Fail, Usage
from accounts.system.caller import own_group
from accounts.system.setuid import is_root
from accounts.text import fsdecode

TOOL = Tool(
    "groupmems",
    (
        Option("a", "add", "add", as_given),
        Option("d", "delete", "remove", as_given),
        Option("g", "group", "name", as_given),
        HELP,
        Option("l", "list"),
        Option("p", "purge", "purge"),
        ROOT,
        HIDDEN_PREFIX,
    ),
    {
        "E_USAGE": 1, "E_GRP_UPDATE": 2, "E_BAD_ARG": 3, "E_NOPERM": 3, "E_NOT_PRIMARY": 5, "E_NOT_MEMBER": 6,
        "E_MEMBER_EXISTS": 7, "E_INVALID_USER": 8, "E_INVALID_GROUP": 9,
    },
    file_exits={("group", "put"): 13, ("gshadow", "put"): 13},
    operands=(0, 0),
    until=(4, 20),
    instead="not in shadow-utils since 4.20: use 'gpasswd -a', 'gpasswd -d' and 'getent group'",
)  # fmt: skip


@program(TOOL)
def main(given: Given) -> None:
    """List or change the members."""
    run, facts, values = given.run, given.run.facts, given.values
    actions = given.letters & set("adlp")
    if len(actions) > 1:
        raise Usage
    if "add" in values and facts.find_user(values["add"]) is None:
        raise Fail(E_INVALID_USER, f"user '{fsdecode(values['add'])}' does not exist")
    named = "name" in values
    name = values.pop("name") if named else own_group(facts)
    if "l" in actions:
        members = check_group(facts.store.load(FILES, FILES), name, facts).members
        if members:
            run.console.print("  ".join(map(fsdecode, members)) + " \n")
        return
    if not is_root():
        # The real one asks PAM, which lets root only pass.
        raise Fail(E_NOPERM, "only root can use the -g/--group option" if named else "Permission denied.")
    run.do(ChangeOwnGroup(name=name, **values))
