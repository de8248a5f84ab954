# SPDX-License-Identifier: MIT
"""The tables of the tools: scanned and worded as glibc's getopt_long(3) does, and what the usage texts say."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import accounts.cli
from accounts import errors
from accounts.cli.run import Run, execute
from accounts.cli.tool import HELP, Given, Option, Tool, as_given, choose_lines, parse, scan
from accounts.errors import E_GRP_UPDATE, E_NOTFOUND, E_USAGE, Done, Fail, FileError, Usage

ROWS = (
    Option("c", "comment", "gecos", as_given),
    Option("m", "create-home", "home", excludes="r"),
    Option("r", "system", "system", needs="c"),
    Option("s", "shell", "shell", as_given),
    Option("k", "skel", "skel", as_given),
    Option("l", "list", "list"),
    Option("l", "list-all", "list"),
    Option("", "badname", "bad"),
    Option("N", "new", "new", since=(4, 17)),
    Option("O", "old", "old", until=(4, 20)),
)
TOOL = Tool("useradd", (HELP, *ROWS), {E_USAGE: 2, E_NOTFOUND: 6})


def scanned(*argv: str) -> tuple[list[tuple[str, str]], list[str]]:
    operands: list[bytes] = []
    options = [(row.key, value.decode()) for row, value in scan([a.encode() for a in argv], ROWS, operands)]
    return options, [operand.decode() for operand in operands]


@pytest.mark.parametrize(
    ("argv", "options", "operands"),
    [
        (["-m", "bob"], [("m", "")], ["bob"]),
        (["bob", "-c", "x y", "-m"], [("c", "x y"), ("m", "")], ["bob"]),
        (["-mrcTEXT", "bob"], [("m", ""), ("r", ""), ("c", "TEXT")], ["bob"]),
        (["-c", "-m"], [("c", "-m")], []),
        (["-c", ""], [("c", "")], []),
        (["--comment=a=b", "bob"], [("c", "a=b")], ["bob"]),
        (["--comment", "--", "bob"], [("c", "--")], ["bob"]),
        (["--com", "x"], [("c", "x")], []),
        (["--comment="], [("c", "")], []),
        (["--sy"], [("r", "")], []),
        (["--list"], [("l", "")], []),
        (["--li"], [("l", "")], []),
        (["--bad"], [("badname", "")], []),
        (["a", "--", "-m", "--x"], [], ["a", "-m", "--x"]),
        (["-", "-m"], [("m", "")], ["-"]),
        ([], [], []),
    ],
)
def test_scanning(argv: list[str], options: list[tuple[str, str]], operands: list[str]) -> None:
    assert scanned(*argv) == (options, operands)


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
        (["--s"], "option '--s' is ambiguous; possibilities: '--system' '--shell' '--skel'"),
        (["--c", "x"], "option '--c' is ambiguous; possibilities: '--comment' '--create-home'"),
    ],
)
def test_errors(argv: list[str], words: str) -> None:
    with pytest.raises(Usage) as caught:
        scanned(*argv)
    assert str(caught.value) == words


def test_options_before_a_bad_one_are_seen() -> None:
    seen = []
    with pytest.raises(Usage):
        for row, _ in scan([b"-m", b"-rQ"], ROWS, []):
            seen.append(row.letter)
    assert seen == ["m", "r"]


def test_posixly_correct_stops_at_the_first_operand(monkeypatch: pytest.MonkeyPatch) -> None:
    import posix

    monkeypatch.setitem(posix.environ, b"POSIXLY_CORRECT", b"1")
    assert scanned("-m", "bob", "-r") == ([("m", "")], ["bob", "-r"])


def test_bytes_survive() -> None:
    operands: list[bytes] = []
    assert [value for _, value in scan([b"-c", b"\xff\xfe", b"\xfd"], ROWS, operands)] == [b"\xff\xfe"]
    assert operands == [b"\xfd"]


# Tables


def given(*argv: str, release: tuple[int, int] = (4, 13)) -> Given:
    run = Run(TOOL, "useradd")
    run.release = release
    return parse(run, [argument.encode() for argument in argv])


def test_values_are_kept_where_the_row_says() -> None:
    found = given("-c", "text", "-l", "--badname", "bob")
    assert found.values == {"gecos": b"text", "list": True, "bad": True}
    assert (found.letters, found.operands) == ({"c", "l", "badname"}, [b"bob"])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-r", "bob"], "-r flag is only allowed with the -c flag"),
        (["-c", "x", "-r", "-m", "bob"], "options -m and -r conflict"),
        ([], ""),
        (["a", "b"], ""),
    ],
)
def test_rules(argv: list[str], words: str) -> None:
    with pytest.raises(Usage) as caught:
        given(*argv)
    assert (caught.value.message or "") == words


def test_options_come_and_go_with_the_release() -> None:
    assert given("-O", "bob").letters == {"O"}
    assert given("--new", "bob", release=(4, 17)).letters == {"N"}
    for argv, release in ((["-N"], (4, 13)), (["-O"], (4, 20))):
        with pytest.raises(Usage, match="invalid option"):
            given(*argv, "bob", release=release)


def test_help_ends_at_once_with_the_text_of_the_release(capfd: pytest.CaptureFixture[str]) -> None:
    for release in ((4, 13), (4, 19), (4, 20)):
        with pytest.raises(Done):
            given("-h", "-Q", release=release)
    first, second, third = capfd.readouterr().out.split("Usage: ")[1:]
    assert first != second != third
    assert "sub[ud]id" in second and "sub[ug]id" in third


def test_a_usage_text_that_cannot_be_read_takes_neither_the_line_nor_the_status(
    capfd: pytest.CaptureFixture[str],
) -> None:
    tool = Tool("nosuch", (HELP, Option("x", "")), {E_USAGE: 2})
    run = Run(tool, "nosuch")
    assert execute(run, lambda given: 0, [b"-Q"]) == 2
    missing = f"{accounts.__path__[0]}/cli/usage/nosuch.txt: No such file or directory"
    assert capfd.readouterr().err == f"nosuch: invalid option -- 'Q'\nnosuch: {missing}\n"
    assert execute(Run(tool, "nosuch"), lambda given: 0, [b"-h"]) == 1
    assert capfd.readouterr().err == f"nosuch: {missing}\n"


def test_lines_of_a_usage_text_come_and_go_with_the_release() -> None:
    text = "Usage\n4.14-|  old | still\n4.14+|  new\n4.14|same\n  a | b\n"
    assert choose_lines(text, (4, 13)) == "Usage\n  old | still\n4.14|same\n  a | b\n"
    assert choose_lines(text, (4, 14)) == "Usage\n  new\n4.14|same\n  a | b\n"


def test_exit_statuses_are_found_by_what_happened() -> None:
    tool = Tool("x", (), {E_USAGE: 2, E_GRP_UPDATE: 10}, file_exits={("group", "lock"): 5})
    assert tool.status(Usage()) == 2
    assert tool.status(Fail(E_NOTFOUND, "not in the table")) == 1
    assert tool.status(FileError("gshadow", "lock")) == 10
    assert tool.status(FileError("group", "lock")) == 5
    assert tool.status(FileError("group", "open")) == 10


# The usage texts of the real tools, to the letter, and the tables

TOOLS: dict[str, Tool] = {
    f"{module.name}{suffix}": value
    for module in pkgutil.iter_modules(accounts.cli.__path__)
    for name, value in vars(importlib.import_module(f"accounts.cli.{module.name}")).items()
    if isinstance(value, Tool) and name.startswith("TOOL")
    for suffix in [name.removeprefix("TOOL").lower()]
}
# What a usage text calls an option that has another name: shadow's own slip, which abbreviation hides.
SLIPS = {("usermod", "badname"): "badnames"}
USAGE = Path(accounts.cli.__path__[0], "usage")
OPTION = re.compile(r"^\s+(?:-(\w)(?:, |  ))?\s*(?:--([\w-]+))?(?:[ =]([A-Z]\S*))?(?:\s|$)")


def test_every_tool_has_a_usage_text_and_every_usage_text_a_tool() -> None:
    names = sorted(tool.name.replace(" ", "-") for tool in TOOLS.values())
    assert names == sorted(path.stem for path in USAGE.iterdir())


@pytest.mark.parametrize("release", [(4, 13), (4, 17), (4, 20)])
@pytest.mark.parametrize("name", TOOLS)
def test_usage_and_table_name_the_same_options(name: str, release: tuple[int, int]) -> None:
    tool = TOOLS[name]
    slips = SLIPS if release < (4, 15) else {}
    head, heading, text = tool.usage_for(release).partition("Options:\n")
    if not heading:
        # busybox's own form: one name of each.
        named = [f"-{row.letter}" if row.letter else f"--{row.long}" for row in tool.rows(release) if not row.hidden]
        assert set(re.findall(r"^\t(--?[\w-]+)", head, re.M)) == set(named)
        return
    matches = [match for line in text.split("\n") if (match := OPTION.match(line)) and (match[1] or match[2])]
    said = {(match[1] or "", slips.get((name, match[2]), match[2] or "")) for match in matches}
    rows = {(row.letter, row.long): row for row in tool.rows(release)}
    assert said == {key for key, row in rows.items() if not row.hidden}
    for match in matches:
        row = rows[match[1] or "", slips.get((name, match[2]), match[2] or "")]
        assert row.argument or not match[3], match[0]


@pytest.mark.parametrize("name", TOOLS)
def test_exit_statuses_are_called_as_in_errors(name: str) -> None:
    tool = TOOLS[name]
    assert all(getattr(errors, why) == why for why in tool.exits)
    assert {database for database, _ in tool.file_exits} <= errors.FILE_EXITS.keys()
    assert {event for _, event in tool.file_exits} <= {"find", "lock", "open", "put", "refuse", "remove", "write"}


@pytest.mark.parametrize("name", TOOLS)
def test_no_letter_and_no_long_name_is_there_twice(name: str) -> None:
    for release in ((4, 13), (4, 17), (4, 20)):
        rows = TOOLS[name].rows(release)
        letters = [row.letter for row in rows if row.letter]
        names = [row.long for row in rows if row.long]
        assert len(names) == len(set(names))
        assert all(len({row.to for row in rows if row.letter == letter}) == 1 for letter in letters)
