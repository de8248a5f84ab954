# SPDX-License-Identifier: MIT
"""accounts revert and reset: back to the image, all or nothing, and no old hash on the disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.change import Change
from accounts.machine.reset import reset
from tests.crash import trace
from tests.machine.life import IMAGE, accounts, local, make_root, tool, validate

SECRETS = [f"$y$j9T$secret{number}$hash" for number in range(8)]
LOCAL = {
    "passwd": (
        "alice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\nwww:x:33:33:web:/var/www:/bin/sh\n"
    ),
    "group": "alice:x:1000:\nbob:x:1001:\nvideo:x:44:alice,bob\ncrew:x:1002:alice,bob\nempty:x:1003:bob\n",
    "shadow": f"alice:{SECRETS[0]}:20000::::::\nbob:{SECRETS[1]}:20000::::::\nroot:{SECRETS[2]}:20000::::::\n",
    "gshadow": "alice:!::\nbob:!::\nvideo:*::alice,bob\ncrew:!:bob:alice,bob\nempty:!::bob\n",
    "subuid": "alice:100000:65536\nbob:165536:65536\n",
    "accounts/base": (
        f"passwd:www:x:33:33:web:/var/www:/usr/sbin/nologin\nshadow:root:{SECRETS[6]}:19000::::::\ngshadow:video:*::\n"
    ),
}


def make(path: Path) -> Path:
    """A machine that has been lived on."""
    root = make_root(path, LOCAL)
    others = {
        "etc/passwd-": "x", "etc/shadow-": SECRETS[3], "etc/gshadow-": SECRETS[3], "etc/.accounts.journal.9-9": "x",
        "etc/.accounts.9-9.0.old": SECRETS[4], "etc/shadow+": SECRETS[4], "etc/nshadow": SECRETS[4],
        "etc/security/opasswd": f"alice:1000:1:{SECRETS[5]}\n", "var/backups/shadow.bak": SECRETS[5],
    }  # fmt: skip
    for name, text in others.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        (root / name).chmod(0o600)
    return root


def hashes(root: Path) -> list[str]:
    """The files with an old hash in them, or in their name."""
    return [str(path) for path in root.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


@pytest.fixture
def fast() -> Iterator[Path]:
    """A directory in memory where that is possible: thousands of fsyncs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        yield Path(name)


def test_reset_leaves_the_image_and_no_hash(tmp_path: Path) -> None:
    root = make(tmp_path)
    assert len(hashes(root)) == 9
    done = accounts(root, "reset", "--yes")
    assert (done.status, done.stderr) == (0, "")
    assert hashes(root) == []
    # shadow's tools switch subordinate ids on by the file being there, so it stays, empty.
    assert sorted(os.listdir(root / "etc")) == [".pwd.lock", "nsswitch.conf", "security", "subuid"]
    assert local(root) == {"subuid": ""}
    assert accounts(root, "status").stdout.startswith("0 own users, 0 own groups, 0 memberships, 0 changed")
    again = accounts(root, "reset", "--yes")
    assert (again.status, again.stdout) == (0, "")


def test_reset_keeps_an_account_with_its_memberships(tmp_path: Path) -> None:
    root = make(tmp_path)
    assert accounts(root, "reset", "--yes", "--keep", "alice").status == 0
    assert local(root) == {
        "passwd": "alice:x:1000:1000::/home/alice:/bin/sh\n",
        "group": "alice:x:1000:\nvideo:x:44:alice\ncrew:x:1002:alice\n",
        "shadow": f"alice:{SECRETS[0]}:20000::::::\n",
        "gshadow": "alice:!::\nvideo:*::alice\ncrew:!::alice\n",
        "subuid": "alice:100000:65536\n",
        "accounts/base": "gshadow:video:*::\n",
    }
    assert [Path(path).name for path in hashes(root)] == ["shadow"]
    assert (root / "etc/shadow").stat().st_mode & 0o777 == 0o640


