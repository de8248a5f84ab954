# SPDX-License-Identifier: MIT
"""accounts adopt on what distributions have: Debian's libnss-extrausers, an rpm-ostree /etc with copied rows."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.machine.life import TOP, accounts, local, make_root, write
from tests.support.roots.cached import copy_root

QUESTIONS = (
    "getent passwd ann", "getent group ann", "getent group crew", "getent shadow ann", "id ann", "id root",
    "getent passwd 1500",
)  # fmt: skip


def ask(root: Path, *more: str) -> list[str]:
    """What the root's own programs answer."""
    answers = []
    for question in (*QUESTIONS, *more):
        done = subprocess.run(["chroot", root, "sh", "-c", question], capture_output=True, text=True, timeout=60)
        answers.append(f"{question}: {done.returncode} {done.stdout}")
    return answers


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("debootstrap") is None, reason="needs root and debootstrap")
def test_debians_extrausers(tmp_path: Path) -> None:
    """The rows of /var/lib/extrausers move to /etc, and the module may go: NSS answers the same without it.

    Ids below 500 are none for that module: its rows of groups of the system say nothing.
    """
    root = copy_root("debian-12-extrausers", tmp_path / "root")
    seeded = subprocess.run([TOP / "shims/accounts", "image", "seed", root], capture_output=True, text=True)
    assert seeded.returncode == 0, seeded.stderr
    subprocess.run(["make", "-s", "-C", TOP / "nss", "install", f"DESTDIR={root}"], check=True)
    with_module = (
        "passwd: files altfiles extrausers\ngroup: files [SUCCESS=merge] altfiles [SUCCESS=merge] extrausers\n"
        "shadow: files altfiles extrausers\ngshadow: files altfiles\n"
    )
    (root / "etc/nsswitch.conf").write_text(with_module)
    write(root / "var/lib/extrausers", {
        "passwd": "ann:x:1500:1500:Ann,,,:/home/ann:/bin/sh\n",
        "group": "ann:x:1500:\ncrew:x:1600:ann\n",
        "shadow": "ann:$6$salt$hash:19000:0:99999:7:::\n",
    })  # fmt: skip
    before = ask(root)
    assert any("uid=1500(ann) gid=1500(ann) groups=1500(ann),1600(crew)" in answer for answer in before), before
    done = accounts(root, "adopt", "--from", str(root / "var/lib/extrausers"))
    assert (done.status, done.stderr) == (0, "")
    shutil.rmtree(root / "var/lib/extrausers")
    (root / "etc/nsswitch.conf").write_text(
        with_module.replace(" [SUCCESS=merge] extrausers", "").replace(" extrausers", "")
    )
    assert ask(root) == before
    assert local(root)["group"] == "ann:x:1500:\ncrew:x:1600:ann\n"
    assert accounts(root, "check").stdout.count("fail") == 0


# /usr/lib/{passwd,group} as rpm-ostree composes them of Fedora's packages, /etc as the installer and people leave it.
FEDORA_PASSWD = """\
bin:x:1:1:bin:/bin:/usr/sbin/nologin
daemon:x:2:2:daemon:/sbin:/usr/sbin/nologin
adm:x:3:4:adm:/var/adm:/usr/sbin/nologin
nobody:x:65534:65534:Kernel Overflow User:/:/usr/sbin/nologin
dbus:x:81:81:System Message Bus:/:/usr/sbin/nologin
libvirtdbus:x:985:985:Libvirt D-Bus bridge:/:/sbin/nologin
"""
FEDORA_GROUP = """\
bin:x:1:
daemon:x:2:
adm:x:4:
nobody:x:65534:
dbus:x:81:
video:x:39:
libvirt:x:986:
libvirtdbus:x:985:
dialout:x:18:
"""


def test_an_rpm_ostree_etc_with_copied_rows(tmp_path: Path) -> None:
    """grep -E '^libvirt:' /usr/lib/group >> /etc/group; usermod -aG libvirt core, as forums tell people to do."""
    files = {
        "passwd": "root:x:0:0:Super User:/root:/bin/bash\ncore:x:1000:1000:CoreOS Admin:/var/home/core:/bin/bash\n"
        "dbus:x:81:81:System Message Bus:/:/usr/sbin/nologin\n",
        "group": "root:x:0:\nwheel:x:10:core\ncore:x:1000:\nlibvirt:x:986:core\nvideo:x:39:core\ndialout:x:18:\n",
        "shadow": "root:!locked::0:99999:7:::\ncore:$y$hash:19000:0:99999:7:::\n",
        "gshadow": "root:::\nwheel:::core\ncore:!::\nlibvirt:!::core\n",
    }
    root = make_root(tmp_path, files, {"passwd": FEDORA_PASSWD, "group": FEDORA_GROUP}, nsswitch=False)
    # As authselect's profile local has it: shadow has no second layer.
    (root / "etc/nsswitch.conf").write_text(
        "passwd:     files altfiles systemd\nshadow:     files\n"
        "group:      files [SUCCESS=merge] altfiles [SUCCESS=merge] systemd\nhosts:      files dns\n"
    )
    before = accounts(root, "diff").stdout
    done = accounts(root, "adopt")
    assert done.status == 0
    assert [line.split(None, 3)[:3] for line in done.stdout.splitlines()] == [
        ["dropped", "passwd", "dbus"], ["dropped", "group", "dialout"],
    ]  # fmt: skip
    after = local(root)
    assert after["passwd"] == "".join(files["passwd"].splitlines(True)[:2])
    assert after["group"] == files["group"].replace("dialout:x:18:\n", "")
    assert (after["shadow"], after["gshadow"]) == (files["shadow"], files["gshadow"])
    assert accounts(root, "diff").stdout == before
    # The next update: libvirt gets another member in the image, and another GID.
    write(root / "usr/lib", {"group": FEDORA_GROUP.replace("libvirt:x:986:", "libvirt:x:980:qemu")})
    assert accounts(root, "rebase").status == 0
    assert "libvirt:x:980:core\n" in local(root)["group"]
