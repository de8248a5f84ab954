# SPDX-License-Identifier: MIT
"""What chpasswd, chgpasswd and newusers have in common: how to hash, and reading "name:password" by lines."""

from __future__ import annotations

import posix

from accounts.cli.tool import HELP, HIDDEN_PREFIX, ROOT, SOME_PREFIX, Given, Option, Tool, as_given
from accounts.errors import E_FAILURE, BadArgument, Fail, Usage
from accounts.model.records import parse_long
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

USAGE = """\
Usage: {} [options]

Options:
4.20-|  -c, --crypt-method METHOD     the crypt method (one of NONE DES MD5 SHA256 SHA512 YESCRYPT)
4.20+|  -c, --crypt-method METHOD     the crypt method (one of NONE SHA256 SHA512 YESCRYPT)
  -e, --encrypted               supplied passwords are encrypted
  -h, --help                    display this help message and exit
4.20-|  -m, --md5                     encrypt the clear text password using
4.20-|                                the MD5 algorithm
  -R, --root CHROOT_DIR         directory to chroot into
{}  -s, --sha-rounds              number of rounds for the SHA, BCRYPT
                                or YESCRYPT crypt algorithms

"""
# Until 4.20 also those of OLD_METHODS.
METHODS = (b"NONE", b"SHA256", b"SHA512", b"BCRYPT", b"YESCRYPT")
OLD_METHODS = (b"DES", b"MD5")
NO_MD5 = (4, 20)
PREFIX_LINE = "4.14+|  -P, --prefix PREFIX_DIR       directory prefix\n"
COSTLY = (b"SHA256", b"SHA512", b"BCRYPT", b"YESCRYPT")
# BUFSIZ of stdio: what fgets(3) takes at once, NUL included.
LINE_SIZE = 8192


def crypt_tool(name: str, prefix: bool) -> Tool:
    """The table of chpasswd or chgpasswd. prefix: whether it has -P in shadow, too. Operands are passed over."""
    options = (
        Option("c", "crypt-method", "method", as_given),
        Option("e", "encrypted"),
        HELP,
        Option("m", "md5", until=NO_MD5),
        ROOT,
        *(SOME_PREFIX if prefix else (HIDDEN_PREFIX,)),
        # Its value is read when -c is known.
        Option("s", "sha-rounds", "rounds_text", as_given),
    )
    usage = USAGE.format(name, PREFIX_LINE if prefix else "")
    return Tool(name, usage, options, {"E_USAGE": 2, "E_BAD_ARG": 3}, operands=(0, None))


class CryptOptions:
    """-c, -e, -m and -s. method: one of METHODS or None for login.defs; rounds: None for login.defs."""

    def __init__(self, given: Given) -> None:
        """Raises Usage when the options do not fit together."""
        self.method: bytes | None = given.values.get("method")
        self.encrypted = "e" in given.letters
        self.rounds: int | None = None
        rounds: bytes | None = given.values.get("rounds_text")
        md5 = "m" in given.letters
        if rounds is not None and self.method is None:
            raise Usage("-s flag is only allowed with the -c flag")
        has_md5 = given.run.release < NO_MD5
        if (self.encrypted and (md5 or self.method is not None)) or (md5 and self.method is not None):
            raise Usage(f"the {'-c, -e, and -m' if has_md5 else '-c and -e'} flags are exclusive")
        methods = METHODS + OLD_METHODS if has_md5 else METHODS
        if self.method is not None and self.method not in methods:
            raise Usage(f"unsupported crypt method: {fsdecode(self.method)}")
        if self.method in COSTLY and rounds is not None:
            self.rounds = parse_long(rounds)
            if self.rounds is None:
                raise Usage(f"invalid numeric argument '{fsdecode(rounds)}'")
        if md5:
            self.method = b"MD5"

    @property
    def hashes(self) -> bool:
        """Whether the passwords are to be hashed; else they are taken as they are."""
        return not self.encrypted and self.method != b"NONE"

    def hash_all(self, given: Given, plains: Sequence[bytes], salts: int) -> list[bytes]:
        """The hashes of the passwords, on all processors. salts: how many shadow makes. Raises Fail."""
        from accounts.system.hashing import hash_many, settings_from

        method = None if self.method is None else fsdecode(self.method)
        settings = settings_from(given.run.facts.defs, method, self.rounds)
        # shadow complains with each salt that it makes.
        given.run.console.complain("".join(settings.notes) * salts)
        try:
            return hash_many(plains, settings)
        except BadArgument as error:
            raise Fail(E_FAILURE, str(error)) from None


def read_all(fd: int) -> bytes:
    """All that can be read from a descriptor."""
    pieces = []
    while piece := posix.read(fd, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def split_lines(text: bytes, drop_rest: bool, open_end: bool) -> Iterator[bytes | None]:
    """The lines without newline as fgets(3) into a buffer of BUFSIZ gives them; None for one too long.

    drop_rest: the rest of a line that is too long is passed over (chpasswd), else it counts as further lines.
    open_end: the last line may lack its newline (chpasswd, newusers), else it counts as too long.
    """
    position = 0
    while position < len(text):
        end = text.find(b"\n", position, position + LINE_SIZE - 1)
        if end >= 0:
            line = text[position:end]
            position = end + 1
            # For C the string ends at a NUL, and then it has no newline.
            yield None if b"\0" in line else line
            continue
        piece = text[position : position + LINE_SIZE - 1]
        position += len(piece)
        if open_end and position >= len(text):
            yield piece.partition(b"\0")[0]
            return
        if drop_rest:
            end = text.find(b"\n", position)
            position = end + 1 if end >= 0 else len(text)
        yield None
