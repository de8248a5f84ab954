# SPDX-License-Identifier: MIT
"""An overlay of a system in namespaces that a holder process keeps until it is closed, so that no test has to enter."""

from __future__ import annotations

import subprocess
from pathlib import Path

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
SETUP = """
    set -e
    mount -t tmpfs -o mode=755 tmpfs "$1"
    mkdir "$1/upper" "$1/work" "$1/root"
    mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
    mount -t tmpfs tmpfs "$1/root/run"
    mount -t proc proc "$1/root/proc"
    mount --bind /dev "$1/root/dev"
    cd "$1/root"
    pivot_root . mnt
    umount -l /mnt
    echo ready
    exec cat
"""


class HeldRoot:
    """The root: that of its mount namespace, as a process in a chroot(2) may not make a user namespace.

    What is left running in it goes with it.
    """

    def __init__(self, base: Path, system: str = "") -> None:
        """base: an empty directory; system: the root directory of a system, this machine by default."""
        namespaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        command = ["unshare", *namespaces, "sh", "-c", SETUP, "sh", str(base), system or "/"]
        self.holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout and self.holder.stdout.readline() == b"ready\n"
        pid = self.holder.pid
        # unshare's own child is the first process in there.
        self._first = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def path(self, name: str) -> Path:
        """The file /name of the root, as seen from outside its namespace."""
        return Path(f"/proc/{self._first}/root/{name}")

    def write(self, files: dict[str, str]) -> None:
        """Write files, path -> text; shadow and gshadow 0640."""
        for name, text in files.items():
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            self.path(name).write_text(text)
            self.path(name).chmod(0o640 if name.endswith("shadow") else 0o644)

    def command(self, *words: str, uid: int = 0) -> list[str]:
        """The command line that runs one in there."""
        enter = ["nsenter", f"--target={self._first}", "--mount", "--pid", "--root", "--wd"]
        user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
        return [*enter, *user, *words]

    def run(self, *words: str, given: str = "", uid: int = 0) -> tuple[int, str]:
        """Exit status and standard output, standard error behind it."""
        done = subprocess.run(
            self.command(*words, uid=uid), input=given, capture_output=True, text=True, timeout=60, env=ENVIRONMENT
        )
        return done.returncode, done.stdout + done.stderr

    def shell(self, command: str, uid: int = 0) -> tuple[int, str]:
        """Exit status and all output of a shell command."""
        done = subprocess.run(
            self.command("/bin/sh", "-c", command, uid=uid), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60, env=ENVIRONMENT,
        )  # fmt: skip
        return done.returncode, done.stdout

    def close(self) -> None:
        """It goes."""
        assert self.holder.stdin and self.holder.stdout
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
