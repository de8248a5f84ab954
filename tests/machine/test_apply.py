# SPDX-License-Identifier: MIT
"""accounts apply: what is declared is made and changed, what is declared no more is locked, the rest stays."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from unittest import mock

import pytest

from tests.machine.life import PYTHON, TOP, Result, accounts, local, make_root, tool, validate

HASH = "$6$abcdefgh$" + "x" * 86
OTHER = "$6$abcdefgh$" + "y" * 86
DEFS = "USERGROUPS_ENAB yes\nUID_MIN 1000\nUID_MAX 60000\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = make_root(tmp_path)
    (path / "etc/login.defs").write_text(DEFS)
    return path


def declare(
    root: Path, text: str, name: str = "10-site.toml", directory: str = "etc/accounts.d", mode: int = 0o600
) -> Path:
    """Write a drop-in."""
    file = root / directory / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


def apply(root: Path, text: str | None = None, *argv: str, status: int = 0) -> Result:
    """Declare and apply."""
    if text is not None:
        declare(root, text)
    done = accounts(root, "apply", *argv)
    assert (done.status, done.stderr) == (status, ""), done
    return done


def rows(root: Path, name: str) -> dict[str, list[str]]:
    """Name -> the fields behind it of a local file."""
    lines = local(root).get(name, "").splitlines()
    return {line.split(":")[0]: line.split(":")[1:] for line in lines}


def memory(root: Path) -> list[str]:
    path = root / "etc/accounts/applied"
    return path.read_text().splitlines()[1:] if path.exists() else []


def times(root: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in (root / "etc").rglob("*")}


# Making and changing

TEAM = f"""
[groups.crew]
gid = 2000
members = ["daemon"]

[users.alice]
uid = 1005
gecos = "Alice"
shell = "/bin/bash"
password = "{HASH}"
groups = ["video", "crew"]
expiredate = 2030-01-01
maxdays = 90
warndays = 7
subuid = [{{ start = 700000, count = 65536 }}]

[users.svc]
system = true
home = "/var/lib/svc"
shell = "/usr/sbin/nologin"

