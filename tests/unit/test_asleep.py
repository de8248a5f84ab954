# SPDX-License-Identifier: MIT
"""Functions and classes that sleep in the pack behave as those that are there from the start."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.asleep import count_bindings, find_classes, find_functions

TOP = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
ONE = '''
from __future__ import annotations
from contextlib import contextmanager
from accounts.text import fsdecode as decode

LIMIT = 7
changing = 1


class Base(Exception):
    """Doc."""

    kind = "base"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def words(self, *, end: str = "!") -> str:
        return self.text + end


class Other(Base):
    kind = "other"

    @property
    def loud(self) -> str:
        return self.text.upper()

    @classmethod
    def made(cls, text: str = "made") -> Other:
        return cls(text)

    @staticmethod
    def add(a: int, b: int = LIMIT) -> int:
        return a + b

    def __private(self) -> int:
        return 5

    def private(self) -> int:
        return self.__private()


def plain(a, b=LIMIT, *rest, c, d=(1, 2), **named):
    """Doc."""
    return a, b, rest, c, d, named


def count(up_to):
    for number in range(up_to):
        yield number


@contextmanager
def around(log):
    log.append("in")
    yield
    log.append("out")


def changes(value=changing):
    return value


def change():
    global changing
    changing = 2


def nested(base):
    def inner(more):
        return base + more + LIMIT
    return [inner(number) for number in (1, 2)]


def fails():
    raise Other("no")


def catches():
    try:
        fails()
    except Other as error:
        return error.kind
'''
TWO = """
from accounts.system.one import Base, Other as Another, catches, fails


class Third(Another):
    def words(self, *, end: str = "?") -> str:
        return super().words(end=end)


def third():
    try:
        raise Third("three")
    except Base as error:
        return error.words(), isinstance(error, (Another,)), type(error).__mro__[1] is Another
"""
# Called in an interpreter that has the package: with the pack, and without it.
USE = """
import json, sys, traceback
sys.path.insert(0, sys.argv[1])
import accounts
from accounts.system import one
log = []
with one.around(log):
    log.append("body")
result = {
    "plain": [one.plain(1, c=3), one.plain(1, 2, 3, c=4, d=5, e=6), one.plain(2, c=1)],
    "count": list(one.count(3)), "log": log, "nested": one.nested(10), "catches": one.catches(),
    "changes": [one.changes(), one.change(), one.changes()],
    "names": [one.plain.__name__, one.plain.__qualname__, one.plain.__module__, one.plain.__defaults__,
              one.plain.__kwdefaults__, one.Base.words.__name__],
    "members": [one.Other("a").loud, one.Other.made().text, one.Other.add(1), one.Other("b").private(),
                one.Other("c").words(), one.Other("c").words(end="."), one.Other.words.__qualname__],
}
from accounts.system import two
result["third"] = two.third()
result["same"] = [two.Base is one.Base, two.Another is one.Other, one.Other.__module__, one.Other.__qualname__]
for call in ("one.plain()", "one.count()", "one.nothing", "two.fails()", "one.plain(1, x=2)"):
    try:
        eval(call)
    except Exception as error:
        places = [(frame.name, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)
                  if frame.filename.endswith("one.py")]
        result[f"error {len(result)}"] = [type(error).__name__, str(error), places]
result["from the pack"] = not hasattr(one, "__file__")
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a package of a few modules, and no pack."""
    place = tmp_path_factory.mktemp("tree")
    for name in ("__init__.py", "errors.py", "text.py", "system/__init__.py", "cli/__init__.py"):
        (place / "accounts" / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(TOP / "accounts" / name, place / "accounts" / name)
    (place / "accounts/cli/tool.py").write_text("from accounts.text import fsdecode\nfrom accounts.system import two\n")
    (place / "accounts/system/one.py").write_text(ONE)
    (place / "accounts/system/two.py").write_text(TWO)
    return place


def pack(place: Path, hot: str = "", seed: str = "0") -> Path:
    """Write the pack, by the interpreter of the tools."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from scripts.pack import *; "
        "write_pack(*sys.argv[2:4], Hot(sys.argv[4]))"
    )
    command = [PYTHON, "-SB", "-c", code, str(TOP), str(place), str(place), hot]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    (found,) = (place / "accounts").glob("*.pack")
    return found


