# SPDX-License-Identifier: MIT
"""pam_accounts in booted roots: forced changes at the console and over ssh, with a quality module before it.

Debian 12; ACCOUNTS_FULL: Debian 13, too.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from accounts.image.wire import wire
from tests.clients.clients import PASSWORD_HASH
from tests.clients.console import Console
from tests.support import nspawn
from tests.support.roots.cached import available, copy_root
from tests.support.roots.debian import DebianRoot, install_stateless

pytestmark = pytest.mark.skipif(
    not (available() and nspawn.available()), reason="needs root, systemd-nspawn and debootstrap"
)

OLD, WEAK, NEW = "secret", "secret12", "Xk3!vbe9Qz.tU"
NAMES = ["debian-12-passwdqc", *(["debian-13-passwdqc"] if os.environ.get("ACCOUNTS_FULL") else [])]
# Their password the image ships as one that has to be changed.
SHIPPED = {"ivy-ssh": "18000:0:90", "ivy-console": "0:0:99999"}
SSH = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR {}@127.0.0.1"
# pam_passwdqc's own; the module behind it asks for nothing.
QUALITY = (("Enter new password: ", WEAK), ("Enter new password: ", NEW), ("Re-type new password: ", NEW))


def build(place: Path, name: str) -> Path:
    """Our tools over Debian's, wired with --pam; root and the users of the image have OLD."""
    root = DebianRoot(str(copy_root(name, place)))
    root.check(f"usermod -p '{PASSWORD_HASH}' root")
    for number, user in enumerate(("ivy", *SHIPPED), 1500):
        root.check(f"useradd -m -s /bin/bash -u {number} -p '{PASSWORD_HASH}' {user}")
    shadow = place / "etc/shadow"
    rows = []
    for row in shadow.read_text().splitlines():
        user, password, *_ = row.split(":")
        rows.append(f"{user}:{password}:{SHIPPED[user]}:7:::" if user in SHIPPED else row)
    shadow.write_text("\n".join(rows) + "\n")
    install_stateless(root)
    wire(place, with_pam=True)
    often = place / "etc/systemd/system/console-getty.service.d/often.conf"
    often.parent.mkdir(parents=True)
    often.write_text("[Unit]\nStartLimitIntervalSec=0\n")
    return place


def change_at_console(console: Console, user: str) -> None:
    """Log in, be made to change the password, have a weak one refused, and be in."""
    console.expect("login: ")
    console.type(user)
    for question, answer in (("Password: ", OLD), ("Current password: ", OLD), *QUALITY):
        console.expect(question)
        console.type(answer)
    console.expect(f"{user}@")
    console.leave()


def change_by_ssh(console: Console, user: str) -> None:
    """The same over ssh, where sshd runs passwd(1) and hangs up."""
    said = console.answer(SSH.format(user), ("password: ", OLD), ("Current password: ", OLD), *QUALITY)
    assert "passwd: password updated successfully" in said, said


@pytest.mark.parametrize("name", NAMES)
def test_a_forced_change_at_the_login(name: str, tmp_path: Path) -> None:
    root = build(tmp_path / "root", name)
    image = {name: (root / "usr/lib" / name).read_bytes() for name in ("passwd", "shadow")}
    with Console(root) as console:
        console.login("root", OLD)
        # What PAM changes by itself needs no row in passwd; a check finds PAM as it should be.
        assert console.run("passwd -q -e ivy; test -e /etc/passwd; echo $?") == "1"
        assert "pam-" not in console.run("accounts check")
        for number, user in enumerate(("bob-ssh", "bob-console"), 1600):
            console.run(f"useradd -m -s /bin/bash -u {number} -p '{PASSWORD_HASH}' {user}; chage -d 0 {user}")
        for user in ("ivy-ssh", "bob-ssh"):
            change_by_ssh(console, user)
        console.leave()
        for user in ("ivy-console", "bob-console", "ivy"):
            change_at_console(console, user)
        for user in ("ivy", "ivy-console", "bob-console"):
            console.login(user, NEW)
            console.leave()
        console.login("root", OLD)
        for user in ("ivy-ssh", "bob-ssh"):
            assert f"uid=1{'5' if user[0] == 'i' else '6'}" in console.answer(
                SSH.format(user) + " id", ("password: ", NEW)
            )
        log = console.run("journalctl -q --no-pager -o cat | grep 'pam_accounts(.*password changed' | sort")
        assert log.splitlines() == [
            *(
                f"pam_accounts(login:chauthtok): password changed for {user}"
                for user in ("bob-console", "ivy", "ivy-console")
            ),
            *(f"pam_accounts(passwd:chauthtok): password changed for {user}" for user in ("bob-ssh", "ivy-ssh")),
        ]
    passwd, shadow = ((root / "etc" / name).read_text().splitlines() for name in ("passwd", "shadow"))
    assert sorted(row.split(":")[0] for row in passwd) == ["bob-console", "bob-ssh"]
    assert sorted(row.split(":")[0] for row in shadow) == ["bob-console", "bob-ssh", "ivy", *sorted(SHIPPED)]
    # The delta of an image user is that row, with a hash as the stack says and nothing else of it changed.
    for row in shadow:
        user, hashed, _, *days = row.split(":")
        assert hashed.startswith("$y$"), row
        if user in SHIPPED:
            assert days[:2] == SHIPPED[user].split(":")[1:], row
    assert {name: (root / "usr/lib" / name).read_bytes() for name in image} == image
