# SPDX-License-Identifier: MIT
"""What an audit record is called from shadow 4.17 on, by what it is in 4.13. Loaded only where audit is in use.

The requests speak of what they do in the words of 4.13; this is the table of the later ones.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.model.release import Release

    # As in accounts.edit.request.
    Record = tuple[str, str, bytes, int | None, bool, bytes]

SINCE = (4, 17)
# Steps that were not told before.
LATER = frozenset(("refusing group", "keeping group"))
# Successes that are told no more.
DROPPED = frozenset(("", "display aging info"))
# Type of 4.13 -> type, of what WORDS has not.
KINDS = {"USER_ACCT": "GRP_MGMT", "USER_CHAUTHTOK": "USER_MGMT"}
# (operation, success) -> (type, operation, whether the name is told and not the id).
WORDS: dict[tuple[str, bool], tuple[str, str, bool]] = {
    ("adding user", True): ("ADD_USER", "add-user", True),
    ("adding user", False): ("ADD_USER", "add-user", True),
    ("adding group", True): ("ADD_GROUP", "add-group", True),
    ("adding group", False): ("ADD_USER", "add-user", True),
    ("adding home directory", True): ("USER_MGMT", "add-home-dir", False),
    ("adding home directory", False): ("USER_MGMT", "add-user", True),
    ("adding user to group", True): ("USER_MGMT", "add-user-to-group", True),
    ("adding group to /etc/group", True): ("ADD_GROUP", "add-group", False),
    ("adding group to /etc/group", False): ("ADD_GROUP", "adding-group", True),
    ("adding group to /etc/gshadow", True): ("GRP_MGMT", "add-shadow-group", False),
    ("adding group to /etc/gshadow", False): ("GRP_MGMT", "adding-shadow-group", True),
    ("refusing group", False): ("ADD_GROUP", "add-group", True),
    ("keeping group", False): ("GRP_MGMT", "delete-group", True),
    ("removing group from /etc/group", True): ("DEL_GROUP", "delete-group", False),
    ("removing group from /etc/group", False): ("DEL_GROUP", "removing-group", True),
    ("removing group from /etc/gshadow", True): ("GRP_MGMT", "delete-shadow-group", False),
    ("removing group from /etc/gshadow", False): ("GRP_MGMT", "removing-shadow-group", True),
    ("modifying group", True): ("GRP_MGMT", "modify-group", True),
    ("updating passwd", False): ("USER_CHAUTHTOK", "updating-passwd", False),
    ("updating password", False): ("USER_CHAUTHTOK", "updating-password", False),
    ("changing password", True): ("USER_CHAUTHTOK", "updating-password", False),
    ("changing home directory", True): ("USER_MGMT", "changing-home-dir", False),
    ("changing user shell", True): ("USER_MGMT", "changing-shell", False),
    ("changing home directory owner", True): ("USER_MGMT", "updating-home-dir-owner", False),
    ("moving home directory", True): ("USER_MGMT", "moving-home-dir", False),
    ("changing mail file owner", True): ("USER_MGMT", "updating-mail-file-owner", False),
    ("changing mail file name", True): ("USER_MGMT", "updating-mail-file-name", False),
    ("modifying account", False): ("USER_MGMT", "modify-account", True),
    ("changing group member", True): ("USER_MGMT", "update-member-in-group", True),
    ("removing group member", True): ("USER_MGMT", "delete-user-from-group", True),
    ("changing admin name in shadow group", True): ("GRP_MGMT", "update-admin-name-in-shadow-group", True),
    ("changing member in shadow group", True): ("USER_MGMT", "update-member-in-shadow-group", True),
    ("removing user from shadow group", True): ("USER_MGMT", "delete-user-from-shadow-group", True),
    ("deleting user entries", True): ("DEL_USER", "delete-user", False),
    ("deleting user", False): ("DEL_USER", "delete-user", False),
    ("deleting user from group", True): ("USER_MGMT", "deleting-user-from-group", False),
    ("deleting user from shadow group", True): ("USER_MGMT", "deleting-user-from-shadow-group", False),
    ("deleting group", True): ("DEL_GROUP", "delete-group", True),
    ("deleting shadow group", True): ("GRP_MGMT", "delete-shadow-group", True),
    ("deleting mail file", True): ("USER_MGMT", "delete-mail-file", False),
    ("deleting mail file", False): ("DEL_USER", "delete-mail-file", False),
    ("deleting home directory", True): ("USER_MGMT", "deleting-home-directory", False),
}  # fmt: skip
# What useradd and usermod call differently, by the type that the former has.
SHADOW_MEMBER = {"ADD_USER": "add-to-shadow-group", "USER_CHAUTHTOK": "add-user-to-shadow-group"}


def later_record(record: Record, release: Release) -> Record | None:
    """A record as a release has it; None where it tells nothing. One in the later words is as it is."""
    kind, operation, name, uid, success, group = record
    if kind == "CHGRP_ID":
        # newgrp's, in the words of the release.
        return record
    if release < SINCE:
        return None if operation in LATER else (kind, operation, name, uid, success, b"")
    if success and operation in DROPPED:
        return None
    if operation == "adding user to shadow group":
        return "USER_MGMT", SHADOW_MEMBER[kind], name, None, success, group
    if (operation, success) in WORDS:
        kind, operation, by_name = WORDS[operation, success]
        # shadow tells these successes as failures in 4.13, no more.
        success = success or operation.startswith("updating-")
        return kind, operation, name, None if by_name else uid, success, group
    if "-" in operation.partition(" ")[0]:
        return record
    kind = KINDS.get(kind, kind)
    if operation.startswith("changing /etc/"):
        # Of what groupmod changes in gshadow the password is the most important.
        if success and operation.startswith("changing /etc/gshadow") and ", new password" in operation:
            kind = "GRP_CHAUTHTOK"
        return kind, operation, name, uid, success, group
    return kind, operation.replace(" ", "-"), name, uid, success, group
