# SPDX-License-Identifier: MIT
"""The same packages in another order give the same image: a Debian 12 on which maintainer scripts made accounts."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.image.test_boot import ACCOUNTS, TOP, run
from tests.support.installation import install
from tests.support.roots.cached import copy_root

# The calls of the maintainer scripts of Debian 12 that make accounts, one package each, and the directory that
# the package gives to its user. Ids are found by the order of the calls.
PACKAGES = {
    "openssh-server": ("adduser --system --no-create-home --home /run/sshd sshd", "run-sshd:sshd"),
    "dbus": ("adduser --system --group --home /nonexistent --no-create-home messagebus", "lib-dbus:messagebus"),
    "chrony": ("adduser --system --group --home /var/lib/chrony --no-create-home _chrony", "lib-chrony:_chrony"),
    "avahi": ("adduser --system --group --no-create-home --home /run/avahi --gecos Avahi avahi", "lib-avahi:avahi"),
    "postfix": ("adduser --system --group --home /var/spool/postfix --no-create-home postfix", "spool:postfix"),
    "postdrop": ("addgroup --system postdrop", ""),
    "redis": ("adduser --system --group --home /var/lib/redis --shell /bin/false redis", "lib-redis2:redis"),
    "dnsmasq": ("adduser --system --home /var/lib/misc --no-create-home --ingroup nogroup dnsmasq", "dns:dnsmasq"),
    "ssl-cert": ("addgroup --system ssl-cert", ""),
    "postgresql": ("adduser --system --group --home /var/lib/pg --no-create-home postgres", "lib-pg:postgres"),
    "tss": ("useradd --system --user-group --home-dir /var/lib/tpm --shell /usr/sbin/nologin tss", "lib-tpm:tss"),
    "uuidd": ("useradd --system --user-group --home-dir /run/uuidd --shell /usr/sbin/nologin uuidd", ""),
    "tcpdump": ("useradd --system --user-group --no-create-home --shell /usr/sbin/nologin tcpdump", ""),
    "kvm": ("groupadd --system kvm", ""),
    "mosquitto": ("adduser --system --group --no-create-home --home /var/lib/m mosquitto", "lib-m:mosquitto"),
    "memcache": ("adduser --system --group --no-create-home --home /nonexistent _memcache", ""),
}
# What joins users to groups that another package may make.
LATE = ("adduser postgres ssl-cert", "adduser mosquitto ssl-cert", "usermod -aG kvm,ssl-cert _chrony")
SHIPPED = ("usr/lib/passwd", "usr/lib/group", "usr/lib/shadow", "usr/lib/gshadow", "usr/share/accounts")
BUILT = (*SHIPPED, "usr/share/factory", "usr/lib/tmpfiles.d", "usr/lib/systemd/system", "srv", "etc")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("debootstrap") is None, reason="needs root and debootstrap"
)


def build(place: Path, order: list[str], date: str) -> Path:
    """A minimal Debian 12 with those packages' accounts, made by Debian's own tools, and then ours."""
    copy_root("debian-12-minbase", place)
    script = ["set -e", "export PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    for name in order:
        call, owner = PACKAGES[name]
        script.append(f"SOURCE_DATE_EPOCH={date} {call} >/dev/null 2>&1")
        if owner:
            directory, _, user = owner.partition(":")
            script.append(f"mkdir /srv/{directory}; chown {user} /srv/{directory}")
    script += [f"{call} >/dev/null 2>&1" for call in (LATE if date < "1650000000" else reversed(LATE))]
    run("chroot", place, "sh", "-c", "\n".join(script))
    install(place)
    return place


def contents(root: Path, tops: tuple[str, ...] = BUILT) -> dict[str, object]:
    """Path -> mode, owner, content of all that was built."""
    found: dict[str, object] = {}
    # What is there in one root only differs as well.
    for top in filter(lambda top: (root / top).exists(), tops):
        for path in (root / top, *sorted((root / top).rglob("*"))):
            status = path.lstat()
            data: object = os.readlink(path) if path.is_symlink() else None
            if stat.S_ISREG(status.st_mode):
                data = path.read_bytes()
            found[str(path.relative_to(root))] = (oct(status.st_mode), status.st_uid, status.st_gid, data)
    return found


def finish(root: Path, ledger: Path) -> None:
    rules = TOP / "nss-data/rules/debian-12-minimal.rules"
    shared = ("--ledger", ledger)
    run(ACCOUNTS, "image", "pin", root, *shared)
    run(ACCOUNTS, "image", "seed", root, *shared)
    run(ACCOUNTS, "image", "stateless", root, "--rules", rules)
    run(ACCOUNTS, "image", "wire", root)
    run(ACCOUNTS, "image", "check", root, *shared)


def test_another_order_of_packages_gives_the_same_bytes(tmp_path: Path) -> None:
    order = list(PACKAGES)
    first = build(tmp_path / "first", order, "1600000000")
    second = build(tmp_path / "second", order[::-1], "1690000000")
    ids = [(root / "etc/passwd").read_text() for root in (first, second)]
    assert sorted(ids[0].splitlines()) != sorted(ids[1].splitlines())  # the ids do depend on the order
    ledger = tmp_path / "ids"
    finish(first, ledger)
    text = ledger.read_bytes()
    finish(second, ledger)
    assert ledger.read_bytes() == text
    one, other = contents(first), contents(second)
    assert [path for path in one.keys() | other.keys() if one.get(path) != other.get(path)] == []
    # Once more changes nothing.
    finish(second, ledger)
    assert contents(second) == other
    assert subprocess.run(["chroot", first, "getent", "passwd", "postgres"], stdout=subprocess.PIPE).returncode == 0


def test_without_a_ledger_the_ids_stay_and_only_they_differ(tmp_path: Path) -> None:
    """pin is what makes ids the same; seed alone changes no id, so that files keep their owners."""
    root = build(tmp_path / "root", list(PACKAGES), "1600000000")
    before = dict(line.split(":")[0:3:2] for line in (root / "etc/passwd").read_text().splitlines())
    run(ACCOUNTS, "image", "seed", root)
    after = dict(line.split(":")[0:3:2] for line in (root / "usr/lib/passwd").read_text().splitlines())
    assert after == before


def test_the_hook_of_mkosi(tmp_path: Path) -> None:
    root = build(tmp_path / "root", list(PACKAGES), "1600000000")
    rules = TOP / "nss-data/rules/debian-12-minimal.rules"
    environment = {"PATH": f"{TOP}/shims:/usr/bin:/bin", "BUILDROOT": str(root), "ACCOUNTS_RULES": str(rules)}
    hook = TOP / "packaging/mkosi/mkosi.finalize"
    done = subprocess.run(
        [hook], env={**environment, "ACCOUNTS_LEDGER": str(tmp_path / "ids")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (root / "etc/passwd").exists() and "messagebus" in (tmp_path / "ids").read_text()
    (root / "etc/surprise").touch()
    again = subprocess.run([hook], env=environment, capture_output=True, text=True)
    assert (again.returncode, "left in /etc: /etc/surprise" in again.stderr) == (1, True)


def test_inside_of_a_container(tmp_path: Path) -> None:
    """What the Containerfile runs: ROOT is /, there is no systemd, and names go on resolving."""
    place = copy_root("debian-12-systemd-ssh-python", tmp_path / "root")
    install(place)
    shutil.rmtree(place / "usr/lib/systemd")
    text = (TOP / "packaging/container/Containerfile").read_text()
    (command,) = (line[4:] for line in text.splitlines() if line.startswith("RUN accounts"))
    run("chroot", place, "sh", "-c", command)
    assert not (place / "etc/passwd").exists()
    assert os.readlink(place / "etc/nsswitch.conf") == "../usr/share/accounts/nsswitch.conf"
    assert run("chroot", place, "getent", "group", "sudo") == "sudo:x:27:\n"
    # A later package: useradd works on the local layer, and seeding again takes it along.
    run("chroot", place, "useradd", "--system", "later")
    assert (place / "etc/passwd").read_text().startswith("later:")
    run("chroot", place, "sh", "-c", command)
    assert not (place / "etc/passwd").exists()
    assert run("chroot", place, "id", "-un", "later") == "later\n"
