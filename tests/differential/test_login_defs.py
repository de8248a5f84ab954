# SPDX-License-Identifier: MIT
"""Which items of login.defs(5) are known, beside the real tools of the three releases."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from accounts.model.release import parse_release
from accounts.system.logindefs import CHANGED, ITEMS, LoginDefs
from tests.support.overlay import in_system, run_tool
from tests.support.recordings import RELEASES
from tests.support.worker import system_root

# Debian's shadow-utils is built without bcrypt; ours has it wherever crypt(3) does.
BCRYPT = {"BCRYPT_MIN_ROUNDS", "BCRYPT_MAX_ROUNDS"}
NAMES = sorted({os.fsdecode(name) for name in {**ITEMS, **CHANGED}} - BCRYPT) + ["NOT_AN_ITEM", "USE_TCB", "umask"]
OPTIONS = [*map(os.fsdecode, CHANGED), "UMASK", "QUOTAS_ENAB", "NOT_AN_ITEM"]


def ask(names: list[str], options: list[str]) -> tuple[set[str], dict[str, tuple[bool, bool]]]:
    """The names that the system's useradd complains of in login.defs, and for -K NAME=1: (taken, complained of)."""
    for file, text in (("passwd", "root:x:0:0::/root:/bin/sh\n"), ("group", "root:x:0:\n"), ("login.defs", "")):
        Path("/etc", file).write_text(text)
    taken = {}
    for name in options:
        # Without a user's name: status 2 when that is all that is wrong.
        result = run_tool("useradd", "-K", f"{name}=1")
        taken[name] = (result.returncode == 2, "unknown item" in result.stderr)
    Path("/etc/login.defs").write_text("".join(f"{name} 1\n" for name in names))
    return set(re.findall("unknown item '(.*)'", run_tool("useradd", "-D").stderr)), taken


@pytest.mark.parametrize("release", RELEASES)
def test_the_items_that_the_real_tools_know(release: str) -> None:
    number = parse_release(release.encode())
    assert number is not None
    unknown, taken = in_system(system_root(release), ask, NAMES, OPTIONS)
    complaints: list[str] = []
    LoginDefs("".join(f"{name} 1\n" for name in NAMES).encode(), complaints.append, number)
    assert set(re.findall("unknown item '(.*)'", "".join(complaints))) == unknown
    assert {"NOT_AN_ITEM", "umask"} <= unknown
    ours = {}
    for name in OPTIONS:
        complaints.clear()
        ours[name] = (LoginDefs(b"", complaints.append, number).override(name.encode(), b"1"), bool(complaints))
    assert ours == taken