def test_no_hash_is_left_on_the_disk(tmp_path: Path) -> None:
    image, mount = tmp_path / "disk", tmp_path / "mnt"
    image.write_bytes(b"")
    os.truncate(image, 16 << 20)
    mount.mkdir()
    subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True)
    script = """
        mount -o loop "$1" "$2" && cd / || exit 9
        cp -a "$3/." "$2" && sync -f "$2" && grep -qa secret "$1" && echo before
        "$4" reset --yes --root "$2" || exit 8
        umount "$2" && grep -ca secret "$1"
    """
    source = make(tmp_path / "source") if (tmp_path / "source").mkdir() is None else None
    assert source is not None
    shim = Path(__file__).resolve().parents[2] / "shims/accounts"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", image, mount, source, shim],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert (done.stdout.splitlines()[0], done.stdout.splitlines()[-1]) == ("before", "0")


def test_backup_is_for_root_only(tmp_path: Path) -> None:
    root = make(tmp_path)
    archive = tmp_path / "saved.tar"
    assert accounts(root, "reset", "--yes", "--backup", str(archive)).status == 0
    assert archive.stat().st_mode & 0o7777 == 0o600
    with tarfile.open(archive) as tar:
        assert {name: tar.extractfile(name).read().decode() for name in tar.getnames()} == {  # type: ignore[union-attr]
            f"etc/{name}": text for name, text in LOCAL.items()
        }
    root2 = make(tmp_path / "other") if (tmp_path / "other").mkdir() is None else None
    assert root2 is not None
    before = local(root2)
    assert accounts(root2, "reset", "--yes", "--backup", str(archive)).status == 3
    assert local(root2) == before


