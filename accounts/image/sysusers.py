# SPDX-License-Identifier: MIT
"""sysusers.d(5) lines, parsed as systemd-sysusers does it. Pure: takes text and gives records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accounts.errors import BadArgument
from accounts.image.errors import BadLine

if TYPE_CHECKING:
    from accounts.image.specifiers import Specifiers

_BLANKS = " \t\n\r"
_KINDS = "ugmr"
_FIELDS = 6
_ID = re.compile(r"0|[1-9][0-9]*")
# user-util.c: (uid_t) -1 and its 16-bit form, which some calls take for "no change".
_NO_IDS = (0xFFFF, 0xFFFFFFFF)
# valid_user_group_name(): what is safe in every place where a name of a system account is put.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class SysusersLine:
    """One line. Fields that are "-", empty or missing are "".

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
        return int(self.id) if self.kind in "ug" and is_id(self.id) else None


def parse_line(line: str) -> SysusersLine | None:
    """Return what the line says; None for comments and blank lines. Raises BadLine.

    Specifiers (%o) stay, and so do ids and names made with them: check_line() judges what they become.
    """
    line = line.strip(_BLANKS)
    if not line or line[0] == "#":
        return None
    fields = split_words(line)
    kind, flag = fields[0][:1], fields[0][1:]
    if not kind or kind not in _KINDS or flag not in ("", "!") or (flag and kind != "u"):
        raise BadLine(f"not a line of sysusers.d: {line}")
    if len(fields) > _FIELDS:
        raise BadLine(f"more than {_FIELDS} fields: {line}")
    name, number, gecos, home, shell = ("" if text == "-" else text for text in (fields[1:] + [""] * 5)[:5])
    if (kind != "r") != bool(name) or (kind in "mr" and not number) or (kind != "u" and (gecos or home or shell)):
        raise BadLine(f"not a line of sysusers.d: {line}")
    group = ""
    if kind == "u" and not number.startswith("/"):
        number, colon, group = number.partition(":")
        number = "" if number == "-" else number
        if colon and not group:
            raise BadLine(f"no group behind the colon: {line}")
    return SysusersLine(kind, name, number, group, gecos, home, shell, flag)


def check_line(line: SysusersLine) -> None:
    """Raise BadLine for what systemd-sysusers refuses in a line whose specifiers have been replaced."""
    for text in (line.name, line.id if line.kind == "m" else "", "" if is_number(line.group) else line.group):
        if text and not is_name(text):
            raise BadLine(f"not a valid user or group name: {text}")
    for text in (line.id if line.kind in "ug" and not line.id.startswith("/") else "", line.group):
        if text and (is_number(text) or text != line.group) and not is_id(text):
            raise BadLine(f"not an id: {text}")
    if line.kind == "r":
        parse_range(line.id)
    if not is_gecos(line.gecos):
        raise BadLine(f"a colon or a control character in the description of '{line.name}'")
    for path in (line.home, line.shell):
        if path and not is_path(path):
            raise BadLine(f"not an absolute path without '.', '..' and colon: {path}")


def parse_lines(text: str) -> list[SysusersLine]:
    """Return what the lines of a file say, in order; those that are broken are passed over."""
    lines = []
    for raw in text.split("\n"):
        try:
            line = parse_line(raw)
        except BadLine:
            continue
        if line is not None:
            lines.append(line)
    return lines


def parse_file(text: str, source: str) -> Iterator[tuple[str, SysusersLine]]:
    """Yield ("SOURCE:LINE", line) for each line of a file. Raises BadArgument, "SOURCE:LINE: what is wrong"."""
    for number, raw in enumerate(text.split("\n"), 1):
        where = f"{source}:{number}"
        try:
            line = parse_line(raw)
        except BadLine as error:
            raise BadArgument(f"{where}: {error.message}") from None
        if line is not None:
            yield where, line


def expand_file(text: str, source: str, specifiers: Specifiers) -> Iterator[tuple[str, SysusersLine]]:
    """parse_file() with the specifiers of each line replaced, its paths simplified, and the result checked."""
    for where, raw in parse_file(text, source):
        texts = {key: value for key, value in vars(raw).items() if key not in ("kind", "flag")}
        line = replace(raw, **{key: specifiers.expand(value, where) for key, value in texts.items()})
        line = replace(line, home=simplify_path(line.home), shell=simplify_path(line.shell))
        try:
            check_line(line)
        except BadLine as error:
            raise BadArgument(f"{where}: {error.message}") from None
        yield where, line


def parse_range(text: str) -> tuple[int, int]:
    """The lowest and highest id of an `r` line. Raises BadLine."""
    low, dash, high = text.partition("-")
    if not is_id(low) or (dash and not is_id(high)) or int(low) > int(high or low):
        raise BadLine(f"not a range of ids: {text}")
    return int(low), int(high or low)


def defined_names(line: SysusersLine) -> list[tuple[str, str]]:
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


def split_words(line: str) -> list[str]:
    """The fields of a line as systemd's extract_first_word() finds them: quotes anywhere in a field, a backslash
    for the next character. Raises BadLine for a quote without end."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    characters = iter(line)
    for char in characters:
        if char == "\\":
            following = next(characters, None)
            if following is None:
                raise BadLine(f"ends in a backslash: {line}")
            word = (word or "") + following
        elif quote:
            quote, word = ("", word) if char == quote else (quote, (word or "") + char)
        elif char in "\"'":
            quote, word = char, word or ""
        elif char in _BLANKS:
            words += [] if word is None else [word]
            word = None
        else:
            word = (word or "") + char
    if quote:
        raise BadLine(f"a quote without end: {line}")
    return words if word is None else [*words, word]


def is_number(text: str) -> bool:
    """Whether a text is meant as an id, valid or not."""
    return text.isascii() and text.isdecimal()


def is_id(text: str) -> bool:
    """Whether systemd takes a text as a UID or GID: decimal, no leading zero, not one of the "no id" values."""
    return _ID.fullmatch(text) is not None and len(text) <= 10 and int(text) < 2**32 and int(text) not in _NO_IDS


def simplify_path(path: str) -> str:
    """path_simplify(): without doubled and trailing slashes, and without "." components."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/" + "/".join(parts) if path.startswith("/") else path


def is_name(text: str) -> bool:
    """valid_user_group_name(): whether systemd takes a text as the name of a user or group that it makes."""
    return _NAME.fullmatch(text) is not None


def is_gecos(text: str) -> bool:
    """valid_gecos(): whether a text can be a description."""
    return ":" not in text and _CONTROL.search(text) is None and not _is_broken(text)


def is_path(text: str) -> bool:
    """valid_home(), valid_shell(): whether a path is absolute and written as simplify_path() leaves it."""
    return text.startswith("/") and is_gecos(text) and ".." not in text.split("/") and simplify_path(text) == text


def _is_broken(text: str) -> bool:
    """Whether the text was not UTF-8."""
    return any("\ud800" <= char <= "\udfff" for char in text)
