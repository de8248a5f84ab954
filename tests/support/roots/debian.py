# SPDX-License-Identifier: MIT
"""Two Debian roots that start out with the same accounts: a classic one, and one whose accounts are the image's.

Both are overlays of one cached root. In the classic one Debian's own tools work on /etc. In the stateless one our
tools are installed over them as a distribution would (dpkg-divert), /etc has no account files, and NSS finds
them in /usr/lib.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accounts.image.seed import seed
from tests.support.installation import install
from tests.support.roots.cached import cached_root
from tests.support.roots.mounts import mount_overlay, run_quiet, unmount

TOP = Path(__file__).resolve().parents[3]
DATABASES = ("passwd", "group", "shadow", "gshadow")
DAY = 86400
EPOCH = 1_700_000_000
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
    "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive",
    "SOURCE_DATE_EPOCH": str(EPOCH),
}
# Where the two roots differ by what they are, or a run by its clock and its random numbers.
NOT_COMPARED = re.compile(
    r"/(usr|proc|sys|tmp|root|dev|var/(cache|log|lib/dpkg|lib/systemd/catalog|tmp))(/|$)"
    r"|/etc/(passwd|group|shadow|gshadow|accounts|nsswitch\.conf|login\.defs|shells|skel|default/useradd)(-|/|$)"
    r"|/etc/\.pwd\.lock$|/etc/(passwd|group|shadow|gshadow|subuid|subgid)[-+]|/etc/sub[ug]id$"
    r"|/var/lib/(postgresql|mysql|redis|systemd)/|/var/backups/"
)
View = dict[str, dict[str, tuple[object, ...]]]
Tree = dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Result:
    """What a command did: exit status, and both outputs together."""

    status: int
    output: str


class DebianRoot:
    """A root directory that commands run in, in a pid namespace of their own, and what can be told of it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def run(self, command: str, stdin: str = "") -> Result:
        """Run a shell command as root inside; what it leaves running is killed."""
        enter = ["unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc", f"--root={self.path}", "--wd=/"]
        done = subprocess.run(
            [*enter, "/bin/sh", "-c", command], input=stdin.encode(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=ENVIRONMENT, timeout=600,
        )  # fmt: skip
        return Result(done.returncode, done.stdout.decode(errors="replace"))

    def check(self, command: str) -> str:
        """Run a command that must succeed; its output."""
        result = self.run(command)
        assert result.status == 0, f"{command}: exit {result.status}\n{result.output}"
        return result.output

    def view(self) -> View:
        """What NSS answers by name for every name that any file has, and the subordinate ids."""
        view: View = {}
        for database in DATABASES:
            names = sorted({row[0] for path in ("etc", "usr/lib") for row in self._rows(f"{path}/{database}")})
            rows = self.run("getent " + " ".join([database, *names])).output if names else ""
            view[database] = {
                row[0]: _normalise(database, row) for row in (line.split(":") for line in rows.splitlines())
            }
        for database in ("subuid", "subgid"):
            view[database] = {row[0]: tuple(row) for row in self._rows(f"etc/{database}")}
        return view

    def needless(self) -> list[str]:
        """Rows of /etc that say nothing: what the image says already, a group of the image without members.

        With an expired password an image user's passwd row is needed there.
        """
        found = []
        today = int(time.time()) // DAY
        expired = {
            row[0] for row in self._rows("etc/shadow")
            if row[2] == "0" or (row[2] and row[4] and 0 <= int(row[4]) < today - int(row[2]))
        }  # fmt: skip
        for database in DATABASES:
            image = {row[0]: row for row in self._rows(f"usr/lib/{database}")}
            for row in self._rows(f"etc/{database}"):
                if database == "passwd" and row[0] in expired:
                    continue
                if row == image.get(row[0]) or (database == "group" and row[0] in image and not row[3]):
                    found.append(f"{database}: {':'.join(row)}")
        return found

    def _rows(self, path: str) -> list[list[str]]:
        try:
            with open(os.path.join(self.path, path), errors="surrogateescape") as lines:
                return [line.rstrip("\n").split(":") for line in lines if not line.startswith("#")]
        except FileNotFoundError:
            return []

    def tree(self) -> Tree:
        """Mode, owner and group of every file outside of what the system itself brings."""
        found: Tree = {}
        for directory, names, files in os.walk(self.path):
            inside = directory[len(self.path) :]
            names[:] = [name for name in names if not NOT_COMPARED.match(f"{inside}/{name}/")]
            for name in (*names, *files):
                if not NOT_COMPARED.match(f"{inside}/{name}"):
                    status = os.lstat(f"{directory}/{name}")
                    found[f"{inside}/{name}"] = (status.st_mode, status.st_uid, status.st_gid)
        return found


def _normalise(database: str, row: list[str]) -> tuple[object, ...]:
    """A row for comparison: members are a set, the clock's day is a word, and so is a hash with a random salt.

    (passwd takes its method from login.defs and not from pam.d: docs/decisions/pam.md.)
    """
    fields: list[object] = list(row)
    if database in ("group", "gshadow"):
        for index in range(2 if database == "gshadow" else 3, len(row)):
            fields[index] = frozenset(filter(None, row[index].split(",")))
    if database == "shadow":
        fields[1] = re.sub(r"^(!?)\$\w+\$(?!saltsalt).{20,}", r"\1hash", row[1])
        if row[2].isdecimal() and int(time.time()) // DAY - int(row[2]) in (0, 1):
            fields[2] = "today"
    return tuple(fields)


@contextmanager
def debian_root(stateless: bool, name: str = "debian-12-clients") -> Iterator[DebianRoot]:
    """An overlay of the cached root of that name, on a tmpfs. To be called in a mount namespace (in_child())."""
    base = tempfile.mkdtemp(prefix="accounts-test.", dir="/var/tmp")
    try:
        path = mount_overlay(base, system=str(cached_root(name)))
        run_quiet("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", f"{path}/dev/pts")
        run_quiet("mount", "-t", "tmpfs", "tmpfs", f"{path}/dev/shm")
        root = DebianRoot(path)
        _set_days(Path(root.path))
        if stateless:
            install_stateless(root)
        yield root
    finally:
        unmount(base)


def _set_days(root: Path) -> None:
    """Let all passwords be of the day that seed() gives to locked ones."""
    shadow = root / "etc/shadow"
    rows = [line.split(":") for line in shadow.read_text().splitlines()]
    shadow.write_text("".join(":".join([*row[:2], str(EPOCH // DAY), *row[3:]]) + "\n" for row in rows))


def install_stateless(root: DebianRoot) -> None:
    """Install our tools over the distribution's, move the accounts to the image layer, wire NSS."""
    top = Path(root.path)
    install_diverted(root)
    seed(top, source_date_epoch=EPOCH)
    # What a boot does: links for the programs that read /etc only, the rows of subuid and subgid.
    (top / "etc/nsswitch.conf").unlink(missing_ok=True)
    (top / "etc/nsswitch.conf").symlink_to("../usr/share/accounts/nsswitch.conf")
    root.check("systemd-tmpfiles --create --prefix=/etc")
    left = [name for name in DATABASES if (top / "etc" / name).exists()]
    assert not left, f"/etc has {left}"


def install_diverted(root: DebianRoot) -> None:
    """make install, after each tool of the distribution that has the name of one of ours has moved aside."""
    run_quiet(str(TOP / "packaging/debian/divert"), root.path)
    install(root.path)
    passwd = Path(root.path, "usr/bin/passwd.distrib").lstat()
    assert stat.S_IMODE(passwd.st_mode) == 0o4755
