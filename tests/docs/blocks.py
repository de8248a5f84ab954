# SPDX-License-Identifier: MIT
"""The ```console blocks of a page: commands behind a prompt, "# " of root or "$ " of a user, and what they print.

    <!-- root: NAME -->       the root that the page's commands are run in (roots.py); once, before the first block
    <!-- long: REASON -->     the blocks from here to the next heading run with ACCOUNTS_TUTORIALS=1 only; if REASON
                              ends in "; tests/packages/FILE", that test runs them instead (tests/packages/tutorial.py)
    <!-- setup                commands, a line each, that run before the next block and that the reader does not see
    ... -->

A command that ends in a backslash, or has a here-document, goes on in the next line. In the output … stands for the
rest of a line, or where it is alone for any lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

WILDCARD = "…"
_HERE = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")


@dataclass
class Command:
    """One command. user: whether the prompt is "$ "; line: its number in the file; last: that of its output's end."""

    text: str
    line: int
    user: bool = False
    hidden: bool = False
    output: list[str] = field(default_factory=list)
    last: int = 0

    def matches(self, printed: str) -> bool:
        """Whether it has printed what the page says."""
        pattern = ""
        for line in self.output:
            if line.strip() == WILDCARD:
                pattern += r"(?:.*\n)*"
            else:
                pattern += ".*".join(map(re.escape, line.rstrip().split(WILDCARD))) + r"[ \t]*\n"
        return re.fullmatch(pattern, printed if not printed or printed.endswith("\n") else printed + "\n") is not None


@dataclass
class Block:
    """A block of commands. indent: of its fence; long: why it does not run every day."""

    commands: list[Command]
    line: int
    indent: str = ""
    long: str = ""

    @property
    def test(self) -> str:
        """The test of packages that runs it, if one does."""
        match = re.search(r"; (tests/packages/\w+\.py)$", self.long)
        return match[1] if match else ""


@dataclass
class Page:
    """The blocks of a page, and the root that they need."""

    path: Path
    root: str = ""
    blocks: list[Block] = field(default_factory=list)


def read_page(path: Path) -> Page:
    """Raises ValueError for a block that cannot be run."""
    page = Page(path)
    lines = path.read_text().split("\n")
    long = ""
    number = 0
    hidden: list[Command] = []
    while number < len(lines):
        line = lines[number]
        number += 1
        indent = line[: len(line) - len(line.lstrip())]
        mark = line.strip()
        if match := re.fullmatch(r"<!-- (root|long): (.*) -->", mark):
            if match[1] == "root":
                page.root = match[2]
            else:
                long = match[2]
        elif mark == "<!-- setup":
            begin = number
            while lines[number].strip() != "-->":
                number += 1
            hidden.append(Command("\n".join(lines[begin:number]), begin + 1, hidden=True))
            number += 1
        elif re.match(r"#+ ", line):
            long = ""
        elif mark == "```console":
            begin = number
            while lines[number].strip() != "```":
                number += 1
            inside = [text.removeprefix(indent) for text in lines[begin:number]]
            block = Block(hidden + _read_commands(path, inside, begin + 1), begin, indent, long)
            hidden = []
            page.blocks.append(block)
            number += 1
        elif mark.startswith("```") and len(mark) > 3:
            while lines[number].strip() != "```":
                number += 1
            number += 1
    if page.blocks and not page.root:
        raise ValueError(f"{path}: no <!-- root: NAME -->")
    return page


def _read_commands(path: Path, lines: list[str], first: int) -> list[Command]:
    commands: list[Command] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        if line.startswith(("# ", "$ ")):
            command = Command(line[2:], first + number, user=line[0] == "$")
            here = _HERE.search(line)
            while command.text.endswith("\\") or here:
                number += 1
                command.text += "\n" + lines[number]
                if here and lines[number].strip() == here[1]:
                    break
            commands.append(command)
        elif not commands:
            raise ValueError(f"{path}:{first + number}: output before the first command")
        else:
            commands[-1].output.append(line)
        number += 1
        commands[-1].last = first + number
    return commands
