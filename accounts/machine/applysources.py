# SPDX-License-Identifier: MIT
"""Where `accounts apply` finds its declaration: drop-in directories, credentials of systemd, password files."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from accounts.errors import AccountsError, BadArgument
from accounts.image.reader import Reader, point_at
from accounts.image.specifiers import Specifiers
from accounts.machine.applyrecords import RECORDS, take_record, take_sysusers
from accounts.machine.applytoml import parse_toml
from accounts.machine.declaration import Declaration, DeclaredAccount, parse_hash
from accounts.machine.errors import BadValue
from accounts.machine.words import shown
from accounts.system.paths import DIRECTORY, open_beneath
from accounts.system.target import MAX_CONFIG, READ, Target, read_fd
from accounts.text import fsdecode

# In order of precedence: of files with one name only the first counts. Credentials come behind the administrator's.
DIRECTORIES = ("/etc/accounts.d", "", "/run/accounts.d", "/usr/local/lib/accounts.d", "/usr/lib/accounts.d")
TAILS = (".toml", ".conf", *RECORDS)
PREFIX = "accounts."
# Bytes of a file that holds one.
_MAX_HASH = 4096
NO_FOLLOW = READ | os.O_NOFOLLOW


@dataclass
class Source:
    """A file in effect. shown: its path for messages; open: gives a descriptor; secret: for root only by itself."""

    name: str
    shown: str
    open: Callable[[], int]
    secret: bool = False


@dataclass
class Sources:
    """What was read. passwords: name of a user -> its hash."""

    declaration: Declaration = field(default_factory=Declaration)
    passwords: dict[bytes, bytes] = field(default_factory=dict)


def read_sources(target: Target, directories: Sequence[Path] = (), extra: Sequence[Path] = ()) -> Sources:
    """The declaration of a root: of the given directories, the last of which counts most, or of those of the root.

    extra: files as if they were in /etc/accounts.d, or in the last of the directories.
    Raises BadArgument, "FILE:LINE: what is wrong", and OSError.
    """
    sources = Sources(read_declaration(target, directories, extra))
    for entry in sources.declaration.users.values():
        password = _find_password(entry, target, sources.declaration.notes)
        if password is not None:
            sources.passwords[entry.name] = password
    return sources


def read_declaration(target: Target, directories: Sequence[Path] = (), extra: Sequence[Path] = ()) -> Declaration:
    """read_sources() without the files that passwords are in."""
    declaration = Declaration()
    with Reader(target.root) as tree:
        found = _find_named(directories) if directories else _find_standard(target, tree)
        names = {path.name for path in extra}
        found = [source for source in found if source.name not in names]
        found += [Source(path.name, str(path), _opener(path)) for path in extra]
        specifiers = Specifiers(tree.read)
        for source in sorted(found, key=lambda one: one.name):
            _take(declaration, source, specifiers)
    return declaration


def find_password_files(target: Target) -> Iterator[tuple[int, str, str]]:
    """(descriptor of the directory, name, path) of each file, not the image's, that holds a hash for a declaration.

    Of files that are no declaration, and of paths that lead to no hash, there is nothing to find.
    """
    entries: list[DeclaredAccount] = []
    with Reader(target.root) as tree:
        specifiers = Specifiers(tree.read)
        for source in _find_standard(target, tree):
            declaration = Declaration()
            with suppress(AccountsError, OSError):
                _take(declaration, source, specifiers)
                entries += declaration.users.values()
    for path in dict.fromkeys(entry.values.get("password-file", b"/usr/") for entry in entries):
        if path.startswith(b"/usr/"):
            continue
        with suppress(BadValue, OSError):
            parse_hash(_first_line(read_fd(open_beneath(target.root, path, NO_FOLLOW), _MAX_HASH)))
            directory = open_beneath(target.root, posixpath.dirname(path), DIRECTORY)
            try:
                yield directory, fsdecode(posixpath.basename(path)), fsdecode(path)
            finally:
                os.close(directory)


def credentials() -> str | None:
    """The directory of the credentials that systemd gives this service, None without one."""
    return os.environ.get("CREDENTIALS_DIRECTORY") or None


def _find_standard(target: Target, tree: Reader) -> list[Source]:
    found: dict[str, Source | None] = {}
    for directory in DIRECTORIES:
        if not directory:
            for source in _find_credentials() if target.live else ():
                found.setdefault(source.name, source)
            continue
        names = [name for name in tree.names(directory) if name.endswith(TAILS)]
        if names:
            with tree.directory(directory) as fd:
                check_owner(os.fstat(fd), directory)
        for name in names:
            path = f"{directory}/{name}"
            link = tree.readlink(path)
            masked = link is not None and point_at(directory, link) == "/dev/null"

            def open_it(path: str = path) -> int:
                return target.open(os.fsencode(path[1:]), READ)

            found.setdefault(name, None if masked else Source(name, path, open_it))
    return [source for source in found.values() if source is not None]


def _find_named(directories: Sequence[Path]) -> list[Source]:
    """The last directory counts most."""
    found: dict[str, Source | None] = {}
    for directory in directories:
        check_owner(os.stat(directory), str(directory))
        for name in sorted(os.listdir(directory)):
            if name.endswith(TAILS):
                path = directory / name
                masked = path.is_symlink() and os.path.realpath(path) == "/dev/null"
                found[name] = None if masked else Source(name, str(path), _opener(path))
    return [source for source in found.values() if source is not None]


def _find_credentials() -> Iterator[Source]:
    """accounts.toml and accounts.NAME.toml (which is NAME.toml), and so on."""
    directory = credentials()
    if directory is None:
        return
    for name in sorted(os.listdir(directory)):
        if name.startswith(PREFIX) and name.endswith(TAILS):
            short = name.removeprefix(PREFIX)
            path = Path(directory) / name
            yield Source(short if "." in short else name, f"credential {name}", _opener(path), secret=True)


def _opener(path: Path) -> Callable[[], int]:
    return lambda: os.open(path, READ)


def _take(declaration: Declaration, source: Source, specifiers: Specifiers) -> None:
    """Add a file to a declaration. Raises BadArgument, OSError."""
    try:
        fd = source.open()
        status = os.fstat(fd)
        data = read_fd(fd, MAX_CONFIG)
    except OSError as error:
        raise BadArgument(f"{source.shown}: {error.strerror}") from None
    if not source.secret:
        check_owner(status, source.shown)
    where = shown(os.fsencode(source.shown))
    declaration.passed = source.secret
    if source.name.endswith(".toml"):
        document, place_of = parse_toml(data, where)
        declaration.take(document, place_of)
    elif source.name.endswith(".conf"):
        take_sysusers(declaration, data, where, specifiers)
    elif source.name.endswith(RECORDS):
        take_record(declaration, data, source.name, where)
    else:
        raise BadArgument(f"{where}: the name of a drop-in ends in {', '.join(TAILS)}")
    if status.st_mode & stat.S_IROTH and not source.secret and _has_hash(data):
        declaration.notes.append(f"{where}: everybody may read it, and it has a password hash: make it mode 0600")


def _has_hash(data: bytes) -> bool:
    return any(mark in data for mark in (b"$y$", b"$gy$", b"$7$", b"$2", b"$5$", b"$6$"))


def check_owner(status: os.stat_result, path: str) -> None:
    """Who may write a declaration may become root. Raises BadArgument."""
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BadArgument(f"{shown(os.fsencode(path))}: others than root may write it, so that it is not read")


# Passwords


def _find_password(entry: DeclaredAccount, target: Target, notes: list[str]) -> bytes | None:
    """The hash that an entry declares, None for none. Raises BadArgument."""
    values = entry.values
    if "password" in values:
        given: bytes = values["password"]
        return given
    if "password-file" in values:
        return _read_hash(entry, "password-file", lambda: _open_secret(entry, target, notes))
    if "password-credential" not in values:
        return None
    directory, name = credentials(), values["password-credential"]
    where = entry.where("password-credential")
    if directory is None or not target.live:
        # Run by hand: what it set when there were credentials stays.
        notes.append(f"{where}: no credentials are given, so that the password is not looked at")
        return None
    path = Path(directory) / name
    try:
        return _read_hash(entry, "password-credential", lambda: os.open(path, NO_FOLLOW))
    except FileNotFoundError:
        notes.append(f"{where}: there is no credential {name}, so that the password is not looked at")
        return None


def _open_secret(entry: DeclaredAccount, target: Target, notes: list[str]) -> int:
    path: bytes = entry.values["password-file"]
    where = entry.where("password-file")
    try:
        # A link that an ordinary user may have made is refused on the way, any link as the last name.
        fd = open_beneath(target.root, path, NO_FOLLOW)
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise BadArgument(f"{where}: {shown(path)}: {why}") from None
    status = os.fstat(fd)
    try:
        check_owner(status, os.fsdecode(path))
    except BadArgument as error:
        os.close(fd)
        raise BadArgument(f"{where}: {error.message}") from None
    if status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        notes.append(f"{where}: others than root may read {shown(path)}: make it mode 0600")
    return fd


def _first_line(data: bytes) -> str:
    return data.decode("ascii", "replace").removesuffix("\n").removesuffix("\r")


def _read_hash(entry: DeclaredAccount, key: str, open_it: Callable[[], int]) -> bytes:
    """The hash in a file: one line. Raises BadArgument, which never says what is there, and FileNotFoundError."""
    where = entry.where(key)
    try:
        data = read_fd(open_it(), _MAX_HASH)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadArgument(f"{where}: {error.strerror}") from None
    try:
        return parse_hash(_first_line(data))
    except BadValue:
        raise BadArgument(f"{where}: what is there is no hash of crypt(5) ($y$..., $6$...)") from None
