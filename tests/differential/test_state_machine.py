# SPDX-License-Identifier: MIT
"""Our tools over two layers and the real ones over the flattened files, step by step side by side: the law.

Beside each release of shadow-utils that is recorded, from the system that ships it.

ACCOUNTS_EXAMPLES: machines for each release (default 200). ACCOUNTS_RELEASES: releases, separated by commas.
ACCOUNTS_ONLY: tools, separated by commas. ACCOUNTS_SEED: another number, other examples; `random`: others each time.
ACCOUNTS_SHRINK=1: after a failure spend up to five minutes on a smaller one. ACCOUNTS_TOOLS: a DESTDIR to test
instead of this checkout.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.differential.commands import COMMANDS
from tests.differential.roots import classic_roots
from tests.replay.compare import judge_classic, judge_split
from tests.replay.layout import LAYOUTS, split
from tests.replay.run import as_release
from tests.support.recordings import RELEASES, Case
from tests.support.state import Command, State
from tests.support.view import HIDDEN
from tests.support.worker import SOURCE, Tools, Worker, compile_checkout, debian, installed

TOOLS = installed(os.environ["ACCOUNTS_TOOLS"]) if "ACCOUNTS_TOOLS" in os.environ else SOURCE
CHOSEN = os.environ.get("ACCOUNTS_RELEASES", ",".join(RELEASES)).split(",")
SEED = os.environ.get("ACCOUNTS_SEED", "1")
# Of a machine. Errors that take more than this are found by more machines, too: each begins at other files.
STEPS = 12
_ONLY = os.environ.get("ACCOUNTS_ONLY", "")
AVAILABLE = [tool for tool in COMMANDS if TOOLS.has(tool) and (not _ONLY or tool in _ONLY.split(","))]
NOT_REMOVED = b"not removing"
# The tools with the most to get wrong come up twice as often.
OFTEN = [tool for tool in ("useradd", "usermod", "userdel", "groupmod", "gpasswd") if tool in AVAILABLE]


class Machine(RuleBasedStateMachine):
    """One machine under both sets of tools."""

    ours: Worker
    real: Worker
    release: str
    debian: Tools
    steps: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.layered = State()
        self.classic = State()

    @initialize(
        classic=classic_roots(),
        layout=st.sampled_from(("classic", *LAYOUTS)),
        seed=st.integers(0, 999),
        hide=st.booleans(),
    )
    def start(self, classic: State, layout: str, seed: int, hide: bool) -> None:
        """Both roots hold the same accounts; ours in two layers, or with an empty image as a classic one.

        hide: whether NSS honours hide rows, so that nothing is refused.
        """
        self.classic = classic
        self.layered = classic if layout == "classic" else split(classic, str(seed), layout)
        self.layered.hide = hide and layout != "classic"

    @rule(command=st.sampled_from(AVAILABLE + OFTEN).flatmap(lambda tool: COMMANDS[tool]))
    def run(self, command: Command) -> None:
        """Run it on both; the law must hold. After a rightful refusal both machines are where they were."""
        if not self.debian.has(command.tool):
            return
        self.real.send(self.classic, self.debian.path(command.tool), command)
        self.ours.send(self.layered, TOOLS.path(command.tool), as_release(command, self.release))
        real, ours = self.real.receive(), self.ours.receive()
        assert real.exit is not None
        self.steps[command.tool] += 1
        if b"PAM: " in real.stderr:
            # Root itself has no valid account in what was drawn, so PAM turns it away. Ours asks no PAM
            # (docs/decisions/pam.md), and what it does then has nothing to be compared with.
            self.steps["turned away by PAM"] += 1
            return
        if NOT_REMOVED in ours.stderr and NOT_REMOVED not in real.stderr:
            # userdel -rf of a home that is another's: docs/decisions/homes.md. Both stay where they were.
            self.steps["kept another's home"] += 1
            return
        case = Case("step", command, self.classic, real.after, real.exit, real.stdout, real.stderr, self.release)
        if self.layered.image:
            verdict = judge_split(case, self.layered, ours)
            self.steps["hidden rows"] += ours.after.etc.get(HIDDEN) != self.layered.etc.get(HIDDEN)
        else:
            verdict = judge_classic(case, self.layered, ours)
        self.steps["refused" if verdict.refused else "succeeded" if real.exit == 0 else "failed"] += 1
        assert verdict.ok, "\n".join(
            [
                repr(command),
                *verdict.faults,
                *(f"--- image {name}\n{file.data.decode()}" for name, file in self.layered.image.items()),
                *(f"--- local {name}\n{file.data.decode()}" for name, file in self.layered.etc.items()),
            ]
        )
        if not verdict.refused and "half-written" not in verdict.rules:
            self.classic, self.layered = real.after, ours.after


@pytest.fixture(params=CHOSEN)
def workers(request: pytest.FixtureRequest) -> Iterator[tuple[Worker, Worker, str]]:
    """(ours, real, release): two roots; the real tools must not see ours stacked over them."""
    compile_checkout()
    with Worker(TOOLS.lower, package=TOOLS.package) as ours, Worker("", debian(request.param).system) as real:
        yield ours, real, request.param


def test_the_law_holds_after_every_step(workers: tuple[Worker, Worker, str]) -> None:
    """The view, exit status and messages of the real tools; a minimal delta; refusals only by the law."""
    assert AVAILABLE, "no tool to test"
    Machine.ours, Machine.real, Machine.release = workers
    Machine.debian = debian(Machine.release)
    Machine.steps = Counter()
    chosen = str(random.random()) if SEED == "random" else SEED
    print(f"ACCOUNTS_SEED={chosen}")
    run_state_machine_as_test(
        seed(f"{chosen} {Machine.release}")(Machine),
        settings=settings(
            max_examples=int(os.environ.get("ACCOUNTS_EXAMPLES", "150")),
            stateful_step_count=STEPS,
            phases=[Phase.generate, *([Phase.shrink] if "ACCOUNTS_SHRINK" in os.environ else [])],
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(dict(Machine.steps))
    tools = [tool for tool in AVAILABLE if Machine.debian.has(tool)]
    assert all(Machine.steps[tool] for tool in tools), f"not every tool was drawn: {Machine.steps}"
    # Most hostile calls fail; what succeeds must still be a good part of it.
    assert Machine.steps["succeeded"] + Machine.steps["refused"] > sum(Machine.steps[tool] for tool in tools) / 10
