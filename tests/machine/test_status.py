# SPDX-License-Identifier: MIT
"""accounts status, diff and show: what is local, where it comes from, and never a hash."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machine.life import PYTHON, TOP, accounts, make_root, validate, write

HASH = "$y$j9T$abcdefgh$0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
LOCAL = {
    "passwd": (
        "alice:x:1000:1000:Alice:/home/alice:/bin/bash\n"
        "bob:x:1001:100::/home/bob:/bin/sh\n"
        "www:x:33:33:web:/srv/www:/bin/sh\n"
        "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    ),
    "group": "alice:x:1000:\nvideo:x:44:alice,bob\ncrew:x:1002:bob\n",
    "shadow": f"alice:{HASH}:20000::::::\nbob:!{HASH}:20000::::::\nroot:{HASH}x:20001::::::\n",
    "gshadow": "alice:!::\nvideo:*::alice,bob\ncrew:!:alice:bob\n",
    "subuid": "alice:100000:65536\n",
    "accounts/base": (
        "passwd:www:x:33:33:web:/var/www:/usr/sbin/nologin\nshadow:root:*:19000::::::\ngshadow:video:*::\n"
    ),
}
TABLE = """\
Own users
  alice  UID 1000  group alice  password set          /home/alice  /bin/bash
  bob    UID 1001  group 100    password set, locked  /home/bob    /bin/sh

Own groups
  crew  GID 1002  bob

Memberships in groups of the image
  video  + alice, bob

Changed accounts of the image
  root  password     no login -> set
        last change  2022-01-08 -> 2024-10-05
  www   home         /var/www -> /srv/www
        shell        /usr/sbin/nologin -> /bin/sh

Subordinate ids
  alice  subuid  100000-165535

1 row says what the image says already; accounts rebase drops it

"""
SUMMARY = "2 own users, 1 own group, 2 memberships, 2 changed, 0 hidden, "


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path, LOCAL)


def test_status_groups_all_that_is_local(root: Path) -> None:
    done = accounts(root, "status")
    assert done.stderr == ""
    table, _, summary = done.stdout.rpartition("\n\n")
    assert table + "\n\n" == TABLE
    assert summary.startswith(SUMMARY)


def test_status_of_an_empty_etc_has_nothing_to_say(tmp_path: Path) -> None:
    done = accounts(make_root(tmp_path), "status")
    none = "0 own users, 0 own groups, 0 memberships, 0 changed, 0 hidden, 0 problems\n"
    assert (done.status, done.stdout, done.stderr) == (0, none, "")


def test_diff_of_views_is_a_unified_diff(root: Path) -> None:
    done = accounts(root, "diff")
    assert (done.status, done.stderr) == (1, "")
    assert done.stdout.startswith("""\
--- passwd of the image
+++ passwd of this machine
@@ -3 +3,3 @@
-www:x:33:33:web:/var/www:/usr/sbin/nologin
+www:x:33:33:web:/srv/www:/bin/sh
+alice:x:1000:1000:Alice:/home/alice:/bin/bash
+bob:x:1001:100::/home/bob:/bin/sh
--- group of the image
+++ group of this machine
@@ -6 +6,3 @@
-video:x:44:
+video:x:44:alice,bob
""")


def test_patch_makes_the_view_of_the_image_by_that_diff(root: Path, tmp_path: Path) -> None:
    diffs = accounts(root, "diff", "--json").json["diffs"]
    patch = next(diff for diff in diffs if diff["database"] == "group")
    image = tmp_path / "group"
    image.write_bytes((root / "usr/lib/group").read_bytes())
    text = "".join(f"{line}\n" for line in (f"--- {image}", f"+++ {image}", *patch["lines"]))
    subprocess.run(["patch", "-s", image], input=text, text=True, check=True)
    members = dict(line.split(":x:") for line in image.read_text().splitlines())
    assert (members["video"], members["crew"], members["adm"]) == ("44:alice,bob", "1002:bob", "4:daemon")


def test_diff_of_one_name(root: Path) -> None:
    done = accounts(root, "diff", "crew")
    assert [line for line in done.stdout.splitlines() if line[0] in "+-" and "of" not in line] == [
        "+crew:x:1002:bob",
        "+crew:!:alice:bob",
    ]
    assert accounts(root, "diff", "daemon").status == 0


def test_show_says_where_each_field_is_from(root: Path) -> None:
    done = accounts(root, "show", "www")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith("""\
