# SPDX-License-Identifier: MIT
"""A commit replaces all files or none; the next tool finishes, undoes or sets aside what was left."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.errors import CommitError, Interrupted
from accounts.system import commit as module
from accounts.system import shield
from accounts.system.commit import JOURNAL, FileChange, commit
from accounts.system.store import recover
from tests.support.namespace import run_in_namespace

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture
def etc(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def _tree(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def _write(path: Path, files: dict[str, bytes], mode: int = 0o644) -> None:
    for name, content in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(content)
        (path / name).chmod(mode)


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        (
            {"passwd": b"a\n"},
            [FileChange("passwd", b"a\n", b"b\n", backup=True)],
            {"passwd": b"b\n", "passwd-": b"a\n"},
        ),
        ({"passwd": b"a\n"}, [FileChange("passwd", b"a\n", b"b\n")], {"passwd": b"b\n"}),
        ({}, [FileChange("passwd", None, b"b\n", backup=True)], {"passwd": b"b\n"}),
        ({}, [FileChange("passwd", None, b"")], {"passwd": b""}),
        ({"group": b"a\n"}, [FileChange("group", b"a\n", None, backup=True)], {"group-": b"a\n"}),
        ({"group": b"a\n", "group-": b"z"}, [FileChange("group", b"a\n", None)], {"group-": b"z"}),
        ({}, [FileChange("accounts/base", None, b"x")], {"accounts/base": b"x"}),
        (
            {"a": b"1", "b": b"2", "b-": b"0"},
            [FileChange("a", b"1", None), FileChange("b", b"2", b"3", backup=True), FileChange("c", None, b"4")],
            {"b": b"3", "b-": b"2", "c": b"4"},
        ),
        (
            {"passwd": b"\xff\0" * 300_000},
            [FileChange("passwd", b"\xff\0" * 300_000, b"\xfe" * 700_000)],
            {"passwd": b"\xfe" * 700_000},
        ),
    ],
)
def test_files_after_a_commit(
    etc: int, tmp_path: Path, before: dict[str, bytes], changes: list[FileChange], after: dict[str, bytes]
) -> None:
    _write(tmp_path, before)
    commit(etc, changes)
    assert _tree(tmp_path) == after
    assert recover(etc) == []


def test_nothing_to_change_touches_nothing(etc: int, tmp_path: Path) -> None:
    _write(tmp_path, {"passwd": b"a\n"})
    before = tmp_path.stat().st_mtime_ns, (tmp_path / "passwd").stat()
    commit(etc, [FileChange("passwd", b"a\n", b"a\n", backup=True), FileChange("group", None, None)])
    assert (tmp_path.stat().st_mtime_ns, (tmp_path / "passwd").stat()) == before


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ({"passwd": b"a\nmore\n"}, FileChange("passwd", b"a\n", b"b\n")),
        ({"passwd": b"a"}, FileChange("passwd", b"a\n", b"b\n")),
        ({"passwd": b"x\n"}, FileChange("passwd", b"a\n", None)),
        ({"passwd": b"x\n"}, FileChange("passwd", None, b"b\n")),
        ({}, FileChange("passwd", b"a\n", b"b\n")),
        ({}, FileChange("accounts/base", b"a\n", b"b\n")),
    ],
)
def test_a_file_that_somebody_else_changed_stops_the_commit(
    etc: int, tmp_path: Path, before: dict[str, bytes], change: FileChange
) -> None:
    _write(tmp_path, {"group": b"g", **before})
    with pytest.raises(CommitError, match="changed by another program") as caught:
        commit(etc, [FileChange("group", b"g", b"h", backup=True), change])
    assert caught.value.name == change.name
    assert _tree(tmp_path) == {"group": b"g", **before}


@pytest.mark.parametrize("kind", ["link", "dangling", "loop", "directory", "fifo", "parent link", "backup directory"])
def test_what_is_no_regular_file_is_refused(etc: int, tmp_path: Path, kind: str) -> None:
    name = "passwd"
    if kind == "link":
        (tmp_path / "real").write_bytes(b"a\n")
        (tmp_path / "passwd").symlink_to("real")
    elif kind in ("dangling", "loop"):
        (tmp_path / "passwd").symlink_to("nowhere" if kind == "dangling" else "passwd")
    elif kind == "directory":
        (tmp_path / "passwd").mkdir()
    elif kind == "fifo":
        os.mkfifo(tmp_path / "passwd")
    elif kind == "parent link":
        name = "accounts/base"
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "base").write_bytes(b"a\n")
        (tmp_path / "accounts").symlink_to("elsewhere")
    else:
        (tmp_path / "passwd").write_bytes(b"a\n")
        (tmp_path / "passwd-").mkdir()
    before = sorted(os.listdir(tmp_path)), _tree(tmp_path) if kind != "fifo" else None
    with pytest.raises(CommitError) as caught:
        commit(etc, [FileChange(name, b"a\n", b"b\n", backup=True)])
    assert caught.value.name == name
    assert (sorted(os.listdir(tmp_path)), _tree(tmp_path) if kind != "fifo" else None) == before


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
@pytest.mark.parametrize(
    ("old", "new", "backup"),
    [
        (0o644, 0o644, 0o644),
        (0o640, 0o640, 0o640),
        (0o000, 0o000, 0o000),
        (0o777, 0o664, 0o664),
        (0o4755, 0o644, 0o644),
    ],
)
def test_owner_and_mode_stay_and_never_get_wider(
    etc: int, tmp_path: Path, umask: int, old: int, new: int, backup: int
) -> None:
    _write(tmp_path, {"shadow": b"a"}, old)
    owner = (0, 42) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(tmp_path / "shadow", *owner)
    (tmp_path / "shadow").chmod(old)
    os.utime(tmp_path / "shadow", ns=(10**18, 10**18 + 5))
    previous = os.umask(umask)
    try:
        commit(
            etc,
            [FileChange("shadow", b"a", b"b", 0o600, 1, 1, backup=True), FileChange("d/x", None, b"", 0o644, *owner)],
        )
        assert os.umask(umask) == umask
    finally:
        os.umask(previous)
    for name, mode in (("shadow", new), ("shadow-", backup), ("d/x", 0o644)):
        status = (tmp_path / name).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (mode, *owner), name
    assert (tmp_path / "shadow-").stat().st_mtime_ns == 10**18 + 5
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o755


def test_a_directory_is_everybodys_and_goes_with_its_last_file(etc: int, tmp_path: Path) -> None:
    commit(etc, [FileChange("accounts/base", None, b"x", 0o600)])
    assert stat.S_IMODE((tmp_path / "accounts").stat().st_mode) == 0o755
    (tmp_path / "accounts" / "accounts.conf").write_bytes(b"")
    commit(etc, [FileChange("accounts/base", b"x", None)])
    assert os.listdir(tmp_path / "accounts") == ["accounts.conf"]
    commit(etc, [FileChange("accounts/accounts.conf", b"", None)])
    assert os.listdir(tmp_path) == []


def test_a_file_that_everybody_reads_opens_a_private_directory(etc: int, tmp_path: Path) -> None:
    (tmp_path / "accounts").mkdir(mode=0o700)
    commit(etc, [FileChange("accounts/base", None, b"x", 0o600)])
    assert stat.S_IMODE((tmp_path / "accounts").stat().st_mode) == 0o700
    commit(etc, [FileChange("accounts/hidden", None, b"x", 0o644)])
    assert stat.S_IMODE((tmp_path / "accounts").stat().st_mode) == 0o755


def test_a_file_with_another_link_keeps_it_apart_from_the_backup(etc: int, tmp_path: Path) -> None:
    _write(tmp_path, {"passwd": b"a"})
    os.link(tmp_path / "passwd", tmp_path / "other")
    commit(etc, [FileChange("passwd", b"a", b"b", backup=True)])
    # shadow's next backup is written into passwd- in place.
    (tmp_path / "passwd-").write_bytes(b"overwritten")
    assert _tree(tmp_path) == {"passwd": b"b", "passwd-": b"overwritten", "other": b"a"}


def test_a_backup_that_is_a_mount_point_is_written_in_place() -> None:
    out = run_in_namespace(
        """
        import os, subprocess, tempfile
        etc, other = tempfile.mkdtemp(), tempfile.mkdtemp()
        for path, text in ((etc + "/shadow", "old"), (etc + "/shadow-", ""), (other + "/file", "longer than that")):
            open(path, "w").write(text)
        os.chmod(etc + "/shadow", 0o640)
        os.chown(etc + "/shadow", 0, 42)
        os.utime(etc + "/shadow", (1000, 2000))
        mount = ["mount", "--bind", other + "/file", etc + "/shadow-"]
        from accounts.errors import CommitError, Interrupted
        from accounts.system.commit import FileChange, commit
        fd = os.open(etc, os.O_RDONLY)
        subprocess.run(mount, check=True)
        commit(fd, [FileChange("shadow", b"old", b"new", backup=True)])
        status = os.stat(other + "/file")
        print(open(etc + "/shadow").read(), open(other + "/file").read(), sorted(os.listdir(etc)))
        print(oct(status.st_mode), status.st_gid, status.st_mtime)
        subprocess.run(["mount", "-o", "remount,bind,ro", etc + "/shadow-"], check=True)
        try:
            commit(fd, [FileChange("shadow", b"new", b"newer", backup=True)])
        except CommitError as error:
            print(error.message, open(etc + "/shadow").read(), sorted(os.listdir(etc)))
        """
    )
    assert out == (
        "new old ['shadow', 'shadow-']\n0o100640 42 2000.0\nshadow: Read-only file system new ['shadow', 'shadow-']\n"
    )


def test_extended_attributes_stay(etc: int, tmp_path: Path) -> None:
    _write(tmp_path, {"passwd": b"a"})
    try:
        os.setxattr(tmp_path / "passwd", "user.test", b"value")
    except OSError:
        pytest.skip("the file system of the temporary directory has no user attributes")
    commit(etc, [FileChange("passwd", b"a", b"b", backup=True)])
    assert os.getxattr(tmp_path / "passwd", "user.test") == b"value"
    assert os.getxattr(tmp_path / "passwd-", "user.test") == b"value"


def test_verify_sees_each_new_file_and_can_refuse_all(etc: int, tmp_path: Path) -> None:
    _write(tmp_path, {"passwd": b"a"})
    seen = []

    def verify(name: str, content: bytes) -> None:
        seen.append((name, content))
        if name == "group":
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        commit(
            etc,
            [
                FileChange("passwd", b"a", b"b", backup=True),
                FileChange("group", None, b"g"),
                FileChange("shadow", None, b"s"),
            ],
            verify=verify,
        )
    assert seen == [("passwd", b"b"), ("group", b"g")]
    assert _tree(tmp_path) == {"passwd": b"a"}


@pytest.mark.parametrize(("soft", "hard", "works"), [(0, -1, True), (10, 10, False)])
def test_file_size_limits(tmp_path: Path, soft: int, hard: int, works: bool) -> None:
    _write(tmp_path, {"passwd": b"a"})
    etc = os.open(tmp_path, os.O_RDONLY)  # the way there may be closed to the child's user
    pid = os.fork()
    if not pid:
        status = 3
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            if hard >= 0:
                os.setgroups([])
                os.chown(tmp_path, 65534, 65534)
                os.chown(tmp_path / "passwd", 65534, 65534)
                os.setresuid(65534, 65534, 65534)  # root would raise the hard limit as well
            commit(etc, [FileChange("passwd", b"a", b"b" * 100_000)])
            status = 0
        except CommitError as error:
            status = 1 if error.message == "passwd: File too large" else 2
        finally:
            os._exit(status)
    os.close(etc)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert (status, len((tmp_path / "passwd").read_bytes())) == ((0, 100_000) if works else (1, 1))
    assert os.listdir(tmp_path) == ["passwd"]


def test_a_message_to_a_closed_standard_descriptor_does_not_end_up_in_a_file(
    etc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, {"passwd": b"a"})
    fsync = os.fsync

    def noisy(fd: int) -> None:
        for standard in range(3):
            with contextlib.suppress(OSError):
                os.write(standard, b"a stray message\n")
        fsync(fd)

    pid = os.fork()
    if not pid:
        os.closerange(0, 3)
        monkeypatch.setattr(module.posix, "fsync", noisy)
        commit(etc, [FileChange("passwd", b"a", b"b"), FileChange("group", None, b"c")])
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert _tree(tmp_path) == {"passwd": b"b", "group": b"c"}


def _crash(etc: int, changes: list[FileChange], monkeypatch: pytest.MonkeyPatch, renames: int) -> None:
    """Commit, and die after that many renames of new files."""
    left = renames
    rename = os.rename

    def dying(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        nonlocal left
        if not left:
            os._exit(0)
        left -= 1
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    pid = os.fork()
    if not pid:
        monkeypatch.setattr(module.posix, "rename", dying)
        commit(etc, changes)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


OLD = {"passwd": b"p", "shadow": b"s", "group": b"g"}
NEW = {"passwd": b"P", "shadow": b"S", "group": b"G"}
CHANGES = [FileChange(name, OLD[name], NEW[name], backup=True) for name in OLD]
BACKUPS = {f"{name}-": content for name, content in OLD.items()}


@pytest.mark.parametrize("renames", range(6))
def test_a_committed_journal_is_finished(
    etc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    _write(tmp_path, OLD)
    _crash(etc, CHANGES, monkeypatch, renames)
    assert recover(etc) == ["finished an interrupted change of passwd, shadow, group"]
    assert _tree(tmp_path) == {**NEW, **BACKUPS}


@pytest.mark.parametrize("renames", range(3))
def test_without_its_new_files_a_change_is_undone(
    etc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    _write(tmp_path, OLD)
    _crash(etc, CHANGES, monkeypatch, renames)
    next(tmp_path.glob(".accounts.*.2.new")).write_bytes(b"damaged")
    assert recover(etc) == ["undid an interrupted change of passwd, shadow, group"]
    assert _tree(tmp_path) == OLD


def test_a_journal_cut_off_anywhere_means_that_nothing_had_happened(
    etc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, OLD)
    _crash(etc, CHANGES, monkeypatch, 0)
    journal = (tmp_path / JOURNAL).read_bytes()
    for length in range(len(journal)):
        (tmp_path / JOURNAL).write_bytes(journal[:length])
        (tmp_path / ".accounts.1-1.0.new").write_bytes(b"left over")
        assert "before it took effect" in recover(etc)[0]
        assert _tree(tmp_path) == OLD
        assert recover(etc) == []


@pytest.mark.parametrize(
    ("renames", "foreign", "line"),
    [
        # Rename number 2 is the shadow file's: whether passwd was written before or after it nobody knows.
        (1, "passwd", "neither"),
        (2, "shadow", "neither"),
        (0, "passwd", "neither"),
        (3, "passwd", "finished"),
        (4, "shadow", "finished"),
        (3, "group", "neither"),
        (0, "group", "undid"),
        (0, "shadow", "undid"),
    ],
)
def test_what_somebody_else_has_written_since_is_never_overwritten(
    etc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int, foreign: str, line: str
) -> None:
    _write(tmp_path, OLD)
    _crash(etc, CHANGES, monkeypatch, renames)
    (tmp_path / "new").write_bytes(b"foreign")
    (tmp_path / "new").rename(tmp_path / foreign)
    before = _tree(tmp_path)
    (message,) = recover(etc)
    after = _tree(tmp_path)
    assert line in message
    assert after[foreign] == b"foreign"
    assert not (tmp_path / JOURNAL).exists()
    if line == "neither":
        assert f"because {foreign} has been changed since; see {JOURNAL}." in message
        assert {name: after[name] for name in OLD} == {name: before[name] for name in OLD}
        # Set aside, not in the way: the next change works and leaves the evidence alone.
        evidence = {name for name in after if name.startswith(".accounts.")}
        assert evidence
        commit(etc, [FileChange("x", None, b"y")])
        (tmp_path / JOURNAL).write_bytes(b"")
        (tmp_path / ".accounts.1-1.0.new").write_bytes(b"left over")
        recover(etc)
        assert {name for name in _tree(tmp_path) if name.startswith(".accounts.")} == evidence
    else:
        expected = NEW if line == "finished" else OLD
        assert {name: after[name] for name in OLD} == {**expected, foreign: b"foreign"}
        assert not [name for name in after if name.startswith(".accounts.")]


def test_a_touched_or_edited_old_file_counts_as_foreign(
    etc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, OLD)
    _crash(etc, CHANGES, monkeypatch, 1)
    with (tmp_path / "shadow").open("r+b") as file:
        file.write(b"x")  # in place, same size
    assert "because shadow has been changed" in recover(etc)[0]
    assert (tmp_path / "shadow").read_bytes() == b"x"


def test_a_second_commit_without_recovery_is_refused(etc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, OLD)
    _crash(etc, CHANGES, monkeypatch, 1)
    before = _tree(tmp_path)
    with pytest.raises(CommitError) as caught:
        commit(etc, [FileChange("x", None, b"y")])
    assert caught.value.name == JOURNAL
    assert _tree(tmp_path) == before


def test_a_journal_of_another_version_is_left_alone(etc: int, tmp_path: Path) -> None:
    import zlib

    text = b"accounts journal 2 x\n"
    (tmp_path / JOURNAL).write_bytes(text + b"end %08x\n" % zlib.crc32(text))
    with pytest.raises(CommitError, match="another version"):
        recover(etc)
    assert (tmp_path / JOURNAL).exists()


def test_a_signal_during_a_commit_is_raised_after_it(etc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def signalled(*arguments: str, **options: int) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        rename(*arguments, **options)

    monkeypatch.setattr(shield, "SIGNALS", (signal.SIGUSR1,))
    monkeypatch.setattr(module.posix, "rename", signalled)
    shield.begin()
    try:
        with pytest.raises(Interrupted):
            commit(etc, [FileChange("a", None, b"1"), FileChange("b", None, b"2")])
        assert _tree(tmp_path) == {"a": b"1", "b": b"2"}
    finally:
        shield._caught = 0
        shield.end()


def test_the_hot_path_imports_little() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
        "import accounts.system.commit, accounts.system.locks\n"
        "print(*sorted(m for m in set(sys.modules) - before if not m.startswith('accounts')))"
    )
    result = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", code, str(TOP)], capture_output=True, text=True, check=True
    )
    assert set(result.stdout.split()) <= {
        "__future__",
        "errno",
        "fcntl",
        "_stat",
        "time",
        "zlib",
    }
