# SPDX-License-Identifier: MIT
"""What requests about groups have in common. Pure. Hot path."""

from __future__ import annotations

from accounts.errors import E_GRP_UPDATE, Fail
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from accounts.edit.request import Facts
    from accounts.model.database import Database


def group_paths(database: Database, facts: Facts) -> list[str]:
    """The paths, for messages, of the files that a group is in: group, and gshadow where that is in use."""
    return [facts.shown(name) for name in ("group", "gshadow")[: 1 + database.gshadow.present]]


def lists_in_gshadow(facts: Facts) -> bool:
    """Whether the members that -U gives go to gshadow, too; without that grpck complains of the pair."""
    return facts.release >= (4, 17)


def check_members(users: Iterable[bytes], facts: Facts) -> None:
    """Whether all users exist. Raises Fail."""
    for user in users:
        if facts.find_user(user) is None:
            # The real tool says this without its name in front.
            raise Fail(E_GRP_UPDATE, text=f"Invalid member username {fsdecode(user)}\n")
