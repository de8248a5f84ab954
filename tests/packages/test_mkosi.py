# SPDX-License-Identifier: MIT
"""The preset of packaging/mkosi: built by the real mkosi, booted as a disk by qemu, /usr updated from A to B."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages.partitions import Partitions, read_partitions
from tests.packages.qemu import Disk
from tests.packages.rootdir import TOP, PackagedRoot
from tests.packages.tutorial import run_tutorial
from tests.support.nspawn import Machine, available

PASSWORD = "geheim-0815"
# Who is in the image; the next one has a user more. relay is not in sysusers.d, of which systemd makes users again.
PEOPLE = f"""\
#!/bin/sh
set -eu
useradd -m -s /bin/bash bob
useradd -r -s /usr/sbin/nologin relay
[ "$IMAGE_VERSION" = 1 ] || useradd -r -s /usr/sbin/nologin newsvc
echo root:{PASSWORD} | chpasswd
echo bob:{PASSWORD} | chpasswd
"""
# mkosi names a repository of debug packages besides, which not every mirror has.
SOURCES = """\
Types: deb
URIs: http://deb.debian.org/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
# What is not the tutorial's: who may log in, and where this test has its mirror and room.
LOCAL = """\
[Build]
SandboxTrees=/root/sandbox
WorkspaceDirectory=/var/tmp
[Content]
PostInstallationScripts=/root/people.chroot
"""
IMAGES = "root/tree/build/mkosi"
UPDATES = """\
mkdir /root/updates
cp build/mkosi/stateless_2.efi /root/updates/
cp build/mkosi/stateless_2.usr.*.raw /root/updates/
mkfs.ext4 -q -d /root/updates /root/updates.raw 1500M
"""
# A factory reset by hand: reset.md. What is in /etc then is what tmpfiles.d and the units of the image put there.
WIPE = "find /etc -xdev -mindepth 1 -delete; ls -A /etc"
NOTHING = "0 own users, 0 own groups, 0 memberships, 0 changed, 0 hidden, 0 problems"
# Under emulation a unit may run into its timeout: its name is told.
RUNNING = "systemctl is-system-running --wait || systemctl list-units --failed --plain --no-legend"
OPTIONS = "findmnt -no OPTIONS /usr | cut -d, -f1; . /etc/os-release; echo $IMAGE_VERSION"


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackagedRoot]:
    """A root with two versions of the image in /root/tree/build/mkosi, made as docs/start/mkosi.md says."""
    place = tmp_path_factory.mktemp("mkosi")
    debs = PackagedRoot("debian-13-packaging", place / "debs")
    debs.check_out()
    debs.run("cd /root/tree && scripts/deb.sh build/debs")
    root = PackagedRoot("debian-13-imagers", place / "images")
    root.check_out()
    shutil.copytree(debs.path / "root/tree/build/debs", root.path / "root/tree/build/debs")
    shutil.rmtree(place / "debs")
    root.run("ln -s /root/tree /src; mkdir -p /root/sandbox/etc/apt/sources.list.d; apt-get -q update")
    (root.path / "root/sandbox/etc/apt/sources.list.d/mkosi.sources").write_text(SOURCES)
    (root.path / "root/people.chroot").write_text(PEOPLE)
    (root.path / "root/people.chroot").chmod(0o755)
    (root.path / "root/tree/packaging/mkosi/mkosi.local.conf").write_text(LOCAL)
    # The packages are those from above: another root has what builds them.
    run_tutorial(root, TOP / "docs/start/mkosi.md", "test_mkosi.py", without="make -s deb")
    yield root
    shutil.rmtree(place)


def live_on_it(machine: Machine) -> str:
    """Log in as a user of the image, then as root, and change accounts; the local files."""
    machine.login("bob", PASSWORD)
    assert machine.run("id -un; grep -c bob /usr/lib/passwd; ls /etc/passwd 2>&1").startswith("bob\n1\nls: ")
    machine.type("exit")
    machine.login("root", PASSWORD)
    assert machine.run(RUNNING) == "running"
    assert machine.run(OPTIONS) == "ro\n1"
    assert machine.run("accounts status").endswith(NOTHING)
    assert machine.run("useradd -m -s /bin/bash carol && usermod -aG video bob && userdel relay; echo $?").endswith("0")
    shown = machine.run("accounts status")
    assert "1 own user, 0 own groups, 1 membership, 0 changed, 2 hidden, 0 problems" in shown, shown
    local = machine.run("cat /etc/passwd /etc/group /etc/accounts/hidden | sort")
    assert "video:x:44:bob" in local
    return local


def see_the_next(machine: Machine, local: str) -> None:
    """Log in to version 2: what is local is as it was, and what is new in the image is there."""
    machine.login("root", PASSWORD)
    assert machine.run(RUNNING) == "running"
    assert machine.run(OPTIONS) == "ro\n2"
    assert machine.run("cat /etc/passwd /etc/group /etc/accounts/hidden | sort") == local
    assert machine.run("id -un newsvc; id -nG bob; id -un carol") == "newsvc\nbob video\ncarol"
    assert "no such user" in machine.run("id relay")
    assert machine.run("accounts check") == ""


def see_nothing_of_it(machine: Machine) -> None:
    """Log in after a factory reset: the image's accounts, and no others."""
    machine.login("bob", PASSWORD)
    machine.type("exit")
    machine.login("root", PASSWORD)
    assert machine.run(RUNNING) == "running"
    assert machine.run("accounts status").endswith(NOTHING)
    assert machine.run("accounts check") == ""
    assert machine.run("id -un newsvc; id -un relay") == "newsvc\nrelay"
    assert "no such user" in machine.run("id carol")


@pytest.mark.skipif(not available(), reason="this machine cannot boot containers")
def test_its_partitions_boot_as_a_container(builder: PackagedRoot, tmp_path: Path) -> None:
    first, second = (tmp_path / f"{version}.raw" for version in (1, 2))
    for version, copy in ((1, first), (2, second)):
        made = builder.path / IMAGES / f"stateless_{version}.raw"
        subprocess.run(["cp", "--sparse=always", made, copy], check=True)
    assert sorted(read_partitions(first)) == ["_empty", "esp", "root", "stateless_1"]
    with Partitions(first, tmp_path / "1", "stateless_1") as machine:
        local = live_on_it(machine)
    with Partitions(first, tmp_path / "2", "stateless_2", second) as machine:
        see_the_next(machine, local)
        assert machine.run(WIPE) == ""
    with Partitions(first, tmp_path / "3", "stateless_2", second) as machine:
        see_nothing_of_it(machine)


def test_an_update_of_usr_keeps_what_is_local(builder: PackagedRoot) -> None:
    """With firmware, boot loader, the image's kernel and its real systemd-sysupdate."""
    builder.run("cd /root/tree; " + UPDATES)
    disk = "/root/tree/build/mkosi/stateless_1.raw"
    with Disk(builder, disk, "/root/updates.raw") as machine:
        local = live_on_it(machine)
        machine.run("mkdir -p /var/updates; mount -o ro /dev/vdb /var/updates")
        said = machine.run("/usr/lib/systemd/systemd-sysupdate update; echo status $?")
        assert said.endswith("status 0"), said
        machine.power_off()
    with Disk(builder, disk) as machine:
        see_the_next(machine, local)
        assert machine.run(WIPE) == ""
        machine.power_off()
    with Disk(builder, disk) as machine:
        see_nothing_of_it(machine)
        machine.power_off()
