# SPDX-License-Identifier: MIT
"""Roots with links and strange files, one by one, and what the tools make of them."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile import roots
from tests.hostile.roots import Outcome, run_tool, where

MODES = ("root", "prefix")


@pytest.fixture
def base() -> Iterator[Path]:
    path = Path("/dev/shm") / f"accounts-examples.{os.getpid()}"
    path.mkdir(mode=0o755)
    roots.populate(path / "R")
    roots.make_host(path / "host")
    yield path
    shutil.rmtree(path, ignore_errors=True)


def run(base: Path, tool: str, *arguments: str, mode: str = "root") -> Outcome:
    return run_tool(tool, arguments, where(tool, base / "R", mode), base)


def shown(base: Path, path: str, mode: str) -> str:
    return f"{base / 'R'}/{path}" if mode == "prefix" else path


@pytest.mark.parametrize("mode", MODES)
def test_a_journal_cannot_name_a_file_outside(base: Path, mode: str) -> None:
    root = base / "R"
    (root / "etc/.accounts.4711-1.0.new").write_bytes(b"evil\n")
    status = (root / "etc/.accounts.4711-1.0.new").stat()
    step = f"0 - {status.st_size}:{status.st_mtime_ns}:{zlib.crc32(b'evil' + bytes([10])):08x} - ../../../host/cron"
    text = f"accounts journal 1 4711-1\n{step}\n".encode()
    (root / "etc/.accounts.journal").write_bytes(text + b"end %08x\n" % zlib.crc32(text))
    (root / "etc/.accounts.journal").chmod(0o600)
    outcome = run(base, "useradd", "new", mode=mode)
    assert (outcome.status, outcome.stdout, outcome.stderr) == (
        1,
        "",
        f"useradd: cannot open {shown(base, '/etc/passwd', mode)}: .accounts.journal: not the journal of an interrupted"
        " change (it names '../../../host/cron'); look at it and remove it\n",
    )
    assert not (base / "host/cron").exists()
    assert not (root / "etc/passwd.lock").exists()


@pytest.mark.parametrize("mode", MODES)
def test_an_image_directory_that_is_a_link_to_etc_is_no_second_layer(base: Path, mode: str) -> None:
    root = base / "R"
    shutil.rmtree(root / "usr/lib")
    (root / "usr/lib").symlink_to("/etc")
    outcome = run(base, "usermod", "-c", "Robert", "bob", mode=mode)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert "bob:x:1500:1500:Robert:/home/bob:/bin/sh\n" in (root / "etc/passwd").read_text()
    assert run(base, "usermod", "-L", "victim", mode=mode).status == 6
    assert roots.SECRET not in (root / "etc/shadow").read_text()


def test_an_image_directory_may_not_climb(base: Path) -> None:
    (base / "R/etc/accounts/accounts.conf").write_text("IMAGE_DIR=/../../etc\n")
    outcome = run(base, "usermod", "-L", "victim")
    assert outcome.stderr == "usermod: accounts.conf: IMAGE_DIR must be a path without '..': '/../../etc'\n"
    assert outcome.status == 1


@pytest.mark.parametrize("mode", MODES)
def test_defaults_are_written_below_the_root(base: Path, mode: str) -> None:
    root = base / "R"
    (base / "outside").mkdir()
    shutil.rmtree(root / "etc/default")
    (root / "etc/default").symlink_to(base / "outside")
    outcome = run(base, "useradd", "-D", "-b", "/srv", mode=mode)
    assert outcome.status == 1
    assert outcome.stderr.startswith("useradd: cannot create") and outcome.stderr.count("\n") == 1
    assert os.listdir(base / "outside") == []


def test_an_absolute_link_is_the_roots_own(base: Path) -> None:
    root = base / "R"
    (root / "srv").mkdir()
    (root / "srv/defs").write_text("UID_MIN 3000\nCREATE_HOME no\n")
    (root / "etc/login.defs").unlink()
    (root / "etc/login.defs").symlink_to("/srv/defs")
    assert run(base, "useradd", "new").status == 0
    assert "\nnew:x:3000:" in (root / "etc/passwd").read_text()


@pytest.mark.parametrize("mode", (*MODES, "both"))
@pytest.mark.parametrize("link", ["private/etc", "/private/etc"])
def test_etc_may_be_a_link(base: Path, mode: str, link: str) -> None:
    root = base / "R"
    (root / "private").mkdir()
    (root / "etc").rename(root / "private/etc")
    (root / "etc").symlink_to(link)
    outcome = run(base, "useradd", "-M", "new", mode=mode)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert "\nnew:x:" in (root / "private/etc/passwd").read_text()
    assert run(base, "vipw", mode=mode).status == 0


@pytest.mark.parametrize("link", ["../share/base/passwd", "/usr/share/base/passwd"])
def test_an_account_file_of_the_image_may_be_a_link(base: Path, link: str) -> None:
    root = base / "R"
    (root / "usr/share/base").mkdir()
    (root / "usr/lib/passwd").rename(root / "usr/share/base/passwd")
    (root / "usr/lib/passwd").symlink_to(link)
    outcome = run(base, "usermod", "-c", "Vic", "victim")
    assert (outcome.status, outcome.stderr) == (0, "")
    assert "\nvictim:x:900:900:Vic:" in (root / "etc/passwd").read_text()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("etc/login.defs", "cannot open login definitions /etc/login.defs [{why}]"),
        ("etc/nsswitch.conf", "cannot read /etc/nsswitch.conf: {why}"),
        ("etc/accounts/accounts.conf", "cannot read /etc/accounts/accounts.conf: {why}"),
        ("usr/share/accounts/accounts.conf", "cannot read /usr/share/accounts/accounts.conf: {why}"),
        ("usr/share/accounts/ids", "cannot read /usr/share/accounts/ids: {why}"),
        ("etc/accounts/base", "cannot read /etc/accounts/base: {why}"),
        ("etc/passwd", "cannot open /etc/passwd"),
        ("usr/lib/passwd", "cannot open /usr/lib/passwd: {why}"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("other", "Is a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("fifo", "not a regular file"),
        ("device", "not a regular file"),
        ("sparse", "File too large"),
    ],
)
def test_only_what_is_not_there_is_not_there(base: Path, file: str, line: str, kind: str, why: str) -> None:
    roots.spoil(base / "R", base / "host", file, kind)
    outcome = run(base, "useradd", "new")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (1, "", f"useradd: {line.format(why=why)}\n")
    assert "new" not in (base / "R/etc/group").read_text()


@pytest.mark.parametrize(
    ("file", "link", "tool", "arguments", "status"),
    [
        # Links in place of local files: what shadow 4.13 does, tried tool by tool.
        ("passwd", "passwd.real", "useradd", ("new",), 1),
        ("passwd", "passwd.real", "userdel", ("bob",), 6),
        ("passwd", "passwd.real", "groupdel", ("empty",), 0),
        ("passwd", "passwd.real", "gpasswd", ("-a", "bob", "empty"), 0),
        ("passwd", "passwd.real", "passwd", ("-S", "bob"), 0),
        ("passwd", "passwd.real", "grpck", ("-s",), 0),
        ("passwd", "passwd", "usermod", ("-c", "x", "bob"), 6),
        ("group", "group.real", "groupadd", ("crew",), 10),
        ("group", "group.real", "pwconv", (), 0),
        ("group", "group", "groupdel", ("empty",), 6),
        ("gshadow", "gshadow.real", "gpasswd", ("-a", "bob", "empty"), 1),
        ("gshadow", "gshadow", "gpasswd", ("-a", "bob", "empty"), 0),
        ("gshadow", "gshadow", "groupmod", ("-n", "gang", "team"), 0),
        ("gshadow", "gshadow", "grpconv", (), 1),
        ("shadow", "shadow", "usermod", ("-c", "x", "bob"), 0),
        ("subuid", "subuid", "userdel", ("bob",), 0),
    ],
)
def test_local_files_that_are_links(
    base: Path, file: str, link: str, tool: str, arguments: tuple[str, ...], status: int
) -> None:
    root = base / "R"
    for name in ("passwd", "group", "shadow", "gshadow"):
        (root / "usr/lib" / name).unlink()
    path = root / "etc" / file
    path.rename(f"{path}.real")
    path.symlink_to(link)
    outcome = run(base, tool, *arguments)
    assert outcome.status == status, outcome
    assert path.is_symlink()


def test_defaults_that_cannot_be_read_are_left_out_with_a_line(base: Path) -> None:
    roots.spoil(base / "R", base / "host", "etc/default/useradd", "fifo")
    outcome = run(base, "useradd", "-M", "new")
    assert (outcome.status, outcome.stderr) == (0, "useradd: cannot read /etc/default/useradd: not a regular file\n")


def test_a_killed_commit_is_finished_before_grpck_reads_its_file(base: Path) -> None:
    etc = base / "R/etc"
    (etc / ".accounts.journal").write_bytes(b"")
    (etc / ".accounts.journal").chmod(0o600)
    (etc / ".accounts.1-1.0.new").write_bytes(b"left over")
    outcome = run(base, "grpck", "-s", "/etc/group")
    assert "removed the leftovers of a change" in outcome.stderr
    assert not [name for name in os.listdir(etc) if name.startswith(".accounts.")]
