# SPDX-License-Identifier: MIT
"""The NSS policy: which layers answer for a database, and whether group rows are merged. Pure.

Source: nsswitch.conf(5) and glibc 2.24+ (nss_action, __getgrnam_r merging).
"""

from __future__ import annotations

DATABASES = ("passwd", "group", "shadow", "gshadow")
LOCAL_SERVICES = (b"files", b"compat")
IMAGE_SERVICE = b"altfiles"
STATUSES = (b"success", b"notfound", b"unavail", b"tryagain")

TYPE_CHECKING = False
if TYPE_CHECKING:
    Service = tuple[bytes, dict[bytes, bytes]]


class Policy:
    """What NSS does with the two layers.

    image: database name -> whether the image layer answers at all; merge_groups: whether the rows of a group
    in both layers are merged (else the local row hides the image's); others: database name -> whether anybody
    else answers (LDAP, systemd, NIS behind compat).
    """

    __slots__ = ("image", "merge_groups", "others")

    def __init__(self, image: dict[str, bool], merge_groups: bool, others: dict[str, bool]) -> None:
        self.image = image
        self.merge_groups = merge_groups
        self.others = others


def default_policy(merge_groups: bool = True) -> Policy:
    """Both layers everywhere, as nss-data/nsswitch.conf has it; who else answers is not known."""
    return Policy(dict.fromkeys(DATABASES, True), merge_groups, dict.fromkeys(DATABASES, True))


def parse_nsswitch(text: bytes) -> Policy:
    """The policy of an nsswitch.conf(5). A database it does not name has glibc's default: plain files.

    gshadow falls back to files, shadow and group too; passwd likewise (glibc 2.36, nss_database.c).
    """
    services: dict[str, list[Service]] = {key: [] for key in DATABASES}
    for raw in [raw for raw in text.split(b"\n") if raw[:1] not in b"#"]:
        key, colon, rest = raw.split(b"#", 1)[0].partition(b":")
        name = key.strip().decode("latin-1")
        if colon and name in services:
            services[name] = _parse_services(rest)
    image = {name: _reaches_image(services[name]) for name in DATABASES}
    own = (b"files", IMAGE_SERVICE)
    others = {name: any(service not in own for service, _ in services[name]) for name in DATABASES}
    return Policy(image, _merges(services["group"]), others)


def _parse_services(text: bytes) -> list[Service]:
    """The services of a line, each with the actions that follow it: status -> action, in lower case."""
    if b"[" not in text:
        return [(token, {}) for token in text.lower().split()]
    services: list[Service] = []
    inside = False
    for token in text.lower().replace(b"[", b" [ ").replace(b"]", b" ] ").split():
        if token in (b"[", b"]"):
            inside = token == b"["
        elif not inside:
            services.append((token, {}))
        elif services:
            status, _, action = token.partition(b"=")
            negated = status.startswith(b"!")
            for known in STATUSES:
                if (known == status.lstrip(b"!")) != negated:
                    services[-1][1][known] = action
    return services


def _reaches_image(services: list[Service]) -> bool:
    """Whether a name that the local layer lacks is looked up in the image layer."""
    for name, actions in services:
        if name == IMAGE_SERVICE:
            return True
        if actions.get(b"notfound") == b"return":
            return False
    return False


def _merges(services: list[Service]) -> bool:
    """Whether what the local layer finds is merged with what the services behind it find."""
    return any(name in LOCAL_SERVICES and actions.get(b"success") == b"merge" for name, actions in services)
