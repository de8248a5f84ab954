# SPDX-License-Identifier: MIT
"""Subordinate ids of an image: in its layer where libsubid can be led there, else in a factory file for /etc."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.image.check import check
from accounts.image.nsswitch import merge_nsswitch
from accounts.image.seed import seed
from tests.image.accounts import change, make_image, wire_image
from tests.image.elf_files import make_library
from tests.image.rootfs import make, tell

PLUGIN = "usr/lib/x86_64-linux-gnu/libsubid_altfiles.so"
TMPFILES = "usr/lib/tmpfiles.d/accounts-image.conf"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = wire_image(make_image(tmp_path / "root"))
    make(root, {"etc/subuid": "www-data:200000:65536\nalice:100000:65536\n"})
    return root


def add_plugin(root: Path) -> None:
    (root / PLUGIN).write_bytes(make_library())
    change(root, "etc/nsswitch.conf", "gshadow: files altfiles\n", "gshadow: files altfiles\nsubid: altfiles\n")


def test_with_the_plugin_they_are_a_part_of_the_image(root: Path) -> None:
    add_plugin(root)
    seed(root)
    assert (root / "usr/lib/subuid").read_text() == "alice:100000:65536\nwww-data:200000:65536\n"
    assert not (root / "etc/subuid").exists()
    assert "f /etc/subuid 0644 root root - -\n" in (root / TMPFILES).read_text()
    assert not [one for one in check(root).findings if one.rule == "nsswitch"]
    before = tell(root)
    seed(root)
    assert tell(root) == before


def test_without_it_a_factory_file_brings_them_to_etc(root: Path) -> None:
    seed(root)
    assert not (root / "usr/lib/subuid").exists()
    assert (root / "usr/share/factory/etc/subuid").read_text() == "alice:100000:65536\nwww-data:200000:65536\n"
    assert "C /etc/subuid - - - - -\n" in (root / TMPFILES).read_text()


def test_a_root_that_gets_the_plugin_later_has_them_moved_on(root: Path) -> None:
    seed(root)
    add_plugin(root)
    make(root, {"etc/subuid": "new:400000:65536\n"})
    seed(root)
    assert (root / "usr/lib/subuid").read_text() == "alice:100000:65536\nnew:400000:65536\nwww-data:200000:65536\n"
    assert not (root / "usr/share/factory/etc/subuid").exists()
    assert [line for line in (root / TMPFILES).read_text().splitlines() if "subuid" in line] == [
        "f /etc/subuid 0644 root root - -"
    ]


def test_check_knows_ranges_that_nobody_reads(root: Path) -> None:
    add_plugin(root)
    seed(root)
    change(root, "etc/nsswitch.conf", "subid: altfiles\n", "")
    assert [one.message for one in check(root).findings if one.rule == "nsswitch"] == [
        "/etc/nsswitch.conf: nobody reads /usr/lib/subuid: 'subid: altfiles' is what it takes"
    ]
    change(root, "etc/nsswitch.conf", "gshadow: files altfiles\n", "gshadow: files altfiles\nsubid: altfiles\n")
    (root / PLUGIN).unlink()
    assert [one.message for one in check(root).findings if one.rule == "nsswitch"] == [
        "/etc/nsswitch.conf: nobody reads /usr/lib/subuid: there is no libsubid_altfiles.so"
    ]


@pytest.mark.parametrize(
    ("line", "merged"),
    [
        (b"", b"subid:          altfiles\n"),
        (b"subid: files\n", b"subid:          altfiles\n"),
        (b"subid: sss\n", b"subid: sss\n"),
        (b"subid: altfiles\n", b"subid: altfiles\n"),
    ],
)
def test_wire_leads_libsubid_to_the_plugin(line: bytes, merged: bytes) -> None:
    text = merge_nsswitch(b"passwd: files\nhosts: files dns\n" + line, subids=True)
    assert text.endswith(merged)
    assert merge_nsswitch(text, subids=True) == text
    assert b"subid" not in merge_nsswitch(b"passwd: files\n")
