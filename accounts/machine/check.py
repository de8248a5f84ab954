# SPDX-License-Identifier: MIT
"""`accounts check`: whether the accounts of a machine are as they should be, and the mending of what is safe."""

from __future__ import annotations

from collections.abc import Collection

from accounts.image.findings import Finding
from accounts.image.ledger import Ledger, parse_text
from accounts.image.nsswitch import merge_nsswitch
from accounts.image.tree import Tree
from accounts.image.wire import NSSWITCH
from accounts.machine.delta import has_image
from accounts.machine.findings import Check, Findings, drop_rows, quote
from accounts.machine.leftovers import check_etc, find_leftovers, find_wrong_modes, mend_mode, remove_leftover
from accounts.machine.session import Machine
from accounts.machine.wiring import check_wiring, drop_subid_line, link_nsswitch
from accounts.system import nss
from accounts.text import fsencode

LEDGER = b"usr/share/accounts/ids"
# What is a row of the account files.
_ROWS = ("needless-row", "stale-shadow", "stale-gshadow", "stale-hide", "repeated-row")


def check(machine: Machine) -> list[Finding]:
    """All findings, those that fail first. Raises the error classes of the files, OSError."""
    root = "" if machine.target.live else f" -R {quote(fsencode(str(machine.root)))}"
    findings = Findings(root)
    database = machine.read()
    check_etc(machine, database, findings)
    if has_image(database) or machine.target.read(b"usr/share/accounts/nsswitch.conf") is not None:
        check_wiring(machine, findings)
    asks = machine.target.asks_nss("passwd")
    has_user = (lambda name: nss.find_user(name) is not None) if asks else (lambda name: False)
    Check(database, _read_ledger(machine), machine.defs, has_user, findings).run()
    return findings.in_order()


def _read_ledger(machine: Machine) -> Ledger:
    return parse_text(machine.target.read(LEDGER) or b"", "/" + LEDGER.decode())


def fix(machine: Machine, codes: Collection[str], dry_run: bool = False) -> list[str]:
    """Mend what these codes find; a sentence for each thing done, or with dry_run to be done.

    Raises the error classes of the files, OSError.
    """
    done = []
    leftovers = [one for one in find_leftovers(machine) if one.code in codes and one.code != "journal-aside"]
    rows = [code for code in _ROWS if code in codes]
    if rows or leftovers:
        # Taking the locks breaks stale ones, and ends what an interrupted change left.
        with machine.change(dry_run) as edit:
            done += drop_rows(edit.database, rows)
    for one in leftovers:
        done.append(
            f"{one.code}: " + ("ended the interrupted change" if one.code == "journal" else f"removed /etc/{one.name}")
        )
        if not dry_run and one.code == "leftover":
            remove_leftover(machine, one.name)
    if "mode" in codes:
        for wrong in find_wrong_modes(machine, machine.read()):
            done.append(f"mode: {wrong.text}")
            if not dry_run:
                mend_mode(machine, wrong)
    return done + _fix_nsswitch(machine, codes, dry_run)


def _fix_nsswitch(machine: Machine, codes: Collection[str], dry_run: bool) -> list[str]:
    done = []
    with Tree(machine.target.root) as tree:
        text = None if tree.lstat(NSSWITCH) is None else machine.target.read(b"etc/nsswitch.conf")
        if text is None:
            if "nsswitch-missing" in codes and machine.target.read(b"usr/share/accounts/nsswitch.conf") is not None:
                done.append(f"nsswitch-missing: linked {NSSWITCH} to the image's")
                if not dry_run:
                    link_nsswitch(tree)
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
