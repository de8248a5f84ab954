# SPDX-License-Identifier: MIT
"""`accounts check`: whether the accounts of a machine are as they should be, and the mending of what is safe."""

from __future__ import annotations

from collections.abc import Collection

from accounts import progress
from accounts.change import Change
from accounts.image.findings import Finding
from accounts.image.ledger import Ledger, parse_text
from accounts.image.nsswitch import merge_nsswitch
from accounts.image.tree import Tree
from accounts.image.wire import NSSWITCH
from accounts.machine.delta import has_image
from accounts.machine.edits import edit_files, read
from accounts.machine.findings import Check, MachineFindings, drop_rows
from accounts.machine.leftovers import check_etc, find_leftovers, find_wrong_modes, mend_mode, remove_leftover
from accounts.machine.reown import IDS, JOURNAL, STATE, Ids, changed_ids, find_unfinished, read_ids
from accounts.machine.wiring import check_wiring, drop_subid_line, restore_nsswitch
from accounts.machine.words import root_option, shown
from accounts.model.database import Database
from accounts.system import nss
from accounts.text import fsdecode, suggest

# All that accounts.conf(5) has.
SETTINGS = (b"GROUP_POLICY", b"HIDE", b"IMAGE_DIR", b"RE_OWN", b"SHADOW_COMPAT", b"SUBID_OVERLAP")
LEDGER = b"usr/share/accounts/ids"
VENDOR_NSSWITCH = b"usr/share/accounts/nsswitch.conf"
# What is a row of the account files.
_ROWS = ("needless-row", "stale-shadow", "stale-gshadow", "stale-hide", "repeated-row")
# What --fix mends.
FIXABLE = (*_ROWS, "mode", "journal", "leftover", "nsswitch", "nsswitch-missing", "subid")


def check(change: Change) -> list[Finding]:
    """All findings, those that fail first. Raises the error classes of the files, OSError."""
    return _check(change).in_order()


def count_problems(change: Change) -> int:
    """How many findings there are. Raises as check()."""
    return len(_check(change).made)


def _check(change: Change) -> MachineFindings:
    findings = MachineFindings(root_option(change))
    progress.begin("reading the accounts")
    database = read(change)
    check_etc(change, database, findings)
    _check_settings(change, findings)
    known = read_ids(change) or {}
    _check_walk(change, database, findings, known)
    # A seeded image that nsswitch.conf does not lead to is none to the tools, and has nobody: that is the finding.
    if has_image(database) or any(change.target.read(path) is not None for path in (LEDGER, VENDOR_NSSWITCH)):
        check_wiring(change, findings)
    asks = change.target.asks_nss("passwd")
    has_user = (lambda name: nss.find_user(name) is not None) if asks else (lambda name: False)
    Check(database, _read_ledger(change), change.facts.defs, has_user, findings, known).run()
    return findings


def _check_settings(change: Change, findings: MachineFindings) -> None:
    """A slip of the pen in accounts.conf, which changes nothing and which nobody is told of else."""
    for key in change.target.settings():
        if key not in SETTINGS:
            hint = suggest(shown(key), map(shown, SETTINGS))
            findings.add("unknown-setting", f"accounts.conf: there is no setting '{shown(key)}'{hint}", key)


def _check_walk(change: Change, database: Database, findings: MachineFindings, known: Ids) -> None:
    """Files of ids that have changed, and a walk over them that was interrupted."""
    path = f"{fsdecode(STATE)}/{JOURNAL}"
    if find_unfinished(change):
        text = f"{path}: files are left that belong to accounts by ids that have changed"
        findings.add("unfinished-walk", text, files=[path], fix="accounts rebase{R} --re-own")
    paths = " ".join(one for one in ("/var", "/home") if _is_there(change, one))
    for move in changed_ids(database, known):
        kind = {"passwd": "UID", "group": "GID"}.get(move.database, "the ids from")
        text = f"the image gives '{shown(move.name)}' {kind} {move.new}, and its files here are of {move.old}"
        fix = f"accounts rebase{{R}} --re-own {paths}"
        findings.add("changed-id", text, move.name, [f"{fsdecode(STATE)}/{IDS}"], fix)


def _is_there(change: Change, path: str) -> bool:
    try:
        change.target.stat(path.encode())
    except OSError:
        return False
    return True


def _read_ledger(change: Change) -> Ledger:
    return parse_text(change.target.read(LEDGER) or b"", "/" + LEDGER.decode())


def fix(change: Change, codes: Collection[str], dry_run: bool = False) -> list[str]:
    """Mend what these codes find; a sentence for each thing done, or with dry_run to be done.

    Raises the error classes of the files, OSError.
    """
    done = []
    leftovers = [one for one in find_leftovers(change) if one.code in codes and one.code != "journal-aside"]
    rows = [code for code in _ROWS if code in codes]
    for one in leftovers:
        if one.blocks and not dry_run:
            remove_leftover(change, one.name)
    if rows or leftovers:
        # Taking the locks breaks stale ones, and ends what an interrupted change left.
        done += edit_files(change, "check", lambda database: drop_rows(database, rows), list, dry_run)[0]
    for one in leftovers:
        done.append(
            f"{one.code}: " + ("ended the interrupted change" if one.code == "journal" else f"removed /etc/{one.name}")
        )
        if not dry_run and one.code == "leftover":
            remove_leftover(change, one.name)
    if "mode" in codes:
        for wrong in find_wrong_modes(change, read(change)):
            done.append(f"mode: {wrong.mended}")
            if not dry_run:
                mend_mode(change, wrong)
    return done + _fix_nsswitch(change, codes, dry_run)


def _fix_nsswitch(change: Change, codes: Collection[str], dry_run: bool) -> list[str]:
    done = []
    with Tree(change.target.root) as tree:
        text = None if tree.lstat(NSSWITCH) is None else change.target.read(b"etc/nsswitch.conf")
        if text is None:
            if "nsswitch-missing" in codes:
                done.append(f"nsswitch-missing: {restore_nsswitch(tree, dry_run)}")
            return done
        new = merge_nsswitch(text) if "nsswitch" in codes else text
        new = drop_subid_line(new) if "subid" in codes else new
        if new != text:
            done.append(f"nsswitch: {NSSWITCH} joins the two layers")
            if not dry_run:
                if tree.readlink(NSSWITCH) is not None:
                    tree.remove(NSSWITCH)
                tree.write(NSSWITCH, new)
    return done
