# SPDX-License-Identifier: MIT
"""Judges one replayed run: against the record byte for byte (classic), or by the law (split).

Every way in which a run may differ from its record is one of RULES; there is no exemption for a single case.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from tests.support import hashes
from tests.support.recordings import Case
from tests.support.state import File, Node, Outcome, State
from tests.support.view import (
    DATABASES,
    Entry,
    Row,
    View,
    delta_faults,
    entry_of,
    hidden_names,
    inexpressible,
    lines_of,
    parse_line,
    view,
)

RULES = {
    "salted-hash": "new salt (rounds too, if login.defs gives a range): same method, crypt(3) verifies both",
    "no-des": "where nobody names a method, libxcrypt's preferred one in place of pam_unix's DES (decisions/pam.md)",
    "pid-in-message": "the process id in `currently used by process N`",
    "no-op-backup": "a file whose content stays is not rewritten, nor its NAME-, but by pwconv (design.md 4.6)",
    "row-order": "pwck, grpck, passwd -Sa, groupmems -l print in file order; there are two files now",
    "layer-named": "pwck, grpck mark what the image's rows are reported for: (image), `in the image`",
    "member-order": "grpconv copies the group's members, in the order of the join: the local ones first",
    "half-written": "the real tool fails after some of its files are written; ours writes all or nothing: nothing",
    "split-group": "a group's rows of MAX_MEMBERS_PER_GROUP: NSS by name shows the first one, the join of layers all",
    "first-of-several": "groupdel names one of several users of a primary group, the first in file order",
    "pam-clock": "oracle only: pam_unix takes the day from the clock, not from SOURCE_DATE_EPOCH",
}
ACCOUNT_FILES = (*DATABASES, "subuid", "subgid")
# What stays refused with hide rows: to lose root without a word for it.
ROOT = re.compile(r"image user(?: deleted or renamed|'s UID changed): root")
REFUSAL = re.compile(rb"the image|read-only image")
# Made by every tool (lckpwdf), or by useradd -D, and not part of the records.
_UNRECORDED = {".pwd.lock", "default/useradd-"}
_BESIDE = re.compile(r"accounts/(base|hidden)")
_LISTING_TOOLS = ("pwck", "grpck", "groupmems", "passwd")


@dataclass
class Verdict:
    """faults: what differs, one text each (maybe of several lines). refused: the law's reasons, if it was."""

    faults: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    rules: set[str] = field(default_factory=set)

    @property
    def ok(self) -> bool:
        """Whether nothing differs (a rightful refusal included)."""
        return not self.faults


def judge_classic(case: Case, before: State, outcome: Outcome, oracle: bool = False) -> Verdict:
    """Same exit status, output, files, modes, owners and trees as recorded. oracle: the real tools run."""
    verdict = Verdict()
    if not oracle:
        case = _all_or_nothing(case, verdict)
    _judge_output(case, outcome, verdict)
    expected = {name: file for name, file in case.after.etc.items() if name not in _UNRECORDED}
    got = {name: file for name, file in outcome.after.etc.items() if name not in _UNRECORDED}
    for name in sorted(expected.keys() | got.keys()):
        want, have = expected.get(name), got.get(name)
        if want == have:
            continue
        owner = name.removesuffix("-")
        backup = name != owner and owner in ACCOUNT_FILES
        if backup and _is_left_alone(name, case, before, outcome):
            continue
        if backup and _is_old_backup(case, name, have, before) and _same_text(before, expected, owner):
            verdict.rules.add("no-op-backup")
            continue
        if want and have:
            have = _unsalted(want, have, case, verdict, oracle)
        verdict.faults += _file_differences(name, want, have)
    unchanged = all(_same_text(before, expected, name) for name in ACCOUNT_FILES)
    if unchanged and not oracle:
        _judge_untouched(outcome, verdict)
    _judge_rest(case, before, outcome, verdict)
    return verdict


