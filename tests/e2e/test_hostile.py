# SPDX-License-Identifier: MIT
"""Bad input: one clear line, shadow's exit status, nothing changed, never a traceback.

`python -m tests.e2e.test_hostile` prints the table.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import shutil
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.support.overlay import in_overlay, run_tool

LONG = "x" * 33
Setup = Callable[[], None]


def _write(path: str, data: bytes | str) -> Setup:
    def setup() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        Path(path).write_bytes(data.encode() if isinstance(data, str) else data)

    return setup


def _directory(path: str) -> Setup:
    def setup() -> None:
        if os.path.lexists(path):
            os.unlink(path)
        os.mkdir(path)

    return setup


def _link(target: str, path: str) -> Setup:
    def setup() -> None:
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(target, path)

    return setup


def _mount(*arguments: str) -> Setup:
    def setup() -> None:
        subprocess.run(["mount", *arguments], check=True)

    return setup


def _full_disk() -> None:
    """/etc on a tmpfs with not one free page."""
    shutil.copytree("/etc", "/run/etc-copy", symlinks=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=755", "tmpfs", "/etc"], check=True)
    for name in (*FILES, "nsswitch.conf", "login.defs"):
        if os.path.exists(f"/run/etc-copy/{name}"):
            shutil.copy2(f"/run/etc-copy/{name}", f"/etc/{name}")
    filler = os.open("/etc/filler", os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(filler, b"x" * 4096)
    except OSError:
        os.close(filler)


FILES = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
LOCAL = {
    "passwd": "alice:x:1500:1500::/home/alice:/bin/sh\n",
    "shadow": "alice:!:19000:0:99999:7:::\n",
    "group": "alice:x:1500:\nteam:x:1600:alice\n",
    "gshadow": "alice:!::\nteam:!::alice\n",
    "subuid": "alice:100000:65536\n",
    "subgid": "alice:100000:65536\n",
}
NOTHING: Setup = lambda: None  # noqa: E731
# As over a stock nss-altfiles, which cannot leave out a row of the image.
NO_HIDING = _write("/etc/accounts/accounts.conf", "HIDE=no\n")

# (what is odd, command, exit status, set-up). The local layer is LOCAL over this machine's accounts.
CALLS: list[tuple[str, list[str], int, Setup]] = [
    ("empty name", ["useradd", ""], 3, NOTHING),
    ("name with colon", ["useradd", "a:b"], 3, NOTHING),
    ("name with newline", ["useradd", "a\nroot2:x:0:0::/:/bin/sh"], 3, NOTHING),
    ("name with comma", ["useradd", "a,b"], 3, NOTHING),
    ("name with blank", ["useradd", "a b"], 3, NOTHING),
    ("name like an option", ["useradd", "--", "-x"], 3, NOTHING),
    ("name like NIS", ["useradd", "+evil"], 3, NOTHING),
    ("name like a home", ["useradd", "~root"], 3, NOTHING),
    ("name too long", ["useradd", LONG], 3, NOTHING),
    ("no name", ["useradd"], 2, NOTHING),
    ("two names", ["useradd", "one", "two"], 2, NOTHING),
    ("unknown option", ["useradd", "--frobnicate", "bob"], 2, NOTHING),
    ("unknown letter", ["useradd", "-Q", "bob"], 2, NOTHING),
    ("ambiguous option", ["useradd", "--s", "x", "bob"], 2, NOTHING),
    ("missing argument", ["useradd", "bob", "-u"], 2, NOTHING),
    ("unwanted argument", ["useradd", "--create-home=yes", "bob"], 2, NOTHING),
    ("UID not a number", ["useradd", "-u", "abc", "bob"], 3, NOTHING),
    ("UID negative", ["useradd", "-u", "-5", "bob"], 3, NOTHING),
    ("UID (uid_t)-1", ["useradd", "-u", "4294967295", "bob"], 3, NOTHING),
    ("UID over 32 bits", ["useradd", "-u", "99999999999999999999", "bob"], 3, NOTHING),
    ("UID taken", ["useradd", "-u", "0", "bob"], 4, NOTHING),
    ("group unknown", ["useradd", "-g", "nosuchgroup", "bob"], 6, NOTHING),
    ("supplementary group unknown", ["useradd", "-G", "team,nosuchgroup", "bob"], 6, NOTHING),
    ("date without sense", ["useradd", "-e", "someday", "bob"], 3, NOTHING),
    ("inactive without sense", ["useradd", "-f", "soon", "bob"], 3, NOTHING),
    ("home with colon", ["useradd", "-d", "/home/a:b", "bob"], 3, NOTHING),
    ("home relative", ["useradd", "-d", "home", "bob"], 3, NOTHING),
    ("shell with newline", ["useradd", "-s", "/bin/sh\nx", "bob"], 3, NOTHING),
    ("comment with colon", ["useradd", "-c", "a:b", "bob"], 3, NOTHING),
    ("comment with control", ["useradd", "-c", "a\x1b[31mb", "bob"], 1, NOTHING),
    ("password with newline", ["useradd", "-p", "x\ny", "bob"], 3, NOTHING),
    ("name with an escape", ["userdel", "a\x1b]0;x\x07"], 6, NOTHING),
    ("-K without value", ["useradd", "-K", "UID_MIN", "bob"], 3, NOTHING),
    ("-K unknown", ["useradd", "-K", "NOSUCH=1", "bob"], 3, NOTHING),
    ("user exists in image", ["useradd", "daemon"], 9, NOTHING),
    ("user exists locally", ["useradd", "alice"], 9, NOTHING),
    ("root relative", ["useradd", "-R", "tmp", "bob"], 3, NOTHING),
    ("root missing", ["useradd", "-R", "/nosuchroot", "bob"], 3, NOTHING),
    ("root twice", ["useradd", "-R", "/", "-R", "/", "bob"], 3, NOTHING),
    ("prefix relative", ["useradd", "-P", "tmp", "bob"], 3, NOTHING),
    ("user missing", ["usermod", "-s", "/bin/sh", "nobodyhere"], 6, NOTHING),
    ("nothing to do", ["usermod", "alice"], 2, NOTHING),
    ("contradiction", ["usermod", "-L", "-U", "alice"], 2, NOTHING),
    ("append to nothing", ["usermod", "-a", "alice"], 2, NOTHING),
    ("rename to a taken name", ["usermod", "-l", "daemon", "alice"], 9, NOTHING),
    ("rename to a bad name", ["usermod", "-l", "a:b", "alice"], 3, NOTHING),
    ("rename an image user", ["usermod", "-l", "demon", "games"], 1, NO_HIDING),
    ("UID of an image user", ["usermod", "-u", "7777", "games"], 1, NO_HIDING),
    ("UID taken by another", ["usermod", "-u", "0", "alice"], 4, NOTHING),
    ("group unknown", ["usermod", "-aG", "nosuchgroup", "alice"], 6, NOTHING),
    ("subuid range without sense", ["usermod", "-v", "20-10", "alice"], 3, NOTHING),
    ("delete an image user", ["userdel", "games"], 1, NO_HIDING),
    ("delete a missing user", ["userdel", "nobodyhere"], 6, NOTHING),
    ("group name bad", ["groupadd", "a:b"], 3, NOTHING),
    ("group name too long", ["groupadd", LONG], 3, NOTHING),
    ("GID bad", ["groupadd", "-g", "1x", "crew"], 3, NOTHING),
    ("GID taken", ["groupadd", "-g", "0", "crew"], 4, NOTHING),
    ("group exists in image", ["groupadd", "video"], 9, NOTHING),
    ("GID of an image group", ["groupmod", "-g", "7777", "video"], 10, NO_HIDING),
    ("rename an image group", ["groupmod", "-n", "film", "video"], 10, NO_HIDING),
    ("group missing", ["groupmod", "-n", "film", "nosuchgroup"], 6, NOTHING),
    ("delete an image group", ["groupdel", "video"], 10, NO_HIDING),
    ("delete a missing group", ["groupdel", "nosuchgroup"], 6, NOTHING),
    ("delete a primary group", ["groupdel", "alice"], 8, NOTHING),
    ("member missing", ["gpasswd", "-a", "nobodyhere", "team"], 3, NOTHING),
    ("not a member", ["gpasswd", "-d", "daemon", "team"], 3, NOTHING),
    ("group missing", ["gpasswd", "-a", "alice", "nosuchgroup"], 3, NOTHING),
    ("/etc read-only", ["useradd", "bob"], 1, _mount("--bind", "-o", "ro", "/etc", "/etc")),
    ("disk full", ["useradd", "bob"], 1, _full_disk),
    ("passwd is a directory", ["useradd", "bob"], 1, _directory("/etc/passwd")),
    ("shadow is a directory", ["usermod", "-L", "alice"], 1, _directory("/etc/shadow")),
    ("group is a directory", ["groupadd", "crew"], 10, _directory("/etc/group")),
    ("group is a directory", ["useradd", "-G", "team", "bob"], 10, _directory("/etc/group")),
    ("passwd is a dangling link", ["useradd", "bob"], 1, _link("/nowhere", "/etc/passwd")),
    ("passwd is a loop", ["useradd", "bob"], 1, _link("/etc/passwd", "/etc/passwd")),
    ("shadow is a link", ["usermod", "-L", "alice"], 1, _link("/etc/passwd", "/etc/shadow")),
    ("lock file without a PID", ["useradd", "bob"], 1, _write("/etc/passwd.lock", "")),
    ("lock file with nonsense", ["groupadd", "crew"], 10, _write("/etc/group.lock", "abc")),
    ("name twice", ["usermod", "-s", "/bin/dash", "alice"], 1,
     _write("/etc/passwd", LOCAL["passwd"] + LOCAL["passwd"])),
    ("UID_MAX below UID_MIN", ["useradd", "bob"], 4, _write("/etc/login.defs", "UID_MIN 5000\nUID_MAX 4000\n")),
    ("GROUP_POLICY without sense", ["groupadd", "crew"], 1,
     _write("/etc/accounts/accounts.conf", "GROUP_POLICY=maybe\n")),
    ("IMAGE_DIR relative", ["groupadd", "crew"], 1, _write("/etc/accounts/accounts.conf", "IMAGE_DIR=lib\n")),
    ("SHADOW_COMPAT without sense", ["groupadd", "crew"], 1,
     _write("/etc/accounts/accounts.conf", "SHADOW_COMPAT=4.21\n")),
    ("image passwd is a directory", ["useradd", "bob"], 1, _directory("/usr/lib/passwd")),
]  # fmt: skip
# More than one line is shadow's own way here: what is wrong with the lock or the row, then what fails.
TWO_LINES = {
    *("lock file without a PID", "lock file with nonsense", "disk full"),
    *("name twice", "UID_MAX below UID_MIN"),
    # A newline in a value is shown as it is, by the real tools and in 36 recorded runs.
    *("name with newline", "shell with newline", "password with newline"),
}


def snapshot() -> dict[str, tuple[int, bytes]]:
    """Everything below /etc and the image layer: (mode, content or link target)."""
    found = {}
    for top in ("/etc", "/home", "/var/mail"):
        for directory, _, names in os.walk(top):
            for name in names:
                path = os.path.join(directory, name)
                if name == ".pwd.lock":  # made by lckpwdf(3), real tools too
                    continue
                data = os.readlink(path).encode() if os.path.islink(path) else Path(path).read_bytes()
                found[path] = (os.lstat(path).st_mode, data)
    for name in FILES[:4]:
        path = f"/usr/lib/{name}"
        if os.path.isfile(path):
            found[path] = (os.lstat(path).st_mode, Path(path).read_bytes())
    return found


def run_call(command: list[str], setup: Setup) -> tuple[int, str, str, list[str]]:
    """(status, stdout, stderr, what changed) of one call in this root."""
    for name, text in LOCAL.items():
        Path(f"/etc/{name}").write_text(text)
        os.chmod(f"/etc/{name}", 0o640 if "shadow" in name else 0o644)
    setup()
    before = snapshot()
    result = run_tool(*command)
    after = snapshot()
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return result.returncode, result.stdout, result.stderr, changed


def run_calls() -> list[tuple[int, str, str, list[str]]]:
    """All calls, each in a mount namespace and overlay of /etc and /usr/lib of its own."""
    with Path("/usr/share/accounts/accounts.conf").open("a") as conf:
        conf.write("SHADOW_COMPAT=4.13\n")  # whose statuses are in CALLS
    results = []
    for _, command, _, setup in CALLS:
        results.append(_isolated(command, setup))
    return results


def _isolated(command: list[str], setup: Setup) -> tuple[int, str, str, list[str]]:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            result = _run_unshared(command, setup)
        except BaseException:
            result = (-1, "", traceback.format_exc(), [])
        with os.fdopen(write_end, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        answer: tuple[int, str, str, list[str]] = pickle.load(pipe)
    os.waitpid(pid, 0)
    return answer


def _run_unshared(command: list[str], setup: Setup) -> tuple[int, str, str, list[str]]:
    ctypes.CDLL(None).unshare(0x20000)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/srv"], check=True)
    for name in ("etc", "usr/lib"):
        upper, work = f"/srv/{name}/u", f"/srv/{name}/w"
        os.makedirs(upper)
        os.makedirs(work)
        options = f"lowerdir=/{name},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, f"/{name}"], check=True)
    return run_call(command, setup)


def faults(label: str, status: int, result: tuple[int, str, str, list[str]]) -> list[str]:
    """What is wrong with one answer."""
    got, _, stderr, changed = result
    found = []
    if got != status:
        found.append(f"exit {got}, not {status}")
    if "Traceback" in stderr:
        found.append("traceback")
    if changed:
        found.append(f"changed {changed}")
    lines = [line for line in stderr.split("\nUsage:")[0].splitlines() if line]
    usage_only = stderr.startswith("Usage:")
    if len(lines) != 1 and label not in TWO_LINES and not usage_only:
        found.append(f"{len(lines)} lines")
    return found


def test_every_hostile_call_is_answered_in_one_line_and_changes_nothing() -> None:
    assert len(CALLS) >= 60
    results = in_overlay(run_calls, stateless=True)
    wrong = []
    for (label, command, status, _), result in zip(CALLS, results, strict=True):
        wrong += [f"{label}: {command}: {fault}\n    {result[2]!r}" for fault in faults(label, status, result)]
    assert not wrong, "\n".join(wrong)


def print_table() -> None:
    """The table for a person."""
    results = in_overlay(run_calls, stateless=True)
    print("| what is odd | command | exit | line |\n|---|---|---|---|")
    for (label, command, status, _), result in zip(CALLS, results, strict=True):
        line = result[2].split("\nUsage:")[0].strip().replace("\n", " / ")
        line = "(usage)" if line.startswith("Usage:") else line
        marks = "".join(f" **{fault}**" for fault in faults(label, status, result))
        print(f"| {label} | `{' '.join(command)!r}` | {result[0]} | {line!r}{marks} |")


if __name__ == "__main__":
    print_table()
