# SPDX-License-Identifier: MIT
"""Builds the NSS module and its test programs, and makes throw-away roots. Needs root, cc and make."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.roots.held import HeldRoot
from tests.support.worker import system_root

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
ASAN = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
FLAGS = {
    "plain": "-O2 -g",
    "asan": ASAN,
    # The index is asked for all but the first bytes of a file, and for a file however new.
    "index": f"{ASAN} -DFIRST_READ=8 -DFIRST_LOOK=0 -DTICK=0",
    "tsan": "-O1 -g -fsanitize=thread",
}


def make(directory: Path, *arguments: str) -> None:
    subprocess.run(["make", "-s", "-C", directory, *arguments], check=True)


class Programs:
    """The module for one DATADIR, the C programs beside it, all with the same flags."""

    def __init__(self, directory: Path, kind: str, datadir: Path) -> None:
        self.directory = directory
        self.datadir = datadir
        self.flags = FLAGS[kind]
        self.module = directory / "libnss_altfiles.so.2"
        # What is below LOCALDIR is the scratch directory's too.
        where = (f"BUILD={directory}", f"DATADIR={datadir}", f"LOCALDIR={datadir}/local")
        make(TOP / "nss", *where, f"CFLAGS={self.flags}")

    def program(self, name: str) -> Path:
        target = self.directory / name
        if not target.exists():
            warnings = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
            command = ["cc", *warnings, *self.flags.split(), "-o", target, HERE / f"{name}.c"]
            subprocess.run(command, check=True)
        return target


MakePrograms = Callable[[str, Path], Programs]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> MakePrograms:
    """programs(kind, datadir), with a kind of FLAGS; built once."""
    return functools.cache(lambda kind, datadir: Programs(tmp_path_factory.mktemp(f"nss-{kind}"), kind, datadir))


@pytest.fixture
def root(request: pytest.FixtureRequest, tmp_path: Path, installed: Path) -> Iterator[HeldRoot]:
    """A root with our module and vendor files installed, and no account file at all.

    Of the system with the release of shadow-utils that the fixture is parametrized with, else of this machine.
    """
    new = HeldRoot(tmp_path, system_root(request.param) if hasattr(request, "param") else "")
    try:
        subprocess.run(["cp", "-a", installed / "usr", new.path("")], check=True)
        for name in ("passwd", "group", "shadow", "gshadow", "nsswitch.conf"):
            new.path(f"etc/{name}").unlink(missing_ok=True)
            new.path(f"usr/lib/{name}").unlink(missing_ok=True)
        yield new
    finally:
        new.close()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make install` of the module and of its data puts under DESTDIR."""
    destination = tmp_path_factory.mktemp("nss-installed")
    build = tmp_path_factory.mktemp("nss-build")
    make(TOP / "nss", "install", f"BUILD={build}", f"DESTDIR={destination}")
    make(TOP / "nss-data", "install", f"DESTDIR={destination}")
    return destination
