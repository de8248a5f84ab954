# SPDX-License-Identifier: MIT
"""Passwords and ageing over two layers: which local rows an edit leaves, and what the tools do around them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts.edit import passwords
from accounts.edit.person import join_gecos, split_gecos
from accounts.edit.request import edit
from accounts.edit.status import ChangeStatus
from accounts.errors import DuplicateRow, Fail, Refusal
from accounts.model.database import Database
from accounts.model.ids import IdPool, SubidPool, allocate_id
from accounts.model.policy import parse_nsswitch
from accounts.model.records import Passwd, Shadow, Subid
from accounts.model.table import Table
from accounts.system.lines import read_all, split_lines
from tests.support import hashes
from tests.support.database import make_database
from tests.support.prefix import Prefix

REPO = Path(__file__).parents[2]
TODAY = 20000
IMAGE = {
    "passwd": "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000:A:/home/alice:/bin/sh\nold:hash:7:7:::\nfresh:x:8:8:::\n",
    "shadow": "root:*:19000:0:99999:7:::\nalice:!old:19000:0:99999:7:::\nfresh:h:0:0:99999:7:::\n",
}
LOCAL = {
    "passwd": "bob:x:1001:1001:::\neve:clear:1002:1002:::\n",
    "shadow": "bob:$6$b:19500::::::\n",
}


def make(image: dict[str, str], local: dict[str, str]) -> Database:
    layers = ({name: text.encode() for name, text in layer.items()} for layer in (local, image))
    return make_database(*layers)


def changes(database: Database) -> dict[str, str | None]:
    """Name -> text of each local file that the edit changes, None for one that goes."""
    return {name: new and new.decode() for name, _, new in database.render_changes() if name != "accounts/base"}


def ageing() -> tuple[int, int, int]:
    return 0, 90, 7


class Facts:
    """What a request asks of a database at hand."""

    release = (4, 13)

    def __init__(self, database: Database, pam: bool = False) -> None:
        self._database = database
        self.pam = pam

    def is_present(self, name: str) -> bool:
        return self._database.tables[name].present

    def view(self, names: object) -> Database:
        return self._database

    def shown(self, name: str) -> str:
        return f"/etc/{name}"

    def has_pam_accounts(self) -> bool:
        return self.pam


def apply_status(name: bytes, **options: Any) -> Callable[[Database], object]:
    request = ChangeStatus(name=name, caller=b"root", today=TODAY, **options)
    return lambda database: edit(database, request, Facts(database))


def fails(edit: Callable[[Database], object], message: str) -> Callable[[Database], None]:
    def attempt(database: Database) -> None:
        with pytest.raises(Fail) as caught:
            edit(database)
        assert str(caught.value) == message

    return attempt


BOB = LOCAL["shadow"]
ALICE = "alice:x:1000:1000:A:/home/alice:/bin/sh\n"
EDITS: list[tuple[str, Callable[[Database], object], dict[str, str | None]]] = [
    (
        "locking an image user writes one shadow row and no passwd row",
        apply_status(b"root", lock=True),
        {"shadow": BOB + "root:!*:19000:0:99999:7:::\n"},
    ),
    (
        "locking what is locked writes nothing",
        apply_status(b"alice", lock=True),
        {},
    ),
    (
        "unlocking an image user",
        apply_status(b"alice", unlock=True),
        {"shadow": BOB + "alice:old:19000:0:99999:7:::\n"},
    ),
    (
        "days of an image user",
        apply_status(b"alice", min=1, max=2000, warn=3, inactive=4),
        {"shadow": BOB + "alice:!old:19000:1:2000:3:4::\n"},
    ),
    (
        "an image user's password that expires takes a passwd row, too: pam_unix would not change it without",
        apply_status(b"alice", expire=True),
        {"passwd": LOCAL["passwd"] + ALICE, "shadow": BOB + "alice:!old:0:0:99999:7:::\n"},
    ),
    (
        "the same by a number of days that have passed",
        apply_status(b"alice", max=999),
        {"passwd": LOCAL["passwd"] + ALICE, "shadow": BOB + "alice:!old:19000:0:999:7:::\n"},
    ),
    (
        "but not on the last day",
        apply_status(b"alice", max=1000),
        {"shadow": BOB + "alice:!old:19000:0:1000:7:::\n"},
    ),
    (
        "what has expired already gets no row by another change: that is for the login",
        apply_status(b"fresh", lock=True, expire=True),
        {"shadow": BOB + "fresh:!h:0:0:99999:7:::\n"},
    ),
    (
        "a local user's password that expires",
        apply_status(b"bob", expire=True),
        {"shadow": "bob:$6$b:0::::::\n"},
    ),
    (
        "a local user",
        apply_status(b"bob", delete=True),
        {"shadow": "bob::19500::::::\n"},
    ),
    (
        "without a shadow row the passwd row is meant: a local user",
        apply_status(b"eve", lock=True),
        {"passwd": "bob:x:1001:1001:::\neve:!clear:1002:1002:::\n"},
    ),
    (
        "without a shadow row the passwd row is meant: an image user",
        apply_status(b"old", lock=True),
        {"passwd": LOCAL["passwd"] + "old:!hash:7:7:::\n"},
    ),
    (
        "an unknown user",
        fails(apply_status(b"nobody", lock=True), "user 'nobody' does not exist in /etc/passwd"),
        {},
    ),
    (
        "a new password of an image user",
        lambda database: passwords.set_token(database, b"alice", b"$6$new", TODAY),
        {"shadow": BOB + "alice:$6$new:20000:0:99999:7:::\n"},
    ),
    (
        "a new password on day 0 disables ageing",
        lambda database: passwords.set_token(database, b"bob", b"$6$new", 0),
        {"shadow": "bob:$6$new:::::::\n"},
    ),
    (
        "a new password where passwd does not say x",
        lambda database: passwords.set_token(database, b"eve", b"$6$new", TODAY),
        {"passwd": "bob:x:1001:1001:::\neve:$6$new:1002:1002:::\n"},
    ),
    (
        "chpasswd writes both where passwd does not say x, and makes no shadow row there",
        lambda database: passwords.update_password(database, b"eve", b"$6$new", TODAY, ageing),
        {"passwd": "bob:x:1001:1001:::\neve:$6$new:1002:1002:::\n"},
    ),
    (
        "chpasswd of an image user",
        lambda database: passwords.update_password(database, b"root", b"$6$new", TODAY, ageing),
        {"shadow": BOB + "root:$6$new:20000:0:99999:7:::\n"},
    ),
    (
        "chage of an image user keeps password and flag",
        lambda database: passwords.change_ageing(
            database, database.passwd.get(b"alice"), Shadow(b"alice", b"", 1, 2, 99999, 4, 5, 6), TODAY, Facts(database)
        ),
        {"shadow": BOB + "alice:!old:1:2:99999:4:5:6:\n"},
    ),
    (
        "chage that makes the password of an image user expire",
        lambda database: passwords.change_ageing(
            database, database.passwd.get(b"alice"), Shadow(b"alice", b"", 0, 0, 99999, 7), TODAY, Facts(database)
        ),
        {"passwd": LOCAL["passwd"] + ALICE, "shadow": BOB + "alice:!old:0:0:99999:7:::\n"},
    ),
    (
        "the same where PAM changes passwords of image users by itself",
        lambda database: passwords.change_ageing(
            database, database.passwd.get(b"alice"), Shadow(b"alice", b"", 0, 0, 99999, 7), TODAY, Facts(database, True)
        ),
        {"shadow": BOB + "alice:!old:0:0:99999:7:::\n"},
    ),
    (
        "chage back to the image's days writes nothing",
        lambda database: passwords.change_ageing(
            database, database.passwd.get(b"alice"), Shadow(b"alice", b"", 19000, 0, 99999, 7), TODAY, Facts(database)
        ),
        {},
    ),
    (
        "chage of a user without a shadow row moves the password there",
        lambda database: passwords.change_ageing(
            database, database.passwd.get(b"eve"), Shadow(b"eve", b"", 1), TODAY, Facts(database)
        ),
        {"passwd": "bob:x:1001:1001:::\neve:x:1002:1002:::\n", "shadow": BOB + "eve:clear:1::::::\n"},
    ),
    (
        "pwconv makes local rows only",
        lambda database: passwords.shadow_users(database, TODAY, ageing),
        {
            "passwd": "bob:x:1001:1001:::\neve:x:1002:1002:::\nold:x:7:7:::\n",
            "shadow": BOB + "eve:clear:20000:0:90:7:::\nold:hash:20000:0:90:7:::\n",
        },
    ),
]


@pytest.mark.parametrize(("edit", "expected"), [case[1:] for case in EDITS], ids=[case[0] for case in EDITS])
def test_edits_leave_the_smallest_local_rows(
    edit: Callable[[Database], object], expected: dict[str, str | None]
) -> None:
    database = make(IMAGE, LOCAL)
    edit(database)
    assert changes(database) == expected


def test_back_to_what_the_image_says_removes_the_row_and_the_file() -> None:
    overrides = {"shadow": "alice:old:19000:0:99999:7:::\n"}
    database = make(IMAGE, overrides)
    apply_status(b"alice", lock=True)(database)
    assert changes(database) == {"shadow": None}


def test_unlocking_to_no_password_is_an_error_and_changes_nothing() -> None:
    database = make({}, {"passwd": "a:x:1:1:::\n", "shadow": "a:!:::::::\n"})
    with pytest.raises(Fail, match="passwordless"):
        apply_status(b"a", unlock=True)(database)
    assert changes(database) == {}


def test_pwunconv_refuses_over_an_image_with_shadow_rows() -> None:
    database = make(IMAGE, LOCAL)
    with pytest.raises(Refusal, match="only a new image"):
        passwords.unshadow_users(database)


def test_pwunconv_of_local_rows_removes_the_file() -> None:
    database = make({"passwd": IMAGE["passwd"]}, LOCAL)
    passwords.unshadow_users(database)
    assert changes(database) == {
        "passwd": "bob:$6$b:1001:1001:::\neve:clear:1002:1002:::\n",
        "shadow": None,
    }


def test_pwconv_refuses_to_drop_a_shadow_row_of_the_image() -> None:
    image = IMAGE | {"shadow": IMAGE["shadow"] + "gone:*:1::::::\n"}
    with pytest.raises(Refusal):
        passwords.shadow_users(make(image, LOCAL), TODAY, ageing)


def test_repeated_rows_stop_chpasswd_and_pam_takes_the_first() -> None:
    twice = {"passwd": "a:x:1:1:::\n", "shadow": "a:1:::::::\nb:*:::::::\na:2:::::::\n"}
    with pytest.raises(DuplicateRow):
        passwords.update_password(make({}, twice), b"a", b"new", TODAY, ageing)
    database = make({}, twice)
    passwords.set_token(database, b"a", b"new", TODAY)
    assert changes(database) == {"shadow": "a:new:20000::::::\nb:*:::::::\na:2:::::::\n"}


@pytest.mark.parametrize("name", [b"+nis", b"-x", b"nobody"])
def test_pam_knows_no_such_user(name: bytes) -> None:
    assert not passwords.can_set_token(make(IMAGE, LOCAL), name)


def test_pam_needs_a_shadow_file_only_where_passwd_says_x() -> None:
    database = make({}, {"passwd": LOCAL["passwd"]})
    assert not passwords.can_set_token(database, b"bob")
    assert passwords.can_set_token(database, b"eve")


@pytest.mark.parametrize(
    ("row", "passwd", "state"),
    [
        (None, b"x", 0),
        (Shadow(b"a", b"", 0), b"x", 1),
        (Shadow(b"a", b"", 0), b"*", 0),
        (Shadow(b"a", b"", -1, -1, 5), b"x", 0),
        (Shadow(b"a", b"", TODAY - 10, 0, 10), b"x", 1),
        (Shadow(b"a", b"", TODAY - 9, 0, 10), b"x", 0),
        (Shadow(b"a", b"", TODAY - 10, 0, 5, 7, 5), b"x", 2),
        (Shadow(b"a", b"", TODAY - 10, 0, 5, 7, 6), b"x", 1),
        (Shadow(b"a", b"", 1, 0, 10000), b"x", 0),
        (Shadow(b"a", b"", TODAY, expire=TODAY), b"x", 3),
        (Shadow(b"a", b"", TODAY, expire=TODAY + 1), b"x", 0),
        (Shadow(b"a", b"", TODAY, expire=0), b"x", 0),
    ],
)
def test_expiry_state(row: Shadow | None, passwd: bytes, state: int) -> None:
    user = Passwd(b"a", passwd, 1, 1, b"", b"", b"")
    assert passwords.expiry_state(user, row, TODAY, (4, 13)) == state


def test_ten_thousand_days_end_since_4_19() -> None:
    user, row = Passwd(b"a", b"x", 1, 1, b"", b"", b""), Shadow(b"a", b"", 1, 0, 10000)
    assert [passwords.expiry_state(user, row, TODAY, release) for release in ((4, 18), (4, 19))] == [0, 1]


@pytest.mark.parametrize(
    ("gecos", "given", "expected"),
    [
        (b"", {"f": b"Me"}, b"Me,,,"),
        (b"A,1,2,3,x", {}, b"A,1,2,3,x"),
        (b"A,1,2,3,x,y", {"r": b"9"}, b"A,9,2,3,x,y"),
        (b"A,1,2,3,x,y", {"o": b"z"}, b"A,1,2,3,z"),
        (b"A,k=v,1,2,3,x", {}, b"A,1,2,3,k=v,x"),
        (b"A,k=v,1,2,3,x", {"o": b"z"}, b"A,1,2,3,z,k=v"),
        (b"A", {"h": b"3"}, b"A,,,3"),
        (b"A,1,2,3,", {}, b"A,1,2,3"),
    ],
)
def test_gecos_parts(gecos: bytes, given: dict[str, bytes], expected: bytes) -> None:
    assert join_gecos(split_gecos(gecos, given, (4, 18))) == expected


@pytest.mark.parametrize(
    ("gecos", "given", "expected"),
    [
        (b"", {"f": b"Me"}, b"Me,,,"),
        (b"", {"o": b"x"}, b",,,,x"),
        (b"A,1,2,3,x,y", {"r": b"9"}, b"A,9,2,3,x,y"),
        (b"A,1,2,3,x,y", {"o": b"z"}, b"A,1,2,3,z"),
        (b"A,k=v,1,2,3,x", {}, b"A,k=v,1,2,3,x"),
        (b"A", {"h": b"3"}, b"A,,,3"),
    ],
)
def test_gecos_parts_are_where_the_commas_are_since_4_19(
    gecos: bytes, given: dict[str, bytes], expected: bytes
) -> None:
    assert join_gecos(split_gecos(gecos, given, (4, 19))) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [(b"a\nb", [b"a", b"b"]), (b"x" * 9000 + b"\nb\n", [None, b"x" * 809, b"b"])]
)
def test_lines_as_newusers_reads_them(text: bytes, expected: list[bytes | None]) -> None:
    assert list(split_lines(text, drop_rest=False, open_end=True)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"passwd: files altfiles\n", False),
        (b"passwd: files systemd\n", True),
        (b"group: files sss\npasswd: files # sss\n", True),
        (b"passwd: compat\n", True),
        (b"passwd: files [NOTFOUND=return] sss\n", True),
        (b"", False),
    ],
)
def test_other_services(text: bytes, expected: bool) -> None:
    assert parse_nsswitch(text).others["passwd"] is expected


class Defs:
    """login.defs with nothing in it but what is given."""

    def __init__(self, **values: int) -> None:
        self.values = values

    def get_ulong(self, name: str, default: int) -> int:
        return self.values.get(name, default)


@pytest.mark.parametrize("system", [False, True])
def test_a_pool_gives_the_ids_that_single_calls_give(system: bool) -> None:
    defs = Defs(UID_MIN=10, UID_MAX=20, SYS_UID_MIN=1, SYS_UID_MAX=9)
    start = {3, 4, 9, 12, 19}

    def is_taken(number: int) -> bool:
        return number == 2

    used = set(start)
    pool = IdPool("UID", system, defs, set(start), is_taken)
    for _ in range(5):
        expected = allocate_id("UID", system, defs, set(used), is_taken)
        assert pool.find() == pool.find() == expected
        used.add(expected)
        pool.add(expected)


def test_a_pool_gives_the_ranges_that_single_calls_give() -> None:
    text = b"c:400:50\na:100:50\nb:220:30\n"
    defs = Defs(SUB_UID_MIN=100, SUB_UID_MAX=600, SUB_UID_COUNT=50)
    single, many = Table(Subid, text), Table(Subid, text)
    pool = SubidPool(many, "UID", defs)
    for owner in (b"u", b"v", b"w", b"x"):
        start, count = SubidPool(single, "UID", defs).find(0)
        single.append(Subid(owner, start, count))
        pool.give(owner, 0)
        pool.give(b"a", 0)
    pool.write()
    assert many.render() == single.render()


# The tools, below --prefix


def prefix(path: Path) -> Prefix:
    return Prefix(path, SOURCE_DATE_EPOCH=str(TODAY * 86400))


@pytest.fixture
def machine(tmp_path: Path) -> Prefix:
    group = {"group": "root:x:0:\nalice:x:1000:\n", "gshadow": "root:*::\nalice:!::\n"}
    return prefix(tmp_path).image(**IMAGE, **group)


def test_chpasswd_is_one_transaction(machine: Prefix) -> None:
    done = machine.run("chpasswd", "-e", stdin="alice:one\nnosuch:two\n")
    assert (done.returncode, machine.read("shadow")) == (1, None)
    assert done.stderr == (
        "chpasswd: line 2: user 'nosuch' does not exist\nchpasswd: error detected, changes ignored\n"
    )
    done = machine.run("chpasswd", "-e", stdin="alice:one\nroot:two\nalice:three\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.read("shadow") == "alice:three:20000:0:99999:7:::\nroot:two:20000:0:99999:7:::\n"
    assert machine.read("passwd") is None


def test_chsh_and_chfn_write_one_override_and_take_it_back(machine: Prefix) -> None:
    assert machine.run("chsh", "-s", "/bin/other", "alice").returncode == 0
    assert machine.run("chfn", "-f", "Alice", "alice").returncode == 0
    assert machine.read("passwd") == "alice:x:1000:1000:Alice,,,:/home/alice:/bin/other\n"
    assert machine.read("shadow") is None
    assert machine.run("usermod", "-c", "A", "-s", "/bin/sh", "alice").returncode == 0
    assert machine.read("passwd") is None


def test_pwck_names_the_layer_and_repairs_the_local_one(tmp_path: Path) -> None:
    image = {
        "passwd": "root:x:0:0:::\na b:x:5:9:::\nsame:x:6:0:::\n",
        "shadow": "root:*:::::::\nlost:*:::::::\nsame:*:::::::\na b:*:::::::\n",
        "group": "root:x:0:\n",
    }
    local = {
        "passwd": "bob:pw:6:0:::\nbroken\n",
        "shadow": "gone:*:::::::\nroot:!:::::::\n",
    }
    machine = prefix(tmp_path).image(**image).local(**local)
    done = machine.run("pwck", stdin="y\ny\ny\n")
    shown = f"{tmp_path}/"
    assert done.stdout.replace(shown, "") == (
        "no matching password file entry in /etc/shadow\n"
        "add user 'bob' in /etc/shadow? "
        "invalid password file entry\n"
        "delete line 'broken'? "
        "invalid user name 'a b': use --badname to ignore (image)\n"
        "user 'a b': no group 9 (image)\n"
        "user bob: UID 6 is that of user same in the image\n"
        "no matching password file entry in /etc/passwd\n"
        "delete line 'gone:*:::::::'? "
        "no matching password file entry in /etc/passwd (image)\n"
        "delete line 'lost:*:::::::'? No\n"
        "pwck: the files have been updated\n"
    )
    assert done.returncode == 2
    assert machine.read("passwd") == "bob:x:6:0:::\n"
    assert machine.read("shadow") == "root:!:::::::\nbob:pw:20000::::::\n"


def test_newusers_refuses_to_take_over_a_group_of_the_image(machine: Prefix) -> None:
    # As in shadow a numeric group that does not exist gets the user's name: here that of an image group.
    (machine.path / "users").write_text("root2:::5000:::\nroot:::::R:\nalice2:::4000:::\n")
    (machine.path / "usr/lib/group").write_text("root:x:0:\nroot2:x:9:\n")
    (machine.path / "usr/lib/gshadow").unlink()
    done = machine.run("newusers", str(machine.path / "users"))
    assert done.returncode == 1
    assert "read-only image" in done.stderr
    assert [machine.read(name) for name in ("passwd", "shadow", "group")] == [None] * 3


def test_newusers_updates_an_image_user_and_makes_another(machine: Prefix) -> None:
    done = machine.run("newusers", stdin="alice::::New::/bin/zsh\nnina:::1000:::\n")
    assert machine.read("passwd") == "alice:x:1000:1000:New:/home/alice:/bin/zsh\nnina:x:1001:1000:::\n"
    assert machine.read("shadow") == "nina:!:20000:0:10000::::\n"
    assert machine.read("group") is None
    # The empty passwords, as pam_unix puts it.
    assert done.returncode == 1
    assert done.stderr.endswith("newusers: (line 2, user nina) password not changed\n")


def test_busybox_dialect(machine: Prefix) -> None:
    def run(tool: str, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/usr/bin/python3", "-c", CALL, tool, str(machine.path), *argv],
            capture_output=True, text=True, timeout=30, cwd=REPO, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    assert run("addgroup", "-g", "500", "staff").returncode == 0
    assert run("adduser", "-D", "-H", "-G", "staff", "-s", "/bin/ash", "nina").returncode == 0
    assert run("addgroup", "nina", "root").returncode == 0
    assert machine.read("passwd") == "nina:x:1001:500:Linux User,,,:/home/nina:/bin/ash\n"
    assert machine.read("group") == "staff:x:500:\nroot:x:0:nina\n"
    assert run("delgroup", "nina", "root").returncode == 0
    assert machine.read("group") == "staff:x:500:\n"
    done = run("delgroup", "nina", "root")
    assert (done.returncode, done.stderr) == (
        1, f"delgroup: can't find nina in {machine.path}//etc/group\n"
    )  # fmt: skip
    assert run("deluser", "nina").returncode == 0
    assert run("delgroup", "staff").returncode == 0
    assert (machine.read("passwd"), machine.read("group")) == (None, None)
    assert run("adduser").returncode == 1


# busybox's tools have no --prefix: one is slipped in here.
CALL = """
import sys
from accounts.cli import busybox, run
from accounts.system.target import Target
tool, prefix = sys.argv[1:3]
del sys.argv[1:3]
run.Target = lambda: Target(b"/", prefix.encode())
# Never this machine's own accounts.
assert run.Run(busybox.TOOL_ADDUSER, tool).change.target.prefix == prefix.encode()
getattr(busybox, "main_" + tool)()
"""


def test_a_hash_made_by_chpasswd_verifies(machine: Prefix) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALL_CHPASSWD, str(machine.path)],
        input="alice:secret\n", capture_output=True, text=True, timeout=30, cwd=REPO,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    row = (machine.read("shadow") or "").split(":")
    assert row[0] == "alice"
    assert row[1].startswith("$6$rounds=1234$")
    assert hashes.verifies(b"secret", row[1].encode())


CALL_CHPASSWD = """
import sys
sys.argv = ["chpasswd", "-P", sys.argv[1], "-c", "SHA512", "-s", "1234"]
from accounts.cli.chpasswd import main
main()
"""


def test_input_that_does_not_end_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.system.lines.MAX_INPUT", 3 << 20)
    with open("/dev/zero", "rb") as endless, pytest.raises(OSError, match="File too large"):
        read_all(endless.fileno())
    read_end, write_end = os.pipe()
    os.write(write_end, b"alice:secret\nbob:x")
    os.close(write_end)
    assert read_all(read_end) == b"alice:secret\nbob:x"
    os.close(read_end)
