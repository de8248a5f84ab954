# SPDX-License-Identifier: MIT
"""Specifiers of sysusers.d(5) that mean the same on every machine of an image: os-release(5) keys, two directories."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

from accounts.errors import BadArgument

_OS_RELEASE = {"A": "IMAGE_VERSION", "B": "BUILD_ID", "M": "IMAGE_ID", "o": "ID", "w": "VERSION_ID", "W": "VARIANT_ID"}
_FIXED = {"%": "%", "T": "/tmp", "V": "/var/tmp"}


class Specifiers:
    """Those of one root. read: gives the bytes of a file by its path in the root; raises OSError."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read

    def expand(self, text: str, where: str) -> str:
        """The text with its specifiers replaced, as far as an image build can know them. Raises BadArgument."""

        def one(match: re.Match[str]) -> str:
            letter = match[1]
            if letter in _FIXED:
                return _FIXED[letter]
            if letter in _OS_RELEASE:
                return self._os_release.get(_OS_RELEASE[letter], "")
            raise BadArgument(f"{where}: %{letter} is not the same on every machine of an image")

        return re.sub(r"%(.?)", one, text)

    @cached_property
    def _os_release(self) -> dict[str, str]:
        for path in ("/etc/os-release", "/usr/lib/os-release"):
            try:
                text = self._read(path).decode("utf-8", "surrogateescape")
            except OSError:
                continue
            pairs = (line.partition("=") for line in text.split("\n") if "=" in line)
            return {key: value.strip("\"'") for key, _, value in pairs}
        return {}
