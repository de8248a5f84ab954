# SPDX-License-Identifier: MIT
"""Hostile roots: one place of a small root replaced by something else, and the tools to run on them.

Beside the root is a twin of it, the "host", at which the links point: nothing of it may be read or written.
"""

from __future__ import annotations

import os
import posix
import re
import resource
import shutil
import signal
import stat
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SECRET = "victim's-hash-of-the-host"
OLD_TIMES = (1_000_000_000, 1_100_000_000)
# A tool that needs a second for this waits for something.
PATIENCE = 20
MEMORY = 3 << 30

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nbob:x:1500:1500:Bob:/home/bob:/bin/sh\n",
    "etc/group": "root:x:0:\nmail:x:8:\nbob:x:1500:\nteam:x:1600:bob\nempty:x:1601:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\nbob:!:19000:0:99999:7:::\n",
    "etc/gshadow": "root:*::\nmail:*::\nbob:!::\nteam:!:bob:bob\nempty:!::\n",
    "etc/subuid": "bob:100000:65536\n",
    "etc/subgid": "bob:100000:65536\n",
    "etc/passwd-": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/shadow-": "root:*:19000:0:99999:7:::\n",
    "etc/.pwd.lock": "",
    "etc/login.defs": "ENCRYPT_METHOD SHA512\nSHA_CRYPT_MAX_ROUNDS 1000\nCREATE_HOME yes\nMAIL_DIR /var/mail\n",
    "etc/nsswitch.conf": "passwd: files altfiles\ngroup: files [SUCCESS=merge] altfiles\nshadow: files altfiles\n"
    "gshadow: files altfiles\n",
    "etc/default/useradd": "SHELL=/bin/sh\nCREATE_MAIL_SPOOL=yes\n",
    "etc/skel/.profile": "# profile\n",
    "etc/accounts/accounts.conf": "GROUP_POLICY=auto\n",
    "etc/accounts/base": "",
    "usr/lib/passwd": "daemon:x:1:1::/:/bin/false\nvictim:x:900:900::/home/victim:/bin/sh\n",
    "usr/lib/group": "daemon:x:1:\nvictim:x:900:\nvideo:x:44:\n",
    "usr/lib/shadow": "daemon:*:19000::::::\nvictim:$6$of-the-image$x:19000::::::\n",
    "usr/lib/gshadow": "daemon:*::\nvideo:*::\n",
    "usr/lib/login.defs": "UMASK 022\n",
    "usr/share/accounts/accounts.conf": "IMAGE_DIR=/usr/lib\n",
    "usr/share/accounts/ids": "",
    "bin/sh": "#!\n",
    "home/bob/file": "bob's\n",
    "var/mail/bob": "mail\n",
    "var/log/lastlog": "\0" * 292,
    "var/log/faillog": "\0" * 32,
    "users": "nu:x:1900:1900::/home/nu:/bin/sh\n",
}
PLACES = sorted({*FILES, *(str(parent) for path in FILES for parent in Path(path).parents if str(parent) != ".")})
# Places that only some runs leave behind, or that are made: something is there before them.
EXTRA = (
    "etc/.accounts.journal", "etc/.accounts.lock", "etc/passwd.lock", "etc/group.lock", "etc/passwd.edit",
    "etc/gshadow-",
    "etc/default/useradd-", "usr/etc", "usr/etc/login.defs", "usr/share/accounts/login.defs", "etc/accounts/hidden",
    "home/new", "var/mail/new", "home/nu", "home/moved", "etc/shadow-maint", "etc/shadow-maint/useradd-pre.d",
    "usr/lib/subuid", "usr/lib/accounts",
)  # fmt: skip
KINDS = ("absolute", "relative", "loop", "to fifo", "fifo", "device", "other", "sparse")
CASES = [(place, kind) for place in (*PLACES, *EXTRA) for kind in KINDS]

# tool -> runs; gpasswd calls --root -Q.
COMMANDS = {
    "useradd": (["-m", "new"], ["-D"], ["-D", "-s", "/bin/x"]),
    "usermod": (
        ["-L", "victim"], ["-aG", "video", "bob"], ["-l", "rob", "-u", "1510", "bob"],
        ["-m", "-d", "/home/moved", "bob"],
    ),
    "userdel": (["-r", "bob"],),
    "groupadd": (["crew"],),
    "groupmod": (["-n", "gang", "team"],),
    "groupdel": (["empty"],),
    "groupmems": (["-g", "team", "-l"], ["-g", "team", "-a", "victim"]),
    "gpasswd": (["-a", "bob", "video"],),
    "chage": (["-l", "bob"], ["-m", "1", "victim"]),
    "passwd": (["-S", "victim"], ["-l", "bob"]),
    "chsh": (["-s", "/bin/sh", "victim"],),
    "chfn": (["-f", "Bob", "bob"],),
    "chpasswd": (["-e"],),
    "chgpasswd": (["-e"],),
    "newusers": (["/users"],),
    "pwck": (["-r"], ["-s"], ["/etc/passwd", "/etc/shadow"]),
    "grpck": (["-r"], ["-s"], ["/etc/group"]),
    "pwconv": ([],),
    "pwunconv": ([],),
    "grpconv": ([],),
    "grpunconv": ([],),
    "vipw": ([], ["-s"]),
    "vigr": ([],),
}  # fmt: skip
STDIN = {"chpasswd": "bob:hash\n", "chgpasswd": "team:hash\n"}
RUNS = [(tool, tuple(arguments)) for tool, runs in COMMANDS.items() for arguments in runs]