def test_what_the_former_owner_declared_does_not_come_back(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    root = make(tmp_path / "root")
    declared = {
        "etc/accounts.d/10-a.toml": f'[users.alice]\npassword = "{SECRETS[0]}"\n',
        "etc/accounts.d/20-b.toml": '[users.bob]\npassword-file = "/etc/bob.hash"\n',
        "etc/bob.hash": f"$6$secretab${'x' * 86}\n",
        "etc/credstore/accounts.password.carol": SECRETS[2],
        "etc/credstore/others": "kept",
        "usr/lib/accounts.d/30-c.toml": "[users.dora]\n",
    }
    for name, text in declared.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        (root / name).chmod(0o600)
    archive = tmp_path / "saved.tar"
    assert accounts(root, "reset", "--yes", "--backup", str(archive)).status == 0
    assert hashes(root) == []
    assert not (root / "etc/accounts.d").exists()
    assert [name for name in declared if (root / name).exists()] == [
        "etc/credstore/others",
        "usr/lib/accounts.d/30-c.toml",
    ]
    with tarfile.open(archive) as tar:
        assert {"etc/accounts.d/10-a.toml", "etc/credstore/accounts.password.carol"} <= set(tar.getnames())


def test_a_second_name_of_a_file_is_told_of(tmp_path: Path) -> None:
    root = make(tmp_path)
    os.link(root / "etc/shadow-", root / "var/linked")
    done = accounts(root, "reset", "--yes")
    assert done.status == 1
    assert done.stderr == "accounts reset: /etc/shadow- has 2 names, and the content is left under another one\n"
    assert hashes(root) == [str(root / "var/linked")]


def test_a_machine_without_an_image_is_not_emptied(tmp_path: Path) -> None:
    root = make_root(tmp_path, dict(IMAGE), image={})
    before = local(root)
    done = accounts(root, "reset", "--yes")
    assert (done.status, done.stderr) == (
        3,
        "accounts reset: there is no image to go back to: nobody would be left; see accounts check\n",
    )
    assert accounts(root, "reset", "--yes", "--keep", "ghost").status == 3
    assert local(root) == before


def test_without_a_terminal_nobody_can_be_asked(tmp_path: Path) -> None:
    root = make(tmp_path)
    before = local(root)
    done = accounts(root, "reset")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr == (
        "accounts reset: nothing was changed: there is no terminal to ask on, and no --yes; see accounts reset --help\n"
    )
    assert local(root) == before


def test_a_link_is_removed_not_followed(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "var/victim").write_text("precious\n")
    (root / "etc/shadow-").unlink()
    (root / "etc/shadow-").symlink_to(root / "var/victim")
    assert accounts(root, "reset", "--yes").status == 0
    assert (root / "var/victim").read_text() == "precious\n"
    assert not (root / "etc/shadow-").is_symlink()


def test_ranges_of_the_factory_come_back_at_the_next_boot(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "usr/share/factory/etc").mkdir(parents=True)
    (root / "usr/share/factory/etc/subuid").write_text("www:100000:65536\n")
    assert accounts(root, "reset", "--yes").status == 0
    assert not (root / "etc/subuid").exists()


def test_dry_run_and_json(tmp_path: Path) -> None:
    root = make(tmp_path)
    before = local(root)
    result = accounts(root, "reset", "--dry-run", "--json").json
    validate(result, "reset")
    assert len(result["removed"]) == 9
    assert local(root) == before
    assert not (root / "etc/.pwd.lock").exists()
    validate(accounts(root, "reset", "--yes", "--json").json, "reset")
    assert hashes(root) == []


def test_killed_at_any_call_the_next_reset_completes(fast: Path) -> None:
    template, root = fast / "template", fast / "root"
    template.mkdir()
    make(template)

    def act() -> int:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with Change(os.fsencode(root)) as change:
            reset(change, keep=[b"alice"])
        return 0

    def start() -> None:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(template, root, symlinks=True)

    start()
    calls = len(trace.run(act).calls)
    step = max(1, calls // int(os.environ.get("ACCOUNTS_KILLS", "60")))
    kept = local(root)
    whole = set()
    for at in range(0, calls, step):
        start()
        if trace.run(act, at, kill=True).status == 0:
            break
        # What the next tool finds is all of the old state or all of the new one.
        assert accounts(root, "check", "--fix=journal").status in (0, 1)
        found = local(root)
        whole.add("new" if found == kept else "old" if found == LOCAL else "neither")
        assert act() == 0
        assert local(root) == kept
        assert [Path(path).name for path in hashes(root)] == ["shadow"]
    assert whole == {"old", "new"}


# revert


def test_revert_brings_an_account_back_to_the_image(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    for argv in (
        ("usermod", "-s", "/bin/sh", "-e", "2027-01-01", "-aG", "video", "www"),
        ("usermod", "-c", "Boss", "root"),
        ("useradd", "-U", "-G", "video", "carol"),
        ("gpasswd", "-A", "www,carol", "video"),
    ):
        assert tool(root, *argv).status == 0, argv
    validate(accounts(root, "revert", "--json", "--dry-run", "www").json, "revert")
    done = accounts(root, "revert", "www")
    assert (done.status, done.stderr) == (0, "")
    left = local(root)
    assert "www" not in "".join(left.values())
    assert "root:x:0:0:Boss" in left["passwd"]
    assert left["group"].splitlines()[0] == "video:x:44:carol"
    assert left["gshadow"].splitlines()[0] == "video:*:carol:carol"
    assert accounts(root, "revert", "video", "root").status == 0
    assert {*local(root)["group"].splitlines()} == {"carol:x:1000:"}


def test_revert_gives_back_members_of_the_image(tmp_path: Path) -> None:
    files = {"gshadow": "adm:*::carol\n", "group": "adm:x:4:carol\n", "accounts/base": "gshadow:adm:*::daemon\n"}
    root = make_root(tmp_path, files)
    assert accounts(root, "revert", "daemon").status == 0
    assert local(root)["gshadow"] == "adm:*::carol,daemon\n"
    assert accounts(root, "revert", "adm").status == 0
    assert local(root) == {}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ghost", "'ghost' is nobody's account; see accounts status"),
        ("alice", "'alice' is of this machine alone; userdel or groupdel removes it"),
    ],
)
def test_revert_is_for_accounts_of_the_image(name: str, why: str, tmp_path: Path) -> None:
    root = make(tmp_path)
    before = local(root)
    done = accounts(root, "revert", "www", name)
    assert (done.status, done.stdout, done.stderr) == (3, "", f"accounts revert: {why}\n")
    assert local(root) == before
