# SPDX-License-Identifier: MIT
"""The table of tool x system call x errno: what the real tool does when the call is refused, and what ours does.

Wherever the real tool goes on, ours has to, with the same result; where ours fails, it fails as the real tool, and
has changed nothing. What differs otherwise is in DIFFERENCES with its reason, and nothing is there that does not
differ any more.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import pkgutil
import re
import shutil
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.inject import Run, run
from tests.support.overlay import REAL, TOP

ERRORS = ("ENOSYS", "EINVAL", "EPERM", "EACCES", "ENOTSUP", "EXDEV")
# EOPNOTSUPP is ENOTSUP on Linux.
FILES = {
    "passwd": (0o644, 0, "root:x:0:0:root:/root:/bin/sh\nalice:x:1500:1500:A:/home/alice:/bin/sh\n"
               "bob:x:1501:1500::/home/bob:/bin/sh\n"),
    "shadow": (0o640, 42, "root:*:19000:0:99999:7:::\nalice:$1$x$y:19000:0:99999:7:::\nbob:!:19000:0:99999:7:::\n"),
    "group": (0o644, 0, "root:x:0:\nmail:x:8:\nshadow:x:42:\nusers:x:100:\nalice:x:1500:\nteam:x:1600:alice\n"),
    "gshadow": (0o640, 42, "root:*::\nmail:*::\nshadow:*::\nusers:*::\nalice:!::\nteam:!::alice\n"),
    "subuid": (0o644, 0, "alice:100000:65536\n"),
    "subgid": (0o644, 0, "alice:100000:65536\n"),
    "login.defs": (0o644, 0, "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\n"
                   "ENCRYPT_METHOD SHA512\nMAIL_DIR /var/mail\nUMASK 022\n"),
    "nsswitch.conf": (0o644, 0, "passwd: files\ngroup: files\nshadow: files\ngshadow: files\n"),
    "shells": (0o644, 0, "/bin/sh\n/bin/bash\n"),
    "skel/file": (0o644, 0, "skel " * 2000),
    "skel/.hidden/inner": (0o600, 0, ""),
}  # fmt: skip
# tool: command lines and input.
COMMANDS: dict[str, tuple[list[str], str]] = {
    "useradd -m": (["useradd", "-m", "-K", "MAIL_DIR=/var/mail", "carol"], ""),
    "useradd -G": (["useradd", "-M", "-G", "team", "carol"], ""),
    "usermod -aG": (["usermod", "-aG", "team", "bob"], ""),
    "usermod -s": (["usermod", "-s", "/bin/bash", "alice"], ""),
    "usermod -m": (["usermod", "-m", "-d", "/home/moved", "alice"], ""),
    "usermod -u": (["usermod", "-u", "1700", "alice"], ""),
    "usermod -l": (["usermod", "-l", "alicia", "alice"], ""),
    "userdel -r": (["userdel", "-r", "alice"], ""),
    "groupadd": (["groupadd", "crew"], ""),
    "groupmod": (["groupmod", "-n", "crew", "team"], ""),
    "groupdel": (["groupdel", "team"], ""),
    "gpasswd -a": (["gpasswd", "-a", "bob", "team"], ""),
    "passwd -l": (["passwd", "-l", "alice"], ""),
    "chage": (["chage", "-M", "90", "alice"], ""),
    "chsh": (["chsh", "-s", "/bin/bash", "alice"], ""),
    "chfn": (["chfn", "-f", "Alice", "alice"], ""),
    "chpasswd -e": (["chpasswd", "-e"], "alice:$1$a$b\n"),
    "newusers": (["newusers"], "dan:pw:::Dan:/home/dan:/bin/sh\n"),
    "pwconv": (["pwconv"], ""),
    "grpconv": (["grpconv"], ""),
    "pwck -r": (["pwck", "-r"], ""),
    "vipw -s": (["vipw", "-s"], ""),
}
# What the command needs besides.
EXTRA = {"pwconv": ("passwd", "dora:x:1502:1500::/home/dora:/bin/sh\n"), "grpconv": ("group", "new:x:1700:\n")}
TREES = ("/home", "/var/mail", "/srv")
# vipw looks at the time of the file, in seconds.
EDITOR = '#!/bin/sh\nsed -i s/99999/88888/ "$1" && touch -d 2001-01-01 "$1"\n'
# What a shim calls.
ENTRY = re.compile(r"from (accounts\.cli\.\w+) import (\w+)")
# Salts are new in each run.
HASH = re.compile(rb"\$(y|6)\$[^:]*")


def reset(command: str) -> None:
    """Put the files back, whatever a run has made of them."""
    for name in os.listdir("/etc"):
        if name.startswith((".accounts", ".pwd.lock")) or re.match(r"(passwd|shadow|group|gshadow|sub[ug]id)", name):
            os.unlink(f"/etc/{name}")
    for name, (mode, gid, text) in FILES.items():
        path = Path("/etc", name)
        path.parent.mkdir(exist_ok=True, parents=True)
        if command in EXTRA and EXTRA[command][0] == name:
            text += EXTRA[command][1]
        path.write_text(text)
        os.chown(path, 0, gid)
        path.chmod(mode)
    for tree in TREES:
        for entry in os.scandir(tree):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    home = Path("/home/alice")
    (home / "docs").mkdir(parents=True)
    (home / "docs/letter").write_text("dear " * 1000)
    (home / "link").symlink_to("docs/letter")
    for path in (home, home / "docs", home / "docs/letter", home / "link"):
        os.lchown(path, 1500, 1500)
    Path("/home/bob").mkdir()
    Path("/var/mail/alice").write_text("mail\n")
    os.chown("/var/mail/alice", 1500, 8)
    for name, size in (("faillog", 32), ("lastlog", 292)):
        Path("/var/log", name).write_bytes(bytes(size) * 1800)
    Path("/srv/editor").write_text(EDITOR)
    Path("/srv/editor").chmod(0o755)


State = dict[str, tuple[int, int, int, bytes]]


def snapshot() -> tuple[State, list[str]]:
    """(the account files, homes and mail; other names in /etc that are of a tool)."""
    found: State = {}
    names = [f"/etc/{name}" for name in DATABASES]
    for tree in TREES:
        for directory, directories, files in os.walk(tree):
            names += [f"{directory}/{name}" for name in directories + files]
    for path in names:
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(path)
            data = b""
            if stat.S_ISREG(status.st_mode):
                data = HASH.sub(b"HASH", Path(path).read_bytes())
            elif stat.S_ISLNK(status.st_mode):
                data = os.readlink(path).encode()
            found[path] = (status.st_mode, status.st_uid, status.st_gid, data)
    left = [
        name
        for name in os.listdir("/etc")
        if name.startswith(".accounts") or re.fullmatch(r"[a-z]+\.(lock|\d+|edit)|[a-z]+\+", name)
    ]
    return found, sorted(name for name in left if "sub" not in name or name.endswith("lock"))


@dataclass(frozen=True)
class Outcome:
    """What a run came to. state: "good" as without a refusal, "none" when nothing changed, else "half"."""

    status: int
    stderr: str
    state: str
    left: tuple[str, ...]
    refused: int

    @property
    def good(self) -> bool:
        return self.status == 0 and self.state == "good"

    def __str__(self) -> str:
        if not self.refused:
            return "does not call it"
        if self.good:
            return "goes on" + (f" ({self.stderr.strip()!r})" if self.stderr else "")
        text = f"exit {self.status}, {self.state}: {self.stderr.strip()!r}"
        return text + (f", leaves {' '.join(self.left)}" if self.left else "")


def real(argv: list[str]) -> Callable[[], None]:
    return lambda: os.execv(f"{REAL}/{argv[0]}", argv)


def ours(argv: list[str]) -> Callable[[], None]:
    def act() -> None:
        sys.argv = [f"/usr/sbin/{argv[0]}", *argv[1:]]
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(fd, "w" if fd else "r", closefd=False) for fd in range(3))
        match = ENTRY.search((TOP / "shims" / argv[0]).read_text())
        assert match
        getattr(importlib.import_module(match[1]), match[2])()

    return act


def load_everything() -> None:
    """Import all that a tool may import late: opening modules is no system call of the tool."""
    import accounts

    for module in pkgutil.walk_packages(accounts.__path__, "accounts."):
        if not module.name.startswith("accounts.image"):
            importlib.import_module(module.name)


def isolate() -> None:
    """Have an /etc of our own: locks that somebody takes in this machine's own would show in the overlay."""
    for command in (["cp", "-a", "/etc", "/run/etc"], ["mount", "--bind", "/run/etc", "/etc"]):
        subprocess.run(command, check=True)


