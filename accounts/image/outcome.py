# SPDX-License-Identifier: MIT
"""What there is to tell of each `accounts image` command when it is done: JSON types, and lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accounts.image.check import Checked
    from accounts.image.diff import Difference
    from accounts.image.findings import Finding
    from accounts.image.importer import Imported
    from accounts.image.index import Indexed
    from accounts.image.pin import Pinned
    from accounts.image.rules import RuleFault
    from accounts.image.seed_image import Built
    from accounts.image.stateless import StatelessReport
    from accounts.image.thaw import Rows
    from accounts.image.wire import Wired

# How many findings of a rule, and files of a finding, a table for people shows.
SHOWN = 10


@dataclass
class ImageOutcome:
    """result: in JSON types; findings: more of it. lines: for standard output; text: what was asked for, in their
    place, as it is.

    notes: one line each, for standard error. complaints: for standard error as it is. failed: whether the build fails.
    """

    result: dict[str, Any]
    lines: Iterable[str] = ()
    text: str = ""
    notes: Sequence[str] = ()
    complaints: str = ""
    failed: bool = False
    findings: Sequence[Finding] | None = None

    def to_json(self) -> dict[str, Any]:
        """The result with its findings, which nobody needs in JSON types unless asked for."""
        if self.findings is None:
            return self.result
        return self.result | {"findings": [one.to_json() for one in self.findings]}


def count(things: Sequence[object], name: str) -> str:
    """ "1 file", "2 files"."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def format_findings(findings: Iterable[Finding]) -> str:
    """A table of findings for people: severity, rule, what; of very many of a rule the first ones."""
    lines = []
    counts: dict[str, int] = {}
    for one in findings:
        counts[one.rule] = counts.get(one.rule, 0) + 1
        if counts[one.rule] > SHOWN:
            continue
        lines.append(f"{one.severity:5} {one.rule:17} {one.message}")
        if one.files and one.message.find(one.files[0]) < 0:
            lines += [f"{'':24}{path}" for path in one.files[:SHOWN]]
            if len(one.files) > SHOWN:
                lines.append(f"{'':24}... and {len(one.files) - SHOWN} more (--json lists them)")
    for rule, number in counts.items():
        if number > SHOWN:
            lines.append(f"{'':5} {rule:17} ... and {number - SHOWN} more (--json lists them)")
    return "".join(line + "\n" for line in lines)


def tell_seed(root: Path, built: Built) -> ImageOutcome:
    """What moved, or why nothing did."""
    seeded = built.seeded
    found = format_findings(built.findings)
    if seeded is None:
        notes = ["nothing was changed"]
        return ImageOutcome({"ok": False}, notes=notes, complaints=found, failed=True, findings=built.findings)
    moved = ", ".join(f"{len(names)} {database}" for database, names in seeded.moved.items())
    line = f"{root}: moved {moved}; {count(seeded.kept, 'name')} kept in /etc"
    result = vars(seeded) | {"ok": True}
    return ImageOutcome(result, [line], notes=seeded.notes, complaints=found, findings=built.findings)


def tell_pin(root: Path, pinned: Pinned) -> ImageOutcome:
    """The ids that changed."""
    lines = [f"{database} {name}: {old} -> {new}" for database, name, old, new in pinned.changes]
    lines.append(f"{root}: {count(pinned.changes, 'id')} changed, {pinned.files} files given to their accounts")
    return ImageOutcome(vars(pinned), lines, notes=pinned.notes)


def tell_index(root: Path, indexed: Indexed) -> ImageOutcome:
    """The indexes that were not right."""
    lines = [f"{path}: removed" for path in indexed.removed]
    return ImageOutcome(vars(indexed), [*lines, f"{root}: {count(indexed.written, 'index file')} written"])


def tell_check(root: Path, checked: Checked) -> ImageOutcome:
    """Facts and findings."""
    facts = "".join(f"{name:15} {text}\n" for name, text in checked.facts.items())
    failures = [finding for finding in checked.findings if finding.severity == "fail"]
    warnings = [finding for finding in checked.findings if finding.severity != "fail"]
    told = (f"failed, {count(failures, 'failure')}" if failures else "fine") + f", {count(warnings, 'warning')}"
    last = f"{root}: {told}\n"
    text = facts + format_findings(checked.findings) + last
    return ImageOutcome({"root": str(root)} | checked.to_json(), text.splitlines(), failed=checked.failed)


def tell_stateless(root: Path, report: StatelessReport) -> ImageOutcome:
    """What the rules did, and what is left."""
    notes = [f"points to nothing now: {link}" for link in report.dangling]
    notes += [f"disabled: {line}" for line in report.disabled]
    if report.check_empty != "no":
        notes += [f"left in /etc: {path}" for path in report.left]
    line = (
        f"{root}: moved {len(report.moved)}, removed {len(report.removed)}, kept {len(report.kept)}, "
        f"{count(report.factory, 'line')} of tmpfiles.d, {len(report.left)} left over; "
        f"{count(report.unused, 'rule')} matched nothing (--json lists them)"
    )
    return ImageOutcome({"ok": not report.failed} | vars(report), [line], notes=notes, failed=report.failed)


def tell_lint(found: Sequence[RuleFault]) -> ImageOutcome:
    """The faults of rule files."""
    result = {"ok": not found, "findings": [vars(one) for one in found]}
    return ImageOutcome(result, map(str, found), failed=bool(found))


def tell_diff(changes: Sequence[Difference]) -> ImageOutcome:
    """What differs."""
    return ImageOutcome({"changes": [vars(change) for change in changes]}, map(str, changes))


def tell_wire(root: Path, wired: Wired) -> ImageOutcome:
    """What changed."""
    where = "linked at boot" if wired.boot else "a link in /etc"
    line = f"{root}: {count(wired.changed, 'path')} changed; nsswitch.conf is {where}"
    return ImageOutcome(vars(wired), [line], notes=wired.notes)


def tell_export(lost: Sequence[str]) -> ImageOutcome:
    """What got lost."""
    return ImageOutcome({"lost": lost}, notes=lost)


def tell_import(imported: Imported) -> ImageOutcome:
    """What is new."""
    return ImageOutcome(vars(imported), [f"{kind} {name}" for kind, name in imported.added], notes=imported.notes)


def tell_rows(root: Path, rows: Rows, verb: str) -> ImageOutcome:
    """How many rows have come or gone."""
    names = [name for names in rows.changed.values() for name in names]
    return ImageOutcome(vars(rows), [f"{root}: {count(names, 'row')} {verb} /etc"], notes=rows.notes)
