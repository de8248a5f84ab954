# SPDX-License-Identifier: MIT
"""This machine as a throw-away root: an overlay on a tmpfs, in a mount namespace of a child process.

The tools and the NSS module are installed into it by `make install`; the real tools are kept in /usr/real.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.installation import install as install_tools
from tests.support.roots.cached import cached_root
from tests.support.roots.mounts import overlay_root, run_quiet, unmount
from tests.support.worker import own_release, system_root

TOP = Path(__file__).resolve().parents[2]
CLONE_NEWNS = 0x20000
REAL = "/usr/real"
FAMILY = (
    *("useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "groupmems", "newusers"),
    *("chpasswd", "chgpasswd", "pwck", "grpck", "pwconv", "pwunconv", "grpconv", "grpunconv", "vipw", "vigr"),
    *("passwd", "gpasswd", "chage", "chsh", "chfn", "expiry", "newgrp", "sg"),
)
# As SYSTEMS of worker.py, with an interpreter and strace.
MACHINES = {"4.13": "debian-12-test"}
DATABASES = ("passwd", "group", "shadow", "gshadow")


def in_overlay(
    function: Callable[..., Any], *arguments: Any, stateless: bool = False, release: str = "", enter: bool = True
) -> Any:
    """Call function(*arguments) in a child, chrooted into a fresh overlay of this machine; its result.

    stateless: the machine's account files are moved to /usr/lib first and nsswitch.conf is ours. release: of
    shadow-utils; where this machine has another one, it is an overlay of a machine (MACHINES) that has it. enter: False
    calls function(root, *arguments) outside of it. Results and exceptions as in_child().
    """
    return in_child(_run, function, arguments, stateless, True, machine_with(release), enter)


def in_system(system: str, function: Callable[..., Any], *arguments: Any, enter: bool = True) -> Any:
    """Call function(*arguments) in a child, chrooted into a fresh overlay of another system's root; its result.

    system: as worker.system_root(). Nothing is installed. enter, results and exceptions: as in_overlay().
    """
    return in_child(_run, function, arguments, False, False, system, enter)


def machine_with(release: str) -> str:
    """The root of a system with all that tests need that run in an overlay; "" for this machine."""
    if release in ("", own_release()):
        return ""
    if release not in MACHINES:
        return system_root(release)
    return str(cached_root(MACHINES[release]))


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call function(*arguments) in a child process with a mount namespace of its own; its result.

    The result must pickle; an exception is raised again as AssertionError with the child's traceback.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read_end)
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
                raise OSError(ctypes.get_errno(), "unshare")
            run_quiet("mount", "--make-rprivate", "/")
            answer = (True, function(*arguments))
        except BaseException:
            answer = (False, traceback.format_exc())
        with os.fdopen(write_end, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        good, result = pickle.load(pipe)
    os.waitpid(pid, 0)
    assert good, result
    return result


def _run(
    function: Callable[..., Any], arguments: tuple[Any, ...], stateless: bool, install: bool, system: str, enter: bool
) -> Any:
    base = tempfile.mkdtemp(prefix="accounts-test.", dir="/var/tmp")
    home = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        root = overlay_root(base, system=system or "/")
        if install:
            os.mkdir(f"{root}{REAL}")
            for name in FAMILY:
                for directory in ("/usr/sbin", "/usr/bin"):
                    if os.path.exists(f"{root}{directory}/{name}"):
                        shutil.copy(f"{root}{directory}/{name}", f"{root}{REAL}/{name}")
            install_tools(root)
        if stateless:
            move_accounts(Path(root))
        if not enter:
            return function(root, *arguments)
        os.chroot(root)
        os.chdir("/")
        return function(*arguments)
    finally:
        os.fchdir(home)
        os.chroot(".")
        unmount(base)


def move_accounts(root: Path) -> None:
    """Move the account files of a root to its image layer and wire NSS, in the simplest way there is."""
    for name in DATABASES:
        shutil.move(root / "etc" / name, root / "usr/lib" / name)
        (root / "etc" / f"{name}-").unlink(missing_ok=True)
    shutil.copy(root / "usr/share/accounts/nsswitch.conf", root / "etc/nsswitch.conf")


def run_tool(*command: str, stdin: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command with a plain environment, everything captured."""
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, errors="surrogateescape", timeout=120,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}, **options,
    )  # fmt: skip