def judge_split(case: Case, before: State, outcome: Outcome) -> Verdict:
    """The law: the record's view, exit status and messages; the image untouched; a minimal delta."""
    verdict = Verdict()
    view_before = view({}, case.before.etc)
    # What the real tool left, half-written or not, is what a refusal may be about.
    refusable = inexpressible(before.image, view_before, view({}, case.after.etc))
    case = _all_or_nothing(case, verdict)
    view_after = view({}, case.after.etc)
    if before.hide:
        refusable = [reason for reason in refusable if ROOT.fullmatch(reason)]
    reasons = [] if before.hide else inexpressible(before.image, view_before, view_after)
    if outcome.exit and REFUSAL.search(outcome.stderr):
        verdict.refused = refusable
        if not refusable:
            verdict.faults.append("refused, but a delta can say what the record says: " + _text(outcome.stderr))
        if outcome.touched - _UNRECORDED:
            verdict.faults.append("refused, but the local files changed: " + " ".join(sorted(outcome.touched)))
        verdict.faults += _tree_differences(before.tree, outcome.after.tree)
        _judge_image(before, outcome, verdict)
        return verdict
    if reasons:
        verdict.faults.append("a refusal is expected: " + "; ".join(reasons))
    _judge_output(case, outcome, verdict, split=True)
    local = dict(outcome.after.etc)
    for name in DATABASES:
        if name in local and name in case.after.etc:
            local[name] = _unsalted(case.after.etc[name], local[name], case, verdict)
    got = view(before.image, local, before.merge, before.hide)
    _join_split_groups(case, view_after, got, verdict)
    verdict.faults += view_after.differences(got)
    verdict.faults += delta_faults(before.image, before.etc, outcome.after.etc, before.merge, before.hide)
    _judge_local_files(case, before, outcome, verdict)
    # The view does not show all: a row without a name is none for NSS, but shadow writes it.
    unchanged = all(_same_text(case.before, case.after.etc, name) for name in ACCOUNT_FILES)
    if unchanged and view_after == view_before:
        _judge_untouched(outcome, verdict, {"gshadow", "gshadow-"} if "member-order" in verdict.rules else set())
    _judge_rest(case, before, outcome, verdict)
    return verdict


def _join_split_groups(case: Case, expected: View, got: View, verdict: Verdict) -> None:
    """A group of more than MAX_MEMBERS_PER_GROUP has several rows: by name NSS shows the first, and the join all."""
    rows: dict[bytes, list[Entry]] = {}
    for line in lines_of(case.after.etc, "group"):
        row = parse_line("group", line)
        if row is not None:
            rows.setdefault(row[0], []).append(entry_of("group", row))
    for name, entries in rows.items():
        joined = Entry(entries[0].fields, (frozenset().union(*(entry.lists[0] for entry in entries)),))
        if len(entries) > 1 and got.entries["group"].get(name) == joined != expected.entries["group"].get(name):
            expected.entries["group"][name] = joined
            verdict.rules.add("split-group")


def _all_or_nothing(case: Case, verdict: Verdict) -> Case:
    """The record as a tool leaves it that commits all files or none (docs/decisions/journal.md)."""
    if case.exit and b"failure while writing changes to" in case.stderr and case.after != case.before:
        verdict.rules.add("half-written")
        return dataclasses.replace(case, after=case.before)
    return case


def _judge_output(case: Case, outcome: Outcome, verdict: Verdict, split: bool = False) -> None:
    if outcome.exit != case.exit:
        status = "time limit" if outcome.exit is None else outcome.exit
        verdict.faults.append(f"exit: expected {case.exit}, got {status}")
    for name, want, have in (
        ("stdout", case.stdout, outcome.stdout),
        ("stderr", case.stderr, outcome.stderr),
    ):
        if want == have:
            continue
        pid = rb"(used by process )\d+"
        if re.sub(pid, rb"\1N", want) == re.sub(pid, rb"\1N", have):
            verdict.rules.add("pid-in-message")
        elif split and case.command.tool == "groupdel" and _names_another_user(case, want, have):
            verdict.rules.add("first-of-several")
        elif (
            split
            and case.command.tool in ("pwck", "grpck")
            and _sorted_words(want) == _sorted_words(_without_layers(have))
        ):
            verdict.rules.add("layer-named")
        elif split and case.command.tool in _LISTING_TOOLS and _sorted_words(want) == _sorted_words(have):
            verdict.rules.add("row-order")
        else:
            verdict.faults.append(f"{name}:\n" + _diff(want, have))


def _names_another_user(case: Case, want: bytes, have: bytes) -> bool:
    """Whether both say that a group is a user's primary group, and it is for either user."""
    said = re.compile(rb"groupdel: cannot remove the primary group of user '(.*)'\n")
    found = [said.fullmatch(want), said.fullmatch(have)]
    rows = view({}, case.before.etc).entries["passwd"]
    groups = [rows[match[1]].fields[3] for match in found if match and match[1] in rows]
    return len(groups) == 2 and groups[0] == groups[1]


def _without_layers(text: bytes) -> bytes:
    lines = [line for line in text.splitlines(keepends=True) if b" in the image" not in line]
    return b"".join(line.removesuffix(b" (image)\n") + b"\n" * line.endswith(b" (image)\n") for line in lines)


