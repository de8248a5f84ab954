# SPDX-License-Identifier: MIT
"""A disk is told to forget its free blocks piece by piece, and all of them."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

import pytest

from accounts import progress
from accounts.system import kernel


class Disk:
    """A file system of so many bytes, which ends a bit before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, size: int, end: int) -> None:
        self.pieces: list[tuple[int, int]] = []
        self.end = end
        status = os.statvfs_result((4096, 4096, size // 4096, 0, 0, 0, 0, 0, 0, 255))
        monkeypatch.setattr(os, "fstatvfs", lambda fd: status)
        monkeypatch.setattr(fcntl, "ioctl", self.trim)

    def trim(self, fd: int, request: int, data: bytes) -> int:
        start, length, least = struct.unpack("=QQQ", data)
        if start >= self.end:
            raise OSError(errno.EINVAL, "Invalid argument")
        assert request == 0xC0185879 and least == 0
        self.pieces.append((start, length))
        return 0


@pytest.mark.parametrize("size", [1 << 20, 1 << 30, 5 << 30, 252 << 30, 7 << 50])
def test_the_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    disk = Disk(monkeypatch, size, size)
    shown: list[float] = []
    monkeypatch.setattr(progress.Bar, "at", lambda bar, part: shown.append(part))
    with progress.shown_by(progress.Bar("test")):
        assert kernel.discard_free_blocks(0)
    assert disk.pieces[0][0] == 0 and sum(disk.pieces[-1]) == 2**64 - 1
    assert all(sum(one) == other[0] for one, other in zip(disk.pieces, disk.pieces[1:], strict=False))
    assert len(disk.pieces) == min(101, max(1, -(-size // (1 << 30)))) or len(disk.pieces) == 100
    assert shown == sorted(shown) and shown[0] == 0


def test_what_the_disk_has_no_more_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, 10 << 30, 9 << 30)
    assert kernel.discard_free_blocks(0) and len(disk.pieces) == 9


def test_a_disk_that_cannot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    disk = Disk(monkeypatch, 10 << 30, 0)
    assert not kernel.discard_free_blocks(0) and disk.pieces == []
