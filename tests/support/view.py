# SPDX-License-Identifier: MIT
"""What NSS answers by name over two layers, written again so that accounts.model is not its own judge.

Follows glibc 2.36: the files parsers (nss/nss_files, pwd/fgetpwent), the lookup of `files altfiles`, and
`[SUCCESS=merge]` for groups; and docs/decisions/hide.md. Must not import anything from accounts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from tests.support.state import File

DATABASES = ("passwd", "group", "shadow", "gshadow")
HIDDEN = "accounts/hidden"
Row = tuple[bytes, ...]
Members = frozenset[bytes]

_FIELDS = {"passwd": 7, "group": 4, "shadow": 9, "gshadow": 4}
_NUMBERS = {"passwd": (2, 3), "group": (2,), "shadow": (2, 3, 4, 5, 6, 7, 8), "gshadow": ()}
_LISTS = {"passwd": (), "group": (3,), "shadow": (), "gshadow": (2, 3)}


@dataclass(frozen=True)
class Entry:
    """One answer: the plain fields, and the member lists as sets (NSS promises no order)."""

    fields: Row
    lists: tuple[Members, ...] = ()


@dataclass
class View:
    """By database, by name: the entry."""

    entries: dict[str, dict[bytes, Entry]] = field(default_factory=dict)

    def differences(self, other: View) -> list[str]:
        """One line for each name that self and other answer differently (self is what was expected)."""
        lines = []
        for database in DATABASES:
            mine, theirs = self.entries[database], other.entries[database]
            for name in sorted(mine.keys() | theirs.keys()):
                if mine.get(name) != theirs.get(name):
                    lines.append(
                        f"{database} {_text(name)}:\n    expected {_show(mine.get(name))}"
                        f"\n    got      {_show(theirs.get(name))}"
                    )
        return lines


def lines_of(files: Mapping[str, File], database: str) -> list[bytes]:
    """The lines of a database's file, without newlines; none when there is no file."""
    if database not in files:
        return []
    return files[database].data.removesuffix(b"\n").split(b"\n") if files[database].data else []


# The same lines come again and again: of the layers before and after, of one step after the other.
@lru_cache(8192)
def parse_line(database: str, line: bytes) -> Row | None:
    """The fields of a line that NSS accepts, else None (blank, comment, compat entry, broken number)."""
    line = line.lstrip(b" \t\v\f\r")
    if not line or line[:1] in b"#+-":
        return None
    count = _FIELDS[database]
    parts = line.split(b":", count - 1)
    if database in ("group", "gshadow", "shadow") and b":" in parts[-1] and len(parts) == count:
        # The last field ends at the next colon for lists and numbers; for passwd the shell takes the rest.
        parts[-1] = parts[-1].split(b":")[0]
    if not parts[0]:
        return None
    for index in _NUMBERS[database]:
        word = parts[index] if index < len(parts) else b""
        if database == "shadow":
            sign = -1 if word.startswith(b"-") else 1
            word = word.removeprefix(b"-") or b"0"
            # strtoul(3), and then 32 bits.
            if word.isdigit() and not sign * int(word) % 2**64 < 2**32:
                return None
        if not word.isdigit():
            return None
    if database == "shadow" and len(parts) < 2:
        return None
    return tuple(parts) + (b"",) * (count - len(parts))


@lru_cache(8192)
def entry_of(database: str, row: Row) -> Entry:
    """A row as NSS hands it out: numbers without leading zeros, lists as sets."""
    fields = list(row)
    for index in _NUMBERS[database]:
        fields[index] = b"%d" % int(row[index]) if row[index] else b""
    lists = tuple(frozenset(row[index].replace(b" ", b"").split(b",")) - {b""} for index in _LISTS[database])
    return Entry(tuple(value for index, value in enumerate(fields) if index not in _LISTS[database]), lists)


def entries_of(files: Mapping[str, File], database: str) -> dict[bytes, Entry]:
    """Name -> entry of one layer: the first valid row of a name wins."""
    found: dict[bytes, Entry] = {}
    for line in lines_of(files, database):
        row = parse_line(database, line)
        if row is not None:
            found.setdefault(row[0], entry_of(database, row))
    return found


def merges(local: Entry, image: Entry) -> bool:
    """Whether glibc joins two group entries of one name: the gids must be equal too."""
    return local.fields[2] == image.fields[2]


def hidden_names(local: Mapping[str, File], database: str) -> set[bytes]:
    """The names that accounts/hidden hides in a database: a file with any fault hides none."""
    file = local.get(HIDDEN, File(b""))
    lines = [line for line in file.data.split(b"\n") if line and not line.startswith(b"#")]
    sound = (file.data[-1:] in (b"", b"\n") and b"\0" not in file.data and len(file.data) <= 1 << 20) and all(
        re.fullmatch(rb"(passwd|group|shadow|gshadow|subuid|subgid):[^:]+", line) for line in lines
    )
    if not sound or file.uid or file.mode & 0o022:
        return set()
    return {line.split(b":")[1] for line in lines if line.startswith(database.encode() + b":")}


def view(image: Mapping[str, File], local: Mapping[str, File], merge: bool = True, hide: bool = False) -> View:
    """What NSS answers by name, for every name.

    merge: `group: files [SUCCESS=merge] altfiles`; hide: whether accounts/hidden counts.
    """
    result = View()
    for database in DATABASES:
        below, above = entries_of(image, database), entries_of(local, database)
        for name in hidden_names(local, database) if hide else ():
            below.pop(name, None)
        joined = below | above
        if database == "group" and merge:
            for name in below.keys() & above.keys():
                if merges(above[name], below[name]):
                    joined[name] = Entry(above[name].fields, (above[name].lists[0] | below[name].lists[0],))
        result.entries[database] = joined
    return result


