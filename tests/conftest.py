# SPDX-License-Identifier: MIT
"""Prints the table of the replay at the end of the test run, whichever processes have run it.

Here and not beside the replay, because with pytest-xdist the process that prints collects no tests.
"""

from __future__ import annotations

import pickle

import pytest

from tests.replay.run import Report

REPORT = pytest.StashKey[Report]()
KEY = "replay"


def pytest_configure(config: pytest.Config) -> None:
    """One report for all tools."""
    config.stash[REPORT] = Report()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """The report of this test session."""
    return request.config.stash[REPORT]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of pytest-xdist gives what it has counted to the one that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[KEY] = pickle.dumps(session.config.stash[REPORT].counts())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """Take over what such a process has counted."""
    counted = getattr(node, "workeroutput", {}).get(KEY)
    if counted is not None:
        node.config.stash[REPORT].merge(pickle.loads(counted))  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table, the rules used, and each refusal."""
    report = config.stash[REPORT]
    if report.cases:
        terminalreporter.section("replay of recorded runs")
        terminalreporter.write_line(report.table())
