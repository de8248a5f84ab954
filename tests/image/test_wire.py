# SPDX-License-Identifier: MIT
"""accounts image wire: nsswitch.conf, the boot unit, PAM services and the module."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.errors import BadArgument
from accounts.image.elf import parse_machine
from accounts.image.nsswitch import merge_nsswitch
from accounts.image.units import PROGRAM_UNITS
from accounts.image.wire import VENDOR_DATA, wire
from accounts.model.policy import DATABASES, parse_nsswitch
from tests.image.elf_files import AARCH64, I386, MIPS, make_library, make_module
from tests.image.rootfs import TRIPLET, make, make_wirable_root, names, tell

SHARE = "usr/share/accounts"
UNIT = "accounts-nsswitch.service"
MERGED = """\
passwd:         files altfiles
group:          files [SUCCESS=merge] altfiles
shadow:         files altfiles
gshadow:        files altfiles
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Debian 12
        (
            "# c\n\npasswd:         files\ngroup:          files\nshadow:         files\n"
            "gshadow:        files\n\nhosts:          files dns\n",
            f"# c\n\n{MERGED}\nhosts:          files dns\n",
        ),
        # with libnss-systemd
        (
            "passwd: files systemd\ngroup: files systemd\nshadow: files systemd\ngshadow: files systemd\n",
            "passwd: files altfiles systemd\ngroup: files [SUCCESS=merge] altfiles systemd\n"
            "shadow: files altfiles systemd\ngshadow: files altfiles systemd\n",
        ),
        # Fedora: what was merged behind files is merged behind the image
        (
            "passwd: files systemd\ngroup: files [SUCCESS=merge] systemd\nshadow: files\ngshadow: files\n",
            "passwd: files altfiles systemd\ngroup: files [SUCCESS=merge] altfiles [SUCCESS=merge] systemd\n"
            "shadow: files altfiles\ngshadow: files altfiles\n",
        ),
        # an action that would end the search before the image
        (
            "passwd:compat [NOTFOUND=return] ldap # x\ngroup: files [!UNAVAIL=return] sss\n"
            "shadow: files\ngshadow: files\n",
            "passwd:compat altfiles [NOTFOUND=return] ldap # x\n"
            "group: files [SUCCESS=merge] altfiles [!UNAVAIL=return] sss\n"
            "shadow: files altfiles\ngshadow: files altfiles\n",
        ),
        # merge where it breaks, and an initgroups line, which ends the search for groups
        (
            "passwd: files [SUCCESS=merge] altfiles\ngroup: files altfiles\nshadow: altfiles files\n"
            "gshadow: files [SUCCESS=merge] altfiles [SUCCESS=merge] sss\ninitgroups: files altfiles\n",
            "passwd: files altfiles\ngroup: files [SUCCESS=merge] altfiles\nshadow: files altfiles\n"
            "gshadow: files altfiles sss\n",
        ),
        # databases that are not there go behind the last one that is
        (
            "hosts: files\npasswd: sss\n\nnetgroup: nis",
            "hosts: files\npasswd: files altfiles sss\ngroup:          files [SUCCESS=merge] altfiles\n"
            "shadow:         files altfiles\ngshadow:        files altfiles\n\nnetgroup: nis\n",
        ),
        ("", MERGED),
    ],
    ids=["debian", "systemd", "fedora", "actions", "wrong", "missing", "empty"],
)
def test_nsswitch_is_merged(before: str, after: str) -> None:
    merged = merge_nsswitch(before.encode())
    assert merged.decode() == after
    assert merge_nsswitch(merged) == merged
    policy = parse_nsswitch(merged)
    assert policy.merge_groups and all(policy.image[name] for name in DATABASES)


def test_what_is_right_stays_byte_for_byte() -> None:
    vendor = (VENDOR_DATA / "nsswitch.conf").read_bytes()
    assert merge_nsswitch(vendor) == vendor
    odd = b"passwd:\tfiles   altfiles  # ours\ngroup:files [success=merge] altfiles\nshadow: files altfiles\n"
    assert merge_nsswitch(odd).startswith(odd[: odd.index(b"group")])


def test_a_root_with_systemd_links_at_boot(tmp_path: Path) -> None:
    root = make_wirable_root(tmp_path / "root", {"etc/nsswitch.conf": "passwd: files\nhosts: files mdns4 dns\n"})
    wired = wire(root)
    assert wired.boot
    assert names(root) == []
    text = (root / SHARE / "nsswitch.conf").read_text()
    assert text.startswith("passwd: files altfiles\n") and text.endswith("hosts: files mdns4 dns\n")
    units = root / "usr/lib/systemd/system"
    assert (units / UNIT).read_bytes() == (VENDOR_DATA / "systemd" / UNIT).read_bytes()
    assert (units / "sysinit.target.wants" / UNIT).resolve() == units / UNIT


