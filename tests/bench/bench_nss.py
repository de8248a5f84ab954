#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print what a lookup costs: glibc's `files` service against libnss_altfiles, same rows, same run.

Needs root (a mount namespace), cc and make. Exits 1 if ours costs more anywhere.
Usage: bench_nss.py [ROWS...]   (default: 100 10000 100000)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SECONDS = {100: 3, 10_000: 6}
# The noise of a shared machine, not an allowance: below it two medians are the same.
NOISE = 1.02


def account_files(rows: int) -> dict[str, str]:
    """Files as useradd leaves them: private groups, a hash per user, every tenth group with members."""
    users = ["root"] + [f"user{i:06d}" for i in range(1, rows)]
    hashed = "$y$j9T$" + "x" * 66
    return {
        "passwd": "".join(f"{u}:x:{i}:{i}:User {i},,,:/home/{u}:/bin/bash\n" for i, u in enumerate(users)),
        "shadow": "".join(f"{u}:{hashed}:19700:0:99999:7:::\n" for u in users),
        "group": "".join(
            f"{u}:x:{i}:{f'{users[i // 2]},{users[-1]}' if i % 10 == 5 else ''}\n"
            for i, u in enumerate(users)
        ),
        "gshadow": "".join(f"{u}:!::\n" for u in users),
    }


def measure(rows: int, scratch: Path) -> list[tuple[str, float, float]]:
    etc = scratch / f"etc{rows}"
    etc.mkdir()
    for name, text in account_files(rows).items():
        (etc / name).write_text(text)
    shell = ["unshare", "--mount", "sh", "-c", 'mount --bind "$1" /etc && shift && exec "$@"', "sh", etc]
    program = [scratch / "nss_lookups", scratch / "libnss_altfiles.so.2", str(SECONDS.get(rows, 20))]
    done = subprocess.run([*shell, *program], check=True, stdout=subprocess.PIPE, text=True)
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return [(name, float(files), float(ours)) for name, files, ours in lines]


def main() -> int:
    sizes = [int(word) for word in sys.argv[1:]] or [100, 10_000, 100_000]
    slower = 0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        subprocess.run(["make", "-s", "-C", ROOT / "nss", f"BUILD={scratch}", "DATADIR=/etc"], check=True)
        compile_it = ["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
        subprocess.run([*compile_it, "-o", scratch / "nss_lookups", HERE / "nss_lookups.c"], check=True)
        print(f"{'rows':>7}  {'question':24}{'files us':>12}{'ours us':>12}{'ours /s':>12}{'files/ours':>12}")
        for rows in sizes:
            for question, files, ours in measure(rows, scratch):
                slower += ours > files * NOISE
                row = (
                    f"{rows:7}  {question:24}{files:12.1f}{ours:12.1f}{1e6 / ours:12.0f}{files / ours:11.1f}x"
                )
                print(row, flush=True)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
