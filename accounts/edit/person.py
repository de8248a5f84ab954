# SPDX-License-Identifier: MIT
"""What people change about themselves besides the password: login shell and GECOS field. Pure. Hot path."""

from __future__ import annotations

from accounts.edit.request import Request
from accounts.errors import E_FAILURE, E_NOTFOUND, Fail
from accounts.model.names import valid_field
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.edit.request import Facts, Report
    from accounts.model.database import Database
    from accounts.model.release import Release

# The parts of the GECOS field in their order; what is left over and what holds a "=" is the last.
PARTS = "frwho"
# How messages call a part, and whether bytes that are not ASCII are only warned about.
CHECKS = (
    ("f", "name", True), ("r", "room number", True), ("w", "work phone", False), ("h", "home phone", False),
)  # fmt: skip
MAX_LENGTH = 80
# From here on the parts are where the commas are, which count, and a NUL, in MAX_LENGTH.
PLAIN_PARTS = (4, 19)


class _SetField(Request):
    """One field of a user's passwd row."""

    __slots__ = ()

    def files(self, plan: None, facts: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return ("passwd",), ()

    def _put(self, database: Database, facts: Facts, **fields: bytes) -> None:
        row = database.passwd.get(self.name)
        if row is None:
            raise Fail(E_NOTFOUND, f"user '{fsdecode(self.name)}' does not exist in {facts.shown('passwd')}")
        database.passwd.put(row.replace(**fields))


class SetShell(_SetField):
    """The login shell of a user, as chsh(1) sets it."""

    __slots__ = ("name", "shell")
    name: bytes
    shell: bytes

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        self._put(database, facts, shell=self.shell)
        report.log.append(f"changed user '{fsdecode(self.name)}' shell to '{fsdecode(self.shell)}'")


class SetGecos(_SetField):
    """The GECOS field of a user, as chfn(1) sets it."""

    __slots__ = ("gecos", "name")
    name: bytes
    gecos: bytes

    def edit(self, database: Database, plan: None, facts: Facts, report: Report) -> None:
        self._put(database, facts, gecos=self.gecos)
        report.log.append(f"changed user '{fsdecode(self.name)}' information")


def split_gecos(gecos: bytes, given: dict[str, bytes], release: Release) -> dict[str, bytes]:
    """The parts of a GECOS field, those given in place of the old ones.

    Until 4.19 a piece with "=" goes to the last part wherever it stands.
    """
    parts = dict.fromkeys(PARTS, b"") | given
    if release >= PLAIN_PARTS:
        return dict.fromkeys(PARTS, b"") | dict(zip(PARTS, gecos.split(b",", 4), strict=False)) | given
    other = [parts["o"]] if parts["o"] else []
    rest: list[bytes] = gecos.split(b",")
    for letter in PARTS[:-1]:
        while rest and b"=" in rest[0]:
            other.append(rest.pop(0))
        if rest:
            piece = rest.pop(0)
            if letter not in given:
                parts[letter] = piece
    if rest and "o" not in given:
        other.append(b",".join(rest))
    parts["o"] = b",".join(other)
    return parts


def join_gecos(parts: dict[str, bytes]) -> bytes:
    """The GECOS field of the parts."""
    return b",".join(parts[letter] for letter in PARTS if letter != "o" or parts["o"])


def check_parts(parts: dict[str, bytes], release: Release, warn: Callable[[str], None]) -> None:
    """Whether the parts may stand in passwd(5). Raises Fail."""
    for letter, what, foreign in CHECKS:
        shown = fsdecode(parts[letter])
        valid = valid_field(parts[letter], b":,=\n")
        if valid < 0 or (valid > 0 and not foreign):
            # 4.20 ends before it can say so of the name.
            lines = () if letter == "f" and release >= (4, 20) else (f"invalid {what}: '{shown}'",)
            raise Fail(E_FAILURE, *lines)
        if valid > 0:
            warn(f"{what} with non-ASCII characters: '{shown}'")
    shown = fsdecode(parts["o"])
    valid = valid_field(parts["o"], b":\n")
    if valid < 0:
        raise Fail(E_FAILURE, f"'{shown}' contains illegal characters")
    if valid > 0:
        warn(f"'{shown}' contains non-ASCII characters")
    length = len(join_gecos(parts)) + 1 if release >= PLAIN_PARTS else sum(map(len, parts.values()))
    if length > MAX_LENGTH:
        raise Fail(E_FAILURE, "fields too long")
