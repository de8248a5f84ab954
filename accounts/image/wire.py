# SPDX-License-Identifier: MIT
"""`accounts image wire`: have a root's programs find the image layer, from an empty /etc too.

nsswitch.conf asks the module for what /etc does not have, a boot unit links it into an /etc without one, and
libpam finds its services below /usr. Idempotent and reproducible; mends a root on which a package or an
administrator has undone a part of it.
"""

from __future__ import annotations

import posixpath
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from accounts.errors import BadArgument
from accounts.image import dracut, pam, rpm, tmpfiles, units
from accounts.image.firstboot import GUARD, find_asker, format_guard, has_guard
from accounts.image.layers import Layers
from accounts.image.module import LIBRARY, MODULE, SUBID_PLUGIN, find_libraries, find_modules
from accounts.image.nsswitch import merge_nsswitch
from accounts.image.passwordstack import PROFILE
from accounts.image.reader import point_at
from accounts.image.tree import Tree
from accounts.image.wirepam import check_module, find_stacks, is_wired, wire_pam

# The vendor files: nss-data/ of the source, and of an installation beside the package; in a wheel they are in it.
VENDOR_DATA = Path(__file__).resolve().parents[2] / "nss-data"
if not VENDOR_DATA.is_dir():
    VENDOR_DATA = Path(__file__).resolve().parents[1] / "nss_data"
NSSWITCH = "/etc/nsswitch.conf"
VENDOR_NSSWITCH = "/usr/share/accounts/nsswitch.conf"
# What a root had in /etc before; make install may overwrite the vendor's copy that was made of it.
FOUND_NSSWITCH = "/usr/share/accounts/nsswitch.conf.found"
LINK = ".." + VENDOR_NSSWITCH
TMPFILES_PROGRAM = ("/usr/bin/systemd-tmpfiles", "/bin/systemd-tmpfiles")
PAM, VENDOR_PAM = "/etc/pam.d", "/usr/lib/pam.d"
PAM_TMPFILES = "/usr/lib/tmpfiles.d/accounts-pam.conf"
PAM_HEADER = "# Made by accounts image wire: files that others include, which libpam looks for in /etc only.\n"
_INCLUDE = re.compile(rb"^[ \t]*(?:@include|-?\w+[ \t]+(?:include|substack))[ \t]+([^\s#]+)", re.MULTILINE)


@dataclass
class Wired:
    """What wire() did: paths that it wrote, linked, moved to or removed; sentences worth telling.

    boot: whether nsswitch.conf comes into /etc at boot; else it is a link there now.
    """

    boot: bool = False
    changed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def wire(
    root: Path, *, boot: bool | None = None, with_pam: bool = False, source_date_epoch: int | None = None
) -> Wired:
    """Wire a root directory.

    boot: take nsswitch.conf out of /etc and leave it to the boot unit; False leaves a link there, for
    containers and for chroots that look names up; None chooses by whether the root has systemd.
    with_pam: put pam_accounts.so in front of pam_unix in the password stacks, in place of the helper's line.
    source_date_epoch: seconds, the time that written files get.

    Raises BadArgument, before anything changes, when the root has no NSS module for its C library: without
    it every account of the image would be unknown. OSError.
    """
    with Tree(root, source_date_epoch) as tree:
        if tree.lstat("/etc") is None:
            raise BadArgument(f"{root} has no /etc")
        image_dir = Layers(tree, root).image_dir
        notes = _check_module(tree, image_dir)
        if boot is None:
            boot = _first(tree, units.SYSTEMD) is not None
        run = _Wiring(tree, Wired(boot, notes=notes))
        if with_pam:
            check_module(tree)
        run.write_nsswitch()
        if boot:
            run.install_units()
        run.guard_first_boot(image_dir)
        run.tell_rpm(image_dir)
        run.tell_dracut(image_dir)
        if with_pam:
            wire_pam(tree, run.result, (VENDOR_DATA / "pam-configs" / PROFILE).read_bytes())
        run.add_pam_helper()
        run.move_pam()
        run.result.changed = sorted(set(run.result.changed))
        return run.result


def _check_module(tree: Tree, image_dir: str) -> list[str]:
    modules = find_modules(tree, image_dir)
    if modules.failed and not find_libraries(tree, MODULE):
        raise BadArgument(f"the root has no {MODULE}: the accounts would be unknown without; make install DESTDIR=ROOT")
    if modules.failed:
        faults = "; ".join(f"{machine}: {why}" for machine, why in modules.faults.items())
        raise BadArgument(f"no {MODULE} for the root's C library: {faults or f'there is no {LIBRARY}'}")
    return [
        f"programs for {machine} will not find the image's accounts: {why}" for machine, why in modules.faults.items()
    ]


def shipped_nsswitch(tree: Tree) -> bytes:
    """The nsswitch.conf that these tools ship, for the root."""
    shipped = (VENDOR_DATA / "nsswitch.conf").read_bytes()
    return merge_nsswitch(shipped, subids=bool(find_libraries(tree, SUBID_PLUGIN)))