class Bench:
    """Runs one command, real and ours, with and without refusals."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.argv, self.stdin = COMMANDS[command]
        self.good: dict[bool, State] = {}
        self.names: dict[bool, list[str]] = {}
        for is_ours in (False, True):
            run, state, left = self._act(is_ours, "", 0)
            expected = 0
            assert run.status == expected and not left, (command, is_ours, run, left)
            self.good[is_ours] = state
            self.names[is_ours] = run.names
        assert self.good[False] == self.good[True], (command, _differ(self.good[False], self.good[True]))

    def _act(self, is_ours: bool, refuse: str, error: int) -> tuple[Run, State, list[str]]:
        reset(self.command)
        self.before, _ = snapshot()
        result = run((ours if is_ours else real)(self.argv), refuse, error, self.stdin)
        return result, *snapshot()

    def judge(self, is_ours: bool, refuse: str, error: str) -> Outcome:
        """What the tool does when every call of that name is refused."""
        result, state, left = self._act(is_ours, refuse, getattr(errno, error))
        if not result.refused and refuse in self.names[is_ours]:
            raise AssertionError(f"{self.command}: {refuse} was not called this time: {result}")
        kind = "good" if state == self.good[is_ours] else "none" if state == self.before else "half"
        return Outcome(result.status, result.stderr, kind, tuple(left), result.refused)

    def sites(self) -> Iterator[str]:
        """The names of all calls that ours makes, then of those that only the real one makes."""
        yield from dict.fromkeys(self.names[True] + self.names[False])


def _differ(first: State, second: State) -> list[object]:
    return [
        (path, first.get(path), second.get(path))
        for path in sorted(first.keys() | second.keys())
        if first.get(path) != second.get(path)
    ]


def is_the_same(theirs: Outcome, mine: Outcome) -> bool:
    """Whether ours ends as the real tool does, with no more of a change done."""
    # One of shadow's lines has no newline.
    same = (mine.status, mine.stderr.strip()) == (theirs.status, theirs.stderr.strip())
    return same and mine.state in ("none", theirs.state)


# What ours does by another call than the real tool: reads with what it opens, renames its backups into place.
DATABASES = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
EQUIVALENT = {f"open {name}": f"open to write {name}" for name in DATABASES}
EQUIVALENT |= {"rename backup": "open to write backup", "write journal": "write new file", "fchown home": "chown home"}


# "command: call object" (a pattern) -> why ours differs from the real tool there.
DIFFERENCES = {
    r".*: (open|open path) (/home|home|/var/mail|mail)": (
        "the walk by which no user's link leads astray has no other way to a file (docs/decisions/homes.md); O_PATH "
        "needs no permission that the path itself does not need"
    ),
    r".*: open (accounts|configuration)": (
        "which files are the image's, and whether groups are joined, is said there: with a default in its place a "
        "change would be made against another layer, so it ends the tool (docs/decisions/paths.md); a login.defs that "
        "cannot be read ends the real tools, too, without a word"
    ),
    r".*: link lock": "the real tools name the error of the open(2) that follows, 'No such file or directory'",
    r".*: (stat|write|open to write) lock source|.*: open to write \.pwd\.lock": (
        "no lock, no change; useradd -G and vipw name another file, because all ours lock in the same order, and "
        "ours looks for the name before it has another link"
    ),
    r".*: unlink (journal|lock|lock source|new file)": (
        "what cannot be removed stays, as the locks of the real tools do; the next tool takes it over"
    ),
    r"useradd -m: .* (skel|home)": "what of skel could not be copied is said; the real tool is silent and exits 0, too",
    r"usermod -u: (stat|getdents64) home": (
        "files that could not be looked at still belong to the old UID, which is said; the real tool is silent"
    ),
    r"usermod -m: fstat home": "what cannot be looked at is not moved; the real tool has moved it when it fails",
    r"(userdel -r|usermod -u): fcntl [0-9]+ home": (
        "opendir(3) of a duplicate of the descriptor, which nothing known refuses; the real tools need F_GETFL as well"
    ),
    r"userdel -r: stat (home|mail)": "fails as the real tool does, with the reason in place of 'not owned by'",
    r"(gpasswd -a|passwd -l|groupdel|groupmod): open passwd": (
        "ours reads the file, the real tools ask NSS, which takes a file that cannot be read for an empty one"
    ),
    r"vipw -s: .*": (
        "the file that was edited is put in place by the same commit as every change, with journal and backup; "
        "the real tool has other words for each step (vipw(8))"
    ),
}


@dataclass(frozen=True)
class Row:
    command: str
    site: str
    error: str
    theirs: Outcome
    # Of the real tool's call that does the same, where that is another one.
    alike: Outcome | None
    mine: Outcome

    @property
    def verdict(self) -> str:
        """ "" when the rule holds, else what breaks it."""
        if not self.mine.refused:
            return ""
        if self.mine.good:
            return "leaves " + " ".join(self.mine.left) if self.mine.left else ""
        refused = [outcome for outcome in (self.theirs, self.alike) if outcome is not None and outcome.refused]
        if any(is_the_same(outcome, self.mine) for outcome in refused):
            return ""
        if self.mine.state == "half":
            return "half"
        return "says something else" if any(not outcome.good for outcome in refused) else "fails"

    @property
    def error_text(self) -> str:
        return re.escape(os.strerror(getattr(errno, self.error)))

    @property
    def reason(self) -> str:
        """Why that is as it is; empty for a fault."""
        line = f"{self.command}: {self.site}"
        return next((reason for pattern, reason in DIFFERENCES.items() if re.fullmatch(pattern, line)), "")


def rows(commands: Iterable[str], errors: Callable[[str, str], Iterable[str]]) -> Iterator[Row]:
    """All rows; errors gives those to try for a command and a site. To be called in an overlay."""
    load_everything()
    isolate()
    for command in commands:
        bench = Bench(command)
        for site in bench.sites():
            for error in errors(command, site):
                theirs = bench.judge(False, site, error)
                mine = bench.judge(True, site, error)
                alike = None
                if site in EQUIVALENT and mine.refused and not mine.good:
                    alike = bench.judge(False, EQUIVALENT[site], error)
                yield Row(command, site, error, theirs, alike, mine)


REASONS = list(dict.fromkeys(DIFFERENCES.values()))
UNEXPLAINED = "rows that break the rule without a reason"


def group(found: Iterable[Row], counts: Counter[str]) -> Iterator[str]:
    """The lines of the printed table: rows that differ only in the errno are one."""
    lines: dict[tuple[str, str, str, str], list[str]] = {}
    for row in found:
        counts["rows"] += 1
        note = ""
        if row.verdict:
            note = f"reason {REASONS.index(row.reason) + 1}" if row.reason else f"**{row.verdict}**"
            counts["rows that differ, with a reason" if row.reason else UNEXPLAINED] += 1
        elif not row.mine.refused:
            counts["rows of calls that only the real tool makes"] += 1
        elif row.mine.good:
            counts["rows where ours goes on"] += 1
            counts["  of these, the real tool does not"] += row.theirs.refused > 0 and not row.theirs.good
        else:
            counts["rows where ours fails as the real tool"] += 1
        text = [re.sub(rf": {row.error_text}", ": …", str(outcome)) for outcome in (row.theirs, row.mine)]
        lines.setdefault((row.site, *text, note), []).append(row.error)
    for (site, theirs, mine, note), errors in lines.items():
        which = "all" if len(errors) == len(ERRORS) else " ".join(errors)
        yield f"| {site} | {which} | {theirs} | {mine} | {note} |"
