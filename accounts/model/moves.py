# SPDX-License-Identifier: MIT
"""Ids that change: which become which, for owners of files and entries of POSIX ACLs. Pure."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Mapping

from accounts.errors import BadArgument
from accounts.model.records import MAX_ID

# linux/posix_acl_xattr.h: a version, then tag, permissions and id of each entry, little-endian.
_ACL_VERSION = struct.Struct("<I")
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_USER, _ACL_GROUP = 0x02, 0x08
# (first old id, first new id, how many)
Range = tuple[int, int, int]


class IdMap:
    """Old ids -> new ids. ranges: single ids are ranges of one."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        """Raises BadArgument for ids that are none, that are root's, that move twice. Two may become one."""
        self.ranges = tuple(sorted(range_ for range_ in ranges if range_[0] != range_[1]))
        self._firsts = [old for old, _, _ in self.ranges]
        end = 0
        for old, new, count in self.ranges:
            if min(old, new, count) < 1 or max(old, new) + count > MAX_ID:
                raise BadArgument(f"ids {old}-{old + count - 1} cannot become {new}-{new + count - 1}")
            if old < end:
                raise BadArgument(f"id {old} would become two others")
            end = old + count

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def get(self, number: int) -> int:
        """The new id; the same one where it stays."""
        at = bisect_right(self._firsts, number) - 1
        if at >= 0:
            old, new, count = self.ranges[at]
            if number < old + count:
                return new + number - old
        return number

    @property
    def tangled(self) -> bool:
        """Whether an id is both given up and taken, so that a file does not tell whether it has been done."""
        return any(
            new < old + count and old < new + many for old, _, count in self.ranges for _, new, many in self.ranges
        )


class Moves:
    """What changes of users and of groups."""

    def __init__(self, users: IdMap, groups: IdMap) -> None:
        self.users = users
        self.groups = groups
        self.tangled = users.tangled or groups.tangled

    def __bool__(self) -> bool:
        return bool(self.users) or bool(self.groups)

    def map_acl(self, acl: bytes) -> bytes:
        """The bytes of an ACL attribute with the ids of its named entries changed; entries stay sorted.

        What is no such attribute stays as it is.
        """
        if (len(acl) - _ACL_VERSION.size) % _ACL_ENTRY.size or len(acl) < _ACL_VERSION.size:
            return acl
        entries = []
        for tag, permissions, id in _ACL_ENTRY.iter_unpack(acl[_ACL_VERSION.size :]):
            if tag == _ACL_USER:
                id = self.users.get(id)
            elif tag == _ACL_GROUP:
                id = self.groups.get(id)
            entries.append((tag, id, permissions))
        body = b"".join(_ACL_ENTRY.pack(tag, permissions, id) for tag, id, permissions in sorted(entries))
        return acl[: _ACL_VERSION.size] + body


def single_moves(mapping: Mapping[str, Mapping[int, int]]) -> Moves:
    """Moves of a mapping by database: {"passwd": {old: new}, "group": {old: new}}. Raises BadArgument."""
    users, groups = (IdMap((old, new, 1) for old, new in mapping.get(name, {}).items()) for name in ("passwd", "group"))
    return Moves(users, groups)
