# SPDX-License-Identifier: MIT
"""A Debian 13 with its accounts in the image layer: systemd 257, glibc 2.41 and Python 3.13 use it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.image.test_boot import ACCOUNTS, PASSWORD, account_files, build, hashed, leave, run
from tests.support.nspawn import Machine, available

pytestmark = pytest.mark.skipif(
    not available() or shutil.which("debootstrap") is None, reason="needs root, systemd-nspawn and debootstrap"
)


def test_from_seed_to_a_login(tmp_path: Path) -> None:
    root = build(tmp_path / "root", system="debian-13-systemd-ssh-python")
    (root / "etc/machine-id").write_text("uninitialized\n")  # a first boot, for which systemd-firstboot is there
    run(ACCOUNTS, "image", "seed", root)
    run(ACCOUNTS, "image", "wire", root)
    assert "fine" in run(ACCOUNTS, "image", "check", root)

    with Machine(root) as machine:
        machine.login("bob", PASSWORD)  # a user of the image
        assert machine.run("id") == "uid=1000(bob) gid=1000(bob) groups=1000(bob)"
        leave(machine)
        machine.login("root", PASSWORD)
        assert machine.run("systemctl is-system-running --wait") == "running"
        # Neither systemd-firstboot nor systemd-sysusers asks or writes a row: /etc has none after the first boot.
        assert account_files(machine) == ["subgid", "subuid"]
        assert machine.run("getent passwd sshd messagebus | cut -d: -f1") == "sshd\nmessagebus"
        machine.run(f"useradd -m -s /bin/bash -p '{hashed(PASSWORD)}' carol; usermod -aG video,carol bob")
        assert machine.run("cat /etc/group") == "carol:x:1001:bob\nvideo:x:44:bob"
        assert machine.run("accounts check") == ""
        leave(machine)
        machine.login("carol", PASSWORD)  # a user of this machine
        assert machine.run("id; stat -c %U ~") == "uid=1001(carol) gid=1001(carol) groups=1001(carol)\ncarol"
