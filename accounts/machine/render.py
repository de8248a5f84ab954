# SPDX-License-Identifier: MIT
"""Tables, diffs and colours of the `accounts` commands, for people. Nothing here decides anything."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence

from accounts.image.findings import Finding
from accounts.machine.compare import FileDiff
from accounts.machine.rebase import RebaseReport
from accounts.machine.show import Answer, Shown
from accounts.machine.status import Status
from accounts.machine.words import shown as printable
from accounts.system.reown import Reowned

_COLORS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
# How many rows of a section a table shows; --json and --all show all.
SHOWN = 50
# What people call a field of passwd(5), shadow(5), group(5), gshadow(5).
FIELDS = {
    "passwd": "password", "uid": "UID", "gid": "GID", "gecos": "GECOS", "lstchg": "last change", "min": "minimum age",
    "max": "maximum age", "warn": "warning", "inactive": "inactivity", "expire": "expires",
    "admins": "administrators",
}  # fmt: skip


class Painter:
    """Colours for a terminal (ECMA-48); plain text anywhere else, and with NO_COLOR (no-color.org)."""

    def __init__(self, fd: int = 1) -> None:
        try:
            terminal = os.isatty(fd)
        except OSError:
            terminal = False
        self.on = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def paint(self, text: str, color: str) -> str:
        """text in a colour of _COLORS."""
        return f"\x1b[{_COLORS[color]}m{text}\x1b[0m" if self.on and text else text


def field_name(field: str) -> str:
    """A field of a record as people call it."""
    return FIELDS.get(field, field)


def count(number: int, name: str) -> str:
    """ "3 own users", "1 own user"; "changed" has no plural."""
    singular = {"memberships": "membership", "own users": "own user", "own groups": "own group", "problems": "problem"}
    return f"{number} {singular.get(name, name) if number == 1 else name}"


def table(rows: Sequence[Sequence[str]], indent: int = 2) -> list[str]:
    """Rows in aligned columns; the last one is as long as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)] if rows else []
    return [
        (
            " " * indent + "".join(f"{cell:{width}}  " for cell, width in zip(row, widths, strict=False)) + row[-1]
        ).rstrip()
        for row in rows
    ]


def format_status(status: Status, painter: Painter, everything: bool = False) -> str:
    """The status as a table with a section for each kind of difference, and a summary line."""
    lines: list[str] = []

    def section(title: str, rows: Sequence[Sequence[str]]) -> None:
        if not rows:
            return
        lines.append(painter.paint(title, "bold"))
        shown = rows if everything else rows[:SHOWN]
        lines.extend(table(shown))
        if len(rows) > len(shown):
            lines.append(f"  ... and {len(rows) - len(shown)} more (--all shows them)")
        lines.append("")

    section(
        "Own users",
        [(one.name, f"UID {one.uid}", f"group {one.group}", f"password {one.password}", one.home, one.shell)
         for one in status.users],
    )  # fmt: skip
    section("Own groups", [(one.name, f"GID {one.gid}", ", ".join(one.members)) for one in status.groups])
    memberships = [(one.group, "+ " + ", ".join(one.users)) for one in status.memberships]
    section("Memberships in groups of the image", memberships)
    changes = []
    previous = ("", "")
    for one in status.changes:
        name = "" if previous == (one.account, one.name) else one.name
        previous = one.account, one.name
        label = field_name(one.field) + (" (gshadow)" if one.database == "gshadow" else "")
        changes.append((name, label, f"{one.image} -> {one.local}"))
    section("Changed accounts of the image", changes)
    section("Hidden accounts of the image", [(one.name, one.account) for one in status.hidden])
    section(
        "Subordinate ids",
        [(one.owner, one.database, f"{one.first}-{one.first + one.count - 1}") for one in status.ranges],
    )
    section("Users of the image copied to /etc", [(name,) for name in status.copies])
    if status.needless:
        rows, them = ("1 row says", "it") if status.needless == 1 else (f"{status.needless} rows say", "them")
        lines += [f"{rows} what the image says already; accounts rebase drops {them}", ""]
    lines.append(_summary(status, painter))
    return "".join(f"{line}\n" for line in lines)


