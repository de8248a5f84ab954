# SPDX-License-Identifier: MIT
"""docs/apply.md names all that can be declared; its commands are run by tests/docs."""

from __future__ import annotations

from accounts.machine.applysources import TAILS
from accounts.machine.declaration import GROUP_KEYS, USER_KEYS
from tests.machine.life import TOP

TEXT = (TOP / "docs/apply.md").read_text()


def test_every_key_is_in_the_document() -> None:
    for key in (*USER_KEYS, *GROUP_KEYS, *TAILS):
        assert f"`{key}`" in TEXT, key
