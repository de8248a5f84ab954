# SPDX-License-Identifier: MIT
"""Times the real tools and ours side by side: `make bench`, or with arguments SIZE...

In a mount namespace of its own: an overlay of this machine, in which our tools are installed and the real
ones kept aside. For each size the same accounts are laid out twice, as a classic /etc and as an image layer
under an empty /etc, and put back before every run. Medians of wall time in milliseconds, of RUNS runs or of
as many as fit in SECONDS; memory is the largest resident set of a run.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

RUNS = 51
SECONDS = 6.0
SIZES = (50, 1_000, 10_000, 100_000)
FILES = ("passwd", "group", "shadow", "gshadow")
COMMANDS = {
    "useradd": ["useradd", "newuser"],
    "groupadd": ["groupadd", "newgroup"],
    "usermod -aG": ["usermod", "-aG", "video", "last"],
    "usermod -s": ["usermod", "-s", "/bin/dash", "last"],
    "userdel": ["userdel", "local"],
}
SYSTEM = 40


def lay_out(size: int) -> dict[str, bytes]:
    """Account files of size users with a group each; at 100,000 all of UID_MIN..60000 but one is taken."""
    rows: dict[str, list[str]] = {name: [] for name in FILES}
    for number in range(size):
        uid = number if number < SYSTEM else 1000 + number - SYSTEM
        name = "root" if number == 0 else "video" if number == 1 else f"user{number}"
        if number == size - 1:
            name = "last"
        if uid == 59_000:
            continue
        rows["passwd"].append(f"{name}:x:{uid}:{uid}:User {number},,,:/home/{name}:/bin/bash")
        rows["group"].append(f"{name}:x:{uid}:")
        rows["shadow"].append(f"{name}:!:19000:0:99999:7:::")
        rows["gshadow"].append(f"{name}:!::")
    return {name: ("\n".join(lines) + "\n").encode() for name, lines in rows.items()}


LOCAL = {
    "passwd": b"local:x:300000:300000::/home/local:/bin/sh\n",
    "group": b"local:x:300000:\n",
    "shadow": b"local:!:19000:0:99999:7:::\n",
    "gshadow": b"local:!::\n",
}


def place(files: dict[str, bytes], stateless: bool) -> None:
    """Put the accounts in place (inside the root): all in /etc, or in /usr/lib with one local user in /etc."""
    for name in os.listdir("/etc"):
        if name.rstrip("-") in (*FILES, "subuid", "subgid") or name.endswith(".lock"):
            os.unlink(f"/etc/{name}")
    shutil.rmtree("/etc/accounts", ignore_errors=True)
    for name, data in files.items():
        mode = 0o640 if "shadow" in name else 0o644
        image = f"/usr/lib/{name}"
        if os.path.exists(image):
            os.unlink(image)
        write(f"/etc/{name}", LOCAL[name] if stateless else data + LOCAL[name], mode)
        if stateless:
            write(image, data, mode)
    for name in ("subuid", "subgid"):
        write(f"/etc/{name}", b"local:100000:65536\n", 0o644)
    shutil.copy("/usr/share/accounts/nsswitch.conf" if stateless else "/root/nsswitch.classic", "/etc/nsswitch.conf")


def write(path: str, data: bytes, mode: int) -> None:
    Path(path).write_bytes(data)
    os.chmod(path, mode)


class Timing:
    """The runs of one command by one tool, in one of the two layouts."""

    def __init__(self, directory: str, command: list[str], stateless: bool) -> None:
        self._argv = [f"{directory}/{command[0]}", *command[1:]]
        self._stateless = stateless
        self._times: list[float] = []
        self.peak = 0.0

    @property
    def median(self) -> float:
        """Milliseconds."""
        return statistics.median(self._times)

    def is_done(self) -> bool:
        """Whether it was run RUNS times, or SECONDS long and then at least twice unless that takes forever."""
        spent = sum(self._times) / 1000
        return len(self._times) >= RUNS or (spent > SECONDS and (len(self._times) > 1 or spent > 2 * SECONDS))

    def run(self, files: dict[str, bytes]) -> None:
        """One run; it must succeed."""
        place(files, self._stateless)
        begin = time.perf_counter()
        pid = os.posix_spawn(self._argv[0], self._argv, {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C"})
        _, status, usage = os.wait4(pid, 0)
        self._times.append((time.perf_counter() - begin) * 1000)
        self.peak = max(self.peak, usage.ru_maxrss / 1024)
        if status:
            raise SystemExit(f"{' '.join(self._argv)}: exit {os.waitstatus_to_exitcode(status)}")


def measure(command: list[str], files: dict[str, bytes]) -> tuple[Timing, Timing, Timing]:
    """A command by the real tool, by ours, and by ours over an image layer: in turns, so that what else happens on
    the machine meets all three."""
    timings = (
        Timing("/usr/real", command, False), Timing("/usr/sbin", command, False), Timing("/usr/sbin", command, True)
    )  # fmt: skip
    while waiting := [timing for timing in timings if not timing.is_done()]:
        for timing in waiting:
            timing.run(files)
    return timings


def report(sizes: list[int]) -> int:
    """Print the table; 1 when a goal is missed."""
    print("| accounts | command | real ms | ours ms | ours stateless ms | ours / real | real MB | ours MB |")
    print("|---|---|---|---|---|---|---|---|")
    missed = []
    for size in sizes:
        files = lay_out(size)
        for label, command in COMMANDS.items():
            timings = measure(command, files)
            real, ours, stateless = (timing.median for timing in timings)
            worst, peak = max(ours, stateless), max(timing.peak for timing in timings[1:])
            print(
                f"| {size:,} | {label} | {real:.1f} | {ours:.1f} | {stateless:.1f} | {worst / real:.2f} "
                f"| {timings[0].peak:.0f} | {peak:.0f} |",
                flush=True,
            )
            limit = 1.0 if size >= 10_000 else 2.0
            if worst > limit * real:
                missed.append(f"{label} at {size:,}: {worst / real:.2f} times the real tool, limit {limit}")
            if size >= 100_000 and label == "useradd" and worst * 100 > real:
                missed.append(f"useradd at {size:,} is only {real / worst:.0f} times faster")
            if size >= 100_000 and peak >= 106:
                missed.append(f"{label} at {size:,} takes {peak:.0f} MB")
    for line in missed:
        print("MISSED:", line)
    if not missed:
        print("All goals reached: at most 2x at 50 accounts, never slower from 10,000 on, below 106 MB.")
    return 1 if missed else 0


def main() -> int:
    """Enter a namespace, build the root, report from inside it."""
    if os.environ.get("ACCOUNTS_BENCH") != "inside":
        os.environ["ACCOUNTS_BENCH"] = "inside"
        command = ["unshare", "-m", sys.executable, __file__, *sys.argv[1:]]
        os.execvp("unshare", command)
    return run_inside(lambda: report([int(size) for size in sys.argv[1:]] or list(SIZES)))


def run_inside(inside: Callable[[], int], prepare: Callable[[str, str], None] | None = None) -> int:
    """What inside() answers in an overlay of this machine with our tools, the real ones in /usr/real.

    prepare: called before with a scratch directory and the root.
    """
    from tests.support.roots.mounts import overlay_root, run_quiet

    base = tempfile.mkdtemp(prefix="accounts-bench.", dir="/var/tmp")
    status = 1
    try:
        # On the disk: accounts live on one, and what fsync(2) costs there is part of the price.
        root = overlay_root(base, in_memory=False)
        os.mkdir(f"{root}/usr/real")
        for name in ("useradd", "usermod", "userdel", "groupadd"):
            shutil.copy(f"/usr/sbin/{name}", f"{root}/usr/real/{name}")
        shutil.copy("/etc/nsswitch.conf", f"{root}/root/nsswitch.classic")
        run_quiet("make", "-s", "-C", str(TOP), "install", f"DESTDIR={root}", "PREFIX=/usr")
        if prepare is not None:
            prepare(base, root)
        pid = os.fork()
        if not pid:
            os.chroot(root)
            os.chdir("/")
            os._exit(inside())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        subprocess.run(["umount", "-R", "-l", f"{base}/root"], check=False)
        shutil.rmtree(base)
    return status


if __name__ == "__main__":
    sys.exit(main())
