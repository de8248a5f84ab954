# SPDX-License-Identifier: MIT
"""/etc/default/useradd: what a new user gets that nobody asks for. Pure. Hot path."""

from __future__ import annotations

from accounts.model.records import parse_long
from accounts.model.release import DEFAULT
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accounts.model.release import Release

FILE = "default/useradd"
SKEL = b"/etc/skel"


USRSKEL = b"/usr/etc/skel"
# KEY, field of Defaults and the first release that has it, in the order in which useradd -D prints and adds them.
KEYS: tuple[tuple[bytes, str, Release], ...] = (
    (b"GROUP", "group", (4, 13)),
    (b"GROUPS", "groups", (4, 14)),
    (b"HOME", "home", (4, 13)),
    (b"INACTIVE", "inactive", (4, 13)),
    (b"EXPIRE", "expire", (4, 13)),
    (b"SHELL", "shell", (4, 13)),
    (b"SKEL", "skel", (4, 13)),
    (b"USRSKEL", "usr_skel", (4, 14)),
    (b"CREATE_MAIL_SPOOL", "create_mail_spool", (4, 13)),
    (b"BTRFS_SUBVOLUME_HOME", "subvolume", (4, 20)),
    (b"BTRFS_SUBVOLUME_SYSTEM", "system_subvolume", (4, 20)),
    (b"LOG_INIT", "log_init", (4, 13)),
)
# Those that an empty value leaves as they are.
_NOT_EMPTY = frozenset(
    (b"SKEL", b"USRSKEL", b"CREATE_MAIL_SPOOL", b"LOG_INIT", b"BTRFS_SUBVOLUME_HOME", b"BTRFS_SUBVOLUME_SYSTEM")
)


class Defaults:
    """The values of the file, those of shadow where it says nothing.

    group: a GID; groups: as the file has them, group_names: those of them that there are; inactive: days, -1 for never.
    """

    def __init__(self, release: Release = DEFAULT) -> None:
        self.release = release
        self.group = 100
        self.groups = b""
        self.group_names: tuple[bytes, ...] = ()
        self.home = b"/home"
        self.inactive = -1
        self.expire = b""
        self.shell = b"/bin/bash"
        self.skel = SKEL
        self.usr_skel = USRSKEL
        self.create_mail_spool = b"no"
        self.subvolume = self.system_subvolume = b"no"
        self.log_init = b"yes"

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """(KEY, value) in the order in which useradd -D prints them."""
        for key, field, since in KEYS:
            if since <= self.release:
                value = getattr(self, field)
                yield key, value if isinstance(value, bytes) else b"%d" % value

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
    find_local: Callable[[bytes], bytes | None],
    warn: Callable[[str], None],
    shown: str,
    release: Release = DEFAULT,
) -> Defaults:
    """The values of the file; a bad one is warned of and left out.

    find_group: a GID or name -> (name, GID) or None; find_local: the same of the account files alone -> name.
    shown: the path of the file in warnings.
    """
    defaults = Defaults(release)
    fields = {key: field for key, field, since in KEYS if since <= release}
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
        elif key == b"INACTIVE":
            days = parse_long(value)
            if days is None or days < -1:
                warn(f"invalid numeric argument '{fsdecode(value)}'")
                warn(f"the INACTIVE= configuration in {shown} will be ignored")
                days = -1
            defaults.inactive = days
        elif key == b"GROUPS" and key in fields:
            found = {text: find_local(text) for text in value.split(b",")} if value else {}
            for text in (text for text, name in found.items() if name is None):
                warn(f"group '{fsdecode(text)}' does not exist")
            if None in found.values():
                warn(f"the 'GROUPS=' configuration in {shown} has an invalid group, ignoring the bad group")
            defaults.group_names = tuple(name for name in found.values() if name is not None)
            defaults.groups = value if defaults.group_names else b""
        elif key in fields and (value or key not in _NOT_EMPTY):
            setattr(defaults, fields[key], value)
    return defaults
