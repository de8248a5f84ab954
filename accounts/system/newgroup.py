# SPDX-License-Identifier: MIT
"""Another group for the caller's shell, or for a command, on the running system: newgrp(1) without set-uid."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import signal

from accounts.errors import E_CMD_NOEXEC, E_CMD_NOTFOUND, E_FAILURE, E_NOTFOUND, Fail
from accounts.model.names import is_valid_group_name
from accounts.model.release import Release
from accounts.system.audit import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from accounts.system.audit_words import Record

SHELL = "/bin/sh"


class NewGroup:
    """What is asked for. login: a login shell. group: None for the caller's primary one. command: None for a shell."""

    login = False
    group: str | None = None
    command: str | None = None


def find_gid(request: NewGroup, release: Release) -> int:
    """The GID to run with: of the group, or the caller's primary one. Raises Fail."""
    name = request.group
    # Looked at since 4.17.
    if name is not None and release >= (4, 17) and not is_valid_group_name(os.fsencode(name), release=release):
        request.group = None
        raise Fail(E_FAILURE, "provided group is not a valid group name")
    if request.group is None:
        return pwd.getpwuid(os.getuid()).pw_gid
    try:
        return grp.getgrnam(request.group).gr_gid
    except KeyError:
        raise Fail(E_NOTFOUND, f"group '{request.group}' does not exist") from None


def failure(request: NewGroup, release: Release) -> Record:
    """What is told to audit when there is no such group; its name quoted since 4.17, so that it ends no record."""
    operation = "changing"
    if request.group is not None:
        name = os.fsencode(request.group)
        if release >= (4, 17):
            operation += f" new_group={os.fsdecode(encode(name))}"
        else:
            plain = name.isascii() and name.decode().isprintable() and b" " not in name
            operation += f" new-group={request.group if plain else os.fsdecode(encode(name))}"
    return "CHGRP_ID", operation, b"", os.getuid(), False, b""


def success(gid: int, release: Release) -> Record:
    """What is told to audit when a shell has the group; commands of sg are not told."""
    word = "new_gid" if release >= (4, 17) else "new-gid"
    return "CHGRP_ID", f"changing {word}={gid}", b"", os.getuid(), True, b""


def execute(request: NewGroup, gid: int, tell: Callable[[], None]) -> NoReturn:
    """Become the shell or command with the group. tell: of the shell, before. Raises Fail and OSError."""
    groups = os.getgroups()
    if gid not in groups:
        os.setgroups([gid, *groups])
    os.setgid(gid)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if request.command is not None:
        os.execv(SHELL, ["sh", "-c", request.command])
    tell()
    account = pwd.getpwuid(os.getuid())
    shell = account.pw_shell or SHELL
    name = os.path.basename(shell)
    if not request.login:
        shell = os.environ.get("SHELL") or shell
        _become(shell, [os.path.basename(shell)], os.environ)
    os.chdir(account.pw_dir)
    environment = {
        "HOME": account.pw_dir, "SHELL": shell, "USER": account.pw_name, "LOGNAME": account.pw_name,
        "PATH": os.environ.get("PATH", os.defpath), "TERM": os.environ.get("TERM", "dumb"),
    }  # fmt: skip
    _become(shell, ["-" + name], environment)


def _become(shell: str, argv: list[str], environment: Mapping[str, str]) -> NoReturn:
    try:
        os.execve(shell, argv, environment)
    except OSError as error:
        why = E_CMD_NOTFOUND if error.errno == errno.ENOENT else E_CMD_NOEXEC
        raise Fail(why, text=f"Cannot execute {shell}: {error.strerror}\n") from None
