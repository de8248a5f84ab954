# SPDX-License-Identifier: MIT
"""/etc/default/useradd: what a new user gets that nobody asks for. Pure. Hot path."""

from __future__ import annotations

from accounts.model.records import parse_long
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILE = "default/useradd"
SKEL = b"/etc/skel"


class Defaults:
    """The values of the file, those of shadow where it says nothing. group: a GID; inactive: days, -1 for never."""

    def __init__(self) -> None:
        self.group = 100
        self.home = b"/home"
        self.inactive = -1
        self.expire = b""
        self.shell = b"/bin/bash"
        self.skel = SKEL
        self.create_mail_spool = b"no"
        self.log_init = b"yes"

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """(KEY, value) in the order in which useradd -D prints them."""
        yield b"GROUP", b"%d" % self.group
        yield b"HOME", self.home
        yield b"INACTIVE", b"%d" % self.inactive
        yield b"EXPIRE", self.expire
        yield b"SHELL", self.shell
        yield b"SKEL", self.skel
        yield b"CREATE_MAIL_SPOOL", self.create_mail_spool
        yield b"LOG_INIT", self.log_init

    def render(self, text: bytes | None) -> bytes:
        """text with the values put in place: other lines stay, missing ones are added, repeated ones kept."""
        if text is None:
            text = b"# useradd defaults file\n"
        missing = dict(self.items())
        lines = []
        for line in text.removesuffix(b"\n").split(b"\n") if text else ():
            key, equals, _ = line.partition(b"=")
            lines.append(key + b"=" + missing.pop(key) if equals and key in missing else line)
        lines += [key + b"=" + value for key, value in missing.items()]
        return b"".join(line + b"\n" for line in lines)


def parse_defaults(
    text: bytes,
    find_group: Callable[[bytes], tuple[bytes, int] | None],
    warn: Callable[[str], None],
    shown: str,
) -> Defaults:
    """The values of the file; a bad one is warned of and left out.

    find_group: a GID or name -> (name, GID) or None. shown: the path of the file in warnings.
    """
    defaults = Defaults()
    for line in text.split(b"\n"):
        key, equals, value = line.partition(b"=")
        if not equals:
            continue
        if key == b"GROUP":
            group = find_group(value)
            if group is None:
                warn(f"group '{fsdecode(value)}' does not exist")
                warn(f"the GROUP= configuration in {shown} will be ignored")
            else:
                defaults.group = group[1]
        elif key == b"HOME":
            defaults.home = value
        elif key == b"SHELL":
            defaults.shell = value
        elif key == b"INACTIVE":
            days = parse_long(value)
            if days is None or days < -1:
                warn(f"invalid numeric argument '{fsdecode(value)}'")
                warn(f"the INACTIVE= configuration in {shown} will be ignored")
                days = -1
            defaults.inactive = days
        elif key == b"EXPIRE":
            defaults.expire = value
        elif key == b"SKEL":
            defaults.skel = value or SKEL
        elif key == b"CREATE_MAIL_SPOOL":
            defaults.create_mail_spool = value or b"no"
        elif key == b"LOG_INIT":
            defaults.log_init = value or defaults.log_init
    return defaults
