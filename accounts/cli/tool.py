# SPDX-License-Identifier: MIT
"""A tool is a table: its options, operands and exit statuses; its usage text is in the file usage/NAME.txt. Hot path.

Options are scanned, permuted and worded as glibc's getopt_long(3) does, and acted on one by one, as shadow does.
"""

from __future__ import annotations

import posix

import accounts
from accounts.errors import E_BAD_ARG, AccountsError, BadArgument, Done, Fail, FileError, Usage
from accounts.model.records import MAX_ID, parse_id, parse_long
from accounts.model.release import parse_release
from accounts.system.target import READ, read_fd
from accounts.text import fsdecode, fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from accounts.cli.run import Run
    from accounts.model.release import Release

    # Given what has been given so far and the option's value, answers what to keep; raises AccountsError.
    Convert = Callable[["Given", bytes], Any]


# Bytes of a usage text.
MAX_USAGE = 1 << 16


class Option:
    """A row of the table: everything there is to know about one option.

    letter, long: "" where there is none; a second long name of an option is a row of its own. to: what the value is
    called in Given.values, "" when it is not kept there. convert: bytes -> value; without it the option takes no
    argument and its value is True. flag: no argument in spite of convert, which gets b"". needs, excludes: letters of
    options that must, and must not, be there too. since, until: the first release that has it, and the first that
    has it no more. hidden: in no usage text.
    """

    __slots__ = ("argument", "convert", "excludes", "hidden", "key", "letter", "long", "needs", "since", "to", "until")

    def __init__(
        self,
        letter: str,
        long: str,
        to: str = "",
        convert: Convert | None = None,
        *,
        flag: bool = False,
        needs: str = "",
        excludes: str = "",
        since: Release = (0, 0),
        until: Release = (99, 0),
        hidden: bool = False,
    ) -> None:
        self.letter = letter
        self.long = long
        # What the option is called in Given.letters, and so what makes two long names one option.
        self.key = letter or long
        self.to = to
        self.convert = convert
        self.argument = convert is not None and not flag
        self.needs = needs
        self.excludes = excludes
        self.since = since
        self.until = until
        self.hidden = hidden


class Tool:
    """One program. Everything that its command line may be, and how it ends.

    exits: shadow's name of a status -> its number.
    file_exits: (database, event) of a FileError -> the number, where it has one of its own.
    operands: (least, most); most None: any number.
    order: the letters of the options with needs and excludes in the order in which shadow looks at them; by default
    that of the table. needs_text: what it says of an option that is missing, None for the usage text alone.
    setuid: callers who are not root get the distribution's own program.
    until: the first release that has no such program; instead: what it says then.
    raw: all words are operands. other: the status of what exits does not name.
    """

    def __init__(
        self,
        name: str,
        options: Sequence[Option],
        exits: Mapping[str, int],
        *,
        file_exits: Mapping[tuple[str, str], int] | None = None,
        operands: tuple[int, int | None] = (1, 1),
        order: str = "",
        needs_text: str | None = "-{} flag is only allowed with the -{} flag",
        setuid: bool = False,
        raw: bool = False,
        until: Release = (99, 0),
        instead: str = "",
        other: int = 1,
    ) -> None:
        self.name = name
        self.options = options
        self.exits = exits
        self.file_exits = file_exits or {}
        self.operands = operands
        self.order = order
        self.needs_text = needs_text
        self.setuid = setuid
        self.raw = raw
        self.until = until
        self.instead = instead
        self.other = other

    def usage_for(self, release: Release) -> str:
        """The usage text of a release. Raises OSError."""
        return choose_lines(read_usage(self.name), release)

    def rows(self, release: Release) -> list[Option]:
        """The options of a release, in the order of getopt_long's table."""
        return [row for row in self.options if row.since <= release < row.until]

    def status(self, error: AccountsError) -> int:
        """The exit status of an error."""
        exits = self.exits
        if isinstance(error, FileError):
            own = self.file_exits.get((error.database, error.event))
            return exits.get(error.why, self.other) if own is None else own
        return exits.get(error.why, self.other)


def read_usage(name: str) -> str:
    """The usage text of a tool, with the marks of releases. Raises OSError."""
    file = f"{accounts.__path__[0]}/cli/usage/{name.replace(' ', '-')}.txt"
    return fsdecode(read_fd(posix.open(file, READ), MAX_USAGE))


