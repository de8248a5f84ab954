# SPDX-License-Identifier: MIT
"""Prints the table of the replay at the end of the test run."""

from __future__ import annotations

import pytest

from tests.replay.run import Report

REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    """One report for all tools."""
    config.stash[REPORT] = Report()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """The report of this test session."""
    return request.config.stash[REPORT]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table, the rules used, and each refusal."""
    report = config.stash[REPORT]
    if report.cases:
        terminalreporter.section("replay of recorded runs")
        terminalreporter.write_line(report.table())
