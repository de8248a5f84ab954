# SPDX-License-Identifier: MIT
"""The preset of packaging/mkosi: built by the real mkosi, booted as a disk by qemu, /usr updated from A to B."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.packages.qemu import Disk
from tests.packages.rootdir import PackagedRoot

PASSWORD = "geheim-0815"
# Who is in the image; the next one has a user more.
PEOPLE = f"""\
#!/bin/sh
set -eu
useradd -m -s /bin/bash bob
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
UPDATES = """\
mkdir /root/updates
cp build/mkosi/stateless_2.efi /root/updates/
cp build/mkosi/stateless_2.usr.*.raw /root/updates/
mkfs.ext4 -q -d /root/updates /root/updates.raw 1500M
cp /usr/share/OVMF/OVMF_VARS_4M.fd /root/
"""


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackagedRoot]:
    """A root with two versions of the image in /root/tree/build/mkosi, and a disk of what an update needs."""
    place = tmp_path_factory.mktemp("mkosi")
    debs = PackagedRoot("debian-13-packaging", place / "debs")
    debs.check_out()
    debs.run("cd /root/tree && scripts/deb.sh build/debs")
    root = PackagedRoot("debian-13-imagers", place / "images")
    root.check_out()
    shutil.copytree(debs.path / "root/tree/build/debs", root.path / "root/tree/build/debs")
    shutil.rmtree(place / "debs")
    root.run("mkdir -p /root/sandbox/etc/apt/sources.list.d; dpkg -i /root/tree/build/debs/stateless-accounts_*.deb")
    (root.path / "root/sandbox/etc/apt/sources.list.d/mkosi.sources").write_text(SOURCES)
    (root.path / "root/people.chroot").write_text(PEOPLE)
    (root.path / "root/people.chroot").chmod(0o755)
    for version in ("1", "2"):
        root.run(
            "mkdir -p /root/tree/build/mkosi; cd /root/tree/packaging/mkosi; "
            f"mkosi --image-version {version} --postinst-script /root/people.chroot --sandbox-tree /root/sandbox "
            "--workspace-directory /var/tmp build"
        )
    root.run("cd /root/tree; " + UPDATES)
    yield root
    shutil.rmtree(place)


def test_an_update_of_usr_keeps_what_is_local(builder: PackagedRoot) -> None:
    disk = "/root/tree/build/mkosi/stateless_1.raw"
    with Disk(builder, disk, "/root/updates.raw") as machine:
        machine.login("root", PASSWORD)
        assert machine.run("systemctl is-system-running --wait") == "running"
        assert machine.run("ls /etc/passwd /etc/group /etc/shadow 2>/dev/null") == ""
        assert machine.run("findmnt -no OPTIONS /usr | cut -d, -f1; . /etc/os-release; echo $IMAGE_VERSION") == "ro\n1"
        machine.run("useradd -m -s /bin/bash carol; usermod -aG video bob; userdel games")
        local = machine.run("cat /etc/passwd /etc/group /etc/accounts/hidden | sort")
        assert "video:x:44:bob" in local
        machine.run(
            "mkdir -p /var/updates; mount -o ro /dev/vdb /var/updates; /usr/lib/systemd/systemd-sysupdate update"
        )
        machine.power_off()
    with Disk(builder, disk) as machine:
        machine.login("root", PASSWORD)
        assert machine.run("findmnt -no OPTIONS /usr | cut -d, -f1; . /etc/os-release; echo $IMAGE_VERSION") == "ro\n2"
        assert machine.run("cat /etc/passwd /etc/group /etc/accounts/hidden | sort") == local
        assert machine.run("id -un newsvc; id -nG bob; id -un carol") == "newsvc\nbob video\ncarol"
        assert "no such user" in machine.run("id games")
        assert machine.run("accounts check") == ""
        assert machine.run("systemctl is-system-running --wait") == "running"