def _judge_local_files(case: Case, before: State, outcome: Outcome, verdict: Verdict) -> None:
    """The local files: names, modes, owners, and the lines that were none of the command's business."""
    recorded = {name: file for name, file in case.after.etc.items() if name.removesuffix("-") not in DATABASES}
    for name in sorted(recorded.keys() | outcome.after.etc.keys()):
        want, have = recorded.get(name), outcome.after.etc.get(name)
        owner = name.removesuffix("-")
        if name == "accounts/base" and have:
            verdict.faults += _base_faults(have, before)
        if name in _UNRECORDED or _BESIDE.fullmatch(name) or want == have:
            continue
        if owner in DATABASES and have:
            if have != before.etc.get(name):
                _judge_mode(case, name, have, before, verdict)
            old, new = before.etc.get(owner), outcome.after.etc.get(owner)
            if name != owner and _is_left_alone(name, case, before, outcome):
                continue
            if (
                name != owner
                and old
                and (new != old or name not in before.etc or have.data != before.etc[name].data)
                and have.data != old.data
            ):
                verdict.faults.append(f"{name} is not the old {owner}:\n" + _diff(old.data, have.data))
        elif owner in ACCOUNT_FILES and name != owner and _same_text(before, case.after.etc, owner):
            if _is_old_backup(case, name, have, before):
                verdict.rules.add("no-op-backup")
            else:
                verdict.faults += _file_differences(name, want, have)
        else:
            verdict.faults += _file_differences(name, want, have)
    view_before = view(before.image, before.etc, before.merge, before.hide)
    view_after = view({}, case.after.etc)
    for database in DATABASES:
        kept = set(lines_of(outcome.after.etc, database))
        recorded_lines = set(lines_of(case.after.etc, database))
        for line in lines_of(before.etc, database):
            row = parse_line(database, line)
            same_entry = row is not None and (
                view_before.entries[database].get(row[0]) == view_after.entries[database].get(row[0])
                and entry_of(database, row) == view_before.entries[database].get(row[0])
            )
            if line in kept or not (line in recorded_lines or same_entry):
                continue
            if case.command.tool == "grpconv" and database == "gshadow" and _copied_row(line, before) in kept:
                verdict.rules.add("member-order")
            else:
                verdict.faults.append(f"an untouched {database} line is gone or changed: {_text(line)}")


def _base_faults(base: File, before: State) -> list[str]:
    """accounts/base holds rows of the image, which may be secret."""
    faults = [] if base[1:] == (0o600, 0, 0) else [f"accounts/base is {base.mode:o} {base.uid}:{base.gid}"]
    rows = {b"%b:%b" % (name.encode(), line) for name in DATABASES for line in lines_of(before.image, name)}
    strange = [line for line in base.data.splitlines() if line not in rows]
    return faults + [f"accounts/base has what is no row of the image: {_text(line)}" for line in strange]


def _copied_row(line: bytes, before: State) -> bytes:
    """What grpconv makes of a row of gshadow: the members are the group's, as NSS joins its rows."""
    name, *fields = line.split(b":")
    rows: list[Row] = []
    for lines in (lines_of(before.etc, "group"), lines_of(before.image, "group")):
        found = [row for row in (parse_line("group", text) for text in lines) if row is not None and row[0] == name]
        rows += found[:1]
    if len(rows) == 2 and (not before.merge or rows[0][2] != rows[1][2] or _is_hidden(before, name)):
        rows.pop()
    members = dict.fromkeys(member for row in rows for member in row[3].split(b",") if member)
    return b":".join((name, *fields[:2], b",".join(members)))


def _is_hidden(before: State, group: bytes) -> bool:
    return before.hide and group in hidden_names(before.etc, "group")


def _is_left_alone(name: str, case: Case, before: State, outcome: Outcome) -> bool:
    """Whether neither side has written a backup: after earlier steps of a state machine it need not be the same."""
    return outcome.after.etc.get(name) == before.etc.get(name) and case.after.etc.get(name) == case.before.etc.get(name)


def _is_old_backup(case: Case, name: str, have: File | None, before: State) -> bool:
    """Whether a backup is the one from before; pwconv takes rights from passwd- even so."""
    old = before.etc.get(name)
    if old is not None and case.command.tool == "pwconv" and name == "passwd-" and not case.exit:
        old = old._replace(mode=0o600)
    return have == old