passwd www
  files answers from /etc, altfiles is not asked
    password  in shadow  /etc/passwd:3
    UID       33         /etc/passwd:3
    GID       33         /etc/passwd:3
    GECOS     web        /etc/passwd:3
    home      /srv/www   /etc/passwd:3  (image: /var/www)
    shell     /bin/sh    /etc/passwd:3  (image: /usr/sbin/nologin)
    /usr/lib/passwd:3 is not used
""")
    assert "/etc/shadow" not in done.stdout


def test_show_says_where_each_group_is_from(root: Path) -> None:
    groups = accounts(root, "show", "bob", "--json").json["groups"]
    assert [(one["group"], one["gid"], one["origin"]) for one in groups] == [
        ("", 100, "primary"),
        ("video", 44, "local"),
        ("crew", 1002, "local"),
    ]
    write(root / "etc", {"group": "adm:x:4:daemon,bob\n"})
    groups = accounts(root, "show", "daemon", "--json").json["groups"]
    assert [(one["group"], one["origin"]) for one in groups] == [("daemon", "primary"), ("adm", "both")]


def test_a_name_that_nobody_has_cannot_be_shown(root: Path) -> None:
    done = accounts(root, "show", "nobody")
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr == "accounts show: neither /etc nor the image has 'nobody'; see accounts status\n"
    assert "the image has 'vidoe', did you mean 'video'?; see" in accounts(root, "show", "vidoe").stderr


@pytest.mark.parametrize("argv", [("status",), ("diff",), ("show", "root"), ("show", "video")])
def test_json_follows_its_schema(root: Path, argv: tuple[str, ...]) -> None:
    validate(accounts(root, *argv, "--json").json, argv[0])


@pytest.mark.parametrize("argv", [("status",), ("diff",), ("show", "root"), ("show", "alice"), ("show", "bob")])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_hash_is_shown(root: Path, argv: tuple[str, ...], form: tuple[str, ...]) -> None:
    text = "alice:abJnggxhB/yWI:1:1::/:/bin/sh\nbroken$y$j9T$x\n# old: carol:$y$j9T$zz:1::::::\n"
    with (root / "etc/shadow").open("a") as file:
        file.write(text)
    with (root / "etc/passwd").open("a") as file:
        file.write("dave:abJnggxhB/yWI:1005:1::/:/bin/sh\n")
    done = accounts(root, *argv, *form)
    assert not any(part in done.stdout + done.stderr for part in ("$y$", HASH[8:], "abJngg"))


def test_names_command_no_terminal(root: Path) -> None:
    with (root / "etc/passwd").open("ab") as file:
        file.write(b"e\x1b[2J\xff:x:1006:1:\x1b]0;x\x07:/home:/bin/sh\n")
    for argv in (("status",), ("diff",), ("status", "--json")):
        assert not {"\x1b", "\x07"} & set(accounts(root, *argv).stdout)


@pytest.mark.parametrize(
    ("environ", "colored"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colour_on_a_terminal_only(root: Path, environ: dict[str, str], colored: bool) -> None:
    ours, theirs = pty.openpty()
    subprocess.run(
        [PYTHON, "-IS", TOP / "shims/accounts", "status", "-R", root], stdout=theirs, env=environ, timeout=60
    )
    os.close(theirs)
    text = b""
    try:
        while piece := os.read(ours, 65536):
            text += piece
    except OSError:
        pass
    os.close(ours)
    assert (b"\x1b[1m" in text) == colored
    assert "\x1b" not in accounts(root, "status", environ=environ).stdout


@pytest.mark.parametrize(
    ("argv", "status"),
    [(("status", "--bogus"), 2), (("show",), 2), (("show", "a", "b"), 2), (("status", "-R", "/nonexistent"), 3)],
)
def test_wrong_usage_and_what_cannot_be_read(root: Path, argv: tuple[str, ...], status: int) -> None:
    done = accounts(root, *argv)
    assert (done.status, done.stdout, done.stderr.count("\n")) == (status, "", 1)
    assert done.stderr.startswith(f"accounts {argv[0]}: ")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkdir, "Is a directory"),
        (lambda path: os.symlink("/etc/passwd", path), "Too many levels of symbolic links"),
        (os.mkfifo, "not a regular file"),
    ],
)
def test_a_passwd_that_is_no_file_cannot_be_told(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    root = make_root(tmp_path)
    make(root / "etc/passwd")
    done = accounts(root, "status")
    assert (done.status, done.stdout, done.stderr) == (3, "", f"accounts status: cannot open /etc/passwd: {why}\n")
