# SPDX-License-Identifier: MIT
"""Command line of the replayer, for those who write a tool: see README.md here."""

from __future__ import annotations

import argparse
import re
import sys
import time

from tests.replay.layout import LAYOUTS
from tests.replay.run import Replayed, Report, replay
from tests.support.recordings import RELEASES, load_recordings
from tests.support.state import State
from tests.support.worker import SOURCE, debian, installed


def main() -> int:
    """Returns 0 when every run is as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.replay")
    parser.add_argument("-t", "--tool", action="append", default=[], help="only this tool (repeatable)")
    parser.add_argument("-c", "--case", action="append", default=[], help="only this case (repeatable)")
    parser.add_argument("-g", "--release", choices=RELEASES, default=RELEASES[0], help="of shadow-utils")
    parser.add_argument("-m", "--mode", choices=("classic", "split", "both"), default="both")
    parser.add_argument(
        "-l", "--layout", choices=("seed", "each", *LAYOUTS), default="seed",
        help="how rows are split: seed = one layout per case by its name; each = all of them",
    )  # fmt: skip
    parser.add_argument("-b", "--binaries", default="source", help="source (default), debian, or a DESTDIR")
    parser.add_argument("-H", "--hide", action="store_true", help="split runs with HIDE=yes")
    parser.add_argument("-v", "--verbose", action="store_true", help="all failures, in full")
    parser.add_argument("-s", "--show", action="store_true", help="print the files before and the outcome")
    parser.add_argument("-r", "--refusals", action="store_true", help="list the refusals")
    parser.add_argument("-j", "--processes", type=int, default=0)
    options = parser.parse_args()
    if options.binaries == "debian":
        tools = debian(options.release)
    else:
        tools = SOURCE if options.binaries == "source" else installed(options.binaries)
    cases = load_recordings(frozenset(options.tool), frozenset(options.case), options.release)
    missing = {case.command.tool for case in cases if not tools.has(case.command.tool)}
    if missing:
        print("not there, skipped:", " ".join(sorted(missing)))
    cases = [case for case in cases if case.command.tool not in missing]
    modes = ("classic", "split") if options.mode == "both" else (options.mode,)
    report = Report()
    started = time.monotonic()
    for run in replay(cases, modes, options.layout, tools, options.processes, options.hide):
        report.add(run)
        if options.show:
            print(show(run))
    failures = sorted(report.failures, key=lambda run: (run.case.name, run.layout))
    if options.verbose:
        for run in failures:
            print(describe(run))
    else:
        for runs in group_alike(failures)[:10]:
            print(describe(runs[0], full=False))
            if len(runs) > 1:
                print(f"  ({len(runs)} alike: {' '.join(f'{run.case.name}' for run in runs[1:7])} ...)")
        if failures:
            print(f"{len(failures)} failures of {len(group_alike(failures))} sorts: -v shows all")
    if options.refusals:
        for run in sorted(report.refusals, key=lambda run: run.case.name):
            print(f"{run.label}\n    {'; '.join(run.verdict.refused)}\n    {_text(run.outcome.stderr.strip())}")
    print(report.table())
    print(f"{time.monotonic() - started:.1f} s")
    return 1 if failures or missing or not cases else 0


def group_alike(failures: list[Replayed]) -> list[list[Replayed]]:
    """Failures that differ in the same places and end in the same kind of last line, most frequent first."""
    groups: dict[tuple[str, ...], list[Replayed]] = {}
    for run in failures:
        heads = [re.sub(r"\W.*", "", fault.split("\n")[0]) for fault in run.verdict.faults]
        last = re.sub(r"['\"\d].*", "", _text(run.outcome.stderr.strip().split(b"\n")[-1]))
        groups.setdefault((run.layout and "split", last, *heads), []).append(run)
    return sorted(groups.values(), key=len, reverse=True)


def describe(run: Replayed, full: bool = True) -> str:
    """A failure: the command and what differs."""
    lines = [run.label]
    for fault in run.verdict.faults if full else run.verdict.faults[:4]:
        rows = fault.split("\n")
        lines += ["  " + row for row in (rows if full else rows[:14])]
    if not full and len(run.verdict.faults) > 4:
        lines.append(f"  ... and {len(run.verdict.faults) - 4} more differences")
    return "\n".join(lines)


def show(run: Replayed) -> str:
    """Everything about a run: the state before, the command, the outcome."""
    outcome = run.outcome
    lines = ["=" * 20 + " " + run.label, *_show_state(run.before)]
    if run.case.command.stdin:
        lines.append("--- stdin\n" + _text(run.case.command.stdin))
    for name, data in run.case.command.files.items():
        lines.append(f"--- {name}\n" + _text(data))
    lines.append(f"--- exit {outcome.exit} (recorded {run.case.exit}) after {outcome.seconds * 1000:.0f} ms")
    lines.append(f"--- stdout\n{_text(outcome.stdout)}--- stderr\n{_text(outcome.stderr)}")
    changed = State(
        {name: file for name, file in outcome.after.etc.items() if run.before.etc.get(name) != file},
        tree={path: node for path, node in outcome.after.tree.items() if run.before.tree.get(path) != node},
    )
    lines += ["=== changed", *_show_state(changed)]
    gone = run.before.etc.keys() - outcome.after.etc.keys() | run.before.tree.keys() - outcome.after.tree.keys()
    lines += ["=== gone: " + " ".join(sorted(gone)), "=== verdict", describe(run)]
    return "\n".join(lines)


def _show_state(state: State) -> list[str]:
    lines = []
    for top, files in (("/etc/", state.etc), ("/usr/lib/", state.image)):
        for name, file in sorted(files.items()):
            lines.append(f"--- {top}{name} {file.mode:o} {file.uid}:{file.gid}")
            # login.defs and its like: what is set, without the commentary.
            for line in _text(file.data).splitlines():
                if line and not line.startswith("#"):
                    lines.append(line)
    lines += [f"--- {path} {' '.join(map(str, node))}" for path, node in sorted(state.tree.items())]
    return lines


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
