# SPDX-License-Identifier: MIT
"""The NSS policy: which layers answer for a database, and whether group rows are merged. Pure.

The one reader of nsswitch.conf, and it reads as glibc 2.33 and later does (nss_database.c, nss_action_parse.c;
tests/image/test_nsswitch.py has getent beside it): of several lines for a database the last one counts; a colon may
be missing; services are taken as they are written, "#" inside of a line too; a last line without newline is not
read; one action that glibc does not know makes the whole file void. Merging: __getgrnam_r, glibc 2.24 and later.
"""

from __future__ import annotations

DATABASES = ("passwd", "group", "shadow", "gshadow")
# Through libsubid_altfiles.so, where nsswitch.conf says "subid: altfiles" (docs/decisions/subid.md).
SUBIDS = ("subuid", "subgid")
LOCAL_SERVICES = (b"files", b"compat")
IMAGE_SERVICE = b"altfiles"
# The databases of glibc: a line for another name is passed over, whatever it says.
_KNOWN = frozenset(
    b"aliases ethers group group_compat gshadow gshadow_compat hosts initgroups netgroup networks passwd "
    b"passwd_compat protocols publickey rpc services shadow shadow_compat".split()
)
_STATUSES = (b"success", b"notfound", b"unavail", b"tryagain")
_ACTIONS = (b"return", b"continue", b"merge")

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Service, the "[STATUS=ACTION ...]" behind it as it is written or b"", and what that says: status -> action.
    Service = tuple[bytes, bytes, dict[bytes, bytes]]


class Policy:
    """What NSS does with the two layers.

    image: database name -> whether the image layer answers at all (for subuid and subgid libsubid is asked);
    merge_groups: whether the rows of a group in both layers are merged (else the local row hides the image's);
    others: database name -> whether anybody else answers (LDAP, systemd, NIS behind compat).
    """

    __slots__ = ("image", "merge_groups", "others")

    def __init__(self, image: dict[str, bool], merge_groups: bool, others: dict[str, bool]) -> None:
        self.image = image
        self.merge_groups = merge_groups
        self.others = others


def default_policy(merge_groups: bool = True) -> Policy:
    """Both layers everywhere, as nss-data/nsswitch.conf has it; who else answers is not known."""
    both = dict.fromkeys(DATABASES, True)
    return Policy(both | dict.fromkeys(SUBIDS, False), merge_groups, both)


def parse_nsswitch(text: bytes) -> Policy:
    """The policy of an nsswitch.conf(5). A database without a line has glibc's default, plain files."""
    lines = parse_services(text) or {}
    services = {name: lines.get(name.encode(), []) for name in DATABASES}
    image = {name: _reaches_image(services[name], name == "group") for name in DATABASES}
    image |= dict.fromkeys(SUBIDS, subid_service(text) == IMAGE_SERVICE)
    own = (b"files", IMAGE_SERVICE)
    others = {name: any(service[0] not in own for service in services[name]) for name in DATABASES}
    return Policy(image, _merges(services["group"]), others)


def subid_service(text: bytes) -> bytes:
    """The one service that libsubid asks for subordinate ids, as its nss.c finds it; b"" without a line."""
    for line in text.split(b"\n"):
        if line[:6].lower() == b"subid:" and line[6:].strip(b" \t"):
            return line[6:].split()[0]
    return b""


def parse_services(text: bytes) -> dict[bytes, list[Service]] | None:
    """Database -> its services in order, as glibc has them; None when it takes the file for broken.

    A database without a line is not in the result: glibc asks files for it.
    """
    found = {}
    # What stands behind the last newline is not read.
    for raw in text.split(b"\n")[:-1]:
        name, rest = split_line(raw)
        if name in _KNOWN:
            services = split_services(rest)
            if services is None:
                return None
            found[name] = services
    return found


def split_line(raw: bytes) -> tuple[bytes, bytes]:
    """The database of a line and what stands behind its colon; b"" for a line that glibc passes over."""
    # For the C library the line ends at a NUL.
    line = raw.split(b"\0", 1)[0].lstrip()
    words = line.replace(b":", b" ").split(None, 1)
    if not words or not line.startswith(words[0]) or words[0] not in _KNOWN:
        return b"", b""
    return words[0], line[len(words[0]) :].lstrip(b" \t\r\f\v:")


def split_services(text: bytes) -> list[Service] | None:
    """The services of a line up to a "[...]" that has no service before it; None for an action that is not known."""
    names, *parts = text.split(b"[")
    services: list[Service] = [(name, b"", {}) for name in names.split()]
    for part in parts:
        written, end, names = part.partition(b"]")
        actions = _parse_actions(written)
        if not services or services[-1][1]:
            break
        if not end or not actions:
            return None
        services[-1] = (services[-1][0], b"[" + written + b"]", actions)
        services += [(name, b"", {}) for name in names.split()]
    return services


def _parse_actions(text: bytes) -> dict[bytes, bytes]:
    """What stands between brackets: status -> action, in lower case; empty when glibc does not know it."""
    actions = {}
    words = text.lower().replace(b"=", b" = ").split()
    for at in range(0, len(words), 3):
        status, equal, action = (words[at : at + 3] + [b"", b""])[:3]
        negated = status[:1] == b"!"
        status = status[negated:]
        if status not in _STATUSES or equal != b"=" or action not in _ACTIONS:
            return {}
        for known in _STATUSES:
            if (known == status) != negated:
                actions[known] = action
    return actions


def _reaches_image(services: list[Service], mergeable: bool) -> bool:
    """Whether a name that the services before altfiles do not have is found in the image layer.

    mergeable: whether the database has rows that merge. With others merging fails even at the last service.
    """
    for name, _, actions in services:
        if name == IMAGE_SERVICE:
            return mergeable or actions.get(b"success") != b"merge"
        if actions.get(b"notfound") == b"return":
            return False
    return False


def _merges(services: list[Service]) -> bool:
    """Whether what the local layer finds is merged with what the services behind it find."""
    return any(name in LOCAL_SERVICES and actions.get(b"success") == b"merge" for name, _, actions in services)
