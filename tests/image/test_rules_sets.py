# SPDX-License-Identifier: MIT
"""The shipped rule sets on real Debian 12 roots, and on a root made to look like OE's core-image-minimal."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accounts.image.rules import load_rules
from accounts.image.stateless import StatelessReport, apply_rules
from tests.image.rootfs import make, names
from tests.support.roots.cached import copy_root

TOP = Path(__file__).parents[2]
RULES = TOP / "nss-data/rules"
# The second with the interpreter that our tools need inside of an image.
DEBIAN = {"debian-12-minimal": "debian-12-minbase", "debian-12-systemd-ssh": "debian-12-systemd-ssh-python"}
NEEDS_DEBOOTSTRAP = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("debootstrap") is None, reason="needs root and debootstrap"
)
# Account rows that seed has not moved here, and nsswitch.conf, which is wire's.
ACCOUNTS = ["group", "gshadow", "nsswitch.conf", "passwd", "shadow", "subgid", "subuid"]


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Gives a copy of the cached root that a rule set is for; it is removed afterwards (400 MB)."""
    place = tmp_path / "root"

    def copy(rules: str) -> Path:
        return copy_root(DEBIAN[rules], place)

    yield copy
    shutil.rmtree(place)


def run(root: Path, rules: str) -> StatelessReport:
    return apply_rules(
        root, load_rules([RULES / f"{rules}.rules"]), check_empty="error", source_date_epoch=1_700_000_000
    )


@NEEDS_DEBOOTSTRAP
@pytest.mark.parametrize(
    ("rules", "etc", "dangling"),
    [
        (
            "debian-12-minimal",
            [
                "bash.bashrc",
                "group",
                "gshadow",
                "ld.so.cache",
                "login.defs",
                "nsswitch.conf",
                "os-release -> ../usr/lib/os-release",
                "pam.d/",
                "pam.d/common-account",
                "pam.d/common-auth",
                "pam.d/common-password",
                "pam.d/common-session",
                "pam.d/common-session-noninteractive",
                "pam.d/runuser",
                "pam.d/su",
                "passwd",
                "profile",
                "security/",
                "security/limits.conf",
                "shadow",
                "shells",
                "subgid",
                "subuid",
            ],
            ["/usr/share/zoneinfo/localtime -> /etc/localtime"],
        ),
        ("debian-12-systemd-ssh", ACCOUNTS, []),
    ],
)
def test_what_stays_in_etc_of_debian(
    debian: Callable[[str], Path], rules: str, etc: list[str], dangling: list[str]
) -> None:
    root = debian(rules)
    report = run(root, rules)
    assert report.left == []
    assert names(root) == etc
    assert report.dangling == dangling
    again = run(root, rules)
    assert (again.moved, again.removed, again.links, again.written, again.disabled) == ([], [], [], [], [])
    assert again.factory == report.factory


@NEEDS_DEBOOTSTRAP
@pytest.mark.parametrize("name", DEBIAN)
def test_what_is_said_to_be_only_comments_is(name: str, debian: Callable[[str], Path]) -> None:
    root = debian(name)
    rules = load_rules([RULES / f"{name}.rules"])
    settings = []
    for path in sorted((root / "etc").rglob("*")):
        match = rules.find(str(path.relative_to(root / "etc")))
        if match is None or not match.rule.reason.startswith("Only comments") or not path.is_file():
            continue
        lines = path.read_text().splitlines()
        settings += [f"{path.name}: {line}" for line in lines if not re.fullmatch(r"\s*([#;].*|\[\w+\])?", line)]
    assert settings == []


@NEEDS_DEBOOTSTRAP
def test_without_a_boot_a_container_can_su_and_set_passwords(debian: Callable[[str], Path]) -> None:
    root = debian("debian-12-minimal")
    run(root, "debian-12-minimal")
    commands = """
        useradd -m -s /bin/bash bob && echo bob:secret | chpasswd && su - bob -c 'id -un; echo "$PATH"'
        runuser -u bob -- id -gn
        echo x | awk '{ print "awk" }'
        dpkg-query -W -f '${Status}\\n' login
    """
    done = subprocess.run(
        ["chroot", root, "sh", "-ec", commands], capture_output=True, text=True, env={"PATH": "/usr/sbin:/usr/bin"}
    )
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (
        ["bob", "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games", "bob", "awk", "install ok installed"],
        "",
        0,
    )
    assert "bob" in (root / "etc/shadow").read_text()


@NEEDS_DEBOOTSTRAP
def test_certificates_of_debian_are_one_link(debian: Callable[[str], Path]) -> None:
    """ca-certificates and openssl as their packages lay them out."""
    root = debian("debian-12-systemd-ssh")
    files = {
        "etc/ssl/certs/ca-certificates.crt": "all of them\n",
        "etc/ssl/certs/Some_CA.pem -> /usr/share/ca-certificates/mozilla/Some_CA.crt": None,
        "etc/ssl/certs/0a1b2c3d.0 -> Some_CA.pem": None,
        "etc/ssl/openssl.cnf": "[default]\n",
        "etc/ca-certificates.conf": "mozilla/Some_CA.crt\n",
        "usr/lib/ssl/certs -> /etc/ssl/certs": None,
    }
    make(root, files)
    report = run(root, "debian-12-systemd-ssh")
    assert (report.left, report.dangling) == ([], [])
    lines = [line for line in report.factory if "ssl" in line or "ca-cert" in line]
    assert lines == [
        "L /etc/ca-certificates.conf - - - - ../usr/share/factory/etc/ca-certificates.conf",
        "d /etc/ssl 0755 0 0 - -",
        "L /etc/ssl/certs - - - - ../../usr/share/factory/etc/ssl/certs",
        "L /etc/ssl/openssl.cnf - - - - ../../usr/share/factory/etc/ssl/openssl.cnf",
    ]
    assert os.readlink(root / "usr/share/factory/etc/ssl/certs/0a1b2c3d.0") == "Some_CA.pem"


