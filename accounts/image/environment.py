# SPDX-License-Identifier: MIT
"""What a build stands in: whether ROOT is the machine that runs, and the time of its sources."""

from __future__ import annotations

import os
import time
from pathlib import Path

from accounts.errors import BadArgument

# systemd makes it when it has taken over a machine: sd_booted(3). A build in a container or chroot has none.
BOOTED = "/run/systemd/system"


def is_running(root: Path) -> bool:
    """Whether a root directory is that of the machine that runs, not of an image or of a build's container."""
    try:
        return os.path.samefile(root, "/") and os.path.isdir(BOOTED)
    except OSError:
        return False  # whoever opens it says why


def refuse_running(root: Path) -> None:
    """Raise BadArgument for the running machine: its /etc holds people's accounts, and its /usr is in use."""
    if is_running(root):
        raise BadArgument(f"{root} is the system that runs, not an image; say --live if that is what you mean")


def source_date_epoch() -> int | None:
    """SOURCE_DATE_EPOCH of the environment, in seconds; None without it. Raises BadArgument.

    The specification has builds fail on a value that is not a number or lies in the future.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdecimal()):
        raise BadArgument(f"SOURCE_DATE_EPOCH is not a number of seconds: {text}")
    # More digits than any time has, and than int() takes.
    if len(text) > 20 or int(text) > time.time():
        raise BadArgument(f"SOURCE_DATE_EPOCH is in the future: {text}")
    return int(text)
