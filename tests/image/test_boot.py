# SPDX-License-Identifier: MIT
"""The whole way: a Debian 12 is installed into, seeded, emptied and wired with our commands, boots, is used,
restarted, updated and reset.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.image.rootfs import names
from tests.support.installation import install
from tests.support.nspawn import Machine, available
from tests.support.roots.cached import copy_root

TOP = Path(__file__).parents[2]
ACCOUNTS = TOP / "shims/accounts"
RULES = TOP / "nss-data/rules/debian-12-systemd-ssh.rules"
EPOCH = "1700000000"
PASSWORD = "secret"
# What the image has beyond the shipped rule set, since our tools need an interpreter.
PYTHON_RULES = """\
# Hooks of Debian's python3, for one interpreter each; they do nothing, but /usr/lib links to them.
factory python3 python3.11 as=link
# readline and python's mimetypes, hard-coded.
factory inputrc mime.types as=link
"""
ACCOUNT_FILES = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
LAYER = ("passwd", "group", "shadow", "gshadow")

pytestmark = pytest.mark.skipif(
    not available() or shutil.which("debootstrap") is None, reason="needs root, systemd-nspawn and debootstrap"
)


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH})
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def hashed(password: str) -> str:
    """crypt(3) with $6$ and a fixed salt."""
    return run("openssl", "passwd", "-6", "-salt", "abcdefgh", password).strip()


def build(place: Path, *packages: str, system: str = "debian-12-systemd-ssh-python") -> Path:
    """An image: a Debian with our tools, root with a password, user bob, and a system user per package."""
    copy_root(system, place)
    install(place)
    tool = TOP / "shims"
    for name in packages:
        run(tool / "useradd", "--prefix", place, "--system", name)
    run(tool / "usermod", "--prefix", place, "-p", hashed(PASSWORD), "root")
    run(tool / "useradd", "--prefix", place, "-m", "-s", "/bin/bash", "-p", hashed(PASSWORD), "bob")
    return place


def empty_etc(place: Path, *previous: Path) -> None:
    own = place.parent / "python.rules"
    own.write_text(PYTHON_RULES)
    pins = [argument for root in previous for argument in ("--previous", str(root))]
    if previous:
        run(ACCOUNTS, "image", "pin", place, *pins)
    run(ACCOUNTS, "image", "seed", place, *pins)
    run(ACCOUNTS, "image", "stateless", place, "--rules", own, RULES, "--check-empty", "error")
    run(ACCOUNTS, "image", "wire", place)
    checked = run(ACCOUNTS, "image", "check", place, "--rules", own, RULES, "--severity", "etc-not-empty=fail", *pins)
    assert "fine" in checked


def account_files(machine: Machine) -> list[str]:
    return machine.run(f"cd /etc; ls -d {' '.join(ACCOUNT_FILES)} 2>/dev/null").split()


def leave(machine: Machine) -> None:
    machine.type("exit")


def test_from_the_build_to_a_factory_reset(tmp_path: Path) -> None:
    first = build(tmp_path / "first")
    empty_etc(first)
    assert names(first) == []  # the rules keep account files and nsswitch.conf, of which none is there

    with Machine(first) as machine:
        machine.login("bob", PASSWORD)  # a user of the image
        assert machine.run("id") == "uid=1000(bob) gid=1000(bob) groups=1000(bob)"
        leave(machine)
        machine.login("root", PASSWORD)
        assert machine.run("systemctl is-system-running --wait") == "running"
        # Without nsswitch.conf in time, systemd-sysusers would create all system users again.
        assert machine.run("journalctl -b -q -u systemd-sysusers -o cat | grep Creating") == ""
        assert account_files(machine) == ["subgid", "subuid"]  # copies of the factory, for newuidmap
        assert machine.run("systemctl show -P ExecMainStatus accounts-nsswitch systemd-sysusers") == "0\n\n0"
        assert machine.run("getent passwd sshd messagebus | cut -d: -f1") == "sshd\nmessagebus"

        machine.run(f"useradd -m -s /bin/bash -p '{hashed(PASSWORD)}' carol; usermod -aG video bob")
        machine.run("usermod -aG video carol; passwd -q -x 90 bob")
        # bob's is there because his password, of the day of the build, has expired with that.
        rows = "carol:x:1001:1001::/home/carol:/bin/bash\nbob:x:1000:1000::/home/bob:/bin/bash"
        assert machine.run("cat /etc/passwd") == rows
        assert machine.run("cat /etc/group") == "carol:x:1001:\nvideo:x:44:bob,carol"
        assert [line.split(":")[0] for line in machine.run("cat /etc/shadow").split()] == ["carol", "bob"]
        delta = {name: machine.run(f"cat /etc/{name}") for name in ACCOUNT_FILES}
        # What the image's ids are is known for the next one.
        assert machine.run("grep -c . /var/lib/accounts/ids; systemctl show -P ExecMainStatus accounts-reown") != ""
        assert machine.run("grep ^passwd:sshd: /var/lib/accounts/ids").startswith("passwd:sshd:")
        leave(machine)
        machine.login("carol", PASSWORD)  # a user of this machine
        assert machine.run("id -Gn; stat -c %U ~") == "carol video\ncarol"

    with Machine(first) as machine:  # it is still there after a restart
        machine.login("carol", PASSWORD)
        leave(machine)
        machine.login("root", PASSWORD)
        assert machine.run("systemctl is-system-running --wait") == "running"
        assert {name: machine.run(f"cat /etc/{name}") for name in ACCOUNT_FILES} == delta
        assert machine.run("id bob") == "uid=1000(bob) gid=1000(bob) groups=1000(bob),44(video)"

    # An update: a new image, with one more daemon, takes over /etc and /home as they are.
    second = build(tmp_path / "second", "newsvc")
    empty_etc(second, first)
    for name in ("etc", "home"):
        shutil.rmtree(second / name)
        (first / name).rename(second / name)
    with Machine(second) as machine:
        machine.login("carol", PASSWORD)
        assert machine.run("getent passwd newsvc | cut -d: -f1,7; id bob | grep -c video") == "newsvc:/bin/sh\n1"
        leave(machine)
        machine.login("root", PASSWORD)
        assert {name: machine.run(f"cat /etc/{name}") for name in ACCOUNT_FILES} == delta
        # The first boot of an update: rebase ran, before systemd-sysusers, and the check once everything was up.
        show = "systemctl show -P ExecMainExitTimestampMonotonic accounts-rebase; "
        show += "systemctl show -P ExecMainStartTimestampMonotonic systemd-sysusers accounts-check"
        ended, started, checked = map(int, machine.run(show).split())
        assert 0 < ended < started < checked
        assert machine.run("systemctl show -P ExecMainStatus accounts-rebase accounts-reown") == "0\n\n0"
        # At once: nothing is restarted when the image's files change under a running machine.
        for name in LAYER:
            text = (second / "usr/lib" / name).read_text() + row_of_late_user(name)
            (second / f"usr/lib/.{name}").write_text(text)
            (second / f"usr/lib/.{name}").chmod((second / "usr/lib" / name).stat().st_mode)
            (second / f"usr/lib/.{name}").rename(second / "usr/lib" / name)
        assert machine.run("id late") == "uid=300(late) gid=300(late) groups=300(late)"

        # systemd's hook.
        assert machine.run("systemctl start factory-reset.target; systemctl show -P Result accounts-reset") == "success"
        assert "no such user" in machine.run("LC_ALL=C id carol")
        assert machine.run("id bob") == "uid=1000(bob) gid=1000(bob) groups=1000(bob)"
        # Empty, as at the first boot: libsubid (before 4.19) asks nobody without them.
        assert machine.run("cd /etc; cat passwd group shadow gshadow subuid subgid 2>/dev/null") == ""

    # The same from outside.
    shutil.rmtree(second / "etc")
    (second / "etc").mkdir()
    with Machine(second) as machine:
        machine.login("bob", PASSWORD)
        assert machine.run("id") == "uid=1000(bob) gid=1000(bob) groups=1000(bob)"
        assert "no such user" in machine.run("LC_ALL=C id carol")
        leave(machine)
        machine.login("root", PASSWORD)
        assert machine.run("systemctl is-system-running --wait") == "running"
        assert account_files(machine) == ["subgid", "subuid"]


def row_of_late_user(name: str) -> str:
    return {
        "passwd": "late:x:300:300::/:/bin/sh\n",
        "group": "late:x:300:\n",
        "shadow": "late:!*:::::::\n",
        "gshadow": "late:!::\n",
    }[name]
