# SPDX-License-Identifier: MIT
"""docs/schemas/accounts.d.json and accounts apply are of one opinion about every document."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.errors import BadArgument
from accounts.machine.applytoml import key_lines, parse_toml
from accounts.machine.declaration import Declaration, parse_hash
from accounts.model.hashes import is_valid_hash
from accounts.model.names import is_valid_group_name, is_valid_user_name

TOP = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((TOP / "docs/schemas/accounts.d.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker(["date"]))
EXAMPLES = int(os.environ.get("ACCOUNTS_EXAMPLES", "80"))
SHA256 = "$5$abc$" + "a" * 43
SHA512 = "$6$rounds=5000$abcdefgh$" + "b" * 86
YESCRYPT = "$y$j9T$abcdefghijkl$" + "c" * 43
BCRYPT = "$2b$10$" + "d" * 53


def refusal(document: Any) -> str | None:
    """What our own validator has against a document."""
    try:
        Declaration().take(document, ".".join)
    except BadArgument as error:
        return error.message
    return None


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"remove": True, "users": {}, "groups": {"crew": {}}},
        {"users": {"a": {"uid": 0, "gid": 4294967294, "gecos": "Ä, B", "home": "/", "shell": "/bin/sh"}}},
        {"users": {"a.b-c_d$": {"gid": "crew", "uid": 1.0, "expiredate": "2028-02-29", "locked": False}}},
        *({"users": {"a": {"password": text}}} for text in ("!", "*", "!*", SHA256, "!" + SHA512, YESCRYPT, BCRYPT)),
        {"users": {"a": {"password-credential": "accounts.password.a", "update-password": "on_create"}}},
        {"users": {"a": {"password-file": "/etc/accounts.d/a.hash", "expiredate": "never"}}},
        {"users": {"a": {"subuid": [{"start": 100000, "count": 65536}], "subgid": [], "groups": ["b", "b"]}}},
        {"groups": {"g": {"gid": 5, "members": [], "system": True, "remove": False}}},
    ],
)
def test_both_take(document: Any) -> None:
    VALIDATOR.validate(document)
    assert refusal(document) is None


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"user": {}}, "user"),
        ([], ""),
        ({"remove": "yes"}, "remove"),
        ({"users": []}, "users"),
        ({"users": {"1000": {}}}, "users.1000"),
        ({"users": {"-a": {}}}, "users.-a"),
        ({"users": {"a" * 33: {}}}, "users." + "a" * 33),
        ({"users": {"a:b": {}}}, "users.a:b"),
        ({"users": {"..": {}}}, "users..."),
        ({"users": {"a\n": {}}}, "users.a\n"),
        ({"users": {"a": {"uid": 65535}}}, "users.a.uid"),
        ({"users": {"a": {"uid": 4294967295}}}, "users.a.uid"),
        ({"users": {"a": {"uid": -1}}}, "users.a.uid"),
        ({"users": {"a": {"uid": "5"}}}, "users.a.uid"),
        ({"users": {"a": {"uid": True}}}, "users.a.uid"),
        ({"users": {"a": {"uid": 1.5}}}, "users.a.uid"),
        ({"users": {"a": {"gid": "5"}}}, "users.a.gid"),
        ({"users": {"a": {"gecos": "a:b"}}}, "users.a.gecos"),
        ({"users": {"a": {"gecos": "a\n"}}}, "users.a.gecos"),
        ({"users": {"a": {"gecos": "x" * 1025}}}, "users.a.gecos"),
        ({"users": {"a": {"home": "home"}}}, "users.a.home"),
        ({"users": {"a": {"shell": ""}}}, "users.a.shell"),
        ({"users": {"a": {"shell": "/bin/sh\0"}}}, "users.a.shell"),
        ({"users": {"a": {"password": "secret"}}}, "users.a.password"),
        ({"users": {"a": {"password": ""}}}, "users.a.password"),
        ({"users": {"a": {"password": "$1$abc$" + "a" * 22}}}, "users.a.password"),
        ({"users": {"a": {"password": SHA256 + "\n"}}}, "users.a.password"),
        ({"users": {"a": {"password": "!", "password-file": "/x"}}}, "users.a"),
        ({"users": {"a": {"password-file": "/y", "password-credential": "x"}}}, "users.a"),
        ({"users": {"a": {"password-credential": "../x"}}}, "users.a.password-credential"),
        ({"users": {"a": {"update-password": "never"}}}, "users.a.update-password"),
        ({"users": {"a": {"expiredate": "2027-02-30"}}}, "users.a.expiredate"),
        ({"users": {"a": {"expiredate": "1970-01-01"}}}, "users.a.expiredate"),
        ({"users": {"a": {"expiredate": "20270101"}}}, "users.a.expiredate"),
        ({"users": {"a": {"maxdays": -2}}}, "users.a.maxdays"),
        ({"users": {"a": {"groups": "video"}}}, "users.a.groups"),
        ({"users": {"a": {"groups": ["a,b"]}}}, "users.a.groups"),
        ({"users": {"a": {"subuid": [{"start": 1}]}}}, "users.a.subuid"),
        ({"users": {"a": {"subuid": [{"start": 0, "count": 1}]}}}, "users.a.subuid"),
        ({"users": {"a": {"subuid": [{"start": 1, "count": 1, "x": 1}]}}}, "users.a.subuid"),
        ({"groups": {"g": {"gid": "g"}}}, "groups.g.gid"),
        ({"groups": {"g": {"uid": 1}}}, "groups.g.uid"),
        ({"groups": {"g": {"members": [1]}}}, "groups.g.members"),
    ],
)
def test_both_refuse(document: Any, where: str) -> None:
    assert not VALIDATOR.is_valid(document)
    said = refusal(document)
    assert said is not None
    assert said.startswith(f"{where}: ")
    assert "secret" not in said


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2**33), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6), st.lists(st.sampled_from(["a", "b:", 1]), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(), max_size=1),
)  # fmt: skip
NAMES = st.one_of(
    st.from_regex(r"\A[a-z0-9_.$-]{1,33}\Z"),
    st.sampled_from(["alice", "a$", "$", ".", "..", "a\n", "é", "", "12", "1a"]),
)
IDS = st.sampled_from([0, 1, 65534, 65535, 65536, 4294967294, 4294967295, -1, 5.0, 5.5])
PATHS = st.sampled_from(["/", "/bin/sh", "", "bin", "/a:b", "/a\x7f", "/ä", "/" + "x" * 1023, "/" + "x" * 1024, "/\n"])
HASHES = st.one_of(
    st.sampled_from(["", "!", "!!", "*", "!*", "x", SHA256, SHA512, YESCRYPT, BCRYPT, "!" + BCRYPT, "$7$" + "a" * 11]),
    st.from_regex(r"\A!?\$(5|6|y|gy|2b|7)\$(rounds=[0-9]{3,6}\$)?[a-z./]{0,17}\$[a-zA-Z0-9]{43}\n?\Z"),
)  # fmt: skip
RANGES = st.lists(
    st.dictionaries(st.sampled_from(["start", "count", "end"]), st.sampled_from([0, 1, 100000, 2**32, "1"])), max_size=2
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "uid": IDS, "gid": st.one_of(IDS, NAMES), "gecos": PATHS, "home": PATHS, "shell": PATHS, "password": HASHES,
    "password-file": PATHS, "password-credential": NAMES,
    "update-password": st.sampled_from(["always", "on_create", ""]),
    "locked": st.booleans(), "inactive": IDS, "mindays": IDS, "maxdays": st.integers(-2, 2**31), "warndays": IDS,
    "expiredate": st.one_of(
        st.dates().map(str), st.sampled_from(["never", "", "2027-13-01", "2027-02-29", "2028-02-29", "2027-01-01\n"]),
        st.just("\u0662027-01-01"),
    ),
    "groups": st.lists(NAMES, max_size=2), "members": st.lists(NAMES, max_size=2), "subuid": RANGES, "subgid": RANGES,
    "system": st.booleans(), "create-home": st.booleans(), "remove": st.booleans(), "passwd": st.just("x"),
}  # fmt: skip


@st.composite
def entries(draw: st.DrawFn) -> Any:
    keys = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=3))
    return {key: draw(st.one_of(VALUES[key], VALUES[key], VALUES[key], ODD)) for key in keys}


DOCUMENTS = st.one_of(
    st.fixed_dictionaries({}, optional={
        "users": st.dictionaries(NAMES, entries(), max_size=2), "groups": st.dictionaries(NAMES, entries(), max_size=1),
        "remove": st.booleans(),
    }),
    st.dictionaries(st.sampled_from(["users", "groups", "remove", "user"]), ODD),
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(DOCUMENTS)
def test_both_agree(document: Any) -> None:
    assert VALIDATOR.is_valid(document) == (refusal(document) is None), refusal(document)


@settings(max_examples=EXAMPLES, deadline=None)
@given(HASHES)
def test_a_declared_hash_is_one_that_the_tools_take(text: str) -> None:
    try:
        assert is_valid_hash(parse_hash(text))
    except ValueError:
        pass


@settings(max_examples=EXAMPLES, deadline=None)
@given(NAMES, st.sampled_from([(4, 13), (4, 17), (4, 20)]))
def test_a_declared_name_is_one_that_the_tools_take(name: str, release: tuple[int, int]) -> None:
    if refusal({"users": {name: {}}}) is None:
        assert is_valid_user_name(name.encode(), release=release)
        assert is_valid_group_name(name.encode(), release=release)


# The lines of keys


def test_lines_of_keys() -> None:
    text = '''\
# [users.no]
remove = true

[users.alice]
gecos = """
uid = 5
[users.bob]
"""  # "
"shell" = '/bin/#sh'
groups = [  # [a]
  "x]", "y",
]
subuid = [ { start = 1, count = 2 }, {start=3,count=4} ]
[ users . "b\\u0062" ]
a.b = 2027-01-01 07:32:00
[[list]]
x = 1
'''
    lines = key_lines(text)
    expected = {
        ("remove",): 2, ("users", "alice"): 4, ("users", "alice", "gecos"): 5, ("users", "alice", "shell"): 9,
        ("users", "alice", "groups"): 10, ("users", "alice", "subuid"): 13, ("users", "bb"): 14,
        ("users", "bb", "a", "b"): 15, ("list",): 16, ("list", "x"): 17,
    }  # fmt: skip
    assert {path: lines[path] for path in expected} == expected
    assert ("users", "no") not in lines and ("users", "bob") not in lines and ("uid",) not in lines


KEY = st.sampled_from(["a", "b-c", '"d.e"', "'f'", '"\\u0067"', "1"])
SCALAR = st.sampled_from(
    [
        "1",
        "true",
        '"x\\"]#"',
        "'y}'",
        "2027-01-01",
        "1979-05-27 07:32:00",
        '"""a\n\n["""',
        "'''\nb = 1\n'''",
        '"""q\\""""',
    ]
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3).map(lambda items: "[\n" + ",\n# c ]\n ".join(items) + " ]"),
    max_leaves=5,
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", "\n", "# x = 1\n", "  "]), VALUE), max_size=8))
def test_the_scanner_finds_the_line_of_each_key(pairs: list[tuple[str, str]]) -> None:
    text, expected = "", {}
    for number, (before, value) in enumerate(pairs):
        if number == 3:
            text += "[t]\n"
        text += before
        prefix = ("t",) if number >= 3 else ()
        expected[(*prefix, f"k{number}")] = text.count("\n") + 1
        text += f"k{number} = {value}\n"
    document, place_of = parse_toml(text.encode(), "f")
    assert len(document.get("t", {})) + len(document) - ("t" in document) == len(pairs)
    for path, line in expected.items():
        assert place_of(path) == f"f:{line}: {'.'.join(path)}"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a = 1\na = 2\n", "f:2: Cannot overwrite a value"),
        (b"[users.a]\nuid = \n", "f:2: Invalid value"),
        (b"[users", "f:1: Expected ']' at the end of a table declaration"),
        (b"a = 1\nb = '\xff'\n", "f:2: not UTF-8"),
        (b"a = \x00\n", "f:1: Invalid value"),
        (b"a = " + b"[" * 100_000, "f: nested too deeply"),
        (b"a = " + b"{a=" * 100_000, "f: nested too deeply"),
        (b"uid = 1" + b"0" * 5000 + b"\n", "f: a value that is out of range"),
        (b"d = 2027-02-30\n", "f:1: Invalid date or datetime"),
    ],
)
def test_a_broken_file_is_one_line(data: bytes, said: str) -> None:
    with pytest.raises(BadArgument) as caught:
        parse_toml(data, "f")
    assert caught.value.message == said


def test_a_huge_file_is_read_in_time() -> None:
    text = "".join(f"[users.u{number}]\nuid = {number}\n" for number in range(20_000)).encode()
    document, place_of = parse_toml(text, "f")
    assert len(document["users"]) == 20_000
    assert place_of(("users", "u19999", "uid")) == "f:40000: users.u19999.uid"
