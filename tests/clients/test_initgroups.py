# SPDX-License-Identifier: MIT
"""Memberships are what id(1) and sudo(8) go by, not getent(1) alone: under merge and under `group: files altfiles`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import DebianRoot, Result, debian_root

pytestmark = pytest.mark.skipif(not available(), reason="needs root and debootstrap")

POLICIES = {"merge": "files [SUCCESS=merge] altfiles", "first": "files altfiles"}
REFUSED = "gpasswd: user 'ivy' is a member of group 'adm' in the read-only image, only a new image can remove it\n"


def _in_group(root: DebianRoot, user: str, group: str) -> tuple[bool, bool, bool]:
    """What getent, id and sudo say."""
    members = root.check(f"getent group {group}").rstrip("\n").split(":")[3].split(",")
    groups = root.check(f"id -Gn {user}").split()
    sudoers = Path(root.path, "etc/sudoers.d/group")
    sudoers.write_text(f"%{group} ALL=(ALL) NOPASSWD: ALL\n")
    sudoers.chmod(0o440)
    may = root.run(f"su -s /bin/sh -c 'sudo -n true' {user}").status == 0
    return user in members, group in groups, may


def _memberships(policy: str) -> None:
    with debian_root(stateless=True, name="debian-12-systemd-ssh-python") as root:
        place = Path(root.path)
        for name, row in (("passwd", "ivy:x:1500:1500::/:/bin/sh\n"), ("shadow", "ivy:*:19000::::::\n")):
            with open(place / "usr/lib" / name, "a") as file:
                file.write(row)
        group = (place / "usr/lib/group").read_text().replace("\nadm:x:4:", "\nadm:x:4:ivy")
        (place / "usr/lib/group").write_text(group + "ivy:x:1500:\n")
        nsswitch = (place / "usr/share/accounts/nsswitch.conf").read_text()
        (place / "usr/share/accounts/nsswitch.conf").write_text(
            nsswitch.replace("files [SUCCESS=merge] altfiles", POLICIES[policy])
        )
        assert _in_group(root, "ivy", "adm") == (True, True, True)
        assert _in_group(root, "ivy", "video") == (False, False, False)
        # As over a stock module, which cannot hide the image's row.
        (place / "etc/accounts").mkdir(mode=0o755)
        (place / "etc/accounts/accounts.conf").write_text("HIDE=no\n")
        assert root.run("gpasswd -d ivy adm") == Result(1, "Removing user ivy from group adm\n" + REFUSED)
        assert _in_group(root, "ivy", "adm") == (True, True, True)
        root.check("usermod -aG video ivy")
        assert _in_group(root, "ivy", "video") == (True, True, True)
        assert _in_group(root, "ivy", "adm") == (True, True, True)
        root.check("gpasswd -d ivy video")
        assert _in_group(root, "ivy", "video") == (False, False, False)
        assert not (place / "etc/group").exists()
        (place / "etc/accounts/accounts.conf").write_text("HIDE=yes\n")
        root.check("gpasswd -d ivy adm")
        assert _in_group(root, "ivy", "adm") == (False, False, False)
        root.check("gpasswd -a ivy adm")
        assert _in_group(root, "ivy", "adm") == (True, True, True)
        assert not (place / "etc/group").exists()


@pytest.mark.parametrize("policy", POLICIES)
def test_getent_id_and_sudo_agree(policy: str) -> None:
    in_child(_memberships, policy)


def _row_that_only_getent_minds() -> tuple[bool, bool, bool]:
    with debian_root(stateless=True, name="debian-12-systemd-ssh-python") as root:
        place = Path(root.path)
        nsswitch = (place / "usr/share/accounts/nsswitch.conf").read_text()
        (place / "usr/share/accounts/nsswitch.conf").write_text(
            nsswitch.replace("files [SUCCESS=merge] altfiles", POLICIES["first"])
        )
        group = (place / "usr/lib/group").read_text().replace("\nadm:x:4:", "\nadm:x:4:bin")
        (place / "usr/lib/group").write_text(group)
        (place / "etc/group").write_text("adm:x:4:\n")
        return _in_group(root, "bin", "adm")


def test_a_local_row_hides_a_member_from_getent_only() -> None:
    """Why the refusal does not advise it: glibc's initgroups asks the image as well."""
    assert in_child(_row_that_only_getent_minds) == (False, True, True)
