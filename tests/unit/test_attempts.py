# SPDX-License-Identifier: MIT
"""Failed proofs of the own password are counted, and make the next one wait."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from accounts.service import attempts
from accounts.service.attempts import FREE, LONGEST, Attempts, wait_after
from accounts.service.errors import TooManyAttempts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's own directory is trusted")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What time it is, in seconds since boot."""
    now = [1000]
    monkeypatch.setattr(attempts, "_now", lambda: now[0])
    return now


def test_waits_double() -> None:
    assert [wait_after(count) for count in range(FREE - 1, FREE + 6)] == [0, 2, 4, 8, 16, 32, 64]
    assert wait_after(FREE + 60) == LONGEST


def test_who_fails_has_to_wait(tmp_path: Path, clock: list[int]) -> None:
    for _ in range(FREE):
        Attempts(1000, str(tmp_path)).begin()
    for left, now in ((2, 1000), (1, 1001)):
        clock[0] = now
        with pytest.raises(TooManyAttempts, match=rf"in {left} seconds\."):
            Attempts(1000, str(tmp_path)).begin()
    clock[0] = 1002
    Attempts(1000, str(tmp_path)).begin()
    with pytest.raises(TooManyAttempts, match="in 4 seconds"):
        Attempts(1000, str(tmp_path)).begin()
    # Others are not concerned.
    Attempts(1001, str(tmp_path)).begin()
    clock[0] = 1002 + attempts.FORGOTTEN + 1
    Attempts(1000, str(tmp_path)).begin()
    assert (tmp_path / "1000").read_text() == f"1 {clock[0]}\n"


def test_an_attempt_that_was_none_does_not_forget_others(tmp_path: Path, clock: list[int]) -> None:
    for _ in range(FREE - 1):
        Attempts(1000, str(tmp_path)).begin()
    for _ in range(3):
        one = Attempts(1000, str(tmp_path))
        one.begin()
        one.cancel()
    assert (tmp_path / "1000").read_text() == f"{FREE - 1} 1000\n"
    one.begin()
    one.succeed()
    assert (tmp_path / "1000").read_text() == "0 1000\n"


@pytest.mark.parametrize("text", ["", "x", "1", "-1 -1", "1 99999999999", "9" * 60 + " 5", "\0" * 64])
def test_a_broken_count_is_none(tmp_path: Path, clock: list[int], text: str) -> None:
    (tmp_path / "1000").write_text(text)
    Attempts(1000, str(tmp_path)).begin()


def test_what_others_could_have_written_is_not_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError):
        Attempts(1000, str(tmp_path)).begin()
    tmp_path.chmod(0o700)
    (tmp_path / "1000").symlink_to("/etc/hostname")
    with pytest.raises(OSError):
        Attempts(1000, str(tmp_path)).begin()
