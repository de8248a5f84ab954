# SPDX-License-Identifier: MIT
"""rpm on a root whose accounts are in the image layer: Debian 13's 4.20 installs a file of an image user and group."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from accounts.image.check import check
from accounts.image.rpm import CONFIGURATION, MACROS, format_macros
from accounts.image.seed import seed
from accounts.image.thaw import freeze, thaw
from accounts.image.wire import wire
from tests.image.rootfs import make, make_wirable_root
from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import TOP, debian_root

SPEC = """\
Name: t
Version: 1
Release: 1
Summary: t
License: MIT
BuildArch: noarch
%description
t
%install
mkdir -p %{buildroot}/srv
echo >%{buildroot}/srv/t
%files
%attr(0640,imageuser,imagegroup) /srv/t
"""
INSTALL = "rpm -i --nodeps /srv/RPMS/noarch/t-1-1.noarch.rpm; stat -c %u:%g:%a /srv/t; rpm -e --nodeps t"


def _install_around() -> list[str]:
    """What rpm says, and the owner of the file: after seed, after wire, thawed, frozen, with a user of /etc."""
    said = []
    with debian_root(False, "debian-13-rpm") as root:
        top = Path(root.path)
        (top / "srv/t.spec").write_text(SPEC)
        root.check("rpmbuild --define '_topdir /srv' -bb /srv/t.spec")
        shutil.copy(TOP / "nss/build/libnss_altfiles.so.2", top / "usr/lib/x86_64-linux-gnu")
        with open(top / "etc/passwd", "a") as passwd, open(top / "etc/group", "a") as group:
            passwd.write("imageuser:x:990:990::/:/bin/sh\n")
            group.write("imagegroup:x:991:\n")
        seed(top)
        said.append(root.run(INSTALL).output)
        wire(top, boot=False)
        for change in (None, thaw, freeze):
            if change is not None:
                change(top)
            said.append(root.run(INSTALL).output)
    return said


@pytest.mark.skipif(not available(), reason="needs root and debootstrap")
def test_files_belong_to_users_of_the_image() -> None:
    subprocess.run(["make", "-s", "-C", TOP / "nss"], check=True)
    without, *wired = in_child(_install_around)
    assert without.endswith("\n0:0:640\n") and "user imageuser does not exist - using root" in without
    assert wired == ["990:991:640\n"] * 3


def test_wire_writes_the_macros_where_rpm_knows_them_and_check_misses_them(tmp_path: Path) -> None:
    older = make_wirable_root(tmp_path / "older", {CONFIGURATION[1:]: "%_dbpath /var/lib/rpm\n"})
    wire(older)
    assert not (older / MACROS[1:]).exists()
    root = make_wirable_root(tmp_path / "r", {CONFIGURATION[1:]: "%_passwd_path\t\t/etc/passwd\n"})
    assert "rpm" in {one.rule for one in check(root).findings}
    assert MACROS in wire(root).changed
    assert (root / MACROS[1:]).read_bytes() == format_macros("/usr/lib")
    assert "rpm" not in {one.rule for one in check(root).findings}
    assert wire(root).changed == []
    make(root, {MACROS[1:]: "%_passwd_path /etc/passwd\n"})
    assert "rpm" in {one.rule for one in check(root).findings}
