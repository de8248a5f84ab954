# SPDX-License-Identifier: MIT
"""The walk that gives files to new ids: each exactly once, whatever swaps, whatever stops it, whoever interferes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.errors import BadArgument
from accounts.model.moves import IdMap, Moves, single_moves
from tests.crash import trace
from tests.machine.walks import begin, go_on, walk
from tests.support.namespace import run_in_namespace

# cap_net_raw+ep, linux/capability.h.
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
NONE = 0xFFFFFFFF
ACL, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
SWAP = {"passwd": {2001: 2002, 2002: 2001, 2003: 2004, 2004: 2005}, "group": {2001: 2002, 2002: 2001}}
PLAIN = {"passwd": {2001: 3001, 2002: 3002, 2003: 3003, 2004: 3004}, "group": {2001: 3001, 2002: 3002}}


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def named(user: int, group: int) -> bytes:
    """An ACL with a named user and a named group."""
    return acl((1, 6, NONE), (2, 4, user), (4, 4, NONE), (8, 5, group), (16, 7, NONE), (32, 0, NONE))


@pytest.fixture
def fast() -> Iterator[Path]:
    """A directory in memory where that is possible."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        yield Path(name)


def plant(top: Path, width: int = 3) -> None:
    """A tree with everything in it that a walk has to see to."""
    top.mkdir()
    for number in range(width):
        directory = top / f"d{number}"
        (directory / "below").mkdir(parents=True)
        for index, uid in enumerate((0, 2001, 2002, 2003, 2004)):
            file = directory / f"f{index}"
            file.write_text("x")
            os.chown(file, uid, (0, 2001, 2002)[index % 3])
            os.symlink(f"f{index}", directory / f"l{index}")
            os.lchown(directory / f"l{index}", uid, 0)
        os.link(directory / "f1", directory / "below/hard")
        os.link(directory / "f2", top / f"hard{number}")
        (directory / "below/program").write_text("#!\n")
        os.chown(directory / "below/program", 2001, 2002)
        os.chmod(directory / "below/program", 0o6755)
        (directory / "below/able").write_text("#!\n")
        os.chown(directory / "below/able", 0, 2002)
        os.setxattr(directory / "below/able", "security.capability", CAPABILITY)
        os.setxattr(directory / "f0", ACL, named(2001, 2002))
        os.setxattr(directory, DEFAULT, named(2004, 2001))
        os.chown(directory, 2003, 2001)
        os.chmod(directory, 0o2775)
        os.mkfifo(directory / "fifo")
        os.chown(directory / "fifo", 2002, 2002)


