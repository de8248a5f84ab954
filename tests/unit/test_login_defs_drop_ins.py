# SPDX-License-Identifier: MIT
"""login.defs.d: what a shadow-utils with libeconf reads besides login.defs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from accounts.change import Change
from accounts.errors import ConfigError


def uid_min(root: Path, files: dict[str, str]) -> int:
    """UID_MIN of a root with these files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "etc").mkdir(exist_ok=True)
    with Change(os.fsencode(root)) as change:
        return change.facts.defs.get_int("UID_MIN", 1000)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"etc/login.defs": "UID_MIN 2000\n"}, 2000, id="none"),
        pytest.param({"etc/login.defs.d/a.defs": "UID_MIN 2000"}, 2000, id="without login.defs"),
        pytest.param(
            {"etc/login.defs": "UID_MIN 2000", "etc/login.defs.d/a.defs": "UID_MIN 3000"}, 3000, id="over login.defs"
        ),
        pytest.param(
            {"etc/login.defs.d/20.defs": "UID_MIN 3000\n", "etc/login.defs.d/10.defs": "UID_MIN 2000\n"}, 3000,
            id="by name",
        ),
        pytest.param(
            {"usr/etc/login.defs.d/20.defs": "UID_MIN 3000\n", "etc/login.defs.d/10.defs": "UID_MIN 2000\n"}, 3000,
            id="by name, whatever the directory",
        ),
        pytest.param(
            {"usr/etc/login.defs.d/10.defs": "UID_MIN 3000\n", "etc/login.defs.d/10.defs": "\n"}, 1000,
            id="the administrator's stands for the vendor's",
        ),
        pytest.param(
            {"etc/login.defs.d/a.conf": "UID_MIN 2000\n", "etc/login.defs.d/.a.defs": "UID_MIN 2000\n"}, 1000,
            id="other names",
        ),
    ],
)  # fmt: skip
def test_drop_ins(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    assert uid_min(tmp_path, files) == expected


def test_one_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "etc/login.defs.d/a.defs").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"cannot read /etc/login.defs.d/a.defs"):
        uid_min(tmp_path, {})
