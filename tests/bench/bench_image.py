# SPDX-License-Identifier: MIT
"""Time and peak memory of `accounts image` on big roots: 100,000 files, 10,000 and 60,000 accounts.

bench_image.py [ROOT...]        also measures copies of these roots, for example debootstrapped ones
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
ACCOUNTS = TOP / "shims/accounts"
RULES = TOP / "nss-data/rules/debian-12-systemd-ssh.rules"
FILES, ACCOUNT_COUNTS = 100_000, (10_000, 60_000)


def write_accounts(root: Path, count: int) -> None:
    """Account files with that many users, a group of the same name each, and twenty groups of many members."""
    etc = root / "etc"
    etc.mkdir(parents=True, exist_ok=True)
    names = [f"user{number}" for number in range(count)]
    members = [",".join(names[start::20]) for start in range(20)]
    rows = (f"{n}:x:{1000 + i}:{1000 + i}::/home/{n}:/bin/sh\n" for i, n in enumerate(names))
    (etc / "passwd").write_text("".join(rows))
    (etc / "group").write_text(
        "".join(f"{n}:x:{1000 + i}:\n" for i, n in enumerate(names))
        + "".join(f"team{i}:x:{500 + i}:{text}\n" for i, text in enumerate(members))
    )
    (etc / "shadow").write_text("".join(f"{n}:!:19000:0:99999:7:::\n" for n in names))
    (etc / "gshadow").write_text("".join(f"{n}:!::\n" for n in names))
    for name in ("shadow", "gshadow"):
        (etc / name).chmod(0o400)


def write_files(root: Path, count: int) -> None:
    """That many small files in directories of a hundred, owned by the accounts in turn."""
    for number in range(count):
        directory = root / f"srv/{number // 10_000}/{number // 100 % 100}"
        if number % 100 == 0:
            directory.mkdir(parents=True)
        path = directory / str(number)
        path.write_text("x")
        os.chown(path, 1000 + number % 50, 1000 + number % 50)


def measure(name: str, root: Path) -> None:
    """Run the steps of a build on the root; print wall time and peak memory of each."""
    steps = (["seed"], ["stateless", "--rules", str(RULES)], ["wire"], ["seed"], ["pin"], ["check"])
    cells = []
    subprocess.run(["make", "-s", "-C", TOP, "install", f"DESTDIR={root}"], check=True, stdout=subprocess.DEVNULL)
    for step, *options in steps:
        command = [str(ACCOUNTS), "image", step, str(root), *options, "--json"]
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        code = os.waitstatus_to_exitcode(status)
        cells.append(f"{step} {seconds:6.2f} s {usage.ru_maxrss / 1024:4.0f} MB" + (f" (exit {code})" if code else ""))
    count = sum(len(files) + len(directories) for _, directories, files in os.walk(root))
    print(f"{name:34} {count:7} files  " + "  ".join(cells), flush=True)


def main() -> None:
    """Measure, on a tmpfs or wherever TMPDIR is."""
    base = Path(tempfile.mkdtemp(prefix="accounts-bench."))
    try:
        small = base / "small"
        write_accounts(small, 50)
        measure("50 accounts", small)
        many = base / "files"
        write_accounts(many, 50)
        write_files(many, FILES)
        measure(f"50 accounts, {FILES} files", many)
        for count in ACCOUNT_COUNTS:
            big = base / str(count)
            write_accounts(big, count)
            measure(f"{count} accounts", big)
        for given in sys.argv[1:]:
            copy = base / "copy"
            subprocess.run(["cp", "-a", given, copy], check=True)
            measure(Path(given).name, copy)
            shutil.rmtree(copy)
    finally:
        shutil.rmtree(base)
    print(f"at least {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB are told for each: this process")


if __name__ == "__main__":
    main()
