# SPDX-License-Identifier: MIT
"""`accounts revert NAME`: accounts of the image as the image has them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accounts.errors import BadArgument
from accounts.machine.delta import local_rows, merges
from accounts.machine.words import shown
from accounts.model.database import Database, Layered

# What goes with a user, and with a group.
_ROWS = {"passwd": "passwd", "shadow": "passwd", "group": "group", "gshadow": "group"}


def revert(database: Database, names: Sequence[bytes]) -> list[str]:
    """Take away all that this machine says of some accounts of the image; a sentence for each row that changed.

    A user's memberships and subordinate ids here go too, those of the image come back. Raises BadArgument for a
    name that the image does not have; then nothing has been edited.
    """
    users = frozenset(name for name in names if database.passwd.image_row(name) is not None)
    for name in names:
        if name not in users and database.group.image_row(name) is None:
            local = any(database.tables[one].local.find(name) is not None for one in ("passwd", "group"))
            where, hint = "is nobody's account", "see accounts status"
            if local:
                where, hint = "is of this machine alone", "userdel or groupdel removes it"
            raise BadArgument(f"'{shown(name)}' {where}; {hint}")
    done: list[str] = []
    wanted = frozenset(names)
    for database_name, parent in _ROWS.items():
        layered = database.tables[database_name]
        done += [f"the image's {database_name} row of '{shown(name)}' is seen again" for name in _show(layered, names)]
        for row in local_rows(layered):
            if row.name in wanted and database.tables[parent].image_row(row.name) is not None:
                layered.local.remove_at(row.position)
                database.base.forget(database_name, row.name)
                done.append(f"/etc/{database_name}: the row of '{shown(row.name)}' is gone")
            elif parent == "group":
                _take_out(database, layered, row.position, row.local, row.image, users, done)
    for database_name in ("subuid", "subgid"):
        layered = database.tables[database_name]
        for row in local_rows(layered):
            if row.name in users:
                layered.local.remove_at(row.position)
                done.append(f"/etc/{database_name}: a range of '{shown(row.name)}' is gone")
    return done


def _take_out(
    database: Database,
    layered: Layered,
    position: int,
    local: Any,
    image: Any,
    users: frozenset[bytes],
    done: list[str],
) -> None:
    """Make a row of another group say of these users what the image says of them."""
    changes: dict[str, tuple[bytes, ...]] = {}
    joined = merges(layered, local, image)
    for field in ("members", "admins"):
        ours = getattr(local, field, ())
        theirs = () if image is None or joined else getattr(image, field, ())
        wanted = tuple(user for user in ours if user not in users or user in theirs)
        wanted += tuple(user for user in theirs if user in users and user not in ours)
        if set(wanted) != set(ours):
            changes[field] = wanted
    if not changes:
        return
    changed = local.replace(**changes)
    done.append(f"/etc/{layered.name}: '{shown(local.name)}' has the image's members of these users")
    if image is not None and (changed == image or (joined and not changed.members and changed.passwd == image.passwd)):
        layered.local.remove_at(position)
        database.base.forget(layered.name, local.name)
    else:
        layered.local.replace_at(position, changed)


def _show(layered: Layered, names: Sequence[bytes]) -> list[bytes]:
    hidden = [name for name in names if layered.is_hidden(name)]
    for name in hidden:
        layered.show_image(name)
    return hidden


def mask(database: Database, names: Sequence[bytes]) -> list[str]:
    """Let users of the image, or where there is no such user groups, not be seen; a sentence for each row.

    Their local rows go too. Raises BadArgument for a name that the image does not have, Refusal where NSS does not
    honour hide rows, and for root.
    """
    done = []
    for name in names:
        parent = next((one for one in ("passwd", "group") if database.tables[one].image_row(name) is not None), None)
        if parent is None:
            raise BadArgument(f"the image has no '{shown(name)}'; see accounts status")
        for one in (database_name for database_name, owner in _ROWS.items() if owner == parent):
            layered = database.tables[one]
            if layered.get(name) is not None and layered.remove(name):
                done.append(f"the {one} row of '{shown(name)}' is not seen any more")
    return done


def unmask(database: Database, names: Sequence[bytes]) -> list[str]:
    """Undo mask(), and what userdel and groupdel did to accounts of the image; a sentence for each row.

    Local rows stay. Raises BadArgument for a name of which nothing is hidden.
    """
    done = []
    for name in names:
        shown_again = [one for one, layered in database.tables.items() if _show(layered, [name])]
        if not shown_again:
            raise BadArgument(f"nothing of '{shown(name)}' is hidden; see accounts status")
        for one in shown_again:
            if database.tables[one].image_row(name) is None:
                done.append(f"{one} '{shown(name)}', which the image does not have, is not hidden any more")
            else:
                done.append(f"the image's {one} row of '{shown(name)}' is seen again")
    return done
