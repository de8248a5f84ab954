# SPDX-License-Identifier: MIT
"""accounts image export and import: sysusers.d and userdb, checked with systemd's own readers of both."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from accounts.errors import BadArgument, NoId
from accounts.image.export import export_sysusers, export_userdb
from accounts.image.importer import Imported, import_sysusers
from tests.image.rootfs import make, tell

HASH = "$6$salt$Kyq4BM5bHwm4oe5H0OwFOFkfkkS9T3THXYl3Z7ER25TepgchTm1Wc4QJlD"
IMAGE: dict[str, str | None] = {
    "etc/": None,
    "usr/lib/passwd": """\
root:x:0:0:root:/root:/bin/bash
sync:x:4:65534:sync:/bin:/bin/sync
_svc:x:400:400:A "service", 100% \\o/:/var/lib/svc:/usr/sbin/nologin
odd:x:401:60::/:/bin/sh
amy:x:1500:1500:Amy:/home/amy:/bin/sh
""",
    "usr/lib/group": """\
root:x:0:
video:x:44:amy,_svc
games:x:60:
odd:x:402:
_svc:x:400:
amy:x:1500:
nogroup:x:65534:
""",
    "usr/lib/shadow": f"""\
root::19700:0:99999:7:::
sync:*:::::::
_svc:!*:19700::::::
odd:!:0:1:2:3:4:1:
amy:{HASH}:19700:0:99999:7:30:21915:
""",
    "usr/lib/gshadow": f"video:!:amy:amy,_svc\ngames:{HASH}::\n",
    # A local delta is part of what a root says.
    "etc/group": "video:x:44:bob\n",
    "etc/passwd": "bob:x:1600:1500:Bob:/home/bob:/bin/sh\n",
}


def read_sorted(path: Path) -> list[str]:
    return sorted(path.read_text().splitlines())


def run_sysusers(root: Path, *files: Path) -> str:
    (root / "etc").mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["systemd-sysusers", f"--root={root}", *files], capture_output=True, text=True)
    return done.stderr if done.returncode else ""


# Export


def test_sysusers_lines_make_the_same_accounts(tmp_path: Path) -> None:
    root = make(tmp_path / "root", IMAGE)
    lost = export_sysusers(root, tmp_path / "out")
    assert run_sysusers(tmp_path / "new", tmp_path / "out/accounts.conf") == ""
    new = tmp_path / "new/etc"
    wanted = [*read_sorted(root / "usr/lib/passwd"), *read_sorted(root / "etc/passwd")]
    assert read_sorted(new / "passwd") == sorted(wanted)
    groups = {line.split(":")[0]: line.split(":") for line in read_sorted(new / "group")}
    assert sorted(groups.pop("video")[3].split(",")) == ["_svc", "amy", "bob"]
    assert groups == {
        line.split(":")[0]: line.split(":")
        for line in read_sorted(root / "usr/lib/group") if not line.startswith("video")
    }  # fmt: skip
    assert lost == ["group 'games' has a password", "user 'root' has a password", "user 'amy' has a password"]


def test_what_sysusers_cannot_say_is_told(tmp_path: Path) -> None:
    files: dict[str, str | None] = {
        "etc/": None,
        "usr/lib/passwd": "a:x:1:7::/:/bin/sh\nb:x:2:2:::\n",
        "usr/lib/group": "b:x:2:ghost\n",
    }
    assert export_sysusers(make(tmp_path / "root", files), tmp_path / "out") == [
        "user 'a': no group has its GID 7, and sysusers.d would not make the user",
        "user 'b' has the home '': sysusers.d has plain absolute paths only",
        "user 'b' has no shell: sysusers.d gives it one",
        "group 'b': its member 'ghost' is no user",
    ]


def test_userdb_has_a_record_a_link_and_a_membership_for_each(tmp_path: Path) -> None:
    root = make(tmp_path / "root", IMAGE)
    out = tmp_path / "out"
    out.mkdir()
    for name in ("gone.user", "1.user", "README"):
        (out / name).write_text("old")
    old = os.umask(0)
    try:
        assert export_userdb(root, out) == []
    finally:
        os.umask(old)
    found = {
        path.name: os.readlink(path) if path.is_symlink() else f"{stat.S_IMODE(path.stat().st_mode):o}"
        for path in out.iterdir() if path.name != "README"
    }  # fmt: skip
    users = {"root": 0, "sync": 4, "_svc": 400, "odd": 401, "amy": 1500, "bob": 1600}
    groups = {"root": 0, "video": 44, "games": 60, "odd": 402, "_svc": 400, "amy": 1500, "nogroup": 65534}
    expected = {f"{user}:video.membership": "644" for user in ("amy", "_svc", "bob")}
    for kind, ids in (("user", users), ("group", groups)):
        expected |= {f"{name}.{kind}": "644" for name in ids}
        expected |= {f"{number}.{kind}": f"{name}.{kind}" for name, number in ids.items()}
    expected |= {"root.user-privileged": "600", "0.user-privileged": "root.user-privileged"}
    expected |= {"amy.user-privileged": "600", "1500.user-privileged": "amy.user-privileged"}
    expected |= {"games.group-privileged": "600", "60.group-privileged": "games.group-privileged"}
    assert found == expected
    assert HASH not in "".join(path.read_text() for path in out.iterdir() if "privileged" not in path.name)
    assert json.loads((out / "video.group").read_text())["administrators"] == ["amy"]


def test_userdb_cannot_say_what_is_not_utf_8(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/": None, "usr/lib/passwd": "ann:x:1:7:GECOS:/home/ann:/bin/sh\n"})
    passwd = root / "usr/lib/passwd"
    passwd.write_bytes(passwd.read_bytes().replace(b"GECOS", b"\xc6\xfc\xcb\xdc"))
    assert export_userdb(root, tmp_path / "out") == ["ann.user: realName is not UTF-8"]
    record = json.loads((tmp_path / "out/ann.user").read_bytes())
    assert (record["homeDirectory"], "realName" in record) == ("/home/ann", False)
    passwd.write_bytes(b"\xc6:x:1:7::/:/bin/sh\n")
    with pytest.raises(BadArgument):
        export_userdb(root, tmp_path / "out")


def test_userdbctl_reads_the_records(tmp_path: Path) -> None:
    """systemd's reader takes what we write and says of it what it says of the passwd and shadow rows."""
    out = tmp_path / "out"
    export_userdb(make(tmp_path / "root", IMAGE), out)
    # /usr/lib/userdb of this machine, in a mount namespace; an overlay, since it need not be there.
    script = f"""\
mount -t tmpfs tmpfs {tmp_path}/root && mkdir {tmp_path}/root/upper {tmp_path}/root/work
mount -t overlay overlay -o lowerdir=/usr/lib,upperdir={tmp_path}/root/upper,workdir={tmp_path}/root/work /usr/lib
cp -a {out} /usr/lib/userdb
for name in root sync _svc odd amy bob 1500; do
    userdbctl --with-nss=no --with-varlink=no --synthesize=no -j user $name | tr -d '\\n\\t'; echo
done
for name in video games 60; do userdbctl --with-nss=no --with-varlink=no -j group $name | tr -d '\\n\\t'; echo; done
"""
    done = subprocess.run(["unshare", "-m", "sh", "-ec", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    root, sync, svc, odd, amy, bob, by_uid, video, games, by_gid = map(json.loads, done.stdout.splitlines())
    assert (root["uid"], root["disposition"], root["privileged"]) == (0, "intrinsic", {"hashedPassword": [""]})
    assert (sync["gid"], sync["shell"], "privileged" in sync) == (65534, "/bin/sync", False)
    assert (svc["realName"], svc["disposition"]) == ('A "service", 100% \\o/', "system")
    assert (odd["locked"], odd["passwordChangeNow"], "lastPasswordChangeUSec" in odd) == (True, True, False)
    day = 86400 * 10**6
    assert amy == by_uid
    assert {key: value for key, value in amy.items() if key not in ("status", "privileged")} == {
        "userName": "amy", "uid": 1500, "gid": 1500, "disposition": "regular", "realName": "Amy",
        "homeDirectory": "/home/amy", "shell": "/bin/sh", "locked": False, "notAfterUSec": 21915 * day,
        "passwordChangeNow": False, "lastPasswordChangeUSec": 19700 * day, "passwordChangeMaxUSec": 99999 * day,
        "passwordChangeWarnUSec": 7 * day, "passwordChangeInactiveUSec": 30 * day,
    }  # fmt: skip
    assert amy["privileged"] == {"hashedPassword": [HASH]}
    assert bob["gid"] == 1500
    assert (video["gid"], games == by_gid, games["privileged"]["hashedPassword"]) == (44, True, [HASH])


@pytest.mark.parametrize("name", ["..", "a/b", ".x", ""])
def test_names_that_are_no_file_names_are_refused(tmp_path: Path, name: str) -> None:
    root = make(tmp_path / "root", {"etc/": None, "usr/lib/group": f"{name}:x:7:\nok:x:8:\n"})
    with pytest.raises(BadArgument):
        export_userdb(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_root_gives_the_same_bytes(tmp_path: Path) -> None:
    shuffled = {
        name: None if text is None else "".join(reversed(text.splitlines(keepends=True)))
        for name, text in IMAGE.items()
    }
    for name, files in (("a", IMAGE), ("b", shuffled)):
        root = make(tmp_path / f"root-{name}", files)
        for _ in range(2):
            export_sysusers(root, tmp_path / name / "sysusers")
            export_userdb(root, tmp_path / name / "userdb")
    assert tell(tmp_path / "a") == tell(tmp_path / "b")


# Import

LINES = """\
# comment
g   render   -    -
u   root     0    "Super User" /root
u   _svc     -    "A \\"service\\", 100%%" /var/lib/svc /bin/sh
u   web      33   "Web"
u!  locked   -
g   disk     6
u   shared   410:disk
u   byfile   /usr/bin/tool
m   _svc     disk
m   newuser  newgroup
"""


def do_import(root: Path, text: str, **options: object) -> Imported:
    lines = root.parent / "lines.conf"
    lines.write_text(text)
    return import_sysusers(root, [lines], **options)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = make(tmp_path / "root", {"etc/": None, "usr/bin/tool": ""})
    os.chown(path / "usr/bin/tool", 450, 451)
    return path


def test_import_makes_what_systemd_sysusers_makes(tmp_path: Path, root: Path) -> None:
    """The same names and ids, from 999 downwards, in the image instead of /etc."""
    real = make(tmp_path / "real", {"usr/bin/tool": ""})
    os.chown(real / "usr/bin/tool", 450, 451)
    # 252 does not know u! yet.
    (tmp_path / "old.conf").write_text(LINES.replace("u! ", "u  "))
    assert run_sysusers(real, tmp_path / "old.conf") == ""
    do_import(root, LINES)
    for name in ("passwd", "group"):
        assert read_sorted(root / "usr/lib" / name) == read_sorted(real / "etc" / name)
    assert {row.split(":")[1] for row in read_sorted(root / "usr/lib/shadow")} == {"!*"}
    assert "locked:!*::::::1:" in read_sorted(root / "usr/lib/shadow")
    assert not list((root / "etc").iterdir())


def test_import_of_a_real_image(tmp_path: Path, root: Path) -> None:
    """The lines of this machine's own packages."""
    files = sorted(Path("/usr/lib/sysusers.d").glob("*.conf"))
    assert files
    (tmp_path / "real").mkdir()
    assert run_sysusers(tmp_path / "real", *files) == ""
    import_sysusers(root, files)
    for name in ("passwd", "group"):
        assert read_sorted(root / "usr/lib" / name) == read_sorted(tmp_path / "real/etc" / name)


def test_import_twice_changes_nothing(root: Path) -> None:
    do_import(root, LINES, source_date_epoch=86400 * 19000)
    assert "root:!*:19000::::::" in read_sorted(root / "usr/lib/shadow")
    before = tell(root, times=True)
    assert do_import(root, LINES, source_date_epoch=86400 * 19001).added == []
    assert tell(root, times=True) == before


def test_import_keeps_what_is_there_and_tells_of_other_ids(root: Path) -> None:
    image: dict[str, str | None] = {"usr/lib/passwd": "web:x:80:80::/:/bin/sh\n", "usr/lib/group": "web:x:80:\n"}
    make(root, {**image, "etc/group": "disk:x:9:\n"})
    imported = do_import(root, "u web 33\ng disk 6\nm web disk\ng new 80\n")
    assert (root / "usr/lib/passwd").read_text() == "web:x:80:80::/:/bin/sh\n"
    assert (root / "usr/lib/group").read_text() == "web:x:80:\nnew:x:999:\n"
    assert [note.partition(": ")[2] for note in imported.notes[:3]] == [
        "group 'disk' has the GID 9, not 6",
        "the id 80 for 'new' is used already",
        "user 'web' has the UID 80, not 33",
    ]
    assert imported.notes[3:] == ["group 'disk' is in /etc only: seed first to add members"]


def test_known_ids_come_first_and_ids_of_others_never(root: Path) -> None:
    ledger = "passwd:svc:700:removed\ngroup:svc:700:removed\npasswd:old:999:removed\ngroup:old:998:removed\n"
    make(root, {"usr/share/accounts/ids": ledger})
    do_import(root, "u svc -\nu next -\n")
    assert read_sorted(root / "usr/lib/passwd") == [
        "next:x:997:997::/:/usr/sbin/nologin",
        "svc:x:700:700::/:/usr/sbin/nologin",
    ]
    text = (root / "usr/share/accounts/ids").read_text()
    assert "passwd:svc:700:present\n" in text and "passwd:next:997:present\n" in text
    assert "passwd:old:999:removed\n" in text


def test_ranges_and_specifiers(root: Path) -> None:
    make(root, {"usr/lib/os-release": 'ID="debian"\nVERSION_ID="12"\n'})
    do_import(root, 'r - 500-502\nu a - "On %o %w"\nu b - %T/x\nu c -\n')
    assert read_sorted(root / "usr/lib/passwd") == [
        "a:x:502:502:On debian 12:/:/usr/sbin/nologin",
        "b:x:501:501:/tmp/x:/:/usr/sbin/nologin",
        "c:x:500:500::/:/usr/sbin/nologin",
    ]
    with pytest.raises(NoId):
        do_import(root, "r - 500-502\nu d -\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u a - %m", "%m is not the same on every machine of an image"),
        ("x a", "not a line of sysusers.d: x a"),
        ("u", "not a line of sysusers.d: u"),
        ("u a id", "not an id: id"),
        ("r - low-high", "not a range of ids: low-high"),
        ('u a - "x:y"', "a colon or a control character in the description of 'a'"),
    ],
)
def test_bad_lines_change_nothing(root: Path, line: str, message: str) -> None:
    before = tell(root)
    with pytest.raises(BadArgument) as caught:
        do_import(root, f"u good -\n{line}\n")
    assert caught.value.message == f"{root.parent}/lines.conf:2: {message}"
    assert tell(root) == before
