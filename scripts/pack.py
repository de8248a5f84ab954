# SPDX-License-Identifier: MIT
"""Builds the pack of byte code that accounts/__init__.py loads modules from: `make install` runs it.

`python3 pack.py DIRECTORY SHOWN`: DIRECTORY holds the package accounts/; SHOWN is its path at run time, for
tracebacks. Like the unchecked-hash .pyc files beside it, it is never compared with the sources. Same sources, same
bytes.

A pack is the interpreter's magic number of byte code; its own size in eight bytes, so that one without its end is
known; the size of the index in eight bytes; the index; pieces, which are marshalled. The index is text, "\\nNAME FLAGS
TABLE MODULE END [GROUP END]\\n", with the offsets of pieces after the index:

FLAGS: of IS_PACKAGE, HAS_TABLE, IS_COMMON. TABLE: name -> where it is, or MODULE:CLASS of another module, of the
classes that sleep (scripts/asleep.py). MODULE: the modules that it imports at its start, and its code; nothing for one
without code, and for one of the common group, which all tools load as a whole: it is GROUP of the name COMMON. GROUP of
a tool: (name, flags, code) of what each of its runs loads besides, in order. What sleeps has its size in four bytes
before it.
"""

from __future__ import annotations

import ast
import copy
import importlib.util
import marshal
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import CodeType

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from scripts import asleep  # noqa: E402
from scripts.lean import compile_tree, find_needed, parse, reads_annotations, strip  # noqa: E402

HOT = TOP / "scripts/hot.txt"
IS_PACKAGE, HAS_TABLE, IS_COMMON = 1, 2, 4
COMMON = "common"
# What fewer tools need of a module that all of them load is not worth loading in each.
FEW = 3

# What a tool of the family may load; `accounts image` and the rest come from their own files.
PACKED = (
    "accounts.errors", "accounts.text", "accounts.change", "accounts.publish", "accounts.cli",
    "accounts.edit", "accounts.model", "accounts.system",
)  # fmt: skip


def find_modules(directory: str) -> dict[str, tuple[bool, str]]:
    """Module name -> (is a package, path of its source), of the modules to pack."""
    found = {}
    for head, _, files in os.walk(os.path.join(directory, "accounts")):
        for file in files:
            if file.endswith(".py"):
                name = os.path.relpath(os.path.join(head, file[:-3]), directory).replace(os.sep, ".")
                is_package = name.endswith(".__init__")
                name = name.removesuffix(".__init__")
                if name.startswith(PACKED):
                    found[name] = (is_package, os.path.join(head, file))
    return found


class Hot:
    """What ordinary runs need, of the lines of hot.txt.

    common: the modules that all tools load; tools: module of a tool -> what it always loads besides, itself the last.
    """

    def __init__(self, text: str) -> None:
        self._users: dict[str, list[str]] = {}
        self._modules: set[str] = set()
        tools: dict[str, list[str]] = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, *users = line.split()
                self._users[name] = users
                self._modules.add(name.partition(":")[0])
                if ":" not in name:
                    for user in users:
                        tools.setdefault(user, []).append(name)
        self.common = [name for name, users in self._users.items() if ":" not in name and len(users) == len(tools)]
        self.tools = {
            f"accounts.cli.{tool}": [name for name in modules if name not in self.common]
            for tool, modules in tools.items()
        }

    def sleeps(self, module: str) -> bool:
        """Whether what is not needed of a module sleeps: a module that no ordinary run loads is loaded as a whole.

        Without any run everything sleeps, so that it can be seen what runs need.
        """
        return not self._users or module in self._modules

    def needs(self, module: str, name: str) -> bool:
        """Whether a function or a class comes with its module, because ordinary runs need it.

        What a few tools need of a module that all of them load sleeps, too.
        """
        return len(self._users.get(f"{module}:{name}", ())) >= (FEW if module in self.common else 1)


class _Module:
    """A module to pack. shown: the path of its source; needed: the modules of the pack that it imports at its start."""

    def __init__(self, tree: ast.Module, shown: str, is_package: bool) -> None:
        self.tree = tree
        self.shown = shown
        self.is_package = is_package
        self.needed: tuple[str, ...] = ()
        # How often each name is bound in it.
        self.bound: Counter[str] = Counter()
        # Its classes that sleep.
        self.classes = ast.Module([], [])
        # Name -> where it is in the pack, or MODULE:CLASS of another module, of the classes that sleep.
        self.table: dict[str, int | str] = {}
        # Qualified name -> where it is in the pack, of the functions that can sleep.
        self.places: dict[str, int] = {}
        self.code: CodeType | None = None

    @property
    def flags(self) -> int:
        """As the index has them, but for IS_COMMON."""
        return IS_PACKAGE * self.is_package + HAS_TABLE * bool(self.table)


