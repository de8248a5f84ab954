# SPDX-License-Identifier: MIT
"""accounts image thaw and freeze: /etc is complete in between, and NSS answers the same all the time."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from accounts.errors import BadArgument
from accounts.image.layers import Layers
from accounts.image.seed import seed
from accounts.image.thaw import freeze, thaw
from accounts.image.tree import Tree
from tests.image.accounts import GROUP, GSHADOW, PASSWD, change, make_image, row
from tests.image.rootfs import make, names, tell
from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import EPOCH, TOP, debian_root, install_diverted

DATABASES = ("passwd", "group", "shadow", "gshadow")


def view(root: Path) -> dict[str, list[str]]:
    with Tree(root) as tree:
        database = Layers(tree, root).view
    found = {}
    for name in DATABASES:
        lines = []
        for record in database.tables[name]:
            members = getattr(record, "members", None)
            record = record if members is None else record.replace(members=tuple(sorted(members)))
            lines.append(record.format_line().decode())
        found[name] = sorted(lines)
    return found


def seeded(root: Path) -> Path:
    seed(make_image(root))
    return root


def test_thaw_has_every_name_in_etc_and_freeze_none(tmp_path: Path) -> None:
    root = seeded(tmp_path / "r")
    before, answers = tell(root), view(root)
    assert {name: len(found) for name, found in thaw(root).changed.items()} == {
        "passwd": 6, "group": 8, "shadow": 6, "gshadow": 8
    }  # fmt: skip
    assert sorted((root / "etc/passwd").read_text().splitlines()) == sorted(PASSWD.splitlines())
    assert sorted((root / "etc/group").read_text().splitlines()) == sorted(GROUP.splitlines())
    assert sorted((root / "etc/gshadow").read_text().splitlines()) == sorted(GSHADOW.splitlines())
    for name in ("shadow", "gshadow"):
        status = (root / "etc" / name).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o640, 42)
    assert view(root) == answers
    again = tell(root, times=True)
    assert not any(thaw(root).changed.values())
    assert tell(root, times=True) == again
    freeze(root)
    assert tell(root) == before
    assert not any(freeze(root).changed.values())


def test_what_packages_do_in_between_stays_as_a_delta(tmp_path: Path) -> None:
    root = seeded(tmp_path / "r")
    make(root, {"etc/group": "adm:x:4:bob\n", "etc/passwd": "bob:x:1001:1000::/home/bob:/bin/sh\n"})
    thaw(root)
    assert row(root, "etc/group", "adm") == "adm:x:4:bob"
    change(root, "etc/passwd", "/run/sshd:/usr/sbin/nologin", "/run/sshd:/bin/false")
    change(root, "etc/group", "shadow:x:42:", "shadow:x:42:bob")
    change(root, "etc/group", "www-data:x:33:\n", "www-data:x:33:\nnew:x:105:\n")
    change(root, "etc/gshadow", "adm:*:alice:alice,daemon", "adm:*:alice:daemon")
    answers = view(root)
    assert freeze(root).notes == []
    assert view(root) == answers
    assert (root / "etc/passwd").read_text() == (
        "bob:x:1001:1000::/home/bob:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n"
    )
    assert (root / "etc/group").read_text() == "adm:x:4:bob\nnew:x:105:\nshadow:x:42:bob\n"
    assert (root / "etc/gshadow").read_text() == "adm:*:alice:daemon\n"
    assert names(root) == ["accounts/", "accounts/base", "group", "gshadow", "passwd"]
    assert (root / "etc/accounts/base").read_text() == (
        "passwd:sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\ngshadow:adm:*:alice:alice,daemon\n"
    )


def test_a_member_that_was_taken_out_stays_and_is_told(tmp_path: Path) -> None:
    root = seeded(tmp_path / "r")
    thaw(root)
    change(root, "etc/group", "adm:x:4:alice,daemon", "adm:x:4:daemon,bob")
    assert freeze(root).notes == ["group 'adm': alice stays a member, as in the image"]
    assert (root / "etc/group").read_text() == "adm:x:4:bob\n"


def test_a_classic_root_is_left_alone(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    before = tell(root, times=True)
    thaw(root)
    freeze(root)
    assert tell(root, times=True) == before


def test_an_image_layer_in_etc_is_refused(tmp_path: Path) -> None:
    """All rows say what "the image" says then."""
    root = make(make_image(tmp_path / "r"), {"usr/share/accounts/accounts.conf": "IMAGE_DIR=/etc\n"})
    for command in (thaw, freeze):
        with pytest.raises(BadArgument, match="/etc is /etc"):
            command(root)
    assert (root / "etc/passwd").read_text() == PASSWD


PACKAGES = ("dbus plocate", "at openssh-server chrony dnsmasq polkitd rpcbind tcpdump uuid-runtime cron")
INSTALL = "apt-get -q -y -o Dpkg::Use-Pty=0 install --no-install-recommends --no-download"


def install_packages(stateless: bool) -> dict[str, object]:
    """Install the packages, one apt-get after the other, as layers of an image are; what came of it."""
    with debian_root(False, "debian-13-packages") as root:
        top = Path(root.path)
        if stateless:
            install_diverted(root)
            seed(top, source_date_epoch=EPOCH)
            root.check("accounts image wire / --no-boot")
            hook = (TOP / "packaging/debian/apt.conf").read_text()
            (top / "etc/apt/apt.conf.d/50accounts").write_text(hook)
        (top / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (top / "usr/sbin/policy-rc.d").chmod(0o755)
        outputs = [root.check(f"{INSTALL} {packages}") for packages in PACKAGES]
        # base-passwd's own script: it copies passwd.master, or has update-passwd add what it misses.
        outputs.append(root.check(f"{INSTALL} --reinstall base-passwd"))
        overrides = root.check("dpkg-statoverride --list; stat -c '%U:%G %a %n' /usr/bin/plocate /usr/bin/at")
        return {
            "view": root.view(), "overrides": overrides, "needless": root.needless(),
            "warnings": [line for text in outputs for line in text.splitlines() if "unknown" in line],
            "root": [line for name in ("passwd", "shadow") if (top / "etc" / name).exists()
                     for line in (top / "etc" / name).read_text().splitlines() if line.startswith("root:")],
        }  # fmt: skip


@pytest.mark.skipif(not available(), reason="needs root and debootstrap")
def test_packages_of_debian_13_install_over_seeded_accounts() -> None:
    """dpkg 1.22 reads /etc/passwd itself: "unknown system user 'root' in statoverride file"."""
    classic = in_child(install_packages, False)
    stateless = in_child(install_packages, True)
    assert stateless["warnings"] == [] and stateless["needless"] == [] and stateless["root"] == []
    assert stateless["overrides"] == classic["overrides"] and "root messagebus" in str(classic["overrides"])
    for database, rows in classic["view"].items():
        assert stateless["view"][database] == rows, database
