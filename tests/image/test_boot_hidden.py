# SPDX-License-Identifier: MIT
"""A user of the image who was removed cannot come in by any door; an own one of that name takes the place.

The story of an image that ships etcd, for a site that has its own: removed, made anew with another id, updated, reset.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.image.test_boot import PASSWORD, build, empty_etc, leave
from tests.support.nspawn import Machine, available

pytestmark = pytest.mark.skipif(
    not available() or shutil.which("debootstrap") is None, reason="needs root, systemd-nspawn and debootstrap"
)
# systemd-run --pipe loses output where its end and the unit's meet.
AS_ETCD = "rm -f /run/who; systemd-run -q --wait -p User=etcd -p StandardOutput=file:/run/who id -u && cat /run/who"
KEY = "ssh-keygen -q -t ed25519 -N '' -f /root/key"
SSH = "ssh -i /root/key -o StrictHostKeyChecking=no -o BatchMode=yes bob@127.0.0.1 id -un"


def test_a_hidden_user_is_gone_for_every_program(tmp_path: Path) -> None:
    first = build(tmp_path / "first", "etcd")
    empty_etc(first)
    second = build(tmp_path / "second", "etcd", "newsvc")
    empty_etc(second, first)
    with Machine(first) as machine:
        machine.login("root", PASSWORD)
        machine.run("mount -o remount,rw / 2>/dev/null; mkdir -p /run/sshd; systemctl start ssh")
        keys = "install -d -o bob -m 700 ~bob/.ssh; install -o bob -m 600 /root/key.pub ~bob/.ssh/authorized_keys"
        machine.run(f"{KEY}; {keys}")
        # As the image has them: every door is open.
        assert machine.run(SSH).split()[-1] == "bob"
        assert machine.run("su bob -c 'id -un'; sudo -u bob id -un 2>/dev/null") == "bob\nbob"
        image_id = machine.run("id -u etcd")
        assert machine.run(AS_ETCD) == image_id

        # What is left of bob's sessions.
        machine.run("systemctl stop user@1000; while systemctl -q is-active user-1000.slice; do sleep 0.2; done")
        # The console may have its echo again by now.
        hidden = machine.run("userdel etcd; userdel bob; cat /etc/accounts/hidden").split()
        names = [f"{file}:{user}" for file in ("passwd", "group", "shadow", "gshadow") for user in ("bob", "etcd")]
        assert [word for word in hidden if word.endswith((":bob", ":etcd"))] == [*names, "subuid:bob", "subgid:bob"]
        assert machine.run("getent passwd bob etcd; getent passwd | grep -c -e ^bob -e ^etcd").split()[-1] == "0"
        assert machine.run(f"{SSH}; echo $?").split()[-1] == "255"
        assert machine.run("su bob -c 'id -un'; echo $?").split()[-1] == "1"
        assert "unknown user" in machine.run("sudo -u bob id -un")
        assert machine.run(f"{AS_ETCD}; echo status $?").split()[-1] == "217"
        machine.type("exit")
        machine.expect("login: ")
        machine.type("bob")
        machine.expect("Password: ")
        machine.type(PASSWORD)
        machine.expect("Login incorrect")

    with Machine(first) as machine:  # early boot, too, knows it
        machine.login("root", PASSWORD)
        running = machine.run("systemctl is-system-running --wait || systemctl --failed --plain --no-legend")
        assert running == "running"
        assert machine.run("getent passwd bob etcd; ls /etc/passwd 2>&1 | grep -c etcd") == "0"
        assert machine.run("useradd -r -u 499 -s /bin/sh etcd; id -u etcd") == "499"
        assert machine.run(AS_ETCD) == "499"
        leave(machine)

    for name in ("etc", "home"):
        shutil.rmtree(second / name)
        (first / name).rename(second / name)
    with Machine(second) as machine:
        machine.login("root", PASSWORD)
        assert machine.run("getent passwd newsvc | cut -d: -f1; id -u etcd; getent passwd bob") == "newsvc\n499"
        machine.run("cd /etc && rm -f passwd group shadow gshadow && rm -rf accounts")
        assert machine.run("id -u etcd; id -un bob") == f"{image_id}\nbob"
