# SPDX-License-Identifier: MIT
"""The roots that the pages' commands run in, and the shell that runs them.

All are overlays of this machine's /usr with our tools in it, and hold no other file of this machine but those of /etc.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.docs.blocks import Block, Command, Page
from tests.support.installation import install
from tests.support.roots.mounts import mount_overlay, run_quiet

TOP = Path(__file__).resolve().parents[2]
END = "\x1e"
# Whether the long blocks run, too.
LONG = os.environ.get("ACCOUNTS_TUTORIALS") == "1"
ACCOUNT_FILES = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
# What the image of the pages has: the names that everybody knows of a Debian.
USERS = {
    "root": (0, "root:/root:/bin/bash"), "daemon": (1, "daemon:/usr/sbin:/usr/sbin/nologin"),
    "games": (5, "games:/usr/games:/usr/sbin/nologin"), "www-data": (33, "www-data:/var/www:/usr/sbin/nologin"),
    "backup": (34, "backup:/var/backups:/usr/sbin/nologin"), "sshd": (101, ":/run/sshd:/usr/sbin/nologin"),
    "nobody": (65534, "nobody:/nonexistent:/usr/sbin/nologin"),
}  # fmt: skip
GROUPS = {
    "root": 0, "daemon": 1, "adm": 4, "tty": 5, "audio": 29, "dip": 30, "www-data": 33, "backup": 34, "shadow": 42,
    "utmp": 43, "video": 44, "plugdev": 46, "games": 60, "users": 100, "docker": 998, "nogroup": 65534,
}  # fmt: skip


def write_accounts(directory: Path) -> None:
    """The image's account files."""
    gids = {"sshd": 65534, "games": 60}
    texts = {
        "passwd": [f"{name}:x:{uid}:{gids.get(name, uid)}:{rest}" for name, (uid, rest) in USERS.items()],
        "shadow": [f"{name}:*:20000:0:99999:7:::" for name in USERS],
        "group": [f"{name}:x:{gid}:" for name, gid in GROUPS.items()],
        "gshadow": [f"{name}:*::" for name in GROUPS],
    }
    for name, lines in texts.items():
        path = directory / name
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(0o640 if name.endswith("shadow") else 0o644)
        os.chown(path, 0, 42 if name.endswith("shadow") else 0)


def make_base(base: str) -> Path:
    """A directory with what is the same for all pages: tools/, as installed, and machine/, without accounts."""
    run_quiet("mount", "-t", "tmpfs", "tmpfs", base)
    installed, root = f"{base}/tools", Path(base, "machine")
    for path in (installed, root):
        os.mkdir(path, 0o755)
    tools = os.environ.get("ACCOUNTS_TOOLS")
    if tools:
        run_quiet("cp", "-a", f"{TOP / tools}/usr", installed)
    else:
        install(installed)
    run_quiet("make", "-s", "-C", str(TOP / "nss-data"), "install", f"DESTDIR={installed}", "PREFIX=/usr",
              "UNITDIR=/usr/lib/systemd/system", "SHADOW_COMPAT=4.13")  # fmt: skip
    run_quiet("cp", "-a", "/etc", str(root))
    for name in ACCOUNT_FILES:
        for tail in ("", "-"):
            (root / "etc" / (name + tail)).unlink(missing_ok=True)
    (root / "etc/security/opasswd").unlink(missing_ok=True)
    for name in ("accounts", "accounts.d", "login.defs.d"):
        shutil.rmtree(root / "etc" / name, ignore_errors=True)
    for name in (
        "dev",
        "home",
        "mnt",
        "proc",
        "root",
        "run",
        "srv",
        "sys",
        "tmp",
        "usr",
        "var/lib",
        "var/log",
        "var/mail",
    ):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(os.readlink(f"/{name}"))
    return Path(base)


def stateless(root: Path) -> None:
    """A machine whose image has the accounts, with the wiring that `accounts image wire` makes."""
    write_accounts(root / "usr/lib")
    (root / "etc/nsswitch.conf").unlink(missing_ok=True)
    (root / "etc/nsswitch.conf").symlink_to("../usr/share/accounts/nsswitch.conf")


def classic(root: Path) -> None:
    """A machine without an image layer."""
    write_accounts(root / "etc")
    (root / "etc/nsswitch.conf").unlink(missing_ok=True)
    (root / "etc/nsswitch.conf").write_text("".join(f"{name}: files\n" for name in ACCOUNT_FILES[:4]))


