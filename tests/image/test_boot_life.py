# SPDX-License-Identifier: MIT
"""The life of a machine, once, in a booted root: used, updated, mended, handed over; logged in at every step.

/usr is the image's and read-only, all else is on a disk of its own (ext4), which is searched at the end, block by
block. ACCOUNTS_LIFE=FILE runs it, some two minutes, and writes there what was typed and what was answered.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.console import Console
from tests.image.test_boot import PASSWORD, TOP, build, empty_etc, hashed, run
from tests.support.nspawn import available
from tests.support.roots.mounts import run_quiet, unmount

pytestmark = [
    pytest.mark.skipif(
        not available() or shutil.which("debootstrap") is None, reason="needs root, systemd-nspawn and debootstrap"
    ),
    pytest.mark.skipif(not os.environ.get("ACCOUNTS_LIFE"), reason="takes two minutes: ACCOUNTS_LIFE=FILE runs it"),
]
# Passwords that people of this machine have; PASSWORD is the image's.
BOB, ALICE, DEPLOY = "Xk3!vbe9Qz", "r7%Tgb1wPa", "w2&Hmc8sLd"
TOML = """\
[users.deploy]
shell = "/bin/bash"
groups = ["media"]
password-file = "/etc/accounts.d/deploy.hash"
"""
UNITS = ("accounts-rebase.service", "accounts-reown.service")
SSH = (
    "SSH_ASKPASS=/run/ask SSH_ASKPASS_REQUIRE=force ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    " -o LogLevel=ERROR -o NumberOfPasswordPrompts=1 -o PreferredAuthentications=password"
)


def make_image(place: Path, second: bool) -> Path:
    """Image 1, or the one a vendor made who keeps no ids: the same accounts, and what may be another, is."""
    build(place)
    tools = TOP / "shims"

    def do(name: str, *arguments: str) -> None:
        run(tools / name, "--prefix", place, *arguments)

    do("groupadd", "-r", "-g", "475" if second else "470", "media")
    if not second:
        do("groupadd", "-r", "-g", "471", "oldcrew")
    do("useradd", "-r", "-u", "481" if second else "480", "-d", "/var/lib/web", "-s", "/usr/sbin/nologin", "web")
    do("usermod", "-s", "/bin/rbash" if second else "/bin/bash", "bob")
    do("useradd", "-m", "-s", "/bin/bash", "-c", "Carla of image 2" if second else "Carla", "-p", hashed("x"), "carla")
    do("useradd", "-m", "-s", "/bin/bash", "-p", hashed(PASSWORD), "kim")
    if second:
        do("useradd", "-r", "newsvc")
        # The next free UID, which is what useradd gave alice on the machine.
        do("useradd", "-m", "-s", "/bin/bash", "-p", hashed(PASSWORD), "nina")
    often = place / "usr/lib/systemd/system/console-getty.service.d/often.conf"
    often.parent.mkdir()
    often.write_text("[Unit]\nStartLimitIntervalSec=0\n")
    empty_etc(place)
    return place


@contextmanager
def mounted(disk: Path, root: Path, image: Path) -> Iterator[None]:
    """The disk at root, with an image's /usr in it, which nobody can write."""
    root.mkdir(exist_ok=True)
    run_quiet("mount", "-o", "loop", str(disk), str(root))
    try:
        (root / "usr").mkdir(exist_ok=True)
        run_quiet("mount", "--bind", str(image / "usr"), str(root / "usr"))
        run_quiet("mount", "-o", "remount,bind,ro", str(root / "usr"))
        yield
    finally:
        unmount(str(root))


class Life:
    """One machine over its disk, and what was typed and answered."""

    def __init__(self, place: Path) -> None:
        self.disk, self.root = place / "disk", place / "root"
        self.told: list[str] = []

    def head(self, text: str) -> None:
        self.told.append(f"\n== {text}")

    def tell(self, command: str, answer: str) -> str:
        self.told.append(f"# {command}\n{answer}".rstrip())
        return answer

    def run(self, machine: Console, command: str) -> str:
        """Run a command as root at the console, for the transcript too."""
        return self.tell(command, machine.run(command))

    def doors(self, machine: Console, come_in: dict[str, str], stay_out: dict[str, str]) -> None:
        """Everybody by the console and by ssh; root stays logged in at the console."""
        for user, password in stay_out.items():
            machine.be_refused(user, password, "Login incorrect")
            self.told.append(f"console: {user}: refused")
        for user, password in come_in.items():
            machine.login(user, password)
            self.tell(f"console: {user}: id", machine.run("id"))
            machine.leave()
        machine.login("root", PASSWORD)
        machine.run("printf '#!/bin/sh\\necho \"$SECRET\"\\n' > /run/ask; chmod 755 /run/ask; systemctl start ssh")
        for user, password in (come_in | stay_out).items():
            machine.run(f"SECRET='{password}' {SSH} {user}@127.0.0.1 'id -un' > /run/out 2>&1; echo $? >> /run/out")
            answer = machine.run("cat /run/out").split("\n")
            refused = [line for line in answer if "Permission denied" in line]
            assert (user in answer and answer[-1] == "0") if user in come_in else (refused and answer[-1] == "255"), (
                answer
            )
            self.told.append(f"ssh: {user}: {'id -un: ' + user if user in come_in else 'refused'}")


