# SPDX-License-Identifier: MIT
"""/etc/accounts/hidden: the image's rows that must not be seen, a "DATABASE:NAME" a line. Pure.

The NSS module reads the same file by the same rules (nss/hidden.c, docs/decisions/hide.md). Loaded only where the
file is there or a row has to be hidden.
"""

from __future__ import annotations

DATABASES = (b"passwd", b"group", b"shadow", b"gshadow", b"subuid", b"subgid")
# As the module: a larger file hides nothing.
LARGEST = 1 << 20


def parse_hidden(data: bytes) -> set[tuple[str, bytes]] | None:
    """The (database, name) of all rows; None for a file that hides nothing because some line of it is none."""
    if len(data) > LARGEST or b"\0" in data or (data and not data.endswith(b"\n")):
        return None
    found = set()
    for line in data.split(b"\n"):
        if not line or line.startswith(b"#"):
            continue
        database, _, name = line.partition(b":")
        if database not in DATABASES or not name or b":" in name:
            return None
        found.add((database.decode(), name))
    return found


def format_hidden(rows: set[tuple[str, bytes]], data: bytes) -> bytes:
    """The file with these rows in the order of databases and names, behind the comments that it has in data."""
    comments = [line for line in data.split(b"\n") if line.startswith(b"#")] if parse_hidden(data) is not None else []
    order = [database.decode() for database in DATABASES]
    lines = [
        b"%s:%s" % (database.encode(), name)
        for database, name in sorted(rows, key=lambda row: (order.index(row[0]), row[1]))
    ]
    return b"".join(line + b"\n" for line in comments + lines)


def lines_named(data: bytes, name: bytes) -> list[int]:
    """The offsets of all lines of an account file that begin with a name and a colon."""
    prefix = name + b":"
    found = [0] if data.startswith(prefix) else []
    hit = data.find(b"\n" + prefix)
    while hit >= 0:
        found.append(hit + 1)
        hit = data.find(b"\n" + prefix, hit + 1)
    return found
