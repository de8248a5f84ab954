# SPDX-License-Identifier: MIT
"""What an `accounts` command that is a table tells of its work: sentences, nothing with --quiet, or JSON."""

from __future__ import annotations

from accounts.cli.console import write_out
from accounts.cli.tool import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from accounts.cli.tool import Given

# As accounts.cli.commands has them for those with a parser.
OUTPUT = (Option("q", "quiet"), Option("", "json"))


def tell(given: Given, done: Sequence[str], changed: bool) -> None:
    """done: a sentence for each thing; changed: whether files were written. JSON as docs/schemas/materialize.json."""
    if "json" in given.letters:
        import json

        write_out(json.dumps({"changed": changed, "done": list(done)}, indent=2, sort_keys=True) + "\n")
    elif "q" not in given.letters:
        write_out("".join(f"{sentence}\n" for sentence in done))


def format_help(name: str, usage: str) -> str:
    """The usage text of such a command as wide as the terminal, and how to go on. name: "accounts sysusers"."""
    import re
    from shutil import get_terminal_size
    from textwrap import fill

    from accounts.examples import EXAMPLES

    width = max(get_terminal_size().columns, 40)
    column = 32 if width >= 72 else 12
    head, text, options = usage.rstrip("\n").split("\n\n")
    lines = [head, "", fill(" ".join(text.split()), width, break_on_hyphens=False), ""]
    title, *rows = options.split("\n")
    lines.append(title)
    # A row is "  OPTION  TEXT", and goes on in lines that only have more of the text.
    for row in re.sub(r"\n {20,}", " ", "\n".join(rows)).split("\n"):
        option, _, purpose = row.strip().partition("  ")
        first = f"{'  ' if option[:2] != '--' else '      '}{option}"
        if len(first) + 2 > column:
            lines.append(first)
            first = ""
        lines.append(fill(purpose.strip(), width, initial_indent=first.ljust(column), subsequent_indent=" " * column))
    command = name.partition(" ")[2]
    lines += ["", f"Example:\n  {EXAMPLES[command]}", f"Manual: {name.replace(' ', '-')}(8)"]
    return "\n".join(lines) + "\n"
