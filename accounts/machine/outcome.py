# SPDX-License-Identifier: MIT
"""What there is to tell of each command for a machine when it is done: JSON types, and text for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accounts.machine import render
from accounts.machine.render import Painter

if TYPE_CHECKING:
    from accounts.image.findings import Finding
    from accounts.machine.applyrun import Applied
    from accounts.machine.compare import FileDiff
    from accounts.machine.edits import Written
    from accounts.machine.rebase import RebaseReport
    from accounts.machine.reset import Reset
    from accounts.machine.show import Shown
    from accounts.machine.status import Status
    from accounts.machine.travel import Contradiction
    from accounts.machine.update import Updated


@dataclass
class MachineOutcome:
    """to_json, to_text: the result as docs/schemas have it, and for people; made when asked for, as a diff takes longer
    than the change. notes: one line each for people, for standard error. found: findings, differences or conflicts.
    """

    to_json: Callable[[], dict[str, Any]]
    to_text: Callable[[Painter], str] = lambda painter: ""
    notes: Sequence[str] = ()
    found: bool = False


def _lines(sentences: Sequence[object]) -> str:
    return "".join(f"{sentence}\n" for sentence in sentences)


def _diff(written: Written, dry_run: bool, painter: Painter) -> str:
    """What a dry run would have written."""
    return render.format_diff(written.diffs, painter) if dry_run else ""


def tell_status(status: Status, everything: bool) -> MachineOutcome:
    """All that is local. everything: no section is cut off."""
    return MachineOutcome(
        status.to_json,
        lambda painter: render.format_status(status, painter, everything),
        found=bool(status.problems),
    )


def tell_diff(diffs: Sequence[FileDiff]) -> MachineOutcome:
    """What the machine sees otherwise than the image has it."""
    return MachineOutcome(
        lambda: {"diffs": [diff.to_json() for diff in diffs]},
        lambda painter: render.format_diff(diffs, painter),
        found=bool(diffs),
    )


def tell_shown(shown: Shown) -> MachineOutcome:
    """Where all of an account is from."""
    return MachineOutcome(shown.to_json, lambda painter: render.format_shown(shown, painter))


def tell_findings(done: Sequence[str], findings: Sequence[Finding]) -> MachineOutcome:
    """What was mended, and what is wrong."""
    return MachineOutcome(
        lambda: {"done": list(done), "findings": [one.to_json() for one in findings]},
        lambda painter: render.format_findings(done, findings, painter),
        found=bool(findings),
    )


def tell_update(updated: Updated, root: str, dry_run: bool) -> MachineOutcome:
    """What rebase did, and what somebody has to decide. root: root_option()'s."""
    walk = updated.walk
    notes = [] if walk is None else [*walk.notes, *([f"and {walk.more} more"] if walk.more else ())]

    def to_text(painter: Painter) -> str:
        files = "" if walk is None else render.format_walk(walk)
        return render.format_steps(updated.report, root, painter) + _diff(updated.written, dry_run, painter) + files

    return MachineOutcome(updated.to_json, to_text, notes, bool(updated.report.open or notes))


def tell_adopted(report: RebaseReport, missing: int, written: Written, root: str, dry_run: bool) -> MachineOutcome:
    """What became of a classic /etc. missing: accounts of the image that it lacks, and that are seen."""
    return MachineOutcome(
        lambda: {"steps": report.to_json(), "missing": missing, **written.to_json()},
        lambda painter: render.format_steps(report, root, painter) + _diff(written, dry_run, painter),
        [f"{missing} accounts of the image were not in /etc, and are seen; --complete hides such ones"] * bool(missing),
        bool(report.open),
    )


def tell_edit(done: Sequence[str], written: Written, dry_run: bool) -> MachineOutcome:
    """What was done, a sentence each."""
    return MachineOutcome(
        lambda: {"done": list(done), **written.to_json()},
        lambda painter: _lines(done) + _diff(written, dry_run, painter),
    )


def tell_reset(result: Reset, dry_run: bool) -> MachineOutcome:
    """What went, and what could not."""

    def to_text(painter: Painter) -> str:
        diff = render.format_diff(result.diffs, painter) if dry_run else ""
        return diff + "".join(f"removed {path}\n" for path in result.removed)

    return MachineOutcome(
        lambda: {"removed": result.removed, "notes": result.notes, "diffs": [diff.to_json() for diff in result.diffs]},
        to_text,
        result.notes,
        bool(result.notes),
    )


def tell_applied(result: Applied, told: bool, check: bool) -> MachineOutcome:
    """What was made true. told: nothing was written; check: whether that is all that is asked."""

    def to_text(painter: Painter) -> str:
        diff = render.format_diff(result.diffs, painter) if told else ""
        return _lines(result.actions) + _lines(result.files) + diff

    return MachineOutcome(result.to_json, to_text, found=check and result.changed)


def tell_export(path: Path, rows: int, signed: bool) -> MachineOutcome:
    """Where a delta was written to."""
    return MachineOutcome(lambda: {"file": str(path), "rows": rows, "signed": signed})


def tell_import(done: Sequence[str], written: Written, signer: str | None, dry_run: bool) -> MachineOutcome:
    """What was taken of a delta. signer: whose it is, where that was asked."""
    outcome = tell_edit(done, written, dry_run)
    outcome.to_json = lambda: {"done": list(done), "conflicts": [], "signer": signer, **written.to_json()}
    return outcome


def tell_contradicted(conflicts: Sequence[Contradiction], signer: str | None) -> MachineOutcome:
    """Why nothing was taken of a delta."""
    shown: dict[str, Any] = {"done": [], "signer": signer, "changed": False, "diffs": []}
    return MachineOutcome(
        lambda: {"conflicts": [one.to_json() for one in conflicts], **shown}, notes=[*map(str, conflicts)], found=True
    )
