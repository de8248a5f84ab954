# SPDX-License-Identifier: MIT
"""Hostile and unlucky clients of the service (hostile.py). ACCOUNTS_HOSTILE=1: 100,000 messages, 100 kills."""

from __future__ import annotations

import os
import traceback

import pytest

from tests.service import hostile
from tests.service.machine import Service
from tests.support.overlay import in_overlay

FULL = bool(os.environ.get("ACCOUNTS_HOSTILE"))
COUNTS = {"serve_many_at_once": (12, 64), "send_garbage": (150, 100_000), "kill_it": (3, 100)}
SCENARIOS = (
    "hold_connections", "fill_all_places", "hold_dialogues", "refuse_to_read", "die_in_dialogues",
    "stop_its_processes",
)  # fmt: skip


def _run_all() -> dict[str, str]:
    """Scenario -> what went wrong. One service sees it all."""
    hostile.lay_out()
    failed = {}
    hostile.run_out_of_descriptors()
    with Service() as service:
        for name in SCENARIOS:
            try:
                getattr(hostile, name)(service)
            except Exception:
                failed[name] = traceback.format_exc()
        for name, counts in COUNTS.items():
            try:
                getattr(hostile, name)(service, counts[FULL])
            except Exception:
                failed[name] = traceback.format_exc()
    return failed


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_no_client_keeps_it_from_others() -> None:
    failed = in_overlay(_run_all)
    assert not failed, "\n".join(f"{name}:\n{text}" for name, text in failed.items())
