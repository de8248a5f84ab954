# SPDX-License-Identifier: MIT
"""vipw(8) and vigr(8): edit an account file of the local layer; the image's is never touched.

The editor gets a copy, which is installed only when every line that is new can be parsed, as one commit.
"""

from __future__ import annotations

import os

from accounts.cli.console import Console
from accounts.cli.run import Run, program
from accounts.cli.tool import HIDDEN_PREFIX, ROOT, Given, Option, Tool
from accounts.cli.values import take_no
from accounts.edit.text import EditText
from accounts.errors import AccountsError, Done, Fail, FileError
from accounts.system.editor import EditedCopy


def show_usage(given: Given, _: bytes) -> None:
    """--help, whose first lines went to standard error until 4.19."""
    console = given.run.console
    head, title, options = given.run.usage().partition("Options:\n")
    (console.complain if given.run.release < (4, 19) else console.print)(head + title)
    console.print(options)
    raise Done


def vipw_tool(name: str) -> Tool:
    """The table of vipw or vigr."""
    return Tool(
        name,
        (
            Option("g", "group", "group"),
            Option("h", "help", "", show_usage, flag=True),
            Option("p", "passwd", "group", take_no, flag=True),
            Option("q", "quiet"),
            ROOT,
            HIDDEN_PREFIX,
            Option("s", "shadow"),
        ),
        {"E_USAGE": 2, "E_BAD_ARG": 3},
        file_exits={(file, "lock"): 5 for file in ("passwd", "shadow", "group", "gshadow")},
        operands=(0, 0),
    )


TOOL_VIPW = vipw_tool("vipw")
TOOL_VIGR = vipw_tool("vigr")
# File -> the other one of the pair, and the command that edits that.
PAIRS = {
    "passwd": ("shadow", "vipw -s"),
    "shadow": ("passwd", "vipw"),
    "group": ("gshadow", "vigr -s"),
    "gshadow": ("group", "vigr"),
}


def chosen_file(given: Given) -> str:
    """The account file to edit."""
    if given.values.get("group", given.run.tool is TOOL_VIGR):
        return "gshadow" if "s" in given.letters else "group"
    return "shadow" if "s" in given.letters else "passwd"


def ask_again(console: Console) -> bool:
    """Whether to edit again; no without a terminal."""
    from accounts.system.terminal import yes_or_no

    if not os.isatty(0):
        return False
    console.print("Edit again? ")
    return yes_or_no(False)


def edit_file(run: Run, copy: EditedCopy, file: str) -> bool:
    """Let the person edit the file; False when nothing has changed. Raises AccountsError."""
    try:
        changed = run.do(EditText(database=file, copy=copy.path), copy.edit).changed
        copy.kept = False
        return changed
    except AccountsError as error:
        if isinstance(error, FileError) and error.event == "lock":
            raise FileError(file, "lock", details=error.details, message="Couldn't lock file") from None
        if not copy.kept or isinstance(error, Fail):
            raise
        reason = error.reason if isinstance(error, FileError) else error.message
        why = f"{reason} " if reason else ""
        message = f"can't restore {run.facts.shown(file)}: {why}(your changes are in {copy.path})"
        raise FileError(file, "write", message=message) from None
    finally:
        copy.close()


def body(given: Given) -> int:
    """Edit a file."""
    run, console, facts = given.run, given.run.console, given.run.facts
    file = chosen_file(given)
    path = facts.shown(file)
    copy = EditedCopy(facts.target, file, console.warn, lambda: ask_again(console), run.release)
    changed, status = False, 0
    try:
        changed = edit_file(run, copy, file)
    except AccountsError as error:
        status = run.show_error(error)
        status = copy.status or status
    if not changed:
        if "q" not in given.letters:
            console.print(f"{console.prog}: {path} is unchanged\n")
        return status
    other, command = PAIRS[file]
    if "s" in given.letters or facts.is_present(other):
        console.print(
            f"You have modified {path}.\n"
            f"You may need to modify {facts.shown(other)} for consistency.\n"
            f"Please use the command '{command}' to do so.\n"
        )
    return 0


main = program(TOOL_VIPW)(body)
main_group = program(TOOL_VIGR)(body)
