# SPDX-License-Identifier: MIT
"""accounts adopt and flatten: a classic /etc, copies made by hand, overlays and extrausers to a delta, and back."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.errors import Refusal
from accounts.machine.convert import adopt, flatten
from accounts.model.database import KINDS, Base, Database, Hides
from accounts.model.policy import default_policy
from accounts.model.records import Group, Gshadow, Passwd, Shadow
from accounts.model.table import Table
from tests.machine.life import IMAGE, accounts, local, make_root, tool, validate, write

NAMES = st.sampled_from([b"root", b"daemon", b"www", b"adm", b"video", b"alice", b"bob"])
MEMBERS = st.lists(NAMES, max_size=3, unique=True).map(tuple)
IDS = st.sampled_from([1, 33, 44, 1000, 1001])
TEXT = st.sampled_from([b"/a", b"/b"])
EDITS = st.one_of(
    st.builds(Passwd, NAMES, st.just(b"x"), IDS, IDS, TEXT, TEXT, TEXT),
    st.builds(Group, NAMES, st.sampled_from([b"x", b"!"]), IDS, MEMBERS),
    st.builds(Shadow, NAMES, st.sampled_from([b"*", b"$y$1"]), st.sampled_from([-1, 19000, 20000])),
    st.builds(Gshadow, NAMES, st.sampled_from([b"*", b"!"]), MEMBERS, MEMBERS),
    st.tuples(st.sampled_from(["passwd", "group", "shadow", "gshadow"]), NAMES),
)


def load(local: dict[str, bytes], merge: bool, base: bytes = b"", hides: Hides | None = None) -> Database:
    """A database over IMAGE whose NSS honours hide rows."""
    return Database(
        {name: Table(KINDS[name], data) for name, data in local.items() if data},
        {name: Table(KINDS[name], text.encode()) for name, text in IMAGE.items()},
        default_policy(merge),
        Base(base),
        hides or Hides(is_honoured=lambda: True),
    )


def told(database: Database) -> dict[str, Any]:
    """All that a local layer says. The order of members is nobody's business."""
    rows = {}
    for name, layered in database.tables.items():
        found = []
        for row in layered.local:
            fields = {field: getattr(row, field) for field in row.fields()}
            found.append({key: frozenset(item) if isinstance(item, tuple) else item for key, item in fields.items()})
        rows[name] = sorted(found, key=lambda fields: fields["name"])
    return {"rows": rows, "base": database.base.render(), "hidden": sorted(database.hides.rows)}


@settings(max_examples=400, deadline=None)
@given(st.lists(EDITS, max_size=12), st.booleans())
def test_adopt_of_flatten_is_what_it_was(edits: list[Any], merge: bool) -> None:
    database = load({}, merge)
    for edit in edits:
        try:
            if isinstance(edit, tuple):
                database.tables[edit[0]].remove(edit[1])
            else:
                name = type(edit).__name__.lower()
                # A row that exists keeps its id half of the time: a member row is the commonest delta.
                database.tables[name].put(edit)
        except Refusal:
            continue
    files = flatten(database)
    again = load(files, merge)
    report = adopt(again, complete=True)
    assert told(again) == told(database)
    assert [step for step in report.open if step.what != "collision"] == []
    # And NSS answers the same from the flat files alone.
    flat = Database({name: Table(KINDS[name], data) for name, data in files.items()}, {}, default_policy(merge))
    for name in IMAGE:
        view, plain = database.tables[name], flat.tables[name]
        assert {row.name for row in view} == {row.name for row in plain}
        for row in view:
            other = plain.get(row.name)
            for field in row.fields():
                ours, theirs = getattr(row, field), getattr(other, field)
                assert (set(ours) == set(theirs)) if isinstance(ours, tuple) else ours == theirs


def test_flatten_in_place_and_back(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    for argv in (
        ("useradd", "-U", "-G", "video", "alice"),
        ("usermod", "-s", "/bin/sh", "-aG", "adm", "www"),
        ("usermod", "-e", "2027-01-01", "root"),
    ):
        assert tool(root, *argv).status == 0
    before = local(root)
    view = accounts(root, "diff").stdout
    assert accounts(root, "flatten", "--dry-run").status == 0
    assert local(root) == before
    assert accounts(root, "flatten").status == 0
    assert {*local(root)["group"].splitlines()[:3]} == {"video:x:44:alice", "adm:x:4:www,daemon", "alice:x:1000:"}
    assert "accounts/base" not in local(root)
    assert accounts(root, "diff").stdout == view
    validate(accounts(root, "adopt", "--json", "--dry-run").json, "adopt")
    assert accounts(root, "adopt").status == 0
    assert local(root) == before


def test_flatten_to_a_directory(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "out").mkdir()
    root, out = make_root(tmp_path / "root", {"group": "video:x:44:www\n"}), tmp_path / "out"
    before = local(root)
    validate(accounts(root, "flatten", "--to", str(out), "--json", "--dry-run").json, "flatten")
    assert list(out.iterdir()) == []
    assert accounts(root, "flatten", "--to", str(out)).status == 0
    assert local(root) == before
    assert (out / "group").read_text() == "video:x:44:www\n" + IMAGE["group"].replace("video:x:44:\n", "")
    assert (out / "passwd").read_text() == IMAGE["passwd"]
    status = (out / "shadow").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, 0, 42)
    again = accounts(root, "flatten", "--to", str(out))
    assert (again.status, again.stdout) == (0, "")