def tell(top: Path) -> dict[str, tuple[object, ...]]:
    """Path -> owner, mode and attributes of everything in a tree."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (top, *sorted(top.rglob("*"))):
        status = path.lstat()
        names = os.listxattr(path, follow_symlinks=False)
        attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
        found[str(path.relative_to(top))] = status.st_uid, status.st_gid, oct(status.st_mode), attributes
    return found


def expect(before: dict[str, tuple[object, ...]], moves: Moves) -> dict[str, tuple[object, ...]]:
    """What a walk makes of it."""
    after = {}
    for path, (uid, gid, mode, attributes) in before.items():
        assert isinstance(uid, int) and isinstance(gid, int) and isinstance(attributes, dict)
        mapped = {name: moves.map_acl(value) if name in (ACL, DEFAULT) else value for name, value in attributes.items()}
        after[path] = moves.users.get(uid), moves.groups.get(gid), mode, mapped
    return after


@pytest.mark.parametrize("quiet", [False, True], ids=["live", "build"])
@pytest.mark.parametrize("mapping", [PLAIN, SWAP], ids=["plain", "swap"])
def test_everything_changes_hands_once(mapping: dict[str, dict[int, int]], quiet: bool, fast: Path) -> None:
    top, moves = fast / "top", single_moves(mapping)
    plant(top)
    before = tell(top)
    done = walk(fast, moves, top, quiet=quiet)
    assert tell(top) == expect(before, moves)
    assert done.notes == []
    assert done.seen == len(before) - 1


@pytest.mark.parametrize("mapping", [PLAIN, SWAP], ids=["plain", "swap"])
def test_killed_at_any_call_the_next_run_completes(mapping: dict[str, dict[int, int]], fast: Path) -> None:
    """Twice: the run that goes on is killed, too."""
    template, top, moves = fast / "template", fast / "top", single_moves(mapping)
    plant(template)
    expected = expect(tell(template), moves)

    def act() -> int:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # A cursor behind every directory, a batch of two files: as many states as there can be.
        import accounts.system.reown as module

        module._INTERVAL, module._BATCH = -1.0, 2
        if not (fast / "journal").exists():
            begin(fast, moves, top)
        go_on(fast, quiet=True)
        return 0

    def start() -> None:
        for path in (top, fast / "journal", fast / "journal.new"):
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True) if not path.is_dir() else None
        subprocess.run(["cp", "-a", template, top], check=True)

    start()
    assert tell(top) == tell(template)
    calls = len(trace.run(act).calls)
    assert tell(top) == expected
    kills = int(os.environ.get("ACCOUNTS_KILLS", "25"))
    for at in range(0, calls, max(1, calls // kills)):
        start()
        assert trace.run(act, at, kill=True).status == -signal.SIGKILL
        if not (fast / "journal").exists():
            if tell(top) == expected:
                continue
            assert tell(top) == tell(template)
        # And again, in the middle of the rest.
        trace.run(act, (calls - at) // 2, kill=True)
        if (fast / "journal").exists() or tell(top) != expected:
            assert act() == 0
        assert tell(top) == expected, f"killed at call {at} of {calls}"


def test_a_lost_set_id_bit_is_told_when_nobody_knows_what_was_written(fast: Path) -> None:
    """Live, and stopped between chown(2) and chmod(2): the file may be another one by now."""
    top = fast / "top"
    plant(top, 1)
    moves = single_moves(PLAIN)
    begin(fast, moves, top)
    program = top / "d0/below/program"

    def act() -> int:
        import accounts.system.owners as module

        module._give_back = lambda *_: os._exit(7)
        go_on(fast)
        return 0

    assert trace.run(act).status == 7
    before = {path: path.lstat() for path in (program, top / "d0/below/able")}
    lost = [path for path, status in before.items() if status.st_uid == 3001 or status.st_gid == 3002]
    assert len(lost) == 1
    done = go_on(fast)
    assert done is not None and len(done.notes) == 1
    assert done.notes[0].startswith(f"{lost[0]} has lost its ")
    assert program.lstat().st_uid == 3001


def test_set_id_bits_are_not_given_back_while_somebody_writes(fast: Path) -> None:
    top = fast / "top"
    plant(top, 1)
    program = top / "d0/below/program"
    with open(program, "ab"):
        done = walk(fast, single_moves(PLAIN), top)
    assert done.notes == [f"{program} has lost its set-id bits (mode 6755): look at it before it gets them back"]
    assert stat.S_IMODE(program.lstat().st_mode) == 0o755
    assert (program.lstat().st_uid, program.lstat().st_gid) == (3001, 3002)
    # The other one had no writer.
    assert os.getxattr(top / "d0/below/able", "security.capability") == CAPABILITY


def test_set_id_bits_are_not_given_back_in_another_root(fast: Path) -> None:
    """There the new id may be of somebody else of this system, and the file of whoever made the root."""
    top = fast / "top"
    plant(top, 1)
    done = walk(fast, single_moves(PLAIN), top, foreign=True)
    assert [note.split(" ", 1)[1] for note in sorted(done.notes)] == [
        "has lost its capabilities: look at it before it gets them back",
        "has lost its set-id bits (mode 6755): look at it before it gets them back",
    ]
    assert stat.S_IMODE((top / "d0/below/program").lstat().st_mode) == 0o755


def test_ranges_move_with_all_their_ids(fast: Path) -> None:
    top = fast / "top"
    top.mkdir()
    for uid in (99_999, 100_000, 100_033, 165_535, 165_536):
        (top / str(uid)).write_text("")
        os.chown(top / str(uid), uid, uid)
    ranges = IdMap([(100_000, 200_000, 65_536)])
    walk(fast, Moves(ranges, ranges), top)
    assert {path.name: path.stat().st_uid for path in top.iterdir()} == {
        "99999": 99_999, "100000": 200_000, "100033": 200_033, "165535": 265_535, "165536": 165_536,
    }  # fmt: skip


def test_what_is_mounted_below_is_another_file_system(tmp_path: Path) -> None:
    """A tmpfs, and a bind mount of the same file system; each is walked when it is named."""
    script = """
        import os, subprocess, sys
        from pathlib import Path
        from accounts.model.moves import single_moves
        from tests.machine.walks import walk
        place = Path(sys.argv[1])
        subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
        top, other = place / "top", place / "other"
        for path in (top / "mount", top / "bind", other):
            path.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", top / "mount"], check=True)
        subprocess.run(["mount", "--bind", other, top / "bind"], check=True)
        files = [top / "f", top / "mount/f", other / "f"]
        for path in files:
            path.write_text("")
            os.chown(path, 2001, 2001)
        moves = single_moves({"passwd": {2001: 3001}})
        walk(place, moves, top)
        print([path.stat().st_uid for path in files])
        walk(place, moves, top / "mount", top / "bind")
        print([path.stat().st_uid for path in files])
    """
    assert run_in_namespace(script, str(tmp_path)).splitlines() == ["[3001, 2001, 2001]", "[3001, 3001, 3001]"]


def test_read_only_and_immutable_are_told(tmp_path: Path) -> None:
    script = """
        import os, subprocess, sys
        from pathlib import Path
        from accounts.model.moves import single_moves
        from tests.machine.walks import walk
        place = Path(sys.argv[1])
        subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
        frozen, top = place / "frozen", place / "top"
        for path in (frozen, top):
            path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", frozen], check=True)
        for path in (frozen / "f", top / "f", top / "g"):
            path.write_text("")
            os.chown(path, 2001, 2001)
        subprocess.run(["mount", "-o", "remount,ro", frozen], check=True)
        if subprocess.run(["chattr", "+i", top / "f"], capture_output=True).returncode:
            (top / "f").unlink()
        done = walk(place, single_moves({"passwd": {2001: 3001}}), frozen, top)
        print(sorted(note.replace(str(place), "") for note in done.notes))
        print((top / "g").stat().st_uid, (frozen / "f").stat().st_uid)
        subprocess.run(["chattr", "-i", top / "f"], capture_output=True)
    """
    notes, owners = run_in_namespace(script, str(tmp_path)).splitlines()
    assert "/frozen is on a read-only file system: nothing in it has changed hands" in notes
    if "/top/f" in notes:
        assert "/top/f stays with 2001:2001, not 3001:2001: immutable or append-only, see chattr(1)" in notes
    assert owners == "3001 2001"


def test_a_tree_of_any_depth(fast: Path) -> None:
    top = fast / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=fd)
        os.chown("d", 2001, 0, dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.mkdir("e", dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        done = walk(fast, single_moves({"passwd": {2001: 3001}}), top)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (done.seen, done.changed, done.notes) == (2400, 1200, [])
    subprocess.run(["rm", "-rf", top], check=True)


def test_a_file_that_is_exchanged_meanwhile_is_not_given_away(fast: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user puts a link, or another's file, in place of his own between lstat(2) and chown(2)."""
    top, secret = fast / "top", fast / "secret"
    top.mkdir()
    secret.write_text("root's")
    swaps: list[Callable[[], None]] = [lambda: os.link(secret, top / "a"), lambda: os.symlink(secret, top / "a")]
    from accounts.system import owners

    for swap in swaps:
        (top / "a").unlink(missing_ok=True)
        (top / "a").write_text("mine")
        os.chown(top / "a", 2001, 2001)
        real = os.open

        def open_swapped(path: object, *rest: object, **more: object) -> int:
            if path == b"a":
                (top / "a").unlink()
                swap()  # noqa: B023
            return real(path, *rest, **more)  # type: ignore[arg-type]  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(owners.os, "open", open_swapped)
            walk(fast, single_moves({"passwd": {2001: 3001}, "group": {2001: 3001}}), top)
        assert (secret.stat().st_uid, secret.stat().st_gid) == (0, 0)


