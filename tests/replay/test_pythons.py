# SPDX-License-Identifier: MIT
"""The tools under the Python of Debian 13 and of unstable, on a part of the recorded runs; no deprecation, either.

ACCOUNTS_PYTHONS=1: all recorded runs of all releases, each in an interpreter of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.replay.__main__ import describe, group_alike
from tests.replay.run import Replayed, replay
from tests.support.overlay import TOP, in_system
from tests.support.recordings import RELEASES, load_recordings
from tests.support.worker import Tools, installed, system_root

LONG = "ACCOUNTS_PYTHONS" in os.environ
# The release whose system has it -> the interpreter.
PYTHONS = {"4.17": "cpython-313", "4.20": "cpython-314"}


COMPILE = """
import compileall, py_compile, sys
unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
assert compileall.compile_dir("/mnt/tree", quiet=1, invalidation_mode=unchecked, stripdir="/mnt/tree", prependdir="/")
sys.path.insert(0, "/mnt/scripts")
sys.argv = ["pack.py", "/mnt/tree/usr/lib/accounts", "/usr/lib/accounts"]
import pack
pack.main()
print(sys.implementation.cache_tag)
"""


def compile_tree(root: str, tree: str) -> str:
    """Compile an installed tree with a system's interpreter, as `make install` does there; what it is."""
    for name, path in (("tree", tree), ("scripts", TOP / "scripts")):
        os.mkdir(f"{root}/mnt/{name}")
        subprocess.run(["mount", "--bind", path, f"{root}/mnt/{name}"], check=True)
    command = ["chroot", root, "python3", "-W", "error", "-ISBc", COMPILE]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@pytest.fixture(scope="module", params=PYTHONS)
def tools(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    """The installed tree in the system of a release, compiled by its interpreter."""
    tree = tmp_path_factory.mktemp("tree") / "root"
    given = os.environ.get("ACCOUNTS_TOOLS")
    if given is not None:
        shutil.copytree(given, tree, symlinks=True)
    else:
        subprocess.run(["make", "-s", "-C", TOP, "install", f"DESTDIR={tree}", "PREFIX=/usr"], check=True)
        shutil.rmtree(tree / "usr/share/accounts")
    system = system_root(request.param)
    assert in_system(system, compile_tree, str(tree), enter=False) == PYTHONS[request.param]
    assert (tree / f"usr/lib/accounts/accounts/{PYTHONS[request.param]}.pack").exists()
    yield Tools(installed(str(tree)).directories, str(tree), system)


def failures_of(runs: Iterator[Replayed]) -> tuple[int, str]:
    """How many runs there were, and those that differ."""
    found = []
    count = 0
    for run in runs:
        count += 1
        if not run.verdict.ok:
            found.append(run)
    return count, "\n".join(f"[{len(alike)} alike] {describe(alike[0])}" for alike in group_alike(found)[:8])


@pytest.mark.parametrize("release", RELEASES)
def test_recorded_runs(release: str, tools: Tools) -> None:
    cases = load_recordings(release=release)
    count, text = failures_of(replay(cases if LONG else cases[7::50], tools=tools, forked=not LONG))
    assert not text, text
    assert count > (5000 if LONG else 100)


def test_an_interpreter_of_its_own(tools: Tools) -> None:
    count, text = failures_of(replay(load_recordings(release="4.20")[3::100], ("split",), tools=tools))
    assert not text, text
    assert count > 20
