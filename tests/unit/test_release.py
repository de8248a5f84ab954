# SPDX-License-Identifier: MIT
"""Which release of shadow-utils the tools are like: accounts.conf of the running system, and who writes it."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from accounts.errors import ConfigError
from accounts.model.release import parse_release
from accounts.system.target import Target, find_release

TOP = Path(__file__).resolve().parents[2]


class Host(Target):
    """A root that passes for the running system's."""

    def __init__(self, root: Path) -> None:
        super().__init__(bytes(root))
        self.live = True


def release_of(root: Path, **files: str) -> tuple[int, int]:
    for name, text in files.items():
        path = root / {"etc": "etc", "usr": "usr/share"}[name] / "accounts/accounts.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return find_release(Host(root))


@pytest.mark.parametrize(
    ("text", "release"),
    [(f"4.{minor}", (4, minor)) for minor in range(13, 21)]
    + [(text, None) for text in ("", "4", "4.12", "4.21", "4.1", "4.130", "5.13", "4.17.4", "4.-1", " 4.17", "4.1²")],
)
def test_releases_are_those_from_4_13_to_4_20(text: str, release: tuple[int, int] | None) -> None:
    assert parse_release(text.encode()) == release


def test_the_local_setting_stands_before_the_vendors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("posix").environ, b"ACCOUNTS_SHADOW_COMPAT", raising=False)
    assert release_of(tmp_path) == (4, 13)
    assert release_of(tmp_path, usr="SHADOW_COMPAT=4.20\n") == (4, 20)
    assert release_of(tmp_path, etc="SHADOW_COMPAT='4.18'\n") == (4, 18)
    assert release_of(tmp_path, etc="HIDE=no\n") == (4, 20)
    with pytest.raises(ConfigError, match=r"^accounts.conf: SHADOW_COMPAT must be a release from 4.13 to 4.20: 'new'$"):
        release_of(tmp_path, etc="SHADOW_COMPAT=new\n")
    monkeypatch.setitem(__import__("posix").environ, b"ACCOUNTS_SHADOW_COMPAT", b"4.17")
    assert release_of(tmp_path) == (4, 17)


def test_a_target_root_does_not_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("posix").environ, b"ACCOUNTS_SHADOW_COMPAT", raising=False)
    mine = find_release(Target())
    (tmp_path / "etc/accounts").mkdir(parents=True)
    (tmp_path / "etc/accounts/accounts.conf").write_text("SHADOW_COMPAT=none\n")
    assert find_release(Target(bytes(tmp_path))) == mine


@pytest.mark.parametrize(
    ("euid", "number", "spared"),
    [(1000, errno.EACCES, True), (1000, errno.EIO, False), (1000, errno.ELOOP, False), (0, errno.EACCES, False)],
)
def test_a_configuration_that_only_root_reads_spares_others(
    euid: int, number: int, spared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(Target):
        def open(self, path: bytes, flags: int, mode: int = 0o600) -> int:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr("posix.geteuid", lambda: euid)
    target = Refusing(bytes(tmp_path))
    if spared:
        assert target.setting(b"HIDE", b"auto") == b"auto"
    else:
        with pytest.raises(ConfigError, match=f"^cannot read /.*accounts.conf: {os.strerror(number)}$"):
            target.setting(b"HIDE", b"auto")


def test_make_install_writes_the_release(tmp_path: Path) -> None:
    subprocess.run(
        ["make", "-s", "-C", TOP / "nss-data", "install", f"DESTDIR={tmp_path}", "SHADOW_COMPAT=4.18"], check=True
    )
    (line,) = (
        line for line in (tmp_path / "usr/share/accounts/accounts.conf").read_text().split("\n")
        if line.startswith("SHADOW_COMPAT=")
    )  # fmt: skip
    assert line == "SHADOW_COMPAT=4.18"


@pytest.mark.parametrize(
    ("version", "release"),
    [("1:4.13+dfsg1-1+deb12u1", "4.13"), ("1:4.17.4-2", "4.17"), ("1:4.20.3-1", "4.20"), ("1:4.11.1-1", None)],
)
def test_the_package_of_the_root_says_which(version: str, release: str | None, tmp_path: Path) -> None:
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(
        f"Package: passwd\nStatus: install ok installed\nMaintainer: x\nArchitecture: amd64\nVersion: {version}\n"
        "Description: x\n"
    )
    answers = [
        subprocess.run([TOP / "packaging/find-shadow", *root], capture_output=True, text=True, check=True).stdout
        for root in ([tmp_path], [])
    ]
    assert answers[0] == (answers[1] if release is None else release + "\n")