[users.www]
shell = "/bin/sh"
"""


def test_all_that_can_be_declared(root: Path) -> None:
    apply(root, TEAM)
    files = local(root)
    assert files["passwd"] == (
        "alice:x:1005:1005:Alice:/home/alice:/bin/bash\n"
        "svc:x:999:999::/var/lib/svc:/usr/sbin/nologin\n"
        "www:x:33:33:web:/var/www:/bin/sh\n"
    )
    assert files["group"] == "crew:x:2000:alice,daemon\nalice:x:1005:\nsvc:x:999:\nvideo:x:44:alice\n"
    assert files["gshadow"] == "crew:!::alice,daemon\nalice:!::\nsvc:!::\nvideo:*::alice\n"
    assert rows(root, "shadow")["alice"][0] == HASH
    assert rows(root, "shadow")["alice"][2:] == ["", "90", "7", "", "21915", ""]
    assert rows(root, "shadow")["svc"][0] == "!"
    assert files["subuid"] == "alice:700000:65536\n"
    assert "subgid" not in files
    assert memory(root) == [
        "group:alice:1005:present:made:", "group:crew:2000:present:made:", "group:svc:999:present:made:",
        "member:alice:crew:", "member:alice:video:", "member:daemon:crew:",
        "passwd:alice:1005:present:made:", "passwd:svc:999:present:made:",
    ]  # fmt: skip
    home = (root / "home/alice").stat()
    assert (home.st_uid, home.st_gid) == (1005, 1005)
    assert not (root / "var/lib/svc").exists()
    assert (root / "etc/accounts/applied").stat().st_mode & 0o777 == 0o600


def test_it_is_what_the_tools_make(root: Path, tmp_path: Path) -> None:
    apply(root, f'[users.alice]\ngecos = "A"\npassword = "{HASH}"\ngroups = ["video"]\nmaxdays = 9\n[groups.crew]\n')
    (tmp_path / "other").mkdir()
    other = make_root(tmp_path / "other")
    (other / "etc/login.defs").write_text(DEFS)
    for argv in (
        ("groupadd", "crew"), ("useradd", "-m", "-c", "A", "-p", HASH, "-G", "video", "alice"),
        ("chage", "-M", "9", "alice"),
    ):  # fmt: skip
        assert tool(other, *argv).status == 0
    assert local(root) == local(other)


def test_a_second_run_writes_nothing(root: Path) -> None:
    apply(root, TEAM)
    before = times(root)
    done = apply(root)
    assert (done.stdout, times(root)) == ("", before)
    assert apply(root, None, "--check").stdout == ""


def test_only_what_is_declared_changes(root: Path) -> None:
    apply(root, '[users.alice]\nshell = "/bin/sh"\n')
    for argv in (("usermod", "-c", "By hand", "-aG", "adm", "alice"), ("usermod", "-s", "/bin/bash", "alice")):
        assert tool(root, *argv).status == 0
    assert apply(root).stdout == "user alice: shell /bin/bash -> /bin/sh\n"
    assert rows(root, "passwd")["alice"][3:] == ["By hand", "/home/alice", "/bin/sh"]
    assert rows(root, "group")["adm"] == ["x", "4", "alice"]


def test_ids_change_and_files_of_the_home_follow(root: Path) -> None:
    apply(root, "[groups.g]\ngid = 2000\n[users.alice]\nuid = 1005\n")
    apply(root, "[groups.g]\ngid = 2001\n[users.alice]\nuid = 1006\n")
    assert rows(root, "passwd")["alice"][1] == "1006"
    assert (root / "home/alice").stat().st_uid == 1006
    assert rows(root, "group")["g"][1] == "2001"
    # Nobody gets the old ones.
    assert {"passwd:alice:1005:removed::", "group:g:2000:removed::"} <= set(memory(root))
    assert tool(root, "useradd", "-U", "carol").status == 0
    assert rows(root, "passwd")["carol"][1] == "1007"


def test_memberships_that_are_declared_no_more_go(root: Path) -> None:
    assert tool(root, "usermod", "-aG", "adm", "www").status == 0
    apply(root, '[users.alice]\ngroups = ["video", "adm"]\n[users.www]\ngroups = ["adm", "video"]\n')
    done = apply(root, '[users.alice]\ngroups = ["adm"]\n[users.www]\n')
    assert sorted(done.stdout.splitlines()) == ["user alice: leaves group video", "user www: leaves group video"]
    # www was in adm before.
    assert local(root)["group"] == "adm:x:4:www,alice\nalice:x:1000:\n"


def test_subordinate_ids_are_those_of_useradd_or_the_declared_ones(root: Path) -> None:
    for name in ("subuid", "subgid"):
        (root / "etc" / name).write_text("bob:100000:65536\n")
    apply(root, "[users.alice]\n[users.carol]\nsubuid = [{start = 500000, count = 10}]\n")
    assert local(root)["subgid"] == "bob:100000:65536\nalice:165536:65536\ncarol:231072:65536\n"
    assert local(root)["subuid"] == "bob:100000:65536\ncarol:500000:10\nalice:165536:65536\n"
    apply(root, "[users.alice]\nsubuid = []\n[users.carol]\nsubuid = [{start = 500010, count = 10}]\n")
    assert local(root)["subuid"] == "bob:100000:65536\ncarol:500010:10\n"


def test_a_home_is_made_again_when_it_is_not_there(root: Path) -> None:
    (root / "etc/skel").mkdir()
    (root / "etc/skel/.profile").write_text("hello\n")
    apply(root, "[users.alice]\n[users.bob]\ncreate-home = false\n[users.www]\ncreate-home = true\n")
    assert (root / "home/alice/.profile").read_text() == "hello\n"
    assert not (root / "home/bob").exists()
    assert (root / "var/www").stat().st_uid == 33
    (root / "home/alice/.profile").unlink()
    (root / "home/alice").rmdir()
    assert apply(root, None, "--check", status=1).stdout == "user alice: home /home/alice made\n"
    assert apply(root).stdout == "user alice: home /home/alice made\n"
    assert (root / "home/alice/.profile").exists()


def test_a_home_that_cannot_be_made_keeps_no_other_from_it(root: Path) -> None:
    (root / "srv").write_text("a file\n")
    declare(root, '[users.alice]\nhome = "/srv/x/alice"\n[users.bob]\n')
    done = accounts(root, "apply")
    assert done.status == 3
    assert done.stderr.splitlines()[-1] == "accounts apply: 1 home could not be made; the accounts are"
    assert (root / "home/bob").exists()
    assert set(rows(root, "passwd")) == {"alice", "bob"}


# Locking, removing


def test_what_is_declared_no_more_is_locked(root: Path) -> None:
    apply(
        root,
        f'[users.alice]\npassword = "{HASH}"\nexpiredate = 2040-01-01\ngroups = ["video"]\n[users.www]\ngecos = "W"\n',
    )
    done = apply(root, "")
    assert sorted(done.stdout.splitlines()) == [
        "user alice: leaves group video",
        "user alice: locked: it is declared no more",
    ]
    assert rows(root, "shadow")["alice"][0] == "!" + HASH
    assert rows(root, "shadow")["alice"][6] == "1"
    # www was there before: nothing of it goes.
    assert rows(root, "passwd")["www"][3] == "W"
    before = times(root)
    assert apply(root, "").stdout == ""
    assert times(root) == before | {
        str(root / "etc/accounts.d/10-site.toml"): times(root)[str(root / "etc/accounts.d/10-site.toml")]
    }
    # It comes back as it was.
    assert apply(root, "[users.alice]\n").stdout == "user alice: unlocked\n"
    assert rows(root, "shadow")["alice"][0] == HASH
    assert rows(root, "shadow")["alice"][6] == "25567"


def test_a_password_that_comes_with_the_return_is_good(root: Path) -> None:
    apply(root, "[users.alice]\n")
    apply(root, "")
    apply(root, f'[users.alice]\npassword = "{HASH}"\n')
    assert rows(root, "shadow")["alice"][0] == HASH


@pytest.mark.parametrize("where", ["entry", "top"])
def test_remove_says_that_it_goes_altogether(root: Path, where: str) -> None:
    entry, top = ("remove = true\n", "") if where == "entry" else ("", "remove = true\n")
    apply(root, f'[groups.crew]\ngid = 2000\n{entry}[users.alice]\n{entry}groups = ["crew"]\n')
    assert rows(root, "passwd")["alice"][1] == "1000"
    apply(root, top)
    assert {name: text for name, text in local(root).items() if text} == {}
    assert (root / "home/alice").exists()
    # Its id is nobody else's, and its own when it comes back.
    assert tool(root, "useradd", "-U", "bob").status == 0
    assert rows(root, "passwd")["bob"][1:3] == ["1001", "1001"]
    apply(root, "[users.carol]\n[users.alice]\n[groups.crew]\n")
    assert rows(root, "passwd")["alice"][1:3] == ["1000", "1000"]
    assert rows(root, "group")["crew"][1] == "2000"
    assert rows(root, "passwd")["carol"][1] == "1002"


def test_an_entry_that_is_to_stay_stays(root: Path) -> None:
    apply(root, "[users.alice]\nremove = false\n[users.bob]\n")
    apply(root, "remove = true\n")
    assert list(rows(root, "passwd")) == ["alice"]
    assert rows(root, "shadow")["alice"][6] == "1"


def test_an_id_of_a_removed_account_is_not_given_on_purpose_either(root: Path) -> None:
    apply(root, "[users.alice]\nuid = 1500\nremove = true\n")
    apply(root, "")
    declare(root, "[users.bob]\nuid = 1500\n")
    done = accounts(root, "apply")
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr == (
        "accounts apply: /etc/accounts.d/10-site.toml:2: users.bob.uid: "
        "UID 1500 was that of 'alice', and files may have it still: take another one\n"
    )
    assert "passwd" not in local(root)


def test_what_somebody_removed_is_made_again_with_its_id(root: Path) -> None:
    apply(root, "[users.alice]\n[users.bob]\n")
    assert tool(root, "userdel", "alice").status == 0
    assert tool(root, "useradd", "-U", "carol").status == 0
    apply(root)
    assert {name: fields[1] for name, fields in rows(root, "passwd").items()} == {
        "alice": "1000",
        "bob": "1001",
        "carol": "1002",
    }


def test_an_account_made_anew_by_hand_is_not_applys(root: Path) -> None:
    apply(root, "[users.alice]\nremove = true\n")
    assert tool(root, "userdel", "alice").status == 0
    assert tool(root, "useradd", "-U", "-u", "1700", "alice").status == 0
    assert apply(root, "").stdout == ""
    assert rows(root, "passwd")["alice"][1] == "1700"


def test_an_account_that_the_image_has_now_is_left_to_it(root: Path) -> None:
    apply(root, "[users.late]\nuid = 500\nsystem = true\nremove = true\ngroups = ['video']\n")
    for name, row in (
        ("passwd", "late:x:500:500::/:/bin/sh\n"),
        ("group", "late:x:500:\n"),
        ("shadow", "late:*:1::::::\n"),
    ):
        with (root / "usr/lib" / name).open("a") as file:
            file.write(row)
    assert accounts(root, "apply").status == 0
    assert apply(root, "").stdout == "user late: leaves group video\n"
    assert tool(root, "chage", "-l", "late").status == 0


def test_a_group_stays_while_it_is_a_users_primary_one(root: Path) -> None:
    apply(root, "remove = true\n[groups.crew]\n[users.alice]\ngid = 'crew'\n")
    done = apply(root, "remove = true\n[users.alice]\n")
    assert done.stdout == "group crew: not removed: cannot remove the primary group of user 'alice'\n"
    apply(root, "remove = true\n")
    assert not any(local(root).values())


def test_locked(root: Path) -> None:
    apply(root, f'[users.alice]\nlocked = true\npassword = "{HASH}"\n[users.bob]\nlocked = true\n')
    assert [rows(root, "shadow")[name][0] for name in ("alice", "bob")] == ["!" + HASH, "!"]
    assert [rows(root, "shadow")[name][6] for name in ("alice", "bob")] == ["1", "1"]
    assert apply(root).stdout == ""
    apply(root, f'[users.alice]\npassword = "{OTHER}"\n[users.bob]\n')
    assert [rows(root, "shadow")[name][0] for name in ("alice", "bob")] == [OTHER, "!"]
    assert [rows(root, "shadow")[name][6] for name in ("alice", "bob")] == ["", ""]


def test_an_administrators_lock_stays(root: Path) -> None:
    apply(root, f'[users.alice]\npassword = "{HASH}"\n')
    assert tool(root, "usermod", "-L", "alice").status == 0
    assert apply(root).stdout == ""
    apply(root, f'[users.alice]\npassword = "{OTHER}"\n')
    assert rows(root, "shadow")["alice"][0] == "!" + OTHER
    apply(root, f'[users.alice]\npassword = "{OTHER}"\nlocked = false\n')
    assert rows(root, "shadow")["alice"][0] == OTHER


def test_the_day_of_the_last_change_is_that_of_a_new_password_only(root: Path) -> None:
    apply(root, f'[users.alice]\npassword = "{HASH}"\n')
    assert tool(root, "chage", "-d", "2020-01-01", "alice").status == 0
    apply(root, f'[users.alice]\npassword = "{HASH}"\nlocked = true\n')
    apply(root, f'[users.alice]\npassword = "{HASH}"\n')
    assert rows(root, "shadow")["alice"][1] == "18262"


def test_a_password_for_the_first_time_only(root: Path) -> None:
    text = f'[users.alice]\npassword = "{HASH}"\nupdate-password = "on_create"\n'
    apply(root, text)
    assert tool(root, "usermod", "-p", OTHER, "alice").status == 0
    assert apply(root).stdout == ""
    assert rows(root, "shadow")["alice"][0] == OTHER


# Where it comes from


def test_drop_ins_are_systemds(root: Path) -> None:
    declare(root, "[users.vendor]\n[users.both]\ngecos = 'v'\nshell = '/bin/sh'\n", "20-a.toml", "usr/lib/accounts.d")
    declare(root, "[users.both]\ngecos = 'late'\n", "30-b.toml", "usr/lib/accounts.d")
    declare(root, "[users.run]\n", "20-a.toml", "run/accounts.d")
    declare(root, "[users.masked]\n", "25-m.toml", "usr/lib/accounts.d")
    declare(root, "[users.both]\ngecos = 'early'\nshell = '/bin/sh'\n", "10-e.toml")
    declare(root, "[users.ignored]\n", "x.toml.bak")
    (root / "etc/accounts.d/25-m.toml").symlink_to("/dev/null")
    apply(root)
    assert {name: fields[3] for name, fields in rows(root, "passwd").items()} == {"run": "", "both": "late"}
    assert rows(root, "passwd")["both"][5] == "/bin/sh"


def test_directories_in_place_of_the_standard_ones(root: Path, tmp_path: Path) -> None:
    declare(root, "[users.no]\n")
    for name, text in (("one", "[users.a]\n"), ("two", "[users.b]\n")):
        declare(tmp_path, text, "x.toml", name)
    declare(tmp_path, "[users.c]\n", "y.toml", "one")
    apply(root, None, str(tmp_path / "one"), str(tmp_path / "two"))
    assert list(rows(root, "passwd")) == ["b", "c"]


def test_named_and_standard_directories_are_two_declarations(root: Path, tmp_path: Path) -> None:
    apply(root, "[users.standard]\n[users.www]\ngroups = ['video']\n[users.daemon]\ngroups = ['video']\n")
    named = str(declare(tmp_path, "[users.named]\ngroups = ['video']\n", "x.toml", "named").parent)
    done = apply(root, None, named)
    assert done.stdout.splitlines()[-1] == "user named: joins group video"
    before = times(root)
    assert apply(root).stdout == ""
    assert apply(root, None, named).stdout == ""
    assert times(root) == before
    declare(tmp_path, "", "x.toml", "named")
    done = apply(root, None, named)
    assert done.stdout == "user named: locked: it is declared no more\nuser named: leaves group video\n"
    assert apply(root, "[users.www]\n[users.standard]\n").stdout.count("leaves") == 2
    assert memory(root)[-2:] == ["passwd:named:1001:locked:made,named:", "passwd:standard:1000:present:made:"]


def test_sysusers_lines(root: Path) -> None:
    (root / "etc/os-release").write_text("ID=debian\n")
    lines = 'u svc 300 "A %o service" /var/lib/svc\ng dev 301\nu! ext 302:video - /bin/sh\nm svc dev\nm new video\n'
    declare(root, lines + "r - 5-9\n", "50-svc.conf")
    done = accounts(root, "apply")
    assert (done.status, done.stderr.count("\n")) == (0, 1)
    assert "50-svc.conf:6: ranges of ids are those of login.defs" in done.stderr
    files = local(root)
    assert files["passwd"].splitlines()[:2] == [
        "svc:x:300:300:A debian service:/var/lib/svc:/usr/sbin/nologin",
        "ext:x:302:44::/bin/sh:/usr/sbin/nologin",
    ]
    assert rows(root, "passwd")["new"][1] == "299"
    assert [rows(root, "shadow")[name][0] for name in ("svc", "ext")] == ["!*", "!*"]
    assert [rows(root, "shadow")[name][6] for name in ("svc", "ext")] == ["", "1"]
    assert rows(root, "group")["dev"] == ["x", "301", "svc"]
    assert rows(root, "group")["video"] == ["x", "44", "new"]
    before = times(root)
    accounts(root, "apply")
    assert times(root) == before


def test_userdb_records(root: Path) -> None:
    user = {
        "userName": "alice", "uid": 1010, "realName": "Alice", "homeDirectory": "/srv/alice", "shell": "/bin/sh",
        "disposition": "regular", "memberOf": ["crew"], "passwordChangeMaxUSec": 90 * 86_400_000_000,
        "notAfterUSec": 21915 * 86_400_000_000, "unknownField": {"x": 1},
    }  # fmt: skip
    declare(root, json.dumps(user), "alice.user")
    declare(root, json.dumps({"privileged": {"hashedPassword": [HASH]}}), "alice.user-privileged")
    declare(root, json.dumps({"groupName": "crew", "gid": 2000}), "crew.group")
    declare(root, "", "alice:video.membership")
    (root / "etc/accounts.d/1010.user").symlink_to("alice.user")
    apply(root)
    assert rows(root, "passwd")["alice"] == ["x", "1010", "1010", "Alice", "/srv/alice", "/bin/sh"]
    assert rows(root, "shadow")["alice"][0] == HASH
    assert rows(root, "shadow")["alice"][3:7] == ["90", "", "", "21915"]
    assert rows(root, "group")["crew"] == ["x", "2000", "alice"]
    assert rows(root, "group")["video"] == ["x", "44", "alice"]


def test_what_export_writes_can_be_applied(root: Path, tmp_path: Path) -> None:
    apply(root, TEAM)
    (tmp_path / "other").mkdir()
    other = make_root(tmp_path / "other")
    (other / "etc/login.defs").write_text(DEFS)
    command = [PYTHON, "-IS", TOP / "shims/accounts", "image", "export", root, "--userdb", tmp_path / "out"]
    subprocess.run(command, capture_output=True, check=True)
    apply(other, None, str(tmp_path / "out"))
    assert {name: rows(other, "passwd")[name] for name in ("alice", "svc")} == {
        name: rows(root, "passwd")[name] for name in ("alice", "svc")
    }
    assert rows(other, "shadow")["alice"] == rows(root, "shadow")["alice"]
    assert rows(other, "group")["crew"] == ["x", "2000", "alice,daemon"]


def test_credentials_of_systemd(root: Path, tmp_path: Path) -> None:
    """In a mount namespace of the root: credentials are for the running system only."""
    place = tmp_path / "credentials"
    declare(place, f"{HASH}\n", "accounts.password.alice", ".")
    declare(place, '[users.alice]\npassword-credential = "accounts.password.alice"\n', "accounts.toml", ".")
    declare(place, '[users.bob]\npassword-credential = "accounts.none"\n', "accounts.20-bob.toml", ".")
    from accounts.machine.applysources import read_sources
    from accounts.system.target import Target

    os.environ["CREDENTIALS_DIRECTORY"] = str(place)
    try:
        target = Target(os.fsencode(root))
        assert not read_sources(target).declaration.users
        target.live = True
        sources = read_sources(target)
    finally:
        del os.environ["CREDENTIALS_DIRECTORY"]
    assert sources.passwords == {b"alice": HASH.encode()}
    assert list(sources.declaration.users) == [b"bob", b"alice"]
    assert sources.declaration.notes == [
        "credential accounts.20-bob.toml:2: users.bob.password-credential: "
        "there is no credential accounts.none, so that the password is not looked at"
    ]


def test_what_credentials_declared_stays_where_nobody_knows_them(root: Path, tmp_path: Path) -> None:
    from accounts.change import Change
    from accounts.machine.applyrun import Apply

    declare(tmp_path, "[groups.crew]\n[users.alice]\ngroups = ['video', 'crew']\n", "accounts.toml", "credentials")
    os.environ["CREDENTIALS_DIRECTORY"] = str(tmp_path / "credentials")
    try:
        with Change(os.fsencode(root)) as change:
            # As on the running system, for the sources alone.
            with mock.patch.object(change.target, "live", True):
                run = Apply(change)
            run.run()
    finally:
        del os.environ["CREDENTIALS_DIRECTORY"]
    assert "passwd:alice:1000:present:made,passed:" in memory(root)
    before = times(root)
    assert apply(root).stdout == ""
    assert times(root) == before
    assert "user alice: locked: it is declared no more\n" in apply(root, None, "--boot").stdout
    assert rows(root, "group")["crew"] == ["x", "1000", ""]
    assert "video" not in rows(root, "group")


def test_a_password_in_a_file(root: Path) -> None:
    declare(root, HASH + "\n", "alice.hash")
    apply(root, '[users.alice]\npassword-file = "/etc/accounts.d/alice.hash"\n')
    assert rows(root, "shadow")["alice"][0] == HASH


# What is wrong


def foreign(path: Path) -> None:
    os.chown(path, 1000, 1000)


def writable(path: Path) -> None:
    path.chmod(0o664)


def linked(path: Path) -> None:
    path.rename(path.parent / "real")
    path.symlink_to("real")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (foreign, "/etc/alice.hash: others than root may write it, so that it is not read"),
        (writable, "/etc/alice.hash: others than root may write it, so that it is not read"),
        (linked, "/etc/alice.hash: it is a link"),
        (fifo, "/etc/alice.hash: not a regular file"),
        (lambda path: path.unlink(), "/etc/alice.hash: No such file or directory"),
        (lambda path: path.write_text("secret\n"), "what is there is no hash of crypt(5) ($y$..., $6$...)"),
        (lambda path: path.write_bytes(b"\xff\0" * 100), "what is there is no hash of crypt(5) ($y$..., $6$...)"),
        (lambda path: path.write_text("x" * 5000), "File too large"),
    ],
)
def test_a_password_file_that_cannot_be_trusted(root: Path, spoil: object, said: str) -> None:
    declare(root, HASH, "alice.hash", "etc")
    spoil(root / "etc/alice.hash")  # type: ignore[operator]
    declare(root, '[users.alice]\npassword-file = "/etc/alice.hash"\n')
    done = accounts(root, "apply")
    where = "accounts apply: /etc/accounts.d/10-site.toml:2: users.alice.password-file: "
    assert (done.status, done.stdout, done.stderr) == (3, "", f"{where}{said}\n")
    assert "passwd" not in local(root)


@pytest.mark.parametrize("spoil", [foreign, writable])
def test_a_declaration_that_others_may_write_is_not_read(root: Path, spoil: object) -> None:
    spoil(declare(root, "[users.alice]\n"))  # type: ignore[operator]
    done = accounts(root, "apply")
    said = "/etc/accounts.d/10-site.toml: others than root may write it, so that it is not read"
    assert (done.status, done.stderr) == (3, f"accounts apply: {said}\n")
    (root / "etc/accounts.d/10-site.toml").unlink()
    declare(root, "[users.alice]\n")
    (root / "etc/accounts.d").chmod(0o777)
    done = accounts(root, "apply")
    assert (done.status, done.stderr) == (3, f"accounts apply: {said.replace('/10-site.toml', '')}\n")


def test_a_hash_that_everybody_may_read_is_told_of(root: Path) -> None:
    declare(root, f'[users.alice]\npassword = "{HASH}"\n', mode=0o644)
    done = accounts(root, "apply")
    said = "/etc/accounts.d/10-site.toml: everybody may read it, and it has a password hash: make it mode 0600"
    assert (done.status, done.stderr) == (0, f"accounts apply: {said}\n")
    assert HASH not in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[users.a]\nuid = 33\n", "2: users.a.uid: UID 33 is not unique"),
        ("[users.a]\nuid = 5000\n[users.b]\nuid = 5000\n", "4: users.b.uid: UID 5000 is not unique"),
        ("[groups.a]\ngid = 44\n", "2: groups.a.gid: GID '44' already exists"),
        ("[users.a]\ngid = 77\n", "2: users.a.gid: no group has the GID 77: declare one"),
        ("[users.a]\ngid = 'no'\n", "2: users.a.gid: group 'no' does not exist: declare it"),
        ("[users.a]\n\ngroups = ['no']\n", "3: users.a.groups: group 'no' does not exist: declare it"),
        ("[groups.a]\nmembers = ['no']\n", "2: groups.a.members: user 'no' does not exist: declare it"),
        ("[users.daemon]\nuid = 5\n", "2: users.daemon.uid: "),
        ("[groups.video]\ngid = 5\n", "2: groups.video.gid: "),
        ("[users.a]\nuids = 5\n", "2: users.a.uids: there is no such key of users, did you mean 'uid'?"),
        (
            "[users.a]\npasswd = 'x'\n",
            "2: users.a.passwd: there is no such key of users: a password is given as its hash",
        ),
        ("[users.a]\npassword = 'secret'\n", "2: users.a.password: must be a hash of crypt(5) "),
        (
            "[users.a]\nsubuid = [{start = 4294967290, count = 10}]\n",
            "2: users.a.subuid: 4294967290-4294967299 goes beyond",
        ),
        (
            "[users.a]\nsubuid = [{start = 9, count = 5}]\n[users.b]\nsubuid = [{start = 10, count = 1}]\n",
            "4: users.b.subuid: 10-10 belongs to 'a' as well",
        ),
        ("users = 5\n", "1: users: must be a table"),
        ("[users.a\n", "1: Expected ']' at the end of a table declaration"),
        ("x = \x01\n", "1: Invalid value"),
    ],
)
def test_a_wrong_declaration_changes_nothing(root: Path, text: str, said: str) -> None:
    declare(root, "[users.fine]\n[groups.fine2]\n", "00-fine.toml")
    before = local(root)
    declare(root, text)
    for argv in ((), ("--check",), ("--dry-run",)):
        done = accounts(root, "apply", *argv)
        assert (done.status, done.stdout, done.stderr.count("\n")) == (3, "", 1), done
        assert done.stderr.startswith(f"accounts apply: /etc/accounts.d/10-site.toml:{said}")
        assert "secret" not in done.stderr
    assert local(root) == before
    assert not (root / "home/fine").exists()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.user", b'{"userName": 5}', ": userName must be a text"),
        ("a.user", b'{"userName": "a:b"}', ": users.a:b: must be a name of 1 to 32 "),
        ("a.user", b"[" * 100_000, ": nested too deeply"),
        ("a.user", b'{"userName": "a", "uid": 1' + b"0" * 5000 + b"}", ": a number of too many digits"),
        ("a.user", b'{"userName": "\xff"}', ": not UTF-8"),
        ("a.user", b'{"userName": "\\ud800"}', ": users.\\ud800: must be a name "),
        ("a.user", b'{"userName": "a", "realName": "\\ud800"}', ": users.a.gecos: must be a text "),
        ("a.user", b'{"userName": "a"\n"x"}', ":2: "),
        ("a.user", b"5", ": must be an object"),
        ("a.user", b'{"userName": "a", "notAfterUSec": "x"}', ": notAfterUSec must be a number of microseconds"),
        ("a.user-privileged", b'{"privileged": {"hashedPassword": ["secret"]}}', ": users.a.password: must be a hash"),
        ("ab.membership", b"", ": the name of a membership is USER:GROUP.membership"),
        ("a.conf", b"u a\nx y\n", ":2: not a line of sysusers.d: x y"),
        ("a.conf", b"u a %m\n", ":1: %m is not the same on every machine of an image"),
        ("a.toml", b"\xff\xfe", ":1: not UTF-8"),
        ("a.toml", b"x = " + b"[" * 500_000, ": nested too deeply"),
    ],
)
def test_hostile_files_are_one_line(root: Path, name: str, data: bytes, said: str) -> None:
    declare(root, "", name).write_bytes(data)
    done = accounts(root, "apply")
    assert (done.status, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr[-500:]
    assert done.stderr.startswith(f"accounts apply: /etc/accounts.d/{name}{said}")
    assert "secret" not in done.stderr
    assert local(root) == {}


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to("/nonexistent")])
def test_a_drop_in_that_is_no_file(root: Path, make: object) -> None:
    (root / "etc/accounts.d").mkdir()
    make(root / "etc/accounts.d/a.toml")  # type: ignore[operator]
    done = accounts(root, "apply")
    assert (done.status, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith("accounts apply: /etc/accounts.d/a.toml: ")


# Telling, writing elsewhere


def test_check_and_dry_run_change_nothing(root: Path) -> None:
    declare(root, TEAM)
    before = times(root)
    for argv, status in ((("--check",), 1), (("--dry-run",), 0), (("--check", "--json"), 1), (("-n", "--json"), 0)):
        done = accounts(root, "apply", *argv)
        assert (done.status, done.stderr) == (status, "")
        assert "+alice:x:1005:1005:Alice:/home/alice:/bin/bash" in done.stdout
        assert HASH not in done.stdout
        if "--json" in argv:
            validate(done.json, "apply")
            assert done.json["changed"] is True
    assert times(root) == before
    assert not (root / "home/alice").exists()
    result = accounts(root, "apply", "--json").json
    validate(result, "apply")
    assert result["changed"] is True
    result = accounts(root, "apply", "--json").json
    assert (result["changed"], result["actions"]) == (False, [])


def test_a_drop_in_that_is_not_there_yet(root: Path, tmp_path: Path) -> None:
    apply(root, "[users.alice]\n[users.bob]\n")
    new = declare(tmp_path, "[users.alice]\nshell = '/bin/sh'\n", "10-site.toml", "new")
    done = apply(root, None, "--check", "--with", str(new), status=1)
    said = done.stdout.split("---")[0].splitlines()
    assert said == ["user bob: locked: it is declared no more", "user alice: shell /bin/bash -> /bin/sh"]
    assert accounts(root, "apply", "--with", str(new)).status == 2
    assert accounts(root, "apply", "--check", "--with", "/nonexistent.toml").status == 3
    assert accounts(root, "apply", "--check", "--with", "/etc/passwd").status == 3


def test_to_a_directory_for_an_overlay(root: Path, tmp_path: Path) -> None:
    (tmp_path / "upper").mkdir()
    declare(root, TEAM)
    before = times(root)
    for _ in range(2):
        done = accounts(root, "apply", "--to", str(tmp_path / "upper"), "--json")
        assert (done.status, done.stderr) == (0, "")
        validate(done.json, "apply")
    assert done.json["changed"] is False
    assert times(root) == before
    assert not (root / "home/alice").exists()
    written = {str(path.relative_to(tmp_path / "upper")) for path in (tmp_path / "upper").rglob("*") if path.is_file()}
    assert written == {"passwd", "group", "shadow", "gshadow", "subuid", "accounts/base", "accounts/applied"}
    assert (tmp_path / "upper/shadow").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "upper/shadow").stat().st_gid == 42
    assert (tmp_path / "upper/accounts/applied").stat().st_mode & 0o777 == 0o600
    # Over /etc it is what apply makes there.
    options = "lowerdir=$1/etc,upperdir=$2/upper,workdir=$2/work"
    script = f'mount -t overlay overlay -o "{options}" "$1/etc" && cat "$1/etc/passwd"'
    (tmp_path / "work").mkdir()
    seen = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", root, tmp_path], capture_output=True, text=True, check=True
    )
    apply(root)
    assert seen.stdout == local(root)["passwd"]
    for name, text in local(root).items():
        assert (tmp_path / "upper" / name).read_text() == text
    # Nothing is left to be written.
    assert accounts(root, "apply", "--to", str(tmp_path / "upper")).status == 0
    assert {path.name for path in (tmp_path / "upper").rglob("*") if path.is_file()} == set()


def test_usage(root: Path) -> None:
    assert accounts(root, "apply", "--check", "--to", "/nonexistent").status == 2
    assert accounts(root, "apply", "--bogus").status == 2
    assert accounts(root, "apply", "/nonexistent").status == 3
    declare(root, "[users.a]\n")
    assert accounts(root, "apply", "--to", "/nonexistent").status == 3


@pytest.mark.parametrize("spoil", [foreign, writable])
def test_a_memory_that_others_may_write_is_not_believed(root: Path, spoil: object) -> None:
    apply(root, "[users.alice]\nremove = true\n")
    spoil(root / "etc/accounts/applied")  # type: ignore[operator]
    declare(root, "")
    done = accounts(root, "apply")
    said = "accounts apply: /etc/accounts/applied: others than root may write it, so that it is not read\n"
    assert (done.status, done.stdout, done.stderr) == (3, "", said)
    assert "alice" in rows(root, "passwd")


@pytest.mark.parametrize("release", ["4.13", "4.17", "4.19", "4.20"])
def test_each_release_has_nothing_left_to_do(root: Path, release: str) -> None:
    declare(root, TEAM + "mindays = 5\n")
    environ = {"ACCOUNTS_SHADOW_COMPAT": release}
    assert accounts(root, "apply", environ=environ).status == 0
    before = times(root)
    done = accounts(root, "apply", environ=environ)
    assert (done.status, done.stdout, done.stderr) == (0, "", "")
    assert times(root) == before


def test_accounts_that_become_the_images_are_not_applys(root: Path) -> None:
    for name in ("passwd", "group", "shadow", "gshadow"):
        (root / "usr/lib" / name).rename(root / "etc" / name)
    apply(root, TEAM)
    command = [PYTHON, "-IS", TOP / "shims/accounts", "image", "seed", root]
    subprocess.run(command, capture_output=True, check=True)
    assert not (root / "etc/accounts/applied").exists()
    assert "passwd:alice:1005:present" in (root / "usr/share/accounts/ids").read_text()
    assert accounts(root, "apply").stdout == ""
    assert apply(root, "").stdout == ""
    assert "alice" in (root / "usr/lib/passwd").read_text()


def test_reset_forgets(root: Path) -> None:
    apply(root, "[users.alice]\n")
    assert accounts(root, "reset", "--yes").status == 0
    assert not (root / "etc/accounts").exists()