def _judge_mode(case: Case, name: str, have: File, before: State, verdict: Verdict) -> None:
    """No more rights than the real file has; those that the file had; a new file's are the image's where it has one."""
    owner = name.removesuffix("-")
    model = case.after.etc.get(owner) or case.before.etc.get(owner)
    old = before.etc.get(owner)
    if case.command.tool == "pwconv" and name == "passwd-":
        model = case.after.etc.get(name)
        old = None
    fresh = before.image.get(owner) if owner not in before.etc else None
    allowed = [(file.mode, file.uid, file.gid) for file in (model, fresh) if file is not None]
    kept = old is not None and have[1:] == old[1:]
    good = any(not have.mode & ~mode and (have.uid, have.gid) == (uid, gid) for mode, uid, gid in allowed)
    if allowed and not kept and not good:
        rights = " or ".join(f"{mode:o} {uid}:{gid}" for mode, uid, gid in allowed)
        verdict.faults.append(f"{name}: {have.mode:o} {have.uid}:{have.gid}, at most {rights}")


def _judge_untouched(outcome: Outcome, verdict: Verdict, but: Collection[str] = ()) -> None:
    """but: files that are written by a rule."""
    touched = sorted(outcome.touched & {*ACCOUNT_FILES, *(name + "-" for name in ACCOUNT_FILES)} - set(but))
    if touched:
        verdict.faults.append("nothing changes, yet these files were written: " + " ".join(touched))


def _judge_rest(case: Case, before: State, outcome: Outcome, verdict: Verdict) -> None:
    verdict.faults += _tree_differences(case.after.tree, outcome.after.tree)
    _judge_image(before, outcome, verdict)


def _judge_image(before: State, outcome: Outcome, verdict: Verdict) -> None:
    if outcome.after.image != before.image or outcome.strays:
        verdict.faults.append("wrote where it must not: " + " ".join(outcome.strays))


def _same_text(before: State, after: dict[str, File], name: str) -> bool:
    old, new = before.etc.get(name), after.get(name)
    return (old and old.data) == (new and new.data)


def _unsalted(want: File, have: File, case: Case, verdict: Verdict, oracle: bool = False) -> File:
    words = hashes.plaintexts(case.command)
    rounds = hashes.sha_rounds(case.before.etc["login.defs"].data) if "login.defs" in case.before.etc else None
    data = hashes.unsalt(have.data, want.data, words, rounds) if words else have.data
    if data != have.data:
        verdict.rules.add("salted-hash")
    if data != want.data and not oracle:
        defs = case.before.etc["login.defs"].data if "login.defs" in case.before.etc else b""
        stronger = hashes.unsalt(data, want.data, words, no_des=hashes.asks_for_no_method(case.command, defs))
        if stronger != data:
            verdict.rules.add("no-des")
            data = stronger
    if oracle and data != want.data and len(data.split(b"\n")) == len(want.data.split(b"\n")):
        lines = []
        for mine, theirs in zip(data.split(b"\n"), want.data.split(b"\n"), strict=True):
            left, right = mine.split(b":"), theirs.split(b":")
            if len(left) == len(right) == 9 and left[:2] + left[3:] == right[:2] + right[3:] and left != right:
                verdict.rules.add("pam-clock")
                mine = theirs
            lines.append(mine)
        data = b"\n".join(lines)
    return have._replace(data=data)


def _file_differences(name: str, want: File | None, have: File | None) -> list[str]:
    if want is None or have is None:
        return [f"{name}: {'is there, expected not' if have else 'expected, is not there'}"]
    faults = []
    if want.data != have.data:
        faults.append(f"{name}:\n" + _diff(want.data, have.data))
    if want[1:] != have[1:]:
        faults.append(f"{name}: expected {want.mode:o} {want.uid}:{want.gid}, got {have.mode:o} {have.uid}:{have.gid}")
    return faults


def _tree_differences(want: dict[str, Node], have: dict[str, Node]) -> list[str]:
    return [
        f"tree {path}: expected {_show_node(want.get(path))}, got {_show_node(have.get(path))}"
        for path in sorted(want.keys() | have.keys())
        if want.get(path) != have.get(path) and path != "/nonexistent"  # records name what is in it
    ]


def _show_node(node: Node | None) -> str:
    if node is None:
        return "nothing"
    return f"{node.kind} {node.mode:o} {node.uid}:{node.gid} {node.target or node.size}"


def _sorted_words(text: bytes) -> list[bytes]:
    return sorted(re.split(rb"[\s,]+", text))


def _diff(want: bytes, have: bytes) -> str:
    lines = difflib.unified_diff(
        _text(want).splitlines(), _text(have).splitlines(), "expected", "got", lineterm="", n=1
    )
    text = "\n".join("    " + line for line in lines)
    return text or f"    expected {want!r}\n    got      {have!r}"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
