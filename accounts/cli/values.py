# SPDX-License-Identifier: MIT
"""Values of options that several tools have: bytes of the command line -> what a request takes. Hot path.

Each raises Fail in shadow's words.
"""

from __future__ import annotations

import _stat as stat
import posix

from accounts.cli.tool import Given, parse_id_of
from accounts.errors import E_BAD_ARG, E_NOTFOUND, Fail, Usage
from accounts.model.records import parse_long
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Shells that are no program, and need be none, by the release that knows them first.
NOLOGIN = {b"/sbin/nologin": (4, 13), b"/usr/sbin/nologin": (4, 18)}


def take_no(_: Given, value: bytes) -> bool:
    """An option that says no."""
    return False


def take_uid(_: Given, value: bytes) -> int:
    """A UID that a user may have."""
    return parse_id_of(value, "user")


def is_field(value: bytes) -> bool:
    """shadow's VALID(): whether a value has neither colon nor newline."""
    return b":" not in value and b"\n" not in value


def take_field(_: Given, value: bytes) -> bytes:
    """What may be a field of passwd(5)."""
    if not is_field(value):
        raise Fail(E_BAD_ARG, f"invalid field '{fsdecode(value)}'")
    return value


def take_days(_: Given, value: bytes) -> int:
    """A number of days, -1 for never."""
    days = parse_long(value)
    if days is None or days < -1:
        raise Fail(E_BAD_ARG, f"invalid numeric argument '{fsdecode(value)}'")
    return days


def take_day(given: Given, value: bytes) -> int:
    """A date: days since the epoch, -1 for never."""
    from accounts.model.dates import parse_day

    day = parse_day(value, release=given.run.release)
    if day < -1:
        raise Fail(E_BAD_ARG, f"invalid date '{fsdecode(value)}'")
    return day


def take_group(given: Given, value: bytes) -> int:
    """The GID of an existing group, by GID or name."""
    group = given.run.facts.find_group_or_gid(value)
    if group is None:
        raise Fail(E_NOTFOUND, f"group '{fsdecode(value)}' does not exist")
    return group[1]


def take_shell(given: Given, shell: bytes) -> bytes:
    """A login shell, with a warning when no such program is in the target."""
    if not is_field(shell) or shell[:1] not in (b"", b"/", b"*"):
        raise Fail(E_BAD_ARG, f"invalid shell '{fsdecode(shell)}'")
    known = NOLOGIN.get(shell)
    if known is not None and known <= given.run.release:
        return shell
    if shell.startswith(b"/") and not _is_program(given, shell):
        given.run.console.warn(f"Warning: missing or non-executable shell '{fsdecode(shell)}'")
    return shell


def _is_program(given: Given, path: bytes) -> bool:
    try:
        mode = given.run.change.target.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISDIR(mode) and bool(mode & 0o111)


def take_badname(options: str) -> Callable[[Given, bytes], bool]:
    """--badname, which Debian's builds warn of. options: what they call it, with its verb."""

    def take(given: Given, value: bytes) -> bool:
        if given.run.release >= (4, 17):
            given.run.console.warn(f"WARNING: {options} deprecated and will be removed")
        return True

    return take


def check_selinux_range(given: Given) -> None:
    """--selinux-range needs --selinux-user. Raises Usage."""
    if "selinux-range" in given.letters and "Z" not in given.letters:
        raise Usage("--selinux-range flag is only allowed with the --selinux-user flag")


def take_selinux_user(given: Given, value: bytes) -> bytes:
    """-Z needs SELinux and the running system's own root."""
    if given.run.change.target.prefix:
        raise Fail(E_BAD_ARG, "-Z cannot be used with --prefix")
    # As is_selinux_enabled(3): selinuxfs is mounted where the policy is loaded.
    if not posix.access("/sys/fs/selinux/enforce", posix.F_OK):
        raise Fail(E_BAD_ARG, "-Z requires SELinux enabled kernel")
    return value