def test_a_root_with_the_program_has_the_sockets_of_its_service(tmp_path: Path) -> None:
    root = make_wirable_root(tmp_path / "root", {"etc/nsswitch.conf": "passwd: files\n", "usr/bin/accounts": ""})
    wire(root)
    units = root / "usr/lib/systemd/system"
    for unit in ("accounts-self.socket", "accounts-pwaccess.socket"):
        assert (units / unit).read_bytes() == (VENDOR_DATA / "systemd" / unit).read_bytes()
        assert (units / "sockets.target.wants" / unit).resolve() == units / unit
    assert (units / "accounts-self.service").is_file()
    assert wire(root).changed == []
    # The module alone is no service.
    bare = make_wirable_root(tmp_path / "bare", {"etc/nsswitch.conf": "passwd: files\n"})
    wire(bare)
    assert not (bare / "usr/lib/systemd/system/accounts-self.socket").exists()


def test_the_units_of_the_program_come_where_it_is(tmp_path: Path) -> None:
    root = make_wirable_root(tmp_path / "root", {"etc/nsswitch.conf": "passwd: files\n", "usr/bin/accounts": ""})
    assert set(PROGRAM_UNITS) <= {path.rpartition("/")[2] for path in wire(root).changed}
    units = root / "usr/lib/systemd/system"
    for unit, wants in PROGRAM_UNITS.items():
        assert (units / unit).read_bytes() == (VENDOR_DATA / "systemd" / unit).read_bytes()
        assert not wants or (units / wants / unit).resolve() == units / unit
    # Somebody's own unit stays.
    (units / "accounts-rebase.service").write_text("[Service]\n")
    assert wire(root).changed == []
    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "etc/systemd/system/accounts-check.service").symlink_to("/dev/null")
    assert any("accounts-check.service is a link to /dev/null" in note for note in wire(root).notes)


def test_a_root_without_systemd_has_the_link_now(tmp_path: Path) -> None:
    root = make_wirable_root(tmp_path / "root", {"etc/nsswitch.conf": "passwd: files\n"}, systemd=False)
    assert not wire(root).boot
    assert names(root) == ["nsswitch.conf -> ../usr/share/accounts/nsswitch.conf"]
    assert not (root / "usr/lib/systemd").exists()
    assert wire(root, boot=True).changed == [
        "/etc/nsswitch.conf",
        f"/usr/lib/systemd/system/{UNIT}",
        f"/usr/lib/systemd/system/sysinit.target.wants/{UNIT}",
        "/usr/lib/tmpfiles.d/accounts.conf",
    ]
    assert names(root) == []


PAM: dict[str, str | None] = {
    "etc/pam.d/common-auth": "auth required pam_unix.so\n",
    "etc/pam.d/login": "# @include no\n@include common-auth\nsession include runuser # x\n",
    "etc/pam.d/runuser": "auth sufficient pam_rootok.so\n",
    "etc/pam.d/sshd": "-auth substack login\n",
    "etc/pam.d/su-l -> su": None,
    "etc/pam.d/su": "new\n",
    "etc/pam.d/system-auth -> ../authselect/system-auth": None,
    "usr/lib/pam.d/su": "old\n",
    "usr/lib/pam.d/vendor": "auth include gone\n",
}


def test_pam_services_move_and_included_ones_are_linked_at_boot(tmp_path: Path) -> None:
    root = make_wirable_root(tmp_path / "root", PAM)
    wire(root)
    assert names(root) == []
    assert names(root, "usr/lib/pam.d") == [
        "common-auth", "login", "runuser", "sshd", "su", "su-l -> su",
        "system-auth -> /etc/authselect/system-auth", "vendor",
    ]  # fmt: skip
    assert (root / "usr/lib/pam.d/su").read_text() == "new\n"
    lines = (root / "usr/lib/tmpfiles.d/accounts-pam.conf").read_text().splitlines()
    assert lines[1:] == [
        f"L /etc/pam.d/{name} - - - - ../../usr/lib/pam.d/{name}" for name in ("common-auth", "login", "runuser")
    ]


def test_without_tmpfiles_included_services_stay(tmp_path: Path) -> None:
    root = make_wirable_root(tmp_path / "root", PAM, systemd=False)
    wire(root)
    assert names(root, "etc/pam.d") == ["common-auth", "login", "runuser"]
    assert not (root / "usr/lib/tmpfiles.d").exists()


def test_a_libpam_without_vendor_directory_keeps_its_services(tmp_path: Path) -> None:
    root = make_wirable_root(tmp_path / "root", {"etc/pam.d/su": ""}, pam=make_library() + b"/etc/pam.d/%s")
    wired = wire(root)
    assert names(root) == ["pam.d/", "pam.d/su"]
    assert wired.notes == ["/etc/pam.d stays: this libpam is built without /usr/lib/pam.d"]


