# SPDX-License-Identifier: MIT
"""Whatever is declared: apply does it or changes nothing, says beforehand what it does, and has nothing left to do."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from accounts.change import Change
from accounts.errors import BadArgument
from accounts.machine.applyrun import Applied, Apply
from tests.machine.life import local, make_root

HASHES = ["!", "*", "$6$abcdefgh$" + "x" * 86, "!$6$abcdefgh$" + "y" * 86]
# Of the image, and not.
USERS = ["alice", "bob", "carol", "www"]
GROUPS = ["crew", "video", "alice", "adm"]
IDS = st.sampled_from([33, 44, 1000, 1001, 1002, 1500])
USER: dict[str, st.SearchStrategy[Any]] = {
    "uid": IDS, "gid": st.one_of(IDS, st.sampled_from(GROUPS)), "gecos": st.sampled_from(["", "A"]),
    "home": st.sampled_from(["/home/x/", "/", "/srv/a"]), "shell": st.just("/bin/sh"),
    "password": st.sampled_from(HASHES), "update-password": st.sampled_from(["always", "on_create"]),
    "locked": st.booleans(), "expiredate": st.sampled_from(["never", "2030-01-01"]), "inactive": st.integers(-1, 1),
    "mindays": st.integers(-1, 1), "maxdays": st.sampled_from([-1, 0, 90]), "warndays": st.integers(-1, 7),
    "groups": st.lists(st.sampled_from(GROUPS), max_size=2),
    "subuid": st.lists(
        st.fixed_dictionaries({"start": st.sampled_from([100000, 165536]), "count": st.just(65536)}), max_size=2
    ),
    "system": st.booleans(), "create-home": st.booleans(), "remove": st.booleans(),
}  # fmt: skip
GROUP: dict[str, st.SearchStrategy[Any]] = {
    "gid": IDS, "members": st.lists(st.sampled_from(USERS), max_size=2), "system": st.booleans(),
    "remove": st.booleans(),
}  # fmt: skip


def entries(names: list[str], keys: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    some = st.lists(st.sampled_from(sorted(keys)), unique=True, max_size=4).flatmap(
        lambda chosen: st.fixed_dictionaries({key: keys[key] for key in chosen})
    )
    return st.dictionaries(st.sampled_from(names), some, max_size=3)


DOCUMENTS = st.fixed_dictionaries(
    {"users": entries(USERS, USER), "groups": entries(GROUPS, GROUP)}, optional={"remove": st.booleans()}
)


def to_toml(document: dict[str, Any]) -> str:
    """Inline tables all the way: TOML that looks like JSON."""

    def value(one: Any) -> str:
        if isinstance(one, dict):
            return "{" + ", ".join(f'"{key}" = {value(item)}' for key, item in one.items()) + "}"
        return "[" + ", ".join(map(value, one)) + "]" if isinstance(one, list) else json.dumps(one)

    return "".join(f"{key} = {value(one)}\n" for key, one in document.items())


def apply(root: Path, tell: bool = False) -> Applied:
    with Change(os.fsencode(root)) as change:
        command = Apply(change)
        return command.tell() if tell else command.run()


def state(root: Path) -> dict[str, str]:
    applied = root / "etc/accounts/applied"
    return local(root) | {"applied": applied.read_text() if applied.exists() else ""}


def times(root: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in (root / "etc").rglob("*")}


@pytest.mark.parametrize("release", ["4.13", "4.20"])
@pytest.mark.parametrize("shadowed", [True, False])
def test_apply_converges(release: str, shadowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNTS_SHADOW_COMPAT", release)

    @settings(max_examples=int(os.environ.get("ACCOUNTS_EXAMPLES", "15")), deadline=None)
    @given(st.lists(DOCUMENTS, min_size=1, max_size=3))
    # A group that goes is not one that somebody is to be in.
    @example(
        [{"groups": {"crew": {"remove": True}}, "users": {}}, {"groups": {}, "users": {"bob": {"groups": ["crew"]}}}]
    )
    def converge(documents: list[dict[str, Any]]) -> None:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
            root = make_root(Path(name), None if shadowed else {"passwd": "", "group": ""}, None if shadowed else {})
            (root / "etc/login.defs").write_text("USERGROUPS_ENAB yes\n")
            (root / "etc/accounts.d").mkdir()
            for document in documents:
                (root / "etc/accounts.d/a.toml").write_text(to_toml(document))
                before, at = state(root), times(root)
                try:
                    told = apply(root, tell=True)
                except BadArgument as error:
                    assert error.message is not None and error.message.count("\n") == 0
                    assert error.message.startswith("/etc/accounts.d/a.toml:")
                    with pytest.raises(BadArgument):
                        apply(root)
                    assert state(root) == before
                    shutil.rmtree(root / "home")
                    (root / "home").mkdir()
                    continue
                assert times(root) == at
                done = apply(root)
                assert [str(action) for action in done.actions] == [str(action) for action in told.actions]
                assert done.changed == told.changed
                at = times(root)
                again = apply(root)
                # What cannot be removed yet is said each time.
                left = [str(action) for action in again.actions if action.what != "kept"]
                assert (left, again.changed) == ([], False)
                assert times(root) == at
                for user, values in document["users"].items():
                    check(root, user, values)

    converge()


def check(root: Path, user: str, values: dict[str, Any]) -> None:
    """Whether the rows say what is declared."""
    files = {name: local(root).get(name, "") + _image(root, name) for name in ("passwd", "group", "shadow")}
    row = next(line.split(":") for line in files["passwd"].splitlines() if line.startswith(f"{user}:"))
    fields = {"uid": 2, "gecos": 4, "home": 5, "shell": 6}
    for key, place in fields.items():
        if key in values:
            assert row[place] == str(values[key]).rstrip("/") or (key, row[place]) == ("home", "/")
    groups = {}
    for line in files["group"].splitlines():
        name, _, _, members = line.split(":")
        groups.setdefault(name, set()).update(members.split(","))
    assert all(user in groups[name] for name in values.get("groups", ()))
    secret = next((line.split(":") for line in files["shadow"].splitlines() if line.startswith(f"{user}:")), None)
    password = row[1] if secret is None else secret[1]
    if values.get("locked"):
        assert password.startswith("!")
        assert secret is None or secret[7] == "1"
    if "password" in values and values.get("update-password") != "on_create":
        assert password.lstrip("!") == values["password"].lstrip("!")


def _image(root: Path, name: str) -> str:
    path = root / "usr/lib" / name
    return path.read_text() if path.exists() else ""
