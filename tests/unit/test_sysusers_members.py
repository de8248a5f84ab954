# SPDX-License-Identifier: MIT
"""`accounts sysusers`: m lines whose group only the image has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SHIM = Path(__file__).resolve().parents[2] / "shims/accounts"
FILES = {
    "usr/lib/passwd": "root:x:0:0:::\nwww:x:33:33:::\n",
    "usr/lib/group": "root:x:0:\nvideo:x:44:\nadm:x:4:www\nwww:x:33:\n",
    "etc/passwd": "liz:x:1600:1600:::\n",
    "etc/group": "liz:x:1600:\nown:x:1700:root\n",
    "usr/lib/sysusers.d/a.conf": "u www 33\nm www video\nm www adm\nm liz video\nm root own\nm www own\n",
}


def root_with(place: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def sysusers(root: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        ["/usr/bin/python3", "-IS", SHIM, "sysusers", "-R", root, *arguments],
        env={}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_members_that_are_missing_are_added_once(tmp_path: Path) -> None:
    root = root_with(tmp_path, FILES)
    assert sysusers(root)[1].splitlines() == [
        f"sysusers.d: user '{user}' added to group '{group}'"
        for user, group in (("www", "video"), ("liz", "video"), ("www", "own"))
    ]
    # adm lists www in the image, own lists root: both stay as they are.
    assert (root / "etc/group").read_text() == "liz:x:1600:\nown:x:1700:root,www\nvideo:x:44:www,liz\n"
    before = (root / "etc/group").stat()
    assert sysusers(root) == (0, "")
    assert (root / "etc/group").stat() == before


@pytest.mark.parametrize(
    "conf",
    ["m nobody video", "m www nogroup", "m www", "m - video", "m www video x y z", "g video 44", "m www 'vi", "", "#"],
)
def test_what_says_nothing_of_an_account_that_exists_changes_nothing(tmp_path: Path, conf: str) -> None:
    files = FILES | {"usr/lib/sysusers.d/a.conf": conf + "\n"}
    root = root_with(tmp_path, files)
    status, output = sysusers(root)
    assert (status, output) == (0, "")
    assert {name: (root / name).read_text() for name in files} == files


def test_a_file_of_etc_stands_for_the_one_of_usr(tmp_path: Path) -> None:
    root = root_with(tmp_path, FILES | {"etc/sysusers.d/a.conf": "m liz video\n"})
    assert sysusers(root, "--quiet") == (0, "")
    assert (root / "etc/group").read_text() == FILES["etc/group"] + "video:x:44:liz\n"


def test_wrong_use(tmp_path: Path) -> None:
    assert sysusers(root_with(tmp_path, FILES), "x")[0] == 2
