# SPDX-License-Identifier: MIT
"""Debian's packages in fresh roots of Debian 12 and 13: built, installed, used, upgraded, killed, removed, purged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages.rootdir import TOOLS, PackagedRoot

PACKAGES = ("libnss-altfiles", "libpam-accounts", "libsubid-altfiles", "stateless-accounts", "stateless-accounts-tools")
# A pass of dpkg's scripts with each line numbered, over all scripts of a run: the DEBUG trap runs before every simple
# command. At line KILL_AT dpkg, its scripts and what they run are killed at once, being one process group.
TRACED = """\
#!/bin/sh
export BASH_ENV=/debs/trap
exec bash "$@"
"""
TRAP = """\
set -T
trap 'read -r _n </debs/count; _n=$((_n + 1)); echo $_n >/debs/count
_tool=${tool-}; printf "%s %s %s\\n" "$_n" "${0##*/}" "${_tool##*/}" >>/debs/lines
[ "$_n" != "${KILL_AT-}" ] || kill -9 0' DEBUG
"""
# run.sh KILL_AT COMMAND...: status 0 when it was killed there, 1 when it ended before that line.
RUN = """\
echo 0 >/debs/count; : >/debs/lines
KILL_AT=$1; shift; export KILL_AT
setsid -w "$@" >/debs/log 2>&1 </dev/null; status=$?
[ $status -gt 128 ] && killed=0 || killed=1
if [ $killed = 1 ] && [ $status != 0 ]; then cat /debs/log; exit 9; fi
for tool in TOOLS; do
    [ -x "$(command -v $tool)" ] || { echo "no $tool: line $KILL_AT of $*"; exit 9; }
done
useradd probe && userdel probe && passwd -S root >/dev/null || { echo "line $KILL_AT of $*"; exit 9; }
exit $killed
"""


@pytest.fixture(scope="module", params=["12", "13"])
def release(request: pytest.FixtureRequest) -> str:
    """Of Debian."""
    return str(request.param)


@pytest.fixture(scope="module")
def debs(release: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The packages, built in a root of that release."""
    place = tmp_path_factory.mktemp(f"build{release}")
    root = PackagedRoot(f"debian-{release}-packaging", place / "root")
    root.check_out()
    root.run("cd /root/tree && scripts/deb.sh /debs")
    root.run(
        "apt-get -qq update; lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "
        "/debs/*.deb /debs/*.dsc"
    )
    shutil.copytree(root.path / "debs", place / "debs")
    shutil.rmtree(place / "root")
    yield place / "debs"
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def machine(release: str, debs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackagedRoot]:
    """A fresh root with the packages waiting in /debs."""
    place = tmp_path_factory.mktemp(f"machine{release}")
    root = PackagedRoot(f"debian-{release}-systemd-ssh-python", place / "root")
    shutil.copytree(debs, root.path / "debs")
    root.check_out()
    yield root
    shutil.rmtree(place)


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
    # Who has to wait for a lock needs a filelock that is new enough.
    hold = "import fcntl, time; f = open('/etc/.pwd.lock', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(3)"
    machine.run(f'python3 -c "{hold}" & sleep 1; useradd waited; userdel waited; wait')


def test_the_demo_runs_with_what_is_installed(machine: PackagedRoot) -> None:
    said = machine.run("cd /root/tree && python3 -IS tests/e2e/demo.py --installed")
    assert "every answer as expected" in said
    assert "pam_accounts.so" not in machine.run("cat /etc/pam.d/common-auth")


def test_what_is_below_is_upgraded(machine: PackagedRoot) -> None:
    machine.run(
        "export DEBIAN_FRONTEND=noninteractive; "
        "apt-get -qq install -y --reinstall passwd login base-passwd libc-bin >/dev/null"
    )
    for tool in TOOLS:
        assert machine.run(f"readlink -f $(command -v {tool})").strip() == f"/usr/lib/accounts/tools/{tool}"
    machine.run("useradd after && userdel after")


def test_upgrades_itself(machine: PackagedRoot) -> None:
    repack(machine, "9.9")
    machine.run("dpkg -i /debs/9.9/*.deb")
    assert machine.run("dpkg-query -W -f '${Version}' stateless-accounts-tools").strip() == "9.9"
    machine.run("useradd after && userdel after")


def test_removed_and_purged_nothing_is_left(machine: PackagedRoot, before: set[str]) -> None:
    machine.run(f"dpkg --remove {' '.join(PACKAGES)}")
    machine.run("useradd after && userdel after && passwd --status root; rm -f /etc/subuid- /etc/subgid-")
    machine.run(f"dpkg --purge {' '.join(PACKAGES)}")
    after = machine.list_files()
    assert sorted(before ^ after) == []
    assert machine.run("dpkg-divert --list '*accounts*'; dpkg-divert --list | grep -c stateless || true").strip() == "0"
    assert "altfiles" not in machine.run("cat /etc/nsswitch.conf")


