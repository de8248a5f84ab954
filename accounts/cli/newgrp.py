# SPDX-License-Identifier: MIT
"""newgrp(1) and sg(1): run a shell or a command with another group.

The distribution's set-uid newgrp asks NSS and so knows both layers: where it is diverted it is what runs, for
root too. Without it root gets the group all the same, and others are told that it takes a set-uid program.
"""

from __future__ import annotations

import grp
import os
import pwd
import signal

from accounts.cli.run import program
from accounts.cli.setuid import DIVERTED, exec_diverted
from accounts.cli.tool import Given, Tool
from accounts.errors import E_FAILURE, E_NOPERM, E_NOTFOUND, Fail, Usage
from accounts.model.names import is_valid_group_name
from accounts.model.release import Release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# What "-" and "-c" mean depends on where they stand.
TOOL_NEWGRP = Tool("newgrp", "Usage: newgrp [-] [group]\n", (), {}, raw=True)
USAGE_SG = """\
4.19-|Usage: sg group [[-c] command]
4.19+|Usage: sg [-] group [[-c] command]
"""
TOOL_SG = Tool("sg", USAGE_SG, (), {}, raw=True)
SHELL = "/bin/sh"


class Request:
    """What the command line asks for; None where nothing."""

    login = False
    group: str | None = None
    command: str | None = None


def parse_arguments(prog: str, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage."""
    request = Request()
    words = [os.fsdecode(word) for word in argv]
    if words and words[0] in ("-", "-l"):
        request.login = True
        del words[0]
    if words and not words[0].startswith("-"):
        request.group = words.pop(0)
    elif words or prog == "sg":
        raise Usage
    if prog == "sg" and words:
        # Both "sg group -c command" and "sg group command".
        request.command = words[1] if len(words) > 1 and words[0] == "-c" else words[0]
    return request


def check_group(request: Request, release: Release) -> None:
    """Whether what is asked for could be a group's name, as is looked at since 4.17. Raises Fail."""
    name = request.group
    if name is not None and release >= (4, 17) and not is_valid_group_name(os.fsencode(name), release=release):
        raise Fail(E_FAILURE, "provided group is not a valid group name")


def find_gid(request: Request) -> int:
    """The GID to run with: of the group, or the caller's primary one. Raises Fail."""
    if request.group is None:
        return pwd.getpwuid(os.getuid()).pw_gid
    try:
        return grp.getgrnam(request.group).gr_gid
    except KeyError:
        raise Fail(E_NOTFOUND, f"group '{request.group}' does not exist") from None


def execute(request: Request, gid: int) -> NoReturn:
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


def body(given: Given) -> NoReturn:
    """Run newgrp or sg; returns only by an error."""
    exec_diverted(given.run.console.prog, "newgrp", given.operands)
    request = parse_arguments(given.run.tool.name, given.operands)
    check_group(request, given.run.release)
    gid = find_gid(request)
    if os.geteuid():
        path = DIVERTED.format("newgrp")
        raise Fail(E_NOPERM, f"Permission denied: this needs a set-uid program, there is no {path}")
    execute(request, gid)


main = program(TOOL_NEWGRP)(body)
main_sg = program(TOOL_SG)(body)
