# SPDX-License-Identifier: MIT
"""`accounts image check`: whether a root will boot with its accounts. Changes nothing.

The account rules are in findings.py; here is the wiring: module, nsswitch.conf, files of the image layer.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accounts import progress
from accounts.image import dracut, rpm
from accounts.image.configuration import LEFTOVERS, interrupted_files
from accounts.image.entries import leftovers
from accounts.image.findings import (
    Finding,
    Findings,
    check_ids,
    check_modes,
    check_names,
    check_owners,
    check_rows,
    find_unowned,
)
from accounts.image.firstboot import ASKER, MACHINE_ID, find_asker, has_guard
from accounts.image.idsources import gather
from accounts.image.index import find_stale
from accounts.image.layers import DIRECTORIES, Layers
from accounts.image.ledger import PATH, Ledger
from accounts.image.module import LIBRARY, SUBID_PLUGIN, find_libraries, find_modules
from accounts.image.rules import Rules
from accounts.image.tree import Tree
from accounts.image.units import NSSWITCH_UNIT, SYSTEMD, find_faults
from accounts.image.uses import find_uses
from accounts.image.wire import VENDOR_NSSWITCH
from accounts.image.wirepam import check_stacks
from accounts.model.policy import (
    DATABASES,
    IMAGE_SERVICE,
    LOCAL_SERVICES,
    SUBIDS,
    parse_nsswitch,
    parse_services,
)
from accounts.system.target import Target


@dataclass
class Checked:
    """What check found. facts: what there is, for the reader of the table: name -> text."""

    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether a finding fails the build."""
        return any(finding.severity == "fail" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The result as JSON types."""
        return {
            "ok": not self.failed,
            "facts": self.facts,
            "findings": [finding.to_json() for finding in self.findings],
        }


def check(
    root: Path,
    *,
    shared: Ledger | None = None,
    previous: Iterable[str] = (),
    pins: Iterable[str] = (),
    severities: dict[str, str] | None = None,
    rules: Rules | None = None,
    machine: bool = False,
) -> Checked:
    """Check a root that seed, stateless and wire are through with.

    shared, previous, pins: as in pins.gather(). severities: rule -> severity. rules: what may stay in /etc;
    without them only the leftovers of account files are looked for. machine: the root is that of a machine,
    with people, packages and files of its own: the rules that are about a build find nothing unless severities
    ask for them. Raises BadArgument, OSError.
    """
    findings = Findings(severities, machine=machine)
    result = Checked()
    with Tree(root) as tree:
        layers = Layers(tree, root)
        known = gather(layers, shared, previous, pins)
        progress.begin("reading configuration")
        uses = find_uses(tree)
        progress.begin("checking accounts")
        _check_seeded(layers, findings, result)
        _check_files(layers, findings)
        _check_index(layers, findings)
        check_rows(layers, findings)
        check_modes(layers, findings)
        check_ids(layers, known, uses, findings)
        if findings.wants("orphan-files") or findings.wants("unknown-owner"):
            check_owners(find_unowned(layers), known, findings)
        progress.begin("checking accounts")
        check_names(layers, uses, findings)
        _check_ledger(layers, findings, result, machine)
        _check_module(layers, findings, result)
        _check_nsswitch(layers, root, findings, result)
        check_stacks(layers.tree, lambda rule, message, path: findings.add(rule, message, files=[path]))
        _check_first_boot(layers, findings)
        if rpm.needs_macros(tree) and not rpm.has_macros(tree, layers.image_dir):
            message = f"{rpm.MACROS} is not there: rpm gives files of image users to root; run accounts image wire"
            findings.add("rpm", message, files=[rpm.MACROS])
        if dracut.needs_module(tree) and not dracut.has_module(tree, layers.image_dir):
            message = f"{dracut.MODULE} is not there: initrds lack users and groups; run accounts image wire"
            findings.add("dracut", message, files=[dracut.MODULE])
        _check_etc(tree, rules, findings)
    result.findings = findings.found
    return result


def _check_seeded(layers: Layers, findings: Findings, result: Checked) -> None:
    """Builds have come out with root alone, or with all accounts still in /etc, and nobody saw it."""
    for database in ("passwd", "group"):
        local, image = len(list(layers.local[database])), len(list(layers.image[database]))
        result.facts[database] = f"{image} in {layers.image_dir}, {local} in /etc"
    if not any(layers.image[name].present for name in DATABASES):
        findings.add("seeded", f"{layers.image_dir} has no accounts: run accounts image seed")
        return
    users = {row.name: row.uid for row in layers.image["passwd"]}
    if users.get(b"root") != 0:
        findings.add("seeded", f"{layers.image_dir}/passwd has no root with UID 0", b"root")
    human = layers.defs.get_ulong("UID_MIN", 1000)
    if not any(0 < uid < human for uid in users.values()):
        findings.add("seeded", f"{layers.image_dir}/passwd has no system user, {len(users)} in all")
    both = [row.name for row in layers.local["passwd"] if row == layers.image["passwd"].get(row.name)]
    for name in both:
        findings.add("seeded", f"user '{os.fsdecode(name)}' is in /etc/passwd as the image has it", name)


def _check_files(layers: Layers, findings: Findings) -> None:
    """The files of the image layer; what others may read of them is a matter of readable-hash."""
    there = [name for name in DATABASES if layers.image[name].present]
    needed = [name for name in ("passwd", "group", "shadow") if there]
    for name in dict.fromkeys([*needed, *there]):
        path = f"{layers.image_dir}/{name}"
        status = layers.tree.lstat(path)
        if status is None:
            if name != "shadow" or any(row.passwd == b"x" for row in layers.image["passwd"]):
                findings.add("layer", f"{path} is missing", files=[path])
            continue
        mode = stat.S_IMODE(status.st_mode)
        owner = f"{mode:04o} {status.st_uid}:{status.st_gid}"
        if status.st_uid != 0 or mode & 0o022:
            findings.add("layer", f"{path} is {owner}: others than root can write it", files=[path])
        if name in ("passwd", "group") and mode & 0o444 != 0o444:
            findings.add("layer", f"{path} is {owner}: not everybody can read it", files=[path])


def _check_index(layers: Layers, findings: Findings) -> None:
    for path, why in find_stale(layers.tree, layers.image_dir):
        findings.add("index", f"{path} {why}: run accounts image index", files=[path])


def _check_ledger(layers: Layers, findings: Findings, result: Checked, machine: bool) -> None:
    own = layers.ledger
    if own is None:
        findings.add("ledger", f"{PATH} is missing: run accounts image seed", files=[PATH])
        return
    result.facts["ledger"] = f"{len(own.entries)} ids, {sum(own.entries.values())} present"
    ids, ranges = (layers.image_ids, layers.image_ranges) if machine else (layers.ids, layers.ranges)
    now = own.describe(ids, ranges)
    behind = set()
    if now.entries != own.entries:
        behind = {name for (_, name, _), _ in now.entries.items() ^ own.entries.items()}
    # An earlier ledger has no ranges at all.
    if own.ranges:
        behind |= {name for (_, name, _, _), _ in now.ranges.items() ^ own.ranges.items()}
    for name in sorted(behind):
        findings.add("ledger", f"{PATH} does not say what the accounts say of '{os.fsdecode(name)}'", name, [PATH])


def _check_module(layers: Layers, findings: Findings, result: Checked) -> None:
    """The module must be what the linker of the root's own programs loads."""
    modules = find_modules(layers.tree, layers.image_dir)
    if modules.usable:
        result.facts["module"] = ", ".join(f"{path} ({machine})" for machine, path in modules.usable.items())
    if not modules.usable and not modules.faults:
        what = "the C library is musl, which has no NSS" if modules.musl else f"there is no glibc ({LIBRARY})"
        findings.add("module", f"{what}, so nothing reads the image layer")
    for machine, why in modules.faults.items():
        if modules.failed and modules.main in (None, machine):
            findings.add("module", f"programs for {machine} find no account of the image: {why}")
        else:
            findings.add("module-partial", f"programs for {machine} find no account of the image: {why}")


def _check_nsswitch(layers: Layers, root: Path, findings: Findings, result: Checked) -> None:
    tree = layers.tree
    path = next((f"{directory}/nsswitch.conf" for directory in DIRECTORIES if _is_file(tree, directory)), None)
    if path is None:
        findings.add("nsswitch", f"there is no nsswitch.conf, neither in /etc nor {VENDOR_NSSWITCH}")
        return
    result.facts["nsswitch.conf"] = path
    if any(tree.lstat(one) is not None for one in SYSTEMD) or not path.startswith("/etc/"):
        _check_units(tree, path, findings)
    text = tree.read(path)
    target = Target(os.fsencode(root))
    try:
        first = target.setting(b"GROUP_POLICY", b"auto") == b"first"
    finally:
        target.close()

    def complain(message: str) -> None:
        findings.add("nsswitch", f"{path}: {message}", files=[path])

    check_services(text, first, complain)
    check_subids(tree, layers.image_dir, text, complain)


def check_services(text: bytes, first: bool, complain: Callable[[str], None]) -> None:
    """Complain, a sentence each, of what in an nsswitch.conf(5) keeps the two layers from being joined.

    first: GROUP_POLICY of accounts.conf has local rows of groups hide the image's.
    """
    lines = parse_services(text)
    if lines is None:
        complain("glibc passes over the whole file, because it does not know an action ([STATUS=ACTION]) in it")
        return
    policy = parse_nsswitch(text)
    for name in DATABASES:
        services = lines.get(name.encode(), [])
        names = [service for service, _, _ in services]
        if not policy.image[name]:
            complain(f"{name} does not reach altfiles: '{name}: files altfiles' is what it takes")
        elif not any(service in LOCAL_SERVICES for service in names[: names.index(IMAGE_SERVICE)]):
            complain(f"{name} asks altfiles before files, so that /etc overrides nothing")
        success = [actions.get(b"success", b"return") for _, _, actions in services]
        if name != "group" and (b"merge" in success or b"continue" in success[:-1]):
            complain(f"{name} must not merge or go on behind what it found: names in /etc would fail to resolve")
    if policy.image["group"] and not policy.merge_groups and not first:
        complain("group does not merge: a member added in /etc hides the image's members")
    if b"initgroups" in lines:
        complain("an initgroups line ends the search for a user's groups at the first service that knows one")


def check_subids(tree: Tree, image_dir: str, text: bytes, complain: Callable[[str], None]) -> None:
    """Complain of subordinate ids of the image that nobody reads. text: nsswitch.conf(5)."""
    policy = parse_nsswitch(text)
    for name in SUBIDS:
        path = f"{image_dir}/{name}"
        if tree.lstat(path) is None:
            continue
        if not policy.image[name]:
            complain(f"nobody reads {path}: 'subid: altfiles' is what it takes")
        elif not find_libraries(tree, SUBID_PLUGIN):
            complain(f"nobody reads {path}: there is no {SUBID_PLUGIN}")


def _is_file(tree: Tree, directory: str) -> bool:
    try:
        tree.read(f"{directory}/nsswitch.conf")
    except OSError:
        return False
    return True


def _check_units(tree: Tree, path: str, findings: Findings) -> None:
    """Without /etc/nsswitch.conf in the image a unit has to link it before anything looks up a user."""
    needed = not path.startswith("/etc/")
    if needed and path != VENDOR_NSSWITCH:
        findings.add(
            "nsswitch", f"/etc/nsswitch.conf is missing, and {path} is not where {NSSWITCH_UNIT} takes it from"
        )
    for unit, why, file in find_faults(tree):
        files = [file] if file else []
        if unit != NSSWITCH_UNIT:
            findings.add("units", f"{why}: run accounts image wire", files=files)
        elif needed:
            why = f"no {unit} makes it at boot" if not file else why
            findings.add("nsswitch", f"/etc/nsswitch.conf is missing, and {why}", files=files)


def _check_first_boot(layers: Layers, findings: Findings) -> None:
    """systemd takes a boot for the first one when /etc/machine-id is missing or says so (machine-id(5))."""
    tree = layers.tree
    if find_asker(tree) is None or has_guard(tree, layers.image_dir):
        return
    try:
        text = tree.read(MACHINE_ID).strip()
    except OSError:
        text = b"uninitialized"
    if text == b"uninitialized":
        message = f"{MACHINE_ID} makes the boot a first one, and {ASKER} will ask: run accounts image wire"
        findings.add("first-boot", message, files=[MACHINE_ID])


def _check_etc(tree: Tree, rules: Rules | None, findings: Findings) -> None:
    for name in LEFTOVERS:
        status = tree.lstat(f"/etc/{name}")
        if status is not None and not stat.S_ISDIR(status.st_mode):
            findings.add("account-leftovers", f"/etc/{name} is left over", files=[f"/etc/{name}"])
    for path in interrupted_files(tree):
        findings.add("account-leftovers", f"{path} is what an interrupted change of the accounts left", files=[path])
    if rules is not None and findings.wants("etc-not-empty"):
        for path in leftovers(tree.fd, rules):
            findings.add("etc-not-empty", f"{path} is in /etc, and no rule keeps it", files=[path])
