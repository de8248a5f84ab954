# SPDX-License-Identifier: MIT
"""A commit disturbed at each of its system calls leaves all files old or all new.

Needs Linux and permission to ptrace a child, no package; errors are injected on x86-64 only.
"""

from __future__ import annotations

import errno
import itertools
import os
import posix
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import scenario, trace


class Etc:
    """A directory in the old state; `fd` is open on it. `reset` makes it anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1

    def reset(self, template: Path | None = None) -> None:
        """Start from the old state, or from a copy of template, times included."""
        self.close()
        if template is None:
            self.path.mkdir()
            scenario.fill(self.path)
        else:
            shutil.copytree(template, self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        shutil.rmtree(self.path, ignore_errors=True)

    def act(self) -> int:
        return scenario.act(self.fd)

    def act_next(self) -> int:
        return scenario.act_next(self.fd)


@pytest.fixture
def etc() -> Iterator[Etc]:
    """In memory where that is possible: thousands of fsyncs."""
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=fast) as name:
        etc = Etc(Path(name) / "etc")
        yield etc
        etc.close()


def _commit_calls(etc: Etc) -> list[int]:
    etc.reset()
    outcome = trace.run(etc.act)
    assert outcome.status == 0
    assert scenario.judge(etc.path) == "new"
    return outcome.calls


@pytest.mark.parametrize("preload", [b"", b"libpseudo.so"], ids=["by links", "by copies"])
def test_killed_at_any_call_the_next_tool_finds_all_old_or_all_new(
    etc: Etc, monkeypatch: pytest.MonkeyPatch, preload: bytes
) -> None:
    """Also where old files are copied because they may not be linked."""
    monkeypatch.setitem(posix.environ, b"LD_PRELOAD", preload)
    seen = []
    for at in itertools.count():
        etc.reset()
        status = trace.run(etc.act, at, kill=True).status
        if status == 0:
            break
        assert status == -signal.SIGKILL
        etc.act_next()
        state = scenario.judge(etc.path)
        assert state in ("old", "new"), f"killed at call {at}: {state}"
        seen.append(state)
    assert seen == sorted(seen, reverse=True)  # there is one moment at which old turns into new
    assert min(seen.count("old"), seen.count("new")) > 30


def test_killed_again_in_the_recovery(etc: Etc) -> None:
    calls = len(_commit_calls(etc))
    seen = set()
    recoveries = 0
    template = etc.path.with_name("template")
    for at in range(calls // 3, calls - 2, calls // 14):
        etc.reset()
        assert trace.run(etc.act, at, kill=True).status == -signal.SIGKILL
        shutil.copytree(etc.path, template)
        for again in itertools.count(0, 4):
            etc.reset(template)
            status = trace.run(etc.act_next, again, kill=True).status
            if status == 0:
                break
            recoveries += 1
            etc.act_next()
            state = scenario.judge(etc.path)
            assert state in ("old", "new"), f"killed at call {at}, then {again}: {state}"
            seen.add(state)
        shutil.rmtree(template)
    assert seen == {"old", "new"}
    assert recoveries > 100


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_at_any_call_ends_the_tool_without_leftovers(etc: Etc, number: int) -> None:
    seen = set()
    step = 1 if number == signal.SIGTERM else 5
    for at in range(0, len(_commit_calls(etc)) - 3, step):
        etc.reset()
        outcome = trace.run(etc.act, at, send=number)
        state = scenario.judge(etc.path)
        assert outcome.status == -number, f"signal at call {at}: status {outcome.status}"
        assert state in ("old", "new"), f"signal at call {at}: {state}"
        seen.add(state)
    assert seen == {"old", "new"}


@pytest.mark.parametrize("number", [signal.SIGXFSZ, signal.SIGPIPE])
def test_signals_that_python_ignores_do_not_matter(etc: Etc, number: int) -> None:
    for at in range(0, len(_commit_calls(etc)) - 3, 9):
        etc.reset()
        assert trace.run(etc.act, at, send=number).status == 0
        assert scenario.judge(etc.path) == "new"


@pytest.mark.skipif(not trace.CAN_INJECT_ERRORS, reason="the registers are those of x86-64")
@pytest.mark.parametrize(("error", "step"), [(errno.ENOSPC, 1), (errno.EIO, 1), (errno.EROFS, 4), (errno.EDQUOT, 4)])
def test_an_error_of_any_call_is_reported_and_changes_nothing(etc: Etc, error: int, step: int) -> None:
    failed = 0
    calls = [(at, call) for at, call in enumerate(_commit_calls(etc)) if call in trace.FILE_CALLS]
    for at, call in calls[::step]:
        etc.reset()
        outcome = trace.run(etc.act, at, error=error)
        state = scenario.judge(etc.path)
        where = f"{errno.errorcode[error]} of {trace.FILE_CALLS[call]}, call {at}"
        assert outcome.status in (0, 1), f"{where}: status {outcome.status}"
        if outcome.status == 0:
            assert state == "new", f"{where}: {state}"
        elif state != "old":
            # The rename of a backup failed when others were in place already: the files are old, but
            # those backups are gone.
            assert state.startswith("old, but backups"), f"{where}: {state}"
            assert trace.FILE_CALLS[call] in ("rename", "renameat"), f"{where}: {state}"
        failed += outcome.status
    assert failed > 80 // step


@pytest.mark.skipif(not trace.CAN_INJECT_ERRORS, reason="the registers are those of x86-64")
def test_a_disk_that_fails_for_good_leaves_what_the_next_tool_can_finish_or_undo(etc: Etc) -> None:
    seen = []
    for at, call in enumerate(_commit_calls(etc)):
        if call not in trace.FILE_CALLS:
            continue
        etc.reset()
        outcome = trace.run(etc.act, at, error=errno.EIO, onwards=True)
        assert outcome.status in (0, 1)
        etc.act_next()
        state = scenario.judge(etc.path)
        assert state in ("old", "new"), f"disk gone at {trace.FILE_CALLS[call]}, call {at}: {state}"
        if outcome.status == 0:
            assert state == "new", f"disk gone at {trace.FILE_CALLS[call]}, call {at}: {state}"
        seen.append(state)
    assert set(seen) == {"old", "new"}


@pytest.mark.skipif(not trace.CAN_INJECT_ERRORS, reason="system calls are numbered as on x86-64")
def test_a_commit_waits_for_the_disk_as_rarely_as_it_can(etc: Etc) -> None:
    calls = [trace.FILE_CALLS.get(call, "") for call in _commit_calls(etc)]
    # Five new files, one copied backup, the journal, the directory before and after, accounts/.
    assert calls.count("fsync") == 10
