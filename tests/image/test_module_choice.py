# SPDX-License-Identifier: MIT
"""Which NSS module counts: only what the root's own linker would load, as it shows by loading it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from accounts.image.elf import parse_elf
from accounts.image.module import MODULE, find_modules
from accounts.image.reader import Reader
from tests.image.elf_files import AARCH64, ARM, I386, X86_64, make_library, make_module
from tests.image.rootfs import make
from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import TOP, debian_root

LINKER = b"\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0"
TRIPLET = "usr/lib/x86_64-linux-gnu"


def make_linker_root(path: Path, files: dict[str, bytes]) -> Path:
    make(path, {"usr/lib64/": None, "usr/bin/": None, "etc/": None, "lib -> usr/lib": None, f"{TRIPLET}/": None})
    base = {
        f"{TRIPLET}/libc.so.6": make_library(defined=("GLIBC_2.2.5", "GLIBC_2.34")),
        "usr/lib64/ld-linux-x86-64.so.2": make_library(text=LINKER), "usr/bin/sh": make_library(),
    }  # fmt: skip
    for name, content in {**base, **files}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


GOOD = make_module()
TOO_NEW = make_library(required=("GLIBC_2.2.5", "GLIBC_2.38"), text=b"\0/usr/lib/passwd\0")
I386_FILES = {
    "usr/lib/i386-linux-gnu/libc.so.6": make_library(I386, 32),
    "usr/lib/ld-linux.so.2": make_library(I386, 32, text=LINKER.replace(b"x86_64", b"i386")),
}


@pytest.mark.parametrize(
    ("files", "usable", "fault"),
    [
        ({f"{TRIPLET}/{MODULE}": GOOD}, f"/lib/x86_64-linux-gnu/{MODULE}", None),
        ({f"usr/lib/{MODULE}": GOOD}, f"/lib/{MODULE}", None),
        ({f"usr/lib32/{MODULE}": GOOD}, None, f"/usr/lib32/{MODULE} is where no program looks"),
        ({f"usr/lib64/{MODULE}": GOOD}, None, f"/usr/lib64/{MODULE} is where no program looks"),
        ({f"usr/lib/aarch64-linux-gnu/{MODULE}": GOOD}, None, "is where no program looks"),
        ({f"{TRIPLET}/{MODULE}": make_module(AARCH64)}, None, "is for aarch64 64 little"),
        ({f"{TRIPLET}/{MODULE}": make_module(X86_64, 32)}, None, "is for x86_64 32 little"),
        # The linker passes over a file for another machine, and finds the next.
        ({f"{TRIPLET}/{MODULE}": make_module(I386, 32), f"usr/lib/{MODULE}": GOOD}, f"/lib/{MODULE}", None),
        # But one that it cannot load ends the search.
        ({f"{TRIPLET}/{MODULE}": TOO_NEW, f"usr/lib/{MODULE}": GOOD}, None,
         "needs GLIBC_2.38, which the C library does not have"),
        ({f"{TRIPLET}/{MODULE}": make_library(needed=("libc.musl-x86_64.so.1",))}, None, "not made for this C library"),
        ({f"{TRIPLET}/{MODULE}": GOOD[:64] + bytes(100)}, None, "not made for this C library"),
        ({f"{TRIPLET}/{MODULE}": make_module(image_dir="/usr/etc")}, None, "built for another directory than /usr/lib"),
        ({f"{TRIPLET}/{MODULE}": make_module(image_dir="/usr/lib/x")}, None, "built for another directory"),
        ({f"{TRIPLET}/{MODULE}": b"text"}, None, f"no {MODULE} in /lib/x86_64-linux-gnu"),
        ({f"opt/lib/{MODULE}": GOOD, "etc/ld.so.cache": f"/opt/lib/{MODULE}\0".encode()},
         f"/opt/lib/{MODULE}", None),
        ({f"usr/lib64/{MODULE}": GOOD, "etc/ld.so.cache": f"x\0/usr/lib64/{MODULE}\0".encode()},
         f"/usr/lib64/{MODULE}", None),
        ({**I386_FILES, f"usr/lib/i386-linux-gnu/{MODULE}": make_module(I386, 32)}, None, f"no {MODULE} in"),
    ],
)  # fmt: skip
def test_the_module_that_the_linker_takes(
    tmp_path: Path, files: dict[str, bytes], usable: str | None, fault: str | None
) -> None:
    with Reader(make_linker_root(tmp_path / "r", files)) as tree:
        modules = find_modules(tree, "/usr/lib")
    assert modules.main == "x86_64 64 little"
    assert modules.usable.get(modules.main) == usable
    assert modules.failed == (usable is None)
    assert fault is None or fault in modules.faults[modules.main]


def test_a_second_machine_is_its_own_matter(tmp_path: Path) -> None:
    with Reader(make_linker_root(tmp_path / "r", {**I386_FILES, f"{TRIPLET}/{MODULE}": GOOD})) as tree:
        modules = find_modules(tree, "/usr/lib")
    assert not modules.failed and set(modules.faults) == {"i386 32 little"}


def test_musl_has_no_nss(tmp_path: Path) -> None:
    root = make(tmp_path / "r", {"lib/ld-musl-x86_64.so.1": "", f"usr/lib/{MODULE}": ""})
    with Reader(root) as tree:
        modules = find_modules(tree, "/usr/lib")
    assert modules.musl and modules.failed and not modules.faults


def test_how_floats_are_passed_is_part_of_the_machine() -> None:
    hard, soft = (parse_elf(make_library(ARM, 32, flags=flags)) for flags in (0x5000400, 0x5000200))
    assert hard is not None and soft is not None
    assert (hard.machine, soft.machine) == ("arm 32 little hard-float", "arm 32 little")


def test_no_bytes_break_the_reader() -> None:
    """Every cut, and every byte of the tables turned over."""
    whole = make_library(required=("A", "B"), defined=("C",), text=b"\0/usr/lib/passwd\0")
    for at in range(len(whole)):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
            elf = parse_elf(data)
            if elf is not None:
                assert isinstance((elf.needed, elf.required, elf.defined, elf.is_dynamic), tuple)


# Beside the real linker


def _place(directory: str) -> Callable[[Path, Path], None]:
    def place(root: Path, module: Path) -> None:
        (root / directory).mkdir(parents=True, exist_ok=True)
        shutil.copy(module, root / directory / MODULE)

    return place


def _cached(root: Path, module: Path) -> None:
    _place("usr/local/lib")(root, module)
    subprocess.run(["chroot", root, "ldconfig"], check=True)


def _too_new(root: Path, module: Path) -> None:
    data = module.read_bytes()
    assert b"GLIBC_2.34\0" in data
    (root / TRIPLET / MODULE).write_bytes(data.replace(b"GLIBC_2.34\0", b"GLIBC_9.34\0"))


def _cut(root: Path, module: Path) -> None:
    (root / TRIPLET / MODULE).write_bytes(module.read_bytes()[:700])


def _too_new_before_good(root: Path, module: Path) -> None:
    _place("usr/lib")(root, module)
    _too_new(root, module)


def _foreign_before_good(root: Path, module: Path) -> None:
    _place("usr/lib")(root, module)
    (root / TRIPLET / MODULE).write_bytes(make_module(AARCH64))


REAL: dict[str, Callable[[Path, Path], None]] = {
    "triplet": _place(TRIPLET), "lib": _place("usr/lib"), "lib64": _place("usr/lib64"), "lib32": _place("usr/lib32"),
    "libx32": _place("usr/libx32"), "foreign": _place("usr/lib/aarch64-linux-gnu"), "local": _place("usr/local/lib"),
    "local, cached": _cached, "too new": _too_new, "cut off": _cut, "too new, then good": _too_new_before_good,
    "foreign, then good": _foreign_before_good,
}  # fmt: skip


def _try_all() -> dict[str, tuple[bool, bool]]:
    """Case -> (whether a program of the root finds an image user, whether we say so)."""
    found = {}
    with debian_root(False, "debian-12-minbase") as root:
        top = Path(root.path)
        (top / "usr/lib/passwd").write_text("imageuser:x:777:777::/:/bin/sh\n")
        (top / "etc/nsswitch.conf").write_text("passwd: files altfiles\n")
        module = TOP / "nss/build" / MODULE
        for case, place in REAL.items():
            place(top, module)
            with Reader(top) as tree:
                ours = not find_modules(tree, "/usr/lib").failed
            found[case] = root.run("getent passwd imageuser").status == 0, ours
            for path in top.rglob(MODULE):
                path.unlink()
            subprocess.run(["chroot", top, "ldconfig"], check=True)
    return found


@pytest.mark.skipif(not available(), reason="needs root and debootstrap")
def test_the_real_linker_agrees() -> None:
    subprocess.run(["make", "-s", "-C", TOP / "nss"], check=True)
    found = in_child(_try_all)
    assert {case: ours for case, (_, ours) in found.items()} == {case: real for case, (real, _) in found.items()}
    assert {case for case, (real, _) in found.items() if real} >= {"triplet", "lib", "local, cached"}
    assert not os.path.exists(f"/usr/local/lib/{MODULE}")
