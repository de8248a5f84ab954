# SPDX-License-Identifier: MIT
"""Writes the manuals: `python3 scripts/manuals.py DIRECTORY`, which gets man1/, man5/ and man8/.

The page of a tool is made of its table (options, exit statuses, releases), its usage text and docs/man/tools/NAME; that
of an `accounts` command of its parser and docs/man/commands/NAME; the others are docs/man/*.[58]. Same sources, same
bytes.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from accounts.cli.main import COMMANDS  # noqa: E402
from accounts.cli.tool import Tool  # noqa: E402
from accounts.examples import EXAMPLES  # noqa: E402
from accounts.model.release import NEWEST  # noqa: E402
from scripts.commandlines import SECTION_1, CommandLine, Row, find_commands, find_tool, list_rows  # noqa: E402
from scripts.shims import TOOLS  # noqa: E402

MAN = TOP / "docs/man"
# A page has the date of the release that it is about, not of the day on which it was made.
DATE = "November 28, 2026"
# Name of a status -> what it says to a reader; those that are not here are about an account file.
STATUSES = {
    "E_USAGE": "wrong usage",
    "E_BAD_ARG": "invalid argument",
    "E_BAD_NAME": "invalid name",
    "E_NOTFOUND": "no such user or group",
    "E_SHADOW_NOTFOUND": "there is no shadow file",
    "E_GSHADOW_NOTFOUND": "there is no gshadow file",
    "E_NAME_IN_USE": "the name is in use",
    "E_UID_IN_USE": "the UID is in use",
    "E_GID_IN_USE": "the GID is in use",
    "E_USER_BUSY": "the user is logged in, or has processes",
    "E_GROUP_BUSY": "the group is the primary group of a user",
    "E_HOMEDIR": "the home could not be made or removed",
    "E_NOPERM": "permission denied",
    "E_CONFLICT": "options that exclude each other",
    "E_NOT_PRIMARY": "the group is nobody's primary group",
    "E_NOT_MEMBER": "the user is no member",
    "E_MEMBER_EXISTS": "the user is a member already",
    "E_INVALID_USER": "no such user",
    "E_INVALID_GROUP": "no such group",
}
FILE_STATUS = "an account file could not be locked, read or written"
# What has a status of its own in some tools.
FILE_EVENTS = {"lock": "locked", "open": "opened", "put": "changed"}
# Those of `accounts` commands.
MACHINE_STATUSES = ("nothing to say, or done", "findings, differences or conflicts", "wrong usage")
IMAGE_STATUSES = ("done", "findings that fail the build", "wrong usage")
FAILED = "bad input, or an error of the system"


def escape(text: str) -> str:
    """Text for a line of mdoc(7): nothing in it is a request, an escape or a typographic sign."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return "\\&" + text if text[:1] == "." else text


def fill(text: str) -> list[str]:
    """Lines of text: each sentence begins one, none is long."""
    lines = []
    for sentence in re.split(r"(?<=[.;:]) +", text):
        lines += [escape(line) for line in textwrap.wrap(sentence, 70, break_on_hyphens=False)]
    return lines


