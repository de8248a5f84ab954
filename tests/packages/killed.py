# SPDX-License-Identifier: MIT
"""Runs a program and kills it when it enters its AT-th system call that names or renames files.

`python3 -m tests.packages.killed AT WORD...` prints "killed", or how many such calls there are in all where it ended
before; its children are not counted. Exits with its status.
"""

from __future__ import annotations

import os
import signal
import sys

from tests.crash import trace

# rename, mkdir, rmdir, link, unlink, symlink, unlinkat, renameat, linkat, symlinkat, renameat2: what dpkg unpacks by.
CALLS = frozenset({82, 83, 84, 86, 87, 88, 263, 264, 265, 266, 316})


def main() -> int:
    """As above."""

    def become() -> int:
        os.execvp(words[0], words)

    at, *words = sys.argv[1:]
    outcome = trace.run(become, int(at), kill=True, counted=CALLS)
    killed = outcome.status == -signal.SIGKILL
    print("killed" if killed else len(outcome.calls))
    return 0 if killed else outcome.status


if __name__ == "__main__":
    sys.exit(main())
