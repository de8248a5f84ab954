# SPDX-License-Identifier: MIT
"""Passwords of many users set in one transaction, in the words of shadow and pam_unix (chpasswd, newusers)."""

from __future__ import annotations

from accounts.cli.setuid import is_root
from accounts.edit.passwords import can_set_token, set_token
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.cli.session import Session
    from accounts.model.database import Database

    # Line of the input, user, password in clear.
    Entry = tuple[int, bytes, bytes]

# pam_unix asks so often for something better than nothing.
TRIES = 3


class Tokens:
    """The passwords of a run, hashed when made: that takes long and needs no lock. entries are not kept."""

    def __init__(self, session: Session, entries: list[Entry]) -> None:
        from accounts.system.hashing import MAX_LENGTH, hash_many
        from accounts.system.pam import settings_for

        self._session = session
        # pam_unix asks others for the old password, and gets none; no tool of the distribution is set-uid here.
        self._is_root = is_root()
        usable = [plain for _, _, plain in entries if self._is_root and 0 < len(plain) <= MAX_LENGTH]
        hashes = iter(hash_many(usable, settings_for(session.target, session.tool, session.defs)) if usable else ())
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

    def apply(self, database: Database) -> dict[int, str]:
        """Set those that can be set. Line -> what to say on standard error, for the others."""
        failures = {}
        today = self._session.today() if self._tokens else 0
        prog = self._session.prog
        for number, name, token in self._tokens:
            why = ""
            if not self._is_root:
                self._session.print(f"Changing password for {fsdecode(name)}.\n")
            elif can_set_token(database, name):
                if isinstance(token, bytes):
                    set_token(database, name, token, today)
                    continue
                why = token
            user = fsdecode(name)
            failures[number] = (
                f"{why}{prog}: (user {user}) pam_chauthtok() failed, error:\n"
                "Authentication token manipulation error\n"
                f"{prog}: (line {number}, user {user}) password not changed\n"
            )
        return failures
