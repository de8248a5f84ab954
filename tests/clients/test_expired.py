# SPDX-License-Identifier: MIT
"""Users of the image whose password has expired change it where they log in: console, ssh and su, with stock PAM.

ACCOUNTS_FULL: every kind of expiry at every door, else one of each.
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

OLD, NEW = "secret", "Xk3!vbe9Qz"
# Kind of expiry -> the command that makes it; the image ships the first two.
KINDS = {
    "fresh": "",
    "aged": "",
    "passwd": "passwd -q -e {}",
    "lastday": "chage -d 0 {}",
    "maxdays": "chage -M 7 {}",
    "xdays": "passwd -q -x 7 {}",
}
DOORS = ("console", "ssh", "su")
FULL = [(kind, door) for kind in KINDS for door in DOORS]
SHORT = [("fresh", "console"), ("aged", "ssh"), ("passwd", "su"), ("maxdays", "console"), ("lastday", "ssh")]
SHIPPED = {"fresh": "0:0:99999", "aged": "18000:0:90"}


def build(place: Path, name: str, users: list[str]) -> Path:
    """A Debian with our tools over its own, wired; root, ivy and the users are the image's."""
    root = DebianRoot(str(copy_root(name, place)))
    root.check(f"usermod -p '{PASSWORD_HASH}' root")
    for number, user in enumerate(["ivy", *users], 1500):
        root.check(f"useradd -m -s /bin/bash -u {number} -p '{PASSWORD_HASH}' {user}")
    shadow = place / "etc/shadow"
    rows = shadow.read_text().splitlines()
    for index, row in enumerate(rows):
        user, password, *_ = row.split(":")
        kind = user.partition("-")[0]
        days = SHIPPED.get(kind, "18000:0:99999")
        if user == "ivy" or kind in KINDS:
            rows[index] = f"{user}:{password}:{days}:7:::"
    shadow.write_text("\n".join(rows) + "\n")
    install_stateless(root)
    wire(place)
    # systemd-sysusers would lose this: video is the image's.
    (place / "usr/lib/sysusers.d/zz-video.conf").write_text("m ivy video\n")
    # systemd stops restarting a getty that ends as often as ours.
    often = place / "etc/systemd/system/console-getty.service.d/often.conf"
    often.parent.mkdir(parents=True)
    often.write_text("[Unit]\nStartLimitIntervalSec=0\n")
    return place


def change_at_console(console: Console, user: str) -> None:
    """Log in, be made to change the password, and be in."""
    console.expect("login: ")
    console.type(user)
    for question, answer in (("Password: ", OLD), ("Current password: ", OLD), ("New password: ", NEW)):
        console.expect(question)
        console.type(answer)
    console.expect("Retype new password: ")
    console.type(NEW)
    console.expect(f"{user}@")
    console.leave()


def change_by_ssh(console: Console, user: str) -> None:
    """The same as ivy over ssh, where sshd runs passwd(1) and hangs up."""
    said = console.answer(
        f"ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR {user}@127.0.0.1",
        *(("password: ", OLD), ("Current password: ", OLD), ("New password: ", NEW), ("Retype new password: ", NEW)),
    )
    assert "passwd: password updated successfully" in said, said


def change_by_su(console: Console, user: str) -> None:
    """The same as ivy by su(1): a set-uid program, whose real uid is hers."""
    said = console.answer(
        f"su -c id {user}",
        *(("Password: ", OLD), ("Current password: ", OLD), ("New password: ", NEW), ("Retype new password: ", NEW)),
    )
    assert f"({user})" in said, said


@pytest.mark.parametrize("name", ["debian-12-systemd-ssh-python", "debian-13-systemd-ssh-python"])
def test_an_expired_password_is_changed_at_every_door(name: str, tmp_path: Path) -> None:
    dialogues = FULL if os.environ.get("ACCOUNTS_FULL") else SHORT
    users = [f"{kind}-{door}" for kind, door in dialogues]
    root = build(tmp_path / "root", name, users)
    image = {name: (root / "usr/lib" / name).read_bytes() for name in ("passwd", "shadow")}
    with Console(root) as console:
        console.login("root", OLD)
        commands = [KINDS[kind].format(f"{kind}-{door}") for kind, door in dialogues if KINDS[kind]]
        assert console.run("; ".join(commands)) == ""
        rows = {f"{kind}-{door}" for kind, door in dialogues if KINDS[kind]}
        assert set(console.run("cut -d: -f1 /etc/passwd").split()) == rows
        console.leave()
        # A login whose password has not expired leaves nothing behind.
        console.login("ivy", OLD)
        assert console.run("id -Gn; cat /etc/group") == "ivy video\nvideo:x:44:ivy"
        for kind, door in dialogues:
            if door == "ssh":
                change_by_ssh(console, f"{kind}-{door}")
            elif door == "su":
                change_by_su(console, f"{kind}-{door}")
        console.leave()
        for kind, door in dialogues:
            if door == "console":
                change_at_console(console, f"{kind}-{door}")
        for user in users:
            console.login(user, NEW)
            console.leave()
        # DebianRoot too: expired by a command, and changed at the console.
        console.login("root", OLD)
        assert console.run("cut -d: -f1 /etc/passwd | sort") == "\n".join(sorted(users))
        assert console.run("passwd -q -e root") == ""
        console.leave()
        change_at_console(console, "root")
        console.login("root", NEW)
        assert console.run("cut -d: -f1 /etc/shadow | sort") == "\n".join(sorted([*users, "root"]))
    assert {name: (root / "usr/lib" / name).read_bytes() for name in image} == image
