# SPDX-License-Identifier: MIT
"""The words of audit records by release; tests/e2e/test_audit.py has them beside the real tools."""

from __future__ import annotations

import pytest

from accounts.system.audit import KINDS, format_audit
from accounts.system.audit_words import WORDS, later_record

ADDED = ("USER_CHAUTHTOK", "adding user to group", b"bob", None, True, b"video")


def test_a_record_of_4_13_names_no_group() -> None:
    assert later_record(ADDED, (4, 16)) == (*ADDED[:5], b"")


def test_a_record_of_4_17_names_the_group() -> None:
    assert later_record(ADDED, (4, 17)) == ("USER_MGMT", "add-user-to-group", b"bob", None, True, b"video")


@pytest.mark.parametrize(
    ("operation", "success"), [("refusing group", False), ("display aging info", True), ("", True)]
)
def test_what_only_some_releases_tell(operation: str, success: bool) -> None:
    told = [later_record(("ADD_GROUP", operation, b"x", 1, success, b""), release) for release in ((4, 13), (4, 17))]
    assert [record is not None for record in told] == (
        [False, True] if operation == "refusing group" else [True, False]
    )


def test_every_type_has_its_number() -> None:
    assert {kind for kind, _, _ in WORDS.values()} <= KINDS.keys()


@pytest.mark.parametrize(
    ("group", "shown"), [(b"video", b'grp="video" '), (b'a" acct="x', b"grp=612220616363743D2278 "), (b"", b"")]
)
def test_a_group_cannot_break_the_record_apart(group: bytes, shown: bytes) -> None:
    text = format_audit("add-user-to-group", b"bob", None, True, group)
    assert text.startswith(b"op=add-user-to-group " + shown + b'acct="bob" exe=')
