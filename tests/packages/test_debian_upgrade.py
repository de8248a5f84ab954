# SPDX-License-Identifier: MIT
"""A machine of Debian 12 with our packages becomes one of Debian 13, with these and then with those of 13."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.packages.rootdir import TOOLS, PackagedRoot, root_with
from tests.packages.versions import PACKAGES

# Every tool is called as often as this comes round while the release is changed; what it says when it cannot run.
WATCH = r"""
: >/root/failed
while [ ! -e /root/done ]; do
    for tool in useradd groupadd usermod passwd; do
        said=$($tool --help 2>&1) || echo "$tool: $said" >>/root/failed
    done
    echo round >>/root/rounds
done
"""
# While libc6 2.36 becomes 2.41, ld.so and libc.so.6 are of two versions for a moment: Debian's own useradd, passwd and
# python3 end so, too (tried with a root that has nothing of ours).
LIBC = re.compile(r"stack smashing detected|error while loading shared libraries|symbol lookup error|GLIBC")
UPGRADE = r"""
export DEBIAN_FRONTEND=noninteractive
sed -i s/bookworm/trixie/ /etc/apt/sources.list $(ls /etc/apt/sources.list.d/* 2>/dev/null)
apt-get -qq update
sh /root/watch & watch=$!
apt-get -q -y -o Dpkg::Options::=--force-confold full-upgrade >/root/log 2>&1 || { tail -n 50 /root/log; exit 1; }
touch /root/done; wait $watch
apt-get -q -y autoremove >>/root/log
"""


@pytest.fixture(scope="module")
def machine(build_debs: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackagedRoot]:
    """Debian 12 with the packages, and those for 13 waiting in /root/13."""
    place = tmp_path_factory.mktemp("upgraded")
    root = root_with(build_debs("12"), "12", place)
    shutil.copytree(build_debs("13"), root.path / "root/13")
    (root.path / "root/watch").write_text(WATCH)
    root.run("dpkg -i /debs/*.deb && useradd -m alice && usermod -aG video alice")
    yield root
    shutil.rmtree(place)


def whose(machine: PackagedRoot) -> str:
    """What dpkg says of the tools that callers find."""
    return machine.run(f"for tool in {' '.join(TOOLS)}; do readlink -f $(command -v $tool) || true; done")


def test_the_release_is_changed_below(machine: PackagedRoot) -> None:
    machine.run(UPGRADE)
    assert machine.run(". /etc/os-release; echo $VERSION_ID") == "13\n"
    failed = machine.run("cat /root/failed").splitlines()
    assert [line for line in failed if not LIBC.search(line)] == []
    assert int(machine.run("wc -l </root/rounds")) > 20
    assert machine.run("id -nG alice") == "alice video\n"
    machine.run("useradd after && userdel after; accounts check")
    assert set(whose(machine).split()) == {f"/usr/lib/accounts/tools/{tool}" for tool in TOOLS}


def test_then_come_the_packages_of_that_release(machine: PackagedRoot) -> None:
    """They are newer to dpkg, and are like the shadow-utils of that release."""
    machine.run("dpkg --refuse-downgrade -i /root/13/*.deb")
    assert "~deb13" in machine.run("dpkg-query -W -f '${Version}' stateless-accounts-tools")
    machine.run("useradd after && userdel after; accounts check")
    assert set(whose(machine).split()) == {f"/usr/lib/accounts/tools/{tool}" for tool in TOOLS}


def test_removed_the_tools_are_those_of_that_release(machine: PackagedRoot) -> None:
    machine.run(f"dpkg --purge {' '.join(PACKAGES)}")
    assert machine.run("dpkg --verify passwd login login.defs util-linux; find /usr -name '*.distrib'") == ""
    assert machine.run("dpkg-divert --list | grep -c accounts || true").strip() == "0"
    machine.run("useradd after && userdel after && passwd --status root")
    assert "accounts" not in whose(machine)
    assert machine.run("id -nG alice") == "alice video\n"
