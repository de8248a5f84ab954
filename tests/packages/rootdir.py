# SPDX-License-Identifier: MIT
"""Root directories over the cached ones, in which commands run as on a machine of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.roots.cached import cached_root

TOP = Path(__file__).resolve().parents[2]
RUN_IN_ROOT = TOP / "tests/support/run-in-root.sh"
TOOLS = sorted(path.name for path in (TOP / "shims").iterdir() if path.is_file() and path.name != "accounts")
# What dpkg, apt, ldconfig and man-db keep for themselves, and what running anything at all leaves.
NOT_COMPARED = (
    "/var/lib/dpkg/", "/var/log/", "/var/cache/", "/var/lib/apt/", "/run/", "/tmp/", "/proc/", "/sys/", "/dev/",
    "/etc/resolv.conf", "/etc/ssl/", "/var/tmp/", "/etc/ld.so.cache", "/root/", "/mnt/", "/debs", "/var/lib/pam/seen",
)  # fmt: skip


def _run(command: list[str | Path], status: int) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    output = done.stdout + done.stderr
    assert done.returncode == status, f"{command[-1]}\n{output[-4000:]}"
    return output


# An overlay in a namespace of its own, and in it run-in-root.sh: LOWER UPPER WORK MERGED COMMAND.
MOUNT = f"""\
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4"
exec {RUN_IN_ROOT} "$4" "$5"
"""
# The same for a command whose changes are gone with it: LOWER DIRECTORY COMMAND.
THROW_AWAY = f"""\
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir -m 755 "$2/upper" "$2/work" "$2/merged"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/merged"
exec {RUN_IN_ROOT} "$2/merged" "$3"
"""


class PackagedRoot:
    """A root like the cached one of that name, in a directory that is not there yet; what changes in it is in `path`.

    The two are an overlay while a command runs. Between commands files may be put into directories of `path`, and read.
    """

    def __init__(self, name: str, place: Path) -> None:
        base = cached_root(name)
        self.path = place / "upper"
        for path in (self.path, place / "work", place / "merged"):
            path.mkdir(parents=True)
        self.path.chmod(0o755)
        self._command: list[str | Path] = [
            "unshare", "-m", "sh", "-euc", MOUNT, "sh", base, self.path, place / "work", place / "merged",
        ]  # fmt: skip
        self._throw_away: list[str | Path] = [
            "unshare", "-m", "sh", "-euc", THROW_AWAY, "sh", f"{self.path}:{base}", place / "merged",
        ]  # fmt: skip

    def run(self, command: str, status: int = 0) -> str:
        """Output and errors of a shell command, which must end with the status."""
        return _run(self.command(command), status)

    def try_out(self, command: str) -> str:
        """As run, but what the command changes is gone when it ends. Some may run at once; nothing else meanwhile."""
        return _run([*self._throw_away, command], 0)

    def command(self, command: str) -> list[str | Path]:
        """The words of a command of this machine that runs a shell command there."""
        return [*self._command, command]

    def list_files(self) -> set[str]:
        """Type, mode, owner, path and target of everything that is compared."""
        listed = self.run(r"find / -xdev \( -type d -printf 'd %m %U:%G %p\n' -o -printf '%y %m %U:%G %p %l\n' \)")
        return {line for line in listed.splitlines() if not line.split(" ", 3)[3].startswith(NOT_COMPARED)}

    def check_out(self) -> None:
        """This tree, without what is built, in /root/tree."""
        self.run("mkdir /root/tree")
        tree = self.path / "root/tree"
        copy = "git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C"
        subprocess.run(f"{copy} '{tree}'", shell=True, cwd=TOP, check=True)


class Directory(PackagedRoot):
    """A root directory that is nobody's overlay."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._command = [RUN_IN_ROOT, path]


def root_with(debs: Path, release: str, place: Path) -> PackagedRoot:
    """A Debian of that release below place, with the tree in /root/tree, and in /debs the packages that were built."""
    root = PackagedRoot(f"debian-{release}-systemd-ssh-python", place / "root")
    shutil.copytree(debs, root.path / "debs")
    root.check_out()
    return root