def use(place: Path, code: str = USE) -> str:
    result = subprocess.run([PYTHON, "-ISB", "-c", code, str(place)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize(
    "hot",
    ["", "accounts.system.one:plain useradd\n", "accounts.system.one useradd\naccounts.system.one:Other useradd\n"],
    ids=["all asleep", "one awake", "a class awake"],
)
def test_what_sleeps_is_as_what_does_not(tree: Path, hot: str) -> None:
    awake = json.loads(use(tree))
    found = pack(tree, hot)
    try:
        asleep = json.loads(use(tree))
    finally:
        found.unlink()
    assert (awake.pop("from the pack"), asleep.pop("from the pack")) == (False, True)
    assert asleep == awake


def test_what_can_sleep() -> None:
    functions = find_functions(ast.parse(ONE))
    assert {"plain", "count", "around", "nested", "Base.words", "Other.loud", "Other.made", "Other.add"} <= {*functions}
    # Its default is another one after change().
    assert "changes" not in functions
    for source, classes in ((ONE, {"Base", "Other"}), ("class A: pass\ndef f(A): return A\n", set())):
        tree = ast.parse(source)
        assert {*find_classes(tree, count_bindings(tree))} == classes
    twice = (
        "def f(): pass\ndef g(): pass\nf = g\n"
        "class A:\n    def m(self): pass\n    n = m\n    @cache\n    def o(): pass\n"
    )
    assert {*find_functions(ast.parse(twice))} == {"g"}


AFTER = """
import sys, os
sys.path.insert(0, sys.argv[1])
from accounts.system import one
{then}
print(one.nested(1), flush=True)
pid = os.fork()
print(one.plain(1, c=2), flush=True)
if not pid: os._exit(0)
os.wait()
"""


@pytest.mark.parametrize(
    "then",
    [
        "pack, = (name for name in os.listdir(f'{sys.argv[1]}/accounts') if name.endswith('.pack')); "
        "path = f'{sys.argv[1]}/accounts/{pack}'; "
        "open(path + '.new', 'w').write('other'); os.rename(path + '.new', path)",
        "os.chroot('/proc')",
        "os.setgroups([]); os.setresgid(1, 1, 1); os.setresuid(1, 1, 1)",
        "os.closerange(3, 99)",
        "os.closerange(3, 99); files = [os.open('/dev/zero', 0), os.open('/', 0)]",
    ],
    ids=["update", "chroot", "other user", "closed", "closed and used"],
)
def test_what_sleeps_wakes_after(then: str, tree: Path) -> None:
    pack(tree)
    lines = use(tree, AFTER.format(then=then)).splitlines()
    assert lines == ["[9, 10]", *["(1, 7, (), 2, (1, 2), {})"] * 2]


def test_a_pack_that_is_gone_is_told_in_one_line(tree: Path) -> None:
    found = pack(tree)
    then = f"os.closerange(3, 99); os.rename({str(found)!r}, {str(found) + '.old'!r}); open({str(found)!r}, 'w')"
    code = f"import sys, os; sys.path.insert(0, sys.argv[1]); from accounts.system import one; {then}\n"
    code += "try: one.plain(1, c=2)\nexcept ImportError as error: print(error)"
    assert use(tree, code) == f"{found} has been replaced, and its descriptor closed\n"


THREADS = """
import sys, threading
sys.path.insert(0, sys.argv[1])
sys.setswitchinterval(1e-6)
from accounts.system import one, two
start = threading.Barrier(8)
found = []
def work():
    start.wait()
    found.append((one.plain(1, c=2), one.catches(), two.third(), one.Other, two.Another, one.Other("x").words()))
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 8
print(len({(str(each[:3]), id(each[3]), id(each[4]), each[5]) for each in found}))
"""


def test_threads_wake_the_same(tree: Path) -> None:
    pack(tree)
    assert {use(tree, THREADS) for _ in range(10)} == {"1\n"}


GROUPS = """\
accounts.text tool
accounts.system tool
accounts.cli tool
accounts.system.two tool
accounts.cli.tool tool
"""


@pytest.mark.parametrize("old", ["", "accounts.gone tool gone\naccounts.errors:Gone tool\naccounts.cli.gone gone\n"])
def test_a_list_that_is_too_old_costs_only_time(old: str, tree: Path) -> None:
    pack(tree, GROUPS + old)
    json.loads(use(tree))
    loaded = "print(*sorted(name for name in sys.modules if name.startswith('accounts.')))"
    code = f"import sys; sys.path.insert(0, sys.argv[1]); from accounts.cli import tool; {loaded}"
    assert use(tree, code).split() == [f"accounts.{name}" for name in (
        "cli", "cli.tool", "system", "system.one", "system.two", "text",
    )]  # fmt: skip
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import accounts.errors; {loaded}"
    assert "accounts.cli.tool" not in use(tree, code)


def test_same_list_same_bytes(tree: Path) -> None:
    hot = GROUPS + "accounts.system.one:plain tool\n"
    assert pack(tree, hot, "1").read_bytes() == pack(tree, hot, "2").read_bytes()
