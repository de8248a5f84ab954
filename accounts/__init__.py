# SPDX-License-Identifier: MIT
"""User and group accounts in two layers: the image's in /usr/lib and this machine's delta in /etc.

An installed tree has a pack (scripts/pack.py): the byte code of all modules that tools load at start, in one
file. Finding, opening and checking some thirty .pyc files one by one takes longer than what most tools do.
"""

import marshal
import posix
import sys
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from importlib.util import MAGIC_NUMBER
    from types import CodeType, FunctionType, ModuleType
    from typing import Any
else:
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import MAGIC_NUMBER

    ModuleType = type(sys)
    FunctionType = type(lambda: None)


_GENERATOR = 0x20  # inspect.CO_GENERATOR


class _Pack:
    """Meta path finder and loader for the modules of a pack, whose format scripts/pack.py describes.

    Its file stays open: what sleeps is read when it is called, after chroot(2) and after an update of the package, too.
    """

    def __init__(self, path: str) -> None:
        """Raises OSError, and ValueError for a pack of another interpreter's, or one without its end."""
        self._path = path
        self._fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        head = posix.pread(self._fd, 8192, 0)
        status = posix.fstat(self._fd)
        if head[:4] != MAGIC_NUMBER or int.from_bytes(head[4:12], "little") != status.st_size:
            raise ValueError
        self._file = (status.st_dev, status.st_ino, status.st_size)
        self._start = 20 + int.from_bytes(head[12:20], "little")
        if len(head) < self._start:
            head = posix.pread(self._fd, self._start, 0)
        self._index = head
        # A tool that comes first comes with all that it needs, else one module after the other.
        self._has_common = False
        self._loading: set[str] = set()
        self._lock = RLock()
        # What the code of a module finds in its name space (scripts/lean.py, scripts/asleep.py).
        self.given = {
            "__modules__": sys.modules, "__load__": self._load, "__asleep__": self._make_sleepers,
            "__wake__": self.wake, "__make__": self.make_class,
        }  # fmt: skip

    def _find(self, name: str) -> list[bytes]:
        """Flags, and places, of a module; empty when it is not in the pack."""
        at = self._index.find(b"\n%s " % name.encode(), 20)
        if at < 0:
            return []
        return self._index[at + len(name) + 2 : self._index.index(b"\n", at + 1)].split()

    def _pread(self, size: int, place: int) -> bytes:
        try:
            if self._is_pack(self._fd):
                return posix.pread(self._fd, size, self._start + place)
        except OSError:
            pass
        # Somebody has closed all descriptors that were not their own.
        fd = posix.open(self._path, posix.O_RDONLY | posix.O_CLOEXEC)
        if not self._is_pack(fd):
            raise ImportError(f"{self._path} has been replaced, and its descriptor closed")
        self._fd = fd
        return posix.pread(fd, size, self._start + place)

    def _is_pack(self, fd: int) -> bool:
        status = posix.fstat(fd)
        return (status.st_dev, status.st_ino, status.st_size) == self._file

    def _read(self, start: bytes, end: bytes) -> "Any":
        return marshal.loads(self._pread(int(end) - int(start), int(start)))

    def _read_asleep(self, place: int) -> "Any":
        data = self._pread(4096, place)
        size = int.from_bytes(data[:4], "little") + 4
        if size > len(data):
            data = self._pread(size, place)
        return marshal.loads(data[4:size])

    # Modules

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        found = self._find(name)
        if not found:
            return None
        is_package = bool(int(found[0]) & 1)
        spec = ModuleSpec(name, self, is_package=is_package)  # type: ignore[arg-type]
        if is_package:
            spec.submodule_search_locations = _directory_of(name)
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def get_code(self, name: str) -> "CodeType | None":
        _, _, entry, end, *_ = self._find(name)
        code: CodeType | None = None if entry == end else self._read(entry, end)[1]
        return code

    def exec_module(self, module: "ModuleType") -> None:
        self._run(module, module.__name__)

    def _run(self, module: "ModuleType", name: str) -> None:
        flags, _, start, end, *group = self._find(name)
        if group and not self._has_common:
            self._run_common(name)
            self._run_group(group, name)
        elif int(flags) & 4:
            self._run_common(name)
        elif start != end:
            needed, code = self._read(start, end)
            # What the module is about to import is made here first: importlib takes longer for it than its code does.
            for other in needed:
                if other not in sys.modules:
                    self._load(other)
            self._fill(module, int(flags), code)

    def _run_common(self, name: str) -> None:
        self._has_common = True
        self._run_group(self._find("common")[4:], name)

    def _run_group(self, place: list[bytes], name: str) -> None:
        # Modules that are there already came one by one, but for the one that is asked for, which is empty so far.
        for part, flags, code in self._read(*place):
            if part != name:
                if part in sys.modules:
                    continue
                self._make(part, flags & 1)
            try:
                self._fill(sys.modules[part], flags, code)
            except BaseException:
                del sys.modules[part]
                raise

    def _fill(self, module: "ModuleType", flags: int, code: "CodeType | None") -> None:
        space = module.__dict__
        space.update(self.given)
        if flags & 2:
            space["__getattr__"] = FunctionType(_GETATTR, space)
        if code is not None:
            exec(code, space)

    def _make(self, name: str, is_package: int) -> "ModuleType":
        module = sys.modules[name] = ModuleType(name)
        if is_package:
            module.__path__ = _directory_of(name)
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, module)
        return module

    def _load(self, name: str) -> "ModuleType":
        """The module of a name, which is in the pack. One that another thread loads is waited for."""
        module = sys.modules.get(name)
        if module is None or name in self._loading:
            with self._lock:
                if name not in sys.modules:
                    self._loading.add(name)
                    try:
                        self._run(self._make(name, int(self._find(name)[0]) & 1), name)
                    except BaseException:
                        sys.modules.pop(name, None)
                        raise
                    finally:
                        self._loading.discard(name)
                module = sys.modules[name]
        return module

    # What sleeps

    def _make_sleepers(self, space: dict[str, "Any"], places: tuple["Any", ...]) -> list["FunctionType"]:
        """Functions that get their code when they are called. places: name, place, name, place ..."""
        made = []
        pairs = iter(places)
        for name, place in zip(pairs, pairs):  # noqa: B905 - a keyword costs time
            function = FunctionType(_SLEEPER, space, name)
            function.__kwdefaults__ = {"__place__": (function, place)}
            made.append(function)
        return made

    def wake(self, function: "FunctionType", place: int | None) -> "FunctionType":
        """Give a sleeper its code and defaults; the function. place None: it is awake."""
        if place is None:
            return function
        space = function.__globals__
        code, defaults = self._read_asleep(place)
        positional, named = (None, None) if defaults is None else eval(defaults, space)
        if code.co_flags & _GENERATOR:
            # Which no function becomes that was none: the sleeper stays, and calls it.
            awake = FunctionType(code, space, function.__name__, positional)
            awake.__kwdefaults__ = named
            function.__kwdefaults__ = {"__place__": (awake, None)}
            return awake
        # Another thread may call it at any moment: it is a whole function of the one kind or of the other.
        function.__kwdefaults__ = {**(named or {}), "__place__": (function, place)}
        function.__defaults__ = positional
        function.__code__ = code
        function.__kwdefaults__ = named
        function.__qualname__ = code.co_qualname
        return function

    def make_class(self, module: str, name: str) -> "Any":
        """A class that a module does not have yet; it has it then. Raises AttributeError for any other name."""
        found = None
        if name[:2] != "__":
            _, table, entry, *_ = self._find(module)
            found = self._read(table, entry).get(name)
        if found is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        space = sys.modules[module].__dict__
        # There is one class of that name, whoever else (a thread, a signal handler) makes it meanwhile.
        if isinstance(found, str):
            home, _, own = found.partition(":")
            return space.setdefault(name, getattr(self._load(home), own))
        made: dict[str, Any] = {}
        exec(self._read_asleep(found), space, made)
        return space.setdefault(name, made[name])


def _sleeper(*positional: "Any", __place__: tuple["FunctionType", int | None], **named: "Any") -> "Any":
    return __wake__(*__place__)(*positional, **named)  # type: ignore[name-defined]  # noqa: F821


def _getattr(name: str) -> "Any":
    return __make__(__name__, name)  # type: ignore[name-defined]  # noqa: F821


# Functions of this code have the name space of a module of the pack.
_SLEEPER = _sleeper.__code__
_GETATTR = _getattr.__code__


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
        pack = _Pack(f"{__path__[0]}/{sys.implementation.cache_tag}.pack")
    except (OSError, ValueError):
        return  # the modules' own files do
    import gc

    sys.meta_path.insert(0, pack)
    # A tool lives for milliseconds: collecting while it loads finds nothing and takes a tenth of the time.
    gc.set_threshold(100_000)


_open_standard_streams()
_use_pack()