def test_again_changes_nothing_and_two_builds_are_the_same(tmp_path: Path) -> None:
    roots = [make_wirable_root(tmp_path / name, {"etc/nsswitch.conf": "passwd: files\n", **PAM}) for name in "ab"]
    for root in roots:
        wire(root, source_date_epoch=1_600_000_000)
    before = tell(roots[0], times=True)
    assert wire(roots[0], source_date_epoch=1_600_000_000).changed == []
    assert tell(roots[0], times=True) == before
    assert tell(roots[1]) == tell(roots[0])


def test_repairs_what_was_undone(tmp_path: Path) -> None:
    root = make_wirable_root(tmp_path / "root", {"etc/nsswitch.conf": "passwd: files\nhosts: files mdns\n"})
    wire(root)
    # A package brings its own nsswitch.conf, the unit's link is gone, ours is installed anew.
    (root / SHARE / "nsswitch.conf").write_bytes((VENDOR_DATA / "nsswitch.conf").read_bytes())
    (root / "usr/lib/systemd/system/sysinit.target.wants" / UNIT).unlink()
    wire(root)
    assert (root / SHARE / "nsswitch.conf").read_text().endswith("hosts: files mdns\n")
    (root / "etc/nsswitch.conf").write_text("passwd: files\nhosts: files resolve\n")
    wire(root)
    assert (root / SHARE / "nsswitch.conf").read_text().endswith("hosts: files resolve\n")
    assert (root / "usr/lib/systemd/system/sysinit.target.wants" / UNIT).is_symlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"libnss_altfiles.so.2": None}, "the root has no libnss_altfiles.so.2"),
        ({"libnss_altfiles.so.2": make_module(AARCH64)}, "for the root's C library: x86_64 64 little: no "),
        ({"libc.so.6": make_library(MIPS, 32, big=True)}, "for the root's C library: mips 32 big: no "),
        ({"libnss_altfiles.so.2": make_module(image_dir="/etc")}, "is built for another directory than /usr/lib"),
    ],
    ids=["good", "missing", "other machine", "other C library", "other directory"],
)
def test_the_module_must_be_there(tmp_path: Path, change: dict[str, bytes | None], message: str | None) -> None:
    root = make_wirable_root(tmp_path / "root", {"etc/nsswitch.conf": "passwd: files\n"})
    for name, content in change.items():
        path = root / TRIPLET / name
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    before = tell(root)
    if message is None:
        wire(root)
        return
    with pytest.raises(BadArgument) as caught:
        wire(root)
    assert message in (caught.value.message or "")
    assert tell(root) == before


def test_a_second_architecture_without_module_is_told(tmp_path: Path) -> None:
    root = make_wirable_root(tmp_path / "root", {"usr/lib/i386-linux-gnu/": None})
    (root / "usr/lib/i386-linux-gnu/libc.so.6").write_bytes(make_library(I386, 32))
    (note,) = wire(root).notes
    assert note.startswith("programs for i386 32 little will not find the image's accounts: no libnss_altfiles.so.2 ")


def test_links_that_leave_the_root_are_not_followed(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", {"nsswitch.conf": "outside\n"})
    root = make_wirable_root(tmp_path / "root", {f"etc/nsswitch.conf -> {outside}/nsswitch.conf": None})
    wire(root)
    assert "outside" not in (root / SHARE / "nsswitch.conf").read_text()
    assert (outside / "nsswitch.conf").read_text() == "outside\n"


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n............", make_library()[:19], b"\x7fELF\x03\x01" + bytes(20)])
def test_what_is_no_elf_file_has_no_machine(data: bytes) -> None:
    assert parse_machine(data) is None


@pytest.mark.parametrize("machine_id", [None, "uninitialized\n"])
def test_a_first_boot_asks_nothing(tmp_path: Path, machine_id: str | None) -> None:
    """systemd-firstboot held the boot up: "Press any key to proceed"."""
    files: dict[str, str | None] = {"usr/lib/systemd/system/systemd-firstboot.service": "", "usr/lib/passwd": ""}
    if machine_id is not None:
        files["etc/machine-id"] = machine_id
    root = make_wirable_root(tmp_path / "root", files)
    assert "/usr/lib/systemd/system/systemd-firstboot.service.d/accounts.conf" in wire(root).changed
    guard = root / "usr/lib/systemd/system/systemd-firstboot.service.d/accounts.conf"
    assert guard.read_text().endswith("[Unit]\nConditionPathExists=!/usr/lib/passwd\n")
    assert wire(root).changed == []
    # The rule sets have a drop-in of their own.
    guard.rename(guard.with_name("accounts-etc.conf"))
    assert wire(root).changed == []
