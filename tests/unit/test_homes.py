# SPDX-License-Identifier: MIT
"""Homes and mail spools: what shadow does and says, and what a hostile user cannot make of it."""

from __future__ import annotations

import errno
import os
import posix
import random
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.errors import HomeError
from accounts.system import commands, copies, homes, hometree, loginrecords, mail
from accounts.system.copies import Copy
from accounts.system.hometree import KEEP, Ids, chown_tree, remove_tree
from tests.support.namespace import TOP, run_in_namespace

ALICE = 31001
BOB = 31002
GROUP = 31100
OTHERS = [(b"root", b"/root"), (b"nobody", b"/nonexistent"), (b"empty", b""), (b"daemon", b"/usr/sbin")]


class Place:
    """A root directory in a temporary directory, and what was warned of and said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.chmod(path, 0o755)
        for directory in ("etc/skel", "home", "usr/sbin", "var/mail", "var/log", "root"):
            (path / directory).mkdir(parents=True)
            os.chmod(path / directory, 0o755)
        os.chown(path / "var/mail", 0, 8)
        os.chmod(path / "var/mail", 0o2775)
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.warnings: list[str] = []
        self.said: list[str] = []
        self.warn = self.warnings.append
        self.say = self.said.append

    def make(self, name: str, uid: int = ALICE, gid: int = GROUP, mode: int = 0o755) -> Path:
        """A directory, or a file when the name ends in a file's text after "="."""
        name, equals, text = name.partition("=")
        path = self.path / name
        if equals:
            path.write_text(text)
        else:
            path.mkdir(exist_ok=True)
        os.chown(path, uid, gid)
        os.chmod(path, mode)
        return path

    def link(self, name: str, target: str, uid: int = ALICE) -> Path:
        path = self.path / name
        path.symlink_to(target)
        os.lchown(path, uid, uid)
        return path

    def list(self, name: str) -> dict[str, tuple[str, int, int]]:
        """{relative path: (mode as ls shows it, uid, gid)} of a tree, links not followed."""
        top = self.path / name
        found = {}
        for path in [top, *top.rglob("*")]:
            status = path.lstat()
            found[str(path.relative_to(top))] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    before = len(os.listdir("/proc/self/fd"))
    made = Place(tmp_path)
    yield made
    os.close(made.fd)
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor leaked"


@pytest.fixture(params=[0o022, 0o777, 0])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    old = os.umask(request.param)
    yield request.param
    os.umask(old)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory on another file system than tmp_path."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm"))
    assert path.stat().st_dev != Path(tempfile.gettempdir()).stat().st_dev
    yield path
    shutil.rmtree(path)


def create(place: Place, home: bytes = b"/home/alice", mode: int = 0o750, **options: object) -> bool:
    return homes.create_home(
        place.fd,
        home,
        (ALICE, GROUP),
        mode,
        (b"/etc/skel",),
        place.warn,
        **options,  # type: ignore[arg-type]
    )


def remove(
    place: Place,
    home: bytes = b"/home/alice",
    others: list[tuple[bytes, bytes]] | None = None,
    **options: bytes,
) -> bool:
    return homes.remove_home(
        place.fd, home, ALICE, b"alice", OTHERS if others is None else others, place.warn, **options
    )


def move(place: Place, old: bytes, new: bytes, ids: Ids | None = None, **options: bytes) -> None:
    ids = ids or Ids(ALICE, KEEP, GROUP, KEEP)
    homes.move_home(place.fd, old, new, ids, place.warn, **options)


# Create


def test_create_home_with_skel_whatever_the_umask(place: Place, umask: int) -> None:
    place.make("etc/skel/.profile=x", 0, 0, 0o644)
    place.make("etc/skel/bin", 0, 0, 0o2711)
    place.make("etc/skel/bin/tool=#!", 0, 0, 0o4755)
    os.utime(place.path / "etc/skel/.profile", (1000, 2000))
    os.utime(place.path / "etc/skel/bin", (3000, 4000))
    assert create(place, b"/new/parent//alice/") is True
    assert place.list("new") == {
        ".": ("drwxr-xr-x", 0, 0),
        "parent": ("drwxr-xr-x", 0, 0),
        "parent/alice": ("drwxr-x---", ALICE, GROUP),
        "parent/alice/.profile": ("-rw-r--r--", ALICE, GROUP),
        "parent/alice/bin": ("drwx--s--x", ALICE, GROUP),
        "parent/alice/bin/tool": ("-rwsr-xr-x", ALICE, GROUP),
    }
    home = place.path / "new/parent/alice"
    assert (home / ".profile").stat().st_mtime == 2000
    assert (home / "bin").stat().st_mtime == 4000
    assert (home / "bin/tool").read_text() == "#!"
    assert place.warnings == []


def test_create_home_that_is_there_is_left_alone(place: Place) -> None:
    place.make("etc/skel/.profile=x", 0, 0)
    place.make("home/alice", BOB)
    assert create(place, prefix=b"/R") is False
    assert place.list("home/alice") == {".": ("drwxr-xr-x", BOB, GROUP)}
    assert place.warnings == [
        "warning: the home directory /home/alice already exists.",
        "Not copying any file from skel directory into it.",
    ]


@pytest.mark.parametrize("home", [b"/", b"//", b"/home/../", b"/home/."])
def test_create_home_never_takes_a_directory_that_exists(place: Place, home: bytes) -> None:
    before = place.list(".")
    assert create(place, home) is False
    assert place.list(".") == before


def test_create_home_behind_a_link_of_the_distribution(place: Place) -> None:
    (place.path / "home").rmdir()
    place.make("var/home", 0, 0)
    place.link("home", "var/home", uid=0)
    assert create(place) is True
    assert place.list("var/home")["alice"] == ("drwxr-x---", ALICE, GROUP)


@pytest.mark.parametrize("target", ["/etc", "/nonexistent/alice", "../etc/skel"])
def test_create_home_does_not_follow_a_planted_link(place: Place, target: str) -> None:
    os.chmod(place.path / "home", 0o1777)
    place.link("home/alice", target, uid=BOB)
    before = place.list(".")
    with pytest.raises(HomeError, match=r"^cannot create directory /home/alice$"):
        create(place)
    assert place.list(".") == before


def test_create_home_names_the_part_that_fails_as_shadow_does(place: Place) -> None:
    place.make("file=x")
    with pytest.raises(HomeError, match=r"^cannot create directory /R/file/sub$"):
        create(place, b"/file//sub/alice", prefix=b"/R/")


