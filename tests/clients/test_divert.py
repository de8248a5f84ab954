# SPDX-License-Identifier: MIT
"""packaging/debian/divert: Debian's tools go aside, ours never do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import TOP, DebianRoot, debian_root, install_diverted

pytestmark = pytest.mark.skipif(not available(), reason="needs root and debootstrap")

DIVERT = TOP / "packaging/debian/divert"


def divert(root: DebianRoot, *options: str) -> tuple[int, str]:
    """Exit status and what it printed."""
    done = subprocess.run([DIVERT, *options, root.path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def programs(root: DebianRoot) -> dict[str, tuple[int, int, bytes]]:
    """Mode, size and beginning of each file in the two directories."""
    found = {}
    for directory in ("usr/bin", "usr/sbin"):
        for path in Path(root.path, directory).iterdir():
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                with open(path, "rb") as file:
                    found[f"{directory}/{path.name}"] = (status.st_mode, status.st_size, file.read(40))
    return found


def _in_order() -> None:
    with debian_root(stateless=False) as root:
        before = programs(root)
        install_diverted(root)
        assert divert(root) == (0, "")  # a second call changes nothing
        assert programs(root)["usr/bin/passwd.distrib"] == before["usr/bin/passwd"]
        assert divert(root, "--undo") == (0, "")
        after = programs(root)
        assert {name: after.get(name) for name in before} == before


def _ours_in_place() -> None:
    with debian_root(stateless=False) as root:
        subprocess.run(["make", "-s", "-C", TOP, "install", f"DESTDIR={root.path}", "PREFIX=/usr"], check=True)
        before = programs(root)
        status, output = divert(root)
        assert status == 1
        assert "divert: /usr/bin/passwd is ours and no longer Debian's: " in output
        assert programs(root) == before
        assert "passwd.distrib" not in root.check("dpkg-divert --list")


def _ours_aside() -> None:
    with debian_root(stateless=False) as root:
        install_diverted(root)
        ours, aside = Path(root.path, "usr/bin/passwd"), Path(root.path, "usr/bin/passwd.distrib")
        aside.write_bytes(ours.read_bytes())
        os.chmod(aside, 0o4755)
        assert divert(root) == (
            1, "divert: /usr/bin/passwd.distrib is ours: remove it, then apt-get install --reinstall passwd login\n"
        )  # fmt: skip


@pytest.mark.parametrize("case", [_in_order, _ours_in_place, _ours_aside])
def test_divert(case: object) -> None:
    in_child(case)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--help"], 2, "usage: divert [--undo] [ROOT]"),
        (["--udno", "/"], 2, "usage: divert [--undo] [ROOT]"),
        (["/nonexistent"], 1, "divert: /nonexistent is not the root directory of a Debian"),
        (["--undo", "/nonexistent/"], 1, "divert: /nonexistent/ is not the root directory of a Debian"),
    ],
)
def test_a_slip_of_the_pen_is_no_success(arguments: list[str], status: int, told: str) -> None:
    done = subprocess.run([DIVERT, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (status, "") and done.stderr.startswith(told)