def test_rows_copied_by_hand_become_member_rows(tmp_path: Path) -> None:
    # As on rpm-ostree: `grep ^adm /usr/lib/group >> /etc/group; usermod -aG adm alice`.
    files = {
        "passwd": "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/bash\n",
        "group": "root:x:0:\nadm:x:4:daemon,alice\nvideo:x:44:\nalice:x:1000:\n",
        "shadow": "root:*:19000::::::\nalice:$y$1:20000::::::\n",
        "gshadow": "adm:*::daemon,alice\nalice:!::\n",
    }
    root = make_root(tmp_path, files)
    view = accounts(root, "diff").stdout
    done = accounts(root, "adopt")
    assert (done.status, done.stderr.count("\n")) == (0, 1)
    assert "accounts of the image were not in /etc" in done.stderr
    assert local(root) == {
        "passwd": "alice:x:1000:1000::/home/alice:/bin/bash\n",
        "group": "adm:x:4:alice\nalice:x:1000:\n",
        "shadow": "alice:$y$1:20000::::::\n",
        "gshadow": "adm:*::daemon,alice\nalice:!::\n",
        "accounts/base": "gshadow:adm:*::daemon\n",
    }
    # NSS gives local members first.
    again = accounts(root, "diff").stdout.replace("alice,daemon", "daemon,alice")
    assert sorted(again.splitlines()) == sorted(view.splitlines())
    assert (
        accounts(root, "adopt").stdout
        == "based  gshadow  adm  what differs from the image is taken for a local change\n"
    )


