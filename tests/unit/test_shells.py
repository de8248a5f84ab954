# SPDX-License-Identifier: MIT
"""Which shells a system lists: /etc/shells, else the vendor's, and shells.d."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.system.shells import is_listed
from accounts.system.target import Target


def listed(root: Path, *shells: str) -> list[str]:
    target = Target(bytes(root))
    try:
        return [shell for shell in shells if is_listed(target, shell.encode())]
    finally:
        target.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path


def test_lines_are_read_as_getusershell_does(root: Path) -> None:
    (root / "etc/shells").write_text("# shells\n/bin/sh\n  /bin/bash # good\n#/bin/no\nx /bin/odd y\n/\n")
    assert listed(root, "/bin/sh", "/bin/bash", "/bin/no", "/bin/odd", "/bin/csh", "") == [
        "/bin/sh", "/bin/bash", "/bin/odd",
    ]  # fmt: skip


def test_without_a_file_there_are_two(root: Path) -> None:
    assert listed(root, "/bin/sh", "/bin/csh", "/bin/bash") == ["/bin/sh", "/bin/csh"]


def test_the_vendors_file_and_drop_ins_count(root: Path) -> None:
    for name, text in (("usr/etc/shells", "/bin/sh\n"), ("usr/etc/shells.d/fish", "/bin/fish\n")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "etc/shells.d").mkdir()
    (root / "etc/shells.d/zsh").write_text("/bin/zsh\n")
    assert listed(root, "/bin/sh", "/bin/fish", "/bin/zsh", "/bin/csh") == ["/bin/sh", "/bin/fish", "/bin/zsh"]
    (root / "etc/shells").write_text("/bin/ksh\n")
    assert listed(root, "/bin/sh", "/bin/ksh", "/bin/zsh") == ["/bin/ksh", "/bin/zsh"]


def test_what_cannot_be_read_lists_nothing(root: Path) -> None:
    (root / "etc/shells").mkdir()
    assert listed(root, "/bin/sh", "/bin/bash") == ["/bin/sh"]