def test_a_hard_link_made_during_a_swap_is_not_swapped_back(fast: Path) -> None:
    top = fast / "top"
    (top / "z").mkdir(parents=True)
    (top / "a").write_text("")
    os.chown(top / "a", 2001, 2001)
    begin(fast, single_moves(SWAP), top)
    from accounts.system import owners

    real = owners.Owners.change

    def change(self: owners.Owners, name: bytes, *rest: object) -> bool:
        done = real(self, name, *rest)  # type: ignore[arg-type]
        if name == b"a":
            os.link(top / "a", top / "z/b")
        return done

    import accounts.system.reown as module

    batch = module._BATCH
    try:
        owners.Owners.change, module._BATCH = change, 1  # type: ignore[method-assign]
        go_on(fast)
    finally:
        owners.Owners.change, module._BATCH = real, batch  # type: ignore[method-assign]
    assert (top / "z/b").stat().st_uid == 2002


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"accounts re-own 1 00000000 {}\n", b"x" * 5000, b'accounts re-own 1 a {"users": [[0, 1, 1]]}\n'],
)
def test_a_journal_that_is_none_is_refused(text: bytes, fast: Path) -> None:
    (fast / "journal").write_bytes(text)
    (fast / "journal").chmod(0o600)
    with pytest.raises(BadArgument, match="not the journal of an interrupted walk"):
        go_on(fast)


