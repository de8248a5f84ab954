# SPDX-License-Identifier: MIT
"""What a unit test may change of this process is put back, for the tests behind it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _signal_dispositions() -> Iterator[None]:
    # Code that is about to exec another program gives it back the defaults; tests stand in for the exec.
    before = {number: signal.getsignal(number) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    yield
    for number, disposition in before.items():
        signal.signal(number, disposition)
