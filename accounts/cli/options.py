# SPDX-License-Identifier: MIT
"""Option scanning with stdlib getopt, worded and ordered as glibc's getopt_long(3). Hot path.

getopt.gnu_getopt stops at the first bad option and forgets the good ones before it; the real tools act on
options one by one. So arguments are handed to getopt one at a time.
"""

from __future__ import annotations

import posix
import sys

from accounts.text import fsdecode, fsencode

# getopt imports gettext for its own messages (6 ms, with re and locale), and os for gnu_getopt (0.7 ms). Neither is
# used here, so both are kept out while it is loaded.
_KEPT_OUT = [name for name in ("gettext", "os") if name not in sys.modules]
for _name in _KEPT_OUT:
    sys.modules[_name] = posix if _name == "os" else None  # type: ignore[assignment]
import getopt  # noqa: E402

for _name in _KEPT_OUT:
    del sys.modules[_name]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class OptionError(Exception):
    """One bad option; str() is glibc's sentence without "PROG: "."""


def scan(
    argv: list[bytes], short: str, long: Mapping[str, str], operands: list[bytes]
) -> Iterator[tuple[str, bytes]]:
    """Yield (option, value) in the order of argv; fill operands with the rest, all permuted arguments.

    short: as getopt(3), e.g. "b:c:h"; a leading "+" or POSIXLY_CORRECT stops at the first operand.
    long: long name, with "=" when it takes an argument, "=?" when that is optional -> the short option (or
    any key of the caller's) to yield for it. Raises OptionError at the place of the bad option; a caller
    that goes on iterating gets the options behind it, as with glibc.
    """
    stop_early = short.startswith("+") or b"POSIXLY_CORRECT" in posix.environ
    short = short.lstrip("+")
    names = {name.rstrip("=?"): name for name in long}
    rest = [fsdecode(argument) for argument in argv]
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            operands.extend(map(fsencode, rest))
            return
        if argument.startswith("--"):
            yield _scan_long(argument, names, long, rest)
        elif argument.startswith("-") and argument != "-":
            yield from _scan_cluster(argument[1:], short, rest)
        else:
            operands.append(fsencode(argument))
            if stop_early:
                operands.extend(map(fsencode, rest))
                return


def _scan_long(
    argument: str, names: dict[str, str], long: Mapping[str, str], rest: list[str]
) -> tuple[str, bytes]:
    given, equals, value = argument[2:].partition("=")
    if given in names:
        found = [given]
    else:
        found = [name for name in names if name.startswith(given)]
        if len({long[names[name]] for name in found}) > 1:
            possibilities = " ".join(f"'--{name}'" for name in found)
            raise OptionError(f"option '{argument}' is ambiguous; possibilities: {possibilities}")
    if not found:
        raise OptionError(f"unrecognized option '{argument}'")
    name = found[0]
    spec = names[name]
    if spec.endswith("?"):
        return long[spec], fsencode(value)
    after = rest[:1] if spec.endswith("=") and not equals else []
    try:
        taken, _ = getopt.getopt([f"--{name}{equals}{value}", *after], "", [spec])
    except getopt.GetoptError:
        if spec.endswith("="):
            raise OptionError(f"option '--{name}' requires an argument") from None
        raise OptionError(f"option '--{name}' doesn't allow an argument") from None
    del rest[: len(after)]
    return long[spec], fsencode(taken[0][1])


def _scan_cluster(cluster: str, short: str, rest: list[str]) -> Iterator[tuple[str, bytes]]:
    while cluster:
        letter = cluster[0]
        where = short.find(letter) if letter != ":" else -1
        takes = where >= 0 and short[where + 1 : where + 2] == ":"
        try:
            after = rest[:1] if takes and len(cluster) == 1 else []
            taken, _ = getopt.getopt([f"-{cluster if takes else letter}", *after], short)
        except getopt.GetoptError:
            if takes:
                raise OptionError(f"option requires an argument -- '{letter}'") from None
            raise OptionError(f"invalid option -- '{letter}'") from None
        if takes:
            del rest[: len(after)]
            yield letter, fsencode(taken[0][1])
            return
        yield letter, b""
        cluster = cluster[1:]