# What the recipes of core-image-minimal with INIT_MANAGER = "systemd" install to /etc.
OE: dict[str, str | None] = {
    **{f"etc/{name}": f"{name}\n" for name in ("passwd", "group", "shadow", "gshadow", "nsswitch.conf", "passwd-")},
    **{
        f"etc/{name}": "x\n"
        for name in (
            "login.defs",
            "default/useradd",
            "shells",
            "skel/.profile",
            "securetty",
            "login.access",
            "limits",
            "busybox.links.suid",
            "busybox.links.nosuid",
            "hostname",
            "hosts",
            "fstab",
            "version",
            "timestamp",
            "build",
            "profile",
            "motd",
            "issue",
            "issue.net",
            "services",
            "protocols",
            "rpc",
            "ethertypes",
            "host.conf",
            "filesystems",
            "timezone",
            "ld.so.cache",
            "ld.so.conf",
            "network/interfaces",
            "udhcpc.d/50default",
            "init.d/rcS",
            "default/rcS",
            "syslog.conf",
            "opkg/opkg.conf",
            "ipk-postinsts/100-x",
            "systemd/journald.conf",
            "udev/udev.conf",
            "udev/rules.d/local.rules",
            "udev/mount.ignorelist",
            "tmpfiles.d/00-create-volatile.conf",
            "sysctl.conf",
            "dbus-1/system.conf",
            "mke2fs.conf",
        )
    },
    "etc/machine-id": "",
    "etc/profile.d/": None,
    "etc/rc3.d/S20x -> ../init.d/x": None,
    "etc/mtab -> ../proc/self/mounts": None,
    "etc/os-release -> ../usr/lib/os-release": None,
    "etc/resolv.conf -> ../run/systemd/resolve/resolv.conf": None,
    "etc/resolv-conf.systemd -> ../run/systemd/resolve/resolv.conf": None,
    "etc/localtime -> ../usr/share/zoneinfo/UTC": None,
    "etc/sysctl.d/99-sysctl.conf -> ../sysctl.conf": None,
    "etc/systemd/system/multi-user.target.wants/x.service -> /usr/lib/systemd/system/x.service": None,
    "etc/systemd/system/masked.service -> /dev/null": None,
    "etc/xdg/systemd/user -> ../../systemd/user": None,
    "usr/lib/systemd/system/x.service": "[Unit]\n",
    "usr/lib/systemd/system/masked.service": "[Unit]\n",
}


def test_what_stays_in_etc_of_oe(tmp_path: Path) -> None:
    root = make(tmp_path / "root", OE)
    report = run(root, "oe-core-image-minimal")
    assert report.left == []
    assert names(root) == ["group", "gshadow", "nsswitch.conf", "passwd", "shadow"]
    assert report.masks == [("/etc/systemd/system/masked.service", "/usr/lib/systemd/system/masked.service")]
    assert (root / "usr/lib/sysctl.d/99-sysctl.conf").read_text() == "x\n"
    wants = root / "usr/lib/systemd/system/multi-user.target.wants/x.service"
    assert os.readlink(wants) == "/usr/lib/systemd/system/x.service"
    assert "C /etc/hosts - - - - -" in report.factory


def test_what_stays_in_etc_of_oe_with_pam(tmp_path: Path) -> None:
    """libpam's, shadow-base's and our recipe's files; the services and what they include are where libpam looks."""
    recipe = Path(__file__).parents[2] / "packaging/yocto/recipes-core/stateless-accounts"
    services = ["common-auth", "common-password", "login", *(path.name for path in recipe.glob("files/pam.d/*"))]
    added = {f"etc/pam.d/{name}": "x\n" for name in services} | {
        "etc/security/limits.conf": "x\n", "etc/security/limits.d/": None, "etc/environment": "",
        "etc/tmpfiles.d/pam.conf": "x\n",
    }  # fmt: skip
    root = make(tmp_path / "root", OE | added)
    report = run(root, "oe-core-image-minimal")
    assert report.left == []
    assert names(root) == ["group", "gshadow", "nsswitch.conf", "passwd", "shadow"]
    lines = (root / "usr/lib/tmpfiles.d/accounts-etc.conf").read_text().splitlines()
    for name in services:
        assert (root / "usr/lib/pam.d" / name).read_text() == "x\n"
        assert f"L /etc/pam.d/{name} - - - - ../../usr/lib/pam.d/{name}" in lines
    assert "L /etc/security/limits.conf - - - - ../../usr/share/factory/etc/security/limits.conf" in lines
