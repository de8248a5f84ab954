# SPDX-License-Identifier: MIT
"""Writes the tables of releases in docs/compatibility.md from those of the tools: `python3 scripts/compatibility.py`.

They stand between two comments there; tests/unit/test_compatibility.py holds them to what this makes of the code.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from accounts.cli.tool import Option, Tool  # noqa: E402
from accounts.model.names import is_valid_group_name, is_valid_user_name  # noqa: E402
from accounts.model.release import DEFAULT, NEWEST, Release  # noqa: E402
from accounts.model.useradd_defaults import KEYS  # noqa: E402
from accounts.system.logindefs import CHANGED, FOREIGN, KNOWN, UNKNOWN  # noqa: E402

DOCUMENT = TOP / "docs/compatibility.md"
BEGIN, END = "<!-- made by scripts/compatibility.py -->\n", "<!-- end of what is made -->\n"
RELEASES = [(4, minor) for minor in range(DEFAULT[1], NEWEST[1] + 1)]
NAMES = ("alice", "Alice", "a.b", "a$", "1a", "_a", "a b", "#x", "a;b", "a/b", "a'b", ".", "1234", "é", "a@dom.example")
ITEMS = {UNKNOWN: "unknown", FOREIGN: "passed over", KNOWN: "known"}


def find_tools() -> list[Tool]:
    """The tools of shadow, by name."""
    found = {}
    for path in sorted((TOP / "accounts/cli").glob("*.py")):
        module = importlib.import_module(f"accounts.cli.{path.stem}")
        for value in vars(module).values():
            if isinstance(value, Tool) and not value.name.startswith("accounts "):
                found[value.name] = value
    return [found[name] for name in sorted(found)]


def show(release: Release) -> str:
    """(4, 17) as 4.17."""
    return "{}.{}".format(*release)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown."""
    head = list(head)
    return "".join("| " + " | ".join(row) + " |\n" for row in (head, ["---"] * len(head), *rows))


def spans(cells: list[str]) -> str:
    """What holds in which releases, in words: "4.13 to 4.16: one; since 4.17: two"; one word for all."""
    starts = [place for place, cell in enumerate(cells) if not place or cell != cells[place - 1]]
    words = []
    for start, after in zip(starts, [*starts[1:], len(cells)], strict=True):
        first, last = show(RELEASES[start]), show(RELEASES[after - 1])
        when = f"since {first}" if after == len(cells) else first if first == last else f"{first} to {last}"
        words.append(f"{when}: {cells[start]}")
    return "; ".join(words) if len(words) > 1 else cells[0]


def options() -> Iterator[tuple[str, str, str]]:
    """(tool, option, when) of every option that not all releases have alike."""
    for tool in find_tools():
        if tool.until <= NEWEST:
            yield tool.name, "the program", spans(["there" if one < tool.until else "gone" for one in RELEASES])
        for name in dict.fromkeys(map(written, tool.options)):
            cells = []
            for release in RELEASES:
                rows = [row for row in tool.rows(release) if written(row) == name]
                cells.append("–" if not rows else "not in --help" if rows[0].hidden else "there")
            if len(set(cells)) > 1:
                yield tool.name, f"`{name}`", spans(cells)


def written(row: Option) -> str:
    """An option as one writes it."""
    return ", ".join(["-" + row.letter] * bool(row.letter) + ["--" + row.long] * bool(row.long))


def helps() -> Iterator[tuple[str, str]]:
    """(tool, releases in which the text of --help is another one than before)."""
    for tool in find_tools():
        texts = [tool.usage_for(release) for release in RELEASES]
        changed = [show(RELEASES[place]) for place in range(1, len(texts)) if texts[place] != texts[place - 1]]
        if changed:
            yield tool.name, ", ".join(changed)


def items() -> Iterator[tuple[str, str]]:
    """(item of login.defs or key of default/useradd, when)."""
    for name, (before, since, after) in sorted(CHANGED.items()):
        yield f"login.defs `{os.fsdecode(name)}`", spans([ITEMS[after if one >= since else before] for one in RELEASES])
    for key, _, since in KEYS:
        if since > DEFAULT:
            yield f"default/useradd `{os.fsdecode(key)}`", spans(["known" if one >= since else "–" for one in RELEASES])


def names() -> Iterator[tuple[str, str, str]]:
    """(name, when useradd takes it, when groupadd does)."""
    for name in NAMES:
        data = name.encode()
        users = [
            "taken" if is_valid_user_name(data, False, one)
            else "with --badname" if is_valid_user_name(data, True, one) else "never"
            for one in RELEASES
        ]  # fmt: skip
        groups = ["taken" if is_valid_group_name(data, False, one) else "never" for one in RELEASES]
        yield f"`{name}`", spans(users), spans(groups)


def tables() -> str:
    """All of it."""
    return "\n".join(
        [
            "### Options and programs\n\n" + table(("tool", "option", "releases"), options()),
            "### Texts of --help\n\n" + table(("tool", "another one in"), helps()),
            "### Items of configuration\n\n" + table(("item", "releases"), items()),
            "### Names\n\n" + table(("name", "useradd", "groupadd"), names()),
        ]
    )


def with_tables(text: str) -> str:
    """The document with its tables made anew."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{DOCUMENT}: the two comments are not there")
    return head + begin + "\n" + tables() + "\n" + end + tail


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
