# SPDX-License-Identifier: MIT
"""tmpfiles.d(5) lines: read, made and disabled. Pure: takes and gives text.

Only as much of the format as an image build needs: type, path and argument of lines that create something.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Types that create their path; the others adjust, clean or ignore what is there.
_CREATES = "fFdDvqQpLcbC"
_LINE = re.compile(r"^([A-Za-z][-+!=~^$?]*)\s+(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\S+)(.*)$")
_HEX = re.compile(r"\\x([0-9a-fA-F]{2})")


@dataclass(frozen=True)
class TmpfilesLine:
    """One line that creates `path`; argument: of L the link's text, of C the source ("" is the factory's)."""

    type: str
    path: str
    argument: str


def parse_line(line: str) -> TmpfilesLine | None:
    """Return what the line creates; None for comments, blank, broken and other lines."""
    match = _LINE.match(line.strip())
    if match is None or match[1][0] not in _CREATES:
        return None
    path = match[2]
    if path[0] in "\"'":
        path = path[1:-1]
    raw = _HEX.sub(lambda m: chr(int(m[1], 16)), path).encode("latin-1", "surrogateescape")
    fields = match[3].split(None, 4)  # mode, user, group, age, argument
    argument = fields[4].strip() if len(fields) == 5 else ""
    path = raw.decode("utf-8", "surrogateescape").replace("%%", "%").rstrip("/") or "/"
    return TmpfilesLine(match[1], path, "" if argument == "-" else argument.replace("%%", "%"))


def format_path(path: str) -> str:
    """Return the path as a field: what would end or change the field is a \\xNN escape, % is doubled."""
    raw = path.encode("utf-8", "surrogateescape")
    text = "".join(chr(b) if 0x21 <= b < 0x7F and b not in b"\\\"'" else f"\\x{b:02x}" for b in raw)
    return text.replace("%", "%%")


def format_copy(path: str, source: str = "") -> str:
    """Return the line that copies `source`, by default the factory's, to `path` when there is none."""
    return f"C {format_path(path)} - - - - {source.replace('%', '%%') or '-'}"


def format_empty(path: str) -> str:
    """Return the line that makes an empty file `path` of root's when there is none."""
    return f"f {format_path(path)} 0644 root root - -"


def format_link(path: str, text: str) -> str:
    """Return the line that makes link `path` when there is none. systemd does not unescape `text`."""
    return f"L {format_path(path)} - - - - {text.replace('%', '%%')}"


def format_directory(path: str, mode: int, uid: int, gid: int) -> str:
    """Return the line that makes directory `path` when there is none."""
    return f"d {format_path(path)} {mode:04o} {uid} {gid} - -"


def disable_lines(text: str, lines: dict[str, str | None], why: str) -> tuple[str, list[str]]:
    """Comment out the lines that create a path of `lines`; return the new text and the lines as they were.

    lines: our line by path, None when the path is not to be made at all. One that says the same stays.
    """
    out, disabled = [], []
    for line in text.splitlines(keepends=True):
        known = parse_line(line)
        if known is not None and known.path in lines and parse_line(lines[known.path] or "") != known:
            disabled.append(line.rstrip("\n"))
            line = f"# {why}: {line}"
        out.append(line)
    return "".join(out), disabled
