# SPDX-License-Identifier: MIT
"""The commands that write, under kill -9, on a full or read-only disk, in hostile roots: all old or all new."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accounts.change import Change
from accounts.machine.convert import adopt
from accounts.machine.edits import edit_files
from accounts.machine.rebase import rebase
from accounts.machine.revert import revert
from accounts.model.database import Database
from tests.crash import trace
from tests.machine.life import IMAGE, PYTHON, TOP, accounts, local, make_root

LOCAL = {
    "passwd": "www:x:33:33:web:/var/www:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
    "group": "video:x:40:alice\nadm:x:4:daemon\nalice:x:1000:\n",
    "shadow": "www:$y$1:20000::::::\nroot:*:19000::::::\nalice:!:1::::::\n",
    "gshadow": "video:*::alice\nalice:!::\n",
    "accounts/base": (
        "passwd:www:x:33:33:web:/home/www:/usr/sbin/nologin\nshadow:www:*:18000::::::\ngshadow:video:*::\n"
    ),
}
EDITS: dict[str, Callable[[Database], object]] = {
    "rebase": rebase,
    "adopt": adopt,
    "revert": lambda database: revert(database, [b"www", b"video"]),
}
ARGV = {"rebase": ["rebase"], "adopt": ["adopt"], "revert": ["revert", "www", "video"], "flatten": ["flatten"]}


@pytest.fixture
def fast() -> Iterator[Path]:
    """A directory in memory where that is possible: thousands of fsyncs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        yield Path(name)


@pytest.mark.parametrize("command", EDITS)
def test_killed_at_any_call_the_next_run_completes(command: str, fast: Path) -> None:
    template, root = fast / "template", fast / "root"
    template.mkdir()
    make_root(template, LOCAL)

    def act() -> int:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with Change(os.fsencode(root)) as change:
            edit_files(change, command, EDITS[command], lambda _: ())
        return 0

    def start() -> None:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(template, root, symlinks=True)

    start()
    calls = len(trace.run(act).calls)
    done = local(root)
    assert done != LOCAL
    seen = set()
    for at in range(0, calls, max(1, calls // int(os.environ.get("ACCOUNTS_KILLS", "30")))):
        start()
        if trace.run(act, at, kill=True).status == 0:
            break
        with Change(os.fsencode(root)) as change:
            edit_files(change, "nothing", lambda _: None, lambda _: ())
        found = local(root)
        seen.add("new" if found == done else "old" if found == LOCAL else "neither")
        assert act() == 0
        assert local(root) == done
    assert seen == {"old", "new"}


SHELL = """
    mount -t tmpfs -o size=300k none "$1" && cp -a "$2/." "$1" || exit 9
    %s
    "$3" "$4" "$5" --root "$1" $6 $7
    echo $? > "$1.status"
    %s
    cp -a "$1/etc" "$1.etc"
"""
FULL = ('dd if=/dev/zero of="$1/filler" bs=4k 2>/dev/null', 'rm "$1/filler"')
READ_ONLY = ('mount -o remount,ro "$1"', "true")


@pytest.mark.parametrize(("before", "after"), [FULL, READ_ONLY], ids=["full", "read-only"])
@pytest.mark.parametrize("command", ARGV)
def test_a_disk_that_says_no(command: str, before: str, after: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "root").mkdir()
    source = make_root(tmp_path / "source", LOCAL)
    words = [*ARGV[command], "", ""]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", SHELL % (before, after), "sh", tmp_path / "root", source,
         PYTHON, TOP / "shims/accounts", *words[:3]],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (tmp_path / "root.status").read_text() == "3\n", done.stderr
    assert done.stderr.startswith(f"accounts {command}: ")
    assert "Traceback" not in done.stderr
    left = {str(path.relative_to(tmp_path / "root.etc")): path.read_text()
            for path in (tmp_path / "root.etc").rglob("*") if path.is_file() and not path.is_symlink()}  # fmt: skip
    left.pop(".pwd.lock", None)
    assert left == LOCAL


def test_links_of_a_hostile_root_do_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    root = make_root(tmp_path / "root", LOCAL)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "base").write_text("precious\n")
    shutil.rmtree(root / "etc/accounts")
    (root / "etc/accounts").symlink_to(outside)
    for argv in (["status"], ["check"], ["rebase"], ["adopt"], ["flatten"], ["reset", "--yes"]):
        done = accounts(root, *argv)
        assert "Traceback" not in done.stderr
        assert sorted(os.listdir(outside)) == ["base"]
        assert (outside / "base").read_text() == "precious\n"


@pytest.mark.parametrize("name", ["usr/lib/passwd", "etc/group", "etc/accounts/base", "etc/nsswitch.conf"])
@pytest.mark.parametrize("data", [b"\0" * 70, b"\xff\xfe:\n:::\n\n", b"x" * 200_000, b"a:x:99999999999:1::/:/\n"])
def test_odd_files_are_no_traceback(name: str, data: bytes, tmp_path: Path) -> None:
    root = make_root(tmp_path, LOCAL)
    (root / name).unlink(missing_ok=True)
    (root / name).write_bytes(data)
    for argv in (["status"], ["diff"], ["check"], ["rebase", "-n"], ["adopt", "-n"], ["show", "www"]):
        done = accounts(root, *argv)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.status in (0, 1, 3)


def test_the_image_is_never_written(tmp_path: Path) -> None:
    root = make_root(tmp_path, LOCAL)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (root / "usr/lib").iterdir()}
    for line in ("rebase", "adopt", "flatten", "adopt", "check --fix", "revert www", "reset --yes"):
        accounts(root, *line.split())
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (root / "usr/lib").iterdir()} == before
    assert {name: (root / "usr/lib" / name).read_text() for name in IMAGE} == IMAGE
