# SPDX-License-Identifier: MIT
"""Built and installed inside of a Debian 13: its compiler, glibc 2.41, Python 3.13, the programs of shadow 4.17."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import TOP, DebianRoot, debian_root

pytestmark = pytest.mark.skipif(not available(), reason="needs root and debootstrap")

# All that a checkout has, but for what only its own machine's programs can use.
SOURCE = [path.name for path in TOP.glob("[!.]*") if path.name not in ("build", "tests")] + ["build/deps"]
ASK = "getent passwd $(getent passwd | cut -d: -f1); getent group $(getent group | cut -d: -f1); getent shadow root"


def _build() -> dict[str, str]:
    """What was asked and what the root answered."""
    with debian_root(stateless=False, name="debian-13-build") as root:
        root.check("mkdir -p /src/build")
        for name in SOURCE:
            subprocess.run(["cp", "-a", TOP / name, f"{root.path}/src/{name}"], check=True)
        root.check("rm -rf /src/*/build; find /src -name __pycache__ -prune -exec rm -rf {} +")
        before = root.check(ASK)
        root.check("/src/packaging/debian/divert && make -s -C /src install PREFIX=/usr")
        root.check("accounts image seed / && accounts image wire / --no-boot && accounts image check /")
        answers = {"etc": root.check("cd /etc; ls passwd group shadow gshadow 2>/dev/null; true")}
        answers["view"] = "same" if root.check(ASK) == before else f"{before}\n---\n{root.check(ASK)}"
        return answers | _use(root)


def _use(root: DebianRoot) -> dict[str, str]:
    commands = {
        # What is built here is loaded by Debian 12's glibc 2.36, too.
        "needs": "cd /usr/lib/*-gnu; objdump -T libnss_altfiles.so.2 libsubid_altfiles.so |"
        " grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1",
        "pack": "python3 -c 'import sys; print(sys.implementation.cache_tag)'; ls /usr/lib/accounts/accounts/*.pack",
        "add": "useradd -m -s /bin/bash -G video tim && usermod -aG audio daemon && id -Gn tim && id -Gn daemon",
        "delta": "cut -d: -f1,3,4 /etc/passwd /etc/group",
        "password": "echo tim:secret | chpasswd && cut -d: -f1,2 /etc/shadow | cut -c1-8",
        "expired": "passwd -q -e games && cut -d: -f1 /etc/passwd",
        "own": "su tim -c 'passwd -S; chage -l tim | head -1'",
        "real": "usermod.distrib -c Games games; useradd.distrib -rM real && getent passwd real | cut -d: -f1",
        "gone": "userdel -r tim; userdel real; gpasswd -d daemon audio; cut -d: -f1 /etc/passwd; ls /home",
    }
    return {name: root.run(command).output for name, command in commands.items()}


def test_built_and_used_on_debian_13() -> None:
    answers = in_child(_build)
    assert answers["etc"] == ""
    assert answers["view"] == "same"
    assert answers["needs"] == "GLIBC_2.34\n"
    assert answers["pack"] == "cpython-313\n/usr/lib/accounts/accounts/cpython-313.pack\n"
    assert answers["add"] == "tim video\ndaemon audio\n"
    assert answers["delta"] == "tim:1000:1000\ntim:1000:\nvideo:44:tim\naudio:29:daemon\n"
    assert answers["password"] == "tim:$y$j\n"
    assert answers["expired"] == "tim\ngames\n"
    # An ordinary user's call ends in Debian's set-uid program.
    assert answers["own"].startswith("tim P ")
    assert "Last password change" in answers["own"]
    # The real tools beside ours, on the same files. shadow's useradd gives nobody a range, and so fails without -r,
    # where nsswitch.conf names a service for subid.
    assert answers["real"] == "real\n"
    assert answers["gone"].endswith("games\n")
