# SPDX-License-Identifier: MIT
"""What differs between the releases of shadow-utils and the recordings do not show."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from accounts.change import Change
from accounts.edit.groupadd import AddGroup
from accounts.edit.groupdel import RemoveGroup
from accounts.errors import AccountsError, Fail
from accounts.system.audit_words import later_record
from accounts.system.newgroup import NewGroup, failure, find_gid, success
from tests.support.forked import run_forked
from tests.support.prefix import Prefix

ROWS = {
    "passwd": "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n",
    "group": "root:x:0:\nbob:x:1000:\n",
    "shadow": "root:*:19000:0:99999:7:::\nbob:!:19000:3:99999:7:::\n",
    "gshadow": "root:*::\nbob:!::\n",
}
YESCRYPT = "$y$j9T$LdJMENpBABJJ3hIHjB1Bi.$Vg9ux9tqG2dUF4o0Zy4A0lYtnQ6bW0mVb6cHqQ0x0v1"


@pytest.fixture
def machine(tmp_path: Path) -> Prefix:
    made = Prefix(tmp_path)
    made.local(**ROWS)
    return made


def shadow_of_bob(machine: Prefix) -> str:
    return (machine.read("shadow") or "").splitlines()[1]


@pytest.mark.parametrize(("release", "row"), [("4.19", "bob:!:19000:3:30:7:::"), ("4.20", "bob:!:19000::30:7:::")])
def test_the_minimum_of_days_goes_with_4_20(machine: Prefix, release: str, row: str) -> None:
    for tool in (["chage", "-M", "30", "bob"], ["passwd", "-q", "-x", "30", "bob"]):
        machine.local(**ROWS)
        # Below a prefix, as here, passwd notes the day.
        done = machine.run(*tool, ACCOUNTS_SHADOW_COMPAT=release, SOURCE_DATE_EPOCH=str(19000 * 86400))
        assert (done.stderr, shadow_of_bob(machine)) == ("", row)


@pytest.mark.parametrize("field", [YESCRYPT, YESCRYPT.replace("$y$", "$gy$"), "!", "*", ""])
def test_chpasswd_takes_every_valid_hash(machine: Prefix, field: str) -> None:
    """shadow 4.19 and 4.20 refuse gost-yescrypt's ("invalid password hash"), which crypt(3) makes and verifies."""
    done = machine.run("chpasswd", "-e", stdin=f"bob:{field}\n", ACCOUNTS_SHADOW_COMPAT="4.20")
    assert (done.returncode, done.stderr) == (0, "")
    assert shadow_of_bob(machine).split(":")[1] == field


def test_chpasswd_refuses_what_is_no_hash_since_4_19(machine: Prefix) -> None:
    assert machine.run("chpasswd", "-e", stdin="bob:secret\n", ACCOUNTS_SHADOW_COMPAT="4.18").returncode == 0
    machine.local(**ROWS)
    done = machine.run("chpasswd", "-e", stdin="bob:secret\nbob\nno:!\n", ACCOUNTS_SHADOW_COMPAT="4.19")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "chpasswd: (line 1, user bob) invalid password hash\n"
        "chpasswd: line 2: missing new password\n"
        "chpasswd: line 3: user 'no' does not exist\n"
        "chpasswd: error detected, changes ignored\n"
    )
    assert machine.read("shadow") == ROWS["shadow"]


@pytest.mark.parametrize(
    ("release", "users", "groups"),
    [
        ("4.13", {"a b": True}, ["a b"]),
        ("4.17", {"a b": True, "a;b": True, "1a": None, "12": True, "x" * 33: None}, ["a b", "a;b", "12", "x" * 33]),
        ("4.20", {"a b": False, "a;b": False, "1a": None, "12": False, "x" * 33: None, "\u00e9": True}, ["\u00e9"]),
    ],
)
def test_names_that_pwck_and_grpck_find_bad(
    machine: Prefix, release: str, users: dict[str, bool | None], groups: list[str]
) -> None:
    """users: name -> whether --badname would help, None where it is fine."""
    machine.local(
        passwd="".join(f"{name}:x:{number}:0::/:/bin/sh\n" for number, name in enumerate(users, 2000)),
        group="root:x:0:\n" + "".join(f"{name}:x:{number}:\n" for number, name in enumerate(groups, 2000)),
    )
    for name in ("shadow", "gshadow"):
        (machine.path / "etc" / name).unlink()
    found = machine.run("pwck", "-r", "-q", ACCOUNTS_SHADOW_COMPAT=release).stdout
    hint = {True: ": use --badname to ignore", False: ""}
    lines = [f"invalid user name '{name}'{hint[helps]}" for name, helps in users.items() if helps is not None]
    assert found.splitlines()[:-1] == lines
    found = machine.run("grpck", "-r", ACCOUNTS_SHADOW_COMPAT=release).stdout
    assert found.splitlines()[:-1] == [f"invalid group name '{name}'" for name in groups]


@pytest.mark.parametrize(("tool", "word"), [("groupmems", "gpasswd"), ("expiry", "chage")])
def test_a_tool_that_is_gone_names_its_successor(machine: Prefix, tool: str, word: str) -> None:
    done = machine.run(tool, ACCOUNTS_SHADOW_COMPAT="4.20")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"{tool}: not in shadow-utils since 4.20: use '{word} ")


def test_vipw_says_how_its_editor_ended(machine: Prefix) -> None:
    for release, words in (("4.19", " returned with status 1"), ("4.20", ": WEXITSTATUS(): 1")):
        done = machine.run("vipw", EDITOR="false", ACCOUNTS_SHADOW_COMPAT=release)
        assert done.stderr == f"vipw: false{words}\n"