class Packer:
    """Builds a pack. directory, shown: as main() has them."""

    def __init__(self, directory: str, shown: str, hot: Hot) -> None:
        self._hot = hot
        self._pieces: list[bytes] = []
        self._size = 0
        self._modules: dict[str, _Module] = {}
        for name, (is_package, path) in sorted(find_modules(directory).items()):
            with open(path, "rb") as file:
                tree = parse(file.read(), path)
            if not reads_annotations(tree):
                self._modules[name] = _Module(tree, os.path.join(shown, os.path.relpath(path, directory)), is_package)
        for module in self._modules.values():
            module.needed = find_needed(module.tree, self._modules)
            module.bound = asleep.count_bindings(module.tree)
        self._sleeping: dict[str, dict[str, ast.ClassDef]] = {}
        for name, module in self._modules.items():
            classes = asleep.find_classes(module.tree, module.bound) if hot.sleeps(name) else {}
            self._sleeping[name] = {own: node for own, node in classes.items() if not hot.needs(name, own)}
        for name, module in self._modules.items():
            self._let_classes_sleep(name, module)
            module.tree = strip(module.tree, self._modules, module.needed)

    def build(self) -> bytes:
        """The pack."""
        modules = self._modules
        for name, module in modules.items():
            self._store_sleepers(name, module)
        common: dict[str, None] = {}
        self._add_in_order(self._hot.common, common)
        index = {COMMON: (0, 0, 0, 0, *self._put_group(common))}
        for name, module in modules.items():
            flags = module.flags | IS_COMMON * (name in common)
            alone = (
                marshal.dumps((module.needed, self._code_of(name))) if module.tree.body and name not in common else b""
            )
            index[name] = (flags, self._put(marshal.dumps(module.table)), self._put(alone), self._size)
        for tool, names in self._hot.tools.items():
            if tool in modules:
                order = dict(common)
                self._add_in_order([*(name for name in names if name != tool), tool], order)
                index[tool] += self._put_group(name for name in order if name not in common)
        # The tools first: they are looked for at every start.
        lines = sorted((-len(places), f"\n{name} {' '.join(map(str, places))}") for name, places in index.items())
        head = "".join(line for _, line in lines).encode() + b"\n"
        body = len(head).to_bytes(8, "little") + head + b"".join(self._pieces)
        return importlib.util.MAGIC_NUMBER + (len(body) + 12).to_bytes(8, "little") + body

    def _put(self, piece: bytes) -> int:
        self._pieces.append(piece)
        self._size += len(piece)
        return self._size - len(piece)

    def _put_asleep(self, value: object) -> int:
        piece = marshal.dumps(value)
        return self._put(len(piece).to_bytes(4, "little") + piece)

    def _put_group(self, names: Iterable[str]) -> tuple[int, int]:
        group = tuple((name, self._modules[name].flags, self._code_of(name)) for name in names)
        return self._put(marshal.dumps(group)), self._size

    def _add_in_order(self, names: Iterable[str], order: dict[str, None]) -> None:
        """Add modules, each behind those that it imports at its start. A list that is too old may have others."""
        for name in names:
            if name in self._modules and name not in order:
                self._add_in_order(self._modules[name].needed, order)
                order[name] = None

    def _let_classes_sleep(self, name: str, module: _Module) -> None:
        """Take sleeping classes out of a module, its own and those that it imports, and note whose they are."""
        asked = {own: (name, own) for own in self._sleeping[name]}
        for node in module.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module in self._sleeping:
                for alias in list(node.names):
                    here = alias.asname or alias.name
                    if alias.name in self._sleeping[node.module] and module.bound[here] == 1:
                        asked[here] = (node.module, alias.name)
                        module.table[here] = f"{node.module}:{alias.name}"
                        node.names.remove(alias)
        own = list(self._sleeping[name].values())
        body = [node for node in module.tree.body if node not in own and getattr(node, "names", True)]
        asking = asleep.AskModules(asked)
        module.classes = ast.Module([asking.visit(node) for node in own], [])
        module.tree = ast.Module([asking.visit(node) for node in body], [])

    def _store_sleepers(self, name: str, module: _Module) -> None:
        """Store the code of the functions of a module that can sleep, and of its classes that do."""
        classes = strip(module.classes, self._modules, module.needed)
        if not self._hot.sleeps(name):
            return
        whole = ast.Module(module.tree.body + classes.body, [])
        codes = dict(asleep.find_codes(compile_tree(whole, module.shown)))
        for function, node in asleep.find_functions(whole).items():
            if not codes[function].co_freevars:
                code = (codes[function], asleep.compile_defaults(node, module.shown))
                module.places[function] = self._put_asleep(code)
        for node in classes.body:
            alone = ast.Module([copy.deepcopy(node)], [])
            asleep.replace_functions(alone, self._places_of(name))
            module.table[node.name] = self._put_asleep(compile_tree(alone, module.shown))

    def _places_of(self, name: str) -> dict[str, int]:
        places = self._modules[name].places
        return {function: place for function, place in places.items() if not self._hot.needs(name, function)}

    def _code_of(self, name: str) -> CodeType | None:
        """The code of a module, its functions asleep; None for one without."""
        module = self._modules[name]
        if module.code is None and module.tree.body:
            asleep.replace_functions(module.tree, self._places_of(name))
            module.code = compile_tree(module.tree, module.shown)
        return module.code


def write_pack(directory: str, shown: str, hot: Hot) -> None:
    """Write DIRECTORY/accounts/CACHE_TAG.pack, which tools that start meanwhile see as it was or as it is then."""
    path = f"{directory}/accounts/{sys.implementation.cache_tag}.pack"
    with open(path + ".new", "wb") as file:
        file.write(Packer(directory, shown, hot).build())
        os.fsync(file.fileno())
    os.rename(path + ".new", path)


def main() -> None:
    """Write the pack of a directory; shown is its path at run time."""
    directory, shown = sys.argv[1:]
    write_pack(directory, shown, Hot(HOT.read_text()))


if __name__ == "__main__":
    main()
