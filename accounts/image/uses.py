# SPDX-License-Identifier: MIT
"""The users and groups that a root's configuration names: udev, tmpfiles.d, sysusers.d, D-Bus, systemd units.

Reads only; names behind specifiers (%i), variables ($env{X}) and numbers are passed over.
"""

from __future__ import annotations

import posixpath
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from accounts.image import sysusers
from accounts.image.reader import Reader, point_at
from accounts.text import fsencode

# Directories in order of precedence: of files with one name only the first is read (systemd.unit(5),
# tmpfiles.d(5), sysusers.d(5), udev(7)). /lib counts where it is no link to /usr/lib.
_PREFIXES = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
_ASSIGNMENT = re.compile(r"\b(OWNER|GROUP)\s*(?::|\+)?=(?!=)\s*\"([^\"]*)\"")
_ACL = re.compile(r"(?:^|,)\s*(?:d(?:efault)?:)?(u(?:ser)?|g(?:roup)?):([^:,\s]+):")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_POLICY = re.compile(r"\b(user|group)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_BUS_USER = re.compile(r"<user>\s*([^<\s]+)\s*</user>")
_UNITS = (".service", ".socket", ".mount", ".swap")
_UNIT_KEYS = {"User": "user", "SocketUser": "user", "Group": "group", "SocketGroup": "group"}
_FIELD = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\S+")
_TRUE = ("1", "yes", "y", "true", "t", "on")
# (kind, name): kind is "user" or "group"
Name = tuple[str, str]


@dataclass
class Uses:
    """What the configuration says.

    used: name -> the files that use it; defined: name -> the files that make it at boot (sysusers.d, units
    with DynamicUser=yes); fixed: name -> its fixed id in sysusers.d.
    """

    used: dict[Name, list[str]] = field(default_factory=dict)
    defined: dict[Name, list[str]] = field(default_factory=dict)
    fixed: dict[Name, int] = field(default_factory=dict)

    def use(self, kind: str, name: str, path: str) -> None:
        """Note a use, unless it is no name but a number, specifier or variable."""
        name = name.strip()
        if name and not name.isdecimal() and not any(char in name for char in "%$*{"):
            _add(self.used, (kind, name), path)

    def define(self, kind: str, name: str, path: str) -> None:
        """Note that the name is made at boot."""
        if name and "%" not in name:
            _add(self.defined, (kind, name), path)


def find_uses(tree: Reader) -> Uses:
    """Read the configuration of a root. Files that cannot be read as text, or point nowhere, are passed over."""
    uses = Uses()
    for path, text in read_all(tree, "udev/rules.d", (".rules",)):
        _read_udev(text, path, uses)
    for path, text in read_all(tree, "tmpfiles.d", (".conf",)):
        _read_tmpfiles(text, path, uses)
    for path, text in read_all(tree, "sysusers.d", (".conf",)):
        _read_sysusers(text, path, uses)
    for directory in ("/etc/dbus-1/system.d", "/usr/share/dbus-1/system.d"):
        for path, text in _read_directories(tree, [directory], (".conf",)):
            _read_bus(text, path, uses)
    for directory in ("/etc/dbus-1", "/usr/share/dbus-1"):
        for path, text in _read_directories(tree, [directory], ("system.conf", "system-local.conf")):
            _read_bus(text, path, uses)
    for path, text in _read_directories(tree, ["/usr/share/dbus-1/system-services"], (".service",)):
        for key, value in _settings(text):
            if key == "User":
                uses.use("user", value, path)
    _read_units(tree, uses)
    return uses


def _read_udev(text: str, path: str, uses: Uses) -> None:
    for line in text.replace("\\\n", "").split("\n"):
        if not line.lstrip().startswith("#"):
            for key, value in _ASSIGNMENT.findall(line):
                uses.use("user" if key == "OWNER" else "group", value, path)


def _read_tmpfiles(text: str, path: str, uses: Uses) -> None:
    for line in text.split("\n"):
        fields = [match[0].strip("\"'") for match in _FIELD.finditer(line)]
        if len(fields) < 4 or fields[0].startswith("#"):
            continue
        for kind, value in zip(("user", "group"), fields[3:5], strict=False):
            # ":name" sets the owner of what is made only (systemd 254).
            if value.lstrip(":") != "-":
                uses.use(kind, value.lstrip(":"), path)
        if fields[0][0] in "aA" and len(fields) > 6:
            for kind, value in _ACL.findall(" ".join(fields[6:])):
                uses.use("user" if kind.startswith("u") else "group", value, path)


def _read_sysusers(text: str, path: str, uses: Uses) -> None:
    for line in sysusers.parse_lines(text):
        if line.group:
            uses.use("group", line.group, path)
        for kind, name in sysusers.defined_names(line):
            uses.define(kind, name, path)
            if line.uid is not None and line.kind == "g":
                # Also where a user of that name stands before it: the user's group is then this one.
                uses.fixed[kind, name] = line.uid
            elif line.uid is not None:
                uses.fixed.setdefault((kind, name), line.uid)


def _read_bus(text: str, path: str, uses: Uses) -> None:
    text = _COMMENT.sub("", text)
    for kind, one, other in _POLICY.findall(text):
        uses.use(kind, one or other, path)
    for name in _BUS_USER.findall(text):
        uses.use("user", name, path)


def _read_units(tree: Reader, uses: Uses) -> None:
    """Units with their drop-ins: a drop-in can add DynamicUser=yes or another User=."""
    units = dict(_find_files(tree, [f"{prefix}/systemd/system" for prefix in _PREFIXES], _UNITS))
    drop_ins: dict[str, list[str]] = {}
    for prefix in _PREFIXES:
        for name in tree.names(f"{prefix}/systemd/system"):
            if name.endswith(tuple(f"{kind}.d" for kind in _UNITS)):
                drop_ins.setdefault(name[:-2], []).append(f"{prefix}/systemd/system/{name}")
    for unit in sorted(units.keys() | drop_ins.keys()):
        paths = [units[unit]] if unit in units else []
        paths += [path for _, path in _find_files(tree, drop_ins.get(unit, []), (".conf",))]
        found: dict[str, tuple[str, str]] = {}
        groups: list[tuple[str, str]] = []
        for path in paths:
            for key, value in _settings(_read(tree, path) or ""):
                if key == "SupplementaryGroups":
                    groups = [] if not value else groups + [(name, path) for name in value.split()]
                elif key in _UNIT_KEYS or key == "DynamicUser":
                    found[key] = value, path
        if found.get("DynamicUser", ("", ""))[0].lower() in _TRUE:
            # systemd.exec(5): the unit's own name where User= says nothing; Group= is made along with it.
            user = found.get("User", ("", ""))[0] or unit.split(".")[0].split("@")[0]
            for kind, name in (("user", user), ("group", found.get("Group", ("", ""))[0] or user)):
                uses.define(kind, name, paths[0])
        for key, kind in _UNIT_KEYS.items():
            if key in found:
                uses.use(kind, *found[key])
        for name, path in groups:
            uses.use("group", name, path)


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """The KEY=VALUE lines of a unit file, continued lines joined."""
    for line in text.replace("\\\n", " ").split("\n"):
        key, equals, value = line.strip().partition("=")
        if equals and key[:1] not in "#;":
            yield key.strip(), value.strip()


def read_all(tree: Reader, below: str, tails: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Path and text of the files in effect of a kind of drop-in, by name: below is "sysusers.d" and so on."""
    yield from _read_directories(tree, [f"{prefix}/{below}" for prefix in _PREFIXES], tails)


def _read_directories(tree: Reader, directories: list[str], tails: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for _, path in _find_files(tree, directories, tails):
        text = _read(tree, path)
        if text is not None:
            yield path, text


def _find_files(tree: Reader, directories: list[str], tails: tuple[str, ...]) -> list[tuple[str, str]]:
    """(name, path) of the files in effect: of those with one name the first directory's; masked ones are not."""
    found: dict[str, str] = {}
    for directory in directories:
        for name in tree.names(directory):
            if name.endswith(tails):
                found.setdefault(name, f"{directory}/{name}")
    return sorted((name, path) for name, path in found.items() if not _is_masked(tree, path))


def _is_masked(tree: Reader, path: str) -> bool:
    link = tree.readlink(path)
    return link is not None and point_at(posixpath.dirname(path), link) == "/dev/null"


def _read(tree: Reader, path: str) -> str | None:
    status = tree.lstat(path)
    if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        return None
    try:
        return tree.read(path).decode("utf-8", "surrogateescape")
    except OSError:
        return None


def _add(table: dict[Name, list[str]], name: Name, path: str) -> None:
    paths = table.setdefault(name, [])
    if path not in paths:
        paths.append(path)


def listed_memberships(root: int) -> list[tuple[bytes, bytes]]:
    """(user, group) of each m line in effect below an open root, in the order in which systemd-sysusers reads them."""
    with Reader(root) as tree:
        lines = [line for _, text in read_all(tree, "sysusers.d", (".conf",)) for line in sysusers.parse_lines(text)]
    return [(fsencode(line.name), fsencode(line.id)) for line in lines if line.kind == "m"]
