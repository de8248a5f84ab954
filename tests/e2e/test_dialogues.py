# SPDX-License-Identifier: MIT
"""The tools that ask, at a terminal beside the real ones: what they show and ask, their status and their files.

The same answers are typed to both; a question that one of them does not ask ends the test.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.clients.dialogue import talk
from tests.support.overlay import REAL, in_overlay

ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000:Alice,1,2,3,other:/home/alice:/bin/sh\n",
    "shadow": "root:*:19000:0:99999:7:::\nalice:!:19000:0:99999:7:::\n",
    "group": "root:x:0:\nalice:x:1000:\ndevs:x:1001:alice\n",
    "gshadow": "root:*::\nalice:!::\ndevs:!::alice\n",
}
BROKEN = {
    "passwd": ETC["passwd"]
    + "broken line\nalice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1002:9999::/nonexistent:/bin/sh\n",
    "shadow": ETC["shadow"] + "ghost:!:19000:0:99999:7:::\nbroken\n",
    "group": ETC["group"] + "broken line\nalice:x:1000:\nmen:x:1005:nobody9,alice\n",
    "gshadow": ETC["gshadow"] + "ghost:!::\nmen:!:nobody9:alice\n",
}
ENTER = ""
Say = tuple[tuple[str, str], ...]
NEW, AGAIN = "New password: ", "Retype new password: "
AGEING = (
    "Minimum Password Age [0]: ",
    "Maximum Password Age [99999]: ",
    "Last Password Change (YYYY-MM-DD) [2022-01-08]: ",
    "Password Expiration Warning [7]: ",
    "Password Inactive [-1]: ",
    "Account Expiration Date (YYYY-MM-DD) [-1]: ",
)
GECOS = ("Full Name [Alice]: ", "Room Number [1]: ", "Work Phone [2]: ", "Home Phone [3]: ", "Other [other]: ")
QUESTION_NO, QUESTION_YES = ("? ", "n"), ("? ", "y")


def _answers(questions: tuple[str, ...], *answers: str) -> Say:
    return tuple(zip(questions, answers, strict=False))


# tool and arguments, what is typed, the files before.
DIALOGUES: dict[str, tuple[str, Say, dict[str, str]]] = {
    "password": ("passwd alice", ((NEW, "Secret-123"), (AGAIN, "Secret-123")), ETC),
    "passwords differ": ("passwd alice", ((NEW, "Secret-123"), (AGAIN, "Secret-124")), ETC),
    "empty passwords": ("passwd alice", ((NEW, ""), (AGAIN, ""), (NEW, ""), (AGAIN, ""), (NEW, ""), (AGAIN, "")), ETC),
    "password of nobody": ("passwd nosuch", (), ETC),
    "ageing, as it is": ("chage alice", _answers(AGEING, *[ENTER] * 6), ETC),
    "ageing": ("chage alice", _answers(AGEING, "1", "90", "2024-02-29", "5", "3", "2030-01-31"), ETC),
    "ageing, never": ("chage alice", _answers(AGEING, "-1", "-1", "0", "-1", "-1", "-1"), ETC),
    "ageing, no number": ("chage alice", _answers(AGEING, "x"), ETC),
    "ageing, no date": ("chage alice", _answers(AGEING, ENTER, ENTER, "soon"), ETC),
    "ageing, last one bad": ("chage alice", _answers(AGEING, *[ENTER] * 5, "2030-13-01"), ETC),
    "ageing of nobody": ("chage nosuch", (), ETC),
    "shell": ("chsh alice", (("Login Shell [/bin/sh]: ", "/bin/bash"),), ETC),
    "shell, as it is": ("chsh alice", (("Login Shell [/bin/sh]: ", ENTER),), ETC),
    "shell that is none": ("chsh alice", (("Login Shell [/bin/sh]: ", "/bin/nosuch"),), ETC),
    "shell with a colon": ("chsh alice", (("Login Shell [/bin/sh]: ", "/bin/a:b"),), ETC),
    "names": ("chfn alice", _answers(GECOS, "Alice Doe", "7", ENTER, "none", "more"), ETC),
    "names, as they are": ("chfn alice", _answers(GECOS, *[ENTER] * 5), ETC),
    "names with a colon": ("chfn alice", _answers(GECOS, "Al:ice", *[ENTER] * 4), ETC),
    "names with an equals sign": ("chfn alice", _answers(GECOS, "Al=ice", *[ENTER] * 4), ETC),
    "group password": ("gpasswd devs", (("New Password: ", "pw"), ("Re-enter new password: ", "pw")), ETC),
    "group password, second try": (
        "gpasswd devs",
        (("New Password: ", "a"), ("Re-enter new password: ", "b"), ("New Password: ", "c"), ("new password: ", "c")),
        ETC,
    ),
    "pwck, no": ("pwck", (QUESTION_NO,) * 6, BROKEN),
    "pwck, yes": ("pwck", (QUESTION_YES,) * 5, BROKEN),
    "pwck -r": ("pwck -r", (), BROKEN),
    "grpck, no": ("grpck", (QUESTION_NO,) * 6, BROKEN),
    "grpck, yes": ("grpck", (QUESTION_YES,) * 5, BROKEN),
    "grpck -r": ("grpck -r", (), BROKEN),
    "vipw": ("vipw", (), ETC),
    "vipw -s": ("vipw -s", (), ETC),
    "vigr": ("vigr", (), ETC),
    "sg": ("sg devs id", (), ETC),
}  # fmt: skip
EDITOR = '#!/bin/sh\nsed -i "s/alice/alix/" "$1"\n'


def _lay_out(files: dict[str, str]) -> None:
    for name, text in files.items():
        for path in (Path(f"/etc/{name}"), Path(f"/etc/{name}-"), Path(f"/etc/{name}.lock")):
            path.unlink(missing_ok=True)
        Path(f"/etc/{name}").write_text(text)
        os.chmod(f"/etc/{name}", 0o640 if "shadow" in name else 0o644)
        # The real vipw(8) does not see a change in the second of the last one.
        os.utime(f"/etc/{name}", (0, 0))


def _state() -> dict[str, str]:
    files = {name: Path(f"/etc/{name}").read_text() for name in ETC}
    # Salts and the day of a change by pam_unix, which looks at the clock.
    files["shadow"] = re.sub(r":(\$[0-9a-z]+\$)[^:]*:[0-9]*:", r":\1:DAY:", files["shadow"])
    files["gshadow"] = re.sub(r":(\$[0-9a-z]+\$)[^:]*:", r":\1:", files["gshadow"])
    return files


def _run(directory: str, command: str, say: Say, files: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    _lay_out(files)
    tool, *arguments = command.split()
    path = f"{directory}/{tool}" if directory == REAL else next(
        f"{place}/{tool}" for place in ("/usr/sbin", "/usr/bin") if os.path.exists(f"{place}/{tool}")
    )  # fmt: skip
    result = talk("/", (0, 0, "root"), [path, *arguments], say, {"EDITOR": "/root/editor"})
    return result.status, result.output, _state()


def _differences() -> list[str]:
    Path("/root/editor").write_text(EDITOR)
    os.chmod("/root/editor", 0o755)
    # One method for both: PAM's file names it for the real passwd, login.defs for all else.
    pam = Path("/etc/pam.d/common-password")
    pam.write_text(pam.read_text().replace(" yescrypt", " sha512"))
    Path("/etc/login.defs").write_text("ENCRYPT_METHOD SHA512\n")
    found = []
    for label, (command, say, files) in DIALOGUES.items():
        real = _run(REAL, command, say, files)
        ours = _run("", command, say, files)
        if real != ours:
            found.append(f"{label}:\nreal {real}\nours {ours}\n")
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_dialogues_are_those_of_the_real_tools() -> None:
    found = in_overlay(_differences)
    assert not found, "\n".join(found)
