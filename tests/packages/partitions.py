# SPDX-License-Identifier: MIT
"""Boots a disk image by systemd-nspawn, without its firmware, boot loader and kernel."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.support.nspawn import Machine

SECTOR = 512
# A loop device for each: IMAGE PLACE ROOT-OFFSET ROOT-SIZE USR-IMAGE USR-OFFSET USR-SIZE COMMAND...
MOUNT = """\
mount --make-rprivate /
mount -o "loop,offset=$3,sizelimit=$4" "$1" "$2"
mount -o "loop,ro,offset=$6,sizelimit=$7" "$5" "$2/usr"
shift 7
exec "$@"
"""


def read_partitions(image: Path) -> dict[str, tuple[int, int]]:
    """Label -> (offset, size) in bytes, of a GPT whose sectors have 512 bytes (UEFI specification, 5.3)."""
    with image.open("rb") as disk:
        disk.seek(SECTOR)
        header = disk.read(SECTOR)
        assert header[:8] == b"EFI PART", f"{image}: sectors of {SECTOR} bytes have no partition table"
        begin, count, size = struct.unpack_from("<QII", header, 72)
        disk.seek(begin * SECTOR)
        entries = [disk.read(size) for _ in range(count)]
    found = {}
    for entry in entries:
        first, last = struct.unpack_from("<QQ", entry, 32)
        if first:
            label = entry[56:128].decode("utf-16le").rstrip("\0")
            found[label] = (first * SECTOR, (last - first + 1) * SECTOR)
    return found


class Partitions(Machine):
    """The machine of a disk image: what is written goes to its partition `root`, /usr is the partition of that label.

    usr: the image that has it, if it is another. `systemd-nspawn --image=` would find both by itself, but it wants a
    udev, and a kernel that can mount the EFI partition.
    """

    def __init__(self, image: Path, place: Path, label: str, usr: Path | None = None) -> None:
        place.mkdir(exist_ok=True)
        super().__init__(place)
        self.image, self.label, self.usr = image, label, usr or image

    def _command(self) -> list[str]:
        root, usr = read_partitions(self.image)["root"], read_partitions(self.usr)[self.label]
        words = [str(self.image), str(self.root), *map(str, root), str(self.usr), *map(str, usr)]
        return ["unshare", "-m", "sh", "-euc", MOUNT, "sh", *words, *super()._command()]
