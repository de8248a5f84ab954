# SPDX-License-Identifier: MIT
"""A booted system with its accounts in /usr/lib: log in, change passwords, log in with them, expire and be refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.clients import PASSWORD_HASH
from tests.clients.console import Console
from tests.support import nspawn
from tests.support.roots.cached import available, copy_root
from tests.support.roots.debian import DebianRoot, install_stateless

pytestmark = pytest.mark.skipif(
    not (available() and nspawn.available()), reason="needs root, systemd-nspawn and debootstrap"
)

# pam_unix asks users for some quality, root for none.
FIRST, SECOND, THIRD = "secret", "Xk3!vbe9Qz", "r7%Tgb1wPa"
EXPIRED = "Your account has expired; please contact your system administrator."


def build(place: Path) -> Path:
    """A Debian 12 with our tools over its own; root and ivy, a human, are the image's."""
    root = DebianRoot(str(copy_root("debian-12-systemd-ssh-python", place)))
    root.check(f"useradd -m -s /bin/bash -u 1500 -p '{PASSWORD_HASH}' ivy; usermod -p '{PASSWORD_HASH}' root")
    install_stateless(root)
    # systemd stops restarting a getty that ends as often as ours.
    often = place / "etc/systemd/system/console-getty.service.d/often.conf"
    often.parent.mkdir()
    often.write_text("[Unit]\nStartLimitIntervalSec=0\n")
    return place


def test_log_in_change_the_password_log_in_expire(tmp_path: Path) -> None:
    root = build(tmp_path / "root")
    image = {name: (root / "usr/lib" / name).read_bytes() for name in ("passwd", "group", "shadow", "gshadow")}
    changed = "passwd: password updated successfully\nstatus-0"
    with Console(root) as console:
        console.login("ivy", FIRST)
        assert console.run("id; ls -d ~") == "uid=1500(ivy) gid=1500(ivy) groups=1500(ivy)\n/home/ivy"
        # She has no row in /etc, which is all that pam_unix changes: the service does it (accounts-self.socket).
        own = (("Current password: ", FIRST), ("New password: ", THIRD), ("Retype new password: ", THIRD))
        assert console.answer("passwd", *own) == changed
        console.leave()

        console.login("root", FIRST)
        new = (("New password: ", SECOND), ("Retype new password: ", SECOND))
        assert console.answer("passwd ivy", *new) == changed
        assert console.run("ls /etc/passwd /etc/group; cut -d: -f1 /etc/shadow").splitlines()[-1] == "ivy"
        assert console.run(f"useradd -m -s /bin/bash liz; echo liz:{FIRST} | chpasswd; usermod -aG video liz") == ""
        assert console.run("cut -d: -f1 /etc/passwd /etc/shadow") == "liz\nivy\nliz"
        console.leave()

        console.be_refused("ivy", FIRST, "Login incorrect")
        console.login("ivy", SECOND)
        console.leave()

        # A user of this machine changes her own, by the diverted set-uid program.
        console.login("liz", FIRST)
        assert console.run("id -Gn") == "liz video"
        own = (("Current password: ", FIRST), ("New password: ", THIRD), ("Retype new password: ", THIRD))
        assert console.answer("passwd", *own) == changed
        console.leave()
        console.login("liz", THIRD)
        console.leave()

        console.login("root", FIRST)
        # With rows in /etc an image user can, too: chfn makes the one in passwd, the password is in shadow.
        assert console.run("chfn -r 7 ivy; chage -E 0 liz") == ""
        console.leave()
        console.be_refused("liz", THIRD, EXPIRED)
        console.login("ivy", SECOND)
        own = (("Current password: ", SECOND), ("New password: ", THIRD), ("Retype new password: ", THIRD))
        assert console.answer("passwd", *own) == changed
        console.leave()
        console.login("ivy", THIRD)
        console.leave()

        console.login("root", FIRST)
        assert console.run("usermod -e 1970-01-02 ivy; chage -E -1 liz") == ""
        console.leave()
        console.be_refused("ivy", THIRD, EXPIRED)
        console.login("liz", THIRD)
    assert {name: (root / "usr/lib" / name).read_bytes() for name in image} == image
