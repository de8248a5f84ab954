# SPDX-License-Identifier: MIT
"""Group edits over two layers: every delta form, both policies, gshadow in step, refusals, base records."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.edit import groupadd, groupdel, groupmod, gshadow, members
from accounts.errors import E_GRP_UPDATE, DuplicateRow, FileError, Refusal
from accounts.model.database import Database
from tests.support.database import Files, changes, make_database

IMAGE: dict[str, bytes] = {
    "passwd": b"root:x:0:0::/root:/bin/sh\nwww:x:33:33::/var/www:/sbin/nologin\n",
    "group": b"root:x:0:\nvideo:x:44:\nadm:x:4:syslog\nwww:x:33:\n",
    "gshadow": b"root:*::\nvideo:*::\nadm:*:boss:syslog\nwww:!::\n",
}


def database(
    local: dict[str, bytes] | None = None, image: dict[str, bytes] | None = None, merge: bool = True, base: bytes = b""
) -> Database:
    return make_database(local or {}, IMAGE if image is None else image, merge=merge, base=base)


def pair_edit(name: bytes, edit: Callable[[members.Pair], members.Pair]) -> Callable[[Database], None]:
    """An edit of a pair as gpasswd and groupmems make it."""

    def run(db: Database) -> None:
        pair = members.get_pair(db, name)
        assert pair is not None
        members.put_pair(db, edit(pair))

    return run


def add(name: bytes, user: bytes) -> Callable[[Database], None]:
    return pair_edit(name, lambda pair: members.add_member(pair, user))


def drop(name: bytes, user: bytes, admin_too: bool = False) -> Callable[[Database], None]:
    return pair_edit(name, lambda pair: members.remove_member(pair, user, admin_too))


GROUP_ONLY = {"group": IMAGE["group"]}
MEMBER = {"group": b"video:x:44:alice\n", "gshadow": b"video:*::alice\n"}


@pytest.mark.parametrize(
    ("local", "image", "merge", "edit", "expected"),
    [
        pytest.param({}, IMAGE, True, lambda db: groupadd.add_group(db, b"own", 1000, None, ()),
            {"group": b"own:x:1000:\n", "gshadow": b"own:!::\n"}, id="own row"),
        pytest.param({}, IMAGE, True, lambda db: groupadd.add_group(db, b"own", 1000, b"$1$", (b"a", b"b", b"a")),
            {"group": b"own:x:1000:a,b\n", "gshadow": b"own:$1$::\n"}, id="password to gshadow, members to group"),
        pytest.param({}, GROUP_ONLY, True, lambda db: groupadd.add_group(db, b"own", 1000, b"$1$", ()),
            {"group": b"own:$1$:1000:\n"}, id="password to group without gshadow"),
        pytest.param({"group": b"a:x:1:\n+nis\n"}, {}, True, lambda db: groupadd.add_group(db, b"own", 7, None, ()),
            {"group": b"a:x:1:\nown:x:7:\n+nis\n"}, id="classic: before NIS rows"),
        pytest.param({}, IMAGE, True, add(b"video", b"alice"),
            {"group": b"video:x:44:alice\n", "gshadow": b"video:*::alice\n", "accounts/base": b"gshadow:video:*::\n"},
            id="merge: member row, gshadow override"),
        pytest.param({}, IMAGE, False, add(b"adm", b"alice"),
            {"group": b"adm:x:4:syslog,alice\n", "gshadow": b"adm:*:boss:syslog,alice\n",
             "accounts/base": b"group:adm:x:4:syslog\ngshadow:adm:*:boss:syslog\n"},
            id="first: override rows with all members"),
        pytest.param({}, GROUP_ONLY, True, add(b"adm", b"alice"), {"group": b"adm:x:4:alice\n"}, id="no gshadow"),
        pytest.param({}, IMAGE, True, add(b"adm", b"syslog"), {}, id="member of the image already: nothing"),
        pytest.param(MEMBER, IMAGE, True, drop(b"video", b"alice"), {"group": None, "gshadow": None},
            id="last local member: rows and files go"),
        pytest.param({"group": b"adm:x:4:alice,bob\n"}, GROUP_ONLY, True, drop(b"adm", b"alice"),
            {"group": b"adm:x:4:bob\n"}, id="one of two local members"),
        pytest.param({"group": b"adm:x:4:alice\n"}, GROUP_ONLY, False, drop(b"adm", b"alice"),
            {"group": b"adm:x:4:\n", "accounts/base": b"group:adm:x:4:syslog\n"},
            id="first: the image's member is hidden by a row of before"),
        pytest.param({"group": b"own:x:7:a,b,a\n", "gshadow": b"own:!:a:a,b\n"}, {}, True, drop(b"own", b"a", True),
            {"group": b"own:x:7:b\n", "gshadow": b"own:!::b\n"}, id="classic: every mention, admin too"),
        pytest.param({"group": b"own:$1$:7:a\n", "gshadow": b""}, {}, True, add(b"own", b"b"),
            {"group": b"own:x:7:a,b\n", "gshadow": b"own:$1$::a,b\n"}, id="new gshadow row takes the password"),
        pytest.param({}, IMAGE, True, pair_edit(b"video", lambda pair: members.set_password(pair, b"")),
            {"gshadow": b"video:::\n", "accounts/base": b"gshadow:video:*::\n"}, id="password: gshadow override only"),
        pytest.param({}, GROUP_ONLY, True, pair_edit(b"adm", lambda pair: members.set_password(pair, b"!")),
            {"group": b"adm:!:4:\n", "accounts/base": b"group:adm:x:4:syslog\n"},
            id="password without gshadow: override row, members stay in the image"),
        pytest.param({}, IMAGE, True, pair_edit(b"adm", lambda pair: members.set_admins(pair, (b"www",))),
            {"gshadow": b"adm:*:www:syslog\n", "accounts/base": b"gshadow:adm:*:boss:syslog\n"}, id="admins"),
        pytest.param({}, IMAGE, True, lambda db: groupmod.change_group(db, b"video", passwd=b"$6$"),
            {"gshadow": b"video:$6$::\n", "accounts/base": b"gshadow:video:*::\n"}, id="groupmod -p"),
        pytest.param({}, IMAGE, True, lambda db: groupmod.change_group(db, b"video", members=(b"alice",)),
            {"group": b"video:x:44:alice\n"}, id="groupmod -U: group only"),
        pytest.param({"group": b"own:x:1000:a\nlast:x:9:\n", "gshadow": b"own:!::a\nlast:!::\n"}, IMAGE, True,
            lambda db: groupmod.change_group(db, b"own", new_name=b"new", passwd=b"p"),
            {"group": b"last:x:9:\nnew:x:1000:a\n", "gshadow": b"last:!::\nnew:p::a\n"}, id="rename moves to the end"),
        pytest.param({"group": b"own:x:1000:\n", "passwd": b"bob:x:7:1000::/:/bin/sh\neve:x:1000:9::/:/bin/sh\n"},
            {**IMAGE, "passwd": b"www:x:33:1000::/:/bin/sh\n"}, True,
            lambda db: groupmod.change_group(db, b"own", gid=1001),
            {"group": b"own:x:1001:\n",
             "passwd": b"bob:x:7:1001::/:/bin/sh\neve:x:1000:9::/:/bin/sh\nwww:x:33:1001::/:/bin/sh\n",
             "accounts/base": b"passwd:www:x:33:1000::/:/bin/sh\n"}, id="new GID for its users of both layers"),
        pytest.param({"group": b"own:x:7:\n", "gshadow": b"own:!::\n"}, IMAGE, True,
            lambda db: groupdel.delete_group(db, b"own"), {"group": None, "gshadow": None}, id="delete a local group"),
        pytest.param({"group": b"own:x:7:\n", "gshadow": b"own:!::\n"}, {}, True,
            lambda db: groupdel.delete_group(db, b"own"), {"group": b"", "gshadow": b""},
            id="classic: an empty file stays"),
        pytest.param({}, IMAGE, True, lambda db: gshadow.update_password(db, b"video", b"h"),
            {"gshadow": b"video:h::\n", "accounts/base": b"gshadow:video:*::\n"}, id="chgpasswd: x in group"),
        pytest.param({"group": b"own:old:7:\n", "gshadow": b"own:old::\n"}, IMAGE, True,
            lambda db: gshadow.update_password(db, b"own", b"h"),
            {"group": b"own:h:7:\n", "gshadow": b"own:h::\n"}, id="chgpasswd: both where both have one"),
        pytest.param({}, GROUP_ONLY, True, gshadow.shadow_groups,
            {"gshadow": b"root:x::\nvideo:x::\nadm:x::syslog\nwww:x::\n"}, id="grpconv over an image without gshadow"),
        pytest.param({"group": b"own:secret:7:a\n"}, IMAGE, True, gshadow.shadow_groups,
            {"group": b"own:x:7:a\n", "gshadow": b"own:secret::a\n"}, id="grpconv: only what is not shadowed"),
        pytest.param({"group": b"adm:x:4:bob\n", "gshadow": b"adm:*:boss:syslog,bob\n"}, IMAGE, True,
            gshadow.shadow_groups, {"accounts/base": b"gshadow:adm:*:boss:syslog\n"}, id="grpconv: merged"),
        pytest.param({"group": b"own:x:7:\n", "gshadow": b"own:!::\ngone:!::\n"}, {}, True, gshadow.shadow_groups,
            {"gshadow": b"own:!::\n"}, id="grpconv: rows without group go"),
        pytest.param({"group": b"own:x:7:\nnot:y:8:\n", "gshadow": b"own:pw::\nnot:z::\n"}, {}, True,
            gshadow.unshadow_groups, {"group": b"own:pw:7:\nnot:y:8:\n", "gshadow": None}, id="grpunconv"),
    ],
)  # fmt: skip
def test_edit_writes_the_smallest_delta(
    local: dict[str, bytes],
    image: dict[str, bytes],
    merge: bool,
    edit: Callable[[Database], object],
    expected: Files,
) -> None:
    db = database(local, image, merge)
    edit(db)
    assert changes(db) == expected


@pytest.mark.parametrize(
    ("local", "merge", "edit", "words"),
    [
        ({}, True, lambda db: groupdel.delete_group(db, b"video"), "only a new image can remove it"),
        ({}, False, lambda db: groupdel.delete_group(db, b"video"), "only a new image can remove it"),
        (MEMBER, True, lambda db: groupdel.delete_group(db, b"video"), "gpasswd -d USER video"),
        ({}, True, lambda db: groupmod.change_group(db, b"video", new_name=b"film"), "only a new image can rename it"),
        ({}, False, lambda db: groupmod.change_group(db, b"video", gid=45), "only a new image can change its GID"),
        ({}, True, drop(b"adm", b"syslog"), "user 'syslog' is a member of group 'adm' in the read-only image"),
        ({}, True, lambda db: groupmod.change_group(db, b"adm", members=()), "is a member of group 'adm'"),
        ({}, True, gshadow.unshadow_groups, "gshadow row in the read-only image"),
        ({"group": b"own:x:7:\n"}, True, lambda db: groupdel.delete_group(db, b"www"), "only a new image"),
    ],
)
def test_what_no_delta_can_say_is_refused(
    local: dict[str, bytes], merge: bool, edit: Callable[[Database], object], words: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        edit(database(local, merge=merge))
    assert refusal.value.why == E_GRP_UPDATE
    assert words in str(refusal.value.message)


def test_a_gshadow_row_of_the_image_without_a_group_cannot_be_removed_by_grpconv() -> None:
    with pytest.raises(Refusal):
        gshadow.shadow_groups(database(image={"group": b"a:x:1:\n", "gshadow": b"a:!::\nstale:!::\n"}))


def test_changing_back_to_the_image_forgets_the_override_and_its_base_record() -> None:
    db = database({"gshadow": b"video:$6$::\n"}, base=b"gshadow:video:*::\n")
    groupmod.change_group(db, b"video", passwd=b"*")
    assert changes(db) == {"gshadow": None, "accounts/base": None}


def test_a_group_that_is_twice_in_the_local_file_is_not_changed() -> None:
    twice = {"group": b"own:x:7:\nown:x:8:\n"}
    with pytest.raises(DuplicateRow):
        add(b"own", b"alice")(database(twice))
    with pytest.raises(DuplicateRow) as error:
        groupdel.delete_group(database(twice), b"own")
    assert error.value.event == "remove"


def test_removing_who_is_no_member() -> None:
    pair = members.get_pair(database(), b"video")
    assert pair is not None
    assert members.remove_member(pair, b"alice") is None


def test_rename_with_a_password_needs_the_gshadow_row() -> None:
    # As in shadow 4.13, which fails to remove the row that it has not got.
    with pytest.raises(FileError) as caught:
        groupmod.change_group(database({"group": b"own:x:7:\n"}), b"own", new_name=b"new", passwd=b"p")
    assert str(caught.value) == "cannot remove entry 'own' from /etc/gshadow"


def test_primary_users_are_found_in_any_spelling_of_the_gid() -> None:
    db = database({"passwd": b"a:x:7:0033::/:/bin/sh\nb:x:33:8::/:/bin/sh\n"})
    assert [user.name for user in db.primary_users(33)] == [b"a", b"www"]
