# SPDX-License-Identifier: MIT
"""Requests from Python: what docs/api.md shows runs, failures leave nothing behind, a request is a value."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import accounts.edit
from accounts.change import Change
from accounts.edit.groupadd import AddGroup
from accounts.edit.groupdel import RemoveGroup
from accounts.edit.request import Request, edit
from accounts.edit.useradd import AddUser
from accounts.errors import E_NAME_IN_USE, E_NOTFOUND, Fail

DOCS = Path(__file__).parents[2] / "docs/api.md"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "usr/lib/group").write_text("root:x:0:\nvideo:x:44:\n")
    return tmp_path


def files(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((root / "etc").iterdir()) if path.is_file()}


def test_the_example_of_the_manual_runs_and_prints_what_it_says(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = DOCS.read_text()
    code = re.search(r"```python\n(.*?)```", text, re.S)
    said = re.search(r"this prints\n\n((?:    .*\n)+)", text)
    assert code and said
    monkeypatch.setattr("accounts.system.known.Facts.terminal", lambda facts: "none")
    exec(compile(code[1], str(DOCS), "exec"), {"ROOT": str(root)})
    assert capsys.readouterr().out == re.sub(r"^    ", "", said[1], flags=re.M)
    found = files(root)
    assert found["group"] == "crew:x:2000:alice\n"
    assert found["passwd"] == "alice:!:1000:100::/home/alice:/bin/sh\n"


def test_a_failure_changes_nothing_and_leaves_no_lock(root: Path) -> None:
    with Change(str(root)) as change:
        with pytest.raises(Fail) as caught:
            change.do(AddGroup(name=b"video"))
        assert (caught.value.why, str(caught.value)) == (E_NAME_IN_USE, "group 'video' already exists")
        assert files(root) == {}
        assert change.do(AddGroup(name=b"crew", gid=2000)).changed
        with pytest.raises(Fail) as caught:
            change.do(RemoveGroup(name=b"none"))
        assert caught.value.why == E_NOTFOUND
    assert files(root) == {"group": "crew:x:2000:\n", ".pwd.lock": ""}


def test_nothing_to_do_is_no_failure(root: Path) -> None:
    with Change(root.as_posix()) as change:
        report = change.do(AddGroup(name=b"video", force=True))
    assert (report.changed, report.log) == (False, [])


def test_each_request_sees_what_those_before_it_did(root: Path) -> None:
    with Change(str(root)) as change:
        for name in (b"a", b"b"):
            change.do(AddUser(name=name, user_group=True))
        change.do(RemoveGroup(name=b"b", force=True))
    assert files(root)["passwd"] == "a:!:1000:1000::/home/a:/bin/bash\nb:!:1001:1001::/home/b:/bin/bash\n"
    assert files(root)["group"] == "a:!:1000:\n"


def test_a_request_is_applied_to_a_database_at_hand(root: Path) -> None:
    with Change(str(root)) as change:
        facts = change.facts
        database = facts.view(("passwd", "group", "gshadow", "shadow"))
        report = edit(database, AddUser(name=b"alice", uid=1500, groups=(b"video",)), facts)
        assert [name for name, _, _ in database.render_changes()] == ["passwd", "group"]
        assert report.uid == 1500
    assert files(root) == {}


def test_a_request_is_a_value() -> None:
    request = AddGroup(name=b"crew", gid=7)
    assert request == AddGroup(gid=7, name=b"crew") != AddGroup(name=b"crew")
    assert repr(request) == "AddGroup(gid=7, name=b'crew')"
    with pytest.raises(AttributeError, match="AddGroup is immutable"):
        request.gid = 8
    with pytest.raises(TypeError, match="no field colour"):
        AddGroup(name=b"crew", colour=1)
    with pytest.raises(KeyError):
        AddGroup(gid=7)


REQUESTS = {
    value
    for module in pkgutil.iter_modules(accounts.edit.__path__)
    for value in vars(importlib.import_module(f"accounts.edit.{module.name}")).values()
    if isinstance(value, type) and issubclass(value, Request) and value is not Request and value.__name__[0] != "_"
}


@pytest.mark.parametrize("request_class", sorted(REQUESTS, key=str), ids=lambda value: value.__name__)
def test_the_manual_has_every_request_with_fields_that_it_has(request_class: type[Request]) -> None:
    name = f"{request_class.__module__.removeprefix('accounts.edit.')}.{request_class.__name__}"
    (line,) = (line for line in DOCS.read_text().split("\n") if f"`{name}`" in line)
    assert request_class.DEFAULTS.keys() <= set(request_class.__slots__)
    assert "Callable" not in str(request_class.__annotations__)
    fields = line.split("|")[2]
    if "see there" not in fields and ";" not in fields:
        words = set(re.findall(r"[a-z_]+", fields.replace("and one of", ""))) - {"and"}
        assert words <= set(request_class.__slots__)
        assert "…" in fields or words == set(request_class.__slots__)
