# SPDX-License-Identifier: MIT
"""User and group accounts in two layers: the image's in /usr/lib and this machine's delta in /etc.

An installed tree has a pack (accounts/pack.py): the byte code of all modules that tools load at start, in one
file. Finding, opening and checking some thirty .pyc files one by one takes longer than what most tools do.
"""

import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
else:
    from _frozen_importlib import ModuleSpec


class _Pack:
    """Meta path finder and loader for the modules of a pack. index: name -> (is a package, offset, size)."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        # The index is an object of its own behind its length in eight bytes; offsets count from its end.
        head = posix.pread(fd, 8192, 0)
        self._start = 8 + int.from_bytes(head[:8], "little")
        if len(head) < self._start:
            head = posix.pread(fd, self._start, 0)
        self._index: dict[str, tuple[bool, int, int]] = marshal.loads(head[8 : self._start])

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        entry = self._index.get(name)
        return None if entry is None else ModuleSpec(name, self, is_package=entry[0])  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def get_code(self, name: str) -> "CodeType":
        _, offset, size = self._index[name]
        code: CodeType = marshal.loads(posix.pread(self._fd, size, self._start + offset))
        return code

    def exec_module(self, module: "ModuleType") -> None:
        exec(self.get_code(module.__name__), module.__dict__)


def _use_pack() -> None:
    try:
        fd = posix.open(f"{__path__[0]}/{sys.implementation.cache_tag}.pack", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return
    sys.meta_path.insert(0, _Pack(fd))


_use_pack()
