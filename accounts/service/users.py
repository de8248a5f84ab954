# SPDX-License-Identifier: MIT
"""Which UIDs have an account of their own: those that get connections of their own.

With subordinate ids one user has 65,536 UIDs; what has no row in passwd counts as one user together.
"""

from __future__ import annotations

import time

from accounts.errors import AccountsError
from accounts.system.known import Facts
from accounts.system.target import Target, find_release

# Before the files are read again for a UID that was not in them: seconds, and times what it took.
AGAIN, SHARE = 1.0, 50


class KnownUsers:
    """The UIDs of both layers' passwd, as they were when one was last looked for in vain."""

    def __init__(self) -> None:
        self._uids: set[int] = {0}
        self._next = -1e9

    def has(self, uid: int) -> bool:
        """Whether some row of passwd has the UID, or had it when it was last asked for."""
        now = time.monotonic()
        if uid not in self._uids and now >= self._next:
            self._uids = {0} | _read_uids()
            self._next = now + max(AGAIN, SHARE * (time.monotonic() - now))
        return uid in self._uids


def _read_uids() -> set[int]:
    target = Target()
    try:
        facts = Facts(target, find_release(target), lambda _: None, lambda _: None)
        return set(facts.view(("passwd",)).tables["passwd"].ids())
    except (AccountsError, OSError):
        return set()
    finally:
        target.close()