def populate(top: Path, secret: str = "") -> None:
    """A small root. secret: of the twin's, in every file of it."""
    for name, content in FILES.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.replace("victim:$6$of-the-image$x", f"victim:{secret}") if secret else content)
        if "shadow" in name:
            path.chmod(0o640)
    for name, uid in (("home/bob", 1500), ("home/bob/file", 1500), ("var/mail/bob", 1500)):
        os.chown(top / name, uid, uid)


def make_host(host: Path) -> None:
    """The twin: every file ends in the secret, all times are old so that each access shows in them."""
    populate(host, SECRET)
    for place in EXTRA:
        path = host / place
        if not path.exists():
            is_directory = any(other.startswith(place + "/") for other in EXTRA)
            (path if is_directory else path.parent).mkdir(parents=True, exist_ok=True)
            if not is_directory:
                path.write_text(SECRET + "\n")
    for name in FILES:
        if name not in ("bin/sh",):
            with (host / name).open("a") as file:
                file.write(f"#{SECRET}\n")
    os.mkfifo(host / "fifo")
    for head, directories, files in os.walk(host, topdown=False):
        for name in (*directories, *files):
            os.utime(os.path.join(head, name), OLD_TIMES, follow_symlinks=False)
    os.utime(host, OLD_TIMES)


def spoil(root: Path, host: Path, place: str, kind: str) -> None:
    """Put something else at one place of the root."""
    path = root / place
    directory = path.is_dir()
    if directory:
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "absolute":
        path.symlink_to(host / place)
    elif kind == "relative":
        path.symlink_to("../" * 20 + str(host / place).lstrip("/"))
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "to fifo":
        path.symlink_to("/fifo")
        os.mkfifo(root / "fifo")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    elif kind == "other":
        path.write_text("") if directory else path.mkdir()
    elif kind == "sparse":
        path.write_text("")
        os.truncate(path, 1 << 40)


def picture(host: Path) -> dict[str, tuple[float, ...]]:
    """All that is known of the twin, times of last access included."""
    found = {}
    for head, directories, files in os.walk(host):
        for name in (*directories, *files, "."):
            path = os.path.normpath(os.path.join(head, name))
            status = os.lstat(path)
            found[path] = (
                status.st_mode, status.st_uid, status.st_nlink, status.st_size, status.st_mtime_ns, status.st_ctime_ns,
                # Ours is the listing of the directories.
                0 if stat.S_ISDIR(status.st_mode) else status.st_atime_ns,
            )  # fmt: skip
    return found


class Outcome:
    """How a run ended. status: negative the signal, None for one that had to be stopped."""

    def __init__(self, status: int | None, stdout: str, stderr: str) -> None:
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self) -> str:
        return f"{self.status} {self.stdout!r} {self.stderr!r}"


def run_tool(
    tool: str,
    arguments: tuple[str, ...],
    options: tuple[str, ...],
    scratch: Path,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a tool's main() in a child, with its memory limited. scratch: directory for its streams.

    stdin: in place of that of STDIN. environment: variables besides those of this process.
    """
    module, entry = re.findall(r"from (accounts\.\S+) import (\w+)", (TOP / "shims" / tool).read_text())[0]
    main = getattr(import_module(module), entry)
    (scratch / "in").write_bytes(STDIN.get(tool, "").encode() if stdin is None else stdin)
    pid = os.fork()
    if not pid:
        try:
            for fd, name in enumerate(("in", "out", "err")):
                flags = os.O_RDONLY if fd == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                os.dup2(os.open(scratch / name, flags, 0o600), fd)
            os.closerange(3, 256)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            os.environ["VISUAL"] = "true"
            for name, value in (environment or {}).items():
                # What the process got is what the tools look at.
                os.environ[name] = value
                posix.environ[os.fsencode(name)] = os.fsencode(value)
            # Behind the others: -D has to be the first.
            sys.argv = [tool, *arguments, *options]
            main()
        except BaseException:
            import traceback

            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(120)
    deadline = time.monotonic() + PATIENCE
    status: int | None = None
    while time.monotonic() < deadline:
        done, wait = os.waitpid(pid, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(wait)
            break
        time.sleep(0.001)
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    out, err = ((scratch / name).read_bytes().decode(errors="replace") for name in ("out", "err"))
    return Outcome(status, out, err)


def where(tool: str, root: Path, mode: str) -> tuple[str, ...]:
    """The options that choose the root. mode: root, prefix, or both (a prefix inside of --root)."""
    letter = "-Q" if tool == "gpasswd" else "-R"
    if mode == "root":
        return (letter, str(root))
    if mode == "prefix":
        return ("-P", str(root))
    return (letter, str(root.parent), "-P", f"/{root.name}")
