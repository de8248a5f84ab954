# SPDX-License-Identifier: MIT
"""Debian's packages on machines that run: what listens goes on listening while another version comes in place."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packages.rootdir import Directory, PackagedRoot
from tests.packages.versions import PACKAGES, repack
from tests.support.nspawn import Machine, available
from tests.support.roots.cached import copy_root

ASK = """\
import socket
with socket.socket(socket.AF_UNIX) as service:
    service.connect("/run/accounts/self.socket")
    service.sendall(b'{"method": "org.varlink.service.GetInfo"}\\0')
    print(b"interfaces" in service.recv(65536))
"""
SOCKETS = "accounts-self.socket accounts-pwaccess.socket"


@pytest.mark.skipif(not available(), reason="systemd-nspawn cannot boot a machine here")
def test_the_sockets_listen_from_installation_to_removal(release: str, debs: Path, tmp_path: Path) -> None:
    maker = PackagedRoot(f"debian-{release}-systemd-ssh-python", tmp_path / "maker")
    shutil.copytree(debs, maker.path / "debs")
    repack(maker, "9.9")
    root = Directory(copy_root(f"debian-{release}-systemd-ssh-python", tmp_path / "root"))
    shutil.copytree(maker.path / "debs", root.path / "debs")
    root.run("echo root:geheim-0815 | chpasswd; useradd -m bob")
    (root.path / "debs/ask").write_text(ASK)
    with Machine(root.path) as machine:
        machine.login("root", "geheim-0815")
        active = f"systemctl is-active {SOCKETS}"
        said = machine.run("dpkg -i /debs/*.deb >/tmp/log || cat /tmp/log")
        assert machine.run(active).split() == ["active", "active"], said
        assert machine.run("su bob -c 'python3 /debs/ask'") == "True"
        started = machine.run(f"systemctl show -P ActiveEnterTimestampMonotonic {SOCKETS}")
        invocation = "systemctl show -P InvocationID accounts-self.service"
        first = machine.run(invocation)
        said = machine.run("dpkg -i /debs/9.9/*.deb >/tmp/log || cat /tmp/log")
        assert machine.run(invocation) != first
        assert machine.run(active).split() == ["active", "active"], said
        assert machine.run("su bob -c 'python3 /debs/ask'") == "True"
        assert machine.run(f"systemctl show -P ActiveEnterTimestampMonotonic {SOCKETS}") == started
        assert machine.run("systemctl --failed --plain --no-legend") == ""
        said = machine.run(f"dpkg -r {' '.join(PACKAGES)} >/tmp/log || cat /tmp/log")
        assert machine.run(active).split() == ["inactive", "inactive"], said
        assert machine.run("systemctl --all --plain --no-legend list-units 'accounts-*'") == ""
    subprocess.run(["rm", "-rf", root.path, maker.path], check=True)
