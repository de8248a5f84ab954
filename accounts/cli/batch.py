# SPDX-License-Identifier: MIT
"""What chpasswd and chgpasswd, and in part newusers, have in common: the options, and what PAM says of a failure."""

from __future__ import annotations

from accounts.cli.console import Console
from accounts.cli.tool import HELP, HIDDEN_PREFIX, ROOT, SOME_PREFIX, Given, Option, Tool, as_given
from accounts.errors import Usage
from accounts.model.records import parse_long
from accounts.system.setuid import is_root
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.edit.batch import Failure

# Until 4.20 also those of OLD_METHODS.
METHODS = (b"NONE", b"SHA256", b"SHA512", b"BCRYPT", b"YESCRYPT")
OLD_METHODS = (b"DES", b"MD5")
NO_MD5 = (4, 20)
COSTLY = (b"SHA256", b"SHA512", b"BCRYPT", b"YESCRYPT")


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
    return Tool(name, options, {"E_USAGE": 2, "E_BAD_ARG": 3}, operands=(0, None))


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


def show_failure(console: Console, number: int, failure: Failure) -> None:
    """Say what PAM has said of a line of the input."""
    name, why = failure
    user = fsdecode(name)
    if not is_root():
        console.print(f"Changing password for {user}.\n")
    console.complain(why)
    console.warn(f"(user {user}) pam_chauthtok() failed, error:")
    console.complain("Authentication token manipulation error\n")
    console.warn(f"(line {number}, user {user}) password not changed")
