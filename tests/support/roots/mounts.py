# SPDX-License-Identifier: MIT
"""An overlay of a system below a directory, in the mount namespace of the process. Needs the standard library only."""

from __future__ import annotations

import ctypes
import os
import subprocess

# Flags of mount(2).
RDONLY, REMOUNT, BIND, REC, PRIVATE = 1, 32, 4096, 16384, 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]


class SetupFailed(Exception):
    """A command of the set-up has failed; str() has its output."""


def run_quiet(*command: str) -> None:
    """Run a command of the set-up; show its output only when it fails."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise SetupFailed(f"{' '.join(command)}: exit {result.returncode}\n{result.stdout}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError."""
    if _libc.mount(source.encode(), target.encode(), kind.encode() or None, flags, data.encode() or None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def overlay_root(base: str, in_memory: bool = True, system: str = "/") -> str:
    """Mount an overlay of a system below base, with proc, run and dev, and return its path.

    in_memory: what it changes is kept on a tmpfs.
    """
    root = mount_overlay(base, in_memory, system)
    mount("proc", f"{root}/proc", "proc")
    mount("tmpfs", f"{root}/run", "tmpfs")
    mount("/dev", f"{root}/dev", "", BIND | REC)
    return root


def mount_overlay(base: str, in_memory: bool = True, system: str = "/") -> str:
    """The overlay alone."""
    if in_memory:
        mount("tmpfs", base, "tmpfs")
    root, upper, work = (os.path.join(base, name) for name in ("root", "upper", "work"))
    for path in (root, upper, work):
        os.mkdir(path, 0o755)
    mount("overlay", root, "overlay", 0, f"lowerdir={system},upperdir={upper},workdir={work}")
    return root


def unmount(base: str) -> None:
    """Take away what was mounted below base, and base."""
    subprocess.run(["umount", "-R", "-l", base], check=False)
    os.rmdir(base)
