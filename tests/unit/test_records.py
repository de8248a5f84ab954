# SPDX-License-Identifier: MIT
"""Rows parse and format as shadow 4.13 and glibc 2.36 do it."""

from __future__ import annotations

import pytest

from accounts.model.names import is_valid_group_name, is_valid_upn, is_valid_user_name, valid_field
from accounts.model.records import (
    Group,
    Gshadow,
    Passwd,
    Shadow,
    Subid,
    parse_id,
    parse_integer,
    parse_long,
    parse_unsigned,
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "line", "same"),
    [
        (Passwd, b"a:x:1:2:g:/h:/s", True),
        (Passwd, b"a:x:1:2:g:/h", None),
        (Passwd, b"a:x:1:2:g:/h:/s:", None),
        (Passwd, b"a:x::2:g:/h:/s", None),
        (Passwd, b"a:x:1x:2:g:/h:/s", None),
        (Passwd, b"a:x:-1:2:g:/h:/s", None),
        (Passwd, b"a:x:4294967296:2:g:/h:/s", None),
        (Passwd, b"a:x:4294967295:2:g:/h:/s", True),
        (Passwd, b"a:x:01: +2:g:/h:/s", b"a:x:1:2:g:/h:/s"),
        (Passwd, b"a:x:1:2:" + b"g" * 32768 + b":/h:/s", None),
        (Shadow, b"a:!:19000:0:99999:7:::", True),
        (Shadow, b"a:*:::::::", True),
        (Shadow, b"a:*:::::::9", True),
        (Shadow, b"a:*:1:2:3", b"a:*:1:2:3::::"),
        (Shadow, b"a:*:1:2:3:", b"a:*:1:2:3::::"),
        (Shadow, b"a:*:1:2:", None),
        (Shadow, b"a:*:1:2:3:7::", None),
        (Shadow, b"a:*:1:2:3:7:1:5", b"a:*:1:2:3:7:1:5:"),
        (Shadow, b"a:*:x:2:3:7:::", None),
        (Shadow, b"a:*:-1:0:1:7:::", None),
        (Shadow, b"a:*:99999999999:0:1:7:::", None),
        (Shadow, b"a:*:4294967296:0:1:7:::", None),
        (Shadow, b"a:*:4294967295:0:1:7:::", b"a:*::0:1:7:::"),
        (Shadow, b"a:*:-18446744073709551615:0:1:7:::", b"a:*:1:0:1:7:::"),
        (Shadow, b"a:*:18446744073709551616:0:1:7:::", None),
        (Shadow, b"a:*:1:0:1:7:::4294967295", b"a:*:1:0:1:7:::4294967295"),
        (Shadow, b"a:*:1:0:1:7:::-1", None),
        (Shadow, b"a", None),
        (Group, b"a:x:1:b,c", True),
        (Group, b"a:x:1", b"a:x:1:"),
        (Group, b"a:x:1:b,", b"a:x:1:b"),
        (Group, b"a:x:1:b,,c", True),
        (Group, b"a:x::b", None),
        (Group, b"a:x:1:b:c", None),
        (Gshadow, b"a:!:adm:b,c", True),
        (Gshadow, b"a:!:: b,,c,", b"a:!:: b,,c"),
        (Gshadow, b"a:!:", None),
        (Gshadow, b"a:!:::", None),
        (Subid, b"a:100000:65536", True),
        (Subid, b"a:0x10:010", b"a:16:8"),
        (Subid, b"a::1", None),
        (Subid, b"a:1", None),
        (Subid, b":1:1", None),
    ],
)
def test_rows(kind: type, line: bytes, same: bool | bytes | None) -> None:
    row = kind.parse_line(line)
    assert (row.format_line() if row is not None else None) == (line if same is True else same)


def test_a_password_never_shows_in_a_repr() -> None:
    assert "secret" not in repr(Shadow(b"a", b"secret")) + repr(Passwd(b"a", b"secret", 1, 1, b"", b"", b""))


@pytest.mark.parametrize(
    ("function", "text", "value"),
    [
        (parse_integer, b" +5", 5), (parse_integer, b"-5", -5), (parse_integer, b"5 ", None),
        (parse_integer, b"", None),
        (parse_integer, b"0x5", None), (parse_id, b"-0", 0), (parse_id, b"1_0", None), (parse_long, b"-0x10", -16),
        (parse_long, b"--5", None), (parse_long, b"9223372036854775808", None), (parse_long, b"010", 8),
        (parse_long, b"08", None), (parse_unsigned, b"-1", 2**64 - 1), (parse_unsigned, b"1e3", None),
        (parse_unsigned, b"18446744073709551616", None),
    ],
)  # fmt: skip
def test_numbers(function: object, text: bytes, value: int | None) -> None:
    assert function(text) == value  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "valid"),
    [(b"alice", True), (b"a.b_c-d$", True), (b"\xc3\xa4", True), (b"123", True), (b"a/b", True), (b"x" * 32, True),
     (b"x" * 33, False), (b"", False), (b"-a", False), (b"+a", False), (b"~a", False), (b"a:b", False),
     (b"a,b", False), (b"a b", False), (b"a\nb", False)],
)  # fmt: skip
def test_names(name: bytes, valid: bool) -> None:
    assert is_valid_user_name(name) == valid == is_valid_group_name(name)


def test_badname_leaves_the_length() -> None:
    assert is_valid_user_name(b"-a b", allow_bad=True)
    assert not is_valid_user_name(b"x" * 33, allow_bad=True)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        (b"alice@example.com", True),
        (b"alice@example.com.", True),
        (b"alice@host", True),
        (b"\xc3\xa9@x-1.org", True),
        (b"alice", False),
        (b"@example.com", False),
        (b"alice@", False),
        (b"alice@.", False),
        (b"alice@a..b", False),
        (b"alice@1x.org", False),
        (b"alice@x-.org", False),
        (b"alice@ex_ample.com", False),
        (b"alice@" + b"a" * 63 + b".org", True),
        (b"alice@" + b"a" * 64 + b".org", False),
        (b"alice@" + b".".join([b"a" * 49] * 5) + b".abcd", True),
        (b"alice@" + b".".join([b"a" * 49] * 5) + b".abcde", False),
        (b"-a@example.com", False),
    ],
)
def test_names_with_a_domain(name: bytes, valid: bool) -> None:
    assert is_valid_upn(name) == valid


@pytest.mark.parametrize(
    ("field", "illegal", "expected"),
    [(b"Full Name", b":\n", 0), (b"a:b", b":\n", -1), (b"a\tb", b":\n", -1), (b"a\x7f", b"", -1),
     (b"\xc3\xa4", b":\n", 1), (b"", b":", 0)],
)  # fmt: skip
def test_fields(field: bytes, illegal: bytes, expected: int) -> None:
    assert valid_field(field, illegal) == expected
