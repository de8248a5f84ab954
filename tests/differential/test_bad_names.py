# SPDX-License-Identifier: MIT
"""The names that pwck and grpck find bad, beside those of the real tools of each release."""

from __future__ import annotations

import pytest

from tests.replay.run import as_release
from tests.support.recordings import RELEASES
from tests.support.state import Command, File, State
from tests.support.worker import SOURCE, debian, run_all

NAMES = ("a b", "a;b", "1a", "12", "x" * 33, "\u00e9", "\u00e9" * 20, "a/b", ".", "-a", "a@b", "x$", "x" * 300)
BEFORE = State(
    etc={
        "passwd": File("".join(f"{name}:x:{uid}:0::/:/bin/sh\n" for uid, name in enumerate(NAMES, 2000)).encode()),
        "group": File("".join(f"{name}:x:{gid}:\n" for gid, name in enumerate(("root", *NAMES))).encode()),
    }
)
COMMANDS = (
    Command("pwck", [b"-r", b"-q"]),
    Command("pwck", [b"-r", b"-q", b"-b"]),
    Command("grpck", [b"-r"]),
)


@pytest.mark.parametrize("release", RELEASES)
def test_pwck_and_grpck_find_the_same_names_bad(release: str) -> None:
    real, ours = debian(release), SOURCE
    said = []
    for tools in (real, ours):
        jobs = [
            (number, BEFORE, tools.path(command.tool), as_release(command, release) if tools is ours else command)
            for number, command in enumerate(COMMANDS)
        ]
        outcomes = dict(run_all(jobs, tools.lower, 1, tools.system))
        said.append([(run.exit, run.stdout, run.stderr) for _, run in sorted(outcomes.items())])
    assert said[0] == said[1]
    assert all(b"invalid " in stdout for _, stdout, _ in said[1])
