# SPDX-License-Identifier: MIT
"""accounts-apply.service: what is declared is there before anybody logs in, and before its services start."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.image.test_boot import PASSWORD, TOP, hashed
from tests.support.nspawn import Machine, available
from tests.support.roots.cached import copy_root

pytestmark = pytest.mark.skipif(not available(), reason="needs root and systemd-nspawn")

SERVICE = """\
[Service]
Type=oneshot
User=svc
ExecStart=sh -c 'id -un; id -Gn'
StandardOutput=file:/run/svc-was
[Install]
WantedBy=multi-user.target
"""


def make_machine(path: Path) -> Path:
    """A Debian with the tools and no image layer: apply does not need one."""
    copy_root("debian-12-systemd-ssh-python", path)
    tools = os.environ.get("ACCOUNTS_TOOLS")
    if tools is not None:
        subprocess.run(["cp", "-a", "--no-preserve=ownership", f"{TOP / tools}/.", path], check=True)
    else:
        subprocess.run(["make", "-s", "-C", TOP, "install", f"DESTDIR={path}", "PREFIX=/usr"], check=True)
    return path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def test_declared_users_are_there_at_boot(tmp_path: Path) -> None:
    root = make_machine(tmp_path / "root")
    password = hashed(PASSWORD)
    team = root / "usr/lib/accounts.d/10-team.toml"
    write(
        team,
        f'[groups.crew]\n[users.alice]\nshell = "/bin/bash"\npassword = "{password}"\ngroups = ["crew"]\n'
        '[users.svc]\nsystem = true\ngroups = ["crew"]\nhome = "/"\nshell = "/usr/sbin/nologin"\n',
    )
    write(root / "etc/accounts.d/20-root.toml", f'[users.root]\npassword = "{password}"\n')
    unit = "etc/systemd/system/accounts-apply.service.d/dora.conf"
    write(root / unit, "[Service]\nLoadCredential=accounts.password.dora\n")
    write(root / "etc/systemd/system/svc.service", SERVICE)
    (root / "etc/systemd/system/multi-user.target.wants").mkdir(exist_ok=True)
    (root / "etc/systemd/system/multi-user.target.wants/svc.service").symlink_to("../svc.service")
    credentials = (
        '--set-credential=accounts.toml:[users.dora]\npassword-credential = "accounts.password.dora"\n',
        f"--set-credential=accounts.password.dora:{password}",
    )
    with Machine(root, *credentials) as machine:
        machine.login("alice", PASSWORD)
        assert machine.run("id -Gn; pwd; stat -c %U ~") == "alice crew\n/home/alice\nalice"
        machine.type("exit")
        machine.login("root", PASSWORD)
        assert machine.run("systemctl show -P ActiveState -P ExecMainStatus accounts-apply") == "0\nactive"
        assert machine.run("cat /run/svc-was") == "svc\nsvc crew"
        assert machine.run("getent passwd dora | cut -d: -f6; cut -d: -f1,2 /etc/shadow | grep dora") == (
            f"/home/dora\ndora:{password}"
        )
        assert machine.run("stat -c '%a %U' /etc/accounts/applied; accounts apply --check; echo $?").endswith("\n0")

    # The next image declares alice no more, and nobody passes credentials.
    write(team, "[groups.crew]\n[users.svc]\nsystem = true\ngroups = ['crew']\n[users.erin]\n")
    with Machine(root) as machine:
        machine.expect("login: ")
        machine.type("alice")
        machine.expect("Password: ")
        machine.type(PASSWORD)
        machine.expect("Login incorrect")
        machine.expect("login: ")
        machine.type("root")
        machine.expect("Password: ")
        machine.type(PASSWORD)
        machine.expect("root@")
        machine.type("PS1= PS2=; stty -echo; echo in-$((40+2))")
        machine.expect("in-42\n")
        assert machine.run("passwd -S alice | cut -d' ' -f2; id -Gn alice; ls /home").split() == (
            ["L", "alice", "alice", "dora", "erin"]
        )
        assert machine.run("journalctl -b -q -u accounts-apply -o cat | grep ^user") == (
            "user alice: locked: it is declared no more\nuser dora: locked: it is declared no more\n"
            "user erin: made, UID 1002\nuser erin: home /home/erin made\nuser alice: leaves group crew"
        )
