# SPDX-License-Identifier: MIT
"""Options are scanned, permuted and worded as glibc's getopt_long(3) does."""

from __future__ import annotations

import pytest

from accounts.cli.options import OptionError, scan

LONG = {"comment=": "c", "create-home": "m", "system": "r", "shell=": "s", "skel=": "k", "list": "l", "list-all": "l"}


def run(*argv: str) -> tuple[list[tuple[str, str]], list[str]]:
    operands: list[bytes] = []
    options = [
        (key, value.decode()) for key, value in scan([a.encode() for a in argv], "c:mrs:k:l", LONG, operands)
    ]
    return options, [operand.decode() for operand in operands]


@pytest.mark.parametrize(
    ("argv", "options", "operands"),
    [
        (["-m", "bob"], [("m", "")], ["bob"]),
        (["bob", "-c", "x y", "-m"], [("c", "x y"), ("m", "")], ["bob"]),
        (["-mrcTEXT", "bob"], [("m", ""), ("r", ""), ("c", "TEXT")], ["bob"]),
        (["-c", "-m"], [("c", "-m")], []),
        (["--comment=a=b", "bob"], [("c", "a=b")], ["bob"]),
        (["--comment", "--", "bob"], [("c", "--")], ["bob"]),
        (["--com", "x"], [("c", "x")], []),
        (["--comment="], [("c", "")], []),
        (["--sy"], [("r", "")], []),
        (["--list"], [("l", "")], []),
        (["--li"], [("l", "")], []),
        (["a", "--", "-m", "--x"], [], ["a", "-m", "--x"]),
        (["-", "-m"], [("m", "")], ["-"]),
        ([], [], []),
    ],
)
def test_scanning(argv: list[str], options: list[tuple[str, str]], operands: list[str]) -> None:
    assert run(*argv) == (options, operands)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-Q"], "invalid option -- 'Q'"),
        (["-mQ"], "invalid option -- 'Q'"),
        (["-:"], "invalid option -- ':'"),
        (["-c"], "option requires an argument -- 'c'"),
        (["-mc"], "option requires an argument -- 'c'"),
        (["--nope=x"], "unrecognized option '--nope=x'"),
        (["--comment"], "option '--comment' requires an argument"),
        (["--create=yes"], "option '--create-home' doesn't allow an argument"),
        (["--c", "x"], "option '--c' is ambiguous; possibilities: '--comment' '--create-home'"),
        (["--s"], "option '--s' is ambiguous; possibilities: '--system' '--shell' '--skel'"),
    ],
)
def test_errors(argv: list[str], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        run(*argv)
    assert str(caught.value) == words


def test_options_before_a_bad_one_are_seen() -> None:
    seen = []
    with pytest.raises(OptionError):
        for option, _ in scan([b"-m", b"-rQ"], "mr", {}, []):
            seen.append(option)
    assert seen == ["m", "r"]


def test_posixly_correct_stops_at_the_first_operand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    assert run("-m", "bob", "-r") == ([("m", "")], ["bob", "-r"])


def test_bytes_survive() -> None:
    operands: list[bytes] = []
    assert list(scan([b"-c", b"\xff\xfe", b"\xfd"], "c:", {}, operands)) == [("c", b"\xff\xfe")]
    assert operands == [b"\xfd"]
