# SPDX-License-Identifier: MIT
"""`python -m tests.docs [--write] PAGE...`: run the commands of pages and show what they print that the pages do not
say; --write puts it into them, for somebody to read before it is committed. ACCOUNTS_TUTORIALS=1: the long blocks too.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.docs.blocks import Command, read_page
from tests.docs.roots import make_base, run_page
from tests.support.overlay import in_child
from tests.support.roots.mounts import unmount


def _run(paths: list[str]) -> list[list[tuple[Command, str]]]:
    place = tempfile.mkdtemp(prefix="docs.", dir="/var/tmp")
    try:
        base = make_base(place)
        return [run_page(base, read_page(Path(path))) for path in paths]
    finally:
        unmount(place)


def main() -> None:
    """Run them."""
    paths = [path for path in sys.argv[1:] if path != "--write"]
    for path, results in zip(paths, in_child(_run, paths), strict=True):
        lines = Path(path).read_text().split("\n")
        indents = {block.line: block.indent for block in read_page(Path(path)).blocks}
        for command, printed in reversed(results):
            if command.hidden:
                if printed:
                    print(f"{path}:{command.line}: set-up prints\n{printed}")
            elif not command.matches(printed):
                print(f"{path}:{command.line}: {command.text}\n{printed}", end="")
                indent = next(indents[line] for line in sorted(indents, reverse=True) if line < command.line)
                begin = command.last - 1 - len(command.output)
                new = [(indent + line).rstrip() for line in printed.removesuffix("\n").split("\n")] if printed else []
                lines[begin : command.last - 1] = new
        if "--write" in sys.argv:
            Path(path).write_text("\n".join(lines))


if __name__ == "__main__":
    main()
