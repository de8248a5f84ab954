# SPDX-License-Identifier: MIT
"""Which texts can be hashes: the examples are of crypt(3), the refusals of shadow 4.19's chkhash.c."""

from __future__ import annotations

import pytest

from accounts.model.hashes import is_valid_hash

SALT = b"LdJMENpBABJJ3hIHjB1Bi."
H43 = b"Vg9ux9tqG2dUF4o0Zy4A0lYtnQ6bW0mVb6cHqQ0x0v1"
H86 = H43 * 2


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (b"", True),
        (b"*", True),
        (b"!", True),
        (b"!*", True),
        (b"!!", False),
        (b"x", False),
        (b"$6$a$b", False),
        (b"$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", False),
        (b"$6$salt$" + H86, True),
        (b"!$6$salt$" + H86, True),
        (b"$6$rounds=5000$salt$" + H86, True),
        (b"$6$rounds=999$salt$" + H86, False),
        (b"$6$rounds=0999$salt$" + H86, False),
        (b"$6$$" + H86, False),
        (b"$6$" + b"s" * 16 + b"$" + H86, True),
        (b"$6$" + b"s" * 17 + b"$" + H86, False),
        (b"$6$sa:t$" + H86, False),
        (b"$6$salt$" + H86 + b"x", False),
        (b"$6$salt$" + H86[:-1] + b"!", False),
        (b"$5$salt$" + H43, True),
        (b"$5$salt$" + H86, False),
        (b"$y$j9T$" + SALT + b"$" + H43, True),
        (b"$y$j9T$$" + H43, False),
        (b"$y$$" + SALT + b"$" + H43, False),
        (b"$2b$12$" + b"." * 53, True),
        (b"$2c$12$" + b"." * 53, False),
        (b"$2b$1x$" + b"." * 53, False),
        # What the real tool refuses.
        (b"$gy$j9T$" + SALT + b"$" + H43, True),
        (b"$7$CU..../....2Q9obwLhin8qvQl6sisAO/$" + H43, True),
        (b"$7$short$" + H43, False),
        (b"$3$$8846f7eaee8fb117ad06bdd830b7586c" + b"0" * 20, False),
    ],
)
def test_hashes(text: bytes, valid: bool) -> None:
    assert is_valid_hash(text) == valid
