# SPDX-License-Identifier: MIT
"""What the tools and the `accounts` commands take, for the manuals and the completions: read from their own tables."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from accounts.cli import image, machine
from accounts.cli.main import COMMANDS
from accounts.cli.tool import Option, Tool
from accounts.model.release import NEWEST, Release
from scripts.shims import TOOLS

RELEASES: list[Release] = [(4, minor) for minor in range(13, NEWEST[1] + 1)]
# Commands of everybody; all others are in section 8.
SECTION_1 = ("chage", "chfn", "chsh", "expiry", "gpasswd", "newgrp", "passwd", "sg")
# A line of a usage text about an option: "  -g, --gid GROUP   name or ID ...".
_OPTION_LINE = re.compile(r" +(?P<spec>(?:-\w(?:, --[\w-]+)?|--[\w-]+)(?: \S+)?)(?: {2,}(?P<text>.*))?$")
CommandLine = Tool | argparse.ArgumentParser


@dataclass(frozen=True)
class Row:
    """An option, or an operand of an `accounts` command, which has no names.

    names: "-g", "--gid"; argument: what its value is called, "" for a flag; text: what it is for; choices: the values
    that it can have, () where that is open; releases: "" for all, else a sentence.
    """

    names: tuple[str, ...]
    argument: str
    text: str
    choices: tuple[str, ...] = ()
    releases: str = ""


def find_tool(shim: str) -> Tool:
    """The table of the tool that a shim calls."""
    module = importlib.import_module(f"accounts.cli.{TOOLS[shim][0]}")
    name = shim.rpartition("/")[2]
    return next(value for value in vars(module).values() if isinstance(value, Tool) and value.name == name)


def find_commands() -> dict[str, CommandLine]:
    """`accounts` command, of `image` with two words -> what describes its command line."""
    found: dict[str, CommandLine] = {}
    for name, (path, _) in COMMANDS.items():
        module = importlib.import_module(path)
        if name == "image":
            found |= {f"image {word}": parser for word, parser in image.make_parser().commands().items()}
        elif name in getattr(module, "COMMANDS", ()):
            found[name] = machine.make_parser(name, module.COMMANDS)
        else:
            found[name] = module.TOOL
    return found


def list_rows(line: CommandLine) -> list[Row]:
    """The options, then the operands."""
    return _rows_of_tool(line) if isinstance(line, Tool) else [_row_of_action(action) for action in line._actions]


def _row_of_action(action: argparse.Action) -> Row:
    choices = tuple(map(str, action.choices or ()))
    argument = action.metavar if isinstance(action.metavar, str) else "|".join(choices) or action.dest.upper()
    return Row(
        tuple(action.option_strings),
        "" if action.nargs == 0 and action.option_strings else argument,
        (action.help or "").replace("%%", "%"),
        choices,
    )


def _rows_of_tool(tool: Tool) -> list[Row]:
    described = _describe_options(tool)
    same: dict[str, list[Option]] = {}
    for option in tool.options:
        same.setdefault(option.key, []).append(option)
    rows = []
    for key, options in same.items():
        names = [name for one in options for name in (one.letter and f"-{one.letter}", one.long and f"--{one.long}")]
        argument, text = described.get(key, ("", ""))
        if options[0].argument:
            argument = argument or "VALUE"
        rows.append(Row(tuple(dict.fromkeys(filter(None, names))), argument, text, (), _releases_of(options)))
    return rows


def _describe_options(tool: Tool) -> dict[str, tuple[str, str]]:
    """Letter of an option, else its long name -> (argument, text) of the newest usage text that has it."""
    found: dict[str, tuple[str, str]] = {}
    for release in RELEASES:
        key = ""
        for line in tool.usage_for(release).partition("\n\n")[2].splitlines():
            match = _OPTION_LINE.match(line)
            if match and match["spec"]:
                names, _, argument = match["spec"].partition(" ") if "," not in match["spec"] else (
                    match["spec"].split(",")[0], "", match["spec"].split(", ")[1].partition(" ")[2]
                )  # fmt: skip
                key = names.lstrip("-")
                found[key] = (argument, match["text"] or "")
            elif key and line.startswith((" " * 20, "\t")):
                argument, text = found[key]
                found[key] = (argument, f"{text} {line.strip()}".strip())
            else:
                key = ""
    return found


def _releases_of(options: list[Option]) -> str:
    there = [release for release in RELEASES if any(one.since <= release < one.until for one in options)]
    words = []
    if there[0] != RELEASES[0]:
        words.append(f"Since {there[0][0]}.{there[0][1]}.")
    if there[-1] != RELEASES[-1]:
        gone = RELEASES[RELEASES.index(there[-1]) + 1]
        words.append(f"Until {gone[0]}.{gone[1]}.")
    return " ".join(words)
