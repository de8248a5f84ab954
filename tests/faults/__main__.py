# SPDX-License-Identifier: MIT
"""Prints the table: python -m tests.faults [COMMAND...]. Needs root; ten minutes for all."""

from __future__ import annotations

import sys
from collections import Counter

from tests.faults import table
from tests.support.overlay import in_overlay


def collect(commands: list[str]) -> list[table.Row]:
    """All rows of the commands, every errno. In an overlay."""
    return list(table.rows(commands, lambda *_: table.ERRORS))


def main() -> int:
    """Print one command after the other; 1 when a row breaks the rule without a reason."""
    counts: Counter[str] = Counter()
    for command in sys.argv[1:] or table.COMMANDS:
        print(f"\n## {command}\n\n| call | errno | real | ours | |\n|---|---|---|---|---|", flush=True)
        for lines in table.group(in_overlay(collect, [command]), counts):
            print(lines, flush=True)
    print("\n" + "\n".join(f"{count:6} {what}" for what, count in sorted(counts.items())))
    print("\nReasons:\n" + "\n".join(f"{number}. {reason}" for number, reason in enumerate(table.REASONS, 1)))
    return 1 if counts[table.UNEXPLAINED] else 0


if __name__ == "__main__":
    sys.exit(main())
