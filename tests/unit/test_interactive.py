# SPDX-License-Identifier: MIT
"""passwd, chage, chsh, chfn and pwck at a terminal: what they ask and show, what they do with the answers."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.support.hashes import verifies

REPO = Path(__file__).parents[2]
TODAY = 20000
IMAGE = {
    "passwd": "root:x:0:0:::\nalice:x:1000:1000:Alice,1,2,3,other:/home/alice:/bin/sh\n",
    "shadow": "root:*:19000:0:99999:7:::\nalice:!:19000:0:99999:7:::\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory for --prefix whose accounts are all in the image; /etc is empty."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/lib").mkdir(parents=True)
    for name, text in IMAGE.items():
        (tmp_path / "usr/lib" / name).write_text(text)
    return tmp_path


def etc(root: Path) -> dict[str, str]:
    """The files of /etc, without the base records and lock files."""
    return {path.name: path.read_text() for path in (root / "etc").iterdir() if path.name in IMAGE}


def talk(root: Path, tool: str, *argv: str, say: list[tuple[str, str]]) -> tuple[int, str, bool]:
    """(exit status, all that was shown, whether the terminal echoes in the end).

    say: what to wait for, what to type then. What is typed without echo does not show.
    """
    code = f"import sys; sys.argv = {[tool, '-P', str(root), *argv]!r}; from accounts.cli.{tool} import main; main()"
    environment = {"PATH": os.defpath, "SOURCE_DATE_EPOCH": str(TODAY * 86400)}
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(REPO)
        os.execve(sys.executable, [sys.executable, "-c", code], environment)
    seen = b""
    mark = 0
    end = time.monotonic() + 30
    echo = True
    answers = list(say)
    while time.monotonic() < end:
        if answers and answers[0][0].encode() in seen[mark:]:
            mark = len(seen)
            os.write(fd, answers.pop(0)[1].encode())
        if not select.select([fd], [], [], 0.05)[0]:
            continue
        try:
            piece = os.read(fd, 1000)
            echo = bool(termios.tcgetattr(fd)[3] & termios.ECHO)
        except OSError:
            break  # the terminal is gone with the program
        if not piece:
            break
        seen += piece
    os.close(fd)
    assert not answers, f"never asked: {answers}, but: {seen!r}"
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, seen.replace(b"\r\n", b"\n").decode().replace(f"{root}/", ""), echo


NEW, AGAIN = "New password: ", "Retype new password: "


def test_passwd_sets_the_password_of_an_image_user(root: Path) -> None:
    (root / "etc/login.defs").write_text("ENCRYPT_METHOD SHA512\nSHA_CRYPT_MAX_ROUNDS 1000\n")
    say = [(NEW, "gehe1m\n"), (AGAIN, "gehe1m\n")]
    status, seen, echo = talk(root, "passwd", "alice", say=say)
    assert (status, seen) == (0, f"{NEW}\n{AGAIN}\npasswd: password updated successfully\n")
    assert echo
    files = etc(root)
    assert list(files) == ["shadow"]
    name, hashed, *days = files["shadow"].rstrip("\n").split(":")
    assert (name, days) == ("alice", ["20000", "0", "99999", "7", "", "", ""])
    assert verifies(b"gehe1m", hashed.encode())


@pytest.mark.parametrize(
    ("say", "shown"),
    [
        ([(NEW, "one\n"), (AGAIN, "two\n")], "Sorry, passwords do not match.\n"),
        ([(NEW, "\x04")], "Password change has been aborted.\n"),
        ([(NEW, "one\n"), (AGAIN, "\x04")], "Password change has been aborted.\n"),
        ([(NEW, "\n"), (AGAIN, "\n")] * 3, "No password has been supplied.\n"),
    ],
    ids=["mistyped", "end of file", "end of file at the second", "empty"],
)
def test_passwd_without_a_good_password(root: Path, say: list[tuple[str, str]], shown: str) -> None:
    status, seen, echo = talk(root, "passwd", "alice", say=say)
    assert status == 10
    assert seen.endswith(f"{shown}passwd: Authentication token manipulation error\npasswd: password unchanged\n")
    assert seen.count(shown) == len(say) // 2 + len(say) % 2
    assert echo and etc(root) == {}


def test_passwd_interrupted_restores_the_terminal_and_changes_nothing(root: Path) -> None:
    status, seen, echo = talk(root, "passwd", "alice", say=[(NEW, "\x03")])
    assert status != 0
    assert "Traceback" not in seen
    assert echo and etc(root) == {}


def test_passwd_of_an_unknown_user_asks_nothing(root: Path) -> None:
    assert talk(root, "passwd", "nosuch", say=[])[:2] == (1, "passwd: user 'nosuch' does not exist\n")


def test_passwd_k_asks_only_when_the_password_has_expired(root: Path) -> None:
    assert talk(root, "passwd", "-k", "alice", say=[])[:2] == (0, "")
    (root / "etc/shadow").write_text("alice:!:0:0:99999:7:::\n")
    assert talk(root, "passwd", "-k", "alice", say=[(NEW, "\x04")])[0] == 10


def test_passwd_stdin_reads_one_line_without_a_prompt(root: Path) -> None:
    (root / "etc/login.defs").write_text("ENCRYPT_METHOD MD5\n")
    read, write = os.pipe()
    os.write(write, b"from a pipe\nrest\n")
    os.close(write)

    code = f"import sys; sys.argv = ['passwd', '-P', {str(root)!r}, '--stdin', 'alice']\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "from accounts.cli.passwd import main; main()"],
        stdin=read, capture_output=True, text=True, cwd=REPO, timeout=30,
    )  # fmt: skip
    os.close(read)
    assert (done.returncode, done.stderr) == (0, "passwd: password updated successfully\n")
    assert verifies(b"from a pipe", etc(root)["shadow"].split(":")[1].encode())


CHAGE = [
    ("\tMinimum Password Age [0]: ", "3\n"),
    ("\tMaximum Password Age [99999]: ", "\n"),
    ("\tLast Password Change (YYYY-MM-DD) [2022-01-08]: ", "2024-02-29\n"),
    ("\tPassword Expiration Warning [7]: ", "\n"),
    ("\tPassword Inactive [-1]: ", "5\n"),
    ("\tAccount Expiration Date (YYYY-MM-DD) [-1]: ", "2030-01-02\n"),
]


def test_chage_asks_for_every_field(root: Path) -> None:
    status, seen, _ = talk(root, "chage", "alice", say=CHAGE)
    assert status == 0
    assert seen == (
        "Changing the aging information for alice\nEnter the new value, or press ENTER for the default\n\n"
        + "".join(prompt + answer for prompt, answer in CHAGE)
    )
    assert etc(root) == {"shadow": "alice:!:19782:3:99999:7:5:21916:\n"}


@pytest.mark.parametrize(
    ("step", "answer"), [(0, "x\n"), (0, "-2\n"), (0, " \n"), (2, "no day\n"), (2, "\x20\n"), (4, "1y\n")]
)
def test_chage_stops_at_an_answer_that_is_none(root: Path, step: int, answer: str) -> None:
    say = [*CHAGE[:step], (CHAGE[step][0], answer)]
    status, seen, _ = talk(root, "chage", "alice", say=say)
    assert status == 1
    assert seen.endswith("chage: error changing fields\n")
    assert etc(root) == {}


def test_chage_with_enter_everywhere_writes_nothing(root: Path) -> None:
    assert talk(root, "chage", "alice", say=[(prompt, "\n") for prompt, _ in CHAGE])[0] == 0
    assert etc(root) == {}


def test_chsh_asks_and_warns(root: Path) -> None:
    status, seen, _ = talk(root, "chsh", "alice", say=[("\tLogin Shell [/bin/sh]: ", "/bin/nosuch\n")])
    assert (status, seen) == (
        0,
        "Changing the login shell for alice\nEnter the new value, or press ENTER for the default\n"
        "\tLogin Shell [/bin/sh]: /bin/nosuch\nchsh: Warning: /bin/nosuch does not exist\n",
    )
    assert etc(root) == {"passwd": "alice:x:1000:1000:Alice,1,2,3,other:/home/alice:/bin/nosuch\n"}


def test_chsh_refuses_what_passwd_cannot_hold(root: Path) -> None:
    status, seen, _ = talk(root, "chsh", "alice", say=[("[/bin/sh]: ", "/bin/a:b\n")])
    assert (status, seen.splitlines()[-1]) == (1, "chsh: Invalid entry: /bin/a:b")
    assert etc(root) == {}


def test_chfn_asks_for_every_part(root: Path) -> None:
    say = [
        ("\tFull Name [Alice]: ", "Alice B\n"),
        ("\tRoom Number [1]: ", "\n"),
        ("\tWork Phone [2]: ", " \n"),
        ("\tHome Phone [3]: ", "\n"),
        ("\tOther [other]: ", "\n"),
    ]
    status, seen, _ = talk(root, "chfn", "alice", say=say)
    assert (status, seen) == (
        0,
        "Changing the user information for alice\nEnter the new value, or press ENTER for the default\n"
        + "".join(prompt + answer for prompt, answer in say),
    )
    assert etc(root) == {"passwd": "alice:x:1000:1000:Alice B,1,,3,other:/home/alice:/bin/sh\n"}


def test_pwck_asks_before_it_deletes(root: Path) -> None:
    (root / "usr/lib/passwd").write_text("root:x:0:0:::\n")
    (root / "usr/lib/group").write_text("root:x:0:\n")
    (root / "usr/lib/shadow").write_text("root:*:::::::\n")
    (root / "etc/passwd").write_text("broken\nbad:line\n")
    say = [("delete line 'broken'? ", "n\n"), ("delete line 'bad:line'? ", "yes\n")]
    status, seen, _ = talk(root, "pwck", say=say)
    assert (status, seen) == (
        2,
        "invalid password file entry\ndelete line 'broken'? n\n"
        "invalid password file entry\ndelete line 'bad:line'? yes\n"
        "pwck: the files have been updated\n",
    )
    assert etc(root) == {"passwd": "broken\n"}