def test_names_of_groups_are_looked_at_by_newgrp_since_4_17() -> None:
    request = NewGroup()
    request.group = "a b"
    with pytest.raises(Fail, match="group 'a b' does not exist"):
        find_gid(request, (4, 16))
    with pytest.raises(Fail, match="not a valid group name"):
        find_gid(request, (4, 17))
    # Such a name is not told to audit.
    assert failure(request, (4, 17))[1] == "changing"


@pytest.mark.parametrize(
    ("release", "group", "told"),
    [
        ((4, 13), "nosuch", "changing new-group=nosuch"),
        # The real tool of 4.13 writes such a name as it is, and so fields of its own into the record.
        ((4, 13), "a res=success", "changing new-group=61207265733D73756363657373"),
        ((4, 17), "nosuch", 'changing new_group="nosuch"'),
        ((4, 20), 'a"b', "changing new_group=612262"),
    ],
)
def test_what_newgrp_tells_audit(release: tuple[int, int], group: str, told: str) -> None:
    request = NewGroup()
    request.group = group
    record = failure(request, release)
    assert record == later_record(record, release) == ("CHGRP_ID", told, b"", os.getuid(), False, b"")
    words = {(4, 13): "changing new-gid=29"}.get(release, "changing new_gid=29")
    assert success(29, release) == ("CHGRP_ID", words, b"", os.getuid(), True, b"")


def test_groupadd_and_groupdel_have_hooks_since_4_14(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    for name, text in ROWS.items():
        (tmp_path / "etc" / name).write_text(text)
    seen: list[tuple[str, str, bytes, bool]] = []

    def note(change: Change, tool: str, when: str, subject: bytes) -> None:
        seen.append((tool, when, subject, b"crew" in (tmp_path / "etc/group").read_bytes()))

    monkeypatch.setattr(Change, "run_hooks", note)
    with Change(str(tmp_path), release=(4, 13)) as change:
        change.do(AddGroup(name=b"crew"))
        change.do(RemoveGroup(name=b"crew"))
    assert seen == []
    with Change(str(tmp_path), release=(4, 14)) as change:
        change.do(AddGroup(name=b"crew"))
        for request in (AddGroup(name=b"crew"), RemoveGroup(name=b"nosuch"), RemoveGroup(name=b"bob")):
            with pytest.raises(AccountsError):
                change.do(request)
        change.do(AddGroup(name=b"crew", force=True))
        change.do(RemoveGroup(name=b"crew"))
    assert seen == [
        ("groupadd", "pre", b"crew", False),
        ("groupadd", "post", b"crew", True),
        ("groupdel", "pre", b"crew", True),
        ("groupdel", "post", b"crew", False),
    ]


@pytest.mark.parametrize(
    ("release", "reason"), [("4.14", ""), ("4.15", ": Is a directory"), ("4.20", ": Is a directory")]
)
def test_groupadd_says_why_it_cannot_open_a_file_since_4_15(machine: Prefix, release: str, reason: str) -> None:
    (machine.path / "etc/gshadow").unlink()
    (machine.path / "etc/gshadow").mkdir()
    done = machine.run("groupadd", "crew", ACCOUNTS_SHADOW_COMPAT=release)
    assert (done.returncode, done.stderr) == (10, f"groupadd: cannot open {machine.shown('gshadow')}{reason}\n")
    assert machine.read("group") == ROWS["group"]


@pytest.mark.parametrize(
    ("release", "setting", "text"),
    [
        ("4.14", "-18446744073709551615", ""),
        ("4.15", "-18446744073709551615", "strtoull: Numerical result out of range\n"),
        ("4.15", "5x", "Trailing garbage: x\n"),
        ("4.16", "5x", 'a2i("5x"): Operation not supported'),
        ("4.19", "-5x", 'a2i("-5x"): Numerical result out of range'),
        ("4.20", " ", 'a2i(" "): Operation canceled\n'),
        ("4.20", "+5", ""),
    ],
)
def test_what_is_said_of_source_date_epoch(machine: Prefix, release: str, setting: str, text: str) -> None:
    done = machine.run("useradd", "-N", "new", ACCOUNTS_SHADOW_COMPAT=release, SOURCE_DATE_EPOCH=setting)
    said = text and f"Environment variable $SOURCE_DATE_EPOCH: {text}"
    assert (done.returncode, done.stderr) == (0, said)


@pytest.mark.parametrize("release", ["4.16", "4.17", "4.20"])
def test_comments_of_the_images_gshadow_are_no_rows(tmp_path: Path, release: str) -> None:
    """To sgetsgent(3) of 4.17 every line is a row, which grpconv takes away; NSS, which reads the image's, has none."""
    machine = Prefix(tmp_path).image(**{**ROWS, "gshadow": "# made by hand\n\n" + ROWS["gshadow"]})
    for tool in (["grpconv"], ["gpasswd", "-a", "bob", "root"]):
        done = machine.run(*tool, ACCOUNTS_SHADOW_COMPAT=release)
        assert (done.returncode, done.stderr) == (0, ""), tool
    assert (machine.read("gshadow"), machine.read("group")) == ("root:*::bob\n", "root:x:0:bob\n")


@pytest.mark.parametrize("command", ["status", "check", "diff", "rebase", "adopt", "flatten"])
def test_machine_commands_take_gshadow_of_every_release(tmp_path: Path, command: str) -> None:
    machine = Prefix(tmp_path).image(**ROWS).local(gshadow="odd\nbob\nroot:!::bob\n# x\n", group="odd:x:1001:\n")
    for release in ("4.13", "4.17", "4.20"):
        environment = {**machine.env, "ACCOUNTS_SHADOW_COMPAT": release}
        done = run_forked(["accounts", command, "-R", tmp_path], "", environment, 30)
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