def test_a_journal_of_somebody_else_is_refused(fast: Path) -> None:
    begin(fast, single_moves(PLAIN), fast)
    for spoil in (lambda: os.chown(fast / "journal", 2001, 0), lambda: (fast / "journal").chmod(0o620)):
        spoil()
        with pytest.raises(BadArgument, match="or it is not ours"):
            go_on(fast)
        os.chown(fast / "journal", 0, 0)


def test_root_never_changes_hands() -> None:
    for mapping in ({0: 5}, {5: 0}):
        with pytest.raises(BadArgument, match="cannot become"):
            single_moves({"passwd": mapping})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(1, 9)), max_size=6), st.integers(0, 80))
def test_ranges_are_what_they_say(ranges: list[tuple[int, int, int]], number: int) -> None:
    one_by_one: dict[int, int] = {}
    for old, new, count in ranges:
        for offset in range(count if old != new else 0):
            if old + offset in one_by_one:
                with pytest.raises(BadArgument):
                    IdMap(ranges)
                return
            one_by_one[old + offset] = new + offset
    mapped = IdMap(ranges)
    assert mapped.get(number) == one_by_one.get(number, number)
    assert mapped.tangled == bool(one_by_one.keys() & set(one_by_one.values()))


def used(action: Callable[[], object]) -> float:
    """Seconds of processor time, children included: the clock on the wall counts the other tests as well."""
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    action()
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))


def test_it_is_no_slower_than_three_finds(fast: Path) -> None:
    """ACCOUNTS_WALK files, of which one in a hundred changes hands.

    The least of a few rounds each: other tests on the same cores make both slower, and not in the same rounds.
    """
    count = int(os.environ.get("ACCOUNTS_WALK", "60000"))
    top = fast / "top"
    for number in range(count // 500):
        directory = top / f"{number % 20:02d}/{number:05d}"
        directory.mkdir(parents=True)
        fd = os.open(directory, os.O_RDONLY)
        for index in range(500):
            file = os.open(f"file-{index:03d}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd)
            if index % 100 == 0:
                os.fchown(file, 2001 + number % 2, 2001)
            os.close(file)
        os.close(fd)
    (fast / "reference").write_text("")
    find = ["find", str(top), "-newer", str(fast / "reference")]
    subprocess.run(find, check=True, capture_output=True)
    finds, walks, walls = [], [], []
    for rounds in range(12):
        if rounds > 2 and min(walks) < 3 * min(finds):
            break
        finds.append(used(lambda: subprocess.run(find, check=True, capture_output=True)))
        start = time.monotonic()
        walks.append(used(lambda: walk(fast, single_moves({"passwd": {2001: 2003}}), top)))
        os.system(f"chown -R --from=2003 2001 {top}")
        walls.append(time.monotonic() - start)
    print(f"{count} files: find -newer {min(finds):.2f} s, walk {min(walks):.2f} s of processor time")
    assert min(walks) < 3 * min(finds)
