# SPDX-License-Identifier: MIT
"""What no delta can express, each with what to do instead (docs/contract.md). Pure; loaded only to refuse."""

from __future__ import annotations

from accounts.errors import Refusal


def _from_image(database: str, name: bytes, deed: str, user_hint: str, group_hint: str) -> Refusal:
    """What only a new image can do to a user (passwd) or group; the hints say what to do instead, {} is the name."""
    shown = name.decode(errors="backslashreplace")
    what, hint = ("user", user_hint) if database == "passwd" else ("group", group_hint)
    return Refusal(
        database,
        f"{what} '{shown}' comes from the read-only image, only a new image can {deed}; {hint.replace('{}', shown)}",
    )


def refuse_removal(database: str, name: bytes) -> Refusal:
    """The refusal for a row that only a new image can remove."""
    if database in ("subuid", "subgid"):
        shown = name.decode(errors="backslashreplace")
        return Refusal(
            database,
            f"the {database} ranges of user '{shown}' come from the read-only image; only a new image can remove them",
        )
    if database in ("shadow", "gshadow"):
        what = "user" if database == "shadow" else "group"
        shown = name.decode(errors="backslashreplace")
        return Refusal(
            database, f"{what} '{shown}' has a {database} row in the read-only image; only a new image can remove that"
        )
    return _from_image(
        database, name, "remove it",
        "to lock it: usermod -L -e 1 {}", "to remove members added here: gpasswd -d USER {}",
    )  # fmt: skip


def refuse_root(name: bytes, hides: bool) -> Refusal:
    """The refusal for the user without whom there is no superuser. hides: whether rows of the image can be hidden."""
    user = f"user '{name.decode(errors='backslashreplace')}'"
    if hides:
        return Refusal("passwd", f"{user} is this machine's superuser, only userdel -f removes it")
    return Refusal("passwd", f"{user} comes from the read-only image, only a new image can remove it")


def refuse_rename(database: str, name: bytes) -> Refusal:
    """The refusal for a name that only a new image can change."""
    return _from_image(
        database, name, "rename it",
        "to have another name: useradd -o -u $(id -u {}) NAME", "to have another name: groupadd -o -g GID NAME",
    )  # fmt: skip


def refuse_id(database: str, name: bytes) -> Refusal:
    """The refusal for an id that only a new image can change."""
    hint = "pin it in the image's id ledger"
    return _from_image(database, name, f"change its {'UID' if database == 'passwd' else 'GID'}", hint, hint)


def refuse_member(group: bytes, member: bytes) -> Refusal:
    """The refusal for a member that the image's own row lists."""
    shown = group.decode(errors="backslashreplace")
    who = member.decode(errors="backslashreplace")
    return Refusal(
        "group",
        f"user '{who}' is a member of group '{shown}' in the read-only image, only a new image can remove it",
    )


def refuse_unreadable(database: str, name: bytes) -> Refusal:
    """The refusal for a row with a number that reads back as none (an inactivity of 2^32 days), which hides nothing."""
    shown = name.decode(errors="backslashreplace")
    return Refusal(
        database,
        f"the new {database} row of '{shown}' would hold a number out of range, so that the row of the read-only image "
        f"would be in force again; give a smaller one",
    )