def builder(root: Path, base: Path | None = None) -> None:
    """A build host, classic, with the root directory of a small Debian in /srv/rootfs, and this checkout in /src.

    base: has tools that are in that root, too; without it they are not on the host either.
    """
    classic(root)
    # Of this machine's own release: the module is built against its libc.
    trixie = "VERSION_CODENAME=trixie" in Path("/etc/os-release").read_text()
    make = [TOP / "tests/support/make-root.sh", "debian-13-test" if trixie else "debian-12-test"]
    system = subprocess.run(make, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    place = root / "srv/rootfs"
    place.mkdir(parents=True)
    # What is built there is built there only.
    (root / "src").mkdir()
    _mount_over(root, str(TOP), "src")
    if LONG and base is None:
        return  # the page makes it
    lower = system if base is None else f"{base}/tools:{system}"
    _mount_over(root, lower, "srv/rootfs")


def _mount_over(root: Path, lower: str, place: str) -> None:
    """Show directories at a place in the root, to be changed there and nowhere else."""
    upper = tempfile.mkdtemp(dir=root.parent)
    for name in ("upper", "work"):
        os.mkdir(f"{upper}/{name}", 0o755)
    options = f"lowerdir={lower},upperdir={upper}/upper,workdir={upper}/work"
    run_quiet("mount", "-t", "overlay", "overlay", "-o", options, str(root / place))


# Name -> what makes it of (the root, the base).
ROOTS: dict[str, Callable[[Path, Path], None]] = {
    "stateless": lambda root, base: stateless(root),
    "classic": lambda root, base: classic(root),
    "builder": lambda root, base: builder(root),
    "tools": builder,
}


class Shell:
    """A shell in a root, which runs one command after the other; what they change of it stays, as for a reader."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            ["chroot", root, "/bin/sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, cwd="/", bufsize=1,
            env={name: os.environ[name] for name in ("http_proxy", "https_proxy") if name in os.environ}
            | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root", "TERM": "dumb"},
        )  # fmt: skip

    def run(self, command: Command) -> str:
        """What the command prints, on either output."""
        text = command.text
        if command.user:
            text = f"su -s /bin/sh alice -c {shlex.quote(text)}"
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{{ {text}\n}} </dev/null\nprintf '\\036\\n'\n")
        self._process.stdin.flush()
        printed = ""
        for line in self._process.stdout:
            printed += line
            if printed.endswith(END + "\n"):
                return printed[: -len(END) - 1]
        raise AssertionError(f"the shell has ended: {text}\n{printed}")

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def is_run(block: Block) -> bool:
    """Whether a block is: a long one if that is asked for, no other test runs it, and this machine has the programs."""
    words = [command.text.split()[0] for command in block.commands if not command.hidden]
    here = not block.test and all(word == "cd" or shutil.which(word) for word in words)
    return not block.long or (LONG and here)


def run_page(base: Path, page: Page) -> list[tuple[Command, str]]:
    """Each command of a page and what it printed, in a root of its own over base."""
    place = tempfile.mkdtemp(prefix="page.", dir="/var/tmp")
    try:
        root = Path(mount_overlay(place, system=f"{base}/machine"))
        for name in ("upper-usr", "work-usr"):
            os.mkdir(f"{place}/{name}")
        # Who builds has a Debian with nothing of ours, as its page says.
        usr = "/usr" if page.root == "builder" else f"{base}/tools/usr:/usr"
        options = f"lowerdir={usr},upperdir={place}/upper-usr,workdir={place}/work-usr"
        run_quiet("mount", "-t", "overlay", "overlay", "-o", options, str(root / "usr"))
        for kind, where in (("proc", "proc"), ("tmpfs", "run"), ("tmpfs", "tmp")):
            run_quiet("mount", "-t", kind, kind, str(root / where))
        run_quiet("mount", "--rbind", "/dev", str(root / "dev"))
        ROOTS[page.root](root, base)
        shell = Shell(root)
        try:
            return [
                (command, shell.run(command)) for block in page.blocks if is_run(block) for command in block.commands
            ]
        finally:
            shell.close()
    finally:
        subprocess.run(["umount", "-R", "-l", place], check=False, capture_output=True)
        os.rmdir(place)