def test_autopkgtest(release: str, debs: Path, tmp_path: Path) -> None:
    """The real one, with the source package, in a root that it may break (which its null server cannot know)."""
    root = PackagedRoot(f"debian-{release}-systemd-ssh-python", tmp_path / "root")
    shutil.copytree(debs, root.path / "debs")
    root.run(
        "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update; "
        "apt-get -qq install -y --no-install-recommends autopkgtest >/dev/null"
    )
    said = root.run(
        "cd /debs && autopkgtest --ignore-restrictions=breaks-testbed,isolation-container *.deb *.dsc -- null"
    )
    assert {tuple(line.split()) for line in said.splitlines() if line.startswith("smoke")} == {("smoke", "PASS")}
    shutil.rmtree(tmp_path)


def repack(root: PackagedRoot, version: str, traced: bool = False) -> None:
    """Other packages in /debs/VERSION: of that version; traced: their scripts run under a trap for every line."""
    trace = (
        "grep -lsx '#!/bin/sh.*' x/DEBIAN/* x/usr/lib/accounts/tools-links | xargs -r sed -i '1s|.*|#!/debs/traced|';"
    )
    root.run(
        f"cd /debs; mkdir {version}; for deb in *.deb; do rm -rf x; dpkg-deb -R $deb x; "
        f"sed -i 's/^Version: .*/Version: {version}/; s/(= [^)]*)/(= {version})/' x/DEBIAN/control; "
        f"{trace if traced else ''} dpkg-deb -b x {version}/$deb >/dev/null; done; rm -rf x"
    )


@pytest.fixture(scope="module")
def traced(release: str, debs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackagedRoot]:
    """A fresh root with packages whose scripts can be killed at a line."""
    place = tmp_path_factory.mktemp(f"traced{release}")
    root = PackagedRoot(f"debian-{release}-systemd-ssh-python", place / "root")
    shutil.copytree(debs, root.path / "debs")
    # Debian 13 has no groupmems.
    there = root.run(f"for tool in {' '.join(TOOLS)}; do ! command -v $tool >/dev/null || echo $tool; done").split()
    assert "useradd" in there
    files = {"traced": TRACED, "trap": TRAP, "run.sh": RUN.replace("TOOLS", " ".join(there)), "count": "0\n"}
    for name, text in files.items():
        (root.path / "debs" / name).write_text(text)
        (root.path / "debs" / name).chmod(0o755)
    for version in ("1", "2"):
        repack(root, version, traced=True)
    # Byte code takes seconds each time and is no part of this.
    root.run("mkdir -p /usr/local/bin && ln -s /bin/true /usr/local/bin/py3compile")
    yield root
    shutil.rmtree(place)


@pytest.mark.parametrize(
    ("first", "action", "back"),
    [
        ("dpkg -P ALL", "dpkg -i /debs/1/*.deb", "dpkg -P ALL"),
        ("dpkg -i /debs/1/*.deb", "dpkg -i /debs/2/*.deb", "dpkg -i /debs/1/*.deb"),
        ("dpkg -i /debs/1/*.deb", "dpkg -r ALL", "dpkg -i /debs/1/*.deb"),
        ("dpkg -i /debs/1/*.deb; dpkg -r ALL", "dpkg -P ALL", "dpkg -i /debs/1/*.deb; dpkg -r ALL"),
    ],
    ids=["install", "upgrade", "remove", "purge"],
)
def test_dpkg_killed_at_any_line_of_a_script_there_is_a_useradd(
    traced: PackagedRoot, first: str, action: str, back: str
) -> None:
    """Then what dpkg asks for (--configure -a) and the same command do the rest.

    All lines, but of the loop over the tools those of two rounds (of all rounds with ACCOUNTS_KILLS).
    """
    first, action, back = (command.replace("ALL", " ".join(reversed(PACKAGES))) for command in (first, action, back))
    traced.run(f"{first} >/dev/null; sh /debs/run.sh none {action}", status=1)
    lines = [line.split(" ") for line in (traced.path / "debs/lines").read_text().splitlines()]
    rounds = TOOLS if "ACCOUNTS_KILLS" in os.environ else ("useradd", "passwd")
    numbers = [number for number, _, tool in lines if not tool or tool in rounds]
    assert action.startswith("dpkg -P") or any(script == "tools-links" for _, script, _ in lines)
    traced.run(f"({back}) >/dev/null")
    said = traced.run(
        f"killed=0; for line in {' '.join(numbers)}; do sh /debs/run.sh $line {action} && killed=$((killed + 1)) || "
        "[ $? = 1 ] || exit 9; dpkg --configure -a >/debs/log 2>&1 || true; "
        f"sh /debs/run.sh none {action} || [ $? = 1 ] || {{ echo again after $line; exit 9; }}; "
        f"({back}) >/debs/log 2>&1 || {{ cat /debs/log; exit 9; }}; done; echo killed $killed"
    )
    # What a script does may depend on what was done before: the last lines are not there each time.
    killed = int(said.rsplit(maxsplit=1)[1])
    assert killed >= len(numbers) * 3 // 4
    print(f"{action}: killed at {killed} of {len(lines)} lines")
