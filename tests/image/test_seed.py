# SPDX-License-Identifier: MIT
"""accounts image seed: the same image whatever the order, and whatever happened in between."""

from __future__ import annotations

import os
import random
import stat
import subprocess
from pathlib import Path

import pytest

from accounts.errors import BadArgument
from accounts.image.seed import seed
from accounts.image.seed_image import seed_image
from accounts.image.tree import Tree
from tests.image.accounts import GROUP, GSHADOW, PASSWD, SHADOW, change, make_image, row
from tests.image.rootfs import make, names, tell

EPOCH = 1_700_000_000
DAY = EPOCH // 86400
FILES = ("passwd", "group", "shadow", "gshadow")

IMAGE = {
    "passwd": """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
messagebus:x:101:101::/nonexistent:/usr/sbin/nologin
alice:x:1000:1000:Alice:/home/alice:/bin/bash
""",
    "group": """\
root:x:0:
daemon:x:1:
adm:x:4:alice,daemon
www-data:x:33:
shadow:x:42:
messagebus:x:101:
alice:x:1000:
nogroup:x:65534:
""",
    # The day of a locked password is the build's; a password that somebody chose keeps its own.
    "shadow": """\
root:*::0:99999:7:::
daemon:*::0:99999:7:::
www-data:*::0:99999:7:::
sshd:!:::::::
messagebus:!:::::::
alice:$6$s$h:19703:0:99999:7:::
""",
    "gshadow": """\
root:*::
daemon:*::
adm:*:alice:alice,daemon
www-data:*::
shadow:*::
messagebus:!::
alice:!::
nogroup:*::
""",
}


def layer(root: Path, directory: str = "usr/lib") -> dict[str, str]:
    return {name: (root / directory / name).read_text() for name in FILES if (root / directory / name).exists()}


