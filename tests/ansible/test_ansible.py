# SPDX-License-Identifier: MIT
"""The collection under packaging/ansible, and ansible's own modules, by the real ansible-core inside of roots.

ACCOUNTS_ANSIBLE=1 adds roots: a classic one, and Debian 13's.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import TOP, DebianRoot, debian_root, install_diverted

pytestmark = pytest.mark.skipif(not available(), reason="needs root and debootstrap")

COLLECTIONS = TOP / "packaging/ansible"
# Where ansible-core is kept between runs, in one place inside and outside of the roots.
CACHE = Path("/var/tmp/accounts-test")
VERSION = "ansible-core>=2.16,<2.21"
HASH = "$6$abcdefgh$" + "x" * 86
ROOTS = {"debian-12-systemd-ssh-python": True}
if os.environ.get("ACCOUNTS_ANSIBLE"):
    ROOTS = {"debian-12-clients": True, "debian-12-systemd-ssh-python": False, "debian-13-systemd-ssh-python": True}


def install_ansible(root: DebianRoot) -> Path:
    """A directory with ansible-core for the interpreter of a root, which sees it at the same path."""
    version = root.check("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'").strip()
    place = CACHE / f"ansible-{version}"
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / ".ansible.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "done").exists():
            # pip chooses wheels for another interpreter than its own.
            command = [TOP / ".venv/bin/pip", "install", "-q", "--disable-pip-version-check", "--target", place]
            command += ["--python-version", version, "--only-binary", ":all:", "--upgrade", VERSION]
            subprocess.run(command, check=True, capture_output=True)
            (place / "done").write_text(version)
    for path in (place, COLLECTIONS, TOP / "tests/ansible"):
        inside = Path(f"{root.path}{path}")
        inside.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", "-o", "ro", path, inside], check=True)
    return place


def run_ansible(root: DebianRoot, place: Path, *words: str | Path) -> str:
    """Run `ansible-WORDS` inside; its output."""
    environment = {
        "PYTHONPATH": place, "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS, "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1", "TEST_HASH": HASH,
        "ANSIBLE_LOCAL_TEMP": "/tmp/ansible", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    }  # fmt: skip
    settings = [f"{name}={value}" for name, value in environment.items()]
    command = ["env", *settings, "python3", "-m", "ansible", *map(str, words)]
    return root.run(shlex.join(command)).output


def play(root: DebianRoot, place: Path) -> str:
    """Run the playbook; the line of its recap, which counts tasks."""
    output = run_ansible(
        root, place, "playbook", "-i", "localhost,", "-c", "local", "-v", TOP / "tests/ansible/playbook.yml"
    )
    assert HASH not in output
    found = re.search(r"^localhost +: (.*?) *$", output, re.MULTILINE)
    assert found is not None and "failed=0" in found[1], output
    return found[1]


def scenario(name: str, stateless: bool) -> dict[str, Any]:
    """All of it in one root, in a child process of a mount namespace."""
    with debian_root(stateless, name) as root:
        if not stateless:
            install_diverted(root)
        place = install_ansible(root)
        seen: dict[str, Any] = {"first": play(root, place), "second": play(root, place)}
        names = ("alice", "dora", "daemon", "games")
        rows = root.check("getent passwd " + " ".join(names)).splitlines()
        seen |= {line.split(":")[0]: line.split(":")[2:] for line in rows}
        seen["shadow"] = dict(line.split(":")[:2] for line in root.check("getent shadow alice dora bob daemon").split())
        seen["groups"] = {name: sorted(root.check(f"id -Gn {name}").split()) for name in names}
        seen["stat"] = root.check("stat -c '%a %U' /etc/accounts.d/10-team.toml /home/dora /home/alice").split("\n")
        seen["etc"] = root.check("cut -d: -f1 /etc/passwd").split()
        if os.environ.get("ACCOUNTS_ANSIBLE"):
            module = ("stateless.accounts.account_apply", "-a", "name=20-more state=absent")
            seen["absent"] = run_ansible(root, place, "adhoc", "localhost", "-c", "local", "-m", *module)
            seen["left"] = root.check("ls /etc/accounts.d; getent shadow bob | cut -d: -f2,8").split()
    return seen


@pytest.mark.parametrize("name", ROOTS)
def test_the_collection_and_ansibles_own_modules(name: str) -> None:
    stateless = ROOTS[name]
    seen = in_child(scenario, name, stateless)
    assert "changed=5" in seen["first"]
    assert "changed=0" in seen["second"]
    assert seen["alice"] == ["1500", "1500", 'Alice "A" \\ Ä', "/home/alice", "/bin/bash"]
    assert seen["dora"][0] == "1700" and seen["dora"][3:] == ["/home/dora", "/bin/bash"]
    assert seen["daemon"][2] == "A daemon"
    assert seen["games"][-1] == "/bin/sh"
    assert seen["shadow"]["alice"] == seen["shadow"]["dora"] == HASH
    assert seen["shadow"]["bob"] == "!"
    assert seen["shadow"]["daemon"].startswith("!")
    assert seen["groups"]["alice"] == ["alice", "crew", "video"]
    assert seen["groups"]["dora"] == ["builtin", "dora", "video"]
    assert seen["groups"]["daemon"] == ["audio", "daemon"]
    assert seen["stat"][:2] == ["600 root", "700 dora"] or seen["stat"][:2] == ["600 root", "755 dora"]
    if stateless:
        # The delta, and nothing else.
        assert sorted(seen["etc"]) == ["alice", "bob", "daemon", "dora", "games"]
    if "absent" in seen:
        assert "CHANGED" in seen["absent"]
        assert seen["left"] == ["10-team.toml", "!:1"]
