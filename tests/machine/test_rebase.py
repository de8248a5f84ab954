# SPDX-License-Identifier: MIT
"""accounts rebase: an update under a machine's changes, merged field by field."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.machine.merge import Take, merge_row
from accounts.machine.rebase import rebase
from accounts.machine.words import ORDER
from accounts.model.database import KINDS, Base, Database
from accounts.model.policy import default_policy
from accounts.model.records import Passwd, Shadow
from accounts.model.table import Table
from tests.machine.life import IMAGE, accounts, local, make_root, tool, validate, write

WWW = "www:x:33:33:web:/var/www:/usr/sbin/nologin\n"


def passwd(**fields: Any) -> Passwd:
    row = Passwd.parse_line(WWW.strip().encode())
    assert row is not None
    return row.replace(**fields)


@pytest.mark.parametrize(
    ("local_shell", "image_shell", "expected", "conflict"),
    [
        (b"/base", b"/base", b"/base", False),
        (b"/ours", b"/base", b"/ours", False),
        (b"/base", b"/theirs", b"/theirs", False),
        (b"/same", b"/same", b"/same", False),
        (b"/ours", b"/theirs", b"/ours", True),
    ],
)
def test_three_ways(local_shell: bytes, image_shell: bytes, expected: bytes, conflict: bool) -> None:
    merged = merge_row("passwd", passwd(shell=local_shell), passwd(shell=image_shell), passwd(shell=b"/base"))
    assert (merged.record.shell, bool(merged.conflicts)) == (expected, conflict)
    # What is open stays open, everything else is based on the new image.
    assert merged.base.shell == (b"/base" if conflict else image_shell)
    for take, value in ((Take.IMAGE, image_shell), (Take.LOCAL, local_shell)):
        decided = merge_row(
            "passwd", passwd(shell=local_shell), passwd(shell=image_shell), passwd(shell=b"/base"), take
        )
        assert decided.conflicts == ()
        assert decided.record.shell == (value if conflict else expected)


@pytest.mark.parametrize(
    ("local_row", "image_row", "expected", "conflicts"),
    [
        # A later build of the image has another day; who changed the password here is not asked.
        (("$y$1", 20000), ("*", 19500), ("$y$1", 20000), []),
        (("*", 19000), ("$y$2", 19500), ("$y$2", 19500), []),
        (("*", 0), ("*", 19500), ("*", 0), []),
        (("$y$1", 20000), ("$y$2", 19500), ("$y$1", 20000), ["passwd"]),
        (("$y$2", 20000), ("$y$2", 19500), ("$y$2", 19500), []),
    ],
)
def test_the_day_of_the_last_change_goes_with_the_password(
    local_row: tuple[str, int], image_row: tuple[str, int], expected: tuple[str, int], conflicts: list[str]
) -> None:
    rows = [Shadow(b"www", password.encode(), day) for password, day in (local_row, image_row, ("*", 19000))]
    merged = merge_row("shadow", *rows)
    assert (merged.record.passwd.decode(), merged.record.lstchg) == expected
    assert [one.field for one in merged.conflicts] == conflicts


VALUES = {
    "passwd": st.sampled_from([b"x", b"*", b"!"]),
    "members": st.sets(st.sampled_from([b"a", b"b", b"c"])).map(tuple),
}
VALUES["admins"] = VALUES["members"]
TEXT = st.sampled_from([b"a", b"b", b"c"])
DAYS = st.sampled_from([-1, 0, 20000, 20001])


def records(database: str) -> st.SearchStrategy[Any]:
    """Rows of one name with few values, so that sides agree and differ by chance."""
    kinds = {"gecos": TEXT, "home": TEXT, "shell": TEXT, "uid": st.just(33), "gid": st.sampled_from([33, 34])}
    fields = {field: VALUES.get(field, kinds.get(field, DAYS)) for field in ORDER[database]}
    if database == "group":
        fields["gid"] = st.just(44)
    if "flag" in fields:
        fields["flag"] = st.none()
    return st.builds(KINDS[database], name=st.just(b"www"), **fields)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Database, dict[str, Any]]:
    """A database whose overrides were made over another image, and the old image's rows by database."""
    local, image, bases = {}, {}, {}
    for name in ("passwd", "group", "gshadow", "shadow"):
        row, old, new = draw(records(name)), draw(records(name)), draw(st.none() | records(name))
        bases[name] = old
        local[name] = Table(KINDS[name], row.format_line() + b"\n")
        image[name] = Table(KINDS[name], new.format_line() + b"\n" if new is not None else b"# none\n")
    base = b"".join(name.encode() + b":" + row.format_line() + b"\n" for name, row in bases.items())
    return Database(local, image, default_policy(draw(st.booleans())), Base(base)), bases


