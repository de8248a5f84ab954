# SPDX-License-Identifier: MIT
"""accounts image diff OLD NEW: what of an update a machine's /etc hides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from accounts.image.diff import diff_images
from tests.image.rootfs import make

LINES = "usr/lib/tmpfiles.d/a.conf"
COPY = {LINES: "C /etc/a - - - - -\n"}
LINK = {LINES: "L /etc/a - - - - ../usr/lib/a\n"}


def found(tmp_path: Path, old: dict[str, str], new: dict[str, str], etc: dict[str, str] | None = None) -> list[str]:
    roots = [make(tmp_path / "old", {"usr/": None, **old}), make(tmp_path / "new", {"usr/": None, **new})]
    machine = None if etc is None else make(tmp_path / "machine", {**etc})
    return [f"{c.effect} {c.path} {c.what}" for c in diff_images(roots[0], roots[1], etc=machine)]


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({}, {}, []),
        (COPY | {"usr/share/factory/etc/a": "1"}, COPY | {"usr/share/factory/etc/a": "1"}, []),
        (
            COPY | {"usr/share/factory/etc/a": "1"},
            COPY | {"usr/share/factory/etc/a": "2"},
            ["hidden /etc/a changed"],
        ),
        ({}, COPY | {"usr/share/factory/etc/a": "2"}, ["visible /etc/a added"]),
        (COPY | {"usr/share/factory/etc/a": "1"}, {}, ["hidden /etc/a removed"]),
        # a copied directory, file by file
        (
            COPY | {"usr/share/factory/etc/a/x": "1", "usr/share/factory/etc/a/y": "1"},
            COPY | {"usr/share/factory/etc/a/x": "1", "usr/share/factory/etc/a/y": "2"},
            ["hidden /etc/a/y changed"],
        ),
        # a source of its own
        (
            {LINES: "C /etc/a - - - - /usr/share/a\n", "usr/share/a": "1"},
            {LINES: "C /etc/a - - - - /usr/share/a\n", "usr/share/a": "2"},
            ["hidden /etc/a changed"],
        ),
        # a link shows what the image has
        (LINK | {"usr/lib/a": "1"}, LINK | {"usr/lib/a": "2"}, ["visible /etc/a changed"]),
        (
            LINK | {"usr/lib/a": "1"},
            {LINES: "L /etc/a - - - - ../usr/lib/b\n", "usr/lib/b": "1"},
            ["hidden /etc/a changed"],
        ),
        (
            LINK | {"usr/lib/a": "1"},
            {LINES: "L+ /etc/a - - - - ../usr/lib/b\n", "usr/lib/b": "1"},
            ["visible /etc/a changed"],
        ),
        (LINK | {"usr/lib/a": "1"}, {"usr/lib/a": "1"}, ["hidden /etc/a removed"]),
        # a copy where there was a link
        (
            LINK | {"usr/lib/a": "1"},
            COPY | {"usr/share/factory/etc/a": "1"},
            ["hidden /etc/a changed"],
        ),
        # kept in /etc of the image itself
        ({"etc/k": "1"}, {"etc/k": "2"}, ["hidden /etc/k changed"]),
        # below /usr nothing hides
        ({"usr/lib/motd": "1"}, {"usr/lib/motd": "2"}, []),
        # a file in /etc/tmpfiles.d voids the image's
        (
            COPY | {"etc/tmpfiles.d/a.conf": "", "usr/share/factory/etc/a": "1"},
            COPY | {"etc/tmpfiles.d/a.conf": "", "usr/share/factory/etc/a": "2"},
            [],
        ),
        (
            {"usr/lib/passwd": "a:x:1:1:::\nb:x:2:2:::\n"},
            {"usr/lib/passwd": "a:x:1:1:::/a\nc:x:3:3:::\n"},
            ["visible /usr/lib/passwd: a changed", "visible /usr/lib/passwd: b removed"]
            + ["visible /usr/lib/passwd: c added"],
        ),
    ],
)
def test_for_any_machine(tmp_path: Path, old: dict[str, str], new: dict[str, str], changes: list[str]) -> None:
    assert found(tmp_path, old, new) == changes


@pytest.mark.parametrize(
    ("etc", "changes"),
    [
        ({"b": ""}, ["visible /etc/a changed"]),
        ({"a": "1"}, ["hidden /etc/a changed"]),
        ({"a": "2"}, ["visible /etc/a changed"]),
        ({"a": "mine"}, ["replaced /etc/a changed"]),
        ({"a -> x": ""}, ["replaced /etc/a changed"]),
    ],
)
def test_for_one_machine(tmp_path: Path, etc: dict[str, str], changes: list[str]) -> None:
    old, new = COPY | {"usr/share/factory/etc/a": "1"}, COPY | {"usr/share/factory/etc/a": "2"}
    assert found(tmp_path, old, new, etc) == changes


def test_what_stands_in_front_of_a_vendor_file_is_told(tmp_path: Path) -> None:
    changes = found(
        tmp_path,
        {"usr/lib/motd": "1", "usr/lib/systemd/system/x.service": "1", "usr/lib/passwd": "a:x:1:1:::\n"},
        {"usr/lib/motd": "2", "usr/lib/systemd/system/x.service": "1", "usr/lib/passwd": "a:x:1:1:::/a\n"},
        {"motd": "mine", "systemd/system/x.service": "mine", "passwd": "a:x:1:1::/home/a:\n"},
    )
    assert changes == [
        "replaced /etc/motd changed",
        "replaced /etc/passwd changed",
        "replaced /usr/lib/passwd: a changed",
    ]


def test_a_whiteout_of_an_overlay_is_the_machines_own(tmp_path: Path) -> None:
    machine = make(tmp_path / "machine", {"x": ""})
    os.mknod(machine / "k", 0o20000, os.makedev(0, 0))
    assert found(tmp_path, {"etc/k": "1"}, {"etc/k": "2"}, {}) == ["replaced /etc/k changed"]


def test_the_reason_names_the_place_that_a_link_is_left_with(tmp_path: Path) -> None:
    old = make(tmp_path / "old", LINK | {"usr/lib/a": "1"})
    new = make(tmp_path / "new", {"usr/": None})
    (change,) = diff_images(old, new)
    assert change.why == "the link to /usr/lib/a stays, which the new image no longer has"
