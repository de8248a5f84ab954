# SPDX-License-Identifier: MIT
"""nsswitch.conf made to reach both layers. Pure; how glibc reads the file is in accounts/model/policy.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from accounts.model.policy import DATABASES as NAMES
from accounts.model.policy import IMAGE_SERVICE, LOCAL_SERVICES, split_line, split_services, subid_service

if TYPE_CHECKING:
    from accounts.model.policy import Service

DATABASES = tuple(name.encode() for name in NAMES)
# In authselect's templates: altfiles where it is asked for, and the local service with its action.
_ALTFILES_IF = re.compile(rb'\{if "with-altfiles":[^}]*\}')
_FILES = re.compile(rb"(?<![\w-])files(?![\w-])( \[SUCCESS=merge\])?")


def merge_nsswitch(text: bytes, *, subids: bool = False) -> bytes:
    """Return an nsswitch.conf(5) that reaches both layers and says the same as `text` about everything else.

    passwd, shadow and gshadow look in altfiles behind files, group merges the two; further services and
    their actions stay behind altfiles. An initgroups line goes, and so do lines that a later one overrules; one
    that makes glibc pass over the whole file becomes a comment. A line that is right stays byte for byte.
    subids: libsubid, which asks one service, is led to altfiles, which answers for /etc as well; but a service that
    somebody has chosen (sss) stays.
    """
    lines = text.split(b"\n")
    last = {split_line(raw)[0]: at for at, raw in enumerate(lines)}
    merged: list[bytes] = []
    seen: dict[bytes, int] = {}
    for at, raw in enumerate(lines):
        name, rest = split_line(raw)
        if not name:
            merged.append(raw)
        elif name not in DATABASES and name != b"initgroups":
            merged.append(raw if split_services(rest) is not None else b"# " + raw)
        elif name in DATABASES and last[name] == at:
            seen[name] = len(merged)
            old = split_services(rest) or []
            new = _reach(old, name == b"group")
            merged.append(raw if new == old else _start(raw, name, rest) + _join(new))
    missing = [name for name in DATABASES if name not in seen]
    if missing:
        at = max(seen.values(), default=len(merged) - 1 - (not merged[-1])) + 1
        merged[at:at] = [(name + b":").ljust(16) + _join(_reach([], name == b"group")) for name in missing]
    if subids:
        merged = _lead_subids(merged)
    result = b"\n".join(merged)
    return result if result.endswith(b"\n") else result + b"\n"


def lead_template(text: bytes, *, subids: bool = False) -> bytes:
    """A template of authselect(8) for nsswitch.conf, with altfiles in the lines of our databases under every condition.

    Its feature with-altfiles asks for passwd and group alone, and ends the look-up of a group there. The name stays
    known: whoever has it selected may go on selecting it.
    """
    lines = []
    if b'"with-altfiles"' in text:
        lines.append(b'# altfiles is there without with-altfiles, too. {include if "with-altfiles"}')
    for raw in text.split(b"\n"):
        name = raw.partition(b":")[0]
        if name in DATABASES:
            action = b" [SUCCESS=merge]" if name == b"group" else b""
            raw = _FILES.sub(rb"files%s altfiles\1" % action, _ALTFILES_IF.sub(b"", raw), count=1)
        lines.append(raw)
    if subids:
        unless = b' {exclude if "with-subid"}' if b'"with-subid"' in text else b""
        lines[-1:] = [b"subid:      " + IMAGE_SERVICE + unless, *lines[-1:]]
    return b"\n".join(lines)


def _lead_subids(lines: list[bytes]) -> list[bytes]:
    """The lines with altfiles where libsubid asks files, by a line or for want of one."""
    service = subid_service(b"\n".join(lines))
    if service == b"":
        at = len(lines) - (not lines[-1])
        return [*lines[:at], b"subid:".ljust(16) + IMAGE_SERVICE, *lines[at:]]
    if service == b"files":
        return [b"subid:".ljust(16) + IMAGE_SERVICE if subid_service(line) == b"files" else line for line in lines]
    return lines


def _start(raw: bytes, name: bytes, rest: bytes) -> bytes:
    """What stands before the services; with the colon that other readers than glibc insist on."""
    line = raw.split(b"\0", 1)[0]
    start = line[: len(line) - len(rest)]
    return start if b":" in start else start.replace(name, name + b":", 1)


def _join(services: list[Service]) -> bytes:
    return b" ".join(word for name, written, _ in services for word in (name, written) if word)


def _reach(services: list[Service], merge: bool) -> list[Service]:
    """The services with altfiles right behind the local one, and both with the actions that they need."""
    if _is_right(services, merge):
        return services
    image = [service for service in services if service[0] == IMAGE_SERVICE]
    services = [service for service in services if service[0] != IMAGE_SERVICE]
    at = next((i for i, service in enumerate(services) if service[0] in LOCAL_SERVICES), None)
    if at is None:
        services.insert(0, (b"files", b"", {}))
        at = 0
    # What ended or merged the search behind files now does so behind the image.
    _, written, actions = image[0] if image else services[at]
    if at == len(services) - 1 or (not merge and b"merge" in actions.values()):
        written, actions = b"", {}  # an action of the last service has no effect
    local = services[at][0]
    return [
        *services[:at],
        (local, b"[SUCCESS=merge]", {b"success": b"merge"}) if merge else (local, b"", {}),
        (IMAGE_SERVICE, written, actions),
        *services[at + 1 :],
    ]


def _is_right(services: list[Service], merge: bool) -> bool:
    """Whether nothing has to change: the local service first of the two, altfiles right behind it, as it must be."""
    names = [service[0] for service in services]
    if names.count(IMAGE_SERVICE) != 1 or names.index(IMAGE_SERVICE) == 0:
        return False
    at = names.index(IMAGE_SERVICE)
    local, _, actions = services[at - 1]
    if local not in LOCAL_SERVICES or (not merge and b"merge" in services[at][2].values()):
        return False
    return actions == ({b"success": b"merge"} if merge else {})
