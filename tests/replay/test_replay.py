# SPDX-License-Identifier: MIT
"""Every recorded run of the real tools, replayed on ours: classic, and split over an image layer.

ACCOUNTS_TOOLS: a DESTDIR of `make install` to test instead of this checkout.
ACCOUNTS_LAYOUT: `each` runs all layouts. Every fifth classic run of 4.13 starts an interpreter, as a machine does; the
others are made by a fork server (test_forkserver.py). ACCOUNTS_REPLAY=exec: every run starts one.
"""

from __future__ import annotations

import os

import pytest

from tests.replay.__main__ import describe, group_alike
from tests.replay.run import Report, replay
from tests.support.recordings import RELEASES, Case, load_recordings
from tests.support.view import inexpressible, view
from tests.support.worker import SOURCE, debian, installed

TOOLS = installed(os.environ["ACCOUNTS_TOOLS"]) if "ACCOUNTS_TOOLS" in os.environ else SOURCE
LAYOUT = os.environ.get("ACCOUNTS_LAYOUT", "seed")
FORKED = os.environ.get("ACCOUNTS_REPLAY") != "exec"
REQUIRED = ("useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "gpasswd")
# The rest of the family takes part as soon as its shims are there.
LATER = (
    *("passwd", "chpasswd", "chgpasswd", "newusers", "chage", "chsh", "chfn", "groupmems"),
    *("pwck", "grpck", "pwconv", "pwunconv", "grpconv", "grpunconv"),
)


@pytest.fixture(scope="session")
def cases() -> dict[str, list[Case]]:
    """The recorded cases by tool."""
    found: dict[str, list[Case]] = {}
    for case in load_recordings():
        found.setdefault(case.command.tool, []).append(case)
    return found


@pytest.mark.parametrize("tool", REQUIRED + tuple(tool for tool in LATER if TOOLS.has(tool)))
def test_replay(tool: str, cases: dict[str, list[Case]], report: Report) -> None:
    """Classic: the same bytes, modes, messages and trees. Split: the law."""
    own = Report()
    started = cases[tool][::5]
    others = [case for number, case in enumerate(cases[tool]) if number % 5]
    parts = ("classic", started, False), ("classic", others, FORKED), ("split", cases[tool], FORKED)
    for mode, some, forked in parts:
        for run in replay(some, (mode,), LAYOUT, TOOLS, forked=forked):
            own.add(run)
            report.add(run)
    assert own.cases.total() == len(cases[tool]) > 0
    groups = group_alike(own.failures)
    text = "\n".join(f"[{len(runs)} alike] {describe(runs[0], full=False)}" for runs in groups[:8])
    assert not own.failures, f"{len(own.failures)} runs differ:\n{text}"


@pytest.mark.parametrize("release", RELEASES[1:])
def test_replay_of_later_releases(release: str, report: Report) -> None:
    """The same with the tools as that release."""
    cases = load_recordings(release=release)
    own = Report()
    for run in replay(cases, layout=LAYOUT, tools=TOOLS, forked=FORKED):
        own.add(run)
        report.add(run)
    groups = group_alike(own.failures)
    text = "\n".join(f"[{len(runs)} alike] {describe(runs[0], full=False)}" for runs in groups[:8])
    assert not own.failures, f"{len(own.failures)} runs differ:\n{text}"
    assert own.cases.total() == len(cases) > 2400


def test_nothing_is_refused_where_nss_honours_hide_rows() -> None:
    """Every command that could be refused, and with ACCOUNTS_HIDE all others, with HIDE=yes."""
    cases = load_recordings() if "ACCOUNTS_HIDE" in os.environ else [
        case for case in load_recordings()
        if inexpressible(case.before.etc, view({}, case.before.etc), view({}, case.after.etc))
    ]  # fmt: skip
    own = Report()
    for run in replay(cases, ("split",), LAYOUT, TOOLS, hide=True, forked=FORKED):
        own.add(run)
    groups = group_alike(own.failures)
    assert not own.failures, "\n".join(f"[{len(runs)} alike] {describe(runs[0], full=False)}" for runs in groups[:8])
    assert not own.refusals, own.refusals[0].label
    assert own.cases.total() == len(cases) > 300


@pytest.mark.parametrize("release", RELEASES)
def test_the_real_tools_pass_their_own_replay(release: str) -> None:
    """The harness adds no difference of its own: a sample with Debian's binaries."""
    tools = debian(release)
    assert tools.has("useradd"), "the real tools are missing: install Debian's passwd"
    sample = load_recordings(release=release)[::10]
    failures = [run for run in replay(sample, ("classic",), tools=tools) if not run.verdict.ok]
    assert len(sample) >= 250
    assert not failures, "\n".join(describe(run) for run in failures[:5])
