# SPDX-License-Identifier: MIT
"""Whether a root's programs find the NSS module: what the root's own dynamic linker would load. Reads only.

glibc asks its linker for libnss_altfiles.so.2. That looks into ld.so.cache, then into the directories that are
built into it (ld.so(8)), passes over files for another machine, and gives up at the first one of its own
machine that it cannot load.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field

from accounts.image.elf import Elf, Machine, parse_elf
from accounts.image.reader import Reader

MODULE = "libnss_altfiles.so.2"
LIBRARY = "libc.so.6"
# libsubid loads it for "subid: altfiles", with dlopen(3) and so from the same directories.
SUBID_PLUGIN = "libsubid_altfiles.so"
CACHE = "/etc/ld.so.cache"
# Where C libraries and linkers are; below /usr/lib and /lib also one directory for each multiarch triplet.
_DIRECTORIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/libx32", "/lib", "/lib64", "/lib32", "/libx32")
_LINKER = re.compile(r"ld(-linux.*|64|-[0-9.]+)?\.so(\.[0-9]+)?$")
_MUSL = re.compile(r"ld-musl-.*\.so\.1$")
# The linker's own list: directories with a final slash, one behind the other.
_BUILT_IN = re.compile(rb"(?:/(?:[\w.+-]+/)*lib[\w.+-]*/(?:[\w.+-]+/)*\0)+")
# Whose machine is that of the root: a shell is in every root that runs package scripts.
_PROGRAMS = ("/bin/sh", "/usr/bin/sh", "/usr/bin/env", "/sbin/init")


@dataclass
class Modules:
    """What the linkers of a root make of the module.

    main: the machine of the root's own programs, None when that cannot be told. usable: machine -> path of the
    module that its programs load. faults: machine -> why its programs load none. musl: the root has a C
    library without NSS.
    """

    main: Machine | None = None
    usable: dict[Machine, str] = field(default_factory=dict)
    faults: dict[Machine, str] = field(default_factory=dict)
    musl: bool = False

    @property
    def failed(self) -> bool:
        """Whether the root's programs do not know the accounts of the image; those of further machines may not."""
        return self.main in self.faults if self.main in self.usable | self.faults else not self.usable


def find_modules(tree: Reader, image_dir: str) -> Modules:
    """Look for the module as each linker of a root does. image_dir: where it has to look for accounts."""
    result = Modules(_main_machine(tree))
    libraries = find_libraries(tree, LIBRARY)
    linkers: dict[Machine, list[str]] = {}
    for directory in _directories(tree):
        for name in tree.names(directory):
            result.musl = result.musl or _MUSL.match(name) is not None
            elf = _read(tree, f"{directory}/{name}") if _LINKER.match(name) else None
            if elf is not None:
                linkers.setdefault(elf.machine, _built_in(elf))
    cache = _read_bytes(tree, CACHE)
    for path, library in libraries.items():
        if library is None or library.machine in result.usable | result.faults:
            continue
        machine = library.machine
        # Without the linker (a root of a test, a container's layer) there is the directory of its C library.
        search = linkers.get(machine) or [posixpath.dirname(path)]
        if machine in linkers and not _is_searched(tree, path, search, cache):
            continue  # a cross compiler's, say: no program of the root runs with it
        place, why = _look_for(tree, search, cache, library, image_dir)
        if place is None:
            result.faults[machine] = why
        else:
            result.usable[machine] = place
    return result


def find_libraries(tree: Reader, name: str) -> dict[str, Elf | None]:
    """Every file of that name in a library directory: real path -> what it is, None when no ELF file."""
    found: dict[str, Elf | None] = {}
    for directory in _directories(tree):
        path = tree.real_parent(f"{directory}/{name}")
        if path not in found and _read_bytes(tree, path):
            found[path] = _read(tree, path)
    return found


def _look_for(tree: Reader, search: list[str], cache: bytes, library: Elf, image_dir: str) -> tuple[str | None, str]:
    """The path of the module that the linker loads, or None and why it loads none."""
    others = []
    for path in dict.fromkeys([*_cached(cache, MODULE), *(f"{directory}/{MODULE}" for directory in search)]):
        elf = _read(tree, path)
        if elf is None or elf.machine != library.machine:
            others += [] if elf is None else [f"{path} is for {elf.machine}"]
            continue
        if not elf.is_dynamic or not any(name.startswith("libc.so") for name in elf.needed):
            return None, f"{path} is not made for this C library"
        lacking = [one for one in elf.required.get(LIBRARY, ()) if one not in library.defined]
        if lacking:
            return None, f"{path} needs {', '.join(sorted(lacking))}, which the C library does not have"
        if f"{image_dir}/passwd\0".encode() not in elf.data:
            return None, f"{path} is built for another directory than {image_dir}"
        return path, ""
    elsewhere = [path for path in find_libraries(tree, MODULE) if path not in others]
    others += [f"{path} is where no program looks" for path in elsewhere if not any(path in one for one in others)]
    return None, "; ".join([f"no {MODULE} in {', '.join(search)}", *others])


def _main_machine(tree: Reader) -> Machine | None:
    for path in _PROGRAMS:
        elf = _read(tree, path)
        if elf is not None:
            return elf.machine
    return None


def _built_in(linker: Elf) -> list[str]:
    found = max(_BUILT_IN.findall(linker.data), key=len, default=b"")
    return [path.rstrip("/") for path in found.decode("latin-1").split("\0") if path]


def _is_searched(tree: Reader, path: str, search: list[str], cache: bytes) -> bool:
    name = posixpath.basename(path)
    names = [*_cached(cache, name), *(f"{one}/{name}" for one in search)]
    return any(tree.real_parent(one) == path for one in names)


def _cached(cache: bytes, name: str) -> list[str]:
    """The paths of a library in ld.so.cache, whose strings are at its end."""
    found = re.findall(rb"/[^\0]*/" + re.escape(name.encode()) + rb"(?=\0)", cache)
    return [one.decode("utf-8", "surrogateescape") for one in found]


def _directories(tree: Reader) -> list[str]:
    triplets = [
        posixpath.join(directory, name)
        for directory in _DIRECTORIES for name in tree.names(directory) if name.count("-") >= 2 and ".so" not in name
    ]  # fmt: skip
    return [*_DIRECTORIES, *triplets]


def _read(tree: Reader, path: str) -> Elf | None:
    return parse_elf(_read_bytes(tree, path))


def _read_bytes(tree: Reader, path: str) -> bytes:
    try:
        return tree.read(path)
    except OSError:
        return b""