def choose_lines(text: str, release: Release) -> str:
    """The lines that a release has. A mark is in front of those that not all have: "4.17+|" since, "4.20-|" before."""
    lines = []
    for line in text.splitlines(keepends=True):
        mark, _, rest = line.partition("|")
        version = parse_release(mark[:-1].encode()) if mark[-1:] in ("+", "-") else None
        if version is None:
            lines.append(line)
        elif (release >= version) == (mark[-1] == "+"):
            lines.append(rest)
    return "".join(lines)


class Given:
    """What a command line gives. letters: the keys of its options; values: by their `to`; operands: the rest."""

    __slots__ = ("letters", "operands", "run", "values")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.letters: set[str] = set()
        self.values: dict[str, Any] = {}
        self.operands: list[bytes] = []


def parse(run: Run, argv: list[bytes]) -> Given:
    """argv -> what it gives. Raises Usage and what the converters raise, or Done after --help."""
    tool = run.tool
    rows = tool.rows(run.release)
    given = Given(run)
    if tool.raw:
        given.operands = argv
        return given
    for row, value in scan(argv, rows, given.operands):
        if row.convert is not None:
            result = row.convert(given, value)
        else:
            result = True
        if row.to:
            given.values[row.to] = result
        given.letters.add(row.key)
    _check_rules(given)
    least, most = tool.operands
    if len(given.operands) < least or (most is not None and len(given.operands) > most):
        raise Usage
    return given


def _check_rules(given: Given) -> None:
    """Options that need or exclude others. Raises Usage."""
    tool, letters = given.run.tool, given.letters
    rows = [row for row in tool.rows(given.run.release) if (row.needs or row.excludes) and row.key in letters]
    if tool.order:
        rows.sort(key=lambda row: tool.order.find(row.letter))
    for row in rows:
        for other in row.needs:
            if other not in letters:
                raise Usage(tool.needs_text and tool.needs_text.format(row.key, other))
    for row in rows:
        for other in row.excludes:
            if other in letters:
                raise Usage(f"options -{row.key} and -{other} conflict")


def scan(argv: list[bytes], rows: Sequence[Option], operands: list[bytes]) -> Iterator[tuple[Option, bytes]]:
    """Yield (row, value) in the order of argv; fill operands with the rest, all permuted arguments.

    With POSIXLY_CORRECT in the environment it ends at the first operand. Raises Usage at the place of the bad one.
    """
    stop_early = b"POSIXLY_CORRECT" in posix.environ
    rest = [fsdecode(argument) for argument in argv]
    rest.reverse()
    while rest:
        argument = rest.pop()
        if argument == "--":
            break
        if argument.startswith("--"):
            yield _scan_long(argument, rows, rest)
        elif argument.startswith("-") and argument != "-":
            yield from _scan_cluster(argument, rows, rest)
        else:
            operands.append(fsencode(argument))
            if stop_early:
                break
    operands += [fsencode(argument) for argument in reversed(rest)]


def _scan_long(argument: str, rows: Sequence[Option], rest: list[str]) -> tuple[Option, bytes]:
    given, equals, value = argument[2:].partition("=")
    named = [row for row in rows if row.long]
    found = [row for row in named if row.long == given] or [row for row in named if row.long.startswith(given)]
    if len({row.key for row in found}) > 1:
        possibilities = " ".join(f"'--{row.long}'" for row in found)
        raise Usage(f"option '{argument}' is ambiguous; possibilities: {possibilities}")
    if not found:
        error = Usage(f"unrecognized option '{argument}'")
        error.unknown = f"--{given}"
        raise error
    row = found[0]
    if not row.argument:
        if equals:
            raise Usage(f"option '--{row.long}' doesn't allow an argument")
        return row, b""
    if equals:
        return row, fsencode(value)
    if not rest:
        raise Usage(f"option '--{row.long}' requires an argument")
    return row, fsencode(rest.pop())


def _scan_cluster(cluster: str, rows: Sequence[Option], rest: list[str]) -> Iterator[tuple[Option, bytes]]:
    for place, letter in enumerate(cluster[1:], 2):
        row = next((row for row in rows if row.letter == letter), None)
        if row is None:
            raise Usage(f"invalid option -- '{letter}'")
        if not row.argument:
            yield row, b""
        elif cluster[place:]:
            yield row, fsencode(cluster[place:])
            return
        elif rest:
            yield row, fsencode(rest.pop())
            return
        else:
            raise Usage(f"option requires an argument -- '{letter}'")


