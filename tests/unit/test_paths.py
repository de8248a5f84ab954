# SPDX-License-Identifier: MIT
"""Paths inside a root: links are resolved in it, and only where no ordinary user can have made them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from accounts.system.paths import open_beneath, open_parent, real_path, shown_path, split_path

ALICE = 1000


@pytest.fixture
def root(tmp_path: Path) -> int:
    """
    /etc/file            /var/home/alice/file       /home -> var/home         /abs -> /var/home
    /up -> ../../../etc  /loop -> loop              /mine/evil -> /etc made by alice in her directory
    /mine/good -> /etc made by root in alice's directory; /open (1777)/evil -> /etc made by alice
    """
    os.chmod(tmp_path, 0o755)
    for directory in ("etc", "var/home/alice", "mine", "open"):
        (tmp_path / directory).mkdir(parents=True)
    for file in ("etc/file", "var/home/alice/file"):
        (tmp_path / file).write_text(file)
    for link, target in (
        ("home", "var/home"), ("abs", "/var/home"), ("up", "../../../etc"), ("loop", "loop"),
        ("mine/evil", "/etc"), ("mine/good", "/etc"), ("open/evil", "/etc"), ("etc/link", "file"),
        ("var/home/alice/dots", "../alice/./file"),
    ):  # fmt: skip
        (tmp_path / link).symlink_to(target)
    os.chown(tmp_path / "mine", ALICE, ALICE)
    os.chmod(tmp_path / "open", 0o1777)
    for link in ("mine/evil", "open/evil"):
        os.lchown(tmp_path / link, ALICE, ALICE)
    # A link in a directory that only root writes is trusted, whoever owns the link itself.
    os.lchown(tmp_path / "abs", ALICE, ALICE)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/etc/file", b"etc/file"),
        (b"//etc/.//file", b"etc/file"),
        (b"/etc/link", b"etc/file"),
        (b"/home/alice/file", b"var/home/alice/file"),
        (b"/abs/alice/file", b"var/home/alice/file"),
        (b"/home/alice/dots", b"var/home/alice/file"),
        (b"/up/file", b"etc/file"),
        (b"/../../../../etc/file", b"etc/file"),
        (b"/home/../../etc/file", b"etc/file"),
        (b"/mine/good/file", b"etc/file"),
    ],
)
def test_resolves_as_if_the_root_were_the_only_one(root: int, path: bytes, found: bytes) -> None:
    fd = open_beneath(root, path, os.O_RDONLY)
    assert os.read(fd, 100) == found
    assert os.get_inheritable(fd) is False
    os.close(fd)
    assert real_path(root, path) == b"/" + found


@pytest.mark.parametrize(
    ("path", "flags", "number"),
    [
        (b"/mine/evil/file", os.O_RDONLY, errno.EACCES),
        (b"/mine/evil", os.O_RDONLY, errno.EACCES),
        (b"/open/evil/file", os.O_RDONLY, errno.EACCES),
        (b"/loop/file", os.O_RDONLY, errno.ELOOP),
        (b"/loop", os.O_RDONLY, errno.ELOOP),
        (b"/etc/link", os.O_RDONLY | os.O_NOFOLLOW, errno.ELOOP),
        (b"/etc/link", os.O_WRONLY | os.O_CREAT | os.O_EXCL, errno.EEXIST),
        (b"/etc/file/x", os.O_RDONLY, errno.ENOTDIR),
        (b"/etc/none", os.O_RDONLY, errno.ENOENT),
        (b"/none/none", os.O_RDONLY, errno.ENOENT),
        (b"etc/file", os.O_RDONLY, errno.ENOENT),
        (b"", os.O_RDONLY, errno.ENOENT),
        (b"/" + b"n" * 300, os.O_RDONLY, errno.ENAMETOOLONG),
    ],
)
def test_refuses(root: int, path: bytes, flags: int, number: int) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError) as caught:
        open_beneath(root, path, flags)
    assert caught.value.errno == number
    assert sorted(os.listdir("/proc/self/fd")) == before, "a descriptor leaked"


def test_the_root_itself_opens(root: int) -> None:
    for path in (b"/", b"//", b"/..", b"/etc/.."):
        fd = open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY)
        assert os.path.samestat(os.fstat(fd), os.fstat(root))
        os.close(fd)
        assert real_path(root, path) == b"/"


def test_creates_through_trusted_links_only(root: int, tmp_path: Path) -> None:
    os.close(open_beneath(root, b"/home/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
    assert (tmp_path / "var/home/new").stat().st_mode & 0o777 == 0o640
    with pytest.raises(PermissionError):
        open_beneath(root, b"/mine/evil/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    assert not (tmp_path / "etc/new").exists()


def test_open_parent_names_what_need_not_exist(root: int) -> None:
    parent, name = open_parent(root, b"/home/new//")
    assert name == b"new"
    assert os.listdir(f"/proc/self/fd/{parent}") == ["alice"]
    os.close(parent)
    # A link in the last place stays a name.
    parent, name = open_parent(root, b"/mine/evil")
    assert (name, os.readlink(name, dir_fd=parent)) == (b"evil", b"/etc")
    os.close(parent)
    for path in (b"/", b"//", b"/home/.."):
        with pytest.raises(OSError) as caught:
            open_parent(root, path)
        assert caught.value.errno == errno.EINVAL


def test_shown_and_split() -> None:
    assert shown_path(b"/home/a") == "/home/a"
    assert shown_path(b"/home/a", b"/R") == "/R//home/a"
    assert os.fsencode(shown_path(b"/h\xff")) == b"/h\xff"
    assert split_path(b"/a//./b/../c/") == [b"a", b"b", b"..", b"c"]
