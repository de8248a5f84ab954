# SPDX-License-Identifier: MIT
"""What is not where the tools look: users that only NSS knows, a prefix that is not there, a root without /etc."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.overlay import REAL, in_overlay, run_tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

Answer = tuple[int, str, str]
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


def _run(directory: str, command: str) -> Answer:
    tool, *arguments = command.split()
    done = run_tool(f"{directory}/{tool}", *arguments)
    return done.returncode, done.stdout, re.sub(r"\.\d+:", ".PID:", done.stderr)


def _ours(command: str) -> str:
    return "/usr/bin" if command.split()[0] in USER_TOOLS else "/usr/sbin"


def _differences(commands: list[str], real: Iterable[Answer], ours: Iterable[Answer]) -> list[str]:
    return [
        f"{command}:\nreal {theirs}\nours {mine}"
        for command, theirs, mine in zip(commands, real, ours, strict=True)
        if theirs != mine
    ]


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
    answers = [[_run(directory, command) for directory in (REAL, _ours(command))] for command in OF_NSS_USERS]
    return _differences(OF_NSS_USERS, *zip(*answers, strict=True))


def _without_etc() -> list[str]:
    Path("/srv/bare").mkdir()
    places = ("-P /srv/missing", "-P /srv/bare", "-R /srv/bare")
    commands = [command.replace("PLACE", place) for place in places for command in WITHOUT_ETC]
    # Nothing can be changed there, so they do not meet; some wait fifteen seconds for a lock.
    with ThreadPoolExecutor(16) as pool:
        real = pool.map(_run, itertools.repeat(REAL), commands)
        ours = pool.map(_run, map(_ours, commands), commands)
        return _differences(commands, real, ours)
