# SPDX-License-Identifier: MIT
"""The console of a booted root, with what its users do there."""

from __future__ import annotations

from tests.support import nspawn


class Console(nspawn.Machine):
    """The machine's console, with what a user does there."""

    def leave(self) -> None:
        """Log out."""
        self.type("exit")

    def be_refused(self, user: str, password: str, why: str) -> None:
        """Try to log in; the answer must be `why`."""
        self.expect("login: ")
        self.type(user)
        self.expect("Password: ")
        self.type(password)
        self.expect(why)

    def answer(self, command: str, *say: tuple[str, str]) -> str:
        """Run a command that asks; what it said after the last answer."""
        self.type(f"{command}; echo status-$?-$((40+2))")
        for question, line in say:
            self.expect(question)
            self.type(line)
        return self.expect("-42\n").strip()