def answers(password: str) -> tuple[tuple[str, str], ...]:
    return ("New password: ", password), ("Retype new password: ", password)


def test_the_life_of_a_machine(tmp_path: Path) -> None:
    life = Life(tmp_path)
    try:
        live(life, tmp_path)
    finally:
        Path(os.environ["ACCOUNTS_LIFE"]).write_text("\n".join(life.told).strip() + "\n")


def live(life: Life, tmp_path: Path) -> None:
    first, second = make_image(tmp_path / "first", False), make_image(tmp_path / "second", True)
    os.truncate(os.open(life.disk, os.O_CREAT | os.O_WRONLY), 96 << 20)
    run("mkfs.ext4", "-q", "-F", life.disk)
    life.root.mkdir()
    run_quiet("mount", "-o", "loop", str(life.disk), str(life.root))
    for name in sorted(set(os.listdir(first)) - {"usr"}):
        run("cp", "-a", first / name, life.root)
    unmount(str(life.root))

    with mounted(life.disk, life.root, first):
        hashes = live_with_the_first_image(life)
    with mounted(life.disk, life.root, second):
        look_at_the_second_image(life)
        os.utime(second / "usr")
        mend(life)
    assert any(secret in life.disk.read_bytes() for secret in hashes)
    with mounted(life.disk, life.root, second):
        assert find(life.root, hashes) != []
        reset(life, hashes)
    life.head("The disk, block by block")
    raw = life.disk.read_bytes()
    life.tell(f"grep -c HASH {life.disk.name}", str(sum(raw.count(secret) for secret in hashes)))
    assert [secret for secret in hashes if secret in raw] == []
    with mounted(life.disk, life.root, second), Console(life.root) as machine:
        life.head("The new owner's first boot")
        life.doors(machine, {"bob": PASSWORD, "kim": PASSWORD, "nina": PASSWORD}, {"alice": ALICE, "deploy": DEPLOY})
        assert machine.run("systemctl is-system-running --wait") == "running"
        assert life.run(machine, "accounts status").startswith("0 own users, 0 own groups, 0 memberships, 0 changed")


def live_with_the_first_image(life: Life) -> list[bytes]:
    with Console(life.root) as machine:
        life.head("Image 1: as it comes")
        life.doors(machine, {"bob": PASSWORD, "kim": PASSWORD}, {"alice": ALICE})
        life.head("Image 1: people live on it")
        machine.run("systemctl stop user@1002; while systemctl -q is-active user-1002.slice; do sleep 0.2; done")
        life.run(machine, "useradd -m -s /bin/bash alice")
        life.tell("passwd alice", machine.answer("passwd alice", *answers(ALICE)))
        life.run(machine, "usermod -aG media,oldcrew,video alice; usermod -aG media bob; id alice")
        life.run(machine, "chsh -s /usr/bin/bash bob; chsh -s /bin/dash carla")
        life.tell("passwd bob", machine.answer("passwd bob", *answers(BOB)))
        life.run(machine, "userdel kim")
        life.run(machine, "install -d -o web -g web /var/lib/web; install -o web -g media /dev/null /var/lib/web/data")
        # Not typed: what a shell remembers is not what reset is about.
        declared = life.root / "etc/accounts.d"
        declared.mkdir()
        (declared / "deploy.hash").write_text(hashed(DEPLOY) + "\n")
        (declared / "10-site.toml").write_text(TOML)
        for name in declared.iterdir():
            name.chmod(0o600)
        assert "made, UID 1004" in life.run(machine, "cat /etc/accounts.d/10-site.toml; accounts apply")
        life.run(machine, "echo 'RE_OWN=/var /home' > /etc/accounts/accounts.conf")
        life.run(machine, "accounts status; cat /etc/passwd /etc/group /etc/accounts/hidden")
        assert life.run(machine, "accounts check; echo status $?").endswith("status 0")
        machine.leave()
        life.doors(machine, {"bob": BOB, "alice": ALICE, "deploy": DEPLOY}, {"kim": PASSWORD})
        secrets = machine.run("cut -d: -f1,2 /etc/shadow").split()
    found = [line.partition(":")[2] for line in secrets if "$" in line]
    assert len(found) == 3
    return [secret.encode() for secret in found]


