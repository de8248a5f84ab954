# SPDX-License-Identifier: MIT
"""A run by the fork server is the run that an interpreter of its own makes."""

from __future__ import annotations

import dataclasses

from tests.replay.run import as_release
from tests.replay.test_replay import TOOLS
from tests.support.hashes import plaintexts
from tests.support.recordings import load_recordings
from tests.support.worker import Worker, compile_checkout


def test_same_status_output_files_and_trees() -> None:
    compile_checkout()
    cases = [case for case in load_recordings(release="4.17")[::40] if not plaintexts(case.command)]
    assert len(cases) > 50
    with Worker(TOOLS.lower) as one, Worker(TOOLS.lower, package=TOOLS.package) as other:
        for case in cases:
            outcomes = []
            for worker in (one, other):
                outcome = worker.run(case.before, TOOLS.path(case.command.tool), as_release(case.command, case.release))
                outcomes.append(dataclasses.replace(outcome, seconds=0))
            assert outcomes[0] == outcomes[1], case.command


def test_what_takes_too_long_is_killed_and_the_next_run_is_none_the_worse() -> None:
    case = next(case for case in load_recordings(frozenset(["useradd"]), release="4.17") if case.exit == 0)
    command = as_release(case.command, case.release)
    with Worker(TOOLS.lower, package=TOOLS.package) as worker:
        killed = worker.run(case.before, TOOLS.path("useradd"), dataclasses.replace(command, timeout=0.0001))
        assert killed.exit is None
        assert worker.run(case.before, TOOLS.path("useradd"), command).exit == 0
