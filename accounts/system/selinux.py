# SPDX-License-Identifier: MIT
"""SELinux login mappings (option -Z), made by semanage(8) because libsemanage has no API but C's.

Imported only where SELinux is enabled.
"""

from __future__ import annotations

from accounts.system.commands import NOT_FOUND, run_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SEMANAGE = b"/usr/sbin/semanage"


def map_user(
    name: bytes, seuser: bytes, serange: bytes, warn: Callable[[str], None], chroot: int | None = None
) -> bool:
    """Map a login to an SELinux user and a range, b"" for none, adding or changing the mapping; whether it worked."""
    limits = [b"-r", serange] if serange else []
    for action in (b"-a", b"-m"):
        status = _semanage([action, b"-s", seuser, *limits, name], warn, chroot)
        if status in (0, NOT_FOUND):
            break
    return status == 0


def unmap_user(name: bytes, warn: Callable[[str], None], chroot: int | None = None) -> bool:
    """Remove a login's mapping; whether that succeeded."""
    return _semanage([b"-d", name], warn, chroot) == 0


def _semanage(arguments: list[bytes], warn: Callable[[str], None], chroot: int | None) -> int:
    return run_command(SEMANAGE, [b"semanage", b"login", *arguments], warn, None, chroot)
