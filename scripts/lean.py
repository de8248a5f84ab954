# SPDX-License-Identifier: MIT
"""Modules of the pack without what no tool looks at when it runs."""

from __future__ import annotations

import ast
from collections.abc import Collection
from types import CodeType


class _NoTypeChecking(ast.NodeTransformer):
    """Takes away what only a type checker reads."""

    def visit_If(self, node: ast.If) -> list[ast.stmt] | ast.If:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse
        self.generic_visit(node)
        return node


class _Stripper(ast.NodeTransformer):
    """Takes away what no tool looks at when it runs: annotations, and the import of __future__, a file to load.

    `from MODULE import NAME` becomes a look-up of a MODULE of the pack: the statement asks every time whether it is a
    package, which costs an AttributeError. packed: the modules of the pack; loaded: those that are there before the
    module runs (accounts/__init__.py).
    """

    def __init__(self, packed: Collection[str], loaded: Collection[str]) -> None:
        self._packed = packed
        self._loaded = loaded
        self._inside = 0

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | None:
        if node.module == "__future__":
            return None
        if node.module not in self._packed:
            return node
        targets, values = [], []
        for alias in node.names:
            module, _, name = f"{node.module}.{alias.name}".rpartition(".")
            if f"{module}.{name}" in self._packed:
                module, name = f"{module}.{name}", ""
            if not self._inside and module not in self._loaded:
                return node
            values.append(self._ask(module) + f".{name}" * bool(name))
            targets.append(alias.asname or alias.name)
        made = ast.parse(f"{', '.join(targets)} = {', '.join(values)}").body[0]
        return relocate(made, node)

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        (alias, *more) = node.names
        if more or not alias.asname or not self._inside or alias.name not in self._packed:
            return node
        return relocate(ast.parse(f"{alias.asname} = {self._ask(alias.name)}").body[0], node)

    def _ask(self, module: str) -> str:
        return f"__load__({module!r})" if self._inside else f"__modules__[{module!r}]"

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self._inside += 1
        self.generic_visit(node)
        self._inside -= 1
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


def relocate(made: ast.stmt, node: ast.AST) -> ast.stmt:
    """made, with the lines of a node."""
    for inner in ast.walk(made):
        ast.copy_location(inner, node)
    return made


def parse(text: bytes, path: str) -> ast.Module:
    """A module without what only a type checker reads."""
    tree: ast.Module = _NoTypeChecking().visit(ast.parse(text, path))
    return tree


def strip(tree: ast.Module, packed: Collection[str] = (), loaded: Collection[str] = ()) -> ast.Module:
    """A module without annotations. packed: the modules of the pack; loaded: those that are there when it runs."""
    stripped: ast.Module = _Stripper(packed, loaded).visit(tree)
    return stripped


def compile_tree(tree: ast.Module | ast.Expression, path: str, mode: str = "exec") -> CodeType:
    """The code of a tree, without docstrings."""
    code: CodeType = compile(ast.fix_missing_locations(tree), path, mode, dont_inherit=True, optimize=2)
    return code


def reads_annotations(tree: ast.Module) -> bool:
    """Whether a module has data classes: it is not packed, and comes from its own file."""
    return any(isinstance(node, ast.ImportFrom) and node.module == "dataclasses" for node in tree.body)


def find_needed(tree: ast.Module, names: Collection[str]) -> tuple[str, ...]:
    """Which of the modules called names a module imports at its top level, packages before what is in them."""
    needed: dict[str, None] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                parts = name.split(".")
                needed |= dict.fromkeys(".".join(parts[: end + 1]) for end in range(1, len(parts)))
    return tuple(name for name in needed if name in names)
