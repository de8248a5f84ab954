# SPDX-License-Identifier: MIT
"""What can go wrong between the service and a client, besides what accounts.errors has for all."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class VarlinkError(Exception):
    """An error as a reply carries it. name: with its interface; parameters: what a reply has besides."""

    def __init__(self, name: str, **parameters: Any) -> None:
        super().__init__(name)
        self.name = name
        self.parameters = parameters


def failure(interface: str, kind: str, message: str | None = None) -> VarlinkError:
    """An error of one of account-utils' interfaces, as they word them."""
    told = {} if message is None else {"ErrorMsg": message}
    return VarlinkError(f"{interface}.{kind}", Success=False, **told)


class Malformed(Exception):
    """What came is no message: too long, no JSON, no object. The connection is of no use any more."""


class ClientGone(Exception):
    """The client has left in the middle of a dialogue, or kept us waiting for too long."""


class TooManyAttempts(Exception):
    """The next attempt is not looked at for so many seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many attempts; try again in {seconds} seconds.")
        self.seconds = seconds
