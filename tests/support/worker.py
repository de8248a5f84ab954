# SPDX-License-Identifier: MIT
"""Worker processes that run account tools in throw-away roots, and the pool that feeds them.

Each worker lives in its own mount and pid namespace (unshare(1) from util-linux) and does one case at a time.
"""

from __future__ import annotations

import functools
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from tests.support.roots.cached import cached_root
from tests.support.roots.case import REPO_IN_ROOT, CaseRoot
from tests.support.state import Command, Outcome, State

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
Key = TypeVar("Key")


@dataclass(frozen=True)
class Tools:
    """Where the tools under test are.

    directories: searched in this order, as paths inside the root. lower: a DESTDIR of `make install` that is
    stacked over the system's /usr. system: the root directory of the system they run on, "" for this machine.
    """

    directories: tuple[str, ...]
    lower: str = ""
    system: str = ""

    @property
    def package(self) -> str:
        """The directory inside the root that has our package."""
        return REPO_IN_ROOT if self.of_checkout else "/usr/lib/accounts"

    @property
    def of_checkout(self) -> bool:
        """Whether these are the shims of this checkout."""
        return self.directories[0].startswith(REPO_IN_ROOT)

    def path(self, tool: str) -> str:
        """The program's path inside the root. Raises FileNotFoundError when the tool is not there (yet)."""
        for directory in self.directories:
            outside = REPO + directory.removeprefix(REPO_IN_ROOT) if self.of_checkout else directory
            # Never the machine's own tool in place of an installed one of ours that is missing.
            if os.path.exists(f"{self.lower or ('' if self.of_checkout else self.system)}{outside}/{tool}"):
                return f"{directory}/{tool}"
        raise FileNotFoundError(f"{tool} is not in {', '.join(self.directories)}")

    def has(self, tool: str) -> bool:
        """Whether the tool exists."""
        try:
            self.path(tool)
        except FileNotFoundError:
            return False
        return True


SOURCE = Tools((REPO_IN_ROOT + "/shims",))
DEBIAN = Tools(("/usr/sbin", "/usr/bin"))
# The release of shadow-utils that is recorded, and the root (make-root.sh) that has it.
SYSTEMS = {"4.13": "debian-12-minbase", "4.17": "debian-13-python", "4.20": "debian-unstable-python"}


class OtherReleaseError(Exception):
    """The system that shipped a release of shadow-utils has another one by now."""


def installed(destdir: str) -> Tools:
    """The tools of `make install DESTDIR=destdir PREFIX=/usr`."""
    return Tools(("/usr/sbin", "/usr/bin"), os.path.abspath(destdir))


def debian(release: str) -> Tools:
    """The real tools of a release of shadow-utils, on the system that ships them."""
    return Tools(DEBIAN.directories, system=system_root(release))


@functools.cache
def system_root(release: str) -> str:
    """The root directory of the system that ships a release of shadow-utils; "" where this machine is one.

    Raises OtherReleaseError: unstable moves on. What was recorded of the release remains.
    """
    if release == own_release():
        return ""
    root = str(cached_root(SYSTEMS[release]))
    version = own_release(root)
    if version != release:
        raise OtherReleaseError(f"{SYSTEMS[release]} has shadow-utils {version}, no {release} to compare with")
    return root


@functools.cache
def own_release(system: str = "") -> str:
    """The release of shadow-utils that a system's own package has, such as "4.13"; "" without a package."""
    command = ["dpkg-query", f"--admindir={system}/var/lib/dpkg", "-W", "-f", "${source:Upstream-Version}", "passwd"]
    try:
        version = subprocess.run(command, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""
    return ".".join(version.split("+")[0].split(".")[:2])


def compile_checkout() -> None:
    """Refresh the checkout's byte code: it is read-only in the root, where each run would compile anew."""
    subprocess.run(["/usr/bin/python3", "-m", "compileall", "-q", REPO + "/accounts"], check=False)


class Worker:
    """One worker process. Requests are answered in order.

    package: as Tools.package, to have a fork server run the tools; "" to start an interpreter for each.
    """

    def __init__(self, lower: str = "", system: str = "", package: str = "") -> None:
        self.connection, theirs = Pipe()
        self._base = tempfile.mkdtemp(prefix="accounts-root-")
        descriptor = theirs.fileno()
        self._process = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *(sys.executable, "-m", "tests.support.worker", str(descriptor), self._base, lower, system, package),
            ],
            cwd=REPO,
            pass_fds=[descriptor],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONPATH": REPO},
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    def send(self, state: State, program: str, command: Command) -> None:
        """Start one run; receive() gives its outcome."""
        self.connection.send((state, program, command))

    def receive(self) -> Outcome:
        """The outcome of the oldest run that was sent. Raises RuntimeError when the worker failed."""
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionError):
            raise RuntimeError(f"worker died with status {self._process.wait()}") from None
        if not isinstance(answer, Outcome):
            raise RuntimeError(f"worker failed: {answer}")
        return answer

    def run(self, state: State, program: str, command: Command) -> Outcome:
        """One run."""
        self.send(state, program, command)
        return self.receive()

    def close(self) -> None:
        """End the worker; its mounts go with its namespace."""
        self.connection.close()
        self._process.wait()
        shutil.rmtree(self._base, ignore_errors=True)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def run_all(
    jobs: Iterable[tuple[Key, State, str, Command]],
    lower: str = "",
    processes: int = 0,
    system: str = "",
    package: str = "",
) -> Iterator[tuple[Key, Outcome]]:
    """Run every job (key, state, program, command) and yield (key, outcome) as they finish. package: as Worker's."""
    compile_checkout()
    workers = [Worker(lower, system, package) for _ in range(processes or min(len(os.sched_getaffinity(0)), 8))]
    busy: dict[Connection, tuple[Worker, Key]] = {}
    try:
        idle = list(workers)
        queue = iter(jobs)
        while True:
            while idle and (job := next(queue, None)) is not None:
                key, state, program, command = job
                worker = idle.pop()
                worker.send(state, program, command)
                busy[worker.connection] = (worker, key)
            if not busy:
                return
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                worker, key = busy.pop(ready)
                yield key, worker.receive()
                idle.append(worker)
    finally:
        for worker in workers:
            worker.close()


def _serve(descriptor: int, base: str, lower: str, system: str, package: str) -> None:
    connection = Connection(descriptor)
    try:
        root = CaseRoot(base, REPO, (lower,) if lower else (), system, package)
    except OSError as error:
        connection.send(f"cannot build the root: {error}")
        return
    while True:
        try:
            state, program, command = connection.recv()
        except (EOFError, pickle.UnpicklingError):
            root.close()
            return
        try:
            connection.send(root.run(state, program, command))
        except OSError as error:
            connection.send(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    _serve(int(sys.argv[1]), *sys.argv[2:])
