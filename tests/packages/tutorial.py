# SPDX-License-Identifier: MIT
"""The blocks of a page that a test of packages runs as they are printed, in a root that has the programs."""

from __future__ import annotations

from pathlib import Path

from tests.docs.blocks import read_page
from tests.packages.rootdir import PackagedRoot

END = "\x1e\n"


def run_tutorial(root: PackagedRoot, path: Path, test: str, without: str = "", first: str = ":") -> None:
    """Run the blocks that say that this test does (`<!-- long: REASON; tests/packages/TEST -->`), and compare.

    without: how commands begin that are left out; first: what is run before, in the same shell.
    """
    blocks = [block for block in read_page(path).blocks if block.test == f"tests/packages/{test}"]
    commands = [command for block in blocks for command in block.commands]
    assert commands, f"{path}: no block for {test}"
    commands = [command for command in commands if not without or not command.text.startswith(without)]
    script = "".join(f"{{ {command.text}\n}} 2>&1; printf '\\036\\n'\n" for command in commands)
    # What a command of the page has put there is what it would have said of its failure.
    first = f"trap 'tail -n 60 /tmp/log 2>/dev/null || :' EXIT\n{first}\nprintf '\\036\\n'\n"
    printed = root.run(first + script).split(END)
    for command, output in zip(commands, printed[1:], strict=False):
        assert command.matches(output), f"{path}:{command.line}: {command.text}\n{output}"
