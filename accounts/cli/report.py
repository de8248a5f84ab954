# SPDX-License-Identifier: MIT
"""Lines, tables and JSON of the commands that are made for people and builds, not for shadow's users."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from accounts.cli.console import write_all

if TYPE_CHECKING:
    from accounts.image.findings import Finding

# How many findings of a rule, and files of a finding, a table for people shows.
SHOWN = 10


def format_findings(findings: Iterable[Finding]) -> str:
    """A table of findings for people: severity, rule, what; of very many of a rule the first ones."""
    lines = []
    counts: dict[str, int] = {}
    for one in findings:
        counts[one.rule] = counts.get(one.rule, 0) + 1
        if counts[one.rule] > SHOWN:
            continue
        lines.append(f"{one.severity:5} {one.rule:17} {one.message}")
        if one.files and one.message.find(one.files[0]) < 0:
            lines += [f"{'':24}{path}" for path in one.files[:SHOWN]]
            if len(one.files) > SHOWN:
                lines.append(f"{'':24}... and {len(one.files) - SHOWN} more (--json lists them)")
    for rule, count in counts.items():
        if count > SHOWN:
            lines.append(f"{'':5} {rule:17} ... and {count - SHOWN} more (--json lists them)")
    return "".join(line + "\n" for line in lines)


def count(things: Sequence[object], name: str) -> str:
    """ "1 file", "2 files"."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def complain(prog: str, message: str) -> None:
    """One line on standard error, whatever the message holds."""
    write_all(2, f"{prog}: {message}\n".replace("\n", " ").rstrip() + "\n")


def print_line(line: str) -> None:
    """One line on standard output."""
    write_all(1, line + "\n")


def print_json(result: dict[str, Any]) -> None:
    """A result as JSON on standard output, keys in order."""
    write_all(1, json.dumps(result, indent=2, sort_keys=True) + "\n")
