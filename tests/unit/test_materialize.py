# SPDX-License-Identifier: MIT
"""`accounts materialize`: rows of image users in /etc, asked for by name or by a login with an expired password."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SHIM = Path(__file__).resolve().parents[2] / "shims/accounts"
PASSWD = {
    "ivy": "ivy:x:1500:1500:Ivy:/home/ivy:/bin/sh\n",
    "old": "old:x:1501:1501:::/bin/sh\n",
    "new": "new:x:1502:1502:::/bin/sh\n",
}
SHADOW = {
    "ivy": "ivy:$6$a$b:20000:0:99999:7:::\n",
    "old": "old:$6$a$b:18000:0:90:7:::\n",
    "new": "new:$6$c$d:0:0::7:::\n",
}
LOCAL = "liz:x:1600:1600:::\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root whose image has a user with a good password and two with expired ones."""
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/lib/passwd").write_text("".join(PASSWD.values()))
    (tmp_path / "usr/lib/shadow").write_text("".join(SHADOW.values()))
    (tmp_path / "usr/lib/shadow").chmod(0o640)
    (tmp_path / "etc/passwd").write_text(LOCAL)
    return tmp_path


def materialize(root: Path, *arguments: str, user: str | None = None) -> tuple[int, str]:
    """Exit status and all that was printed. user: PAM_USER."""
    environment = {"PATH": "/usr/bin"} | ({} if user is None else {"PAM_USER": user})
    done = subprocess.run(
        ["/usr/bin/python3", "-IS", SHIM, "materialize", "-R", root, *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout


def etc(root: Path) -> dict[str, str]:
    """The local layer."""
    return {
        name: (root / "etc" / name).read_text()
        for name in ("passwd", "shadow", "accounts/base") if (root / "etc" / name).exists()
    }  # fmt: skip


def test_by_name_both_rows_are_copied_and_remembered_in_base(root: Path) -> None:
    assert materialize(root, "ivy") == (0, "copied the rows of image user 'ivy' to /etc\n")
    assert etc(root) == {
        "passwd": LOCAL + PASSWD["ivy"],
        "shadow": SHADOW["ivy"],
        "accounts/base": f"passwd:{PASSWD['ivy']}shadow:{SHADOW['ivy']}",
    }
    assert (root / "etc/shadow").stat().st_mode & 0o777 == 0o640
    before = (root / "etc/passwd").stat()
    assert materialize(root, "ivy") == (0, "")
    assert (root / "etc/passwd").stat() == before


def test_a_row_that_differs_stays(root: Path) -> None:
    override = PASSWD["ivy"].replace("/bin/sh", "/bin/bash")
    (root / "etc/passwd").write_text(override)
    assert materialize(root, "ivy", "-q") == (0, "")
    assert etc(root)["passwd"] == override
    assert etc(root)["shadow"] == SHADOW["ivy"]


def test_nothing_is_copied_when_one_of_the_names_is_unknown(root: Path) -> None:
    assert materialize(root, "ivy", "bob") == (3, "accounts materialize: user 'bob' does not exist\n")
    assert etc(root) == {"passwd": LOCAL}


@pytest.mark.parametrize("arguments", [[], ["--expired", "ivy"], ["--nosuch"]])
def test_wrong_use(root: Path, arguments: list[str]) -> None:
    status, output = materialize(root, *arguments, user="old")
    assert status == 2
    assert re.fullmatch("accounts materialize: .*; see accounts materialize --help\n", output)
    assert etc(root) == {"passwd": LOCAL}


@pytest.mark.parametrize("user", ["old", "new"])
def test_a_login_with_an_expired_password_copies_the_rows(root: Path, user: str) -> None:
    assert materialize(root, "--expired", user=user) == (0, "")
    assert (etc(root)["passwd"], etc(root)["shadow"]) == (LOCAL + PASSWD[user], SHADOW[user])


def test_an_expired_password_of_a_user_with_one_row_copies_the_other(root: Path) -> None:
    (root / "etc/passwd").write_text(PASSWD["old"].replace("/bin/sh", "/bin/bash"))
    assert materialize(root, "--expired", user="old") == (0, "")
    assert etc(root)["passwd"] == PASSWD["old"].replace("/bin/sh", "/bin/bash")
    assert etc(root)["shadow"] == SHADOW["old"]


@pytest.mark.parametrize(
    "user",
    [None, "", "ivy", "liz", "nobody", "old:x", "old:x:1501", "old\nnew", "ol", "old\n", "../old", "-h", "x" * 100000],
)
def test_any_other_login_changes_nothing(root: Path, user: str | None) -> None:
    before = [(path, path.stat().st_mtime_ns) for path in sorted(root.rglob("*"))]
    assert materialize(root, "--expired", user=user) == (0, "")
    assert [(path, path.stat().st_mtime_ns) for path in sorted(root.rglob("*"))] == before


def test_the_environment_sets_no_clock(root: Path) -> None:
    (root / "usr/lib/shadow").write_text("ivy:$6$a$b:18000:0:90:7:::\n")
    done = subprocess.run(
        ["/usr/bin/python3", "-IS", SHIM, "materialize", "-R", root, "--expired"],
        env={"PAM_USER": "ivy", "SOURCE_DATE_EPOCH": str(18001 * 86400)}, check=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert "ivy:" in etc(root)["passwd"]


@pytest.mark.parametrize(
    ("stack", "needed"),
    [
        ("password required pam_unix.so\n", True),
        ("password required pam_accounts.so\npassword required pam_unix.so\n", False),
        ("password include common-password\n", False),
        ("account required pam_accounts.so\n", True),
    ],
)
def test_no_row_is_needed_where_pam_asks_pam_accounts(root: Path, stack: str, needed: bool) -> None:
    (root / "etc/pam.d").mkdir()
    (root / "etc/pam.d/login").write_text(stack)
    (root / "etc/pam.d/common-password").write_text("password sufficient /lib/security/pam_accounts.so use_authtok\n")
    assert materialize(root, "--expired", user="old") == (0, "")
    assert (etc(root)["passwd"] == LOCAL + PASSWD["old"]) == needed
    # By name they are made all the same.
    assert materialize(root, "new") == (0, "copied the rows of image user 'new' to /etc\n")
    assert PASSWD["new"] in etc(root)["passwd"]


def test_a_change_to_what_the_row_says_already_leaves_the_copies(root: Path) -> None:
    materialize(root, "ivy")
    before = etc(root)
    chsh = ["/usr/bin/python3", "-IS", SHIM.with_name("chsh"), "-R", root, "-s", "/bin/sh", "ivy"]
    subprocess.run(chsh, check=True, timeout=60, stderr=subprocess.DEVNULL)
    assert etc(root) == before
