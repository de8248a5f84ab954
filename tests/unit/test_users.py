# SPDX-License-Identifier: MIT
"""useradd, usermod and userdel over two layers: delta forms, base records, every refusal; then argv to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts.edit.request import Report
from accounts.edit.useradd import add_user
from accounts.edit.userchange import UserChange, change_user
from accounts.edit.userdel import delete_user
from accounts.errors import E_GRP_UPDATE, E_PW_UPDATE, DuplicateRow, Fail, FileError, Refusal
from accounts.model.database import Database
from accounts.model.ranges import parse_range
from accounts.model.records import MAX_ULONG, Passwd, Shadow
from accounts.model.useradd_defaults import Defaults
from tests.support.database import Files, changes, make_database
from tests.support.prefix import Prefix

REPO = Path(__file__).parents[2]
Edit = Callable[[Database, Report], None]

IMAGE: dict[str, bytes] = {
    "passwd": b"root:x:0:0::/root:/bin/sh\nwww:x:33:33::/var/www:/sbin/nologin\n",
    "shadow": b"root:*:19000:0:99999:7:::\nwww:*:19000::::::\n",
    "group": b"root:x:0:\nvideo:x:44:\nadm:x:4:www,bob\nwww:x:33:\nbob:x:1000:\n",
    "gshadow": b"root:*::\nvideo:*::\nadm:*:bob:www\nwww:!::\n",
}
LOCAL: dict[str, bytes] = {
    "passwd": b"bob:x:1000:1000::/home/bob:/bin/sh\neve:x:1001:1001::/home/eve:/bin/sh\n",
    "shadow": b"bob:$6$b:19000::::::\neve:$6$e:19000::::::\n",
}
USER = Passwd(b"new", b"$6$n", 1002, 1002, b"", b"/home/new", b"/bin/sh")
SHADOW = Shadow(b"new", b"$6$n", 20000)
BOB = b"bob:x:1000:1000::/home/bob:/bin/sh\n"
EVE = b"eve:x:1001:1001::/home/eve:/bin/sh\n"


def shown(name: str) -> str:
    return f"/etc/{name}"


def add(*groups: bytes) -> Edit:
    return lambda db, report: add_user(db, USER, SHADOW, groups, report)


def change(user: bytes, **values: Any) -> Edit:
    wanted = UserChange()
    wanted.today = 20000
    wanted.ageing = lambda: (0, 99999, 7)
    for name, value in values.items():
        setattr(wanted, name, value)
    return lambda db, report: change_user(db, user, wanted, shown, report)


def delete(user: bytes, force: bool = False, private_groups: bool = True) -> Edit:
    return lambda db, report: delete_user(db, user, force, private_groups, report)


@pytest.mark.parametrize(
    ("local", "image", "merge", "edit", "expected"),
    [
        # useradd
        pytest.param({}, IMAGE, True, add(),
            {"passwd": b"new:x:1002:1002::/home/new:/bin/sh\n", "shadow": b"new:$6$n:20000::::::\n"},
            id="add: own rows"),
        pytest.param({}, {"passwd": IMAGE["passwd"]}, True, add(),
            {"passwd": b"new:$6$n:1002:1002::/home/new:/bin/sh\n"}, id="add: no shadow, password in passwd"),
        pytest.param({}, {**IMAGE, "gshadow": b""}, True, add(b"video", b"adm", b"video"),
            {"passwd": b"new:x:1002:1002::/home/new:/bin/sh\n", "shadow": b"new:$6$n:20000::::::\n",
             "group": b"video:x:44:new\nadm:x:4:new\n"}, id="add: member rows"),
        pytest.param({}, IMAGE, False, add(b"adm"),
            {"passwd": b"new:x:1002:1002::/home/new:/bin/sh\n", "shadow": b"new:$6$n:20000::::::\n",
             "group": b"adm:x:4:www,bob,new\n", "gshadow": b"adm:*:bob:www,new\n",
             "accounts/base": b"group:adm:x:4:www,bob\ngshadow:adm:*:bob:www\n"}, id="add: first, override rows"),
        pytest.param({}, {**IMAGE, "shadow": b"new:old:1::::::\n"}, True, add(),
            {"passwd": b"new:x:1002:1002::/home/new:/bin/sh\n", "shadow": b"new:$6$n:20000::::::\n",
             "accounts/base": b"shadow:new:old:1::::::\n"}, id="add: over a stale shadow row of the image"),
        # usermod of an image user
        pytest.param({}, IMAGE, True, change(b"www", shell=b"/bin/sh"),
            {"passwd": b"www:x:33:33::/var/www:/bin/sh\n",
             "accounts/base": b"passwd:www:x:33:33::/var/www:/sbin/nologin\n"}, id="shell: passwd override"),
        pytest.param({}, IMAGE, True, change(b"www", home=b"/srv/", gecos=b"W", gid=4),
            {"passwd": b"www:x:33:4:W:/srv:/sbin/nologin\n",
             "accounts/base": b"passwd:www:x:33:33::/var/www:/sbin/nologin\n"}, id="home, gecos, primary group"),
        pytest.param({}, IMAGE, True, change(b"www", lock=True, expire=1),
            {"shadow": b"www:!*:19000:::::1:\n", "accounts/base": b"shadow:www:*:19000::::::\n"},
            id="lock: one shadow override, no passwd row"),
        pytest.param({}, IMAGE, True, change(b"www", passwd=b"$6$"),
            {"shadow": b"www:$6$:20000::::::\n", "accounts/base": b"shadow:www:*:19000::::::\n"}, id="password"),
        pytest.param({"passwd": b"www:x:33:33::/var/www:/bin/sh\n"}, IMAGE, True,
            change(b"www", shell=b"/sbin/nologin"), {"passwd": None}, id="back to the image: no row, no file"),
        pytest.param({"shadow": b"www:!*:19000::::::\n"}, IMAGE, True, change(b"www", unlock=True),
            {"shadow": None}, id="unlock: back to the image"),
        pytest.param({}, {**IMAGE, "shadow": b"root:*:::::::\n"}, True, change(b"www", expire=5),
            {"shadow": b"www:x:20000:0:99999:7::5:\n"}, id="ageing of a user without shadow row makes one"),
        pytest.param({}, {**IMAGE, "gshadow": b""}, True, change(b"www", groups=[b"video", b"adm"], append=True),
            {"group": b"video:x:44:www\n"}, id="-aG: only what the image lacks"),
        pytest.param({"group": b"video:x:44:www,eve\n"}, {**IMAGE, "gshadow": b""}, True,
            change(b"www", groups=[b"video"], remove=True), {"group": b"video:x:44:eve\n"}, id="-rG"),
        # usermod of a local user
        pytest.param(LOCAL, {}, True, change(b"bob", name=b"rob", uid=7),
            {"passwd": EVE + b"rob:x:7:1000::/home/bob:/bin/sh\n",
             "shadow": b"eve:$6$e:19000::::::\nrob:$6$b:19000::::::\n"}, id="rename moves to the end"),
        pytest.param({"passwd": b"bob:!$1$:1:1::/:\n"}, {}, True, change(b"bob", unlock=True),
            {"passwd": b"bob:$1$:1:1::/:\n"}, id="unlock without shadow"),
        pytest.param({"passwd": BOB, "group": b"a:x:1:bob\nb:x:2:bob\n", "gshadow": b"a:!:bob:bob\nb:!::bob\n"}, {},
            True, change(b"bob", name=b"rob", groups=[b"b"]),
            {"passwd": b"rob:x:1000:1000::/home/bob:/bin/sh\n", "group": b"a:x:1:\nb:x:2:rob\n",
             "gshadow": b"a:!:rob:\nb:!::rob\n"}, id="rename and -G"),
        pytest.param({"subuid": b"bob:100:10\n", "subgid": b""}, {"passwd": BOB}, True,
            change(b"bob", subids=[("subuid", False, 103, 104), ("subgid", True, 7, 8)]),
            {"subuid": b"bob:100:3\nbob:105:5\n", "subgid": b"bob:7:2\n"}, id="subordinate ids"),
        # userdel
        pytest.param({**LOCAL, "group": b"eve:x:1001:\nw:x:5:eve,bob\n", "gshadow": b"eve:!::\nw:!:eve:eve\n",
            "subuid": b"eve:1:2\nbob:3:4\n"}, {}, True, delete(b"eve"),
            {"passwd": BOB, "shadow": b"bob:$6$b:19000::::::\n", "group": b"w:x:5:bob\n", "gshadow": b"w:!::\n",
             "subuid": b"bob:3:4\n"}, id="delete: rows, memberships, own group, subordinate ids"),
        pytest.param({"passwd": EVE, "group": b"video:x:44:eve\n"}, {**IMAGE, "gshadow": b""}, True, delete(b"eve"),
            {"passwd": None, "group": None}, id="delete: the delta is empty again"),
        pytest.param({"passwd": EVE, "group": b"eve:x:1001:\n"}, {}, True, delete(b"eve", private_groups=False),
            {"passwd": b""}, id="delete: own group stays without USERGROUPS_ENAB"),
    ],
)  # fmt: skip
def test_edits_leave_the_smallest_delta(
    local: dict[str, bytes], image: dict[str, bytes], merge: bool, edit: Edit, expected: Files
) -> None:
    db = make_database(local, image, merge=merge)
    edit(db, Report())
    assert changes(db) == expected


@pytest.mark.parametrize(
    ("edit", "kind", "words"),
    [
        (change(b"www", name=b"web"), E_PW_UPDATE, "only a new image can rename it"),
        (change(b"www", uid=34), E_PW_UPDATE, "only a new image can change its UID"),
        (change(b"www", groups=[]), E_GRP_UPDATE, "user 'www' is a member of group 'adm' in the read-only image"),
        (change(b"www", groups=[b"adm"], remove=True), E_GRP_UPDATE, "only a new image can remove it"),
        # A local user whom the image's group lists.
        (change(b"bob", name=b"rob"), E_GRP_UPDATE, "user 'bob' is a member of group 'adm'"),
        (delete(b"www"), E_PW_UPDATE, "only a new image can remove it; to lock it: usermod -L -e 1 www"),
        (delete(b"bob"), E_GRP_UPDATE, "user 'bob' is a member of group 'adm'"),
    ],
)
def test_what_no_delta_can_say_is_refused(edit: Edit, kind: str, words: str) -> None:
    with pytest.raises(Refusal, match=words) as caught:
        edit(make_database(LOCAL, IMAGE), Report())
    assert caught.value.why == kind


@pytest.mark.parametrize("merge", [True, False])
def test_a_member_of_the_image_stays_one_whatever_getgrnam_would_show(merge: bool) -> None:
    with pytest.raises(Refusal, match="user 'www' is a member of group 'adm' in the read-only image"):
        change(b"www", groups=[b"adm"], remove=True)(make_database({}, IMAGE, merge=merge), Report())


def test_the_own_group_of_a_local_user_that_the_image_has_cannot_go() -> None:
    image = {**IMAGE, "group": b"bob:x:1000:\n", "gshadow": b""}
    with pytest.raises(Refusal, match="group 'bob' comes from the read-only image"):
        delete(b"bob")(make_database(LOCAL, image), Report())


def test_a_shadow_row_of_the_image_keeps_its_local_user() -> None:
    image = {"shadow": b"bob:*:1::::::\n"}
    with pytest.raises(Refusal, match="has a shadow row in the read-only image"):
        delete(b"bob")(make_database(LOCAL, image), Report())


@pytest.mark.parametrize(
    ("local", "edit", "error", "words"),
    [
        (LOCAL, change(b"bob", name=b"eve"), Fail, "user 'eve' already exists in /etc/passwd"),
        (
            {"passwd": BOB, "shadow": LOCAL["shadow"]},
            change(b"bob", name=b"eve"),
            Fail,
            "user 'eve' already exists in /etc/shadow",
        ),
        # No row in shadow: the new one is made under the new name, and there is no old one to remove.
        (
            {"passwd": BOB, "shadow": b""},
            change(b"bob", name=b"rob", expire=9),
            FileError,
            "cannot remove entry 'bob' from /etc/shadow",
        ),
    ],
)
def test_errors_in_words_of_shadow(local: dict[str, bytes], edit: Edit, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        edit(make_database(local, {}), Report())


def test_what_shadow_cannot_write_either_comes_before_a_refusal() -> None:
    with pytest.raises(FileError, match="failure while writing changes to /etc/passwd"):
        change(b"www", name=b"web", gecos=b"a\tb")(make_database({}, IMAGE), Report())


@pytest.mark.parametrize("edit", [change(b"bob", shell=b"/bin/false"), delete(b"bob")])
def test_repeated_rows_can_be_neither_changed_nor_removed(edit: Edit) -> None:
    with pytest.raises(DuplicateRow):
        edit(make_database({"passwd": BOB + BOB}, {}), Report())


def test_a_second_row_of_a_group_that_lists_the_user_is_seen() -> None:
    with pytest.raises(DuplicateRow):
        delete(b"bob")(make_database({"passwd": BOB, "group": b"g:x:1:\ng:x:1:bob\n"}, {}), Report())


@pytest.mark.parametrize(
    ("group", "others", "force", "stays"),
    [
        (b"bob:x:1000:", b"", False, None),
        (b"bob:x:1000:bob", b"", False, None),
        (b"bob:x:5:", b"", False, "group bob not removed because it is not the primary group of user bob."),
        (b"bob:x:1000:eve", b"", True, "group bob not removed because it has other members."),
        (b"bob:x:1000:", b"al:x:5:1000:::\n", False,
         "group bob is the primary group of another user and is not removed."),
        (b"bob:x:1000:", b"al:x:5:1000:::\n", True, None),
        (b"bobby:x:1000:", b"", False, None),
    ],
)  # fmt: skip
def test_the_users_own_group(group: bytes, others: bytes, force: bool, stays: str | None) -> None:
    db = make_database({"passwd": others + BOB, "group": group + b"\n"}, {})
    report = Report()
    delete(b"bob", force)(db, report)
    assert report.warnings == ([stays] if stays else [])
    assert (db.group.get(b"bob") is None) == (stays is None)


def test_unlocking_an_empty_password_is_warned_of_and_does_nothing() -> None:
    db = make_database({"passwd": BOB, "shadow": b"bob:!:1::::::\n"}, {})
    report = Report()
    change(b"bob", unlock=True)(db, report)
    assert report.warnings[0].startswith("unlocking the user's password would result in a passwordless account.")
    assert changes(db) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"100000-165535", (100000, 165535)), (b" 1-+2", (1, 2)), (b"5-5", (5, 5)), (b"-", (0, 0)),
        (b"0-", (0, 0)), (b"-5--3", (MAX_ULONG - 4, MAX_ULONG - 2)),
        (b"", None), (b"5", None), (b"2-1", None), (b"1-2x", None), (b"1x-2", None), (b"-1-2", None),
        (b"1-9223372036854775808", None),
    ],
)  # fmt: skip
def test_ranges_as_strtoll_reads_them(text: bytes, expected: tuple[int, int] | None) -> None:
    assert parse_range(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, b"# useradd defaults file\n" + b"GROUP=100\nHOME=/home\nINACTIVE=-1\nEXPIRE=\nSHELL=/bin/zsh\n"
         b"SKEL=/etc/skel\nCREATE_MAIL_SPOOL=no\nLOG_INIT=yes\n"),
        (b"# GROUP=5\nOTHER=1\nSHELL=/bin/sh\nSHELL=/bin/csh\nHOME=/h\nno newline",
         b"# GROUP=5\nOTHER=1\nSHELL=/bin/zsh\nSHELL=/bin/csh\nHOME=/home\nno newline\n"
         b"GROUP=100\nINACTIVE=-1\nEXPIRE=\nSKEL=/etc/skel\nCREATE_MAIL_SPOOL=no\nLOG_INIT=yes\n"),
    ],
)  # fmt: skip
def test_defaults_file_keeps_what_it_does_not_know(text: bytes | None, expected: bytes) -> None:
    defaults = Defaults()
    defaults.shell = b"/bin/zsh"
    assert defaults.render(text) == expected


# From argv to files, below --prefix


@pytest.fixture
def machine(tmp_path: Path) -> Prefix:
    return Prefix(tmp_path).image(**{name: data.decode() for name, data in IMAGE.items()})


def run(machine: Prefix, tool: str, *argv: str, **env: str) -> tuple[int, str, str]:
    done = machine.run(tool, *argv, **env)
    return done.returncode, done.stdout, done.stderr


def test_locking_an_image_user_needs_one_shadow_row(machine: Prefix) -> None:
    assert run(machine, "usermod", "-L", "-e", "1", "www") == (0, "", "")
    assert machine.etc() == {"shadow": "www:!*:19000:::::1:\n"}
    assert run(machine, "usermod", "-U", "-e", "", "www") == (0, "", "")
    assert machine.etc() == {}


@pytest.mark.parametrize(
    ("argv", "status", "words"),
    [
        (("userdel", "www"), 1, "only a new image can remove it; to lock it: usermod -L -e 1 www"),
        (("userdel", "-rf", "www"), 1, "only a new image can remove it"),
        (("usermod", "-l", "web", "www"), 1, "only a new image can rename it"),
        (("usermod", "-u", "34", "www"), 1, "only a new image can change its UID"),
        (("usermod", "-G", "", "www"), 10, "is a member of group 'adm' in the read-only image"),
        (("usermod", "-rG", "adm", "www"), 10, "is a member of group 'adm' in the read-only image"),
    ],
)
def test_refusals_change_nothing_and_say_one_line(
    machine: Prefix, argv: tuple[str, ...], status: int, words: str
) -> None:
    code, out, err = run(machine, *argv)
    assert (code, out) == (status, "")
    assert err.startswith(f"{argv[0]}: ")
    assert words in err
    assert err.count("\n") == 1
    assert machine.etc() == {}


@pytest.mark.parametrize(
    ("argv", "status", "err"),
    [
        (("useradd", "www"), 9, "useradd: user 'www' already exists\n"),
        (("useradd", "-U", "video"), 9,
         "useradd: group video exists - if you want to add this user to that group, use -g.\n"),
        (("useradd", "-u", "33", "new"), 4, "useradd: UID 33 is not unique\n"),
        (("useradd", "-G", "nope,video,44x", "new"), 6,
         "useradd: group 'nope' does not exist\nuseradd: group '44x' does not exist\n"),
        (("useradd", "-g", "9", "new"), 6, "useradd: group '9' does not exist\n"),
        (("useradd", "-e", "foo", "new"), 3, "useradd: invalid date 'foo'\n"),
        (("useradd", "-Z", "user_u", "new"), 3, "useradd: -Z cannot be used with --prefix\n"),
        (("usermod", "-s", "/sbin/nologin", "www"), 0, ""),
        (("usermod", "-v", "1-2", "www"), 2,
         "usermod: {}//etc/subuid does not exist, you cannot use the flags -v or -V\n"),
        (("usermod", "-c", "x", "nobody"), 6, "usermod: user 'nobody' does not exist\n"),
        (("userdel", "nobody"), 6, "userdel: user 'nobody' does not exist\n"),
    ],
)  # fmt: skip
def test_the_image_counts_in_every_check(machine: Prefix, argv: tuple[str, ...], status: int, err: str) -> None:
    code, _, stderr = run(machine, *argv)
    assert (code, stderr) == (status, err.format(machine.path))
    assert machine.etc() == {}


def test_a_users_life(machine: Prefix) -> None:
    (machine.path / "usr/share/accounts/skel").mkdir(parents=True)
    (machine.path / "usr/share/accounts/skel/.profile").write_text("hello\n")
    (machine.path / "home").mkdir()
    (machine.path / "var/mail").mkdir(parents=True)
    (machine.path / "etc/login.defs").write_text("USERGROUPS_ENAB yes\nHOME_MODE 0750\nPASS_MAX_DAYS 90\n")
    options = ("-m", "-G", "video,4", "-p", "$6$", "-e", "2030-12-31")
    assert run(machine, "useradd", *options, "al", SOURCE_DATE_EPOCH="86400") == (0, "", "")
    assert machine.etc() == {
        "login.defs": "USERGROUPS_ENAB yes\nHOME_MODE 0750\nPASS_MAX_DAYS 90\n",
        "passwd": "al:x:1000:1001::/home/al:/bin/bash\n",
        "shadow": "al:$6$:1::90:::22279:\n",
        "group": "al:x:1001:\nvideo:x:44:al\nadm:x:4:al\n",
        "gshadow": "al:!::\nvideo:*::al\nadm:*:bob:www,al\n",
    }
    assert (machine.path / "home/al/.profile").read_text() == "hello\n"
    assert (machine.path / "home/al").stat().st_mode & 0o7777 == 0o750
    assert run(machine, "usermod", "-l", "lea", "-d", "/home/lea", "-m", "-G", "video", "al") == (0, "", "")
    after = machine.etc()
    assert after["passwd"] == "lea:x:1000:1001::/home/lea:/bin/bash\n"
    assert after["group"] == "al:x:1001:\nvideo:x:44:lea\n"
    assert after["gshadow"] == "al:!::\nvideo:*::lea\n"
    assert (machine.path / "home/lea/.profile").exists()
    code, out, err = run(machine, "userdel", "-r", "lea")
    assert (code, out) == (0, "")
    assert err == f"userdel: lea mail spool ({machine.path}//var/mail/lea) not found\n"
    assert machine.etc().keys() == {"login.defs", "group", "gshadow"}
    assert not (machine.path / "home/lea").exists()


def test_defaults_come_from_the_vendor_and_go_to_etc(machine: Prefix) -> None:
    vendor = machine.path / "usr/lib/default"
    vendor.mkdir()
    (vendor / "useradd").write_text("# ours\nSHELL=/bin/zsh\nGROUP=44\n")
    assert run(machine, "useradd", "-D")[1] == (
        "GROUP=44\nHOME=/home\nINACTIVE=-1\nEXPIRE=\nSHELL=/bin/zsh\nSKEL=/etc/skel\n"
        "CREATE_MAIL_SPOOL=no\nLOG_INIT=yes\n"
    )
    assert run(machine, "useradd", "-D", "-b", "/srv", "-g", "video") == (0, "", "")
    file = machine.path / "etc/default/useradd"
    assert file.read_text() == (
        "# ours\nSHELL=/bin/zsh\nGROUP=44\nHOME=/srv\nINACTIVE=-1\nEXPIRE=\nSKEL=/etc/skel\n"
        "CREATE_MAIL_SPOOL=no\nLOG_INIT=yes\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert (vendor / "useradd").read_text() == "# ours\nSHELL=/bin/zsh\nGROUP=44\n"
    assert run(machine, "useradd", "-D", "-f", "3") == (0, "", "")
    assert "INACTIVE=3\n" in file.read_text()
    assert "INACTIVE=-1\n" in (file.parent / "useradd-").read_text()
    assert sorted(path.name for path in file.parent.iterdir()) == ["useradd", "useradd-"]


def test_defaults_that_cannot_be_written_change_nothing(machine: Prefix) -> None:
    (machine.path / "etc/default").write_text("")
    code, _, err = run(machine, "useradd", "-D", "-b", "/srv")
    assert (code, err) == (1, "useradd: cannot create new defaults file\n")


@pytest.mark.parametrize("tool", ["useradd", "usermod", "userdel"])
def test_help_and_option_errors(machine: Prefix, tool: str) -> None:
    code, out, err = run(machine, tool, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: {tool} [options] LOGIN\n")
    assert run(machine, tool, "--nope") == (2, "", f"{tool}: unrecognized option '--nope'\n" + out)
    assert run(machine, tool) == (2, "", out)
