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
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

RUNS = 25
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
    shutil.copy(
        "/usr/share/accounts/nsswitch.conf" if stateless else "/root/nsswitch.classic", "/etc/nsswitch.conf"
    )


def write(path: str, data: bytes, mode: int) -> None:
    Path(path).write_bytes(data)
    os.chmod(path, mode)


def measure(directory: str, command: list[str], files: dict[str, bytes], stateless: bool) -> tuple[float, float]:
    """(median milliseconds, peak MB) of a command; it must succeed every time."""
    times = []
    peak = 0
    started = time.monotonic()
    argv = [f"{directory}/{command[0]}", *command[1:]]
    environment = {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C"}
    while len(times) < RUNS and (len(times) < 2 or time.monotonic() - started < SECONDS):
        place(files, stateless)
        begin = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, environment)
        _, status, usage = os.wait4(pid, 0)
        times.append((time.perf_counter() - begin) * 1000)
        peak = max(peak, usage.ru_maxrss)
        if status:
            raise SystemExit(f"{' '.join(argv)}: exit {os.waitstatus_to_exitcode(status)}")
        if times[-1] > SECONDS * 1000:
            break
    return statistics.median(times), peak / 1024


def report(sizes: list[int]) -> int:
    """Print the table; 1 when a goal is missed."""
    print("| accounts | command | real ms | ours ms | ours stateless ms | ours / real | real MB | ours MB |")
    print("|---|---|---|---|---|---|---|---|")
    missed = []
    for size in sizes:
        files = lay_out(size)
        for label, command in COMMANDS.items():
            real, real_peak = measure("/usr/real", command, files, False)
            directory = "/usr/sbin"
            ours, peak = measure(directory, command, files, False)
            stateless, stateless_peak = measure(directory, command, files, True)
            worst = max(ours, stateless)
            print(
                f"| {size:,} | {label} | {real:.1f} | {ours:.1f} | {stateless:.1f} | {worst / real:.2f} "
                f"| {real_peak:.0f} | {max(peak, stateless_peak):.0f} |",
                flush=True,
            )
            limit = 2.0 if size <= 50 else 1.0 if size >= 10_000 else 2.0
            if worst > limit * real:
                missed.append(f"{label} at {size:,}: {worst / real:.2f} times the real tool, limit {limit}")
            if size >= 100_000 and label == "useradd" and worst * 100 > real:
                missed.append(f"useradd at {size:,} is only {real / worst:.0f} times faster")
            if size >= 100_000 and max(peak, stateless_peak) >= 106:
                missed.append(f"{label} at {size:,} takes {max(peak, stateless_peak):.0f} MB")
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
    from tests.e2e.demo import make_root, run_quiet

    base = tempfile.mkdtemp(prefix="accounts-bench.", dir="/var/tmp")
    status = 1
    try:
        # On the disk: accounts live on one, and what fsync(2) costs there is part of the price.
        root = make_root(base, in_memory=False)
        os.mkdir(f"{root}/usr/real")
        for name in ("useradd", "usermod", "userdel", "groupadd"):
            shutil.copy(f"/usr/sbin/{name}", f"{root}/usr/real/{name}")
        shutil.copy("/etc/nsswitch.conf", f"{root}/root/nsswitch.classic")
        run_quiet("make", "-s", "-C", str(TOP), "install", f"DESTDIR={root}", "PREFIX=/usr")
        pid = os.fork()
        if not pid:
            os.chroot(root)
            os.chdir("/")
            os._exit(report([int(size) for size in sys.argv[1:]] or list(SIZES)))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        subprocess.run(["umount", "-R", "-l", f"{base}/root"], check=False)
        shutil.rmtree(base)
    return status


if __name__ == "__main__":
    sys.exit(main())
