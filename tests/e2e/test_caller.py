# SPDX-License-Identifier: MIT
"""Called by a set-uid program (effective UID 0, real UID a user's) the tools judge the real UID as the real ones do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.overlay import REAL, in_overlay, run_tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

UID, VICTIM = 1701, 1702
DIVERTED = ("passwd", "chage", "chsh", "chfn", "expiry", "newgrp", "gpasswd")
FAMILY = ("passwd", "group", "shadow", "gshadow")
CASES = (
    *("passwd -l victim", "passwd -S victim", "passwd -S", "passwd -S -a", "passwd -S mallory", "passwd -d mallory"),
    *("passwd -e mallory", "passwd -x 3 victim", "passwd --help", "passwd -R / -S victim", "passwd -q mallory"),
    *("chsh -s /bin/sh victim", "chsh -s /bin/bash", "chsh -s /bin/bash -R / mallory"),
    *("chfn -f X victim", "chfn -r 5", "chfn -o 5"),
    *("gpasswd -a mallory root", "gpasswd -a mallory devs", "gpasswd -r devs", "gpasswd -A mallory devs"),
    *("gpasswd -M mallory devs", "gpasswd -R devs", "gpasswd devs", "gpasswd -a victim ours", "gpasswd -d victim ours"),
    *("chage -l victim", "chage -l mallory", "chage -M 3 victim", "chage -M 3 mallory", "chage -R / -l mallory"),
    *("expiry -c", "expiry -f", "newgrp root", "newgrp devs", "sg root -c id", "sg devs -c id"),
    *("groupmems -l", "groupmems -g devs -l", "groupmems -g devs -a mallory"),
    *("chpasswd | victim:foo", "chpasswd -e | victim:foo", "chpasswd -c SHA512 | victim:foo"),
    *("chgpasswd | devs:foo", "chgpasswd -e | devs:foo", "newusers | nn:x:2000:2000::/:/bin/sh"),
    *("useradd zoe", "usermod -L victim", "userdel victim", "groupadd gg", "groupmod -n hh devs", "groupdel devs"),
    *("pwck -r", "grpck -r", "pwconv", "pwunconv", "grpconv", "grpunconv"),
)  # fmt: skip


def test_the_caller_is_the_real_uid() -> None:
    differing = in_overlay(_compare)
    assert not differing, "\n".join(differing)


def test_a_root_of_the_callers_choice_is_worked_on_with_the_callers_rights() -> None:
    """--root and --prefix: nothing that only root may read or write there."""
    in_overlay(_choose_root)


def _prepare() -> None:
    for command in (f"useradd -m -u {UID} mallory", f"useradd -u {VICTIM} victim", "groupadd devs", "groupadd ours"):
        tool, *arguments = command.split()
        assert run_tool(f"{REAL}/{tool}", *arguments).returncode == 0, command
    assert run_tool(f"{REAL}/gpasswd", "-A", "mallory", "ours").returncode == 0
    assert run_tool(f"{REAL}/gpasswd", "-M", "victim", "ours").returncode == 0
    assert run_tool(f"{REAL}/chpasswd", "-c", "SHA512", stdin="mallory:secret\nvictim:secret\n").returncode == 0
    os.makedirs("/kept")
    for name in FAMILY:
        shutil.copy2(f"/etc/{name}", "/kept")
    for name in DIVERTED:
        shutil.copy2(f"{REAL}/{name}", f"/usr/bin/{name}.distrib")


def _become_mallory() -> None:
    os.setsid()  # no terminal to ask at
    os.setgroups([UID])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, 0, 0)


def _run(program: str, arguments: list[str], stdin: str = "") -> tuple[int, str, str]:
    done = run_tool(program, *arguments, stdin=stdin, preexec_fn=_become_mallory)
    # Salts are drawn.
    hidden = [re.sub(r"\$(6|y)\$\S+?(?=:)", r"HASH \1", text) for text in (done.stdout, done.stderr)]
    return done.returncode, hidden[0], hidden[1]


def _changes() -> dict[str, str]:
    """Account file -> its text where that is not as it was; then all is as it was."""
    changed = {}
    for name in FAMILY:
        new, old = Path("/etc", name), Path("/kept", name)
        text = new.read_text() if new.exists() else ""
        if text != old.read_text():
            changed[name] = re.sub(r"\$(6|y)\$[^:]+", r"HASH \1", text)
        shutil.copy2(f"/kept/{name}", "/etc")
    return changed


def _compare() -> list[str]:
    _prepare()
    differing = []
    for case in CASES:
        command, _, stdin = case.partition(" | ")
        tool, *arguments = command.split()
        if tool == "groupmems" and not os.path.exists(f"{REAL}/{tool}"):
            continue  # Debian 13 has none
        ours = shutil.which(tool, path="/usr/sbin:/usr/bin")
        assert ours is not None
        outcomes = []
        for program in (f"{REAL}/{tool}", ours):
            outcomes.append((*_run(program, arguments, stdin and stdin + "\n"), _changes()))
        if outcomes[0] != outcomes[1]:
            differing.append(f"{case}:\nreal {outcomes[0]}\nours {outcomes[1]}")
    # Without a program to hand over to, and where the real tool asks for a password, nothing goes.
    for name in DIVERTED:
        os.unlink(f"/usr/bin/{name}.distrib")
    for command in ("passwd -l victim", "chsh -s /bin/sh", "gpasswd -r devs", "chage -l victim", "groupmems -p"):
        tool, *arguments = command.split()
        status, stdout, stderr = _run(shutil.which(tool, path="/usr/sbin:/usr/bin") or "", arguments)
        if not status or stdout or f"{tool}: Permission denied" not in stderr or _changes():
            differing.append(f"{command}: {status} {stdout}{stderr}")
    return differing


def _choose_root() -> None:
    _prepare()
    os.makedirs("/srv/other/etc", 0o755)
    for name in FAMILY:
        shutil.copy2(f"/etc/{name}", "/srv/other/etc")
    for option in ("-R", "-P"):
        for command in ("useradd zoe", "usermod -L victim", "groupadd gg", "userdel victim"):
            tool, *arguments = command.split()
            status, _, stderr = _run(f"/usr/sbin/{tool}", [option, "/srv/other", *arguments])
            assert status and stderr.startswith(f"{tool}: "), (option, command, status, stderr)
    for name in FAMILY:
        assert subprocess.run(["cmp", f"/kept/{name}", f"/srv/other/etc/{name}"]).returncode == 0, name
    assert sorted(os.listdir("/srv/other/etc")) == sorted(FAMILY)
