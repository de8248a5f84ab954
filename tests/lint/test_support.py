# SPDX-License-Identifier: MIT
"""Imports where import-linter does not look: tests/support imports no test, no demo and no bench, and no test imports
what is not there, which tests that land beside a change of names would else find out too late.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
TESTS = sorted(path for path in (TOP / "tests").rglob("*.py"))


@cache
def find_imports(path: Path) -> list[tuple[str, str]]:
    """(module, name) of all that a file imports of ours, wherever it does."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("accounts", "tests")
        for alias in node.names
    ]


@cache
def find_names(module: str) -> frozenset[str]:
    """What can be imported from one of our modules; nothing where there is none."""
    place = TOP / module.replace(".", "/")
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    below = {one.stem for one in place.iterdir()} if place.is_dir() else set()
    return frozenset(_defined(ast.parse(path.read_text()).body)) | below if path.exists() else frozenset(below)


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.For):
            yield from (
                one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
            )
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _defined([*node.body, *getattr(node, "orelse", ())])


def test_support_imports_no_test() -> None:
    support = [path for path in TESTS if path.is_relative_to(TOP / "tests/support")]
    assert support
    assert not [
        (str(path.relative_to(TOP)), module)
        for path in support
        for module, _ in find_imports(path)
        if module.startswith("tests") and not module.startswith("tests.support")
    ]


def test_tests_import_what_is_there() -> None:
    imports = [(path, *one) for path in TESTS for one in find_imports(path)]
    assert len(imports) > 1000
    assert not [
        (str(path.relative_to(TOP)), f"from {module} import {name}")
        for path, module, name in imports
        if name not in find_names(module)
    ]
