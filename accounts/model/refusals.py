# SPDX-License-Identifier: MIT
"""What no delta can express, each with what to do instead (docs/contract.md). Pure; loaded only to refuse."""

from __future__ import annotations

from accounts.errors import GroupRefusal, UserRefusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.errors import Refusal


def refuse_removal(database: str, name: bytes) -> Refusal:
    """The refusal for a row that only a new image can remove."""
    shown = name.decode(errors="backslashreplace")
    if database == "shadow":
        return UserRefusal(
            f"user '{shown}' has a shadow row in the read-only image; only a new image can remove that"
        )
    if database == "gshadow":
        return GroupRefusal(
            f"group '{shown}' has a gshadow row in the read-only image; only a new image can remove that"
        )
    if database == "passwd":
        return UserRefusal(
            f"user '{shown}' comes from the read-only image, only a new image can remove it; "
            f"to lock it: usermod -L -e 1 {shown}"
        )
    return GroupRefusal(
        f"group '{shown}' comes from the read-only image, only a new image can remove it; "
        f"to remove members added here: gpasswd -d USER {shown}"
    )


def refuse_rename(database: str, name: bytes) -> Refusal:
    """The refusal for a name that only a new image can change."""
    shown = name.decode(errors="backslashreplace")
    if database == "passwd":
        return UserRefusal(
            f"user '{shown}' comes from the read-only image, only a new image can rename it; "
            f"to have another name: useradd -o -u $(id -u {shown}) NAME"
        )
    return GroupRefusal(
        f"group '{shown}' comes from the read-only image, only a new image can rename it; "
        f"to have another name: groupadd -o -g GID NAME"
    )


def refuse_id(database: str, name: bytes) -> Refusal:
    """The refusal for an id that only a new image can change."""
    shown = name.decode(errors="backslashreplace")
    if database == "passwd":
        return UserRefusal(
            f"user '{shown}' comes from the read-only image, only a new image can change its UID; "
            f"pin it in the image's id ledger"
        )
    return GroupRefusal(
        f"group '{shown}' comes from the read-only image, only a new image can change its GID; "
        f"pin it in the image's id ledger"
    )


def refuse_member(group: bytes, member: bytes) -> Refusal:
    """The refusal for a member that the image's own row lists."""
    shown = group.decode(errors="backslashreplace")
    who = member.decode(errors="backslashreplace")
    return GroupRefusal(
        f"user '{who}' is a member of group '{shown}' in the read-only image, only a new image can remove it; "
        f"or let local rows hide the image's: 'group: files altfiles' in /etc/nsswitch.conf"
    )


def refuse_unreadable(database: str, name: bytes) -> Refusal:
    """The refusal for a row with a number that reads back as none (an inactivity of 2^32 days), which hides nothing."""
    shown = name.decode(errors="backslashreplace")
    kind = UserRefusal if database in ("passwd", "shadow") else GroupRefusal
    return kind(
        f"the new {database} row of '{shown}' would hold a number out of range, so that the row of the read-only image "
        f"would be in force again; give a smaller one"
    )
