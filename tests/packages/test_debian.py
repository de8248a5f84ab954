# SPDX-License-Identifier: MIT
"""Debian's packages in fresh roots of Debian 12 and 13: built, installed, used, upgraded, removed, purged."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages.rootdir import TOOLS, TOP, PackagedRoot, root_with
from tests.packages.versions import PACKAGES, repack


@pytest.fixture(scope="module")
def machine(release: str, debs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackagedRoot]:
    """A fresh root with the packages waiting in /debs."""
    place = tmp_path_factory.mktemp(f"machine{release}")
    root = root_with(debs, release, place)
    yield root
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def before(machine: PackagedRoot) -> set[str]:
    """What the root has without the packages."""
    machine.run("apt-get -qq update")
    return machine.list_files()


# The tools of `make install`, which is in /root/made, in front of Debian's that packaging/debian/divert put aside.
DIVERTED = "cd /root/tree; packaging/debian/divert /; cp -a /root/made/. /"
TOOL = "for tool in useradd passwd sg; do readlink -f $(command -v $tool); done"


def test_takes_over_what_divert_has_put_aside(machine: PackagedRoot, before: set[str]) -> None:
    subprocess.run(
        ["make", "-s", "-C", TOP, "install", f"DESTDIR={machine.path}/root/made"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    said = machine.try_out(
        f"{DIVERTED}; dpkg -i /debs/*.deb 2>&1; {TOOL}; dpkg-divert --list '*/useradd'; useradd probe\n"
        "packaging/debian/divert --undo / 2>&1 && exit 9\n"
        f"{TOOL}; dpkg --remove {' '.join(PACKAGES)}; {TOOL}; stat -c %a /usr/bin/passwd; userdel probe\n"
        "dpkg-divert --list '*.distrib'; ls /usr/*bin/*.distrib && exit 9; dpkg --verify passwd"
    )
    assert "the diversions of packaging/debian/divert are the package's now" in said
    ours = "".join(f"/usr/lib/accounts/tools/{tool}\n" for tool in ("useradd", "passwd", "sg"))
    assert said.count(ours) == 2
    assert "diversion of /usr/sbin/useradd to /usr/sbin/useradd.distrib by stateless-accounts-tools" in said
    assert "divert: /usr/sbin/useradd is diverted by the package stateless-accounts-tools: " in said
    assert "/usr/sbin/useradd\n/usr/bin/passwd\n/usr/bin/newgrp\n4755\n" in said
    assert "local diversion" not in said
    shutil.rmtree(machine.path / "root/made")


def test_what_others_have_diverted_stays_theirs(machine: PackagedRoot, before: set[str]) -> None:
    said = machine.try_out(
        "dpkg-divert --local --rename --divert /usr/sbin/useradd.distrib --add /usr/sbin/useradd\n"
        "echo '#!/bin/sh' >/usr/sbin/useradd; chmod 755 /usr/sbin/useradd\n"
        "dpkg-divert --package other --rename --divert /usr/bin/chage.other --add /usr/bin/chage\n"
        "cp -a /usr/bin/chage.other /usr/bin/chage; dpkg-divert --list >/tmp/diverted\n"
        "sha256sum /usr/*bin/* >/tmp/sums\n"
        f"dpkg -i /debs/*.deb 2>&1; dpkg -i /debs/stateless*.deb 2>&1; {TOOL}; dpkg --remove {' '.join(PACKAGES)}\n"
        "dpkg-divert --list | cmp - /tmp/diverted; sha256sum -c --quiet /tmp/sums"
    )
    assert said.count("tools-links: /usr/sbin/useradd is diverted by LOCAL, and stays as it is") == 2
    assert said.count("tools-links: /usr/bin/chage is diverted by other, and stays as it is") == 2
    assert "/usr/sbin/useradd\n/usr/lib/accounts/tools/passwd\n" in said


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
    repack(machine, "9.9", without="chfn")
    machine.run("dpkg -i /debs/9.9/*.deb")
    assert machine.run("dpkg-query -W -f '${Version}' stateless-accounts-tools").strip() == "9.9"
    machine.run("useradd after && userdel after")
    # A tool that the next version has no more is Debian's again; with the one before it would be ours again.
    assert machine.run("readlink -f /usr/bin/chfn; stat -c %a /usr/bin/chfn").split() == ["/usr/bin/chfn", "4755"]
    assert machine.run("dpkg-divert --truename /usr/bin/chfn").strip() == "/usr/bin/chfn"


NSS = "dpkg -i /debs/9.9/libnss-altfiles_*.deb"
COUNT = "grep -c altfiles /etc/nsswitch.conf || true"
TAKE_OUT = "sed -i 's/ altfiles//' /etc/nsswitch.conf"


@pytest.mark.parametrize(
    ("steps", "lines"),
    [
        ("dpkg -r libnss-altfiles", 0),
        (f"dpkg -r libnss-altfiles; {NSS}", 4),
        (f"dpkg -P libnss-altfiles; {NSS}", 4),
        # An administrator's word.
        (f"{TAKE_OUT}; {NSS}", 0),
        (f"{TAKE_OUT}; dpkg -r libnss-altfiles; {NSS}", 4),
    ],
)
def test_altfiles_is_asked_while_the_package_is_there(machine: PackagedRoot, steps: str, lines: int) -> None:
    said = machine.try_out(f"{steps}; {COUNT}; ls /etc/nsswitch.conf*")
    assert said.endswith(f"\n{lines}\n/etc/nsswitch.conf\n")


def test_nsswitch_conf_that_is_a_link(machine: PackagedRoot) -> None:
    """It stays one where nothing changes; else it becomes a file, and what it led to is as it was."""
    link = "cp /etc/nsswitch.conf /srv/nss; ln -sf /srv/nss /etc/nsswitch.conf"
    kept = machine.try_out(
        f"{link}; dpkg -r libnss-altfiles 2>&1; {COUNT}; grep -c altfiles /srv/nss\n"
        f"ln -sf /srv/nss /etc/nsswitch.conf; {NSS}; readlink /etc/nsswitch.conf"
    )
    assert "libnss-altfiles: /etc/nsswitch.conf, a link to /srv/nss, becomes a file\n" in kept
    assert "\n0\n4\n" in kept and kept.endswith("\n/srv/nss\n")


def test_the_module_stays_where_root_is_the_images(machine: PackagedRoot) -> None:
    seeded = "cp /etc/passwd /usr/lib/passwd; sed -i /^root:/d /etc/passwd"
    said = machine.try_out(
        f"{seeded}; dpkg -r libnss-altfiles 2>&1 && exit 9; id -un; {COUNT}\n"
        "accounts flatten; dpkg -r libnss-altfiles; id -un"
    )
    assert "libnss-altfiles: root is in /usr/lib/passwd alone: first accounts flatten" in said
    assert "\nroot\n4\n" in said and said.endswith("root\n")
    machine.try_out(f"{seeded}; ACCOUNTS_REMOVE=yes dpkg -r libnss-altfiles")


def test_dpkg_outside_of_the_root(machine: PackagedRoot) -> None:
    """Scripts that edit files do so below DPKG_ROOT; tools-links says that it does not."""
    said = machine.try_out(
        "mkdir -p /srv/root/etc; echo 'passwd: files' >/srv/root/etc/nsswitch.conf\n"
        "touch /srv/root/etc/nsswitch.conf.accounts-wanted; export DPKG_ROOT=/srv/root\n"
        "/var/lib/dpkg/info/libnss-altfiles:*.postinst configure; cat /srv/root/etc/nsswitch.conf; ls /srv/root/etc\n"
        "/usr/lib/accounts/tools-links add 2>&1 && exit 9 || true"
    )
    assert said.startswith("passwd: files altfiles\nnsswitch.conf\ntools-links: dpkg has to run this in the root")


# The modules as packages of another architecture, as whoever runs programs of it has them besides.
FOREIGN = """\
cd /root; dpkg --add-architecture i386
for name in libnss-altfiles libpam-accounts; do
    rm -rf x; dpkg-deb -R /debs/9.9/${name}_* x
    sed -i 's/^Architecture: .*/Architecture: i386/; /^Depends:/d' x/DEBIAN/control
    mv x/usr/lib/x86_64-linux-gnu x/usr/lib/i386-linux-gnu; sed -i s/x86_64/i386/ x/DEBIAN/md5sums
    dpkg-deb -Znone -b x $name.deb >/dev/null; dpkg -i $name.deb
done
"""
ASKED = "cat /etc/nsswitch.conf /etc/pam.d/common-password"


def test_what_is_left_of_another_architecture_is_asked(machine: PackagedRoot) -> None:
    both = machine.run(ASKED)
    assert both.count("altfiles") == 4 and both.count("pam_accounts.so") == 1
    for command in (
        FOREIGN,
        "dpkg --purge libnss-altfiles:amd64 libpam-accounts:amd64",
        "dpkg -i /debs/9.9/libnss-altfiles_*.deb /debs/9.9/libpam-accounts_*.deb",
        "dpkg --purge libnss-altfiles:i386 libpam-accounts:i386; dpkg --remove-architecture i386; rm -r /root/x",
    ):
        machine.run(command)
        assert machine.run(ASKED) == both, command


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
