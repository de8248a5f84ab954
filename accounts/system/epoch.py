# SPDX-License-Identifier: MIT
"""SOURCE_DATE_EPOCH where it is no plain number of seconds: shadow's gettime(), release by release."""

from __future__ import annotations

import errno
import os

from accounts.model.records import MAX_ULONG, scan_integer
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.model.release import Release


def read_epoch(setting: bytes, current: int, release: Release) -> tuple[int, str]:
    """(seconds since the epoch, what shadow says on standard error, newline and all, or "").

    current: what counts where the setting does not.
    """
    value, rest = scan_integer(setting)
    if release >= (4, 16):
        return _read_by_a2i(setting, value, rest, current, release)
    too_large = f"value must be smaller than or equal to the current time ({current}) but was found to be: "
    if value is None:
        why = f"No digits were found: {fsdecode(setting)}"
    elif not (0 if release >= (4, 15) else -MAX_ULONG) <= value <= MAX_ULONG:
        why = f"strtoull: {os.strerror(errno.ERANGE)}"
    elif rest:
        why = f"Trailing garbage: {fsdecode(rest)}"
    elif value & MAX_ULONG <= current:
        return value & MAX_ULONG, ""
    else:
        why = f"{too_large}{value & MAX_ULONG}"
    return current, f"Environment variable $SOURCE_DATE_EPOCH: {why}\n"


def _read_by_a2i(setting: bytes, value: int | None, rest: bytes, current: int, release: Release) -> tuple[int, str]:
    """The same by strtoi(3bsd), which names one of three errors; up to 4.19 without a newline."""
    if value is None:
        number = errno.ECANCELED
    elif not 0 <= value <= current:
        number = errno.ERANGE
    elif rest:
        number = errno.ENOTSUP
    else:
        return value, ""
    end = "\n" * (release >= (4, 20))
    return current, f'Environment variable $SOURCE_DATE_EPOCH: a2i("{fsdecode(setting)}"): {os.strerror(number)}{end}'
