# SPDX-License-Identifier: MIT
"""The NSS module and the C library of a root: where they are and what machine they are for. Reads only."""

from __future__ import annotations

import posixpath

from accounts.image.tree import Tree

MODULE = "libnss_altfiles.so.2"
LIBRARY = "libc.so.6"
# Where the dynamic linker looks; below /usr/lib and /lib also one directory for each multiarch triplet.
_DIRECTORIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/libx32", "/lib", "/lib64", "/lib32", "/libx32")
# elf(5): e_ident up to EI_DATA, then e_machine at offset 18. The names are those of uname(1).
_MACHINES = {
    3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64",
    243: "riscv", 258: "loongarch",
}  # fmt: skip
# Machine, bits and byte order, as in "x86_64 64 little".
Machine = str


def parse_machine(header: bytes) -> Machine | None:
    """The machine that an ELF file is for, from its first 20 bytes; None when it is none."""
    if len(header) < 20 or header[:4] != b"\x7fELF" or header[4] not in (1, 2) or header[5] not in (1, 2):
        return None
    order = "little" if header[5] == 1 else "big"
    number = int.from_bytes(header[18:20], "little" if header[5] == 1 else "big")
    return f"{_MACHINES.get(number, f'machine {number}')} {32 * header[4]} {order}"


def find_libraries(tree: Tree, name: str) -> dict[str, Machine | None]:
    """Every file of that name in a library directory: real path -> its machine."""
    found: dict[str, Machine | None] = {}
    for directory in _DIRECTORIES:
        for below in (directory, *_triplets(tree, directory)):
            path = f"{below}/{name}"
            try:
                data = tree.read(path)[:20]
            except OSError:
                continue
            found.setdefault(tree.real_parent(path), parse_machine(data))
    return found


def missing_machines(tree: Tree) -> list[Machine]:
    """The machines whose programs run in the root (it has a C library for them) but find no module."""
    modules = set(find_libraries(tree, MODULE).values())
    needed = {machine for machine in find_libraries(tree, LIBRARY).values() if machine is not None}
    return sorted(needed - modules)


def _triplets(tree: Tree, directory: str) -> list[str]:
    return [posixpath.join(directory, name) for name in tree.names(directory) if name.count("-") >= 2]
