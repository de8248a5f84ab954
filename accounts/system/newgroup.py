# SPDX-License-Identifier: MIT
"""Another group for the caller's shell, or for a command, on the running system: newgrp(1) without set-uid."""

from __future__ import annotations

import grp
import os
import pwd
import signal

from accounts.errors import E_FAILURE, E_NOTFOUND, Fail
from accounts.model.names import is_valid_group_name
from accounts.model.release import Release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SHELL = "/bin/sh"


class NewGroup:
    """What is asked for. login: a login shell. group: None for the caller's primary one. command: None for a shell."""

    login = False
    group: str | None = None
    command: str | None = None


def check_group(request: NewGroup, release: Release) -> None:
    """Whether what is asked for could be a group's name, as is looked at since 4.17. Raises Fail."""
    name = request.group
    if name is not None and release >= (4, 17) and not is_valid_group_name(os.fsencode(name), release=release):
        raise Fail(E_FAILURE, "provided group is not a valid group name")


def find_gid(request: NewGroup) -> int:
    """The GID to run with: of the group, or the caller's primary one. Raises Fail."""
    if request.group is None:
        return pwd.getpwuid(os.getuid()).pw_gid
    try:
        return grp.getgrnam(request.group).gr_gid
    except KeyError:
        raise Fail(E_NOTFOUND, f"group '{request.group}' does not exist") from None


def execute(request: NewGroup, gid: int) -> NoReturn:
    """Become the shell or command with the group. Raises OSError."""
    groups = os.getgroups()
    if gid not in groups:
        os.setgroups([gid, *groups])
    os.setgid(gid)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if request.command is not None:
        os.execv(SHELL, ["sh", "-c", request.command])
    account = pwd.getpwuid(os.getuid())
    shell = account.pw_shell or SHELL
    name = os.path.basename(shell)
    if not request.login:
        shell = os.environ.get("SHELL") or shell
        os.execv(shell, [os.path.basename(shell)])
    os.chdir(account.pw_dir)
    environment = {
        "HOME": account.pw_dir, "SHELL": shell, "USER": account.pw_name, "LOGNAME": account.pw_name,
        "PATH": os.environ.get("PATH", os.defpath), "TERM": os.environ.get("TERM", "dumb"),
    }  # fmt: skip
    os.execve(shell, ["-" + name], environment)
