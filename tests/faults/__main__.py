# SPDX-License-Identifier: MIT
"""Prints the table: python -m tests.faults [-o DIR] [COMMAND...]. Needs root; ten minutes on two idle cores for all.

-o: a file for each command, several at a time; those that are there already are not made again, so that a run which
was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import table
from tests.support.overlay import in_overlay

_COUNT = re.compile(r"^ *(\d+) (.*rows.*|  of these.*)$", re.MULTILINE)


def collect(commands: list[str]) -> list[table.Row]:
    """All rows of the commands, every errno. In an overlay."""
    return list(table.rows(commands, lambda *_: table.ERRORS))


def show(commands: Iterable[str]) -> Counter[str]:
    """Print one command after the other; the counts."""
    counts: Counter[str] = Counter()
    for command in commands:
        print(f"\n## {command}\n\n| call | errno | real | ours | |\n|---|---|---|---|---|", flush=True)
        for lines in table.group(in_overlay(collect, [command]), counts):
            print(lines, flush=True)
    return counts


def make_files(directory: Path, commands: Iterable[str]) -> Counter[str]:
    """Have a file made for each command that has none yet; the counts of all."""
    directory.mkdir(parents=True, exist_ok=True)

    def make(command: str) -> Path:
        path = directory / f"{command.replace(' ', '_')}.md"
        if not path.exists():
            done = subprocess.run([sys.executable, "-m", "tests.faults", command], stdout=subprocess.PIPE)
            if done.returncode not in (0, 1) or b"\nReasons:\n" not in done.stdout:
                raise RuntimeError(f"{command}: no table")
            path.with_suffix(".new").write_bytes(done.stdout)
            path.with_suffix(".new").rename(path)
        return path

    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for path in pool.map(make, commands):
            counts.update({what: int(number) for number, what in _COUNT.findall(path.read_text())})
    return counts


def main() -> int:
    """1 when a row breaks the rule without a reason."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("-o", dest="directory", type=Path)
    parser.add_argument("commands", nargs="*")
    options = parser.parse_args()
    commands = options.commands or list(table.COMMANDS)
    counts = make_files(options.directory, commands) if options.directory else show(commands)
    print("\n" + "\n".join(f"{count:6} {what}" for what, count in sorted(counts.items())))
    print("\nReasons:\n" + "\n".join(f"{number}. {reason}" for number, reason in enumerate(table.REASONS, 1)))
    return 1 if counts[table.UNEXPLAINED] else 0


if __name__ == "__main__":
    sys.exit(main())
