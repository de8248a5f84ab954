# SPDX-License-Identifier: MIT
"""One name, one thing: no two public classes of the package are called alike, and errors are where errors are.

A Protocol has the name of what keeps it, where that is a module above.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "accounts"
LONGEST = 400


@cache
def find_classes() -> list[tuple[str, str, tuple[str, ...]]]:
    """(module, class, its bases) of all classes that are not within a function or a class."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        for node in ast.parse(text).body if "class " in text else ():
            for one in node.body if isinstance(node, ast.If) else (node,):
                if isinstance(one, ast.ClassDef):
                    bases = tuple(ast.unparse(base).rpartition(".")[2] for base in one.bases)
                    found.append((str(path.relative_to(PACKAGE)), one.name, bases))
    return found


def test_classes_have_names_of_their_own() -> None:
    places: dict[tuple[str, bool], list[str]] = {}
    for module, name, bases in find_classes():
        if not name.startswith("_"):
            places.setdefault((name, "Protocol" in bases), []).append(module)
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_errors_are_in_the_modules_of_errors() -> None:
    errors = {name for module, name, _ in find_classes() if module.endswith("errors.py")}
    assert {"AccountsError", "VarlinkError", "BadValue"} <= errors
    assert not [
        (module, name)
        for module, name, bases in find_classes()
        if not module.endswith("errors.py")
        and (errors.intersection(bases) or any(base.endswith(("Error", "Exception")) for base in bases))
    ]


def test_no_module_is_longer_than_one_can_read() -> None:
    lengths = {str(path.relative_to(PACKAGE)): path.read_text().count("\n") for path in PACKAGE.rglob("*.py")}
    assert not {path: length for path, length in lengths.items() if length > LONGEST}
