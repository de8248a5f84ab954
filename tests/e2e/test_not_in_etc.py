# SPDX-License-Identifier: MIT
"""What is not where the tools look: users that only NSS knows, a prefix that is not there, a root without /etc."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.support.overlay import REAL, in_overlay, run_tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

USER_TOOLS = ("passwd", "chage", "chsh", "chfn", "gpasswd")
OF_NSS_USERS = """
passwd -S zed
passwd -S yan
passwd -S nosuch
passwd -l zed
passwd -d yan
passwd -q -u zed
passwd -k zed
passwd zed
chage -l zed
chage -M 5 zed
chsh -s /bin/sh zed
chfn -r 5 zed
usermod -L zed
usermod -s /bin/sh zed
usermod -aG users zed
gpasswd -a zed users
userdel zed
useradd zed
""".strip().splitlines()
WITHOUT_ETC = """
usermod PLACE -G x
usermod PLACE bob
usermod PLACE -L root
usermod PLACE -G root root
useradd PLACE bob
useradd PLACE -g x bob
useradd PLACE
groupadd PLACE crew
groupadd PLACE -g 5 crew
groupmod PLACE -n a b
groupdel PLACE crew
userdel PLACE bob
""".strip().splitlines()


def test_users_that_only_nss_knows() -> None:
    differing = in_overlay(_nss_users)
    assert not differing, "\n".join(differing)


def test_a_prefix_that_is_not_there_and_a_root_without_etc() -> None:
    differing = in_overlay(_without_etc)
    assert not differing, "\n".join(differing)


def _compare(commands: list[str]) -> list[str]:
    differing = []
    for command in commands:
        tool, *arguments = command.split()
        results = []
        for directory in (REAL, "/usr/bin" if tool in USER_TOOLS else "/usr/sbin"):
            done = run_tool(f"{directory}/{tool}", *arguments)
            results.append((done.returncode, done.stdout, re.sub(r"\.\d+:", ".PID:", done.stderr)))
        if results[0] != results[1]:
            differing.append(f"{command}:\nreal {results[0]}\nours {results[1]}")
    return differing


def _nss_users() -> list[str]:
    """Users of nss-systemd's drop-in files, which it reads without any daemon."""
    databases = ("passwd", "group", "shadow", "gshadow")
    Path("/etc/nsswitch.conf").write_text("".join(f"{name}: files systemd\n" for name in databases))
    directory = Path("/etc/userdb")
    directory.mkdir(exist_ok=True)
    day = 86400 * 10**6
    for name, uid in (("zed", 7001), ("yan", 7002)):
        record = {"userName": name, "uid": uid, "gid": uid, "disposition": "regular"}
        record |= {"lastPasswordChangeUSec": 19000 * day, "passwordChangeMaxUSec": 90 * day}
        (directory / f"{name}.user").write_text(json.dumps(record))
        (directory / f"{uid}.user").symlink_to(f"{name}.user")
    secret = directory / "zed.user-privileged"
    secret.write_text(json.dumps({"privileged": {"hashedPassword": ["$6$salt$hash"]}}))
    secret.chmod(0o600)
    assert run_tool("getent", "shadow", "zed").stdout.startswith("zed:$6$salt$hash:19000:"), "nss-systemd"
    return _compare(OF_NSS_USERS)


def _without_etc() -> list[str]:
    Path("/srv/bare").mkdir()
    places = ("-P /srv/missing", "-P /srv/bare", "-R /srv/bare")
    return _compare([command.replace("PLACE", place) for place in places for command in WITHOUT_ETC])