def look_at_the_second_image(life: Life) -> None:
    """Before anything is mended: the units that do so wait."""
    units = life.root / "etc/systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    for unit in UNITS:
        (units / unit).symlink_to("/dev/null")
    with Console(life.root) as machine:
        life.head("Image 2: updated, nothing mended yet")
        life.doors(machine, {"bob": BOB, "alice": ALICE, "deploy": DEPLOY}, {"kim": PASSWORD})
        life.run(machine, "id nina; id -un 1003")
        life.run(machine, "accounts check")
        found = {(one["rule"], one["name"]) for one in read_findings(machine)}
    for unit in UNITS:
        (units / unit).unlink()
    assert found == {
        ("changed-id", "media"),
        ("changed-id", "web"),
        ("conflict", "bob"),
        ("id-collision", "alice"),
        ("orphan", "oldcrew"),
        ("stale-gid", "media"),
        ("stale-override", "carla"),
        ("subid-overlap", "alice"),
    }


def read_findings(machine: Console) -> list[dict[str, str]]:
    machine.run("accounts check --json > /run/found")
    found: list[dict[str, str]] = json.loads(machine.run("cat /run/found"))["findings"]
    return found


def mend(life: Life) -> None:
    with Console(life.root) as machine:
        life.head("Image 2: the first boot mends what nobody has to decide")
        machine.login("root", PASSWORD)
        assert machine.run("systemctl is-system-running --wait") == "running"
        shown = "systemctl show -P ExecMainStatus accounts-rebase accounts-reown"
        assert life.run(machine, shown) == "1\n\n1"  # 1: something is left to be decided
        life.run(machine, "journalctl -b -q -o cat -u accounts-rebase -u accounts-reown")
        assert life.run(machine, "stat -c '%u:%g %n' /var/lib/web /var/lib/web/data") == (
            "481:481 /var/lib/web\n481:475 /var/lib/web/data"
        )
        life.run(machine, "accounts check")
        found = read_findings(machine)
        assert {(one["rule"], one["name"]) for one in found} == {
            ("conflict", "bob"),
            ("id-collision", "alice"),
            ("orphan", "oldcrew"),
            ("subid-overlap", "alice"),
        }
        life.head("Image 2: each finding, mended by its command")
        for command in dict.fromkeys(one["fix"] for one in found):
            life.run(machine, command)
        assert life.run(machine, "accounts check; echo status $?").endswith("status 0")
        life.run(machine, "accounts rebase; echo status $?; cat /etc/passwd /etc/group")
        assert life.run(machine, "stat -c '%U %n' /home/alice /home/alice/.bashrc") == (
            "alice /home/alice\nalice /home/alice/.bashrc"
        )
        life.run(machine, "id alice; id bob; id nina")
        machine.leave()
        life.doors(machine, {"bob": BOB, "alice": ALICE, "deploy": DEPLOY, "nina": PASSWORD}, {"kim": PASSWORD})


def reset(life: Life, hashes: list[bytes]) -> None:
    with Console(life.root) as machine:
        life.head("Handed over")
        machine.login("root", PASSWORD)
        life.run(machine, "systemctl start factory-reset.target; systemctl show -P Result accounts-reset")
        life.run(machine, "journalctl -b -q -o cat -u accounts-reset; ls -A /etc/accounts* /etc/*-")
    life.tell("grep -rl HASH /etc /var /home /root", "\n".join(find(life.root, hashes)))
    assert find(life.root, hashes) == []
    assert os.listdir(life.root / "etc/accounts") == ["accounts.conf"]


def find(root: Path, hashes: list[bytes]) -> list[str]:
    """The files, but for the image's, that have one of the hashes in them."""
    found = []
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if (Path(directory) / name) != root / "usr"]
        for path in (Path(directory) / name for name in files):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                found += [f"/{path.relative_to(root)}"] * any(secret in content for secret in hashes)
    return sorted(found)
