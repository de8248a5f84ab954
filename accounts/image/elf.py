# SPDX-License-Identifier: MIT
"""What the dynamic linker reads of an ELF file before it loads it: elf(5), without loading anything. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

# Machine, bits and byte order, as in "x86_64 64 little"; of 32-bit ARM also how floats are passed.
Machine = str

# e_machine; the names are those of uname(1).
_MACHINES = {
    3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64",
    243: "riscv", 258: "loongarch",
}  # fmt: skip
_ARM, _HARD_FLOAT = 40, 0x400
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ = 1, 5, 10
_DT_VERDEF, _DT_VERDEFNUM, _DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
# No C library has more versions than this; a broken file may say so.
_MAX = 4096


def parse_machine(header: bytes) -> Machine | None:
    """The machine that an ELF file is for, from its first bytes (20, for ARM 40); None when it is none."""
    if len(header) < 20 or header[:4] != b"\x7fELF" or header[4] not in (1, 2) or header[5] not in (1, 2):
        return None
    order: Literal["little", "big"] = "little" if header[5] == 1 else "big"
    number = int.from_bytes(header[18:20], order)
    name = f"{_MACHINES.get(number, f'machine {number}')} {32 * header[4]} {order}"
    if number == _ARM and int.from_bytes(header[36:40], order) & _HARD_FLOAT:
        name += " hard-float"
    return name


@dataclass(frozen=True)
class Elf:
    """An ELF file as bytes. machine: what it is for. Broken tables count as empty ones."""

    data: bytes
    machine: Machine

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The names of the libraries that it wants loaded with it."""
        return tuple(self._string(value) for tag, value in self._dynamic if tag == _DT_NEEDED)

    @cached_property
    def is_dynamic(self) -> bool:
        """Whether the linker could load it at all."""
        return bool(self._dynamic)

    @cached_property
    def required(self) -> dict[str, tuple[str, ...]]:
        """Library -> the versions of its symbols that it takes (".gnu.version_r")."""
        found: dict[str, tuple[str, ...]] = {}
        at = self._offset(_DT_VERNEED)
        for _ in range(min(self._value(_DT_VERNEEDNUM), _MAX)):
            _, count, file, entry, following = self._unpack("HHIII", at)
            versions = []
            inner = at + entry
            for _ in range(min(count, _MAX)):
                _, _, _, name, further = self._unpack("IHHII", inner)
                versions.append(self._string(name))
                inner += further
            found[self._string(file)] = tuple(versions)
            at += following
            if not following:
                break
        return found

    @cached_property
    def defined(self) -> frozenset[str]:
        """The versions of its own symbols (".gnu.version_d")."""
        found = set()
        at = self._offset(_DT_VERDEF)
        for _ in range(min(self._value(_DT_VERDEFNUM), _MAX)):
            _, _, _, count, _, entry, following = self._unpack("HHHHIII", at)
            if count:
                found.add(self._string(self._unpack("II", at + entry)[0]))
            at += following
            if not following:
                break
        return frozenset(found)

    # Reading

    @property
    def _wide(self) -> bool:
        return self.data[4] == 2

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        """The numbers at an offset; zeros behind the end of the file."""
        form = ("<" if self.data[5] == 1 else ">") + form
        size = struct.calcsize(form)
        return struct.unpack(form, self.data[at : at + size].ljust(size, b"\0"))

    @cached_property
    def _segments(self) -> list[tuple[int, int, int, int]]:
        """(type, offset, address, size in the file) of each program header."""
        start = self._unpack("Q" if self._wide else "I", 32 if self._wide else 28)[0]
        size, count = self._unpack("HH", 54 if self._wide else 42)
        segments = []
        for at in range(start, start + size * min(count, _MAX), size or 1):
            if self._wide:
                kind, _, offset, address, _, length = self._unpack("IIQQQQ", at)
            else:
                kind, offset, address, _, length = self._unpack("IIIII", at)
            segments.append((kind, offset, address, length))
        return segments

    @cached_property
    def _dynamic(self) -> list[tuple[int, int]]:
        """(tag, value) of the dynamic section."""
        entries = []
        form, size = ("QQ", 16) if self._wide else ("II", 8)
        for kind, offset, _, length in self._segments:
            if kind == _PT_DYNAMIC:
                for at in range(offset, min(offset + length, len(self.data)), size):
                    tag, value = self._unpack(form, at)
                    if tag == 0:
                        break
                    entries.append((tag, value))
        return entries

    def _value(self, tag: int) -> int:
        return next((value for known, value in self._dynamic if known == tag), 0)

    def _offset(self, tag: int) -> int:
        """Where in the file the address of a dynamic entry is; behind its end when nowhere."""
        address = self._value(tag)
        for kind, offset, start, length in self._segments:
            if kind == _PT_LOAD and address and start <= address < start + length:
                return offset + address - start
        return len(self.data)

    def _string(self, at: int) -> str:
        start = self._offset(_DT_STRTAB) + min(at, self._value(_DT_STRSZ))
        return self.data[start : max(start, self.data.find(b"\0", start))].decode("latin-1")


def parse_elf(data: bytes) -> Elf | None:
    """The file, or None when it is no ELF file."""
    machine = parse_machine(data[:64])
    return None if machine is None else Elf(data, machine)
