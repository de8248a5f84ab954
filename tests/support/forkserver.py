# SPDX-License-Identifier: MIT
"""Runs tools of ours inside a root by fork(2) of one interpreter that has their modules, and not by exec(2).

Starting an interpreter takes three quarters of a run's time. What a run does after that is the same: the program's own
text is executed, with its arguments, environment, descriptors, umask and working directory. A tool ends by _exit(2).

    python3 -ISXutf8 forkserver.py SOCKET PACKAGE     PACKAGE: the directory that the programs take accounts/ from
"""

from __future__ import annotations

import importlib
import marshal
import os
import posix
import signal
import socket
import sys
import traceback

MAX_REQUEST = 1 << 20
# What runs of the tools load, by tool or later; not the commands of an image or of a machine.
PACKAGES = ("accounts", "accounts.cli", "accounts.edit", "accounts.model", "accounts.system")
LIBRARIES = ("_ctypes", "_random", "_socket", "_struct", "ctypes", "grp", "math", "pwd", "random", "re", "struct")
NOT_LOADED = ("accounts.cli.image", "accounts.cli.machine", "accounts.cli.main", "accounts.cli.report")
# A checkout has them not; a tool that needs them says so when it runs.
ONLY_INSTALLED = ("filelock", "passlib")


def load(package: str) -> None:
    """Import the modules of the tools, and what they import later."""
    sys.path.insert(0, package)
    for name in LIBRARIES:
        importlib.import_module(name)
    for parent in PACKAGES:
        directory = os.path.join(package, *parent.split("."))
        for entry in sorted(os.listdir(directory)):
            name = f"{parent}.{entry.removesuffix('.py')}"
            if not entry.endswith(".py") or entry.startswith("__") or name.startswith(NOT_LOADED):
                continue
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name not in ONLY_INSTALLED:
                    raise


def run(program: str, code: object, argv: list[str], environment: dict[str, str], umask: int, fds: list[int]) -> None:
    """Be the program. Does not return."""
    status = 255
    try:
        os.setsid()
        for target, descriptor in enumerate(fds):
            os.dup2(descriptor, target)
        os.closerange(3, 64)
        os.chdir("/tmp")
        os.umask(umask)
        os.environ.clear()
        os.environ.update(environment)
        posix.environ.clear()
        posix.environ.update({os.fsencode(name): os.fsencode(value) for name, value in environment.items()})
        sys.argv = [program, *argv]
        sys.path.pop(0)
        for number in (signal.SIGINT, signal.SIGXFSZ, signal.SIGPIPE):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_IGN)
        exec(code, {"__name__": "__main__", "__file__": program})  # type: ignore[arg-type]
        os.write(2, b"forkserver: the program did not end\n")
    except SystemExit as error:
        # As the interpreter: the number, 0 for None, or a text and 1.
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        status = 1
    finally:
        os._exit(status)


def serve(link: socket.socket) -> None:
    """Answer a request (program, argv, environment, umask; three descriptors) with the process, then its status."""
    codes: dict[str, object] = {}
    while True:
        message, fds, _, _ = socket.recv_fds(link, MAX_REQUEST, 3)
        if not message:
            return
        program, argv, environment, umask = marshal.loads(message)
        if program not in codes:
            with open(program, encoding="utf-8") as stream:
                codes[program] = compile(stream.read(), program, "exec")
        child = os.fork()
        if not child:
            run(program, codes[program], argv, environment, umask, fds)
        for descriptor in fds:
            os.close(descriptor)
        link.send(child.to_bytes(8, "little"))
        _, status = os.waitpid(child, 0)
        link.send(os.waitstatus_to_exitcode(status).to_bytes(8, "little", signed=True))


if __name__ == "__main__":
    load(sys.argv[2])
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection)