def test_create_home_without_skel_is_silent(place: Place) -> None:
    (place.path / "etc/skel").rmdir()
    assert create(place) is True
    assert place.list("home/alice") == {".": ("drwxr-x---", ALICE, GROUP)}
    assert place.warnings == []


def test_create_home_without_btrfs_says_so(place: Place) -> None:
    with pytest.raises(HomeError, match=r'^home directory "/home/alice" must be mounted on BTRFS$'):
        create(place, subvolume="yes")
    assert os.listdir(place.path / "home") == []


@pytest.mark.skipif("btrfs" not in Path("/proc/filesystems").read_text(), reason="a kernel without btrfs")
def test_homes_that_are_btrfs_subvolumes() -> None:
    out = run_in_namespace(
        """
        import os, subprocess, tempfile
        root = tempfile.mkdtemp()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", root], check=True)
        os.makedirs(root + "/home")
        os.makedirs(root + "/etc/skel")
        open(root + "/etc/skel/file", "w").close()
        subprocess.run(["truncate", "-s", "200M", root + "/image"], check=True)
        subprocess.run(["mkfs.btrfs", "-q", root + "/image"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mount", "-o", "loop", root + "/image", root + "/home"], check=True)
        from accounts.system import homes, hometree
        fd = os.open(root, os.O_RDONLY)
        lines = []
        homes.create_home(fd, b"/home/a", (5, 6), 0o710, (b"/etc/skel",), lines.append, subvolume="yes")
        made = os.stat(root + "/home/a")
        print(made.st_ino, made.st_uid, made.st_gid, oct(made.st_mode), os.listdir(root + "/home/a"), lines)
        try:
            homes.move_home(fd, b"/home/a", b"/a", hometree.Ids(5, -1, 6, -1), lines.append)
        except homes.HomeError as error:
            print(error.message)
        homes.move_home(fd, b"/home/a", b"/home/b", hometree.Ids(5, -1, 6, -1), lines.append)
        homes.create_home(fd, b"/home/b/inner", (5, 6), 0o710, (b"/etc/skel",), lines.append, subvolume="yes")
        print(homes.remove_home(fd, b"/home/b", 5, b"a", [], lines.append), os.listdir(root + "/home"), lines)
        """
    )
    assert out == (
        "256 5 6 0o40710 ['file'] []\nerror: cannot move subvolume from /home/a to /a - different device\nTrue [] []\n"
    )


def test_full_disk_leaves_the_home_and_says_so() -> None:
    out = run_in_namespace(
        """
        import os, subprocess, tempfile
        root = tempfile.mkdtemp()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "none", root], check=True)
        from accounts.system import homes, hometree
        for name in ("etc/skel", "home"):
            os.makedirs(root + "/" + name)
        open(root + "/etc/skel/big", "wb").write(b"x" * 700000)
        fd = os.open(root, os.O_RDONLY)
        lines = []
        print(homes.create_home(fd, b"/home/a", (5, 5), 0o700, (b"/etc/skel",), lines.append), lines)
        print(os.stat(root + "/home/a").st_uid)
        os.unlink(root + "/home/a/big")
        # To another file system that is full: the old home stays, nothing is left of the new one.
        os.mkdir(root + "/srv")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", root + "/srv"], check=True)
        os.makedirs(root + "/home/b/deep/er")
        open(root + "/home/b/deep/er/big", "wb").write(b"x" * 200000)
        lines = []
        try:
            homes.move_home(fd, b"/home/b", b"/srv/b", hometree.Ids(0, 7, 0, 7), lines.append)
        except homes.HomeError as error:
            print(error.message, lines)
        print(os.listdir(root + "/srv"), os.stat(root + "/home/b/deep/er/big").st_size)
        """
    )
    assert out == (
        "True ['warning: cannot copy /etc/skel to /home/a: No space left on device']\n5\n"
        "cannot rename directory /home/b to /srv/b "
        "['warning: /srv/b: No space left on device']\n[] 200000\n"
    )


def test_make_home_as_newusers(place: Place) -> None:
    homes.make_home(place.fd, b"/home/n", ALICE, GROUP, 0o700)
    assert place.list("home/n") == {".": ("drwx------", ALICE, GROUP)}
    with pytest.raises(FileExistsError):
        homes.make_home(place.fd, b"/home/n", ALICE, GROUP, 0o700)
    with pytest.raises(FileNotFoundError):
        homes.make_home(place.fd, b"/none/n", ALICE, GROUP, 0o700)


# Copy


def copy(place: Place, ids: Ids | None = None, source: str = "etc/skel", target: str = "home/new") -> None:
    place.make(target, 0, 0, 0o700)
    reader, writer = (os.open(place.path / name, os.O_RDONLY) for name in (source, target))
    try:
        paths = (b"/" + source.encode(), b"/" + target.encode())
        Copy(ids or Ids(KEEP, ALICE, KEEP, GROUP), *paths, place.warn).fill(reader, writer)
    finally:
        os.close(reader)
        os.close(writer)


def test_copy_keeps_kinds_links_and_names(place: Place) -> None:
    skel = place.path / "etc/skel"
    os.mkfifo(skel / "fifo")
    os.mknod(skel / "null", stat.S_IFCHR, os.makedev(1, 3))
    os.chmod(skel / "fifo", 0o620)
    os.chmod(skel / "null", 0o666)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(skel / "socket"))
    raw = b"\xff\xfe \n\t-rf"
    (Path(os.fsdecode(os.fsencode(skel) + b"/" + raw))).write_bytes(raw)
    for name, target in (
        ("inside", "/etc/skel/fifo"), ("itself", "/etc/skel"), ("beside", "/etc/skel2/x"),
        ("relative", "../skel/fifo"), ("dangling", "/nowhere"),
    ):  # fmt: skip
        place.link(f"etc/skel/{name}", target, uid=0)
    os.utime(skel / "inside", (5, 6), follow_symlinks=False)
    (skel / "one").write_text("same")
    (skel / "sub").mkdir()
    os.link(skel / "one", skel / "sub/two")
    os.link(skel / "one", skel / "zero")
    copy(place)
    new = place.path / "home/new"
    assert {path.name: os.readlink(path) for path in new.iterdir() if path.is_symlink()} == {
        "inside": "/home/new/fifo", "itself": "/home/new", "beside": "/etc/skel2/x",
        "relative": "../skel/fifo", "dangling": "/nowhere",
    }  # fmt: skip
    assert (new / "inside").lstat().st_mtime == 6
    modes = {name: entry[0] for name, entry in place.list("home/new").items()}
    assert (modes["fifo"], modes["null"], modes["socket"][0]) == ("prw--w----", "crw-rw-rw-", "s")
    assert (new / "null").stat().st_rdev == os.makedev(1, 3)
    assert (new / "one").samefile(new / "sub/two") and (new / "one").samefile(new / "zero")
    assert (new / "one").stat().st_nlink == 3
    assert (Path(os.fsdecode(os.fsencode(new) + b"/" + raw))).read_bytes() == raw
    assert {entry[1:] for name, entry in place.list("home/new").items() if name != "."} == {(ALICE, GROUP)}


