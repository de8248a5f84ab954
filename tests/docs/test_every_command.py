# SPDX-License-Identifier: MIT
"""No command of the documentation is only there to be read.

A command is in a ```console block, which tests/docs runs (those behind `<!-- long: REASON -->` with
ACCOUNTS_TUTORIALS=1), or indented: then it is a synopsis of ours, which the command's own parser takes, or a target
of the Makefile, or the same but for paths as one that is run. Fences of other languages have no commands in them.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.cli.tool import Tool, scan
from accounts.model.release import NEWEST
from scripts.commandlines import find_commands, find_tool
from scripts.shims import TOOLS
from tests.docs.blocks import read_page
from tests.docs.test_pages import DOCS, PAGES, TOP, find_pages

# Of fences. None but console have commands in them; the python of api.md is run by tests/unit/test_change.py.
LANGUAGES = {"console", "ini", "toml", "bitbake", "yaml", "text", "python"}
OWN = {"accounts", *(name.rpartition("/")[2] for name in TOOLS)}
COMMANDS = find_commands()
# The words of the commands that are run, paths left out.
RUN = {
    tuple("/" if "/" in word else word for word in shlex.split(line, comments=True))
    for page in PAGES for block in page.blocks for command in block.commands
    for line in command.text.replace("\\\n", "").split("\n") if "<<" not in line and "'" not in line and '"' not in line
}  # fmt: skip


def find_fences(text: str) -> list[str]:
    """The language of each fence, "" for none."""
    return re.findall(r"^ *```(.*)\n(?:.*\n)*?^ *```$", text, re.MULTILINE)


def find_indented(text: str) -> Iterator[str]:
    """The lines of indented blocks, without what is fenced or a comment."""
    text = re.sub(r"^ *```.*\n(?:.*\n)*?^ *```$|<!--(?:.*\n)*?.*-->", "", text, flags=re.MULTILINE)
    for block in re.findall(r"(?:(?<=\n\n)|\A)(?: {4}.*\n)+", text):
        yield from block.splitlines()


def find_command(line: str) -> str:
    """The command in a line, without a prompt and without what is said of it; "" for what is none."""
    line = re.split(r" {3,}(?=\S)| +# ", line.strip())[0]
    if line.startswith("$ "):
        return line[2:]
    first, _, rest = line.partition(" ")
    if not first or rest.startswith("="):
        return ""
    there = shutil.which(first) if "/" not in first else os.access(TOP / first, os.X_OK) and (TOP / first).is_file()
    return line if first in OWN or there else ""


def fault_of(command: str) -> str:
    """Why a command that is not in a console block is no synopsis that may stand there, or ""."""
    words = shlex.split(command.replace("[", "").replace("]", "").replace("…", "").replace("...", ""))
    if tuple("/" if "/" in word else word for word in words) in RUN:
        return ""
    if words[0] == "make":
        targets = set(re.findall(r"^([\w-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
        asked = {word for word in words[1:] if "=" not in word}
        return "" if asked and asked <= targets else f"the Makefile has no target {asked - targets}"
    if words[0] not in OWN:
        return "neither run nor one of ours"
    name = " ".join(words[1 : 3 if words[1:2] == ["image"] else 2]) if words[0] == "accounts" else ""
    if name not in COMMANDS and words[0] == "accounts":
        return f"there is no command {name!r}"
    line = COMMANDS[name] if name else find_tool(words[0])
    argv = words[1 + len(name.split()) :]
    if isinstance(line, Tool):
        list(scan([word.encode() for word in argv], line.rows(NEWEST), []))
        return ""
    try:
        line.parse_args(argv)
    except SystemExit:
        return "its parser does not take it"
    return ""


@pytest.mark.parametrize("path", find_pages(), ids=lambda path: str(path.relative_to(TOP)))
def test_every_command_is_run_or_parsed(path: Path) -> None:
    text = path.read_text()
    assert set(find_fences(text)) <= LANGUAGES
    assert find_fences(text).count("console") == len(read_page(path).blocks)
    faults = {command: fault_of(command) for line in find_indented(text) if (command := find_command(line))}
    assert {command: fault for command, fault in faults.items() if fault} == {}


def test_all_that_people_read_is_looked_at() -> None:
    there = {str(path.relative_to(TOP)) for path in find_pages()}
    assert {"README.md", "SECURITY.md", "packaging/README.md", "docs/image.md", "docs/start/debian.md"} <= there
    assert {path.relative_to(TOP).parts[0] for path in find_pages()} == {
        "README.md",
        "SECURITY.md",
        "packaging",
        "docs",
    }
    left_out = {path.relative_to(DOCS).parts[0] for path in DOCS.rglob("*.md") if path not in find_pages()}
    assert left_out == {"decisions", "man"}


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("    accounts image pin ROOT        # optional", "accounts image pin ROOT"),
        ("    accounts rebase --take image www    the image's value", "accounts rebase --take image www"),
        ("    $ nosuchprogram", "nosuchprogram"),
        ("    groups = ['x']", ""),
        ("    passwd:root:0:present", ""),
        ("    # a comment", ""),
        ("    packaging/debian/divert /x", "packaging/debian/divert /x"),
    ],
)
def test_what_is_a_command(line: str, command: str) -> None:
    assert find_command(line) == command


@pytest.mark.parametrize(
    "command",
    [
        "accounts image seed --rule x=fail ROOT",
        "accounts image sed ROOT",
        "accounts status ROOT",
        "make nosuch",
        "make",
        "install -m 0644 a b",
        "accounts",
    ],
)
def test_the_judge_sees_what_is_wrong(command: str) -> None:
    assert fault_of(command)