def _summary(status: Status, painter: Painter) -> str:
    counts = status.counts()
    problems = counts.pop("problems")
    text = ", ".join(count(number, name) for name, number in counts.items())
    color = "red" if problems else "green"
    return f"{text}, {painter.paint(count(problems, 'problems'), color)}" + ("; see accounts check" if problems else "")


def format_steps(report: RebaseReport, root: str, painter: Painter) -> str:
    """What rebase did, then what somebody has to decide, and how. root: root_option()'s."""
    lines = []
    more: dict[tuple[str, str], int] = {}
    told: Counter[tuple[str, str]] = Counter()
    for step in sorted(report.steps, key=lambda step: step.open):
        told[step.what, step.database] += 1
        if told[step.what, step.database] > SHOWN and not step.open:
            more[step.what, step.database] = told[step.what, step.database] - SHOWN
            continue
        what = painter.paint(step.what, "red") if step.open else step.what
        lines.append((what, step.database, printable(step.name), step.text))
    lines += [(what, database, "...", f"{number} more") for (what, database), number in more.items()]
    text = "".join(f"{line}\n" for line in table(lines, 0))
    if any(step.what in ("conflict", "orphan") for step in report.open):
        text += f"To decide: accounts rebase{root} --take image|local NAME...\n"
    if any(step.what == "collision" and "belongs to" in step.text for step in report.open):
        text += f"To end a collision of ids: accounts rebase{root} --move-local [NAME...]\n"
    return text


def format_walk(walk: Reowned) -> str:
    """What became of files."""
    return f"{walk.changed} of {walk.seen} files have changed hands\n"


def format_findings(done: Sequence[str], findings: Sequence[Finding], painter: Painter) -> str:
    """What was mended, then each finding with the command that mends it, then their number; nothing for none."""
    lines = [painter.paint(sentence, "green") for sentence in done]
    told: Counter[str] = Counter()
    for one in findings:
        told[one.rule] += 1
        if told[one.rule] > SHOWN:
            continue
        head = painter.paint(f"{one.severity}  {one.rule}", "red" if one.severity == "fail" else "yellow")
        lines.append(f"{head}: {one.message}")
        if one.fix:
            lines.append(f"        {painter.paint(one.fix, 'cyan')}")
    lines += [f"... and {number - SHOWN} more of {code}" for code, number in told.items() if number > SHOWN]
    if findings:
        lines.append(f"{len(findings)} {'finding' if len(findings) == 1 else 'findings'}")
    return "".join(f"{line}\n" for line in lines)


def format_diff(diffs: Iterable[FileDiff], painter: Painter) -> str:
    """Unified diffs, coloured as git does."""
    text = "".join(map(str, diffs))
    if not painter.on:
        return text
    colors = {"---": "bold", "+++": "bold", "@@": "cyan", "-": "red", "+": "green"}
    lines = []
    for line in text.splitlines():
        color = next((color for sign, color in colors.items() if line.startswith(sign)), None)
        lines.append(line if color is None else painter.paint(line, color))
    return "".join(f"{line}\n" for line in lines)


def format_shown(shown: Shown, painter: Painter) -> str:
    """All about a name: a table for each database, then the groups."""
    lines: list[str] = []
    for answer in shown.answers:
        lines += [painter.paint(f"{answer.database} {shown.name}", "bold"), f"  {answer.why}"]
        lines += table(_field_rows(answer), 4)
        lines += [
            painter.paint(f"    {one.path}:{one.line} is not used", "dim") for one in answer.sources if not one.used
        ]
        lines.append("")
    if shown.groups:
        lines.append(painter.paint("groups", "bold"))
        lines += table([(one.group or "-", f"GID {one.gid}", one.origin) for one in shown.groups], 4)
        lines.append("")
    return "".join(f"{line}\n" for line in lines[:-1])


def _field_rows(answer: Answer) -> list[tuple[str, ...]]:
    return [
        (
            field_name(field.name),
            field.value,
            f"{field.path}:{field.line}" + ("" if field.image is None else f"  (image: {field.image})"),
        )
        for field in answer.fields
    ]
