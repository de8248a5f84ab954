# SPDX-License-Identifier: MIT
"""An overlay of a system below a directory, in the mount namespace of the process. Needs the standard library only."""

from __future__ import annotations

import os
import subprocess


class SetupFailed(Exception):
    """A command of the set-up has failed; str() has its output."""


def run_quiet(*command: str) -> None:
    """Run a command of the set-up; show its output only when it fails."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise SetupFailed(f"{' '.join(command)}: exit {result.returncode}\n{result.stdout}")


def make_root(base: str, in_memory: bool = True, system: str = "/") -> str:
    """Mount an overlay of a system below base, with proc, run and dev, and return its path.

    in_memory: what it changes is kept on a tmpfs.
    """
    root = mount_overlay(base, in_memory, system)
    run_quiet("mount", "-t", "proc", "proc", f"{root}/proc")
    run_quiet("mount", "-t", "tmpfs", "tmpfs", f"{root}/run")
    run_quiet("mount", "--rbind", "/dev", f"{root}/dev")
    return root


def mount_overlay(base: str, in_memory: bool = True, system: str = "/") -> str:
    """The overlay alone."""
    if in_memory:
        run_quiet("mount", "-t", "tmpfs", "tmpfs", base)
    root, upper, work = (os.path.join(base, name) for name in ("root", "upper", "work"))
    for path in (root, upper, work):
        os.mkdir(path, 0o755)
    run_quiet("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={system},upperdir={upper},workdir={work}", root)
    return root


def unmount(base: str) -> None:
    """Take away what was mounted below base, and base."""
    subprocess.run(["umount", "-R", "-l", base], check=False)
    os.rmdir(base)
