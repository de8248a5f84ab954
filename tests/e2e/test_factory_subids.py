# SPDX-License-Identifier: MIT
"""subuid and subgid rows that the image has as factory files count from before the first boot has copied them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.overlay import in_overlay, run_tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

ROWS = "ann:100000:65536\nbob:300000:65536\n"
ROOT = Path("/srv/root")


def test_factory_rows_count_before_the_first_boot() -> None:
    in_overlay(_edit)


def _tool(*command: str) -> None:
    done = run_tool(f"/usr/sbin/{command[0]}", "--root", str(ROOT), *command[1:])
    assert (done.returncode, done.stderr) == (0, "")


def _edit() -> None:
    (ROOT / "etc").mkdir(parents=True)
    (ROOT / "usr/share/factory/etc").mkdir(parents=True)
    (ROOT / "usr/lib").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        shutil.copy(f"/etc/{name}", ROOT / "usr/lib")
    factory = [ROOT / "usr/share/factory/etc" / name for name in ("subuid", "subgid")]
    local = [ROOT / "etc" / name for name in ("subuid", "subgid")]
    for path in factory:
        path.write_text(ROWS)
    _tool("groupadd", "devs")
    assert not any(path.exists() for path in local)
    _tool("useradd", "jon")
    for path in local:
        assert path.read_text() == ROWS + "jon:165536:65536\n"
    # From here on /etc is what counts.
    _tool("userdel", "jon")
    for path in local:
        assert path.read_text() == ROWS
        path.unlink()
    for path in factory:
        path.write_text("root:100000:65536\n")
    _tool("usermod", "-V", "100000-165535", "root")
    assert (local[0].read_text(), local[1].exists()) == ("", False)
    assert [path.read_text() for path in factory] == ["root:100000:65536\n"] * 2