def written(database: Database) -> dict[str, bytes | None]:
    return {name: new for name, _, new in database.render_changes()}


def again(database: Database) -> Database:
    """The database as the next tool reads it."""
    local = {name: Table(KINDS[name], layered.local.render()) for name, layered in database.tables.items()}
    image = {name: layered.image for name, layered in database.tables.items()}
    return Database(local, image, database.policy, Base(database.base.render()))


@settings(max_examples=int(os.environ.get("ACCOUNTS_EXAMPLES", "100")), deadline=None)
@given(lives())
def test_a_second_rebase_changes_nothing_and_says_the_same(life: tuple[Database, dict[str, Any]]) -> None:
    database, _ = life
    opened = rebase(database).open
    second = again(database)
    assert rebase(second).open == opened
    assert written(second) == {}


@settings(max_examples=int(os.environ.get("ACCOUNTS_EXAMPLES", "100")), deadline=None)
@given(lives())
def test_each_field_is_what_three_ways_say(life: tuple[Database, dict[str, Any]]) -> None:
    database, bases = life
    before = {name: database.tables[name].local.get(b"www") for name in bases}
    steps = rebase(database)
    for name, base in bases.items():
        image, ours = database.tables[name].image.get(b"www"), before[name]
        if image is None or (name == "group" and database.tables[name].merge):
            continue
        view = database.tables[name].get(b"www")
        conflicts = {field for step in steps.open if step.database == name for field in step.fields}
        for field in ORDER[name]:
            mine, theirs, common, result = (getattr(row, field) for row in (ours, image, base, view))
            if isinstance(mine, tuple):
                assert set(result) == (set(theirs) - (set(common) - set(mine))) | (set(mine) - set(common))
            elif field == "lstchg":
                assert result in (mine, theirs)
            else:
                assert result == (theirs if mine == common else mine)
                assert (field in conflicts) == (mine not in (common, theirs) and theirs != common)


@settings(max_examples=int(os.environ.get("ACCOUNTS_EXAMPLES", "100")), deadline=None)
@given(lives(), st.sampled_from(list(Take)))
def test_a_decision_leaves_nothing_open(life: tuple[Database, dict[str, Any]], take: Take) -> None:
    database, _ = life
    assert rebase(database, take).open == []
    assert rebase(again(database)).open == []


def update(root: Path, **files: str) -> None:
    """Put another image under a machine."""
    write(root / "usr/lib", files)


