# SPDX-License-Identifier: MIT
"""Debian's packages in fresh roots of Debian 12 and 13: built, installed, used, upgraded, killed, removed, purged."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.roots.cached import copy_root

TOP = Path(__file__).resolve().parents[2]
RUN_IN_ROOT = TOP / "tests/support/run-in-root.sh"
PACKAGES = ("libnss-altfiles", "libpam-accounts", "libsubid-altfiles", "stateless-accounts", "stateless-accounts-tools")
TOOLS = sorted(path.name for path in (TOP / "shims").iterdir() if path.is_file() and path.name != "accounts")
# What dpkg, apt, ldconfig and man-db keep for themselves, and what running anything at all leaves.
NOT_COMPARED = (
    "/var/lib/dpkg/", "/var/log/", "/var/cache/", "/var/lib/apt/", "/run/", "/tmp/", "/proc/", "/sys/", "/dev/",
    "/etc/resolv.conf", "/etc/ssl/", "/var/tmp/", "/etc/ld.so.cache", "/root/", "/mnt/", "/debs", "/var/lib/pam/seen",
)  # fmt: skip
KILL = r"""
# Runs tools-links with a trace, and kills it at a line of that: kill.sh add|remove LINE. Status 0 when it was killed.
fifo=$(mktemp -u) && mkfifo "$fifo"
sh -x /usr/lib/accounts/tools-links "$1" 2>"$fifo" & pid=$!
lines=0
while read -r _; do
    lines=$((lines + 1))
    if [ $lines = "$2" ]; then kill -9 $pid; break; fi
done <"$fifo"
rm -f "$fifo"
wait $pid 2>/dev/null && exit 1
exit 0
"""


class PackagedRoot:
    """A copy of a cached root directory, in which commands run as on a machine of its own."""

    def __init__(self, name: str, place: Path) -> None:
        self.path = copy_root(name, place)

    def run(self, command: str, status: int = 0) -> str:
        """Output and errors of a shell command, which must end with the status."""
        done = subprocess.run([RUN_IN_ROOT, self.path, command], capture_output=True, text=True, timeout=1800)
        output = done.stdout + done.stderr
        assert done.returncode == status, f"{command}\n{output[-4000:]}"
        return output

    def list_files(self) -> set[str]:
        """Type, mode, owner, path and target of everything that is compared."""
        listed = self.run(r"find / -xdev \( -type d -printf 'd %m %U:%G %p\n' -o -printf '%y %m %U:%G %p %l\n' \)")
        return {line for line in listed.splitlines() if not line.split(" ", 3)[3].startswith(NOT_COMPARED)}


@pytest.fixture(scope="module", params=["12", "13"])
def release(request: pytest.FixtureRequest) -> str:
    """Of Debian."""
    return str(request.param)


@pytest.fixture(scope="module")
def debs(release: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages, built in a root of that release."""
    place = tmp_path_factory.mktemp(f"build{release}")
    root = PackagedRoot(f"debian-{release}-packaging", place / "root")
    tree = root.path / "root/tree"
    tree.mkdir()
    copy = "git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C"
    subprocess.run(f"{copy} '{tree}'", shell=True, cwd=TOP, check=True)
    root.run("cd /root/tree && scripts/deb.sh /debs")
    root.run(
        "apt-get -qq update; lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs /debs/*.deb"
    )
    shutil.copytree(root.path / "debs", place / "debs")
    shutil.rmtree(root.path)
    return place / "debs"


@pytest.fixture(scope="module")
def machine(release: str, debs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackagedRoot]:
    """A fresh root with the packages waiting in /debs."""
    place = tmp_path_factory.mktemp(f"machine{release}")
    root = PackagedRoot(f"debian-{release}-systemd-ssh-python", place / "root")
    shutil.copytree(debs, root.path / "debs")
    (root.path / "debs/kill.sh").write_text(KILL)
    yield root
    shutil.rmtree(root.path)


@pytest.fixture(scope="module")
def before(machine: PackagedRoot) -> set[str]:
    """What the root has without the packages."""
    machine.run("apt-get -qq update")
    return machine.list_files()


def test_installs_and_works(machine: PackagedRoot, before: set[str]) -> None:
    assert {path.name.split("_")[0] for path in (machine.path / "debs").glob("*.deb")} >= set(PACKAGES)
    machine.run("dpkg -i /debs/*.deb")
    assert machine.run("accounts --version").startswith("accounts ")
    assert "altfiles" in machine.run("cat /etc/nsswitch.conf")
    for tool in TOOLS:
        assert machine.run(f"readlink -f $(command -v {tool})").strip() == f"/usr/lib/accounts/tools/{tool}"
    assert machine.run("stat -c %a /usr/bin/passwd.distrib").strip() == "4755"
    smoke = (TOP / "packaging/debian/source/tests/smoke").read_text()
    (machine.path / "debs/smoke").write_text(smoke)
    machine.run("sh -x /debs/smoke")


def test_what_is_below_is_upgraded(machine: PackagedRoot) -> None:
    machine.run(
        "export DEBIAN_FRONTEND=noninteractive; "
        "apt-get -qq install -y --reinstall passwd login base-passwd libc-bin >/dev/null"
    )
    for tool in TOOLS:
        assert machine.run(f"readlink -f $(command -v {tool})").strip() == f"/usr/lib/accounts/tools/{tool}"
    machine.run("useradd after && userdel after")


def test_upgrades_itself(machine: PackagedRoot) -> None:
    machine.run(
        "cd /debs; for deb in *.deb; do rm -rf x; dpkg-deb -R $deb x; "
        "sed -i 's/^Version: .*/Version: 9.9/; s/(= [^)]*)/(= 9.9)/' x/DEBIAN/control; "
        "dpkg-deb -b x new-$deb >/dev/null; done; rm -rf x; dpkg -i new-*.deb; rm new-*"
    )
    assert machine.run("dpkg-query -W -f '${Version}' stateless-accounts-tools").strip() == "9.9"
    machine.run("useradd after && userdel after")


@pytest.mark.parametrize("action", ["remove", "add"])
def test_killed_at_any_line_there_is_a_useradd(machine: PackagedRoot, action: str) -> None:
    """Each time from the other state; then the same call does the rest."""
    other = {"add": "remove", "remove": "add"}[action]
    script = f"""
        line=1
        while :; do
            /usr/lib/accounts/tools-links {other}
            sh /debs/kill.sh {action} $line || break
            for tool in {" ".join(TOOLS)}; do
                command -v $tool >/dev/null || {{ echo "no $tool after line $line"; exit 9; }}
            done
            useradd --help >/dev/null && passwd --help >/dev/null
            /usr/lib/accounts/tools-links {action}
            line=$((line + 23))
        done
        echo killed up to line $line
    """
    assert "killed up to line" in machine.run(script)
    machine.run("/usr/lib/accounts/tools-links add")


def test_removed_and_purged_nothing_is_left(machine: PackagedRoot, before: set[str]) -> None:
    machine.run(f"dpkg --remove {' '.join(PACKAGES)}")
    machine.run("useradd after && userdel after && passwd --status root")
    machine.run(f"dpkg --purge {' '.join(PACKAGES)}")
    after = machine.list_files()
    assert sorted(before ^ after) == []
    assert machine.run("dpkg-divert --list '*accounts*'; dpkg-divert --list | grep -c stateless || true").strip() == "0"
    assert "altfiles" not in machine.run("cat /etc/nsswitch.conf")
