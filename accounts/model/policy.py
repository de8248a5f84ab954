# SPDX-License-Identifier: MIT
"""The NSS policy: which layers answer for a database, and whether group rows are merged. Pure.

Source: nsswitch.conf(5) and glibc 2.24+ (nss_action, __getgrnam_r merging).
"""

from __future__ import annotations

DATABASES = ("passwd", "group", "shadow", "gshadow")
LOCAL_SERVICES = (b"files", b"compat")
IMAGE_SERVICE = b"altfiles"


class Policy:
    """What NSS does with the two layers.

    image: database name -> whether the image layer answers at all; merge_groups: whether the rows of a group
    in both layers are merged (else the local row hides the image's).
    """

    __slots__ = ("image", "merge_groups")

    def __init__(self, image: dict[str, bool], merge_groups: bool) -> None:
        self.image = image
        self.merge_groups = merge_groups


def default_policy(merge_groups: bool = True) -> Policy:
    """Both layers everywhere: what nss-data/nsswitch.conf says."""
    return Policy(dict.fromkeys(DATABASES, True), merge_groups)


def parse_nsswitch(text: bytes) -> Policy:
    """The policy of an nsswitch.conf(5). A database it does not name has glibc's default: plain files.

    gshadow falls back to files, shadow and group too; passwd likewise (glibc 2.36, nss_database.c).
    """
    lines: dict[bytes, list[bytes]] = {}
    for raw in text.split(b"\n"):
        line = raw.split(b"#", 1)[0]
        key, colon, rest = line.partition(b":")
        if colon:
            lines[key.strip()] = rest.replace(b"[", b" [").replace(b"]", b"] ").split()
    image = {name: _reaches_image(lines.get(name.encode(), [])) for name in DATABASES}
    return Policy(image, _merges(lines.get(b"group", [])))


def _reaches_image(tokens: list[bytes]) -> bool:
    """Whether a name that the local layer lacks is looked up in the image layer."""
    inside = False
    local = False
    for token in tokens:
        if token.startswith(b"["):
            inside = True
        if inside:
            if local and token.strip(b"[]").lower() == b"notfound=return":
                return False
            inside = not token.endswith(b"]")
        elif token == IMAGE_SERVICE:
            return True
        elif token in LOCAL_SERVICES:
            local = True
    return False


def _merges(tokens: list[bytes]) -> bool:
    """Whether [SUCCESS=merge] follows files directly, before altfiles."""
    after_local = inside = False
    for token in tokens:
        if token.startswith(b"["):
            inside = True
        if inside:
            if after_local and token.strip(b"[]").lower() == b"success=merge":
                return True
            inside = not token.endswith(b"]")
        elif token in LOCAL_SERVICES:
            after_local = True
        else:
            after_local = False
    return False
