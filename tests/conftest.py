# SPDX-License-Identifier: MIT
"""Prints the table of the replay at the end of the test run, whichever processes have run it.

Here and not beside the replay, because with pytest-xdist the process that prints collects no tests.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.replay.run import Report
from tests.support.worker import OtherReleaseError

# The same examples each time: what a change has not broken does not fail its tests. ACCOUNTS_SEED=random draws others.
settings.register_profile("same", derandomize=os.environ.get("ACCOUNTS_SEED") != "random", database=None)
settings.load_profile("same")

REPORT = pytest.StashKey[Report]()
KEY = "replay"
IGNORED = "ACCOUNTS_TESTS_IGNORED_SIGNALS"
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def pytest_configure(config: pytest.Config) -> None:
    """One report for all tools."""
    config.stash[REPORT] = Report()
    _handle_ignored_signals()


def _handle_ignored_signals() -> None:
    """nohup(1), and a shell that starts us in the background, ignore signals; what is ignored is inherited.

    The programs that tests start must die of them. A handler is not inherited, and protects this process as well.
    """
    ignored = [number for number in SIGNALS if signal.getsignal(number) == signal.SIG_IGN]
    names = os.environ.setdefault(IGNORED, " ".join(number.name for number in ignored))
    for name in names.split():
        # In the processes of pytest-xdist, too.
        signal.signal(signal.Signals[name], lambda number, frame: None)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """The report of this test session."""
    return request.config.stash[REPORT]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """A test that compares with a release of shadow-utils cannot where the system that shipped it has moved on."""
    # What tests make, other users can read, whatever whoever starts them, or another test, has set.
    os.umask(0o022)
    return (yield from _skip_other_release())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """As pytest_runtest_setup."""
    return (yield from _skip_other_release())


def _skip_other_release() -> Iterator[None]:
    try:
        return (yield)
    except OtherReleaseError as error:
        pytest.skip(str(error))


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