def delta_faults(
    image: Mapping[str, File],
    before: Mapping[str, File],
    after: Mapping[str, File],
    merge: bool = True,
    hide: bool = False,
) -> list[str]:
    """What the local layer holds without need, or in wrong form: one line each (design.md section 2).

    A line that was in the same file before is left alone: tools do not tidy rows that they do not touch. With an
    expired password an image user's rows are needed there (docs/decisions/expired.md).
    """
    faults = []
    after_shadow = entries_of(image, "shadow") | entries_of(after, "shadow")
    for database in DATABASES:
        below = entries_of(image, database)
        old_lines = set(lines_of(before, database))
        for line in lines_of(after, database):
            row = parse_line(database, line)
            if line in old_lines or row is None:
                continue
            if hide and row[0] in hidden_names(after, database):
                # The own row beside a hide row; but there would be neither where it is the image's.
                if line in lines_of(image, database):
                    faults.append(f"needless {database} row, the image says the same and is hidden: {_text(line)}")
                continue
            entry, base = entry_of(database, row), below.get(row[0])
            if base is None:
                continue
            if entry == base:
                if not (database in ("passwd", "shadow") and _must_change(after_shadow.get(row[0]))):
                    faults.append(f"needless {database} row, the image says the same: {_text(line)}")
            elif database == "group" and merge and merges(entry, base):
                if not entry.lists[0] and row[1] == base.fields[1]:
                    faults.append(f"member row without members: {_text(line)}")
                elif row[1] in (b"x", base.fields[1]) and entry.lists[0] & base.lists[0]:
                    faults.append(f"member row repeats members of the image: {_text(line)}")
        empty = database in after and not after[database].data
        if empty and database in image and (database not in before or before[database].data):
            faults.append(f"empty {database} file over an image that has one")
    return faults + (_hide_faults(image, before, after, merge) if hide else [])


def _hide_faults(
    image: Mapping[str, File], before: Mapping[str, File], after: Mapping[str, File], merge: bool
) -> list[str]:
    """The hide rows that the after-state does not need: a delta without them gives the same view."""
    faults = []
    if HIDDEN in after and after[HIDDEN][1:] != (0o644, 0, 0):
        faults.append(f"{HIDDEN} is {after[HIDDEN].mode:o} {after[HIDDEN].uid}:{after[HIDDEN].gid}")
    if HIDDEN in after and not after[HIDDEN].data:
        faults.append(f"{HIDDEN} is empty")
    then = view(image, after, merge, hide=True)
    for database in DATABASES:
        new = hidden_names(after, database) - hidden_names(before, database)
        needed = {
            reason.split(": ")[1].split(" from ")[-1]
            for reason in inexpressible(image, view(image, {}, merge), then)
            if _KINDS[reason.split(":")[0]] == database or reason.startswith(f"image's {database} row")
        }
        faults += [f"needless hide row: {database}:{_text(name)}" for name in sorted(new) if _text(name) not in needed]
    return faults


def _must_change(shadow: Entry | None) -> bool:
    """Whether pam_unix(8) asks for a new password today."""
    if shadow is None:
        return False
    changed, longest = shadow.fields[2], shadow.fields[4]
    days = int(time.time()) // 86400 - int(changed or -1)
    return changed == b"0" or bool(changed and longest and 0 <= int(longest) < days)


_KINDS = {
    "image user deleted or renamed": "passwd",
    "image user's UID changed": "passwd",
    "image group deleted or renamed": "group",
    "image group's GID changed": "group",
    "image-listed member removed": "group",
    "image's shadow row removed": "shadow",
    "image's gshadow row removed": "gshadow",
}


def inexpressible(image: Mapping[str, File], before: View, after: View) -> list[str]:
    """Why no delta over this image can give the view `after` without a hide row: the law's kinds, as `kind: what`."""
    reasons = []
    # What is hidden before is lost no more.
    for name in entries_of(image, "passwd").keys() & before.entries["passwd"].keys():
        then = after.entries["passwd"].get(name)
        if then is None:
            reasons.append(f"image user deleted or renamed: {_text(name)}")
        elif then.fields[2] != before.entries["passwd"][name].fields[2]:
            reasons.append(f"image user's UID changed: {_text(name)}")
    for name, base in entries_of(image, "group").items():
        then = after.entries["group"].get(name)
        if name not in before.entries["group"]:
            continue
        if then is None:
            reasons.append(f"image group deleted or renamed: {_text(name)}")
        elif then.fields[2] != before.entries["group"][name].fields[2]:
            reasons.append(f"image group's GID changed: {_text(name)}")
        elif gone_members := (base.lists[0] & before.entries["group"][name].lists[0]) - then.lists[0]:
            # Whether rows are merged or not: initgroups(3) asks every service.
            gone = b",".join(sorted(gone_members))
            reasons.append(f"image-listed member removed: {_text(gone)} from {_text(name)}")
    for database in ("shadow", "gshadow"):
        for name in entries_of(image, database).keys() & before.entries[database].keys():
            if name not in after.entries[database]:
                reasons.append(f"image's {database} row removed: {_text(name)}")
    return reasons


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _show(entry: Entry | None) -> str:
    if entry is None:
        return "nothing"
    lists = ["{" + ",".join(sorted(map(_text, members))) + "}" for members in entry.lists]
    return ":".join([*map(_text, entry.fields), *lists])
