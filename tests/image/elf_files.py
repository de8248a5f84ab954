# SPDX-License-Identifier: MIT
"""Makes shared libraries of a few hundred bytes: headers and the tables that the dynamic linker reads, no code."""

from __future__ import annotations

import struct

X86_64, I386, ARM, AARCH64, MIPS = 62, 3, 40, 183, 8


def make_library(
    machine: int = X86_64,
    bits: int = 64,
    big: bool = False,
    *,
    needed: tuple[str, ...] = ("libc.so.6",),
    required: tuple[str, ...] = (),
    defined: tuple[str, ...] = (),
    text: bytes = b"",
    flags: int = 0,
) -> bytes:
    """An ELF file. needed: DT_NEEDED; required: symbol versions of libc.so.6 that it takes; defined: its own."""
    order, wide = ">" if big else "<", bits == 64
    strings = b"\0"
    places = {}
    for name in (*needed, "libc.so.6", *required, *defined):
        places[name] = len(strings)
        strings += name.encode() + b"\0"
    header_size, program_size = (64, 56) if wide else (52, 32)
    at = header_size + 2 * program_size
    body = strings
    verneed = at + len(body)
    if required:
        body += struct.pack(order + "HHIII", 1, len(required), places["libc.so.6"], 16, 0)
        for index, name in enumerate(required):
            body += struct.pack(order + "IHHII", 0, 0, 2 + index, places[name], 16 * (index + 1 < len(required)))
    verdef = at + len(body)
    for index, name in enumerate(defined):
        body += struct.pack(order + "HHHHIII", 1, 0, 1 + index, 1, 0, 20, 28 * (index + 1 < len(defined)))
        body += struct.pack(order + "II", places[name], 0)
    dynamic = [(1, places[name]) for name in needed] + [(5, at), (10, len(strings))]
    dynamic += [(0x6FFFFFFE, verneed), (0x6FFFFFFF, 1)] if required else []
    dynamic += [(0x6FFFFFFC, verdef), (0x6FFFFFFD, len(defined))] if defined else []
    table = b"".join(struct.pack(order + ("QQ" if wide else "II"), *entry) for entry in (*dynamic, (0, 0)))
    body += text
    place, size = at + len(body), at + len(body) + len(table)
    programs = b""
    for kind, offset, length in ((1, 0, size), (2, place, len(table))):
        if wide:
            programs += struct.pack(order + "IIQQQQQQ", kind, 4, offset, offset, offset, length, length, 8)
        else:
            programs += struct.pack(order + "IIIIIIII", kind, offset, offset, offset, length, length, 4, 4)
    ident = b"\x7fELF" + bytes([bits // 32, 1 + big, 1]) + bytes(9)
    words = "QQQ" if wide else "III"
    header = ident + struct.pack(
        order + "HHI" + words + "IHHHHHH",
        3, machine, 1, 0, header_size, 0, flags, header_size, program_size, 2, 0, 0, 0,
    )  # fmt: skip
    return header + programs + body + table


def make_module(machine: int = X86_64, bits: int = 64, big: bool = False, *, image_dir: str = "/usr/lib") -> bytes:
    """A libnss_altfiles.so.2 for a directory."""
    return make_library(machine, bits, big, text=f"\0{image_dir}/passwd\0".encode())