class _Wiring:
    """The steps of wire(), which share the root and the report."""

    def __init__(self, tree: Tree, result: Wired) -> None:
        self.tree = tree
        self.result = result

    def write_nsswitch(self) -> None:
        """Merge the root's own nsswitch.conf with ours as the vendor's copy, and take it out of /etc."""
        shipped = (VENDOR_DATA / "nsswitch.conf").read_bytes()
        there = self._read(VENDOR_NSSWITCH)
        text = self.tree.readlink(NSSWITCH)
        linked = text is not None and point_at("/etc", text) == VENDOR_NSSWITCH
        own = None if linked else self._read(NSSWITCH)
        if own is not None:
            self._write(FOUND_NSSWITCH, own)
        elif there is None or there == shipped:
            own = self._read(FOUND_NSSWITCH) or shipped
        else:
            own = there
        self._write(VENDOR_NSSWITCH, merge_nsswitch(own, subids=bool(find_libraries(self.tree, SUBID_PLUGIN))))
        if self.result.boot:
            if self.tree.lstat(NSSWITCH) is not None:
                self.tree.remove(NSSWITCH)
                self.result.changed.append(NSSWITCH)
        elif not linked:
            self.tree.symlink(LINK, NSSWITCH)
            self.result.changed.append(NSSWITCH)

    def guard_first_boot(self, image_dir: str) -> None:
        """Keep systemd-firstboot from asking, and from writing root's rows to /etc, at the first boot."""
        if find_asker(self.tree) is not None and not has_guard(self.tree, image_dir):
            self._write(GUARD, format_guard(image_dir))

    def tell_rpm(self, image_dir: str) -> None:
        """Have rpm find the owners of a package's files in the image layer, where it does not ask NSS."""
        if rpm.needs_macros(self.tree):
            self._write(rpm.MACROS, rpm.format_macros(image_dir))

    def tell_dracut(self, image_dir: str) -> None:
        """Have dracut take the accounts of an initrd from the image layer; it looks into /etc only."""
        if dracut.needs_module(self.tree) and self.tree.write(dracut.MODULE, dracut.format_module(image_dir), 0o755):
            self.result.changed.append(dracut.MODULE)

    def install_units(self) -> None:
        """Install and enable the boot units, and the tmpfiles.d file."""
        changed, notes = self.result.changed, self.result.notes
        units.install(
            self.tree, lambda unit: (VENDOR_DATA / "systemd" / unit).read_bytes(), changed.append, notes.append
        )
        if self.tree.lstat("/usr/lib/tmpfiles.d/accounts.conf") is None:
            self._write("/usr/lib/tmpfiles.d/accounts.conf", (VENDOR_DATA / "tmpfiles.d/accounts.conf").read_bytes())

    def add_pam_helper(self) -> None:
        """Let PAM copy the rows of image users whose password has expired, where the root has what that needs."""
        if self.tree.lstat(pam.COMMAND) is None or not find_libraries(self.tree, f"security/{pam.MODULE}"):
            return
        if is_wired(self.tree):
            return
        for path, text in list(find_stacks(self.tree)):
            if (new := pam.add_helper(text)) != text:
                self._write(path, new)

    def move_pam(self) -> None:
        """Move the PAM services to libpam's vendor directory.

        libpam (1.5.2) looks for a service in both directories, but for what a service includes in /etc/pam.d
        only. So tmpfiles.d links those files there at boot; in a root without systemd-tmpfiles they stay.
        """
        libraries = find_libraries(self.tree, "libpam.so.0")
        if not any(VENDOR_PAM.encode() in self.tree.read(path) for path in libraries):
            if libraries and self.tree.names(PAM):
                self.result.notes.append(f"{PAM} stays: this libpam is built without {VENDOR_PAM}")
            return
        included = self._included()
        late = _first(self.tree, TMPFILES_PROGRAM) is not None
        for name in self.tree.names(PAM):
            status = self.tree.lstat(f"{PAM}/{name}")
            if status is None or stat.S_ISDIR(status.st_mode) or (name in included and not late):
                continue
            self._move_service(name)
        if self.tree.lstat(PAM) is not None and self.tree.remove_directory(PAM):
            self.result.changed.append(PAM)
        if late:
            lines = [
                tmpfiles.format_link(f"{PAM}/{name}", f"../..{VENDOR_PAM}/{name}")
                for name in sorted(included) if self.tree.lstat(f"{VENDOR_PAM}/{name}") is not None
            ]  # fmt: skip
            if lines:
                self._write(PAM_TMPFILES, (PAM_HEADER + "\n".join(lines) + "\n").encode())

    def _move_service(self, name: str) -> None:
        """/etc's file is the one in force, so it replaces the vendor's. Links go on meaning what they mean."""
        text = self.tree.readlink(f"{PAM}/{name}")
        if text is not None and not text.startswith("/") and "/" in text:
            self.tree.symlink(point_at(PAM, text), f"{PAM}/{name}")
        elif text is not None and posixpath.dirname(point_at(PAM, text)) == PAM:
            self.tree.symlink(posixpath.basename(text), f"{PAM}/{name}")
        if point_at(PAM, text or "") == f"{VENDOR_PAM}/{name}":
            self.tree.remove(f"{PAM}/{name}")
        else:
            self.tree.move(f"{PAM}/{name}", f"{VENDOR_PAM}/{name}")
        self.result.changed.append(f"{VENDOR_PAM}/{name}")

    def _included(self) -> set[str]:
        """The names that PAM services of either directory include."""
        found = set()
        for directory in (PAM, VENDOR_PAM):
            for name in self.tree.names(directory):
                for match in _INCLUDE.finditer(self._read(f"{directory}/{name}") or b""):
                    found.add(match[1].decode("utf-8", "surrogateescape"))
        return {name for name in found if "/" not in name}

    def _read(self, path: str) -> bytes | None:
        try:
            return self.tree.read(path)
        except OSError:
            return None

    def _write(self, path: str, content: bytes) -> None:
        if self.tree.write(path, content):
            self.result.changed.append(path)


def _first(tree: Tree, paths: tuple[str, ...]) -> str | None:
    return next((path for path in paths if tree.lstat(path) is not None), None)