def test_original_tells_frozen_rows_from_changes(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    write(old, {**IMAGE, "group": "adm:x:4:daemon,syslog\n", "passwd": IMAGE["passwd"].replace("/var/www", "/srv/www")})
    files = {
        "passwd": "www:x:33:33:web:/srv/www:/usr/sbin/nologin\ndaemon:x:1:1:Me:/usr/sbin:/usr/sbin/nologin\n",
        "group": "adm:x:4:daemon,syslog,alice\n",
        "gshadow": "adm:*::daemon,alice\n",
    }
    (tmp_path / "root").mkdir()
    root = make_root(tmp_path / "root", files)
    assert accounts(root, "adopt", "--original", str(old)).status == 0
    assert local(root) == {
        "passwd": "daemon:x:1:1:Me:/usr/sbin:/usr/sbin/nologin\n",
        "group": "adm:x:4:alice\n",
        "gshadow": "adm:*::daemon,alice\n",
        "accounts/base": f"passwd:{IMAGE['passwd'].splitlines()[1]}\ngshadow:adm:*::daemon\n",
    }


def test_what_a_whole_etc_lacks_is_hidden(tmp_path: Path) -> None:
    classic = {name: "".join(line for line in text.splitlines(True) if not line.startswith("www:"))
               for name, text in IMAGE.items()}  # fmt: skip
    root = make_root(tmp_path, classic)
    (root / "usr/share/accounts/accounts.conf").write_text("HIDE=yes\n")
    assert accounts(root, "adopt", "--complete").status == 0
    assert local(root) == {"accounts/hidden": "passwd:www\ngroup:www\nshadow:www\ngshadow:www\n"}
    write(root / "etc", classic)
    (root / "etc/accounts/hidden").unlink()
    (root / "usr/share/accounts/accounts.conf").write_text("HIDE=no\n")
    done = accounts(root, "adopt", "--complete")
    assert (done.status, done.stdout.count("conflict")) == (1, 4)


def test_from_another_place_this_machine_wins(tmp_path: Path) -> None:
    place = tmp_path / "extrausers"
    place.mkdir()
    write(place, {
        "passwd": "ann:x:1500:1500::/home/ann:/bin/sh\nalice:x:1000:1000::/other:/bin/sh\n",
        "group": "ann:x:1500:\nvideo:x:44:ann\n",
        "shadow": "ann:$y$1:1::::::\n",
    })  # fmt: skip
    (tmp_path / "root").mkdir()
    root = make_root(
        tmp_path / "root", {"passwd": "alice:x:1000:1000::/home/alice:/bin/sh\n", "group": "alice:x:1000:\n"}
    )
    done = accounts(root, "adopt", "--from", str(place))
    assert done.status == 1
    assert done.stdout.splitlines()[0] == (
        "conflict  passwd  alice  both places have a row of that name; this machine's stays"
    )
    assert local(root) == {
        "passwd": "alice:x:1000:1000::/home/alice:/bin/sh\nann:x:1500:1500::/home/ann:/bin/sh\n",
        "group": "alice:x:1000:\nann:x:1500:\nvideo:x:44:ann\n",
        "shadow": "ann:$y$1:1::::::\n",
    }


OVERLAY = """
    set -e
    mount -t tmpfs none "$1"; cd "$1"; mkdir lower upper work merged
    cp -a "$2"/. lower/; chmod 644 lower/passwd
    mount -t overlay -o "lowerdir=lower,upperdir=upper,workdir=work$3" none merged
    sed -i 's|:/var/www:|:/srv:|' merged/passwd
    rm merged/gshadow
    umount merged
    cp -a --preserve=all upper "$4"
"""


@pytest.mark.parametrize("option", ["", ",metacopy=on", ",userxattr"])
def test_an_overlays_upper_directory(option: str, tmp_path: Path) -> None:
    for name in ("mnt", "lower", "root"):
        (tmp_path / name).mkdir()
    write(tmp_path / "lower", IMAGE)
    script = [
        "unshare",
        "-m",
        "sh",
        "-c",
        OVERLAY,
        "sh",
        tmp_path / "mnt",
        tmp_path / "lower",
        option,
        tmp_path / "upper",
    ]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    # overlayfs leaves a device 0:0 for what was removed.
    assert stat.S_ISCHR((tmp_path / "upper/gshadow").lstat().st_mode)
    root = make_root(tmp_path / "root")
    assert accounts(root, "adopt", "--from", str(tmp_path / "upper")).status == 0
    assert local(root)["passwd"] == "www:x:33:33:web:/srv:/usr/sbin/nologin\n"
    assert {*local(root)} == {"passwd", "accounts/base"}


@pytest.mark.parametrize("prefix", ["trusted", "user"])
def test_whiteouts_and_metadata_copies_as_attributes(prefix: str, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (tmp_path / "root").mkdir()
    root = make_root(tmp_path / "root")
    write(upper, {"passwd": "www:x:33:33:web:/srv:/bin/sh\n", "group": ""})
    os.setxattr(upper, f"{prefix}.overlay.opaque", b"x")
    os.setxattr(upper / "group", f"{prefix}.overlay.whiteout", b"")
    assert accounts(root, "adopt", "--from", str(upper)).status == 0
    assert {*local(root)} == {"passwd", "accounts/base"}
    os.setxattr(upper / "passwd", f"{prefix}.overlay.metacopy", b"")
    done = accounts(root, "adopt", "--from", str(upper))
    assert done.status == 3
    assert "is a metadata copy of an overlay" in done.stderr


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo, Path.mkdir])
def test_no_account_file_is_not_read(make: Any, tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "root").mkdir()
    root = make_root(tmp_path / "root")
    assert accounts(root, "adopt", "--from", str(tmp_path / "from")).stderr.endswith(
        "/from has no account file; see accounts adopt --help\n"
    )
    make(tmp_path / "from/passwd")
    done = accounts(root, "adopt", "--from", str(tmp_path / "from"))
    assert (done.status, done.stderr.count("\n"), local(root)) == (3, 1, {})


def test_the_etc_of_this_very_machine(tmp_path: Path) -> None:
    """Debian's own accounts as the image, what was added here as the delta."""
    master = Path("/usr/share/base-passwd")
    image = {}
    for name in ("passwd", "group"):
        text = (master / f"{name}.master").read_text() if master.exists() else Path(f"/etc/{name}").read_text()
        image[name] = text.replace(":*:", ":x:")
    image["shadow"] = "".join(f"{line.split(':')[0]}:*:19000:0:99999:7:::\n" for line in image["passwd"].splitlines())
    image["gshadow"] = "".join(f"{line.split(':')[0]}:*::\n" for line in image["group"].splitlines())
    root = make_root(tmp_path, image=image)
    for name in IMAGE:
        shutil.copy(f"/etc/{name}", root / "etc" / name)
    view = accounts(root, "show", "root", "--json").json["answers"][0]["fields"][4]["value"]
    assert accounts(root, "adopt").status == 0
    assert accounts(root, "show", "root", "--json").json["answers"][0]["fields"][4]["value"] == view
    same = {*image["passwd"].splitlines()} & {*Path("/etc/passwd").read_text().splitlines()}
    assert same and not same & {*local(root)["passwd"].splitlines()}
