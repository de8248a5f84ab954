# SPDX-License-Identifier: MIT
"""sysusers.d(5) lines, parsed. Pure: takes text and gives records."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A field: quoted with '"' or "'" (and C escapes), or anything without blanks.
_FIELD = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\S+")
_KINDS = "ugmr"


@dataclass(frozen=True)
class Line:
    """One line. Fields that are "-" or missing are "".

    kind: u, g, m or r. flag: "!" of `u!` (locked). id: u's and g's as written, without the group; m's group;
    r's range. group: the group or GID behind the colon of u's id. gecos, home, shell: u's.
    """

    kind: str
    name: str
    id: str = ""
    group: str = ""
    gecos: str = ""
    home: str = ""
    shell: str = ""
    flag: str = ""

    @property
    def uid(self) -> int | None:
        """The fixed id of u and g lines, None when it is found at boot (or is that of a file)."""
        return int(self.id) if self.kind in "ug" and self.id.isdecimal() else None


def parse_line(line: str) -> Line | None:
    """Return what the line says; None for comments, blank and broken lines."""
    fields = [_unquote(match[0]) for match in _FIELD.finditer(line)]
    if not fields or fields[0].startswith("#") or fields[0][0] not in _KINDS:
        return None
    kind, flag = fields[0][0], fields[0][1:]
    name, number, gecos, home, shell = ("" if text == "-" else text for text in (fields[1:] + [""] * 5)[:5])
    if flag not in ("", "!") or (kind in "ugm" and not name) or (kind in "mr" and not number):
        return None
    group = ""
    if kind == "u" and not number.startswith("/"):
        number, _, group = number.partition(":")
        number = "" if number == "-" else number
    return Line(kind, name, number, group, gecos, home, shell, flag)


def parse_lines(text: str) -> list[Line]:
    """Return what the lines of a file say, in order."""
    return [line for line in map(parse_line, text.split("\n")) if line is not None]


def defined_names(line: Line) -> list[tuple[str, str]]:
    """Return the ("user" or "group", name) that the line makes when they are not there.

    u makes a group of the user's name, unless it names another one; m makes its user and group.
    """
    if line.kind == "u":
        return [("user", line.name)] + ([] if line.group else [("group", line.name)])
    if line.kind == "g":
        return [("group", line.name)]
    if line.kind == "m":
        return [("user", line.name), ("group", line.name), ("group", line.id)]
    return []


def _unquote(field: str) -> str:
    if field[0] in "\"'" and len(field) > 1:
        return re.sub(r"\\(.)", r"\1", field[1:-1])
    return field
