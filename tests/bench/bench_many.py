# SPDX-License-Identifier: MIT
"""Times newusers, chpasswd and pwck over many users, the real tools and ours in one run: arguments USERS HASHED.

In the same throw-away root as bench_tools. By default 10,000 users through newusers (an empty password field, so
no hashing: pam_unix refuses each) and chpasswd -e, and 2,000 through newusers and chpasswd -c with SHA512. The
files that both leave are compared byte for byte, but for the salts. The real newusers takes minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

USERS, HASHED = 10_000, 2_000
NAMES = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
START = {
    "passwd": "root:x:0:0::/root:/bin/sh\n",
    "group": "root:x:0:\n",
    "shadow": "root:*:19000:0:99999:7:::\n",
    "gshadow": "root:*::\n",
    "subuid": "",
    "subgid": "",
}
LOGIN_DEFS = "ENCRYPT_METHOD SHA512\nUSERGROUPS_ENAB yes\nSUB_UID_COUNT 1000\nSUB_GID_COUNT 1000\n"


def run(directory: str, command: list[str], text: str) -> tuple[float, float]:
    """(seconds, peak MB) of a command with text on its standard input; its output is thrown away."""
    peak = 0
    with tempfile.TemporaryFile() as source:
        source.write(text.encode())
        source.seek(0)
        begin = time.perf_counter()
        child = subprocess.Popen(
            [f"{directory}/{command[0]}", *command[1:]],
            stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1728000000"},
        )  # fmt: skip
        # The largest resident set that wait4(2) tells includes this process, from before the exec.
        while child.poll() is None:
            with open(f"/proc/{child.pid}/status") as lines:
                peak = max([peak, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
            time.sleep(0.002)
        return time.perf_counter() - begin, peak / 1024


def place() -> None:
    """A machine with root alone."""
    for name in NAMES:
        for path in (Path(f"/etc/{name}"), Path(f"/etc/{name}-")):
            path.unlink(missing_ok=True)
        Path(f"/etc/{name}").write_text(START[name])
    Path("/etc/login.defs").write_text(LOGIN_DEFS)
    # pam_unix hashes by login.defs too, then.
    pam = Path("/etc/pam.d/common-password")
    pam.write_text(pam.read_text().replace(" yescrypt", ""))


def state(hashed: bool) -> dict[str, list[list[str]]]:
    """The rows of the files. hashed: without passwords and the days that pam_unix takes from the clock."""
    files = {name: [line.split(":") for line in Path(f"/etc/{name}").read_text().splitlines()] for name in NAMES}
    if hashed:
        for row in files["shadow"]:
            row[1:3] = [row[1][:3], ""]
    return files


def report(users: int, hashed: int) -> int:
    """Print the table; 1 when ours are slower or leave other files."""
    many = "".join(f"user{i}::::User {i}::/bin/sh\n" for i in range(users))
    clear = "".join(f"user{i}:pw{i}:::User {i}::/bin/sh\n" for i in range(hashed))
    steps = (
        (f"newusers, {users:,}", ["newusers"], many, False),
        (f"chpasswd -e, {users:,}", ["chpasswd", "-e"], "".join(f"user{i}:$6$s$h{i}\n" for i in range(users)), False),
        (f"pwck -r, {users:,}", ["pwck", "-r"], "", False),
        (f"newusers SHA512, {hashed:,}", ["newusers"], clear, True),
        (
            f"chpasswd -c SHA512, {hashed:,}",
            ["chpasswd", "-c", "SHA512"],
            "".join(f"user{i}:pw{i}\n" for i in range(hashed)),
            True,
        ),
    )
    results: dict[str, list[tuple[float, float]]] = {}
    states = []
    for directory in ("/usr/sbin", "/usr/real"):
        states.append([])
        for label, command, text, with_hashes in steps:
            if command == ["newusers"]:
                place()
            results.setdefault(label, []).append(run(directory, command, text))
            states[-1].append(state(with_hashes))
    status = 0
    print("| | real s | ours s | ours / real | real MB | ours MB | same files |")
    print("|---|---|---|---|---|---|---|")
    for index, (label, ((ours, peak), (real, real_peak))) in enumerate(results.items()):
        same = states[0][index] == states[1][index]
        print(
            f"| {label} | {real:.2f} | {ours:.2f} | {ours / real:.2f} | {real_peak:.0f} | {peak:.0f} "
            f"| {'yes' if same else 'NO'} |"
        )
        status |= not same or ours > real
    return int(status)


def main() -> int:
    """Enter a namespace, build the root, report from inside it."""
    if os.environ.get("ACCOUNTS_BENCH") != "inside":
        os.environ["ACCOUNTS_BENCH"] = "inside"
        os.execvp("unshare", ["unshare", "-m", sys.executable, __file__, *sys.argv[1:]])
    from tests.support.roots.mounts import overlay_root, run_quiet

    counts = [int(argument) for argument in sys.argv[1:]] or [USERS, HASHED]
    base = tempfile.mkdtemp(prefix="accounts-bench.", dir="/var/tmp")
    try:
        root = overlay_root(base, in_memory=False)
        os.mkdir(f"{root}/usr/real")
        for name in ("newusers", "chpasswd", "pwck"):
            shutil.copy(f"/usr/sbin/{name}", f"{root}/usr/real/{name}")
        run_quiet("make", "-s", "-C", str(TOP), "install", f"DESTDIR={root}", "PREFIX=/usr")
        pid = os.fork()
        if not pid:
            os.chroot(root)
            os.chdir("/")
            os._exit(report(*counts))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        subprocess.run(["umount", "-R", "-l", f"{base}/root"], check=False)
        shutil.rmtree(base)


if __name__ == "__main__":
    sys.exit(main())