def format_paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of plain text in which `this` is code and name(8) another manual."""
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        if number:
            yield ".Pp"
        pieces = re.split(r"(`[^`]*`|[\w.-]+\(\d\))([.,;:)]*)", " ".join(paragraph.split()))
        for at in range(0, len(pieces), 3):
            yield from fill(pieces[at].strip())
            if at + 1 < len(pieces):
                code = pieces[at + 1]
                macro = f"Ql {escape(code[1:-1])}" if code[0] == "`" else f"Xr {code[:-3]} {code[-2]}"
                yield " ".join((f".{macro}", *pieces[at + 2]))


def format_list(items: Iterable[tuple[str, Iterable[str]]]) -> Iterator[str]:
    """A list of marks with the lines that explain them."""
    yield ".Bl -tag -width Ds"
    for mark, lines in items:
        yield f".It {mark}"
        yield from lines
    yield ".El"


def format_row(row: Row) -> tuple[str, list[str]]:
    """An option or operand as an item of a list."""
    flags = " , ".join(f"Fl {escape(name[1:])}" for name in row.names)
    argument = f"Ar {escape(row.argument)}" if row.argument else ""
    text = row.text[:1].upper() + row.text[1:] + "." if row.text else "Taken, and in no usage text."
    return " ".join(filter(None, (flags, argument))), fill(" ".join(filter(None, (text, row.releases))))


def format_page(
    name: str, section: int, purpose: str, usage: str, parts: Iterable[tuple[str, Iterable[str]]], others: Iterable[str]
) -> str:
    """A page. usage: the lines of the synopsis; parts: (title, lines); others: "accounts 8" and so on."""
    lines = ['.\\" SPDX-License-Identifier: MIT', '.\\" Made by scripts/manuals.py.', f".Dd {DATE}"]
    lines += [f".Dt {name.upper()} {section}", ".Os", ".Sh NAME", f".Nm {name}", f".Nd {escape(purpose)}"]
    lines += [".Sh SYNOPSIS", ".Bd -literal -compact"]
    lines += [escape(line.removeprefix("Usage:").removeprefix("usage:").strip()) for line in usage.splitlines()]
    lines.append(".Ed")
    for title, part in parts:
        lines += [f".Sh {title}", *part]
    # By section, then by name, as mandoc(1) wants it.
    seen = sorted(set(others), key=lambda other: (other[-1], other))
    lines += [".Sh SEE ALSO", *(f".Xr {other} ," for other in seen[:-1]), f".Xr {seen[-1]}"]
    return "\n".join(lines) + "\n"


def format_tool(name: str) -> str:
    """The page of a tool of the shadow family."""
    tool = find_tool(name)
    purpose, _, stateless = (MAN / "tools" / name).read_text().partition("\n\n")
    usage = tool.usage_for(NEWEST if tool.until > NEWEST else (4, 13)).partition("\n\n")[0]
    description = (
        f"`{name}` does what that of shadow-utils does, with the accounts of the image and of /etc together, and "
        "writes to /etc only what this machine differs by. Options, messages and exit statuses are those of the "
        "release that SHADOW_COMPAT in accounts.conf(5) names."
    )
    files = (
        ("Pa /usr/lib/passwd , /usr/lib/group , /usr/lib/shadow , /usr/lib/gshadow", ["the accounts of the image"]),
        ("Pa /etc/passwd , /etc/group , /etc/shadow , /etc/gshadow", ["what this machine differs by"]),
    )
    rows = list_rows(tool)
    parts = [("DESCRIPTION", format_paragraphs(description))]
    parts += [("OPTIONS", format_list(map(format_row, rows)))] if rows else []
    parts += [("FILES", format_list(files))]
    parts += [("EXIT STATUS", format_list((str(number), [why]) for number, why in sorted(statuses_of(tool).items())))]
    parts += [("STATELESS", format_paragraphs(stateless))]
    others = ("accounts.conf 5", "accounts-hidden 5", "accounts 8")
    return format_page(name, section_of(name), purpose, usage, parts, others)


def statuses_of(tool: Tool) -> dict[int, str]:
    """Exit status -> what it says."""
    numbers = {0: "success", tool.other: "any other error"}
    for why, number in tool.exits.items():
        numbers.setdefault(number, STATUSES.get(why, FILE_STATUS))
    for (_, event), number in tool.file_exits.items():
        numbers.setdefault(number, f"an account file could not be {FILE_EVENTS[event]}")
    return numbers


def section_of(tool: str) -> int:
    """Of the manual."""
    return 1 if tool in SECTION_1 else 8


def format_command(name: str, line: CommandLine) -> str:
    """The page of `accounts NAME`; name has a space where the command has two words."""
    if isinstance(line, Tool):
        usage, purpose = line.usage_for(NEWEST).partition("\n\n")[0], COMMANDS[name][1]
    else:
        usage, purpose = " ".join(line.format_usage().split()), (line.description or "").rstrip(".")
    if isinstance(line, Tool):
        statuses = statuses_of(line)
    else:
        words = IMAGE_STATUSES if name.startswith("image ") else MACHINE_STATUSES
        statuses = dict(enumerate((*words, FAILED)))
    dashed = name.replace(" ", "-")
    rows = list_rows(line)
    parts = [
        ("DESCRIPTION", format_paragraphs((MAN / "commands" / dashed).read_text())),
        ("OPTIONS", format_list(map(format_row, rows))),
        ("EXIT STATUS", format_list((str(number), [text]) for number, text in sorted(statuses.items()))),
        ("EXAMPLES", [f".Dl # {escape(EXAMPLES[name])}"]),
    ]
    purpose = purpose[:1].lower() + purpose[1:]
    return format_page(f"accounts-{dashed}", 8, purpose, usage, parts, ("accounts.conf 5", "accounts 8"))


def format_accounts(commands: dict[str, CommandLine]) -> str:
    """accounts(8): what there is, one command a line."""
    items = []
    for name, line in commands.items():
        purpose = COMMANDS[name][1] if isinstance(line, Tool) else line.description or ""
        items.append(
            (f"Xr accounts-{name.replace(' ', '-')} 8", fill(purpose[:1].upper() + purpose[1:].rstrip(".") + "."))
        )
    parts = [
        ("DESCRIPTION", format_paragraphs((MAN / "commands/accounts").read_text())),
        ("COMMANDS", format_list(items)),
    ]
    others = ("accounts.conf 5", "accounts-hidden 5", "accounts-ids 5", "accounts-rules 5", "nss_altfiles 8")
    usage = "accounts COMMAND [OPTIONS]\naccounts --version"
    return format_page("accounts", 8, "user and group accounts in two layers", usage, parts, others)


def pages() -> dict[str, str]:
    """Path below the directory of manuals -> the page."""
    commands = find_commands()
    found = {"man8/accounts.8": format_accounts(commands)}
    for name, line in commands.items():
        found[f"man8/accounts-{name.replace(' ', '-')}.8"] = format_command(name, line)
    for name in sorted(TOOLS):
        if "/" not in name:
            found[f"man{section_of(name)}/{name}.{section_of(name)}"] = format_tool(name)
    for path in sorted(MAN.glob("*.[58]")):
        found[f"man{path.suffix[1:]}/{path.name}"] = path.read_text()
    return found


def main() -> None:
    """Write all of them."""
    for name, text in pages().items():
        path = Path(sys.argv[1], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
