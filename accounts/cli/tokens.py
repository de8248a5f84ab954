# SPDX-License-Identifier: MIT
"""Passwords of many users set in one transaction, in the words of shadow and pam_unix (chpasswd, newusers)."""

from __future__ import annotations

from accounts.cli.run import Run
from accounts.cli.setuid import is_root
from accounts.edit.passwords import can_set_token, set_token
from accounts.model.database import Database
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Line of the input, user, password in clear.
    Entry = tuple[int, bytes, bytes]

# pam_unix asks so often for something better than nothing.
TRIES = 3


class Tokens:
    """The passwords of a run, hashed when made: that takes long and needs no lock. entries are not kept.

    stops: whether those behind the first one that fails are left as they are.
    """

    def __init__(self, run: Run, entries: list[Entry], stops: bool = False) -> None:
        from accounts.system.hashing import MAX_LENGTH, hash_many
        from accounts.system.pam import settings_for

        self._run = run
        self.stops = stops
        # The lines whose users keep their passwords: user, and what pam_unix says of it.
        self.failures: dict[int, tuple[bytes, str]] = {}
        # pam_unix asks others for the old password, and gets none; no tool of the distribution is set-uid here.
        self._is_root = is_root()
        usable = [plain for _, _, plain in entries if self._is_root and 0 < len(plain) <= MAX_LENGTH]
        made: list[bytes] = []
        if usable:
            made = hash_many(usable, settings_for(run.facts.target, run.tool.name, run.facts.defs, run.facts.release))
        hashes = iter(made)
        # Line, user, hash; what pam_unix says in place of a hash.
        self._tokens: list[tuple[int, bytes, bytes | str]] = []
        for number, name, plain in entries:
            token: bytes | str
            if not self._is_root:
                token = ""
            elif not plain:
                token = "No password has been supplied.\n" * TRIES
            elif len(plain) > MAX_LENGTH:
                token = f"failed to crypt password: it is longer than {MAX_LENGTH} bytes\n"
            else:
                token = next(hashes)
            self._tokens.append((number, name, token))

    def apply(self, database: Database) -> None:
        """Set those that can be set."""
        today = self._run.facts.today() if self._tokens else 0
        for number, name, token in self._tokens:
            why = ""
            if not self._is_root:
                self._run.console.print(f"Changing password for {fsdecode(name)}.\n")
            elif can_set_token(database, name):
                if isinstance(token, bytes):
                    set_token(database, name, token, today)
                    continue
                why = token
            self.failures[number] = name, why
            if self.stops:
                break

    def show_failure(self, number: int) -> None:
        """Say what PAM has said of a line."""
        name, why = self.failures[number]
        user, console = fsdecode(name), self._run.console
        console.complain(why)
        console.warn(f"(user {user}) pam_chauthtok() failed, error:")
        console.complain("Authentication token manipulation error\n")
        console.warn(f"(line {number}, user {user}) password not changed")
