# SPDX-License-Identifier: MIT
"""What can go wrong with a machine's declaration or delta, besides what accounts.errors has for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.errors import AccountsError

if TYPE_CHECKING:
    from accounts.machine.travel import Contradiction


class BadValue(ValueError):
    """A value that a key cannot have; the text says what it must be."""


class Contradicted(AccountsError):
    """A delta that cannot be taken; nothing has changed."""

    def __init__(self, conflicts: list[Contradiction]) -> None:
        super().__init__(f"{len(conflicts)} conflicts with this machine or its image; nothing was changed")
        self.conflicts = conflicts