def shuffled(text: str, random_source: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    random_source.shuffle(lines)
    return "".join(lines)


def test_all_rows_move(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    seeded = seed(root)
    assert layer(root) == IMAGE
    assert names(root) == []
    assert seeded.moved["passwd"] == ["alice", "daemon", "messagebus", "root", "sshd", "www-data"]
    assert seeded.kept == []


def test_again_changes_nothing(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    make(root, {"etc/subuid": "alice:100000:65536\n", "etc/login.defs": "UID_MIN 1000\n"})
    seed_image(root, source_date_epoch=EPOCH)
    before = tell(root, times=True)
    built = seed_image(root, source_date_epoch=EPOCH)
    assert tell(root, times=True) == before
    assert built.seeded is not None and not any(built.seeded.moved.values())


@pytest.mark.parametrize("round", range(5))
def test_the_order_of_the_packages_does_not_matter(tmp_path: Path, round: int) -> None:
    source = random.Random(round)
    other = {
        "passwd": shuffled(PASSWD, source),
        "group": shuffled(GROUP.replace("alice,daemon", "daemon,alice,daemon"), source),
        # Installed on other days.
        "shadow": shuffled(SHADOW.replace("19700", "19800").replace("19701", "0"), source),
        "gshadow": shuffled(GSHADOW, source),
    }
    results = []
    for name, texts in (("a", {}), ("b", other)):
        root = make_image(tmp_path / name, **texts)
        make(root, {"etc/subuid": "".join(sorted(("a:1:1\n", "b:2:2\n"), reverse=name == "b"))})
        seed_image(root, source_date_epoch=EPOCH, severities={"unpinned-id": "ignore"})
        results.append(tell(root, times=True))
    # The roots' own top directories were made at different times.
    assert {path for path in results[0] if results[0][path] != results[1].get(path)} <= {"usr", "var"}
    assert results[0].keys() == results[1].keys()


def test_a_second_package_run_adds_its_rows(tmp_path: Path) -> None:
    """dpkg between two seeds sees no /etc/passwd, or one with its new rows alone."""
    root = make_image(tmp_path / "r")
    seed(root)
    make(
        root,
        {
            "etc/passwd": "ntp:x:102:102::/:/usr/sbin/nologin\n", "etc/group": "ntp:x:102:\nadm:x:4:ntp\n",
            "etc/shadow": "ntp:!:19999::::::\n", "etc/gshadow": "ntp:!::\n", "etc/passwd-": "x",
        },
    )  # fmt: skip
    seeded = seed(root)
    assert seeded.moved == {"passwd": ["ntp"], "group": ["adm", "ntp"], "shadow": ["ntp"], "gshadow": ["ntp"]}
    assert row(root, "usr/lib/group", "adm") == "adm:x:4:alice,daemon,ntp"
    assert row(root, "usr/lib/passwd", "alice") is not None
    assert names(root) == []


def test_kept_users_stay_with_their_memberships(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    seeded = seed(root, keep=["ali*"])
    assert seeded.kept == ["alice"]
    assert layer(root, "etc") == {
        "passwd": "alice:x:1000:1000:Alice:/home/alice:/bin/bash\n",
        # The member row that makes NSS answer what it did.
        "group": "adm:x:4:alice\nalice:x:1000:\n",
        "shadow": "alice:$6$s$h:19703:0:99999:7:::\n",
        "gshadow": "adm:*:alice:alice,daemon\nalice:!::\n",
    }
    assert row(root, "usr/lib/group", "adm") == "adm:x:4:daemon"
    assert row(root, "usr/lib/gshadow", "adm") == "adm:*::daemon"
    for name in FILES:
        assert row(root, f"usr/lib/{name}", "alice") is None
    before = tell(root, times=False)
    seed(root, keep=["alice"])
    assert tell(root) == before


def test_human_ids_are_login_defs(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    make(root, {"etc/login.defs": "UID_MIN 101\nGID_MIN 1000\n"})
    assert seed(root, keep_human=True).kept == ["alice", "messagebus"]
    assert row(root, "etc/passwd", "messagebus") is not None
    assert row(root, "usr/lib/group", "messagebus") is not None


def test_a_name_to_keep_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert seed(make_image(tmp_path / "r"), keep=["bob"]).notes == ["--keep bob: no such local user or group"]


@pytest.mark.parametrize(("epoch", "day"), [(None, ""), (EPOCH, str(DAY)), (0, "")])
def test_the_day_of_locked_passwords(tmp_path: Path, epoch: int | None, day: str) -> None:
    """Day 0 would mean: to be changed at the next login."""
    root = make_image(tmp_path / "r")
    seed(root, source_date_epoch=epoch)
    assert row(root, "usr/lib/shadow", "sshd") == f"sshd:!:{day}::::::"
    assert row(root, "usr/lib/shadow", "daemon") == f"daemon:*:{day}:0:99999:7:::"
    assert row(root, "usr/lib/shadow", "alice") == "alice:$6$s$h:19703:0:99999:7:::"


@pytest.mark.parametrize(
    ("group", "expected"), [(GROUP, (0o640, 0, 42)), (GROUP.replace("shadow:x:42:\n", ""), (0, 0, 0))]
)
def test_modes_and_owners(tmp_path: Path, group: str, expected: tuple[int, int, int]) -> None:
    root = make_image(tmp_path / "r", group=group)
    for name in FILES:
        os.chmod(root / "etc" / name, 0o666)
    old_mask = os.umask(0o077)
    try:
        seed(root)
    finally:
        os.umask(old_mask)
    for name in FILES:
        status = (root / "usr/lib" / name).stat()
        found = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        assert found == (expected if "shadow" in name else (0o644, 0, 0)), name


def test_a_user_without_shadow_row_is_locked(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r", shadow=SHADOW.replace("sshd:!:19701::::::\n", ""))
    assert seed(root).notes == ["user 'sshd' had no shadow row: locked"]
    assert row(root, "usr/lib/shadow", "sshd") == "sshd:*:::::::"


class _PowerCut(BaseException):
    pass


@pytest.mark.parametrize("stop", range(1, 12))
def test_a_crash_at_any_write_is_repaired_by_running_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """No account is ever in neither layer, and the second run ends where an undisturbed one does."""
    root = make_image(tmp_path / "r")
    make(root, {"etc/subuid": "alice:100000:65536\n", "etc/login.defs": "x y\n", "etc/group-": ""})
    undisturbed = tmp_path / "u"
    subprocess.run(["cp", "-a", root, undisturbed], check=True)
    seed(undisturbed, keep=["alice"])
    calls = 0

    def count(self: Tree, *arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise _PowerCut
        return None

    with monkeypatch.context() as patch:
        for name in ("write", "remove", "move"):
            real = getattr(Tree, name)

            def wrapped(self: Tree, *arguments: object, _real: object = real, **named: object) -> object:
                count(self)
                return _real(self, *arguments, **named)  # type: ignore[operator]

            patch.setattr(Tree, name, wrapped)
        with pytest.raises(_PowerCut):
            seed(root, keep=["alice"])
    for name, text in (("passwd", PASSWD), ("group", GROUP), ("shadow", SHADOW)):
        for line in text.splitlines():
            account = line.split(":")[0]
            there = row(root, f"etc/{name}", account) or row(root, f"usr/lib/{name}", account)
            assert there is not None, (name, account)
    seed(root, keep=["alice"])
    assert tell(root) == tell(undisturbed)


def test_subordinate_ids_become_factory_files(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    make(root, {"etc/subuid": "b:2:2\na:1:1\n", "etc/subgid": "a:1:1\n"})
    seed(root)
    assert (root / "usr/share/factory/etc/subuid").read_text() == "a:1:1\nb:2:2\n"
    lines = (root / "usr/lib/tmpfiles.d/accounts-image.conf").read_text().splitlines()[1:]
    assert lines == ["C /etc/subgid - - - - -", "C /etc/subuid - - - - -"]
    make(root, {"etc/subuid": "c:3:3\n"})
    seed(root)
    assert (root / "usr/share/factory/etc/subuid").read_text() == "a:1:1\nb:2:2\nc:3:3\n"
    assert names(root) == []


def test_configuration_moves_to_where_the_tools_look(tmp_path: Path) -> None:
    files = {"etc/login.defs": "UID_MIN 500\n", "etc/shells": "/bin/sh\n", "etc/default/useradd": "SHELL=/bin/sh\n",
             "etc/skel/.profile": "p", "etc/default/other": ""}  # fmt: skip
    root = make(make_image(tmp_path / "r"), files)
    os.chmod(root / "etc/skel", 0o700)
    seed(root)
    assert (root / "usr/share/accounts/login.defs").read_text() == "UID_MIN 500\n"
    assert (root / "usr/share/accounts/default/useradd").read_text() == "SHELL=/bin/sh\n"
    assert (root / "usr/share/accounts/skel/.profile").read_text() == "p"
    assert stat.S_IMODE((root / "usr/share/accounts/skel").stat().st_mode) == 0o700
    assert names(root) == ["default/", "default/other"]
    lines = (root / "usr/lib/tmpfiles.d/accounts-image.conf").read_text().splitlines()[1:]
    assert lines == [
        "C /etc/skel - - - - /usr/share/accounts/skel",
        "L /etc/login.defs - - - - ../usr/share/accounts/login.defs",
        "L /etc/shells - - - - ../usr/share/accounts/shells",
    ]
    # An image of before, seeded again: the link goes.
    (root / "usr/lib/tmpfiles.d/accounts-image.conf").write_text(
        "# x\nL /etc/shells - - - - ../usr/share/accounts/shells\nL /etc/skel - - - - ../usr/share/accounts/skel\n"
    )
    make(root, {"etc/login.defs": "UID_MIN 500\n"})
    seed(root)
    assert (root / "usr/lib/tmpfiles.d/accounts-image.conf").read_text().splitlines()[1:] == lines
    other = make(make_image(tmp_path / "o"), files)
    seed(other, configuration=False)
    assert "login.defs" in names(other)


def test_leftovers_go(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    left = ["passwd-", "group.dpkg-old", "shadow-", "subuid-", ".pwd.lock"]
    make(root, {f"etc/{name}": "x" for name in (*left, "mine-")})
    assert seed(root).removed == [f"/etc/{name}" for name in left]
    assert names(root) == ["mine-"]


@pytest.mark.parametrize(
    ("path", "old", "new", "what"),
    [
        ("etc/passwd", "sshd:x:100", "sshd:x:1o0", "/etc/passwd:4: not a valid row; mend it with pwck"),
        ("etc/passwd", "daemon:x:1:1:", "sshd:x:100:1:", "/etc/passwd: 'sshd' is there twice"),
        ("usr/lib/passwd", "sshd:x:100", "sshd:x:105", "'sshd' has UID 100, the image 105; run accounts image pin"),
        ("usr/lib/group", "adm:x:4", "adm:x:5", "'adm' has GID 4, the image 5; run accounts image pin first"),
    ],
)
def test_contradictions_are_refused_and_nothing_changes(
    tmp_path: Path, path: str, old: str, new: str, what: str
) -> None:
    root = make_image(tmp_path / "r")
    make(root, {"usr/lib/passwd": PASSWD, "usr/lib/group": GROUP})
    change(root, path, old, new)
    before = tell(root)
    with pytest.raises(BadArgument, match=what.replace("(", r"\(")):
        seed(root)
    assert tell(root) == before


def test_account_files_that_are_links_are_refused(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    (root / "etc/shadow").unlink()
    (root / "etc/shadow").symlink_to("/etc/shadow")
    with pytest.raises(BadArgument, match="/etc/shadow is not a regular file"):
        seed(root)
    with pytest.raises(BadArgument, match="has no /etc"):
        seed(make(tmp_path / "empty", {"usr/": None}))


def test_names_are_saved_for_the_rest_of_the_build(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    seed(root, keep=["alice"], save_names=tmp_path / "names")
    saved = {name: (tmp_path / "names" / name).read_text() for name in ("passwd", "group")}
    assert saved == {"passwd": IMAGE["passwd"], "group": IMAGE["group"]}
    assert sorted(path.name for path in (tmp_path / "names").iterdir()) == ["group", "passwd"]


def test_nis_rows_are_dropped_and_told(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r", passwd=PASSWD + "+::::::\n")
    assert seed(root).notes == ["/etc/passwd:7: NIS row dropped"]
    assert layer(root)["passwd"] == IMAGE["passwd"]


def test_another_image_directory(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    make(root, {"usr/share/accounts/accounts.conf": "IMAGE_DIR=/usr/etc/image\n"})
    seed_image(root)
    assert layer(root, "usr/etc/image") == IMAGE and layer(root) == {}
