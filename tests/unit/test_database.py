# SPDX-License-Identifier: MIT
"""The layered database: views, delta forms, minimality, refusals, base records."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.errors import E_GRP_UPDATE, E_PW_UPDATE, DuplicateRow, Refusal
from accounts.model.database import KINDS, Base, Database, Hides
from accounts.model.policy import default_policy, parse_nsswitch
from accounts.model.records import Group
from accounts.model.table import Table
from tests.support.database import changes, make_database

IMAGE = {
    "passwd": b"root:x:0:0::/root:/bin/sh\nwww:x:33:33::/var/www:/sbin/nologin\n",
    "group": b"root:x:0:\nvideo:x:44:\nadm:x:4:syslog\n",
    "shadow": b"root:*:::::::\nwww:*:::::::\n",
    "gshadow": b"root:*::\nvideo:*::\nadm:*::syslog\n",
}


def database(local: dict[str, bytes] | None = None, merge: bool = True, base: bytes = b"", **image: bytes) -> Database:
    return make_database(local or {}, IMAGE | image, merge=merge, base=base)


def edit(db: Database, name: str, row: bytes, **fields: Any) -> None:
    layered = db.tables[name]
    layered.put(layered.get(row).replace(**fields))


@pytest.mark.parametrize(
    ("what", "local", "table", "row", "fields", "expected"),
    [
        ("member of an image group", {}, "group", b"video", {"members": (b"alice",)},
         {"group": b"video:x:44:alice\n"}),
        ("only the members the image lacks", {}, "group", b"adm", {"members": (b"syslog", b"bob", b"bob")},
         {"group": b"adm:x:4:bob\n"}),
        ("last member gone, row gone, file gone", {"group": b"video:x:44:alice\n"}, "group", b"video",
         {"members": ()}, {"group": None}),
        ("other rows stay", {"group": b"# mine\nvideo:x:44:alice\nown:x:1000:\n"}, "group", b"video",
         {"members": ()}, {"group": b"# mine\nown:x:1000:\n"}),
        ("group password: the members stay a delta", {}, "group", b"adm",
         {"passwd": b"!", "members": (b"syslog", b"bob")},
         {"group": b"adm:!:4:bob\n", "accounts/base": b"group:adm:x:4:syslog\n"}),
        ("shell of an image user", {}, "passwd", b"www", {"shell": b"/bin/sh"},
         {"passwd": b"www:x:33:33::/var/www:/bin/sh\n",
          "accounts/base": b"passwd:www:x:33:33::/var/www:/sbin/nologin\n"}),
        ("primary group of an image user", {}, "passwd", b"www", {"gid": 44},
         {"passwd": b"www:x:33:44::/var/www:/sbin/nologin\n",
          "accounts/base": b"passwd:www:x:33:33::/var/www:/sbin/nologin\n"}),
        ("lock of an image user: no passwd row", {}, "shadow", b"www", {"passwd": b"!*"},
         {"shadow": b"www:!*:::::::\n", "accounts/base": b"shadow:www:*:::::::\n"}),
        ("gshadow is never merged", {}, "gshadow", b"adm", {"members": (b"syslog", b"bob")},
         {"gshadow": b"adm:*::syslog,bob\n", "accounts/base": b"gshadow:adm:*::syslog\n"}),
        ("no change, no file", {}, "group", b"adm", {}, {}),
        ("a needless row goes when it is edited", {"shadow": b"www:*:::::::\n"}, "shadow", b"www", {},
         {"shadow": None}),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)  # fmt: skip
def test_delta_forms(
    what: str, local: dict[str, bytes], table: str, row: bytes, fields: dict[str, Any], expected: dict[str, bytes]
) -> None:
    db = database(local)
    edit(db, table, row, **fields)
    assert changes(db) == expected


def test_back_to_the_image_removes_row_and_base_record() -> None:
    local = {"shadow": b"www:!*:::::::\n"}
    db = database(local, base=b"shadow:www:*:::::::\npasswd:www:x:33:33::/:/old\n")
    edit(db, "shadow", b"www", passwd=b"*")
    assert changes(db) == {"shadow": None, "accounts/base": b"passwd:www:x:33:33::/:/old\n"}


def test_an_empty_file_is_not_none() -> None:
    """What is to be replaced must be there as it was read."""
    db = Database({}, {"shadow": Table(KINDS["shadow"], IMAGE["shadow"])}, default_policy(), Base(b""), Hides(b""))
    db.hides.present = True
    db.hides.rows.add(("group", b"adm"))
    edit(db, "shadow", b"www", passwd=b"!*")
    assert [(name, old) for name, old, _ in db.render_changes()] == [
        ("shadow", None), ("accounts/hidden", b""), ("accounts/base", b""),
    ]  # fmt: skip


def test_a_second_edit_keeps_the_first_base() -> None:
    db = database({"shadow": b"www:!*:::::::\n"}, base=b"shadow:www:*:1::::::\n")
    edit(db, "shadow", b"www", max=90)
    assert changes(db) == {"shadow": b"www:!*:::90::::\n"}


def test_without_merge_a_group_is_copied_whole() -> None:
    db = database(merge=False)
    edit(db, "group", b"adm", members=(b"syslog", b"bob"))
    assert changes(db)["group"] == b"adm:x:4:syslog,bob\n"
    assert db.group.get(b"adm").members == (b"syslog", b"bob")


def test_without_merge_a_member_of_the_image_cannot_go_either() -> None:
    """getgrnam(3) would show it gone, but initgroups(3) asks the image, too (tests/clients/test_initgroups.py)."""
    db = database(merge=False)
    with pytest.raises(Refusal, match="user 'syslog' is a member of group 'adm' in the read-only image"):
        edit(db, "group", b"adm", members=(b"bob",))
    assert changes(db) == {}


def test_merged_view_needs_name_and_gid() -> None:
    db = database({"group": b"video:x:44:alice\nadm:x:999:bob\n"})
    assert db.group.get(b"video") == Group(b"video", b"x", 44, (b"alice",))
    assert db.group.get(b"adm") == Group(b"adm", b"x", 999, (b"bob",))
    edit(db, "group", b"adm", members=(b"carl",))
    assert changes(db) == {"group": b"video:x:44:alice\nadm:x:999:carl\n",
                           "accounts/base": b"group:adm:x:4:syslog\n"}  # fmt: skip


def test_view_lists_each_name_once_local_first() -> None:
    db = database({"group": b"own:x:1000:\nadm:x:4:bob\n"})
    assert [(row.name, row.members) for row in db.group] == [
        (b"own", ()), (b"adm", (b"bob", b"syslog")), (b"root", ()), (b"video", ()),
    ]  # fmt: skip
    assert [row.name for row in db.group.with_token(b"bob")] == [b"adm"]
    assert db.group.get_id(4).members == (b"bob", b"syslog")
    assert db.group.ids() == {1000, 4, 0, 44}


@pytest.mark.parametrize(
    ("table", "row", "fields", "kind", "hint"),
    [
        ("passwd", b"www", {"uid": 5}, E_PW_UPDATE, "ledger"),
        ("group", b"video", {"gid": 5}, E_GRP_UPDATE, "ledger"),
        ("group", b"adm", {"members": ()}, E_GRP_UPDATE, "only a new image"),
        ("shadow", b"www", {"inactive": 2**32}, E_PW_UPDATE, "smaller"),
    ],
)
def test_what_no_delta_can_say_is_refused(table: str, row: bytes, fields: dict[str, Any], kind: str, hint: str) -> None:
    db = database()
    with pytest.raises(Refusal, match=f"read-only image.*{hint}") as caught:
        edit(db, table, row, **fields)
    assert caught.value.why == kind
    assert changes(db) == {}


@pytest.mark.parametrize(
    ("table", "row", "kind"),
    [("passwd", b"www", E_PW_UPDATE), ("group", b"adm", E_GRP_UPDATE), ("shadow", b"www", E_PW_UPDATE),
     ("gshadow", b"adm", E_GRP_UPDATE)],
)  # fmt: skip
@pytest.mark.parametrize("overridden", [False, True])
def test_rows_of_the_image_cannot_be_removed(table: str, row: bytes, kind: str, overridden: bool) -> None:
    local = {"passwd": b"www:x:33:33:::\n", "group": b"adm:x:4:bob\n", "shadow": b"www:!:::::::\n",
             "gshadow": b"adm:!::\n"} if overridden else {}  # fmt: skip
    db = database(local)
    with pytest.raises(Refusal, match="read-only image") as caught:
        db.tables[table].remove(row)
    assert caught.value.why == kind
    assert changes(db) == {}


def test_removing_an_own_row() -> None:
    db = database({"passwd": b"alice:x:1000:1000:::\n"})
    assert db.passwd.remove(b"alice")
    assert not db.passwd.remove(b"alice")
    assert changes(db) == {"passwd": None}


def test_without_an_image_an_emptied_file_stays() -> None:
    db = Database({"gshadow": Table(KINDS["gshadow"], b"a:!::\n")}, {}, default_policy())
    db.gshadow.remove(b"a")
    assert changes(db) == {"gshadow": b""}


def test_twice_the_same_name_locally() -> None:
    db = database({"passwd": b"a:x:1:1:::\na:x:2:2:::\n"})
    with pytest.raises(DuplicateRow) as caught:
        db.passwd.remove(b"a")
    assert (caught.value.database, caught.value.name, caught.value.event) == ("passwd", b"a", "remove")


def test_a_database_that_nss_reads_from_files_only_has_no_image() -> None:
    policy = parse_nsswitch(b"passwd: files\ngroup: files [SUCCESS=merge] altfiles\n")
    db = Database({}, {name: Table(KINDS[name], data) for name, data in IMAGE.items()}, policy)
    assert db.passwd.get(b"www") is None
    assert not db.shadow.present
    assert db.group.get(b"adm") is not None


@pytest.mark.parametrize(
    ("line", "image", "merge"),
    [
        (b"group: files [SUCCESS=merge] altfiles", True, True),
        (b"group:files[SUCCESS=merge]altfiles", True, True),
        (b"group: files [success=Merge] altfiles systemd", True, True),
        (b"group: files [NOTFOUND=continue SUCCESS=merge] altfiles", True, True),
        (b"group: compat altfiles", True, False),
        (b"group: files altfiles [SUCCESS=merge] systemd", True, False),
        (b"group: files [SUCCESS=merge] systemd [SUCCESS=merge] altfiles", True, True),
        (b"group: files [NOTFOUND=return] altfiles", False, False),
        (b"group: files [!SUCCESS=return] altfiles", False, False),
        (b"group: files # altfiles", True, False),
        (b"group: files systemd", False, False),
        (b"", False, False),
    ],
)
def test_nsswitch_lines(line: bytes, image: bool, merge: bool) -> None:
    policy = parse_nsswitch(b"# c\nhosts: dns\n" + line + b"\n")
    assert (policy.image["group"], policy.merge_groups) == (image, merge)
