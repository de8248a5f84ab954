# SPDX-License-Identifier: MIT
"""chfn(1). Callers who are not root come from the service, or get the distribution's set-uid program. Hot path."""

from __future__ import annotations

import posix

from accounts.cli.run import program
from accounts.cli.tool import HIDDEN_PREFIX, ROOT, Given, Option, Tool, show_usage
from accounts.edit.person import MAX_LENGTH, PARTS, SetGecos, check_parts, join_gecos, split_gecos
from accounts.errors import E_FAILURE, E_NOPERM, Fail
from accounts.system.caller import find_account
from accounts.system.setuid import is_root
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.cli.tool import Convert

LABELS = {"f": "Full Name", "r": "Room Number", "w": "Work Phone", "h": "Home Phone", "o": "Other"}


def may_change(given: Given, letter: str) -> bool:
    """Whether the caller may change that part: others than root those of CHFN_RESTRICT in login.defs."""
    if is_root():
        return True
    allowed = given.run.facts.defs.get("CHFN_RESTRICT") or b""
    return letter.encode() in {b"yes": b"rwh", b"no": b"frwh"}.get(allowed, allowed)


def take_part(letter: str) -> Convert:
    """A part that the caller may change."""

    def take(given: Given, value: bytes) -> bytes:
        if not may_change(given, letter):
            raise denied()
        return value

    return take


def denied() -> Fail:
    """The error that says no more."""
    return Fail(E_NOPERM, "Permission denied.")


def take_other(_: Given, value: bytes) -> bytes:
    """-o: what fits by itself; for root."""
    if not is_root():
        raise denied()
    if len(value) > MAX_LENGTH:
        raise Fail(E_FAILURE, "fields too long")
    return value


TOOL = Tool(
    "chfn",
    (
        Option("f", "full-name", "f", take_part("f")),
        Option("h", "home-phone", "h", take_part("h")),
        Option("o", "other", "o", take_other),
        Option("r", "room", "r", take_part("r")),
        ROOT,
        HIDDEN_PREFIX,
        Option("u", "help", "", show_usage, flag=True),
        Option("w", "work-phone", "w", take_part("w")),
    ),
    {"E_USAGE": 2, "E_BAD_ARG": 3},
    # Those behind the first are passed over.
    operands=(0, None),
    setuid=True,
)


def ask_parts(given: Given, name: bytes, parts: dict[str, bytes]) -> dict[str, bytes]:
    """All parts, asked for one by one; those that are not the caller's to change are shown."""
    console, root = given.run.console, is_root()
    console.print(f"Changing the user information for {fsdecode(name)}\n")
    console.print("Enter the new value, or press ENTER for the default\n")
    asked = {}
    for letter in PARTS:
        if root if letter == "o" else may_change(given, letter):
            asked[letter] = console.change_field(LABELS[letter], parts[letter])
        elif letter != "o":
            console.print(f"\t{LABELS[letter]}: {fsdecode(parts[letter])}\n")
    return parts | asked


@program(TOOL)
def main(given: Given) -> None:
    """Change the GECOS field."""
    console, release = given.run.console, given.run.release
    user = find_account(given.run.facts, given.operands)
    if not is_root():
        if posix.getuid() != user.uid:
            raise denied()
        from accounts.cli.served import authenticate

        authenticate(given.run)
    parts = split_gecos(user.gecos, given.values, release)
    if not given.values:
        parts = ask_parts(given, user.name, parts)
    check_parts(parts, release, console.warn)
    given.run.do(SetGecos(name=user.name, gecos=join_gecos(parts)))
