# SPDX-License-Identifier: MIT
"""nsswitch.conf as glibc reads it, and made to reach both layers. Pure.

Source: glibc 2.33 and later (nss_database.c, nss_action_parse.c), tried with getent: of several lines for a
database the last one counts; a colon may be missing; names are taken as they are written, "#" inside of a line
too; a last line without newline is not read; and one action that glibc does not know makes the whole file void.
"""

from __future__ import annotations

import re

from accounts.model.policy import DATABASES as NAMES
from accounts.model.policy import IMAGE_SERVICE, LOCAL_SERVICES

DATABASES = tuple(name.encode() for name in NAMES)
# The databases of glibc: a line for another name is passed over, whatever it says.
_KNOWN = frozenset(
    b"aliases ethers group group_compat gshadow gshadow_compat hosts initgroups netgroup networks passwd "
    b"passwd_compat protocols publickey rpc services shadow shadow_compat".split()
)
_LINE = re.compile(rb"([ \t\r\f\v]*)([^\s:]+)([\s:]+)(.*)", re.DOTALL)
_TOKEN = re.compile(rb"\[[^]]*\]?|[^\s\[]+")
_ACTION = re.compile(
    rb"\s*!?(?:success|notfound|unavail|tryagain)\s*=\s*(?:return|continue|merge)(?=[\s\]])", re.IGNORECASE
)
_PAIR = re.compile(rb"(!?)([a-z]+)\s*=\s*([a-z]+)")
# Service, and the actions behind it as they are written.
Service = tuple[bytes, list[bytes]]


def parse_services(text: bytes) -> dict[bytes, list[Service]] | None:
    """Database -> its services in order, as glibc has them; None when it takes the file for broken.

    A database without a line is not in the result: glibc asks files for it.
    """
    found: dict[bytes, list[Service]] = {}
    # What stands behind the last newline is not read.
    for raw in text.split(b"\n")[:-1]:
        match = _LINE.fullmatch(raw)
        if match is None or match[2] not in _KNOWN:
            continue
        services = _split(match[4])
        if services is None:
            return None
        found[match[2]] = services
    return found


def reaches_image(services: list[Service]) -> bool:
    """Whether a name that the services before altfiles do not have is looked up in the image layer."""
    for name, actions in services:
        if name == IMAGE_SERVICE:
            return True
        ends = False
        for negated, status, action in _PAIR.findall(b"".join(actions).lower()):
            if (status == b"notfound") != bool(negated):
                ends = action == b"return"
        if ends:
            return False
    return False


def merge_nsswitch(text: bytes) -> bytes:
    """Return an nsswitch.conf(5) that reaches both layers and says the same as `text` about everything else.

    passwd, shadow and gshadow look in altfiles behind files, group merges the two; further services and
    their actions stay behind altfiles. An initgroups line goes, and so do lines that a later one overrules; one
    that makes glibc pass over the whole file becomes a comment. A line that is right stays byte for byte.
    """
    lines = text.split(b"\n")
    last = {match[2]: at for at, raw in enumerate(lines) if (match := _LINE.fullmatch(raw)) is not None}
    merged: list[bytes] = []
    seen: dict[bytes, int] = {}
    for at, raw in enumerate(lines):
        match = _LINE.fullmatch(raw)
        name = b"" if match is None else match[2]
        if match is None or name not in _KNOWN:
            merged.append(raw)
        elif name not in DATABASES and name != b"initgroups":
            merged.append(raw if _split(match[4]) is not None else b"# " + raw)
        elif name in DATABASES and last[name] == at:
            seen[name] = len(merged)
            old = _split(match[4]) or []
            new = _reach(old, name == b"group")
            merged.append(raw if new == old else match[1] + name + _colon(match[3]) + _join(new))
    missing = [name for name in DATABASES if name not in seen]
    if missing:
        at = max(seen.values(), default=len(merged) - 1 - (not merged[-1])) + 1
        merged[at:at] = [(name + b":").ljust(16) + _join(_reach([], name == b"group")) for name in missing]
    result = b"\n".join(merged)
    return result if result.endswith(b"\n") else result + b"\n"


def _split(text: bytes) -> list[Service] | None:
    """The services of a line; None for actions without service, a second "[...]" behind one, or unknown ones."""
    services: list[Service] = []
    for token in _TOKEN.findall(text):
        if not token.startswith(b"["):
            services.append((token, []))
        elif services and not services[-1][1] and _is_action(token):
            services[-1][1].append(token)
        else:
            return None
    return services


def _is_action(token: bytes) -> bool:
    at = 1
    while (match := _ACTION.match(token, at)) is not None:
        at = match.end()
        if token[at:].lstrip() == b"]":
            return True
    return False


def _colon(between: bytes) -> bytes:
    """What stands between name and services; with the colon that other readers than glibc insist on."""
    return between if b":" in between else b":" + between


def _join(services: list[Service]) -> bytes:
    return b" ".join(token for name, actions in services for token in (name, *actions))


def _reach(services: list[Service], merge: bool) -> list[Service]:
    """The services with altfiles right behind the local one, and both with the actions that they need."""
    if is_right(services, merge):
        return services
    image = [actions for name, actions in services if name == IMAGE_SERVICE]
    services = [(name, actions) for name, actions in services if name != IMAGE_SERVICE]
    at = next((i for i, (name, _) in enumerate(services) if name in LOCAL_SERVICES), None)
    if at is None:
        services.insert(0, (b"files", []))
        at = 0
    local, actions = services[at]
    # What ended or merged the search behind files now does so behind the image.
    behind = image[0] if image else actions
    if not merge:
        behind = [action for action in behind if b"merge" not in action.lower()]
    if at == len(services) - 1:
        behind = []  # an action of the last service has no effect
    return [
        *services[:at], (local, [b"[SUCCESS=merge]"] if merge else []), (IMAGE_SERVICE, behind), *services[at + 1 :]
    ]  # fmt: skip


def is_right(services: list[Service], merge: bool) -> bool:
    """Whether nothing has to change: the local service first of the two, altfiles right behind it, as it must be."""
    names = [name for name, _ in services]
    if names.count(IMAGE_SERVICE) != 1 or names.index(IMAGE_SERVICE) == 0:
        return False
    at = names.index(IMAGE_SERVICE)
    local, actions = services[at - 1]
    if local not in LOCAL_SERVICES or (not merge and any(b"merge" in action.lower() for action in services[at][1])):
        return False
    return [action.lower() for action in actions] == ([b"[success=merge]"] if merge else [])
