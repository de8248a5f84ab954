# SPDX-License-Identifier: MIT
"""Replays recorded cases in parallel and collects the verdicts and the table."""

from __future__ import annotations

import dataclasses
import shlex
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.replay.compare import RULES, Verdict, judge_classic, judge_split
from tests.replay.layout import LAYOUTS, split
from tests.support.recordings import Case
from tests.support.state import Command, Outcome, State
from tests.support.worker import DEBIAN, SOURCE, Tools, run_all


@dataclass
class Replayed:
    """One run and its verdict. layout: empty for a classic run."""

    case: Case
    layout: str
    before: State
    outcome: Outcome
    verdict: Verdict

    @property
    def label(self) -> str:
        """Where and what, in one line."""
        words = shlex.join(word.decode("utf-8", "backslashreplace") for word in self.case.command.argv)
        place = f"{self.case.release} {self.case.name} {self.layout or 'classic'}"
        return f"{place}: {self.case.command.tool} {words}"


@dataclass
class Report:
    """Counts by release and tool, the failures and the refusals."""

    cases: Counter[tuple[str, str]] = field(default_factory=Counter)
    ok: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    total: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    failures: list[Replayed] = field(default_factory=list)
    refusals: list[Replayed] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)

    def add(self, run: Replayed) -> None:
        """Count one run."""
        tool, mode = (run.case.release, run.case.command.tool), "split" if run.layout else "classic"
        if (run.case.release, run.case.name) not in self.seen:
            self.seen.add((run.case.release, run.case.name))
            self.cases[tool] += 1
        self.total[*tool, mode] += 1
        self.rules.update(run.verdict.rules)
        if not run.verdict.ok:
            self.failures.append(run)
            return
        self.ok[*tool, mode] += 1
        if run.verdict.refused:
            self.refused[tool] += 1
            self.refusals.append(run)
            self.kinds.update({reason.split(":")[0] for reason in run.verdict.refused})

    def counts(self) -> Report:
        """The same without the runs themselves."""
        return dataclasses.replace(self, failures=[], refusals=[])

    def merge(self, other: Report) -> None:
        """Add what another process has counted."""
        for name in ("cases", "ok", "total", "refused", "kinds", "rules"):
            getattr(self, name).update(getattr(other, name))
        self.failures += other.failures
        self.refusals += other.refusals
        self.seen |= other.seen

    def table(self) -> str:
        """Release and tool by (cases, classic, split, refused), then what was refused and which rules were used."""
        lines = [f"{'':6}{'tool':12}{'cases':>7}{'classic ok':>14}{'split ok':>14}{'(refused)':>11}"]
        for release in sorted({release for release, _ in self.cases}):
            tools = sorted(tool for where, tool in self.cases if where == release)
            for tool in [*tools, "all"]:
                pick = [(release, name) for name in (tools if tool == "all" else [tool])]
                cells = []
                for mode in ("classic", "split"):
                    total = sum(self.total[*name, mode] for name in pick)
                    cells.append(f"{sum(self.ok[*name, mode] for name in pick)}/{total}" if total else "-")
                refused = sum(self.refused[name] for name in pick)
                count = sum(self.cases[name] for name in pick)
                lines.append(f"{release:6}{tool:12}{count:>7}{cells[0]:>14}{cells[1]:>14}{refused:>11}")
        lines += [f"refused: {count:5} {kind}" for kind, count in sorted(self.kinds.items())]
        lines += [f"rule:    {count:5} {rule} – {RULES[rule]}" for rule, count in sorted(self.rules.items())]
        return "\n".join(lines)


def layouts_of(case: Case, layout: str) -> tuple[str, ...]:
    """The layouts to run a case in. layout: one of LAYOUTS, `each`, or `seed` (one, by the case's name)."""
    if layout == "each":
        return LAYOUTS
    if layout == "seed":
        return (LAYOUTS[zlib.crc32(case.name.encode()) % len(LAYOUTS)],)
    return (layout,)


def as_release(command: Command, release: str) -> Command:
    """The command for our tools, which are to act as a release of shadow-utils."""
    return dataclasses.replace(command, env={**command.env, "ACCOUNTS_SHADOW_COMPAT": release})


def replay(
    cases: list[Case],
    modes: tuple[str, ...] = ("classic", "split"),
    layout: str = "seed",
    tools: Tools = SOURCE,
    processes: int = 0,
    hide: bool = False,
    forked: bool = False,
) -> Iterator[Replayed]:
    """Run the cases classic and split as asked, in parallel, and judge them. hide: HIDE=yes in the split runs.

    forked: a fork server runs the tools (tests/support/forkserver.py), in a third of the time.
    """
    oracle = tools.directories == DEBIAN.directories and not tools.lower

    def jobs() -> Iterator[tuple[tuple[Case, str, State], State, str, Command]]:
        for case in cases:
            program = tools.path(case.command.tool)
            command = case.command if oracle else as_release(case.command, case.release)
            if "classic" in modes:
                yield (case, "", case.before), case.before, program, command
            if "split" in modes:
                for name in layouts_of(case, layout):
                    before = split(case.before, case.name, name)
                    before.hide = hide
                    yield (case, name, before), before, program, command

    for (case, name, before), outcome in run_all(
        jobs(), tools.lower, processes, tools.system, tools.package if forked else ""
    ):
        if name:
            verdict = judge_split(case, before, outcome)
        else:
            verdict = judge_classic(case, before, outcome, oracle)
        yield Replayed(case, name, before, outcome, verdict)
