# SPDX-License-Identifier: MIT
"""How often a user has failed to prove the own password, as pam_faillock(8) counts: the next try has to wait.

One file for each UID in /run, so that the count outlives a restart of the service and not one of the machine.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable

from accounts.service.errors import TooManyAttempts

DIRECTORY = "/run/accounts/attempts"
FREE = 5  # failures before the first wait
LONGEST = 300  # seconds
# Seconds without a failure after which all are forgotten: pam_faillock's fail_interval.
FORGOTTEN = 900


class Attempts:
    """The failures of one UID. directory: where they are noted, with seconds since boot."""

    def __init__(self, uid: int, directory: str = DIRECTORY) -> None:
        self._uid = uid
        self._directory = directory

    def begin(self) -> None:
        """Count an attempt as a failure until succeed() or cancel() is called, so that parallel ones count too.

        Raises TooManyAttempts, and OSError where it cannot be noted: without a count nothing is tried.
        """
        fd = self._open(os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            count, last = _parse(os.pread(fd, 64, 0))
            now = _now()
            if not 0 <= now - last <= FORGOTTEN:
                count = 0
            left = last + wait_after(count) - now
            if count and left > 0:
                raise TooManyAttempts(left)
            text = b"%d %d\n" % (count + 1, now)
            os.pwrite(fd, text, 0)
            os.ftruncate(fd, len(text))
        finally:
            os.close(fd)

    def succeed(self) -> None:
        """The own password was proved: the count starts anew."""
        self._change(lambda count: 0)

    def cancel(self) -> None:
        """Nothing was tried: the attempt that began does not count."""
        self._change(lambda count: count - 1)

    def _change(self, change: Callable[[int], int]) -> None:
        try:
            fd = self._open(0)
        except OSError:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            count, last = _parse(os.pread(fd, 64, 0))
            text = b"%d %d\n" % (max(change(count), 0), last)
            os.pwrite(fd, text, 0)
            os.ftruncate(fd, len(text))
        finally:
            os.close(fd)

    def _open(self, flags: int) -> int:
        os.makedirs(self._directory, 0o700, exist_ok=True)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(directory)
            if status.st_uid != 0 or status.st_mode & 0o022:
                raise PermissionError(0, "not root's alone", self._directory)
            flags |= os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(str(self._uid), flags, 0o600, dir_fd=directory)
        finally:
            os.close(directory)


def wait_after(failures: int) -> int:
    """Seconds from a failure to the next attempt: none at first, then 2, 4, 8 ..."""
    if failures < FREE:
        return 0
    return min(1 << min(failures - FREE + 1, 16), LONGEST)


def _parse(text: bytes) -> tuple[int, int]:
    words = text.split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return 0, 0
    return min(int(words[0]), 1 << 30), int(words[1])


def _now() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))