def find_value(argv: list[bytes], row: Option) -> bytes | None:
    """The value of an option that shadow looks for before all others. Raises BadArgument: twice, or without one."""
    long, short = b"--" + row.long.encode(), b"-" + row.letter.encode()
    found: bytes | None = None
    index = 0
    while index < len(argv):
        argument = argv[index]
        if argument in (long, short) or argument.startswith(long + b"="):
            if found is not None:
                raise BadArgument(f"multiple {long.decode()} options")
            if argument not in (long, short):
                found = argument[len(long) + 1 :]
            elif index + 1 == len(argv):
                raise BadArgument(f"option '{argument.decode()}' requires an argument")
            else:
                index += 1
                found = argv[index]
        index += 1
    return found


# Rows and values that many tools have


def show_usage(given: Given, _: bytes) -> None:
    """--help."""
    given.run.console.print(given.run.usage())
    raise Done


def refuse_option(_: Given, value: bytes) -> None:
    """A letter that getopt(3) still knows, with its value, and the tool no more."""
    raise Usage


def override_key(given: Given, pair: bytes) -> None:
    """-K KEY=VALUE: override an item of login.defs. Raises BadArgument."""
    key, equals, value = pair.partition(b"=")
    if not equals:
        raise BadArgument("-K requires KEY=VALUE")
    if not given.run.facts.defs.override(key, value):
        raise BadArgument


def as_given(_: Given, value: bytes) -> bytes:
    """The value as it is."""
    return value


def take_count(_: Given, value: bytes) -> int:
    """A number of days of passwd and chage, -1 for none."""
    days = parse_long(value)
    if days is None or days < -1:
        raise Usage(f"invalid numeric argument '{fsdecode(value)}'")
    return days


def take_gid(_: Given, value: bytes) -> int:
    """A GID that a group may have."""
    return parse_id_of(value, "group")


def parse_id_of(value: bytes, what: str) -> int:
    """An id that a user or group (what) may have."""
    number = parse_id(value)
    if number is None or number == MAX_ID:
        raise Fail(E_BAD_ARG, f"invalid {what} ID '{fsdecode(value)}'")
    return number


def take_names(given: Given, value: bytes) -> tuple[bytes, ...]:
    """The names of a list with commas. Since 4.17 also those that are empty, which is what no user is called."""
    release = given.run.release
    if release < (4, 17):
        return tuple(name for name in value.split(b",") if name)
    return tuple(value.split(b",")) if value or release < (4, 19) else ()


HELP = Option("h", "help", "", show_usage, flag=True)
# Their values are found before all other options.
ROOT = Option("R", "root", "", as_given)
PREFIX = Option("P", "prefix", "", as_given)
HIDDEN_PREFIX = Option("P", "prefix", "", as_given, hidden=True)
# Of the tools that have it in shadow, too, since 4.14.
SOME_PREFIX = (
    Option("P", "prefix", "", as_given, until=(4, 14), hidden=True),
    Option("P", "prefix", "", as_given, since=(4, 14)),
)
# Exit statuses by shadow's names: of useradd, usermod and userdel, and of groupadd, groupmod and groupdel.
USER_EXITS = {
    "E_PW_UPDATE": 1, "E_USAGE": 2, "E_BAD_ARG": 3, "E_UID_IN_USE": 4, "E_NOTFOUND": 6, "E_USER_BUSY": 8,
    "E_NAME_IN_USE": 9, "E_GRP_UPDATE": 10, "E_HOMEDIR": 12, "E_SE_UPDATE": 14, "E_SUB_UID_UPDATE": 16,
    "E_SUB_GID_UPDATE": 18,
}  # fmt: skip
GROUP_EXITS = {
    "E_USAGE": 2, "E_BAD_ARG": 3, "E_GID_IN_USE": 4, "E_NOTFOUND": 6, "E_GROUP_BUSY": 8, "E_NAME_IN_USE": 9,
    "E_GRP_UPDATE": 10,
}  # fmt: skip
KEY = Option("K", "key", "", override_key)
