# SPDX-License-Identifier: MIT
"""A Debian 12 whose /etc the rules have emptied boots to a login, keeps its state, and does so again when wiped.

Accounts are moved to the image layer by hand here: seed has tests of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.image.rules import load_rules
from accounts.image.stateless import apply_rules
from tests.support.installation import install
from tests.support.nspawn import Machine, available
from tests.support.roots.cached import copy_root

TOP = Path(__file__).parents[2]
PASSWORD = "secret"
# crypt(3) of it with $6$ and a fixed salt, as `openssl passwd -6 -salt abcdefgh secret` makes it.
HASH = subprocess.run(
    ["openssl", "passwd", "-6", "-salt", "abcdefgh", PASSWORD], capture_output=True, text=True
).stdout.strip()
MOTD = "The programs included with the Debian GNU/Linux system are free software;"

pytestmark = pytest.mark.skipif(
    not available() or shutil.which("debootstrap") is None or not HASH,
    reason="needs root, systemd-nspawn, debootstrap and openssl",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cached root, its /etc emptied by the rules, its accounts in /usr/lib, our module and boot unit in it."""
    place = copy_root("debian-12-systemd-ssh-python", tmp_path_factory.mktemp("boot") / "root")
    install(place)
    report = apply_rules(place, load_rules([TOP / "nss-data/rules/debian-12-systemd-ssh.rules"]), check_empty="error")
    assert not report.failed
    etc, layer = place / "etc", place / "usr/lib"
    for name in ("passwd", "group", "shadow", "gshadow"):
        (etc / name).rename(layer / name)
    for name in ("subuid", "subgid", "nsswitch.conf"):
        (etc / name).unlink()
    assert os.listdir(etc) == []
    add(layer / "passwd", "bob:x:1000:1000::/home/bob:/bin/bash\n")
    add(layer / "group", "bob:x:1000:\n")
    shadow = (layer / "shadow").read_text().replace("root:*:", f"root:{HASH}:", 1)
    assert HASH in shadow
    (layer / "shadow").write_text(f"{shadow}bob:{HASH}:19000::::::\n")
    (place / "home/bob").mkdir()
    os.chown(place / "home/bob", 1000, 1000)
    yield place
    shutil.rmtree(place)


def add(file: Path, text: str) -> None:
    file.write_text(file.read_text() + text)


def state(machine: Machine) -> str:
    return machine.run("systemctl is-system-running --wait; systemctl --failed --no-legend --plain")


def test_from_an_empty_etc_to_a_login(root: Path) -> None:
    with Machine(root) as machine:
        assert MOTD in machine.login("root", PASSWORD)
        assert state(machine) == "running"
        # All other entries are links to the image and directories.
        assert machine.run("cd /etc; find . -path ./skel -prune -o -type f -print | sort | tr '\\n' ' '") == (
            "./.pwd.lock ./machine-id ./ssh/ssh_host_ecdsa_key ./ssh/ssh_host_ecdsa_key.pub "
            "./ssh/ssh_host_ed25519_key ./ssh/ssh_host_ed25519_key.pub ./ssh/ssh_host_rsa_key "
            "./ssh/ssh_host_rsa_key.pub"
        )
        assert machine.run("find /etc -xtype l") == ""  # no link dangles
        assert machine.run(". /etc/os-release; echo $ID") == "debian"
        # A directory of files: a copy of it, as systemd-homed and people make one, has no link to the image.
        copied = machine.run("cp -r /etc/skel /tmp/x; find /tmp/x -type f -printf '%P '; find /tmp/x -type l")
        assert sorted(copied.split()) == [".bash_logout", ".bashrc", ".profile"]
        assert machine.run("find /etc/systemd /etc/pam.d/login 2>/dev/null") == ""
        assert machine.run("systemctl is-active ssh; sshd -T | grep ^usepam") == "active\nusepam yes"
        assert machine.run("id bob") == "uid=1000(bob) gid=1000(bob) groups=1000(bob)"
        path = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
        assert machine.run("su - bob -c 'id -un; echo $PATH'") == f"bob\n{path}"
        assert machine.run("echo 'bob ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/bob; chmod 440 /etc/sudoers.d/bob") == ""
        assert machine.run("su bob -c 'sudo -n id -un' 2>/dev/null") == "root"
        # Nobody misses a file in /etc, but for the one that this Debian never had (package locales makes it).
        missed = machine.run("journalctl -b -q --no-pager -p warning | grep /etc/ | grep -v /etc/default/locale")
        assert missed == ""

    # The same machine again: its state is there, and motd is replaced and comes back.
    (root / "etc/motd").write_text("mind the gap\n")
    keys = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
    with Machine(root) as machine:
        shown = machine.login("bob", PASSWORD)
        assert "mind the gap" in shown
        assert MOTD not in shown
        assert machine.run("sudo -n rm /etc/motd 2>/dev/null; id -un") == "bob"
        machine.type("exit")
        shown = machine.login("bob", PASSWORD)
        assert MOTD in shown
        assert "mind the gap" not in shown
    assert (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text() == keys

    # Factory reset.
    shutil.rmtree(root / "etc")
    (root / "etc").mkdir()
    with Machine(root) as machine:
        assert MOTD in machine.login("root", PASSWORD)
        assert state(machine) == "running"
        assert machine.run("ls /etc/sudoers.d") == "README"
    assert (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text() != keys
