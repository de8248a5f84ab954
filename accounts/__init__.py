# SPDX-License-Identifier: MIT
"""User and group accounts in two layers: the image's in /usr/lib and this machine's delta in /etc.

An installed tree has a pack (scripts/pack.py): the byte code of all modules that tools load at start, in one
file. Finding, opening and checking some thirty .pyc files one by one takes longer than what most tools do.
"""

import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from importlib.util import MAGIC_NUMBER
    from types import CodeType, ModuleType

    # is a package, offset of its code, size, the modules of the pack that it imports at its start
    Entry = tuple[bool, int, int, tuple[str, ...]]
else:
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import MAGIC_NUMBER

    ModuleType = type(sys)


class _Pack:
    """Meta path finder and loader for the modules of a pack. index: name -> Entry."""

    def __init__(self, fd: int) -> None:
        """Raises ValueError for a pack of another interpreter's, or one without its end."""
        self._fd = fd
        # Magic number of the byte code, size of the pack, size of the index; then the index, then the codes.
        head = posix.pread(fd, 8192, 0)
        if head[:4] != MAGIC_NUMBER or int.from_bytes(head[4:12], "little") != posix.fstat(fd).st_size:
            raise ValueError
        self._start = 20 + int.from_bytes(head[12:20], "little")
        if len(head) < self._start:
            head = posix.pread(fd, self._start, 0)
        self._index: dict[str, Entry] = marshal.loads(head[20 : self._start])

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        entry = self._index.get(name)
        if entry is None:
            return None
        spec = ModuleSpec(name, self, is_package=entry[0])  # type: ignore[arg-type]
        if entry[0]:
            spec.submodule_search_locations = _directory_of(name)
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def get_code(self, name: str) -> "CodeType":
        _, offset, size, _ = self._index[name]
        code: CodeType = marshal.loads(posix.pread(self._fd, size, self._start + offset))
        return code

    def exec_module(self, module: "ModuleType") -> None:
        self._run(module, module.__name__)

    def _run(self, module: "ModuleType", name: str) -> None:
        # What the module is about to import is made here first: importlib takes longer for it than its code does.
        for needed in self._index[name][3]:
            if needed not in sys.modules:
                self._load(needed)
        space = module.__dict__
        # Where the code looks up what it imports of them (scripts/pack.py).
        space["__modules__"] = sys.modules
        exec(self.get_code(name), space)

    def _load(self, name: str) -> None:
        module = sys.modules[name] = ModuleType(name)
        if self._index[name][0]:
            module.__path__ = _directory_of(name)
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, module)
        self._run(module, name)


def _directory_of(package: str) -> list[str]:
    # Where those of its modules are that the pack has not.
    return [__path__[0] + package[len("accounts") :].replace(".", "/")]


def _open_standard_streams() -> None:
    # A file of ours, and the pack is the first, must never get the number of a stream that the caller closed.
    for fd in (0, 1, 2):
        try:
            posix.fstat(fd)
        except OSError:
            try:
                posix.open("/dev/null", posix.O_RDWR)
            except OSError:
                # A root without devices: the read end of a pipe that nobody writes to is as empty.
                _, write_end = posix.pipe()
                posix.close(write_end)


def _use_pack() -> None:
    try:
        fd = posix.open(f"{__path__[0]}/{sys.implementation.cache_tag}.pack", posix.O_RDONLY | posix.O_CLOEXEC)
        pack = _Pack(fd)
    except (OSError, ValueError):
        return  # the modules' own files do
    import gc

    sys.meta_path.insert(0, pack)
    # A tool lives for milliseconds: collecting while it loads finds nothing and takes a tenth of the time.
    gc.set_threshold(100_000)


_open_standard_streams()
_use_pack()
