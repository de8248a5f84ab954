# SPDX-License-Identifier: MIT
"""Hide rows: which edits need one, when it goes again, and whose word decides whether it is honoured."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts.edit.gshadow import unshadow_groups
from accounts.edit.passwords import unshadow_users
from accounts.errors import E_PW_UPDATE, AccountsError, ConfigError, Refusal
from accounts.machine.rebase import rebase
from accounts.machine.status import read_status
from accounts.model.database import KINDS, Database
from accounts.model.hidden import LARGEST, format_hidden, parse_hidden
from accounts.system.module import SYMBOL
from accounts.system.store import Store
from accounts.system.target import Target
from tests.support.database import changes, make_database
from tests.support.prefix import Prefix

IMAGE = {
    "passwd": b"root:x:0:0::/root:/bin/sh\nwww:x:33:33::/var/www:/sbin/nologin\n",
    "group": b"root:x:0:\nvideo:x:44:\nadm:x:4:syslog,bob\nwww:x:33:\n",
    "shadow": b"root:$6$r:::::::\nwww:*:::::::\n",
    "gshadow": b"adm:!::syslog\n",
}
BASE = "accounts/base"
HIDDEN = "accounts/hidden"


def database(
    local: dict[str, bytes] | None = None,
    hidden: bytes = b"",
    merge: bool = True,
    honoured: bool = True,
    **image: bytes,
) -> Database:
    return make_database(local or {}, IMAGE | image, hidden=hidden, merge=merge, honoured=honoured)


@pytest.mark.parametrize(
    ("what", "local", "hidden", "table", "row", "fields", "expected"),
    [
        ("another id", {}, b"", "passwd", b"www", {"uid": 500},
         {"passwd": b"www:x:500:33::/var/www:/sbin/nologin\n", HIDDEN: b"passwd:www\n",
          BASE: b"passwd:www:x:33:33::/var/www:/sbin/nologin\n"}),
        ("a member that the image lists", {}, b"", "group", b"adm", {"members": (b"bob", b"amy")},
         {"group": b"adm:x:4:bob,amy\n", HIDDEN: b"group:adm\n", BASE: b"group:adm:x:4:syslog,bob\n"}),
        ("a number that reads back as none", {}, b"", "shadow", b"www", {"inactive": 1 << 32},
         {"shadow": b"www:*:::::4294967296::\n", HIDDEN: b"shadow:www\n", BASE: b"shadow:www:*:::::::\n"}),
        ("no hide row where a delta says it", {}, b"", "group", b"adm", {"members": (b"syslog", b"bob", b"amy")},
         {"group": b"adm:x:4:amy\n"}),
        ("the old id again: the hide row goes", {"passwd": b"www:x:500:33::/var/www:/sbin/nologin\n"},
         b"group:x\npasswd:www\n", "passwd", b"www", {"uid": 33}, {"passwd": None, HIDDEN: None}),
        ("the old id with another shell: an override", {"passwd": b"www:x:500:33::/:/bin/sh\n"}, b"passwd:www\n",
         "passwd", b"www", {"uid": 33},
         {"passwd": b"www:x:33:33::/:/bin/sh\n", HIDDEN: None, BASE: b"passwd:www:x:33:33::/var/www:/sbin/nologin\n"}),
        ("the member again: a delta, or nothing", {"group": b"adm:x:4:bob\n"}, b"group:adm\n", "group", b"adm",
         {"members": (b"bob", b"syslog")}, {"group": None, HIDDEN: None}),
        ("another change of a hidden row", {"passwd": b"www:x:500:33::/:/bin/sh\n"}, b"passwd:www\n", "passwd", b"www",
         {"shell": b"/bin/false"}, {"passwd": b"www:x:500:33::/:/bin/false\n",
                                    BASE: b"passwd:www:x:33:33::/var/www:/sbin/nologin\n"}),
        ("comments stay", {}, b"# mine\n\nshadow:www\n", "passwd", b"www", {"uid": 500},
         {"passwd": b"www:x:500:33::/var/www:/sbin/nologin\n", HIDDEN: b"# mine\npasswd:www\nshadow:www\n",
          BASE: b"passwd:www:x:33:33::/var/www:/sbin/nologin\n"}),
    ],
)  # fmt: skip
def test_an_edit(
    what: str, local: dict[str, bytes], hidden: bytes, table: str, row: bytes, fields: dict[str, Any],
    expected: dict[str, bytes | None],
) -> None:  # fmt: skip
    db = database(local, hidden)
    layered = db.tables[table]
    wanted = layered.get(row).replace(**fields)
    layered.put(wanted)
    assert changes(db) == expected, what
    got = layered.get(row)
    if table == "group":  # a merged group has no order of its own
        assert sorted(got.members) == sorted(wanted.members)
        wanted = wanted.replace(members=got.members)
    assert got == wanted


@pytest.mark.parametrize(
    ("table", "name"), [("passwd", b"www"), ("group", b"adm"), ("shadow", b"www"), ("gshadow", b"adm")]
)
def test_a_removal_is_one_hide_row(table: str, name: bytes) -> None:
    db = database()
    layered = db.tables[table]
    assert layered.remove(name)
    assert changes(db) == {HIDDEN: b"%s:%s\n" % (table.encode(), name)}
    assert layered.get(name) is None
    assert name not in [row.name for row in layered]
    assert layered.origin(name) is None
    assert not layered.remove(name)


def test_a_removal_takes_the_override_and_its_base_with_it() -> None:
    db = database({"passwd": b"www:x:33:33::/:/bin/sh\n"})
    db.passwd.put(db.passwd.get(b"www").replace(gecos=b"x"))
    assert db.passwd.remove(b"www")
    assert changes(db) == {"passwd": None, HIDDEN: b"passwd:www\n"}


def test_an_account_that_comes_back_as_it_was_needs_nothing() -> None:
    db = database(hidden=b"passwd:www\nshadow:www\n")
    row = KINDS["passwd"].parse_line(b"www:x:33:33::/var/www:/sbin/nologin")
    db.passwd.put(row)
    assert changes(db) == {HIDDEN: b"shadow:www\n"}
    assert db.passwd.get(b"www") == row


def test_an_own_account_beside_a_hidden_one() -> None:
    db = database(hidden=b"passwd:www\n")
    db.passwd.put(KINDS["passwd"].parse_line(b"www:x:900:900::/srv:/bin/sh"))
    assert db.passwd.get_id(33) is None
    assert db.passwd.ids() == {0, 900}
    assert db.passwd.remove(b"www")
    assert changes(db) == {}


def test_hide_rows_of_names_that_the_image_has_dropped_go_with_the_next_one() -> None:
    db = database(hidden=b"passwd:gone\ngroup:gone\n")
    assert changes(db) == {}
    db.passwd.remove(b"www")
    assert changes(db) == {HIDDEN: b"passwd:www\n"}


def test_where_groups_are_not_merged_a_lost_member_is_hidden_from_initgroups() -> None:
    db = database(merge=False)
    db.group.put(db.group.get(b"adm").replace(members=(b"bob",)))
    assert changes(db) == {"group": b"adm:x:4:bob\n", BASE: b"group:adm:x:4:syslog,bob\n", HIDDEN: b"group:adm\n"}


def test_pwunconv_and_grpunconv_hide_what_they_have_merged() -> None:
    db = database({"shadow": b"www:!*:::::::\n"})
    unshadow_users(db)
    unshadow_groups(db)
    done = changes(db)
    assert done["passwd"] == b"root:$6$r:0:0::/root:/bin/sh\nwww:!*:33:33::/var/www:/sbin/nologin\n"
    assert done[HIDDEN] == b"shadow:root\nshadow:www\ngshadow:adm\n"
    later = database(hidden=b"shadow:root\nshadow:www\ngshadow:adm\n")
    assert not later.shadow.present
    assert not later.gshadow.present
    assert database(hidden=b"shadow:root\n").shadow.present


@pytest.mark.parametrize(
    ("image", "name", "force", "hidden"),
    [
        (b"root:x:0:0::/:/bin/sh\n", b"root", False, False),
        (b"root:x:0:0::/:/bin/sh\n", b"root", True, True),
        (b"root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\n", b"root", False, False),
        (b"root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\n", b"toor", False, True),
        (b"toor:x:0:0::/:/bin/sh\nwww:x:33:33::/:/bin/sh\n", b"toor", False, False),
    ],
)
def test_root_is_not_hidden_without_a_word_for_it(image: bytes, name: bytes, force: bool, hidden: bool) -> None:
    db = database(passwd=image)
    db.passwd.may_lose_root = force
    if hidden:
        assert db.passwd.remove(name)
        return
    with pytest.raises(Refusal) as caught:
        db.passwd.remove(name)
    assert caught.value.why == E_PW_UPDATE
    with pytest.raises(Refusal) as caught:
        db.passwd.put(db.passwd.get(name).replace(uid=5))
    assert caught.value.why == E_PW_UPDATE
    assert changes(db) == {}


def test_where_nobody_honours_it_nothing_is_hidden() -> None:
    db = database(honoured=False)
    for edit in (
        lambda: db.passwd.remove(b"www"),
        lambda: db.passwd.put(db.passwd.get(b"www").replace(uid=500)),
        lambda: db.group.put(db.group.get(b"adm").replace(members=())),
        lambda: unshadow_users(db),
    ):
        with pytest.raises(Refusal):
            edit()
    assert changes(db) == {}


# The file


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"", set()),
        (b"# c\n\npasswd:a\ngshadow:b c\n", {("passwd", b"a"), ("gshadow", b"b c")}),
        (b"passwd:a", None),
        (b"passwd:a\n\0\n", None),
        (b"passwd:\n", None),
        (b"passwd:a:\n", None),
        (b" passwd:a\n", None),
        (b"hosts:a\n", None),
        (b"#" * LARGEST + b"\n", None),
    ],
)
def test_the_file_as_the_module_reads_it(data: bytes, rows: set[tuple[str, bytes]] | None) -> None:
    assert parse_hidden(data) == rows


def test_the_file_is_sorted_and_keeps_no_line_of_a_broken_one() -> None:
    assert format_hidden({("group", b"b"), ("passwd", b"z"), ("group", b"a")}, b"# c\nbroken\n") == (
        b"passwd:z\ngroup:a\ngroup:b\n"
    )


# A root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for directory in ("etc/accounts", "usr/lib/x86_64-linux-gnu", "usr/share/accounts"):
        (tmp_path / directory).mkdir(parents=True)
    for name, data in IMAGE.items():
        (tmp_path / "usr/lib" / name).write_bytes(data)
    (tmp_path / "usr/lib/x86_64-linux-gnu/libnss_altfiles.so.2").write_bytes(b"\x7fELF.." + SYMBOL + b"..")
    return tmp_path


def remove_www(root: Path) -> None:
    target = Target(os.fsencode(root))
    store = Store(target, lambda line: None)
    try:
        db = store.open(("passwd", "group"))
        db.passwd.remove(b"www")
        store.commit(db)
    finally:
        store.close()
        target.close()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to("hidden"), "Too many levels of symbolic links"),
        (lambda path: subprocess.run(["truncate", "-s", "1T", path], check=True), "File too large"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    root: Path, spoil: Callable[[Path], object], why: str
) -> None:
    spoil(root / "etc/accounts/hidden")
    with pytest.raises(ConfigError, match=f"^cannot read /etc/accounts/hidden: {why}$"):
        remove_www(root)
    assert sorted(os.listdir(root / "etc")) == [".pwd.lock", "accounts"]


def test_the_roots_own_module_decides(root: Path) -> None:
    remove_www(root)
    hidden = root / "etc/accounts/hidden"
    assert hidden.read_bytes() == b"passwd:www\n"
    assert (hidden.stat().st_mode & 0o7777, hidden.stat().st_uid) == (0o644, 0)
    assert (root / "etc/accounts").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("other", [b"\x7fELF another module", b"not ELF" + SYMBOL, None])
def test_another_module_does_not_know_hide_rows(root: Path, other: bytes | None) -> None:
    module = root / "usr/lib/x86_64-linux-gnu/libnss_altfiles.so.2"
    module.unlink()
    if other is not None:
        module.write_bytes(other)
    with pytest.raises(Refusal) as caught:
        remove_www(root)
    assert caught.value.why == E_PW_UPDATE
    assert not (root / "etc/accounts/hidden").exists()


def test_one_of_two_modules_that_does_not_know_them_is_enough(root: Path) -> None:
    (root / "usr/lib/i386-linux-gnu").mkdir()
    (root / "usr/lib/i386-linux-gnu/libnss_altfiles.so.2").write_bytes(b"\x7fELF")
    with pytest.raises(Refusal) as caught:
        remove_www(root)
    assert caught.value.why == E_PW_UPDATE


def test_the_setting_decides_over_the_module(root: Path) -> None:
    conf = root / "etc/accounts/accounts.conf"
    conf.write_text("HIDE=no\n")
    with pytest.raises(Refusal) as caught:
        remove_www(root)
    assert caught.value.why == E_PW_UPDATE
    (root / "usr/lib/x86_64-linux-gnu/libnss_altfiles.so.2").unlink()
    conf.write_text("HIDE=perhaps\n")
    with pytest.raises(ConfigError, match=r"HIDE must be auto, yes or no: 'perhaps'"):
        remove_www(root)
    conf.write_text("HIDE=yes\n")
    remove_www(root)
    assert (root / "etc/accounts/hidden").read_bytes() == b"passwd:www\n"


@pytest.mark.parametrize(("mode", "owner"), [(0o664, 0), (0o646, 0), (0o644, 1000)])
def test_a_file_that_hides_nothing_for_its_mode_or_owner_is_made_roots_own(root: Path, mode: int, owner: int) -> None:
    hidden = root / "etc/accounts/hidden"
    hidden.write_bytes(b"group:adm\n")
    hidden.chmod(mode)
    os.chown(hidden, owner, owner)
    remove_www(root)
    assert hidden.read_bytes() == b"passwd:www\n"
    status = hidden.stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o644, 0, 0)


def test_a_directory_in_its_place_is_one_clear_error(root: Path) -> None:
    (root / "etc/accounts/hidden").mkdir()
    with pytest.raises(AccountsError):
        remove_www(root)


# After an update


def test_rebase_leaves_an_own_account_beside_a_hidden_one_alone() -> None:
    db = database({"passwd": b"www:x:500:33::/:/bin/sh\n"}, b"passwd:www\n")
    db.base.record("passwd", KINDS["passwd"].parse_line(b"www:x:33:33::/var/www:/sbin/nologin"))
    db.base.data = db.base.render()
    assert rebase(db).steps == []
    assert changes(db) == {}


def test_rebase_drops_the_hide_row_of_an_account_that_the_image_has_dropped() -> None:
    db = database({"passwd": b"etcd:x:500:33::/:/bin/sh\n"}, b"passwd:etcd\ngroup:etcd\ngroup:adm\n")
    db.base.record("passwd", KINDS["passwd"].parse_line(b"etcd:x:300:300::/:/bin/sh"))
    told = [(step.what, step.database, step.name) for step in rebase(db).steps]
    assert told == [("dropped", "passwd", b"etcd"), ("dropped", "group", b"etcd")]
    assert changes(db) == {HIDDEN: b"group:adm\n"}


def test_status_names_the_accounts_that_are_gone() -> None:
    db = database({"group": b"adm:x:4:\n"}, b"group:adm\ngroup:www\npasswd:www\nshadow:www\n")
    assert [(one.account, one.name) for one in read_status(db).hidden] == [("user", "www"), ("group", "www")]


# What an image user's home is


@pytest.fixture
def homes(tmp_path: Path) -> Prefix:
    """svc's home is in the image and svc's, www's beside it and root's."""
    new = Prefix(tmp_path).image(
        passwd="root:x:0:0::/root:/bin/sh\nsvc:x:300:300::/srv/svc:/bin/sh\nwww:x:33:33::/home/www:/bin/sh\n",
        group="root:x:0:\nsvc:x:300:\nwww:x:33:\n",
        shadow="root:*:1::::::\nsvc:*:1::::::\nwww:*:1::::::\n",
    )
    new.local(
        **{"nsswitch.conf": "passwd: files altfiles\ngroup: files [SUCCESS=merge] altfiles\nshadow: files altfiles\n"}
    )
    for name, uid in (("usr/lib/svc/data", 300), ("home/www/site", 33)):
        path = tmp_path / name
        path.mkdir(parents=True)
        for one in (path, path.parent):
            os.chown(one, uid, uid)
    # /srv/svc leads to it.
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/svc").symlink_to("../usr/lib/svc")
    (tmp_path / "etc/accounts").mkdir()
    (tmp_path / "etc/accounts/accounts.conf").write_text("HIDE=yes\n")
    return new


def owners(prefix: Prefix, *names: str) -> list[tuple[int, int]]:
    return [(status.st_uid, status.st_gid) for status in ((prefix.path / name).stat() for name in names)]


def test_usermod_reowns_a_home_of_the_machine_and_nothing_in_the_image(homes: Prefix) -> None:
    done = homes.run("usermod", "-u", "1300", "svc")
    assert (done.returncode, done.stderr) == (0, "usermod: the owner of /srv/svc stays: it is a part of the image\n")
    assert owners(homes, "usr/lib/svc", "usr/lib/svc/data") == [(300, 300)] * 2
    done = homes.run("usermod", "-u", "1033", "www")
    assert (done.returncode, done.stderr) == (0, "")
    assert owners(homes, "home/www", "home/www/site") == [(1033, 33)] * 2
    assert homes.read("passwd") == "svc:x:1300:300::/srv/svc:/bin/sh\nwww:x:1033:33::/home/www:/bin/sh\n"


def test_neither_is_a_home_of_the_image_moved_or_removed(homes: Prefix) -> None:
    done = homes.run("usermod", "-m", "-d", "/home/svc", "svc")
    assert (done.returncode, done.stderr) == (12, "usermod: cannot move /srv/svc, which is a part of the image\n")
    assert homes.read("passwd") == "svc:x:300:300::/home/svc:/bin/sh\n"
    assert homes.run("usermod", "-d", "/srv/svc", "svc").returncode == 0
    done = homes.run("userdel", "-r", "svc")
    assert done.returncode == 12
    assert done.stderr.endswith("userdel: not removing directory /srv/svc (it is a part of the image)\n")
    assert (homes.path / "usr/lib/svc/data").is_dir() and not (homes.path / "home/svc").exists()
    assert homes.run("userdel", "-r", "www").returncode == 0
    assert not (homes.path / "home/www").exists()
