# SPDX-License-Identifier: MIT
"""Whether programs on a machine find its two layers: NSS module, nsswitch.conf, PAM, libsubid. Reads only."""

from __future__ import annotations

import stat

from accounts.change import Change
from accounts.image.check import check_services, check_subids
from accounts.image.module import LIBRARY, find_libraries, find_modules
from accounts.image.reader import point_at
from accounts.image.tree import Tree
from accounts.image.units import find_faults
from accounts.image.wire import LINK, NSSWITCH, VENDOR_NSSWITCH, shipped_nsswitch
from accounts.image.wirepam import check_stacks
from accounts.machine.findings import MachineFindings
from accounts.system.module import honours_hides
from accounts.text import fsdecode

PAM_LIBRARY = "libpam.so.0"
PAM_DIRECTORIES = ("/etc/pam.d", "/usr/lib/pam.d")


def check_wiring(change: Change, findings: MachineFindings) -> None:
    """All of it. Raises OSError."""
    with Tree(change.target.root) as tree:
        _check_module(change, tree, findings)
        text = _check_nsswitch(change, tree, findings)
        if text is not None:
            _check_subid(change, tree, text, findings)
        if find_libraries(tree, PAM_LIBRARY) and not any(tree.names(path) for path in PAM_DIRECTORIES):
            findings.add("pam", "there is no service in /etc/pam.d, nor in /usr/lib/pam.d")
        _check_service(tree, findings)
        check_stacks(tree, lambda code, message, path: findings.add(code, message, files=[path]))


def _check_module(change: Change, tree: Tree, findings: MachineFindings) -> None:
    """Raises BadArgument for an IMAGE_DIR that is none."""
    modules = find_modules(tree, "/" + fsdecode(change.target.image_dir()))
    for architecture, why in modules.faults.items():
        if modules.failed and modules.main in (None, architecture):
            findings.add("module", f"programs for {architecture} find no account of the image: {why}")
    if modules.usable and not honours_hides(change.target):
        path = next(iter(modules.usable.values()))
        text = f"{path} does not honour hide rows: accounts of the image cannot be deleted or renamed"
        findings.add("module-stock", text, files=[path])


def _check_service(tree: Tree, findings: MachineFindings) -> None:
    """Whether the service of those who are not root is reached, where it is installed."""
    for unit, why, path in find_faults(tree):
        if unit == "accounts-self.socket" and path:
            findings.add("self-service", why, files=[path])


def _check_nsswitch(change: Change, tree: Tree, findings: MachineFindings) -> bytes | None:
    """The text in force, or None."""
    try:
        text = tree.read(NSSWITCH)
    except OSError:
        kind = tree.lstat(NSSWITCH)
        there = "is missing" if kind is None else "leads nowhere" if stat.S_ISLNK(kind.st_mode) else "cannot be read"
        fix = "accounts check{R} --fix=nsswitch-missing"
        findings.add("nsswitch-missing", f"{NSSWITCH} {there}: glibc asks files only", files=[NSSWITCH], fix=fix)
        return None
    first = change.target.setting(b"GROUP_POLICY", b"auto") == b"first"
    link = tree.readlink(NSSWITCH)
    vendor = link is not None and point_at("/etc", link) == VENDOR_NSSWITCH
    # The image's own copy is for the image to mend.
    fix = "" if vendor else "accounts check{R} --fix=nsswitch"

    def complain(message: str) -> None:
        findings.add("nsswitch", f"{NSSWITCH}: {message}", files=[NSSWITCH], fix=fix)

    check_services(text, first, complain)
    return text


def _check_subid(change: Change, tree: Tree, text: bytes, findings: MachineFindings) -> None:
    """nsswitch.conf's subid line names one service: libsubid loads libsubid_SERVICE.so for it (subid_nss.c)."""
    services: list[bytes] = []
    for line in text.split(b"\n"):
        key, colon, rest = line.split(b"#", 1)[0].partition(b":")
        if colon and key.strip() == b"subid":
            services = rest.split()
    service = fsdecode(services[0]) if services else "files"
    has_programs = bool(find_libraries(tree, LIBRARY))
    if service != "files" and has_programs and not find_libraries(tree, f"libsubid_{service}.so"):
        text_ = f"nsswitch.conf asks '{service}' for subordinate ids, and there is no libsubid_{service}.so"
        findings.add("subid", text_, files=[NSSWITCH], fix="accounts check{R} --fix=subid")

    def complain(message: str) -> None:
        findings.add("subid", message, files=[NSSWITCH])

    check_subids(tree, "/" + fsdecode(change.target.image_dir()), text, complain)


def restore_nsswitch(tree: Tree, dry_run: bool) -> str:
    """Put a link to the image's nsswitch.conf into /etc, as accounts-nsswitch.service does at boot; what was done.

    Where the image has none a file is written: the one that these tools ship.
    """
    linked = tree.lstat(VENDOR_NSSWITCH) is not None
    if not dry_run:
        if tree.lstat(NSSWITCH) is not None:
            tree.move(NSSWITCH, f"{NSSWITCH}.dangling")
        if linked:
            tree.symlink(LINK, NSSWITCH)
        else:
            tree.write(NSSWITCH, shipped_nsswitch(tree))
    return f"linked {NSSWITCH} to the image's" if linked else f"wrote {NSSWITCH}"


def drop_subid_line(text: bytes) -> bytes:
    """nsswitch.conf without its subid line: then files are asked."""
    lines = text.split(b"\n")
    return b"\n".join(line for line in lines if line.split(b"#", 1)[0].partition(b":")[0].strip() != b"subid")