def test_a_life(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    for argv in (
        ("usermod", "-s", "/bin/sh", "www"),
        ("usermod", "-aG", "video,adm", "www"),
        ("usermod", "-e", "2027-01-01", "daemon"),
        ("usermod", "-c", "Boss", "root"),
    ):
        assert tool(root, *argv).status == 0, argv
    before = local(root)
    assert accounts(root, "rebase").status == 0
    assert local(root) == before
    update(
        root,
        passwd=IMAGE["passwd"].replace("/var/www:/usr/sbin/nologin", "/srv/www:/bin/false"),
        group=IMAGE["group"].replace("video:x:44:", "video:x:45:").replace("adm:x:4:daemon", "adm:x:4:daemon,www"),
        gshadow=IMAGE["gshadow"].replace("adm:*::daemon", "adm:*::daemon,www"),
        shadow=IMAGE["shadow"].replace("daemon:*:19000", "daemon:!:19700"),
    )
    done = accounts(root, "rebase")
    assert done.stdout.splitlines() == [
        "merged    passwd   www     home from the image",
        "moved     group    video   GID 44 -> 45, the image's; files of GID 44 are as they were",
        "dropped   group    adm     says what the image says",
        "dropped   gshadow  adm     says what the image says",
        "merged    shadow   daemon  passwd, lstchg from the image",
        "conflict  passwd   www     shell was /usr/sbin/nologin; the image has /bin/false, this machine /bin/sh, "
        "which stays",
        f"To decide: accounts rebase -R {root} --take image|local NAME...",
    ]
    assert (done.status, done.stderr) == (1, "")
    after = local(root)
    assert after["passwd"] == "www:x:33:33:web:/srv/www:/bin/sh\nroot:x:0:0:Boss:/root:/bin/sh\n"
    assert after["group"] == "video:x:45:www\n"
    assert after["gshadow"] == "video:*::www\n"
    assert after["shadow"] == "daemon:!:19700:::::20819:\n"
    again = accounts(root, "rebase")
    assert (again.status, again.stdout.count("\n")) == (1, 2)
    assert local(root) == after
    assert accounts(root, "rebase", "--take", "image", "www").status == 0
    assert local(root)["passwd"] == "root:x:0:0:Boss:/root:/bin/sh\n"
    assert accounts(root, "rebase").stdout == ""


def test_take_local_settles_a_conflict_for_good(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    tool(root, "usermod", "-s", "/bin/sh", "www")
    update(root, passwd=IMAGE["passwd"].replace("/var/www:/usr/sbin/nologin", "/var/www:/bin/false"))
    assert accounts(root, "rebase", "--take", "local", "daemon").status == 1
    assert accounts(root, "rebase", "--take", "local", "www").status == 0
    assert accounts(root, "rebase").status == 0
    assert local(root)["passwd"] == "www:x:33:33:web:/var/www:/bin/sh\n"


def test_an_account_that_the_image_removed(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    tool(root, "usermod", "-s", "/bin/sh", "-e", "2027-01-01", "www")
    tool(root, "usermod", "-e", "2027-01-01", "daemon")
    gone = {name: text.replace(WWW, "") for name, text in IMAGE.items()}
    gone["passwd"] = gone["passwd"].replace("daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n", "")
    gone["shadow"] = "root:*:19000::::::\n"
    update(root, **gone)
    done = accounts(root, "rebase")
    assert done.status == 1
    assert done.stdout.splitlines()[:2] == [
        "dropped  shadow  daemon  the image has removed the account",
        "orphan   passwd  www     the image no longer has this user; the local row keeps it alive",
    ]
    kept = local(root)
    assert kept["shadow"] == "www:*:19000:::::20819:\n"
    assert accounts(root, "rebase", "--take", "image", "--dry-run", "www").status == 0
    assert local(root) == kept
    assert accounts(root, "rebase", "--take", "local", "www").status == 0
    assert accounts(root, "rebase").stdout == ""
    assert {*local(root)} == {"passwd", "shadow"}
    write(root / "etc", kept)
    assert accounts(root, "rebase", "--take", "image").status == 0
    assert local(root) == {}


def test_ids_that_both_layers_give_away(tmp_path: Path) -> None:
    root = make_root(
        tmp_path, {"passwd": "alice:x:34:34::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\n", "group": "alice:x:34:\n"}
    )
    assert accounts(root, "rebase").stdout == ""
    update(root, passwd=IMAGE["passwd"] + "new:x:34:34::/:/bin/sh\n", group=IMAGE["group"] + "new:x:34:\n")
    done = accounts(root, "rebase")
    assert (done.status, done.stdout) == (
        1,
        "collision  passwd  alice  UID 34 belongs to the image's 'new'\n"
        "collision  group   alice  GID 34 belongs to the image's 'new'\n"
        f"To end a collision of ids: accounts rebase -R {root} --move-local [NAME...]\n",
    )


def test_a_local_account_whose_name_the_image_takes(tmp_path: Path) -> None:
    files = {"passwd": "app:x:1000:1000::/home/app:/bin/sh\n", "group": "app:x:1000:\n", "shadow": "app:$y$1:1::::::\n"}
    root = make_root(tmp_path, files)
    image = {
        name: IMAGE[name] + row for name, row in (("passwd", "app:x:90:90::/:/x\n"), ("shadow", "app:*:1::::::\n"))
    }
    update(root, **image, group=IMAGE["group"] + "app:x:90:\n")
    assert accounts(root, "rebase").status == 1
    assert local(root)["passwd"] == "app:x:1000:1000::/home/app:/bin/sh\n"
    # Neither the user nor the password of the local account may pass to the image's.
    assert accounts(root, "rebase", "--take", "image", "app").status == 0
    assert local(root) == {}


def test_a_copy_made_on_purpose_follows_the_image(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    assert tool(root, "accounts", "materialize", "www").status == 0
    copies = local(root)
    assert accounts(root, "rebase").stdout == ""
    assert local(root) == copies
    update(root, passwd=IMAGE["passwd"].replace("/var/www", "/srv/www"))
    assert accounts(root, "rebase").stdout == "merged  passwd  www  home from the image\n"
    assert local(root)["passwd"] == WWW.replace("/var/www", "/srv/www")
    assert local(root)["shadow"] == copies["shadow"]


def test_an_own_user_follows_a_group_that_the_image_now_has(tmp_path: Path) -> None:
    root = make_root(tmp_path, {"passwd": "eve:x:1000:1002::/:/bin/sh\n", "group": "crew:x:1002:eve\n"})
    update(root, group=IMAGE["group"] + "crew:x:91:\n")
    assert accounts(root, "rebase").status == 0
    assert local(root) == {"passwd": "eve:x:1000:91::/:/bin/sh\n", "group": "crew:x:91:eve\n"}


def test_dry_run_shows_the_diff_and_writes_nothing(tmp_path: Path) -> None:
    root = make_root(tmp_path, {"shadow": "www:$y$secret:20000::::::\nroot:*:19000::::::\n"})
    before = local(root)
    done = accounts(root, "rebase", "-n")
    assert done.stdout.endswith("--- /etc/shadow\n+++ /etc/shadow\n@@ -2 +1,0 @@\n-root:*:19000::::::\n")
    assert local(root) == before
    assert not (root / "etc/.pwd.lock").exists()
    validate(accounts(root, "rebase", "--json", "-n").json, "rebase")


def test_no_image_no_work(tmp_path: Path) -> None:
    root = make_root(tmp_path, dict(IMAGE), image={})
    before = local(root)
    assert (accounts(root, "rebase").stdout, local(root)) == ("", before)


def test_names_need_take(tmp_path: Path) -> None:
    assert accounts(make_root(tmp_path), "rebase", "www").status == 2


def test_rows_that_were_copied_on_purpose_stay_and_follow_the_image(tmp_path: Path) -> None:
    image = {"passwd": "ivy:x:1500:1500:Ivy:/:/bin/sh\n", "shadow": "ivy:$6$a$b:20000::::::\n"}
    root = make_root(tmp_path, image=image)
    assert accounts(root, "materialize", "ivy").status == 0
    before = local(root)
    assert before["passwd"] == image["passwd"]
    assert "0 changed, 0 hidden, 0 problems" in accounts(root, "status").stdout
    assert "say what the image says already" not in accounts(root, "status").stdout
    assert (accounts(root, "rebase").stdout, local(root)) == ("", before)
    (root / "usr/lib/passwd").write_text(image["passwd"].replace("Ivy", "Ivy New"))
    assert accounts(root, "rebase").status == 0
    assert local(root)["passwd"] == image["passwd"].replace("Ivy", "Ivy New")
    assert local(root)["accounts/base"] == before["accounts/base"].replace("Ivy", "Ivy New")
    assert accounts(root, "rebase").stdout == ""


def test_a_group_that_the_image_removes_from_under_a_member_row_is_an_orphan(tmp_path: Path) -> None:
    rows = {"group": "video:x:44:alice\n", "passwd": "alice:x:1000:100::/:/bin/sh\n", "shadow": "alice:!:1::::::\n"}
    rows["group"] += "crew:x:1001:alice\n"
    root = make_root(tmp_path, rows)
    assert accounts(root, "rebase", "--re-own").status == 0  # as at each boot: the image's ids are remembered
    removed = {
        name: IMAGE[name].replace(line, "") for name, line in (("group", "video:x:44:\n"), ("gshadow", "video:*::\n"))
    }
    write(root / "usr/lib", removed)
    told = "orphan  group  video  the image no longer has this group; the local row keeps it alive\n"
    told += f"To decide: accounts rebase -R {root} --take image|local NAME...\n"
    done = accounts(root, "rebase")
    assert (done.status, done.stdout, local(root)["group"]) == (1, told, rows["group"])
    found = [one for one in accounts(root, "check", "--json").json["findings"] if one["rule"] == "orphan"]
    assert [(one["name"], one["fix"]) for one in found] == [("video", f"accounts rebase -R {root} --take image video")]
    kept = tmp_path / "kept"
    accounts(root, "rebase", "--re-own")  # the next boot forgets nothing
    memory = (root / "var/lib/accounts/ids").read_text()
    assert accounts(root, "rebase", "--take", "local", "video", "--dry-run").status == 0
    assert (root / "var/lib/accounts/ids").read_text() == memory
    kept.write_text(memory)
    assert accounts(root, "rebase", "--take", "local", "video").status == 0
    assert (accounts(root, "rebase").status, local(root)["group"]) == (0, rows["group"])
    (root / "var/lib/accounts/ids").write_text(kept.read_text())
    assert accounts(root, "rebase", "--take", "image", "video").status == 0
    assert local(root)["group"] == "crew:x:1001:alice\n"
    assert accounts(root, "rebase").status == 0


@pytest.mark.parametrize(
    "argv",
    [
        ("rebase", "--move-local", "ghost"),
        ("rebase", "--take", "image", "ghost"),
        ("diff", "ghost"),
        ("show", "ghost"),
        ("revert", "ghost"),
        ("mask", "ghost"),
        ("unmask", "ghost"),
        ("reset", "--yes", "--keep", "ghost"),
    ],
)
def test_a_name_that_nobody_has_is_told_of(argv: tuple[str, ...], tmp_path: Path) -> None:
    root = make_root(tmp_path, {"group": "video:x:44:root\n"})
    done = accounts(root, *argv)
    assert (done.status, done.stdout, done.stderr.count("\n"), "'ghost'" in done.stderr) == (3, "", 1, True)
    assert local(root) == {"group": "video:x:44:root\n"}
