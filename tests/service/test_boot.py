# SPDX-License-Identifier: MIT
"""The service where it belongs: behind its sockets in a booted stateless Debian 12 and 13, hardened by its unit.

IVY is a user of the image. There is no set-uid program for accounts, and her shell could not use one.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.installation import install
from tests.support.nspawn import Machine, available
from tests.support.roots.cached import copy_root

TOP = Path(__file__).parents[2]
OLD, NEW = "Secret-123", "Xk3!vbe9Qz"
MOST_EXPOSED = 2.0
BARE = "setpriv --no-new-privs"
# Behind the service's socket is the UID that the kernel sees: root of her own user namespace is ivy still.
ASK = (
    "import json, socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/account/pwaccess-socket'); "
    "s.sendall(json.dumps({'method': 'org.openSUSE.pwaccess.GetUserRecord', 'parameters': {'uid': 0}}).encode() + "
    "b'\\0'); print(s.recv(65536).decode().strip('\\0'))"
)
RELEASES = ("debian-12", "debian-13") if os.environ.get("ACCOUNTS_BOOTS") else ("debian-12",)

pytestmark = pytest.mark.skipif(not available(), reason="needs root and systemd-nspawn")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(release: str, place: Path) -> None:
    """An image with our tools and ivy; the accounts of /etc are seeded."""
    copy_root(f"{release}-systemd-ssh-python", place)
    install(place)
    hashed = run("openssl", "passwd", "-6", "-salt", "abcdefgh", OLD).strip()
    run(TOP / "shims/usermod", "--prefix", place, "-p", hashed, "root")
    run(TOP / "shims/useradd", "--prefix", place, "-m", "-s", "/bin/bash", "-p", hashed, "ivy")
    (place / "ask.py").write_text(ASK)
    run(TOP / "shims/accounts", "image", "seed", place)
    run(TOP / "shims/accounts", "image", "wire", place)


@pytest.mark.parametrize("release", RELEASES)
def test_an_image_user_changes_what_is_hers(release: str, tmp_path: Path) -> None:
    build(release, tmp_path / "root")
    with Machine(tmp_path / "root") as machine:
        machine.login("ivy", OLD)
        # No set-uid or set-gid program can help, and none is about accounts.
        special = machine.run("find / -xdev -perm /6000 -type f 2>/dev/null").split()
        tools = ("passwd", "chsh", "chfn", "chage", "expiry", "gpasswd", "newgrp", "sg")
        assert not [path for path in special if path.rpartition("/")[2].removesuffix(".distrib") in tools], special
        assert machine.run(f"{BARE} grep NoNewPrivs /proc/self/status") == "NoNewPrivs:\t1"

        machine.type(f"{BARE} passwd; echo status-$?-$((40+2))")
        for question, answer in (("Current", OLD), ("New", NEW), ("Retype new", NEW)):
            machine.expect(f"{question} password: ")
            machine.type(answer)
        assert "passwd: password updated successfully\nstatus-0" in machine.expect("-42\n")
        # The delta is one row.
        assert machine.run("ls /etc/passwd /etc/group /etc/gshadow 2>/dev/null") == ""
        machine.type(f"{BARE} chsh -s /usr/bin/bash; echo status-$?-$((40+2))")
        machine.expect("Password: ")
        machine.type(NEW)
        assert "status-0" in machine.expect("-42\n")
        assert machine.run("cat /etc/passwd") == "ivy:x:1000:1000::/home/ivy:/usr/bin/bash"
        assert machine.run(f"{BARE} chage -l ivy; {BARE} chage -l root").endswith("chage: Permission denied.")
        for enter in ("", "unshare --user --map-root-user", "unshare --user --map-root-user --pid --fork"):
            assert '"Complete":false' in machine.run(f"{enter} python3 /ask.py"), enter
        machine.type("exit")
        machine.login("ivy", NEW)
        machine.type("exit")

        machine.login("root", OLD)
        assert machine.run("systemctl is-system-running --wait; systemctl --failed -q --no-pager") == "running"
        assert re.fullmatch(r"ivy:\$y\$\S+:\d+:0:99999:7:::", machine.run("cat /etc/shadow"))
        shown = machine.run("systemd-analyze security accounts-self.service --no-pager | tail -1")
        exposure = re.search(r"level for accounts-self.service: ([0-9.]+)", shown)
        print(release, shown)
        assert exposure is not None and float(exposure[1]) < MOST_EXPOSED, shown
        log = machine.run("journalctl -b --no-pager -o cat -t passwd -t chsh")
        assert "pam_unix(passwd:chauthtok): password changed for ivy" in log
        assert "changed user 'ivy' shell to '/usr/bin/bash'" in log
        # It is killed, and the next client starts it again; nothing that it wrote is left where it should not be.
        machine.run("systemctl kill -s KILL accounts-self.service; systemctl reset-failed")
        assert machine.run("su ivy -c 'expiry -c'; echo $?") == "0"
        assert machine.run("systemctl is-active accounts-self.service accounts-self.socket") == "active\nactive"
