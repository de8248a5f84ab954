# SPDX-License-Identifier: MIT
"""Builds the pack of byte code that accounts/__init__.py loads modules from: `make install` runs it.

`python3 pack.py DIRECTORY SHOWN`: DIRECTORY holds the package accounts/; SHOWN is its path at run time, for
tracebacks. It begins with the interpreter's magic number of byte code and its own size in eight bytes, so
that accounts/__init__.py knows one of another interpreter or without its end; like the unchecked-hash .pyc files
beside it, it is never compared with the sources. Same sources, same bytes.
"""

import ast
import importlib.util
import marshal
import os
import sys
from collections.abc import Collection

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


class _Stripper(ast.NodeTransformer):
    """Takes away what no tool looks at when it runs: annotations, and the import of __future__, a file to load.

    loaded: the modules of the pack that are there before the module runs (accounts/__init__.py). At its top level
    `from MODULE import NAME` becomes a look-up of such a MODULE: the statement asks every time whether it is a
    package, which costs an AttributeError.
    """

    def __init__(self, loaded: Collection[str]) -> None:
        self._loaded = loaded

    def visit_Module(self, node: ast.Module) -> ast.Module:
        self.generic_visit(node)
        node.body = [self._look_up(statement) for statement in node.body]
        return node

    def _look_up(self, node: ast.stmt) -> ast.stmt:
        if not isinstance(node, ast.ImportFrom) or node.module not in self._loaded:
            return node
        names = ", ".join(alias.asname or alias.name for alias in node.names)
        values = ", ".join(f"__modules__[{node.module!r}].{alias.name}" for alias in node.names)
        return ast.copy_location(ast.parse(f"{names} = {values}").body[0], node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        # The fields of a dataclass are its annotations; their names are enough, and nothing is imported for them.
        fields = {}
        if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
            for place, statement in enumerate(node.body):
                if isinstance(statement, ast.AnnAssign):
                    statement.annotation = ast.Constant(ast.unparse(statement.annotation))
                    fields[place] = statement
                    node.body[place] = ast.Pass()
        self.generic_visit(node)
        for place, statement in fields.items():
            node.body[place] = statement
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        bare = ast.Pass() if node.value is None else ast.Assign([node.target], node.value)
        return ast.copy_location(bare, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        return None if node.module == "__future__" else node


def compile_module(tree: ast.Module, path: str, loaded: Collection[str] = ()) -> bytes:
    """Marshalled code without docstrings and annotations. loaded: the modules that are there when it runs."""
    stripped = ast.fix_missing_locations(_Stripper(loaded).visit(tree))
    return marshal.dumps(compile(stripped, path, "exec", dont_inherit=True, optimize=2))


def reads_annotations(tree: ast.Module) -> bool:
    """Whether a module has data classes: it is not packed, and comes from its own file."""
    return any(isinstance(node, ast.ImportFrom) and node.module == "dataclasses" for node in ast.walk(tree))


def find_needed(tree: ast.Module, names: Collection[str]) -> tuple[str, ...]:
    """Which of the modules called names a module imports at its top level, packages before what is in them."""
    needed: dict[str, None] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                parts = name.split(".")
                needed |= dict.fromkeys(".".join(parts[: end + 1]) for end in range(1, len(parts)))
    return tuple(name for name in needed if name in names)


def build_pack(directory: str, shown: str) -> bytes:
    """The bytes of the pack."""
    index = {}
    codes = []
    offset = 0
    modules = find_modules(directory)
    trees = {}
    for name, (_, path) in sorted(modules.items()):
        with open(path, "rb") as file:
            trees[name] = ast.parse(file.read(), path)
        if reads_annotations(trees[name]):
            del trees[name]
    for name, tree in trees.items():
        is_package, path = modules[name]
        needed = find_needed(tree, trees)
        code = compile_module(tree, os.path.join(shown, os.path.relpath(path, directory)), needed)
        index[name] = (is_package, offset, len(code), needed)
        codes.append(code)
        offset += len(code)
    head = marshal.dumps(index)
    body = len(head).to_bytes(8, "little") + head + b"".join(codes)
    return importlib.util.MAGIC_NUMBER + (len(body) + 12).to_bytes(8, "little") + body


def main() -> None:
    """Write DIRECTORY/accounts/CACHE_TAG.pack, which tools that start meanwhile see as it was or as it is then."""
    directory, shown = sys.argv[1:]
    path = f"{directory}/accounts/{sys.implementation.cache_tag}.pack"
    with open(path + ".new", "wb") as file:
        file.write(build_pack(directory, shown))
        os.fsync(file.fileno())
    os.rename(path + ".new", path)


if __name__ == "__main__":
    main()
