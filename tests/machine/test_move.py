# SPDX-License-Identifier: MIT
"""accounts rebase --move-local and --re-own: ids that clash or have changed, their rows and their files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.change import Change
from accounts.machine.update import update
from tests.crash import trace
from tests.machine.life import IMAGE, accounts, local, make_root, validate, write

# alice and her group have ids of the image's www; two users share one; carol's primary group is the image's video.
LOCAL = {
    "passwd": (
        "alice:x:33:33::/home/alice:/bin/sh\nalso:x:33:33::/home/alice:/bin/sh\n"
        "bob:x:1001:33::/home/bob:/bin/sh\ncarol:x:1002:44::/home/carol:/bin/sh\n"
    ),
    "group": "alice:x:33:carol\nvideo:x:44:alice\n",
    "shadow": "alice:!:1::::::\nalso:!:1::::::\nbob:!:1::::::\ncarol:!:1::::::\n",
    "gshadow": "alice:!:bob:carol\n",
    "subuid": "33:100000:65536\nalice:200000:65536\n",
}
MOVED = {
    "passwd": (
        "alice:x:999:999::/home/alice:/bin/sh\nalso:x:999:999::/home/alice:/bin/sh\n"
        "bob:x:1001:999::/home/bob:/bin/sh\ncarol:x:1002:44::/home/carol:/bin/sh\n"
    ),
    "group": "alice:x:999:carol\nvideo:x:44:alice\n",
    "subuid": "999:100000:65536\nalice:200000:65536\n",
}
FILES = {"home/alice": (33, 33), "home/alice/mail": (33, 8), "home/bob": (1001, 33), "srv/other": (34, 34)}
STATE = "var/lib/accounts"
# rename, renameat, renameat2 of asm/unistd_64.h.
RENAMES = (82, 264, 316)


@pytest.fixture
def fast() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        yield Path(name)


def make(path: Path, files: dict[str, tuple[int, int]], rows: dict[str, str], image: dict[str, str] = IMAGE) -> Path:
    root = make_root(path, rows, image)
    for name, owner in files.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        os.chown(root / name, *owner)
    # The image's files have its ids already.
    (root / "usr/share/www").mkdir()
    os.chown(root / "usr/share/www", 33, 33)
    return root


def owners(root: Path, *names: str) -> list[tuple[int, int]]:
    return [((root / name).stat().st_uid, (root / name).stat().st_gid) for name in names]


def test_a_local_account_makes_place_for_the_images(tmp_path: Path) -> None:
    root = make(tmp_path, FILES, LOCAL)
    dry = accounts(root, "rebase", "--move-local", "--dry-run")
    assert (dry.status, local(root)) == (0, LOCAL)
    assert not (root / STATE).exists()
    done = accounts(root, "rebase", "--move-local")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "moved  passwd  alice  UID 33 -> 999; 33 is the image's 'www'",
        "moved  passwd  also   UID 33 -> 999; 33 is the image's 'www'",
        "moved  group   alice  GID 33 -> 999; 33 is the image's 'www'",
        *(f"moved  passwd  {name:5}  primary group 'alice' has GID 999 now" for name in ("alice", "also", "bob")),
        "moved  subuid  alice  the range of UID 33 is of 999 now",
        done.stdout.splitlines()[-1],
    ]
    assert done.stdout.endswith(" files have changed hands\n")
    assert local(root) == LOCAL | MOVED
    assert owners(root, *FILES, "usr/share/www") == [(999, 999), (999, 8), (1001, 999), (34, 34), (33, 33)]
    assert accounts(root, "check").stdout.count("collision") == 0
    again = accounts(root, "rebase", "--move-local", "--json")
    validate(again.json, "rebase")
    assert (again.json["steps"], again.json["files"], again.json["changed"]) == ([], None, False)


def test_only_who_is_named_moves(tmp_path: Path) -> None:
    root = make(tmp_path, {}, {"group": "crew:x:33:\nteam:x:44:\n"})
    done = accounts(root, "rebase", "--move-local", "crew")
    assert (done.status, local(root)["group"]) == (1, "crew:x:999:\nteam:x:44:\n")
    assert f"To end a collision of ids: accounts rebase -R {root} --move-local [NAME...]\n" in done.stdout
    assert accounts(root, "rebase", "crew").status == 2


def test_an_id_that_somebody_has_had_is_not_taken(tmp_path: Path) -> None:
    root = make(tmp_path, {}, {"group": "crew:x:33:\n"})
    (root / "usr/share/accounts/ids").write_text("group:old:999:removed\n")
    (root / STATE).mkdir()
    (root / STATE / "ids").write_text("group:older:998:1\ngroup:older:998\n")
    assert accounts(root, "rebase", "--move-local").status == 0
    assert local(root)["group"] == "crew:x:997:\n"


def test_a_home_on_another_file_system_has_to_be_named(tmp_path: Path) -> None:
    root = make(tmp_path, FILES, LOCAL)
    script = 'mount -t tmpfs none "$0/home" && mkdir "$0/home/alice" && chown 33:33 "$0/home/alice" && shift && '
    argv = ["unshare", "-m", "sh", "-c", script + '"$@"; echo $?; stat -c %u "$0/home/alice"', root, "-"]
    command = ["/usr/bin/python3", "-IS", "shims/accounts", "rebase", "--root", root, "--move-local"]
    done = subprocess.run([*argv, *command], capture_output=True, text=True, timeout=60)
    assert done.stdout == "3\n33\n"
    assert done.stderr == (
        "accounts rebase: 'alice' has files in /home/alice, where this does not go: --re-own / /home\n"
    )
    assert local(root) == LOCAL
    assert not (root / STATE).exists() or os.listdir(root / STATE) == []
    done = subprocess.run([*argv, *command, "--re-own", "/", "/home"], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-2:] == ["0", "999"], done


NEW = IMAGE | {
    "passwd": IMAGE["passwd"].replace("www:x:33:33", "www:x:34:34").replace("daemon:x:1:1", "daemon:x:2:1"),
    "group": IMAGE["group"].replace("www:x:33", "www:x:34"),
}


def update_image(root: Path, image: dict[str, str]) -> None:
    write(root / "usr/lib", image)


def test_files_follow_an_id_that_the_image_has_changed(tmp_path: Path) -> None:
    """Two images whose ids form a chain: 33 -> 34 while 1 -> 2."""
    files = {"var/www": (33, 33), "var/www/log": (1, 33), "home/www": (33, 33), "srv/www": (33, 33)}
    rows = {
        "passwd": "www:x:33:33:web:/var/www:/bin/sh\n",
        "accounts/base": "passwd:www:x:33:33:web:/var/www:/usr/sbin/nologin\n",
    }
    root = make(tmp_path, files, rows)
    assert accounts(root, "rebase", "--re-own", "/var", "/home").stdout == ""
    assert (root / STATE / "ids").read_text().splitlines()[1:3] == ["group:adm:4", "group:daemon:1"]
    update_image(root, NEW)
    found = accounts(root, "check", "--json").json["findings"]
    changed = [one["message"] for one in found if one["rule"] == "changed-id"]
    assert changed == [
        "the image gives 'daemon' UID 2, and its files here are of 1",
        "the image gives 'www' UID 34, and its files here are of 33",
        "the image gives 'www' GID 34, and its files here are of 33",
    ]
    # The boot's run, which knows of no path, leaves files to somebody.
    left = accounts(root, "rebase", "--re-own")
    assert (left.status, "renumbered" in left.stdout) == (1, True)
    assert owners(root, *files) == list(files.values())
    done = accounts(root, "rebase", "--re-own", "/var", "/home")
    assert done.status == 0
    assert owners(root, *files) == [(34, 34), (2, 34), (34, 34), (33, 33)]
    assert local(root)["passwd"] == "www:x:34:34:web:/var/www:/bin/sh\n"
    assert "changed-id" not in accounts(root, "check").stdout
    assert accounts(root, "rebase", "--re-own", "/var", "/home").stdout == ""
    # And back.
    update_image(root, IMAGE)
    assert accounts(root, "rebase", "--re-own", "/var").status == 0
    assert owners(root, *files) == [(33, 33), (1, 33), (34, 34), (33, 33)]


def test_swapped_ids_of_the_image(tmp_path: Path) -> None:
    files = {"var/w": (33, 33), "var/d": (1, 1), "var/d/w": (33, 1)}
    root = make(tmp_path, files, {})
    swapped = IMAGE["passwd"].replace("www:x:33:", "www:x:+:").replace("daemon:x:1:", "daemon:x:33:")
    accounts(root, "rebase", "--re-own")
    update_image(root, IMAGE | {"passwd": swapped.replace("+", "1")})
    assert accounts(root, "rebase", "--re-own", "/var").status == 0
    assert owners(root, *files) == [(1, 33), (33, 1), (1, 1)]


def test_the_paths_may_be_configured_and_the_earlier_image_given(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    earlier = make(tmp_path / "old", {}, {})
    root = make(tmp_path / "new", {"var/www": (33, 33)}, {}, NEW)
    (root / "usr/share/accounts/accounts.conf").write_text("RE_OWN=/var\n")
    assert accounts(root, "rebase", "--previous", str(earlier)).status == 2
    assert accounts(root, "rebase", "--re-own", "--previous", str(earlier)).status == 0
    assert owners(root, "var/www") == [(34, 34)]


def test_an_id_of_the_image_that_is_a_local_accounts_too(tmp_path: Path) -> None:
    """Whose files would they be? Both move in one walk: 33 -> 34 -> 999."""
    files = {"var/www": (33, 33), "home/alice": (34, 34)}
    rows = {"passwd": "alice:x:34:34::/home/alice:/bin/sh\n", "group": "alice:x:34:\n", "shadow": "alice:!:1::::::\n"}
    root = make(tmp_path, files, rows)
    accounts(root, "rebase", "--re-own")
    update_image(root, NEW)
    refused = accounts(root, "rebase", "--re-own", "/var", "/home")
    assert (refused.status, refused.stdout) == (3, "")
    told = "UID 34 of the image's 'www' is the local 'alice' too; see accounts rebase --move-local"
    assert refused.stderr == f"accounts rebase: {told}\n"
    done = accounts(root, "rebase", "--move-local", "--re-own", "/var", "/home")
    assert done.status == 0
    assert owners(root, *files) == [(34, 34), (999, 999)]


def test_what_is_not_to_be_trusted_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path, {"var/www": (33, 33)}, {})
    (root / STATE).mkdir()
    (root / STATE / "ids").write_text("passwd:www:32\n")
    os.chown(root / STATE / "ids", 1000, 0)
    done = accounts(root, "rebase", "--re-own", "/var")
    assert (done.status, done.stderr) == (
        3, "accounts rebase: /var/lib/accounts/ids: others than its owner can write it, or it is not ours\n",
    )  # fmt: skip
    (root / STATE / "ids").unlink()
    (root / STATE / "ids").symlink_to("/etc/passwd")
    assert accounts(root, "rebase", "--re-own", "/var").status == 3
    (root / STATE / "ids").unlink()
    # A path that a user controls.
    (root / "home/link").symlink_to("/etc")
    os.chown(root / "home", 1000, 1000)
    os.lchown(root / "home/link", 1000, 1000)
    assert accounts(root, "rebase", "--re-own", "/home/link").status == 3
    assert accounts(root, "rebase", "--re-own", "/nowhere").status == 3


def test_killed_at_any_call_the_next_run_completes(fast: Path) -> None:
    """Rows and files: the local account has its old id with its files, or gets the new one with them."""
    template, root = fast / "template", fast / "root"
    template.mkdir()
    make(template, FILES, LOCAL)

    def act() -> int:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with Change(os.fsencode(root)) as change:
            update(change, move=True)
        return 0

    def start() -> None:
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["cp", "-a", template, root], check=True)

    start()
    numbers = trace.run(act).calls
    calls = len(numbers)
    expected = local(root), owners(root, *FILES)
    assert expected == (LOCAL | MOVED, [(999, 999), (999, 8), (1001, 999), (34, 34)])
    seen = set()
    points = set(range(0, calls, max(1, calls // int(os.environ.get("ACCOUNTS_KILLS", "25")))))
    # The rows are half old and half new between two renames, and what becomes of the files hangs on them.
    points |= {at for at, number in enumerate(numbers) if number in RENAMES}
    for at in sorted(points):
        start()
        if trace.run(act, at, kill=True).status == 0:
            break
        seen.add(local(root)["passwd"] == LOCAL["passwd"])
        assert act() == 0
        assert (local(root), owners(root, *FILES)) == expected, f"killed at call {at} of {calls}"
        assert not (root / STATE / "re-own").exists()
    assert seen == {True, False}
