# SPDX-License-Identifier: MIT
"""TOML drop-ins with the line of each key. Pure: takes text.

tomllib parses; but it says no lines of what it has parsed, so that a scanner that trusts the text finds those
again when a message needs one.
"""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time
from typing import Any

from accounts.errors import BadArgument
from accounts.machine.declaration import Path, PlaceOf
from accounts.machine.words import shown

_PLACE = re.compile(r" \(at line (\d+), column \d+\)\Z| \(at end of document\)\Z")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_KEY = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\"]|\\.|"(?!""))*"{3,5}' r"|'''(?:[^']|'(?!''))*'{3,5}" r'|"(?:[^"\\\n]|\\.)*"|' r"'[^'\n]*'", re.DOTALL
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def parse_toml(data: bytes, source: str) -> tuple[dict[str, Any], PlaceOf]:
    """(document, place_of) of a file's bytes; place_of: keys -> "SOURCE:LINE: a.b". Dates are texts.

    Raises BadArgument, "SOURCE:LINE: what is wrong".
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadArgument(f"{source}:{line}: not UTF-8") from None
    try:
        document = _without_dates(tomllib.loads(text))
    except RecursionError:
        raise BadArgument(f"{source}: nested too deeply") from None
    except ValueError as error:
        found = _PLACE.search(str(error))
        where = found[1] if found is not None and found[1] else text.count("\n") + (not text.endswith("\n"))
        if not isinstance(error, tomllib.TOMLDecodeError):
            # int() of thousands of digits, a date that no calendar has.
            raise BadArgument(f"{source}: a value that is out of range") from None
        raise BadArgument(f"{source}:{where}: {quote(_PLACE.sub('', str(error)))}") from None
    lines: dict[Path, int] = {}

    def place_of(path: Path) -> str:
        if not lines:
            lines.update(key_lines(text))
        keys = ".".join(map(quote, path))
        return f"{source}:{lines.get(path, 1)}: {keys}" if path else source

    return document, place_of


def quote(text: str) -> str:
    """A text of a file for a message."""
    return shown(text.encode("utf-8", "backslashreplace"))


def _without_dates(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_dates(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_dates(one) for one in value]
    return value.isoformat() if isinstance(value, date | datetime | time) else value


def key_lines(text: str) -> dict[Path, int]:
    """Keys of each table and value -> the line, from 1, where they are first. text: valid TOML."""
    return _Scanner(text).run()


class _Scanner:
    """Goes through valid TOML once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        # How far newlines have been counted.
        self._counted = 0
        self._line = 1

    def run(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(_SPACE) < len(self.text):
            brackets = 2 if self.text.startswith("[[", self.at) else int(self.text[self.at] == "[")
            if brackets:
                self.at += brackets
                table = self._keys(())
                self.at += brackets
            else:
                self._pair(table)
        return self.lines

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return self.at

    def _keys(self, path: Path) -> Path:
        """A dotted key, which is noted; behind it, what it leads to."""
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        while True:
            self._skip(_BLANK)
            start = self.at
            word = self.text[start : self._skip(_KEY)]
            path = (*path, _unquote(word))
            self.lines.setdefault(path, self._line)
            self._skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return path
            self.at += 1

    def _pair(self, table: Path) -> None:
        path = self._keys(table)
        self.at += 1
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: Path) -> None:
        first = self.text[self.at : self.at + 1]
        if first in "\"'" and first:
            self._skip(_STRING)
        elif first == "[":
            self.at += 1
            while self.text[self._skip(_SPACE)] != "]":
                self._value(path)
                if self.text[self._skip(_SPACE)] == ",":
                    self.at += 1
            self.at += 1
        elif first == "{":
            self.at += 1
            while self.text[self._skip(_SPACE)] != "}":
                self._pair(path)
                if self.text[self._skip(_SPACE)] == ",":
                    self.at += 1
            self.at += 1
        else:
            self._skip(_SCALAR)


def _unquote(word: str) -> str:
    return next(iter(tomllib.loads(f"{word} = 0"))) if word[0] in "\"'" else word
