# SPDX-License-Identifier: MIT
"""Journals that no commit wrote, some with the right checksum: nothing but the account files of that /etc changes.

ACCOUNTS_FUZZ_JOURNALS: how many (1,500 otherwise); ACCOUNTS_FUZZ_SEED: where to begin, to repeat a failure.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.errors import CommitError
from accounts.system.commit import FILES, JOURNAL
from accounts.system.store import recover

COUNT = int(os.environ.get("ACCOUNTS_FUZZ_JOURNALS", "1500"))
SEED = int(os.environ.get("ACCOUNTS_FUZZ_SEED", "1"))
TOKEN = "4711-18a2b3c4d5e6f"
NAMES = (
    *FILES, *FILES, "cron", "../cron", "../../etc/cron", "../outside", "/outside", "accounts/../../outside",
    "accounts/accounts.conf", "accounts", "login.defs", "passwd-", ".", "..", "", "passwd/x", "a b", "x" * 300,
    "passwd\0", "accounts/base/x", "accounts/hidden", "nsswitch.conf", "\udcff",
)  # fmt: skip
TOKENS = (
    *[TOKEN] * 6, "", "1", "-", "1-", "-1", "../x-1", "1-../../outside", "1-1/../../outside", "1-g", "1-" + "f" * 40,
    "9" * 5000 + "-1", "1-1.0", "journal", "٣-1",
)  # fmt: skip
CONTENTS = (b"", b"root:x:0:0::/:\n", b"other\n")
# Nobody else's business; whatever is outside of R/etc is in the picture by itself.
INSIDE = ("login.defs", "nsswitch.conf", "accounts/accounts.conf")
OURS = {*FILES, *(f"{name}-" for name in FILES), "accounts"}


def fingerprint(path: Path) -> str:
    status = path.lstat()
    checksum = zlib.crc32(path.read_bytes())
    return f"{status.st_size}:{status.st_mtime_ns}:{checksum:08x}"


def picture(top: Path) -> dict[str, tuple[int, ...]]:
    """Mode, owner, inode, time, size and checksum of everything below a directory, by path; of directories the mode."""
    found = {}
    todo = [""]
    while todo:
        head = todo.pop()
        with os.scandir(top / head) as entries:
            for entry in entries:
                path = head + entry.name
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    todo.append(path + "/")
                    found[path] = (status.st_mode, status.st_uid)
                    continue
                readable = stat.S_ISREG(status.st_mode) and status.st_size < 1 << 20
                content = zlib.crc32(Path(entry.path).read_bytes()) if readable else 0
                found[path] = (
                    status.st_mode, status.st_uid, status.st_ino, status.st_mtime_ns, status.st_size, content,
                )  # fmt: skip
    return found


class Case:
    """A hostile R/etc beside files that are none of its business. Every other journal is one that a commit writes."""

    def __init__(self, top: Path, rng: random.Random) -> None:
        self.top = top
        self.etc = top / "R/etc"
        self.rng = rng
        self.evil = rng.random() < 0.5
        self.refused = False
        (self.etc / "accounts").mkdir(parents=True)
        for name in ("cron", "outside"):
            (top / name).write_text("of the host\n")
        (top / "R/cron").write_text("of R\n")
        for name in INSIDE:
            (self.etc / name).write_text("of R\n")

    def put(self, path: Path) -> str:
        """Something at a path: a file, mostly; what a journal could say of it."""
        kind = self.rng.choice(
            ("file",) * 12 + ("none", "link", "dangling", "fifo", "device", "hard link", "directory")
        )
        host = self.top / "outside"
        if path.is_symlink() or path.exists():
            return "-"
        if kind == "file":
            path.write_bytes(self.rng.choice(CONTENTS))
            return fingerprint(path)
        if kind == "link":
            path.symlink_to(self.rng.choice((str(host), "../../outside")))
            return fingerprint(host)
        if kind == "dangling":
            path.symlink_to("../../made")
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "device":
            os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        elif kind == "hard link":
            os.link(host, path)
            return fingerprint(host)
        elif kind == "directory":
            path.mkdir()
        return "-"

    def step(self, number: int, token: str) -> str:
        """One line of the journal, with the files that it speaks of where they can be made."""
        rng = self.rng
        name = rng.choice(NAMES) if self.evil and rng.random() < 0.3 else FILES[number]
        place = self.put(self.etc / name) if name in FILES else "-"
        made = [
            self.put(self.etc / f".accounts.{token}.{number}.{kind}")
            for kind in ("new", "old", "copy")[: token == TOKEN and 3]
        ]
        old, new = (place, made[0]) if made and rng.random() < 0.7 else (made[1] if made else "-", place)
        backup = rng.choice(("-", "link", "copy"))
        if self.evil and rng.random() < 0.5:
            old = rng.choice(
                ("-", old, "0:0:00000000", "1:-5:ffffffff", "x", "9" * 4000 + ":1:00000000", f"{1 << 40}:1:00000000")
            )
            backup = rng.choice(("both", "", backup))
            number = rng.choice((7, -1, 10**30, number, number))
        return f"{number} {old} {new} {backup} {name}"

    def journal(self) -> bytes:
        """A journal, its checksum right nine times of ten, sometimes with a byte or two of it changed."""
        rng = self.rng
        token = rng.choice(TOKENS) if self.evil else TOKEN
        magic = rng.choice(["accounts journal 1"] * 12 + ["accounts journal 2", "", "x"] * self.evil)
        steps = [self.step(number, token) for number in range(rng.choice((1, 1, 2, 2, 3, 8)))]
        text = "\n".join([f"{magic} {token}", *steps, ""]).encode(errors="surrogateescape")
        if self.evil and rng.random() < 0.2:
            damaged = bytearray(text)
            for _ in range(rng.choice((1, 2, 8))):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            text = bytes(damaged)
        checksum = rng.getrandbits(32) if self.evil and rng.random() < 0.1 else zlib.crc32(text)
        text += b"end %08x\n" % checksum
        if self.evil and rng.random() < 0.1:
            text = text[: rng.randrange(len(text) + 1)]
        return text

    def write_journal(self) -> None:
        path = self.etc / JOURNAL
        text = self.journal()
        others = ("link", "fifo", "device", "owner", "mode", "hard link", "sparse", "directory")
        kind = self.rng.choice(others) if self.evil and self.rng.random() < 0.2 else "file"
        if kind == "link":
            (self.top / "journal").write_bytes(text)
            path.symlink_to("../../journal")
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "device":
            os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        elif kind == "directory":
            path.mkdir()
        else:
            path.write_bytes(text)
            path.chmod(0o600)
        if kind == "owner":
            os.chown(path, 1000, 1000)
        elif kind == "mode":
            path.chmod(0o666)
        elif kind == "hard link":
            os.link(path, self.top / "journal")
        elif kind == "sparse":
            os.truncate(path, 1 << 40)
        self.refused = kind != "file"


def is_ours(path: str) -> bool:
    """What recovery may touch: the account files, their backups, its own temporary files, the directories of both."""
    inside = path.removeprefix("R/etc/")
    return inside != path and (inside in OURS or inside.startswith(".accounts."))


@pytest.fixture
def top(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    base = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path_factory.mktemp("journals")
    path = base / f"accounts-journals.{os.getpid()}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_no_journal_harms(top: Path) -> None:
    outcomes: Counter[str] = Counter()
    for number in range(SEED, SEED + COUNT):
        shutil.rmtree(top, ignore_errors=True)
        case = Case(top, random.Random(number))
        case.write_journal()
        before = picture(top)
        fd = os.open(case.etc, os.O_RDONLY | os.O_DIRECTORY)
        refused = False
        try:
            (line,) = recover(fd)
            assert not case.refused, f"seed {number}: acted on a journal that is none"
            outcomes["set aside" if "neither" in line else line.split()[0]] += 1
        except CommitError as error:
            assert error.message and "\n" not in error.message, f"seed {number}"
            refused = case.refused or error.name == JOURNAL
            outcomes["refused" if refused else "failed"] += 1
        finally:
            os.close(fd)
        after = picture(top)
        changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        assert not changed if refused else all(map(is_ours, changed)), f"seed {number}: {changed}"
    print(dict(outcomes))
    # Every end of the road is reached, or this proves nothing.
    assert set(outcomes) >= {"refused", "finished", "undid", "set aside", "removed"}, outcomes


PRINT = "5:1:00000000"


@pytest.mark.parametrize(
    ("token", "step", "why"),
    [
        (TOKEN, f"0 - {PRINT} - ../../../etc/cron.d/x", "it names '../../../etc/cron.d/x'"),
        (TOKEN, f"0 - {PRINT} - /etc/passwd", "it names '/etc/passwd'"),
        (TOKEN, f"0 - {PRINT} - login.defs", "it names 'login.defs'"),
        (TOKEN, f"0 - {PRINT} - passwd-", "it names 'passwd-'"),
        ("../../x-1", f"0 - {PRINT} - passwd", "bad token"),
        (TOKEN, f"1 - {PRINT} - passwd", "bad step"),
        (TOKEN, f"0 - {PRINT} passwd", "bad step"),
        (TOKEN, "0 - - - passwd", "bad fingerprint"),
        (TOKEN, "0 - x:1:00000000 - passwd", "bad fingerprint"),
        (TOKEN, f"0 - {PRINT} link passwd", "bad backup"),
        (TOKEN, f"0 - {PRINT} - passwd\n1 - {PRINT} - passwd", "no file, or one twice"),
        (TOKEN, "", "bad step"),
    ],
)
def test_what_no_commit_writes_is_refused(tmp_path: Path, token: str, step: str, why: str) -> None:
    text = f"accounts journal 1 {token}\n{step}\n".encode()
    (tmp_path / JOURNAL).write_bytes(text + b"end %08x\n" % zlib.crc32(text))
    (tmp_path / f".accounts.{TOKEN}.0.new").write_bytes(b"evil\n")
    (tmp_path / JOURNAL).chmod(0o600)
    before = picture(tmp_path)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(CommitError) as caught:
            recover(fd)
    finally:
        os.close(fd)
    assert caught.value.message == (
        f"{JOURNAL}: not the journal of an interrupted change ({why}); look at it and remove it"
    )
    assert picture(tmp_path) == before
