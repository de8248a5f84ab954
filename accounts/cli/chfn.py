# SPDX-License-Identifier: MIT
"""chfn(1), for root; other callers get the distribution's set-uid program. Hot path."""

from __future__ import annotations

from accounts.cli.caller import find_account
from accounts.cli.console import Console
from accounts.cli.run import program
from accounts.cli.tool import HIDDEN_PREFIX, ROOT, Given, Option, Tool, as_given, show_usage
from accounts.edit.person import SetGecos
from accounts.errors import E_FAILURE, Fail
from accounts.model.names import valid_field
from accounts.model.release import Release
from accounts.text import fsdecode

USAGE = """\
Usage: chfn [options] [LOGIN]

Options:
  -f, --full-name FULL_NAME     change user's full name
  -h, --home-phone HOME_PHONE   change user's home phone number
  -o, --other OTHER_INFO        change user's other GECOS information
  -r, --room ROOM_NUMBER        change user's room number
  -R, --root CHROOT_DIR         directory to chroot into
  -u, --help                    display this help message and exit
  -w, --work-phone WORK_PHONE   change user's office phone number

"""
# The parts of the GECOS field in their order; what is left over and what holds a "=" is the last.
PARTS = "frwho"
LABELS = {"f": "Full Name", "r": "Room Number", "w": "Work Phone", "h": "Home Phone", "o": "Other"}
# How messages call a part, and whether bytes that are not ASCII are only warned about.
CHECKS = (
    ("f", "name", True), ("r", "room number", True), ("w", "work phone", False), ("h", "home phone", False),
)  # fmt: skip
MAX_LENGTH = 80
# From here on the parts are where the commas are, which count, and a NUL, in MAX_LENGTH.
PLAIN_PARTS = (4, 19)


def take_other(_: Given, value: bytes) -> bytes:
    """-o: what fits by itself."""
    if len(value) > MAX_LENGTH:
        raise Fail(E_FAILURE, "fields too long")
    return value


TOOL = Tool(
    "chfn",
    USAGE,
    (
        Option("f", "full-name", "f", as_given),
        Option("h", "home-phone", "h", as_given),
        Option("o", "other", "o", take_other),
        Option("r", "room", "r", as_given),
        ROOT,
        HIDDEN_PREFIX,
        Option("u", "help", "", show_usage, flag=True),
        Option("w", "work-phone", "w", as_given),
    ),
    {"E_USAGE": 2, "E_BAD_ARG": 3},
    # Those behind the first are passed over.
    operands=(0, None),
    setuid=True,
)


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


def ask_parts(console: Console, name: bytes, parts: dict[str, bytes]) -> dict[str, bytes]:
    """All parts, asked for one by one."""
    from accounts.system.terminal import change_field

    console.print(f"Changing the user information for {fsdecode(name)}\n")
    console.print("Enter the new value, or press ENTER for the default\n")
    return {letter: change_field(LABELS[letter], parts[letter]) for letter in PARTS}


def check_parts(console: Console, parts: dict[str, bytes], release: Release) -> None:
    """Whether the parts may stand in passwd(5). Raises Fail."""
    for letter, what, foreign in CHECKS:
        shown = fsdecode(parts[letter])
        valid = valid_field(parts[letter], b":,=\n")
        if valid < 0 or (valid > 0 and not foreign):
            # 4.20 ends before it can say so of the name.
            lines = () if letter == "f" and release >= (4, 20) else (f"invalid {what}: '{shown}'",)
            raise Fail(E_FAILURE, *lines)
        if valid > 0:
            console.warn(f"{what} with non-ASCII characters: '{shown}'")
    shown = fsdecode(parts["o"])
    valid = valid_field(parts["o"], b":\n")
    if valid < 0:
        raise Fail(E_FAILURE, f"'{shown}' contains illegal characters")
    if valid > 0:
        console.warn(f"'{shown}' contains non-ASCII characters")
    length = len(join_gecos(parts)) + 1 if release >= PLAIN_PARTS else sum(map(len, parts.values()))
    if length > MAX_LENGTH:
        raise Fail(E_FAILURE, "fields too long")


@program(TOOL)
def main(given: Given) -> None:
    """Change the GECOS field."""
    console, release = given.run.console, given.run.release
    user = find_account(given.run.facts, given.operands)
    parts = split_gecos(user.gecos, given.values, release)
    if not given.values:
        parts = ask_parts(console, user.name, parts)
    check_parts(console, parts, release)
    given.run.do(SetGecos(name=user.name, gecos=join_gecos(parts)))
