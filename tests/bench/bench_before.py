# SPDX-License-Identifier: MIT
"""Times our tools of another revision and those of this tree side by side: bench_before.py REVISION [SIZE...]

Both are installed into one root (see bench_tools), the old ones under /before, and run in turns, so that what else
happens on the machine meets both. Medians of wall time in milliseconds; "start" is an interpreter that does nothing.
Ends with status 1 when a command became more than LIMIT slower and by more than NOISE milliseconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from tests.bench.bench_tools import COMMANDS, Timing, lay_out, run_inside  # noqa: E402
from tests.support.roots.mounts import run_quiet  # noqa: E402

LIMIT = 1.03
NOISE = 0.2


def report(sizes: list[int]) -> int:
    """Print the table (inside the root); 1 when something became slower."""
    print("| accounts | command | layout | before ms | now ms | now / before | start ms | real ms |")
    print("|---|---|---|---|---|---|---|---|")
    slower = []
    for size in sizes:
        files = lay_out(size)
        for label, command in COMMANDS.items():
            for stateless in (False, True):
                before = Timing("/before/sbin", command, stateless)
                now = Timing("/usr/sbin", command, stateless)
                start = Timing("/usr/bin", ["python3", "-IS", "-c", "pass"], stateless)
                timings = [before, now, start]
                if not stateless:
                    timings.append(Timing("/usr/real", command, False))
                while waiting := [timing for timing in timings if not timing.is_done()]:
                    for timing in waiting:
                        timing.run(files)
                layout = "stateless" if stateless else "classic"
                real = "" if stateless else f"{timings[3].median:.1f}"
                ratio = now.median / before.median
                print(
                    f"| {size:,} | {label} | {layout} | {before.median:.2f} | {now.median:.2f} | {ratio:.3f} "
                    f"| {start.median:.2f} | {real} |",
                    flush=True,
                )
                if ratio > LIMIT and now.median - before.median > NOISE:
                    slower.append(f"{label} at {size:,}, {layout}: {ratio:.3f}")
    for line in slower:
        print("SLOWER:", line)
    return 1 if slower else 0


def main() -> int:
    """Enter a namespace, build the root, report from inside it."""
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    if os.environ.get("ACCOUNTS_BENCH") != "inside":
        os.environ["ACCOUNTS_BENCH"] = "inside"
        os.execvp("unshare", ["unshare", "-m", sys.executable, __file__, *sys.argv[1:]])
    return run_inside(lambda: report([int(size) for size in sys.argv[2:]] or [50]), install_before)


def install_before(base: str, root: str) -> None:
    """Install the tools of the other revision under /before."""
    old = f"{base}/old"
    os.mkdir(old)
    archive = subprocess.run(["git", "-C", str(TOP), "archive", sys.argv[1]], stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", old], input=archive.stdout, check=True)
    deps = f"DEPS={TOP}/build/deps"
    run_quiet("make", "-s", "-C", old, "install", f"DESTDIR={root}", "PREFIX=/before", "LIBDIR=/before/lib", deps)


if __name__ == "__main__":
    sys.exit(main())
