#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print what a lookup costs: glibc's `files` service, libnss_altfiles with and without index, same rows, same run.

Needs root (a mount namespace), cc and make. Exits 1 if ours costs more than `files` anywhere. --module adds others:
cache=PATH of libnss_cache.so.2, whose indexes are written as nsscache does; altfiles=PATH of an nss-altfiles built
with --datadir=/etc.
Usage: bench_nss.py [--module SERVICE=PATH]... [ROWS...]   (default: 100 1000 10000 100000)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from accounts.image.index import write_indexes  # noqa: E402
from accounts.image.tree import Tree  # noqa: E402

SECONDS = {100: 4, 1000: 6, 10_000: 12}
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
            f"{u}:x:{i}:{f'{users[i // 2]},{users[-1]}' if i % 10 == 5 else ''}\n" for i, u in enumerate(users)
        ),
        "gshadow": "".join(f"{u}:!::\n" for u in users),
    }


def write_cache(etc: Path) -> None:
    """What nsscache makes: NAME.cache, and indexes of sorted keys with offsets in lines of one length."""
    for name, keys in (("passwd", {"name": 0, "uid": 2}), ("group", {"name": 0, "gid": 2}), ("shadow", {"name": 0})):
        data = (etc / name).read_bytes()
        (etc / f"{name}.cache").write_bytes(data)
        for key, field in keys.items():
            entries, offset = [], 0
            for line in data.splitlines(keepends=True):
                entries.append((line.split(b":")[field], b"%d" % offset))
                offset += len(line)
            width = max(len(one) + len(where) for one, where in entries) + 1
            lines = [(one + b"\0" + where).ljust(width, b"\0") + b"\n" for one, where in sorted(entries)]
            (etc / f"{name}.cache.ix{key}").write_bytes(b"".join(lines))


def measure(rows: int, scratch: Path, modules: list[str]) -> list[list[str]]:
    etc = scratch / f"etc{rows}"
    etc.mkdir()
    for name, text in account_files(rows).items():
        (etc / name).write_text(text)
    write_cache(etc)
    with Tree(etc, 0) as tree:
        write_indexes(tree, "")
    shell = ["unshare", "--mount", "sh", "-c", 'mount --bind "$1" /etc && shift && exec "$@"', "sh", etc]
    program = [scratch / "nss_lookups", str(SECONDS.get(rows, 40)), *modules]
    done = subprocess.run([*shell, *program], check=True, stdout=subprocess.PIPE, text=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def build(scratch: Path, kind: str, index: str) -> str:
    """Our module over /etc, with its index there or nowhere; its path."""
    where = (f"BUILD={scratch}/{kind}", "DATADIR=/etc", f"INDEXDIR={index}", "LOCALDIR=/srv")
    subprocess.run(["make", "-s", "-C", ROOT / "nss", *where], check=True)
    return f"{scratch}/{kind}/libnss_altfiles.so.2"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", action="append", default=[], metavar="SERVICE=PATH")
    parser.add_argument("rows", nargs="*", type=int, default=[100, 1000, 10_000, 100_000])
    options = parser.parse_args()
    slower = 0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        modules = [
            build(scratch, "index", "/etc/accounts/index"), build(scratch, "scan", "/nowhere"), *options.module,
        ]  # fmt: skip
        compile_it = ["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
        subprocess.run([*compile_it, "-o", scratch / "nss_lookups", HERE / "nss_lookups.c"], check=True)
        labels = ["files", "index", "scan", *(one.split("=")[0] for one in options.module)]
        print(f"{'rows':>7}  {'question, us':28}" + "".join(f"{label:>12}" for label in labels))
        for rows in options.rows:
            for question, *times in measure(rows, scratch, modules):
                slower += any(float(ours) > float(times[0]) * NOISE for ours in times[1:3])
                print(f"{rows:7}  {question:28}" + "".join(f"{one:>12}" for one in times), flush=True)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