def test_copy_changes_only_the_owners_it_is_asked_to(place: Place) -> None:
    place.make("etc/skel/mine=", ALICE, GROUP)
    place.make("etc/skel/his=", BOB, GROUP)
    place.make("etc/skel/group=", ALICE, BOB)
    copy(place, Ids(ALICE, 7, GROUP, KEEP))
    listed = place.list("home/new")
    assert {name: listed[name][1:] for name in ("mine", "his", "group")} == {
        "mine": (7, GROUP), "his": (BOB, GROUP), "group": (7, BOB),
    }  # fmt: skip


def test_copy_keeps_acls_and_user_attributes_but_no_capabilities(place: Place) -> None:
    file = place.make("etc/skel/file=x", 0, 0, 0o640)
    acl = bytes.fromhex("0200000001000600ffffffff02000600d204000004000400ffffffff10000600ffffffff20000000ffffffff")
    os.setxattr(file, "system.posix_acl_access", acl)
    os.setxattr(file, "user.note", b"hello")
    os.setxattr(file, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    copy(place)
    new = place.path / "home/new/file"
    assert os.getxattr(new, "system.posix_acl_access") == acl
    assert sorted(os.listxattr(new)) == ["system.posix_acl_access", "user.note"]


def test_copy_overwrites_nothing_and_follows_nothing_in_the_target(place: Place) -> None:
    victim = place.make("etc/victim=precious", 0, 0)
    for name in ("a", "b"):
        place.make(f"etc/skel/{name}=planted", 0, 0)
    place.make("home/new", 0, 0, 0o700)
    place.link("home/new/a", "/etc/victim")
    place.link("home/new/b", str(victim))
    with pytest.raises(FileExistsError):
        copy(place)
    assert victim.read_text() == "precious"
    place.make("etc/skel2", 0, 0)
    place.make("etc/skel2/sub", 0, 0)
    place.make("etc/skel2/sub/shadow=planted", 0, 0)
    place.make("home/new2", 0, 0)
    place.link("home/new2/sub", str(place.path / "etc"))
    with pytest.raises(FileExistsError):
        copy(place, source="etc/skel2", target="home/new2")
    assert not (place.path / "etc/shadow").exists()


def test_copy_of_a_sparse_file_stays_sparse(place: Place) -> None:
    with open(place.path / "etc/skel/sparse", "wb") as file:
        file.write(b"head")
        file.seek(1 << 30)
        file.write(b"tail")
        file.truncate((1 << 30) + 100000)
    copy(place)
    new = place.path / "home/new/sparse"
    assert new.stat().st_size == (1 << 30) + 100000
    assert new.stat().st_blocks * 512 < 1 << 20
    with open(new, "rb") as file:
        assert file.read(5) == b"head\0"
        file.seek(1 << 30)
        assert file.read() == b"tail" + bytes(100000 - 4)


def make_deep(top: Path, levels: int) -> None:
    """top with so many directories in one another; a path that long has no name."""
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("directory", dir_fd=fd)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        below = os.open("directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def test_what_mount_options_kept_dead_does_not_come_alive_in_a_home_that_moves() -> None:
    out = run_in_namespace(
        """
        import os, stat, subprocess, tempfile
        root = tempfile.mkdtemp()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", root], check=True)
        from accounts.system import homes, hometree
        os.mkdir(root + "/home")
        options = "nosuid,nodev,mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", root + "/home"], check=True)
        home = root + "/home/a"
        os.mkdir(home)
        # name: owner, group, mode; the user is 1000:1000 and becomes 1001.
        files = [("mine", 1000, 1000, 0o6755), ("roots", 0, 0, 0o4755), ("shadows", 1000, 42, 0o2755)]
        for name, uid, gid, mode in [*files, ("plain", 0, 0, 0o755)]:
            open(f"{home}/{name}", "w").close()
            os.chown(f"{home}/{name}", uid, gid)
            os.chmod(f"{home}/{name}", mode)
        os.mkdir(home + "/d")
        os.chmod(home + "/d", 0o2755)
        os.mknod(home + "/d/mem", stat.S_IFCHR | 0o666, os.makedev(1, 1))
        os.mkfifo(home + "/fifo")
        fd = os.open(root, os.O_RDONLY)
        lines = []
        homes.move_home(fd, b"/home/a", b"/a", hometree.Ids(1000, 1001, 1000, -1), lines.append)
        for directory, _, names in os.walk(root + "/a"):
            for name in sorted(names):
                status = os.stat(f"{directory}/{name}")
                print(name, stat.filemode(status.st_mode), status.st_uid, status.st_gid)
        print(stat.filemode(os.stat(root + "/a/d").st_mode))
        print(*sorted(lines), sep="\\n")
        # Back to where they are dead: nothing has to be dropped.
        os.chmod(root + "/a/roots", 0o4755)
        lines.clear()
        homes.move_home(fd, b"/a", b"/home/a", hometree.Ids(1001, -1, 1000, -1), lines.append)
        print(stat.filemode(os.stat(home + "/roots").st_mode), lines)
        """
    )
    assert out.splitlines() == [
        "fifo prw-r--r-- 0 0",
        "mine -rwsr-sr-x 1001 1000",
        "plain -rwxr-xr-x 0 0",
        "roots -rwxr-xr-x 0 0",
        "shadows -rwxr-xr-x 1001 42",
        "drwxr-sr-x",
        "warning: /home/a/d/mem not copied: its file system does not allow device nodes",
        "warning: /home/a/roots copied without its set-id bits: its file system does not honour them",
        "warning: /home/a/shadows copied without its set-id bits: its file system does not honour them",
        "-rwsr-xr-x []",
    ]


def test_a_lease_of_the_owner_is_waited_for(place: Place) -> None:
    """Root's open(2) of a file that somebody holds a write lease on fails at once, until the lease is given up."""
    place.make("etc/skel/leased=text", 0, 0)
    code = """
import fcntl, os, signal, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
asked = []
signal.signal(signal.SIGIO, lambda *_: asked.append(1))
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
while not asked:
    time.sleep(0.01)
time.sleep(0.2)
print("asked", flush=True)
"""
    command = [sys.executable, "-c", code, str(place.path / "etc/skel/leased")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        copy(place)
        assert holder.stdout.readline() == "asked\n"
    assert (place.path / "home/new/leased").read_text() == "text"


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 << 20])
def test_a_file_system_that_refuses_sendfile_and_holes_is_read_and_written(
    place: Place, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    text = random.Random(size).randbytes(size)
    (place.path / "etc/skel/file").write_bytes(text)
    (place.path / "etc/skel/sparse").write_bytes(text[:4096] + bytes(100_000))
    for name in ("sendfile", "lseek", "ftruncate"):
        monkeypatch.setattr(copies.posix, name, refuse)
    copy(place)
    assert (place.path / "home/new/file").read_bytes() == text
    assert (place.path / "home/new/sparse").read_bytes() == text[:4096] + bytes(100_000)


def test_trees_of_any_depth_need_one_descriptor(place: Place) -> None:
    make_deep(place.path / "etc/skel/deep", 3000)
    copy(place)
    home = os.open(place.path / "home", os.O_RDONLY)
    skel = os.open(place.path / "etc", os.O_RDONLY)
    try:
        chown_tree(home, b"new", Ids(ALICE, BOB, KEEP, KEEP))
        out = subprocess.run(
            ["find", place.path / "home/new", "-printf", "%U\n"], capture_output=True, text=True, check=True
        ).stdout.split()
        assert (len(out), out.count(str(BOB))) == (6002, 6001)
        remove_tree(home, b"new")
        remove_tree(skel, b"skel")
    finally:
        os.close(home)
        os.close(skel)
    assert os.listdir(place.path / "home") == []


# Move


def fill_home(place: Place, name: str = "home/alice") -> None:
    place.make(name)
    place.make(f"{name}/mine=1")
    place.make(f"{name}/groot=2", ALICE, 0)
    place.make(f"{name}/uroot=3", 0, GROUP)
    place.make(f"{name}/sub", BOB, BOB)
    place.make(f"{name}/sub/deep=4", ALICE, BOB)
    place.link(f"{name}/link", f"/{name}/mine")


MOVED = {
    ".": ("drwxr-xr-x", 7, 8),
    "mine": ("-rwxr-xr-x", 7, 8),
    "groot": ("-rwxr-xr-x", 7, 0),
    "uroot": ("-rwxr-xr-x", 0, 8),
    "sub": ("drwxr-xr-x", BOB, BOB),
    "sub/deep": ("-rwxr-xr-x", 7, BOB),
    "link": ("lrwxrwxrwx", 7, ALICE),
}


def test_move_home_renames_and_changes_owners(place: Place) -> None:
    fill_home(place)
    inode = (place.path / "home/alice").stat().st_ino
    move(place, b"/home/alice", b"/home/new/", Ids(ALICE, 7, GROUP, 8))
    assert place.list("home/new") == MOVED
    assert (place.path / "home/new").stat().st_ino == inode
    assert os.listdir(place.path / "home") == ["new"]


def test_move_home_to_another_file_system(place: Place, elsewhere: Path, umask: int) -> None:
    fill_home(place)
    old = os.fsencode(place.path / "home/alice")
    new = os.fsencode(elsewhere / "new")
    os.unlink(old + b"/link")
    os.symlink(old + b"/mine", old + b"/link")
    os.lchown(old + b"/link", ALICE, ALICE)
    os.utime(old, (1, 2))
    root = os.open("/", os.O_RDONLY)
    try:
        homes.move_home(root, old, new, Ids(ALICE, 7, GROUP, 8), place.warn)
    finally:
        os.close(root)
    moved = Place.list(place, str(elsewhere / "new"))
    assert moved == MOVED
    assert os.readlink(new + b"/link") == new + b"/mine"
    assert os.stat(new).st_mtime == 2
    assert os.listdir(place.path / "home") == [] and place.warnings == []


def test_move_home_failures_in_shadows_words(place: Place) -> None:
    fill_home(place)
    place.make("home/taken")
    place.make("home/file=x")
    before = place.list(".")
    for old, new, message in (
        (b"/home/alice", b"/home/taken", "directory /home/taken exists"),
        (b"/home/alice", b"/", "directory / exists"),
        (
            b"/home/file", b"/home/x",
            "The previous home directory (/home/file) was not a directory. It is not removed and no home "
            "directories are created.",
        ),
        (b"/home/alice", b"/none/x", "cannot rename directory /R//home/alice to /R//none/x"),
        (b"/home/alice", b"/home/alice/x", "cannot rename directory /R//home/alice to /R//home/alice/x"),
        (b"/", b"/x", "cannot rename directory /R// to /R//x"),
        (b"/usr/sbin", b"/x", "cannot rename directory /R//usr/sbin to /R//x"),
    ):  # fmt: skip
        with pytest.raises(HomeError) as caught:
            move(place, old, new, prefix=b"/R")
        assert caught.value.message == message
    assert place.list(".") == before
    assert place.warnings == []
    for absent in (b"", b"/home/none", b"relative"):
        move(place, absent, b"/home/x")
        assert place.warnings.pop() == (
            f"The previous home directory ({absent.decode()}) does not exist or is inaccessible. "
            "Move cannot be completed."
        )
    assert place.list(".") == before


def test_move_home_of_a_file_system_that_another_is_mounted_in_keeps_it_whole() -> None:
    out = run_in_namespace(
        """
        import os, subprocess, tempfile
        root = tempfile.mkdtemp()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", root], check=True)
        from accounts.system import homes, hometree
        for name in ("home/a/bind", "home/a/fs", "data", "srv"):
            os.makedirs(root + "/" + name)
        open(root + "/data/precious", "w").write("x")
        open(root + "/home/a/own", "w").write("x")
        subprocess.run(["mount", "--bind", root + "/data", root + "/home/a/bind"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", root + "/home/a/fs"], check=True)
        open(root + "/home/a/fs/precious", "w").write("x")
        fd = os.open(root, os.O_RDONLY)
        lines = []
        print(homes.remove_home(fd, b"/home/a", 0, b"a", [], lines.append), lines)
        print(*(sorted(os.listdir(root + name)) for name in ("/data", "/home/a/fs", "/home/a")))
        """
    )
    assert out == ("False ['error removing directory /home/a']\n['precious'] ['precious'] ['bind', 'fs']\n")


def test_move_home_that_is_a_link_moves_the_link_and_never_changes_owners_behind_it(place: Place) -> None:
    fill_home(place, "root/real")
    before = place.list("root/real")
    place.link("home/alice", "/root/real", uid=0)
    move(place, b"/home/alice", b"/home/new")
    assert os.readlink(place.path / "home/new") == "/root/real"
    with pytest.raises(HomeError, match=r"^Failed to change ownership of the home directory$"):
        move(place, b"/home/new", b"/home/newer", Ids(ALICE, 7, GROUP, 8))
    assert place.list("root/real") == before


# Owners


def test_chown_home_as_usermod_u(place: Place) -> None:
    fill_home(place)
    homes.chown_home(place.fd, b"/home/alice", Ids(ALICE, 7, GROUP, 8))
    assert place.list("home/alice") == MOVED
    # The home is the new uid's already: files that still have the old one are found all the same.
    place.make("home/alice/late=")
    homes.chown_home(place.fd, b"/home/alice", Ids(ALICE, 7, GROUP, KEEP))
    assert place.list("home/alice")["late"][1] == 7


@pytest.mark.parametrize("home", [b"/home/none", b"", b"/home/bob", b"/"])
def test_chown_home_leaves_a_home_that_is_not_the_users(place: Place, home: bytes) -> None:
    place.make("home/bob", BOB)
    place.make("home/bob/file=", ALICE)
    before = place.list(".")
    homes.chown_home(place.fd, home, Ids(ALICE, 7, GROUP, 8))
    assert place.list(".") == before


def test_chown_home_never_follows_a_link(place: Place) -> None:
    target = place.make("etc/of-alice", ALICE)
    victim = place.make("etc/victim=", ALICE)
    place.make("home/alice")
    place.link("home/alice/link", str(victim))
    homes.chown_home(place.fd, b"/home/alice", Ids(ALICE, 7, KEEP, KEEP))
    assert (victim.stat().st_uid, (place.path / "home/alice/link").lstat().st_uid) == (ALICE, 7)
    place.link("home/link", "/etc/of-alice", uid=0)
    with pytest.raises(HomeError, match=r"^Failed to change ownership of the home directory$"):
        homes.chown_home(place.fd, b"/home/link", Ids(ALICE, 7, KEEP, KEEP))
    assert target.stat().st_uid == ALICE


def test_chown_of_root_with_home_slash_changes_nothing(place: Place) -> None:
    before = place.list(".")
    with pytest.raises(HomeError):
        homes.chown_home(place.fd, b"/", Ids(0, 7, KEEP, KEEP))
    assert place.list(".") == before


def test_chown_changes_the_file_it_has_checked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user puts a hard link to root's file in place of his own between the check and the change."""
    victim = place.make("etc/shadow=secret", 0, 0, 0o600)
    place.make("home/alice")
    place.make("home/alice/file=")
    real = hometree._chown_entry

    def swap(directory: int, entry: str, ids: Ids) -> None:
        os.unlink(entry, dir_fd=directory)
        os.link(victim, entry, dst_dir_fd=directory)
        real(directory, entry, ids)

    monkeypatch.setattr(hometree, "_chown_entry", swap)
    homes.chown_home(place.fd, b"/home/alice", Ids(ALICE, 7, KEEP, KEEP))
    assert victim.stat().st_uid == 0
    assert (place.path / "home/alice/file").samefile(victim)


# Remove


def test_remove_home(place: Place) -> None:
    fill_home(place)
    victim = place.make("etc/victim=precious", 0, 0)
    place.link("home/alice/up", "../../etc")
    place.link("home/alice/abs", str(victim))
    os.mkfifo(place.path / "home/alice/fifo")
    os.mknod(place.path / "home/alice/zero", stat.S_IFCHR, os.makedev(1, 5))
    os.mkdir(os.fsencode(place.path / "home/alice/\udcff\n *"))
    os.chmod(place.path / "home/alice/sub", 0)
    assert remove(place, b"/home//alice/") is True
    assert os.listdir(place.path / "home") == []
    assert victim.read_text() == "precious"
    assert place.warnings == []


@pytest.mark.parametrize("home", [b"/home/none", b"", b"relative", b"/etc/file/x", b"/home/dangling"])
def test_remove_home_that_is_not_there(place: Place, home: bytes) -> None:
    place.make("etc/file=x")
    place.link("home/dangling", "/nowhere", uid=0)
    assert remove(place, home, prefix=b"/R") is True
    assert place.warnings == [f"alice home directory (/R/{home.decode()}) not found"]


# name: (home, who else has which home, the line)
KEPT = {
    "slash": (b"/", [], "not removing directory / (it belongs to the system)"),
    "slashes": (b"//", [], "not removing directory // (it belongs to the system)"),
    "dots": (b"/home/../", [], "not removing directory /home/../ (it belongs to the system)"),
    "above the root": (b"/../..", [], "not removing directory /../.. (it belongs to the system)"),
    "home": (b"/home", [], "not removing directory /home (it belongs to the system)"),
    "sbin": (b"/usr/sbin", [], "not removing directory /usr/sbin (it belongs to the system)"),
    "sbin by a link": (b"/sbin", [], "not removing directory /sbin (it belongs to the system)"),
    "not the user's": (b"/home/bob", [], "/home/bob not owned by alice, not removing"),
    "shared": (
        b"/home/alice", [(b"bob", b"/home/alice")],
        "not removing directory /home/alice (would remove home of user bob)",
    ),
    "shared, spelt otherwise": (
        b"/home/alice", [(b"bob", b"/home//./alice/sub/../")],
        "not removing directory /home/alice (would remove home of user bob)",
    ),
    "holds another": (
        b"/home/alice", [(b"web", b"/home/alice/www")],
        "not removing directory /home/alice (would remove home of user web)",
    ),
    "shared behind a link": (
        b"/home/alice", [(b"bob", b"/homes/alice")],
        "not removing directory /home/alice (would remove home of user bob)",
    ),
    "holds another behind a link": (
        b"/homes/alice/", [(b"bob", b"/home/alice/gone/x")],
        "not removing directory /homes/alice/ (would remove home of user bob)",
    ),
    "another's link": (
        b"/home/alice", [(b"bob", b"/home/to-alice")],
        "not removing directory /home/alice (would remove home of user bob)",
    ),
    "a link of root's": (b"/home/to-alice", [], "error removing directory /home/to-alice"),
    "a link of the user's": (
        b"/home/alice/evil/x", [], "/home/alice/evil/x not owned by alice, not removing",
    ),
    "a file": (b"/home/alice/mine", [], "error removing directory /home/alice/mine"),
}  # fmt: skip


@pytest.mark.parametrize("case", KEPT)
def test_remove_home_keeps(place: Place, case: str) -> None:
    home, others, line = KEPT[case]
    fill_home(place)
    place.make("home/bob", BOB)
    place.make("home/alice/www")
    place.make("etc/x")
    place.link("home/alice/evil", "/etc")
    place.link("homes", "home", uid=0)
    place.link("sbin", "usr/sbin", uid=0)
    # Relative, so that stat(2) stays in this root.
    place.link("home/to-alice", "alice", uid=0)
    for directory in (".", "home", "usr/sbin"):
        os.chown(place.path / directory, ALICE, GROUP)
    if case.startswith("a link") or "behind" in case:
        for directory in (".", "home"):
            os.chown(place.path / directory, 0, 0)
    before = place.list(".")
    assert remove(place, home, others=[*OTHERS, *others]) is False
    assert place.warnings == [line]
    assert place.list(".") == before


def test_remove_home_beside_and_inside_those_of_others(place: Place) -> None:
    place.make("home/bob", BOB)
    place.make("home/bob/alice")
    others = [(b"bob", b"/home/bob"), (b"ali", b"/home/bob/alice2"), (b"slash", b"/")]
    assert remove(place, b"/home/bob/alice", others) is True
    assert place.list("home/bob") == {".": ("drwxr-xr-x", BOB, GROUP)}


def test_remove_home_goes_on_after_a_file_that_cannot_be_removed(place: Place) -> None:
    fill_home(place)
    fixed = place.make("home/alice/sub/fixed=x")
    if subprocess.run(["chattr", "+i", fixed], capture_output=True).returncode:
        pytest.skip("no immutable files here")
    try:
        assert remove(place) is False
        assert place.warnings == ["error removing directory /home/alice"]
        assert set(place.list("home/alice")) == {".", "sub", "sub/fixed"}
    finally:
        subprocess.run(["chattr", "-i", fixed], check=True)


def test_remove_tree_that_is_moved_meanwhile_stops(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user moves a directory that is being emptied to where ".." is root's."""
    place.make("home/alice")
    place.make("home/alice/sub")
    place.make("home/alice/sub/file=")
    place.make("etc/keep=precious", 0, 0)
    real = os.unlink

    def unlink(path: str, *, dir_fd: int) -> None:
        if path == "file":
            os.rename(place.path / "home/alice/sub", place.path / "etc/sub")
        real(path, dir_fd=dir_fd)

    monkeypatch.setattr(posix, "unlink", unlink)
    assert remove(place) is False
    assert place.warnings == ["error removing directory /home/alice"]
    assert (place.path / "etc/keep").read_text() == "precious"
    assert sorted(os.listdir(place.path / "etc")) == ["keep", "skel", "sub"]


def test_remove_tree_of_a_directory_swapped_for_a_link(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make("home/alice")
    place.make("home/alice/sub")
    place.make("home/alice/sub/file=")
    real = os.rmdir

    def rmdir(path: str | bytes, *, dir_fd: int) -> None:
        try:
            real(path, dir_fd=dir_fd)
        except OSError:
            if path == "sub":
                os.rename(place.path / "home/alice/sub", place.path / "home/alice/gone")
                os.symlink(place.path / "etc", place.path / "home/alice/sub")
            raise

    monkeypatch.setattr(posix, "rmdir", rmdir)
    before = place.list("etc")
    assert remove(place) is False
    assert place.list("etc") == before


# Mail


def test_mail_directory() -> None:
    assert mail.mail_directory(None, None) == b"/var/mail"
    assert mail.mail_directory(b"/var/spool/mail", b".mail") == b"/var/spool/mail"
    assert mail.mail_directory(None, b".mail") is None


def create_mail(place: Place, mail_gid: int | None = 8, directory: bytes | None = b"/var/mail") -> None:
    mail.create_mail(place.fd, directory, b"alice", ALICE, GROUP, mail_gid, place.say)


def test_create_mail(place: Place, umask: int) -> None:
    create_mail(place)
    create_mail(place, directory=None)
    assert place.list("var/mail")["alice"] == ("-rw-rw----", ALICE, 8)
    assert place.said == []
    create_mail(place)
    assert place.said == ["Creating mailbox file: File exists\n"]


def test_create_mail_without_group_mail(place: Place) -> None:
    create_mail(place, mail_gid=None)
    assert place.list("var/mail")["alice"] == ("-rw-------", ALICE, GROUP)
    assert place.said == ["Group 'mail' not found. Creating the user mailbox file with 0600 mode.\n"]


@pytest.mark.parametrize("target", ["/etc/shadow", "/etc/new", "alice"])
def test_create_mail_does_not_follow_a_planted_link(place: Place, target: str) -> None:
    place.make("etc/shadow=secret", 0, 0)
    place.link("var/mail/alice", target, uid=BOB)
    before = place.list(".")
    create_mail(place)
    assert place.said == ["Creating mailbox file: File exists\n"]
    assert place.list(".") == before


def test_create_mail_behind_the_distributions_link(place: Place) -> None:
    (place.path / "var/mail").rmdir()
    (place.path / "var/spool/mail").mkdir(parents=True)
    os.chmod(place.path / "var", 0o755)
    place.link("var/mail", "spool/mail", uid=0)
    create_mail(place)
    assert os.listdir(place.path / "var/spool/mail") == ["alice"]
    create_mail(place, directory=b"/none")
    assert place.said == ["Creating mailbox file: No such file or directory\n"]


def move_mail(place: Place, new_name: bytes = b"new", new_uid: int = 7) -> None:
    mail.move_mailbox(place.fd, b"/var/mail", (b"alice", new_name), (ALICE, new_uid), place.warn, place.say, b"/R")


def test_move_mailbox(place: Place) -> None:
    move_mail(place)
    assert (place.warnings, place.said) == ([], [])
    place.make("var/mail/alice=mail", ALICE, 8, 0o660)
    move_mail(place, b"alice")
    assert place.list("var/mail")["alice"] == ("-rw-rw----", 7, 8)
    os.chown(place.path / "var/mail/alice", ALICE, 8)
    move_mail(place, new_uid=KEEP)
    assert place.list("var/mail")["new"] == ("-rw-rw----", ALICE, 8)
    assert (place.warnings, place.said) == ([], [])


def test_move_mailbox_leaves_what_is_not_the_users(place: Place) -> None:
    place.make("var/mail/alice=mail", BOB)
    move_mail(place)
    assert place.warnings == ["warning: /R//var/mail/alice not owned by alice"]
    assert set(place.list("var/mail")) == {".", "alice"}


def test_move_mailbox_overwrites_nothing_and_follows_nothing(place: Place) -> None:
    place.make("var/mail/alice=mine")
    place.make("var/mail/new=his", BOB)
    move_mail(place)
    assert place.said == ["failed to rename mailbox: File exists\n"]
    assert (place.path / "var/mail/new").read_text() == "his"
    place.said.clear()
    (place.path / "var/mail/alice").unlink()
    victim = place.make("etc/of-alice=x", ALICE)
    place.link("var/mail/alice", str(victim))
    move_mail(place)
    assert place.said == ["/R//var/mail/alice: Too many levels of symbolic links\n"]
    assert victim.stat().st_uid == ALICE


def test_move_mailbox_does_not_hang_on_a_fifo(place: Place) -> None:
    os.mkfifo(place.path / "var/mail/alice")
    move_mail(place)
    assert place.warnings == ["warning: /R//var/mail/alice not owned by alice"]


def remove_mail(place: Place, force: bool = False, directory: bytes | None = b"/var/mail") -> bool:
    return mail.remove_mailbox(place.fd, directory, b"alice", ALICE, force, place.warn)


@pytest.mark.parametrize(
    ("owner", "force", "left", "line"),
    [
        (ALICE, False, False, None),
        (BOB, False, True, "/var/mail/alice not owned by alice, not removing"),
        (BOB, True, False, None),
        (None, False, False, "alice mail spool (/var/mail/alice) not found"),
        (None, True, False, "alice mail spool (/var/mail/alice) not found"),
    ],
)
def test_remove_mailbox(place: Place, owner: int | None, force: bool, left: bool, line: str | None) -> None:
    if owner is not None:
        place.make("var/mail/alice=mail", owner)
    assert remove_mail(place, force) is not left
    assert (place.path / "var/mail/alice").exists() is left
    assert place.warnings == ([line] if line else [])


def test_remove_mailbox_that_is_a_link_or_a_directory(place: Place) -> None:
    victim = place.make("etc/shadow=secret", 0, 0)
    place.link("var/mail/alice", str(victim))
    assert remove_mail(place) is True
    assert victim.read_text() == "secret" and not (place.path / "var/mail/alice").is_symlink()
    place.make("var/mail/alice")
    assert remove_mail(place, force=True) is False
    assert place.warnings == ["warning: can't remove /var/mail/alice: Is a directory"]
    place.warnings.clear()
    assert remove_mail(place, directory=None) is True
    assert remove_mail(place, directory=b"/none") is True
    assert place.warnings == ["alice mail spool (/none/alice) not found"]


# Login records


def test_login_records_are_reset_where_they_exist(place: Place) -> None:
    loginrecords.reset_login_records(place.fd, 3, loginrecords.LASTLOG_UID_MAX, place.warn)
    assert os.listdir(place.path / "var/log") == []
    sizes = {"faillog": loginrecords.faillog_size(), "lastlog": loginrecords.lastlog_size()}
    for name, size in sizes.items():
        (place.path / "var/log" / name).write_bytes(b"x" * size * 5)
    loginrecords.reset_login_records(place.fd, 3, 2, place.warn)
    assert set((place.path / "var/log/lastlog").read_bytes()) == set(b"x")
    loginrecords.reset_login_records(place.fd, 3, loginrecords.LASTLOG_UID_MAX, place.warn)
    loginrecords.reset_login_records(place.fd, 5, loginrecords.LASTLOG_UID_MAX, place.warn)
    loginrecords.reset_login_records(place.fd, 0xFFFFFFFE, loginrecords.LASTLOG_UID_MAX, place.warn)
    for name, size in sizes.items():
        assert (place.path / "var/log" / name).read_bytes() == b"x" * 3 * size + bytes(size) + b"x" * size
    assert place.warnings == []


def test_a_read_only_log_directory_is_a_fault_only_where_there_is_a_record() -> None:
    out = run_in_namespace(
        """
        import os, subprocess, tempfile
        root = tempfile.mkdtemp()
        subprocess.run(["mount", "-t", "tmpfs", "none", root], check=True)
        from accounts.system import loginrecords
        os.makedirs(root + "/var/log")
        open(root + "/var/log/lastlog", "wb").write(b"x" * loginrecords.lastlog_size() * 3)
        open(root + "/var/log/faillog", "wb").close()
        subprocess.run(["mount", "-o", "remount,ro", root], check=True)
        fd = os.open(root, os.O_RDONLY)
        for uid in (5, 2):
            loginrecords.reset_login_records(fd, uid, loginrecords.LASTLOG_UID_MAX, print)
        """
    )
    assert out == "failed to open the lastlog file for UID 2: Read-only file system\n"


def test_login_record_sizes_are_those_of_the_systems_own_tools(place: Place) -> None:
    """The C compiler and the real lastlog(8) know."""
    shown = subprocess.run(["getconf", "LONG_BIT"], capture_output=True, text=True, check=True).stdout
    assert loginrecords.faillog_size() == (32 if shown.strip() == "64" else 24)
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    source = place.path / "size.c"
    source.write_text('#include <lastlog.h>\n#include <stdio.h>\nint main(void){printf("%zu",sizeof(struct lastlog));}')
    subprocess.run(["cc", "-o", place.path / "size", source], check=True)
    out = subprocess.run([place.path / "size"], capture_output=True, text=True, check=True).stdout
    assert int(out) == loginrecords.lastlog_size()


def test_login_records_move_with_the_uid(place: Place) -> None:
    size = loginrecords.lastlog_size()
    path = place.path / "var/log/lastlog"
    path.write_bytes(b"0" * size + b"1" * size + b"2" * size)
    loginrecords.move_login_records(place.fd, 1, 4, loginrecords.LASTLOG_UID_MAX, place.warn)
    assert path.read_bytes() == b"0" * size + b"1" * size + b"2" * size + bytes(size) + b"1" * size
    # No record of the old uid: that of the new one is somebody else's past.
    loginrecords.move_login_records(place.fd, 9, 2, loginrecords.LASTLOG_UID_MAX, place.warn)
    assert path.read_bytes()[2 * size : 3 * size] == bytes(size)
    loginrecords.move_login_records(place.fd, 9, 10, loginrecords.LASTLOG_UID_MAX, place.warn)
    assert path.stat().st_size == 5 * size and place.warnings == []


def test_login_records_are_no_way_to_another_file(place: Place) -> None:
    victim = place.make("etc/shadow=" + "x" * 9999, 0, 0)
    place.link("var/log/lastlog", "/etc/shadow")
    loginrecords.reset_login_records(place.fd, 0, loginrecords.LASTLOG_UID_MAX, place.warn)
    loginrecords.move_login_records(place.fd, 0, 1, loginrecords.LASTLOG_UID_MAX, place.warn)
    assert place.warnings == [
        "failed to open the lastlog file for UID 0: Too many levels of symbolic links",
        "failed to copy the lastlog entry of user 0 to user 1: Too many levels of symbolic links",
    ]
    assert victim.read_text() == "x" * 9999


# Commands


def script(path: Path, body: str, mode: int = 0o755) -> bytes:
    path.write_text("#!/bin/sh\n" + body)
    os.chmod(path, mode)
    return os.fsencode(path)


def test_userdel_cmd_gets_the_name_and_our_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARK", "here")
    out = place.path / "out"
    command = script(place.path / "cancel", f'echo "$#:$1:$MARK" >{out}; exit 9')
    commands.run_userdel_cmd(command, b"a b;$(x)", place.warn)
    assert out.read_text() == "1:a b;$(x):here\n"
    commands.run_userdel_cmd(None, b"a", place.warn)
    commands.run_userdel_cmd(b"/no/such", b"a", place.warn)
    assert place.warnings == []
    os.chmod(place.path / "cancel", 0o644)
    commands.run_userdel_cmd(command, b"a", place.warn)
    assert place.warnings == [f"cannot execute {os.fsdecode(command)}: Permission denied"]


def test_commands_get_back_the_signals_that_python_ignores(place: Place) -> None:
    command = script(place.path / "status", f"grep SigIgn /proc/self/status >{place.path}/out")
    assert commands.run_command(command, [command], place.warn) == 0
    assert int((place.path / "out").read_text().split()[1], 16) & (1 << 12 | 1 << 24) == 0
    assert commands.run_command(script(place.path / "k", "kill -15 $$"), [b"k"], place.warn) == -15


def test_commands_run_in_another_root() -> None:
    out = run_in_namespace(
        """
        import os, subprocess, tempfile
        root = tempfile.mkdtemp()
        subprocess.run(["mount", "--bind", "/", root], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", root + "/tmp"], check=True)
        open(root + "/tmp/hook", "w").write("#!/bin/sh\\npwd; ls /tmp; exit 5\\n")
        os.chmod(root + "/tmp/hook", 0o755)
        from accounts.system import commands
        fd = os.open(root, os.O_RDONLY)
        lines = []
        print(commands.run_command(b"/tmp/hook", [b"hook"], lines.append, None, fd), flush=True)
        print(commands.run_command(b"/tmp/none", [b"none"], lines.append, None, fd))
        print(commands.run_command(b"/tmp", [b"tmp"], lines.append, None, fd), lines)
        """
    )
    assert out == "/\nhook\n5\n127\n126 ['cannot execute /tmp: Permission denied']\n"


def run_hooks(place: Place) -> bool:
    root = os.open("/", os.O_RDONLY)
    try:
        directory = os.fsencode(place.path / "hooks")
        return commands.run_parts(root, directory, b"alice", b"useradd", place.warn, place.say)
    finally:
        os.close(root)


def test_hooks_run_in_order_until_one_fails(place: Place) -> None:
    assert run_hooks(place) is True
    place.make("hooks", 0, 0)
    place.make("hooks/00dir", 0, 0)
    out = place.path / "out"
    for name, status in (("30", 0), ("10", 0), ("20", 3)):
        script(place.path / "hooks" / name, f"echo {name} $ACTION $SUBJECT >>{out}; exit {status}")
    assert run_hooks(place) is False
    assert out.read_text() == "10 useradd alice\n20 useradd alice\n"
    assert place.said == ["20: did not exit cleanly.\n"]


@pytest.mark.parametrize(("uid", "ranges", "found"), [(ALICE, [], True), (BOB, [], False), (BOB, [(ALICE, 1)], False)])
def test_find_process(uid: int, ranges: list[tuple[int, int]], found: bool) -> None:
    # A subordinate uid counts only in another user namespace, which this process is not in.
    child = subprocess.Popen(["sleep", "60"], user=ALICE)
    try:
        assert commands.find_process(uid, ranges) == (child.pid if found else None)
    finally:
        child.kill()
        child.wait()


def test_find_process_of_a_subordinate_uid() -> None:
    child = subprocess.Popen(["unshare", "-U", "sh", "-c", "echo; exec sleep 60"], user=ALICE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        if not child.stdout.readline():
            pytest.skip("no user namespaces here")
        pid = commands.find_process(BOB, [(5, 1), (ALICE - 10, 20)])
        assert pid is not None and os.stat(f"/proc/{pid}").st_uid == ALICE
        assert commands.find_process(BOB, [(ALICE + 1, 20)]) is None
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_find_process_ignores_another_root(tmp_path: Path) -> None:
    code = f"import os, time; os.chroot({str(tmp_path)!r}); os.setuid({ALICE}); "
    code += "print(flush=True); time.sleep(60)"
    child = subprocess.Popen(["/usr/bin/python3", "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert commands.find_process(ALICE, []) is None
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


# linux/unistd.h; libc's own is of all threads.
SETRESUID = {"x86_64": 117, "aarch64": 147}[os.uname().machine]


def test_a_thread_with_uids_of_its_own_counts_since_4_20() -> None:
    code = (
        "import ctypes, threading, time\n"
        "libc = ctypes.CDLL(None)\n"
        "def other():\n"
        f"    print(libc.syscall({SETRESUID}, {ALICE}, {ALICE}, {ALICE}), flush=True)\n"
        "    time.sleep(60)\n"
        "threading.Thread(target=other).start()\n"
    )
    child = subprocess.Popen(["/usr/bin/python3", "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"0\n"
        assert commands.find_process(ALICE, []) is None
        assert commands.find_process(ALICE, [], threads=True) == child.pid
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_importing_homes_loads_nothing_slow() -> None:
    code = f"import sys; sys.path.insert(0, {str(TOP)!r}); import os; before = set(sys.modules); "
    code += "import accounts.system.homes, accounts.system.loginrecords, accounts.system.commands; "
    code += "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('accounts')))"
    out = subprocess.run(["/usr/bin/python3", "-IS", "-c", code], capture_output=True, text=True, check=True).stdout
    # Python 3.13 has errno from the start.
    assert set(out.split()) - {"errno"} == {"__future__", "fcntl"}
