# SPDX-License-Identifier: MIT
"""Drafts of rules for what no rule of a set takes, for a person to complete. Reads only."""

from __future__ import annotations

import re

from accounts.image.entries import Entry, scan_etc
from accounts.image.rules import DRAFT, Rules
from accounts.image.tree import Tree

DPKG_INFO = "/var/lib/dpkg/info"
# "PACKAGE /PATH" of configuration files that a package's script has put there: ucfq(1).
UCF_REGISTRY = "/var/lib/ucf/registry"
TMPFILES_PROGRAM = ("/usr/bin/systemd-tmpfiles", "/bin/systemd-tmpfiles")
# What a rule file would take for the end of a pattern, an option or an arrow; and what for a pattern.
_UNWRITABLE = re.compile(r"[\s=]|(?<![^/])->(?![^/])")
_WILD = re.compile(r"[*?[]")


def suggest_rules(tree: Tree, rules: Rules) -> str:
    """Entries of a rule file for all of /etc that no rule takes: with them nothing is left over.

    What a package brings into a directory of its own is one entry, and the packages are named. lint_rules() finds
    fault with each entry until a person has written down why. Raises OSError.
    """
    entries = scan_etc(tree, rules)
    owners = find_owners(tree)
    # tmpfiles.d makes the link at boot; without systemd nobody does.
    boots = any(tree.lstat(path) is not None for path in TMPFILES_PROGRAM)
    lines = []
    for top, files in _group(entries).items():
        packages = sorted({package for entry in files for package in owners.get(entry.old, ())})
        whose = ", ".join(packages) or "no package (made by a script, or by hand)"
        lines.append(f"# {DRAFT} {whose}: what reads it, and would it be found below /usr?")
        lines.append(f"factory {_quote(top)} as=link" if boots else f"keep {_quote(top)}")
    return "".join(line + "\n" for line in lines)


def find_owners(tree: Tree) -> dict[str, list[str]]:
    """Path -> the packages that have it, for /etc, from the lists of dpkg(1) and the registry of ucf(1)."""
    owners: dict[str, list[str]] = {}
    for name in tree.names(DPKG_INFO):
        package, dot, kind = name.rpartition(".")
        if dot and kind == "list":
            for path in _read(tree, f"{DPKG_INFO}/{name}").splitlines():
                if path.startswith("/etc/"):
                    owners.setdefault(path, []).append(package.partition(":")[0])
    for line in _read(tree, UCF_REGISTRY).splitlines():
        package, _, path = line.partition(" ")
        if path.startswith("/etc/"):
            owners.setdefault(path, []).append(package)
    return owners


def _group(entries: list[Entry]) -> dict[str, list[Entry]]:
    """The files and links that no rule takes, by themselves or by the top directory that has no others."""
    files = [entry for entry in entries if not entry.directory]
    taken = {""}
    for entry in files:
        if entry.match is not None:
            taken |= set(_above(entry.path))
    # A directory that a rule is about, as `d` and `keep PATTERN/` are, keeps that rule.
    taken |= {entry.path for entry in entries if entry.directory and entry.match is not None}
    groups: dict[str, list[Entry]] = {}
    for entry in files:
        if entry.match is None:
            top = next((path for path in _above(entry.path) if path not in taken), entry.path)
            groups.setdefault(top, []).append(entry)
    return groups


def _above(path: str) -> list[str]:
    """The directories above a path of /etc, the top one first."""
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _quote(path: str) -> str:
    """The pattern that matches a path."""
    return _UNWRITABLE.sub(lambda found: "?" * len(found[0]), _WILD.sub(r"[\g<0>]", path))


def _read(tree: Tree, path: str) -> str:
    try:
        return tree.read(path).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
