# SPDX-License-Identifier: MIT
"""dracut on a root whose accounts are in the image layer: Debian 13's 106 makes an initrd with the image's accounts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from accounts.image.check import check
from accounts.image.dracut import MODULE, MODULES, format_module
from accounts.image.seed import seed
from accounts.image.thaw import thaw
from accounts.image.wire import wire
from tests.image.rootfs import make_wirable_root
from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import TOP, DebianRoot, debian_root

DRACUT = (
    "dracut --force --quiet --no-hostonly --no-kernel --no-compress --no-early-microcode --kver 1"
    " --modules '{}base systemd systemd-sysusers dbus udev-rules' /srv/initrd 2>/srv/log"
    " || {{ cat /srv/log; exit 1; }}; rm -rf /srv/tree; mkdir /srv/tree; cd /srv/tree;"
    " cpio -idm --quiet etc/passwd etc/group </srv/initrd; cat etc/passwd; echo; cat etc/group"
)
Rows = dict[str, str]


def _initrd(root: DebianRoot, module: str = "accounts ") -> tuple[Rows, Rows]:
    """passwd and group of an initrd: name -> id. Of a name that is there twice, as dracut makes one, the first."""
    passwd, group = (
        {row[0]: row[2] for row in reversed([line.split(":") for line in text.splitlines()])}
        for text in root.check(DRACUT.format(module)).split("\n\n")
    )
    return passwd, group


def _make_initrds() -> dict[str, tuple[Rows, Rows]]:
    with debian_root(False, "debian-13-dracut") as root:
        top = Path(root.path)
        shutil.copy(TOP / "nss/build/libnss_altfiles.so.2", top / "usr/lib/x86_64-linux-gnu")
        found = {"classic": _initrd(root, "")}
        seed(top)
        found["seeded"] = _initrd(root, "")
        wire(top, boot=False)
        found["wired"] = _initrd(root)
        (top / "etc/passwd").write_text("messagebus:x:4321:4321::/:/bin/sh\nown:x:5000:5000::/:/bin/sh\n")
        found["changed"] = _initrd(root)
        (top / "etc/passwd").unlink()
        thaw(top)
        found["thawed"] = _initrd(root)
    return found


@pytest.mark.skipif(not available(), reason="needs root and debootstrap")
def test_an_initrd_has_the_accounts_of_the_image() -> None:
    subprocess.run(["make", "-s", "-C", TOP / "nss"], check=True)
    found = in_child(_make_initrds)
    users, groups = found["classic"]
    assert "messagebus" in users and {"input", "kvm", "messagebus"} <= groups.keys()
    # What this is about (docs/image.md): nothing is said, and they are not there.
    assert "messagebus" not in found["seeded"][0] and not {"input", "kvm"} & found["seeded"][1].keys()
    for state in ("wired", "thawed"):
        assert users.items() <= found[state][0].items(), state
        assert groups.items() <= found[state][1].items(), state
    changed = found["changed"][0]
    assert changed["messagebus"] == "4321" and "own" not in changed


def test_wire_writes_the_module_where_there_is_dracut_and_check_misses_it(tmp_path: Path) -> None:
    without = make_wirable_root(tmp_path / "without", {})
    wire(without)
    assert not (without / MODULE[1:]).exists()
    root = make_wirable_root(tmp_path / "r", {f"{MODULES[1:]}/99base/module-setup.sh": ""})
    assert "dracut" in {one.rule for one in check(root).findings}
    assert MODULE in wire(root).changed
    assert (root / MODULE[1:]).read_bytes() == format_module("/usr/lib")
    assert (root / MODULE[1:]).stat().st_mode & 0o777 == 0o755
    assert "dracut" not in {one.rule for one in check(root).findings}
    assert wire(root).changed == []
