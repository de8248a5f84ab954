# SPDX-License-Identifier: MIT
"""The pack of byte code: what it holds, and that modules from it are as those from files."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.lean import compile_tree, find_needed, parse, reads_annotations, strip
from scripts.pack import find_modules

TOP = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
# Import passlib or filelock, which are not in the pack.
NEED_OTHERS = {"accounts.system.hashers", "accounts.system.waiting"}

LOAD_ALL = """
import importlib, accounts
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    parent, _, child = name.rpartition(".")
    assert getattr(sys.modules[parent], child) is module is sys.modules[name]
    assert not hasattr(module, "__file__"), name
"""
FAIL = """
import traceback
from accounts.model.broken import fail
try:
    fail()
except KeyError:
    print(traceback.format_exc())
"""
SOURCE = '''"""Doc."""
from __future__ import annotations

from accounts.model import records


def f(a: int, *b: str, c: "x" = 1) -> None:
    """Doc."""
    d: int = a
    e: int
    return d
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package, a module that fails in it, and the pack of all."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run(["cp", "-R", TOP / "accounts", place], check=True)
    (place / "accounts/model/broken.py").write_text('"""Broken."""\n\n\ndef fail():\n    raise KeyError("x")\n')
    make_pack(place)
    return place


def make_pack(place: Path) -> bytes:
    """Run pack.py as `make install` does; the pack."""
    subprocess.run([PYTHON, "-IS", TOP / "scripts/pack.py", place, "/shown"], check=True)
    (pack,) = (place / "accounts").glob("*.pack")
    return pack.read_bytes()


def run(place: Path, code: str, *arguments: str) -> str:
    """What code prints in an interpreter that has the package of place."""
    code = f"import sys\nsys.path.insert(0, sys.argv[1])\n{code}"
    command = [PYTHON, "-IS", "-c", code, str(place), *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_all_modules_load_from_the_pack(installed: Path) -> None:
    modules = find_modules(str(installed))
    names = {name for name, (_, path) in modules.items() if not reads_annotations(ast.parse(Path(path).read_text()))}
    assert "accounts.cli.useradd" in names
    assert "accounts.image.seed" not in names
    assert run(installed, LOAD_ALL, *sorted(names - NEED_OTHERS)) == ""


def test_every_module_can_be_imported_beside_the_pack(installed: Path) -> None:
    paths = (path.relative_to(TOP).with_suffix("") for path in (TOP / "accounts").rglob("*.py"))
    names = {".".join(path.parts).removesuffix(".__init__") for path in paths} - NEED_OTHERS
    code = "import importlib\nfor name in sys.argv[2:]: importlib.import_module(name)"
    assert run(installed, code, *sorted(names)) == ""


def test_a_module_with_data_classes_comes_from_its_file(installed: Path) -> None:
    code = (
        "import accounts.system.store\nfrom accounts.system import counted\nprint(counted.__file__, counted.Two(1, 2))"
    )
    (installed / "accounts/system/counted.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Two:\n    one: int\n    two: int\n"
    )
    make_pack(installed)
    assert run(installed, code) == f"{installed}/accounts/system/counted.py Two(one=1, two=2)\n"


def test_tracebacks_name_file_and_line(installed: Path) -> None:
    assert 'File "/shown/accounts/model/broken.py", line 5, in fail' in run(installed, FAIL)


@pytest.mark.parametrize(
    "damage",
    [
        lambda pack: b"",
        lambda pack: pack[:3],
        lambda pack: pack[:100],
        lambda pack: pack[:-1],
        lambda pack: pack + b"x",
        lambda pack: b"\0" * len(pack),
        lambda pack: b"\xa8" + pack[1:],  # another interpreter's
    ],
)
def test_a_damaged_pack_is_as_none(installed: Path, damage: Callable[[bytes], bytes]) -> None:
    pack = next((installed / "accounts").glob("*.pack"))
    whole = pack.read_bytes()
    pack.write_bytes(damage(whole))
    try:
        code = "import accounts.cli.useradd as tool\nprint(tool.__file__)"
        assert run(installed, code) == f"{installed}/accounts/cli/useradd.py\n"
    finally:
        pack.write_bytes(whole)


def test_same_sources_same_bytes(installed: Path) -> None:
    assert make_pack(installed) == make_pack(installed)


def run_stripped(source: str, space: dict[str, Any], loaded: Collection[str] = ()) -> dict[str, Any]:
    """Run a source as the pack has it; its name space."""
    packed = {*loaded, "accounts.errors"}
    exec(compile_tree(strip(parse(source.encode(), "f.py"), packed, loaded), "f.py"), space)
    return space


def test_an_import_of_what_is_loaded_is_a_look_up() -> None:
    source = (
        "from accounts import text\nfrom accounts.text import fsdecode as d, fsencode\nimport sys\nfrom os import sep\n"
        "def late():\n    from accounts import errors\n    from accounts.errors import Fail as f\n"
        "    return errors, f\n"
    )
    errors, text = SimpleNamespace(Fail=1), SimpleNamespace(fsdecode=2, fsencode=3)
    modules = {"accounts": SimpleNamespace(), "accounts.text": text}
    space: dict[str, Any] = {"__modules__": modules, "__load__": {"accounts.errors": errors}.__getitem__}
    run_stripped(source, space, modules)
    assert (space["text"], space["d"], space["fsencode"], space["sep"]) == (text, 2, 3, "/")
    assert space["late"]() == (errors, 1)


def test_annotations_and_docstrings_are_left_out() -> None:
    space = run_stripped(SOURCE, {})
    assert space["f"](3) == 3
    assert (space["f"].__annotations__, space["f"].__doc__, space.get("__doc__")) == ({}, None, None)


def test_what_only_a_type_checker_reads_is_left_out() -> None:
    source = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import nowhere\nelse:\n    found = 1\n"
    tree = strip(parse(source.encode(), "f.py"))
    assert "nowhere" not in ast.unparse(tree)
    assert run_stripped(source, {})["found"] == 1


def test_a_dataclass_keeps_its_fields() -> None:
    source = "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: Nowhere\n    y: int = 2\n"
    space = run_stripped(source, {"__name__": __name__})
    assert repr(space["A"](1)).endswith("A(x=1, y=2)")


def test_needed_are_packages_before_what_is_in_them() -> None:
    source = SOURCE + "\n\ndef late():\n    from accounts.text import fsdecode\n"
    names = ("accounts.text", "accounts.model.records", "accounts.model", "accounts.errors")
    assert find_needed(ast.parse(source), names) == ("accounts.model", "accounts.model.records")
