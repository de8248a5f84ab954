# SPDX-License-Identifier: MIT
"""`accounts adopt` and `accounts flatten`: from a classic /etc to the smallest delta, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from accounts.errors import Refusal
from accounts.machine.delta import Kind, first_lines, local_rows, valid_lines
from accounts.machine.rebase import ORDERED, Rebase, RebaseReport, RebaseStep
from accounts.model.database import KINDS, Database, Layered
from accounts.model.table import Table

Texts = Mapping[str, bytes]


def adopt(
    database: Database, source: Texts | None = None, original: Texts | None = None, complete: bool = False
) -> RebaseReport:
    """Make the local layer, which may be a whole classic /etc, the smallest delta that keeps the view.

    source: database -> bytes of another place's file, whose rows come to those that are there; of a name that both
    have the local row stays, and the report has a conflict. original: the files that the rows were copied from
    when they were: what nobody has changed since is the image's of today, members of then are no additions.
    complete: the files are whole, so what they lack of the image was removed; else it is only not repeated.
    """
    steps = [] if source is None else _bring(database, source)
    # Bases of then are of no use: what counts is the image of today, or the original.
    database.base.lines().clear()
    if original is not None:
        _base_on(database, original)
    if complete:
        for name in ORDERED:
            steps += _remove_missing(database.tables[name], original is not None)
    report = Rebase(database, keep_copies=False).run()
    report.steps[:0] = steps
    return report


def _bring(database: Database, source: Texts) -> list[RebaseStep]:
    """Add the rows of other files to the local ones."""
    steps = []
    for name, data in source.items():
        layered = database.tables[name]
        if not layered.local.data:
            layered.local.replace_text(data)
            continue
        mine = first_lines(layered.local)
        ranges = set(layered.local.data.split(b"\n")) if name in ("subuid", "subgid") else set()
        lines = []
        for _, account, line in valid_lines(Table(KINDS[name], data)):
            if ranges:
                lines += [] if line in ranges else [line]
            elif account not in mine:
                lines.append(line)
            elif mine[account] != line:
                text = "both places have a row of that name; this machine's stays"
                steps.append(RebaseStep("conflict", name, account, text))
        if lines:
            text_here = layered.local.data.removesuffix(b"\n") + b"\n"
            layered.local.replace_text(text_here + b"".join(line + b"\n" for line in lines))
    return steps


def _base_on(database: Database, original: Texts) -> None:
    bases = database.base.lines()
    for name in ORDERED:
        rows = first_lines(Table(KINDS[name], original.get(name, b"")))
        image = database.tables[name].image
        for row in local_rows(database.tables[name]):
            if row.name in rows and image.find(row.name) is not None:
                bases[name, row.name] = rows[row.name]


def _remove_missing(layered: Layered, has_original: bool) -> list[RebaseStep]:
    """Hide what whole files lack of the image; rewrite rows that only a hide row makes possible."""
    steps: list[RebaseStep] = []
    if not layered.image.data or not layered.local.present:
        return steps
    rows = [row for row in local_rows(layered) if row.kind != Kind.REPEATED]
    there = {row.name for row in rows}
    for account in [account for account in first_lines(layered.image) if account not in there]:
        try:
            layered.remove(account)
        except Refusal as error:
            steps.append(RebaseStep("conflict", layered.name, account, error.lines()[0]))
    if has_original:
        # Whether a member was removed here or there, the merge says.
        return steps
    changed = [row for row in rows if row.kind in (Kind.OVERRIDE, Kind.MEMBERS, Kind.EQUAL) and row.image is not None]
    for row in changed:
        if not _needs_hide(layered, row.local, row.image):
            continue
        # As if the local row came now: then it is seen that no row does without hiding the image's.
        layered.local.remove_at(row.position)
        try:
            layered.put(row.local)
        except Refusal as error:
            layered.local.replace_at(row.position, row.local)
            steps.append(RebaseStep("conflict", layered.name, row.name, error.lines()[0]))
    return steps


def _needs_hide(layered: Layered, local: object, image: object) -> bool:
    """Whether a whole row has another id than the image's, or lacks one of its members."""
    if layered.name == "group":
        lost = set(image.members) - set(local.members)  # type: ignore[attr-defined]
        return bool(lost) or local.gid != image.gid  # type: ignore[attr-defined]
    return layered.name == "passwd" and local.uid != image.uid  # type: ignore[attr-defined]


def missing(database: Database) -> int:
    """How many users and groups of the image a local layer does not repeat."""
    return sum(
        len(first_lines(database.tables[name].image).keys() - first_lines(database.tables[name].local).keys())
        for name in ("passwd", "group")
    )


def flatten(database: Database) -> dict[str, bytes]:
    """The files of a classic /etc that say what NSS answers: database -> bytes, of those that there are to be.

    Local rows come first, as NSS has them, so that what is asked by id is answered as before; comments stay.
    """
    files = {}
    for name, layered in database.tables.items():
        if not layered.present:
            continue
        table = Table(KINDS[name], layered.local.render())
        mine = first_lines(table)
        theirs = first_lines(layered.image)
        rows = [row for row in valid_lines(table) if row[1] in theirs] if layered.merge else []
        for position, account, line in rows:
            joined = layered.get(account)
            if joined is not None and mine[account] == line and joined != table.at(position):
                table.replace_at(position, joined)
        image = [line for account, line in theirs.items() if account not in mine]
        text = table.render()
        text = text if not text or text.endswith(b"\n") else text + b"\n"
        # Before the rows of NIS, which end the file's own.
        nis = min((at for at in (_find_nis(text, b"+"), _find_nis(text, b"-")) if at >= 0), default=len(text))
        files[name] = text[:nis] + b"".join(line + b"\n" for line in image) + text[nis:]
    return files


def _find_nis(text: bytes, sign: bytes) -> int:
    return 0 if text.startswith(sign) else (at + 1 if (at := text.find(b"\n" + sign)) >= 0 else -1)


def flatten_in_place(database: Database) -> list[str]:
    """Write the view into the local layer; a sentence for each file. Hide rows stay, until altfiles is left."""
    done = []
    for name, text in flatten(database).items():
        table = database.tables[name].local
        if text != table.data:
            added = text.count(b"\n") - table.data.count(b"\n")
            table.replace_text(text)
            done.append(f"/etc/{name}: {added} {'row' if added == 1 else 'rows'} of the image added")
    database.base.lines().clear()
    return done
