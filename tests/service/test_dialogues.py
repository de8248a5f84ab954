# SPDX-License-Identifier: MIT
"""The tools of an ordinary caller, by the service, at a terminal beside the real set-uid ones: to the letter.

The same is typed to both, and the account files are the same afterwards. alice is a user of /etc, and administers devs.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.dialogue import talk
from tests.service.machine import ALICE, Service
from tests.support.overlay import REAL, in_overlay
from tests.support.roots.debian import Result

OLD, NEW = "Secret-123", "Xk3!vbe9Qz"
SECONDS = 60
# Every so manieth dialogue in `make test`, all with ACCOUNTS_DIALOGUES=1.
STEP = 1 if os.environ.get("ACCOUNTS_DIALOGUES") else 8
FILES = ("passwd", "shadow", "group", "gshadow")
SHADOW = 42  # the GID in the rows below
Say = tuple[tuple[str, str], ...]
CURRENT, FIRST, AGAIN, PASSWORD = "Current password: ", "New password: ", "Retype new password: ", "Password: "
CHANGE: Say = ((CURRENT, OLD), (FIRST, NEW), (AGAIN, NEW))
SHELL = "Login Shell [/bin/sh]: "
GROUP = (("New Password: ", "pw"), ("Re-enter new password: ", "pw"))
# What alice types -> what the terminal asks.
DIALOGUES: tuple[tuple[str, Say], ...] = (
    ("passwd", CHANGE),
    ("passwd alice", CHANGE),
    ("passwd -q", CHANGE),
    ("passwd", ((CURRENT, "wrong"),)),
    ("passwd", ((CURRENT, ""),)),
    ("passwd", ((CURRENT, "\x04"),)),
    ("passwd", ((CURRENT, OLD), (FIRST, NEW), (AGAIN, NEW + "x"))),
    ("passwd", ((CURRENT, OLD), *((FIRST, "short"), (AGAIN, "short")) * 3)),
    ("passwd", ((CURRENT, OLD), (FIRST, OLD), (AGAIN, OLD), (FIRST, NEW), (AGAIN, NEW))),
    ("passwd", ((CURRENT, OLD), *((FIRST, ""), (AGAIN, "")) * 3)),
    ("passwd -k", ()),
    ("passwd -S", ()),
    ("passwd -S alice", ()),
    ("passwd -S bob", ()),
    ("passwd -Sa", ()),
    ("passwd -l alice", ()),
    ("passwd -d", ()),
    ("passwd -x 3 alice", ()),
    ("passwd bob", ()),
    ("passwd root", ()),
    ("passwd nosuch", ()),
    ("passwd -z", ()),
    ("passwd --help", ()),
    ("passwd a b", ()),
    ("passwd -R / -S", ()),
    ("chsh", ((PASSWORD, OLD), (SHELL, "/bin/bash"))),
    ("chsh", ((PASSWORD, OLD), (SHELL, ""))),
    ("chsh", ((PASSWORD, OLD), (SHELL, "/bin/nosuch"))),
    ("chsh", ((PASSWORD, OLD), (SHELL, "/etc/passwd"))),
    ("chsh", ((PASSWORD, OLD), (SHELL, "/bin/a:b"))),
    ("chsh", ((PASSWORD, OLD), (SHELL, "\x04"))),
    ("chsh", ((PASSWORD, "wrong"),)),
    ("chsh", ((PASSWORD, "\x04"),)),
    ("chsh -s /bin/bash", ((PASSWORD, OLD),)),
    ("chsh -s /bin/bash alice", ((PASSWORD, OLD),)),
    ("chsh -s bash", ((PASSWORD, OLD),)),
    ("chsh -s ../../bin/bash", ((PASSWORD, OLD),)),
    ("chsh -s /bin/../bin/bash", ((PASSWORD, OLD),)),
    ("chsh -s /bin/bash bob", ()),
    ("chsh -s /bin/bash root", ()),
    ("chsh -s /bin/bash nosuch", ()),
    ("chsh -R / -s /bin/bash", ()),
    ("chsh a b", ()),
    ("chfn", ((PASSWORD, OLD), ("Room Number [1]: ", "7"), ("Work Phone [2]: ", ""), ("Home Phone [3]: ", "none"))),
    ("chfn", ((PASSWORD, OLD), ("Room Number [1]: ", "a:b"), ("Work Phone [2]: ", ""), ("Home Phone [3]: ", ""))),
    ("chfn", ((PASSWORD, "wrong"),)),
    ("chfn -r 5", ((PASSWORD, OLD),)),
    ("chfn -r 5 -w 6 -h 7 alice", ((PASSWORD, OLD),)),
    ("chfn -f Eve", ()),
    ("chfn -o more", ()),
    ("chfn -r 5 bob", ()),
    ("chfn -r 5 nosuch", ()),
    ("chfn --help", ()),
    ("chage -l alice", ()),
    ("chage -li alice", ()),
    ("chage -l bob", ()),
    ("chage -l root", ()),
    ("chage -l nosuch", ()),
    ("chage -l", ()),
    ("chage alice", ()),
    ("chage -M 3 alice", ()),
    ("chage -R / -l alice", ()),
    ("expiry -c", ()),
    ("expiry -f", ()),
    ("expiry", ()),
    ("expiry -c x", ()),
    ("gpasswd -a bob devs", ()),
    ("gpasswd -d alice devs", ()),
    ("gpasswd -d bob devs", ()),
    ("gpasswd -a nosuch devs", ()),
    ("gpasswd -r devs", ()),
    ("gpasswd -R devs", ()),
    ("gpasswd -A alice,bob devs", ()),
    ("gpasswd -A bob devs", ()),
    ("gpasswd -M bob,alice devs", ()),
    ("gpasswd -M nosuch devs", ()),
    ("gpasswd -A bob -M bob devs", ()),
    ("gpasswd devs", GROUP),
    ("gpasswd devs", (("New Password: ", "a"), ("new password: ", "b"), *GROUP)),
    ("gpasswd -a alice staff", ()),
    ("gpasswd -A alice staff", ()),
    ("gpasswd staff", ()),
    ("gpasswd -r nosuch", ()),
    ("gpasswd", ()),
    ("gpasswd -a alice -d bob devs", ()),
)
EXPIRED: tuple[tuple[str, Say], ...] = (
    ("expiry -c", ()),
    ("passwd -k", CHANGE),
    ("chsh -s /bin/bash", ((PASSWORD, OLD),)),
    ("chage -l alice", ()),
)


def _rows(last: int) -> dict[str, str]:
    password = subprocess.run(
        ["openssl", "passwd", "-6", OLD], capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        "passwd": "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000:Alice,1,2,3,other:/:/bin/sh\n"
        "bob:x:1001:1001::/:/bin/sh\n",
        "shadow": f"root:*:19000:0:99999:7:::\nalice:{password}:{last}:0:99999:7:::\nbob:!:19000:0:99999:7:::\n",
        "group": "root:x:0:\nshadow:x:42:\nalice:x:1000:\nbob:x:1001:\ndevs:x:1002:alice\nstaff:x:50:\n",
        "gshadow": "root:*::\nshadow:*::\nalice:!::\nbob:!::\ndevs:!:alice:alice\nstaff:*:bob:\n",
    }


def _lay_out(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(f"/etc/{name}-").unlink(missing_ok=True)
        Path(f"/etc/{name}").write_text(text)
        os.chown(f"/etc/{name}", 0, SHADOW if "shadow" in name else 0)
        os.chmod(f"/etc/{name}", 0o640 if "shadow" in name else 0o644)


def _state() -> dict[str, str]:
    files = {name: Path(f"/etc/{name}").read_text() for name in FILES}
    return {name: re.sub(r":(\$[0-9a-z]+\$)[^:]*:", r":\1:", text) for name, text in files.items()}


def _run(program: str, arguments: list[str], say: Say, files: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    _lay_out(files)
    Path("/run/accounts/attempts/1000").unlink(missing_ok=True)
    try:
        result = talk("/", ALICE, [program, *arguments], say, seconds=SECONDS)
    except AssertionError as error:
        result = Result(-1, str(error))
    # getopt(3) has the program's name as it was called.
    return result.status, result.output.replace(f"{REAL}/", ""), _state()


def _differences() -> list[str]:
    # One method for both; the real gpasswd takes login.defs'. No two seconds after each wrong password.
    pam = Path("/etc/pam.d/common-password")
    pam.write_text(pam.read_text().replace(" yescrypt", " sha512"))
    pam = Path("/etc/pam.d/common-auth")
    pam.write_text(pam.read_text().replace("nullok", "nullok nodelay"))
    Path("/etc/login.defs").write_text("ENCRYPT_METHOD SHA512\nCHFN_RESTRICT rwh\n")
    for name in ("chage", "expiry"):
        os.chown(f"{REAL}/{name}", 0, SHADOW)
        os.chmod(f"{REAL}/{name}", 0o2755)
    found = []
    with Service():
        for last, dialogues in ((19000, DIALOGUES), (0, EXPIRED)):
            files = _rows(last)
            for command, say in dialogues[::STEP]:
                tool, *arguments = command.split()
                real = _run(f"{REAL}/{tool}", arguments, say, files)
                ours = _run(f"/usr/bin/{tool}", arguments, say, files)
                if real != ours:
                    found.append(f"{command} {say}:\nreal {real}\nours {ours}\n")
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_dialogues_are_those_of_the_set_uid_tools() -> None:
    found = in_overlay(_differences)
    assert not found, f"{len(found)} differ:\n" + "\n".join(found)
