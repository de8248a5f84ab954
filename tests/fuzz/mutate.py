# SPDX-License-Identifier: MIT
"""Draws broken files, arguments and input for one run of a tool. The same seed draws the same."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.hostile import roots

LONG = "9" * 5000
WORDS = (
    "", "-", "--", "a" * 33, "a" * 300, "root", "bob", "victim", "team", "new", "ghost", "+", "+bob", "-x", "a b",
    "a:b", "a\nb", "\x1b[31m", "%s%n", "..", "/", "/nonexistent", "x,y,,z", ",", ":", "=", "a=b", "UID_MIN=",
    f"UID_MIN={LONG}", "GID_MAX=-1", "bob,team,video", "b\udcffb", "\udcc6\udcfc", "Zoë", "٣", "#", "$1$", "!", "*",
    "\t", "\\", "'", '"',
)  # fmt: skip
NUMBERS = (
    "0", "1", "-1", "42", "1000", "1500", "65535", "4294967294", "4294967295", "4294967296", "18446744073709551615",
    "18446744073709551616", "-9223372036854775809", LONG, "0" * 5000 + "7", "-" + LONG, "0x10", "010", "08", " 5",
    "5 ", "+5", "1e3", "1_0", "٣", "1-2", "5-1", "-1--1", f"{LONG}-{LONG}", "100000-165535", "2024-02-30",
    "2024-02-29", "tomorrow", "1 week ago", "",
)  # fmt: skip
ROWS = (
    b"", b" ", b":", b":::", b"::::::", b"#", b"# comment", b"+", b"-", b"+::::::", b"+@netgroup", b"-bob:x:1:1:::",
    b"bob", b"bob:", b"bob:x", b"bob:x:1500", b"bob:x:1500:1500::/home/bob:/bin/sh:more",
    b"bob:!:19000:0:99999:7:::", b"bob:!:19000:0:99999:7::::::", b"bob:*:", b"bob:100000:65536", b":100000:65536",
    b"bob:0:4294967296", b"1500:5:5", b"team:x:1600:" + b",".join(b"user%d" % number for number in range(3000)),
    b"x" * 40000, b"a\0b:x:1:1:::", b"\0", b"\xff\xfe", b"bob:x:1500:1500:\xc6\xfc:/home/bob:/bin/sh\r", b"\r",
    b"victim:x:900:900::/:/bin/sh", b"dup:x:900:", b"team:!:bob,,:,bob", b"USERGROUPS_ENAB", b"UID_MIN x",
    b"UID_MIN " + b"9" * 5000, b"SUB_UID_COUNT 0", b"SUB_UID_COUNT -1", b"MAX_MEMBERS_PER_GROUP 1",
    b"ENCRYPT_METHOD \xff", b"SHA_CRYPT_MIN_ROUNDS " + b"0" * 5000 + b"1", b"SYS_GID_MAX 1", b"UMASK 99",
    b"HOME_MODE 9x", b"FORCE_SHADOW yes", b"PASS_MAX_DAYS 99999999999", b"USERDEL_CMD /nonexistent", b"group: files",
    b"group: [", b"passwd: files [!=]", b"passwd:files altfiles", b"group: files [SUCCESS=merge] altfiles",
    b"IMAGE_DIR=/etc", b"IMAGE_DIR=relative", b"IMAGE_DIR=", b"GROUP_POLICY=first", b"GROUP_POLICY=\xff", b"HIDE=no",
    b"SHELL=", b"INACTIVE=x", b"EXPIRE=" + b"9" * 5000, b"GROUP=nosuch", b"SKEL=/", b"passwd:bob:bob:x:1:1:::",
    b"group:team", b"passwd", b"shadow:victim:" + b"9" * 5000, b"[success=" + b"9" * 5000 + b"]",
    b"password [success=" + b"9" * 5000 + b"] pam_unix.so", b"@include chpasswd", b"password [", b"password",
    b"password required pam_unix.so rounds=" + b"9" * 5000, b"password include", b"\\",
)  # fmt: skip
PAM = {
    f"etc/pam.d/{name}": b"password required pam_unix.so sha512 rounds=1000\n"
    for name in ("chpasswd", "newusers", "passwd")
}
BUILD = {
    "usr/lib/sysusers.d/x.conf": b'u svc 300 "A service" /var/lib/svc\ng render 105\n'
    b"m bob render\nr - 500-900\nu! locked -\n",
    "usr/lib/tmpfiles.d/x.conf": b"d /var/lib/svc 0750 svc svc -\n"
    b"C /etc/skel - - - - /usr/share/factory/etc/skel\nL+ /etc/x - - - - y\n",
    "usr/share/accounts/ids": b"passwd:svc:300:present\ngroup:render:105:present\npasswd:gone:700:removed\n",
    "usr/share/factory/etc/subuid": b"bob:100000:65536\n",
    "usr/lib/os-release": b"ID=debian\n",
    "rules": b"# Skeletons come from the factory.\nfactory skel as=link\n# Stays.\nkeep pam.d/ default/**\n"
    b"# The vendor's.\nmv login.defs -> /usr/lib/login.defs as=link\n# Not used.\nrm accounts/*\n# Made.\n"
    b"d x\n# A drop-in.\nwrite /usr/lib/x.conf a\\nb\n",
}
FILES = {
    name: text.encode() for name, text in roots.FILES.items() if not name.startswith(("bin/", "home/", "var/"))
} | PAM
COSTLY = ("-1", "4294967294", "4294967295", "-9223372036854775809", "18446744073709551615")
# What tells a tool where it works is not for drawing.
ROOT_OPTIONS = ("root", "prefix", "R", "P", "Q")
INPUT = {
    "chpasswd": b"bob:secret\nvictim:secret\n",
    "chgpasswd": b"team:secret\nvideo:secret\n",
    "newusers": b"nu:secret:1900:1900::/home/nu:/bin/sh\nbob:secret:::::\n",
    "passwd": b"secret\nsecret\n",
    "gpasswd": b"secret\nsecret\n",
    "chage": b"1\n2\n\n\n\n\n",
    "chsh": b"/bin/sh\n",
    "chfn": b"Bob\n\n\n\n\n",
}
TOOLS = {
    **roots.COMMANDS,
    "useradd": (["new"], ["-m", "-G", "team", "new"], ["-r", "-u", "77", "new"], ["-D"], ["-D", "-s", "/bin/x"]),
    "usermod": (
        *roots.COMMANDS["usermod"],
        ["-v", "5-9", "-w", "5-9", "bob"],
        ["-V", "100000-100010", "bob"],
        ["-e", "2030-01-01", "bob"],
    ),
    "groupmod": (*roots.COMMANDS["groupmod"], ["-g", "1700", "team"]),
    "gpasswd": (["-a", "bob", "video"], ["-M", "bob,victim", "team"], ["-A", "bob", "team"], ["team"]),
    "passwd": (["-S", "-a"], ["-l", "bob"], ["-x", "5", "victim"], ["bob"], ["-s", "bob"]),
    "chage": (["-l", "bob"], ["-E", "2030-01-01", "bob"], ["-d", "0", "victim"], ["bob"]),
    "chpasswd": ([], ["-e"], ["-c", "SHA512", "-s", "1000"]),
    "chgpasswd": ([], ["-e"], ["-c", "SHA512", "-s", "1000"]),
    "newusers": ([], ["-r"], ["/users"]),
    # {} is the root.
    "accounts": (
        ["status", "-R", "{}"],
        ["status", "--json", "-R", "{}"],
        ["diff", "-R", "{}"],
        ["show", "-R", "{}", "bob"],
        ["rebase", "-R", "{}"],
        ["rebase", "-R", "{}", "--take", "image", "bob"],
        ["materialize", "-R", "{}", "victim"],
        ["sysusers", "-R", "{}"],
        ["image", "seed", "{}"],
        ["image", "pin", "{}"],
        ["image", "check", "{}"],
        ["image", "import", "{}"],
        ["image", "stateless", "{}", "--rules", "{}/rules"],
        ["image", "lint-rules", "{}/rules"],
        ["image", "thaw", "{}"],
        ["image", "freeze", "{}"],
        ["image", "export", "--sysusers", "{}/out", "{}"],
        ["image", "export", "--userdb", "{}/out", "{}"],
        ["image", "seed", "--pins", "passwd={}/etc/passwd", "{}"],
    ),
}


@dataclass
class Run:
    """What to run. files: path below the root -> bytes, None for none."""

    tool: str
    arguments: list[str]
    stdin: bytes = b""
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes | None] = field(default_factory=dict)


@cache
def options_of(tool: str, help: Callable[[str], str]) -> list[tuple[str, bool]]:
    """(option, whether it takes an argument) of those that the help text names, but for those that choose a root."""
    found = []
    for letter, long, value in re.findall(
        r"^\s+(?:-(\w), )?--([a-z-]+)(?:[ =]([A-Za-z_]+))?", help(tool), re.MULTILINE
    ):
        if long not in ROOT_OPTIONS and letter not in ROOT_OPTIONS[2:]:
            found += [(option, bool(value)) for option in (f"--{long}", letter and f"-{letter}") if option]
    return found


def draw(seed: int, help: Callable[[str], str]) -> Run:
    """One run. help: the help text of a tool."""
    rng = random.Random(seed)
    tool = rng.choice(list(TOOLS))
    arguments = list(rng.choice(TOOLS[tool]))
    run = Run(tool, arguments, INPUT.get(tool, b""))
    parts = rng.choice(((1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1)))
    files = FILES
    if tool == "accounts":
        files = FILES | BUILD
        run.files.update(BUILD)
    if parts[0]:
        for _ in range(rng.randint(1, 3)):
            name = rng.choice(list(files))
            run.files[name] = spoil(rng, run.files.get(name) or files[name])
    if parts[1] and tool != "accounts":
        spoil_arguments(rng, run.arguments, options_of(tool, help))
        if tool in ("chpasswd", "chgpasswd"):
            # A thousand million rounds, for these as for the real ones, are hours and no fault.
            run.arguments = ["1001" if word in COSTLY else word for word in run.arguments]
    if parts[2]:
        run.stdin = spoil(rng, run.stdin or b"\n") or b""
        if rng.random() < 0.3:
            run.environment["SOURCE_DATE_EPOCH"] = rng.choice(NUMBERS + WORDS)
    if tool in INPUT and b"/users" not in run.stdin:
        run.files.setdefault("users", run.stdin)
    return run


def spoil_arguments(rng: random.Random, arguments: list[str], options: list[tuple[str, bool]]) -> None:
    """Put, replace or leave out some words."""
    for _ in range(rng.randint(1, 3)):
        place = rng.randint(0, len(arguments))
        kind = rng.random()
        word = rng.choice(NUMBERS if rng.random() < 0.5 else WORDS)
        if kind < 0.45 and options:
            option, takes_value = rng.choice(options)
            arguments[place:place] = [option, word] if takes_value and rng.random() < 0.9 else [option]
        elif kind < 0.8 and place < len(arguments):
            arguments[place] = word
        elif kind < 0.9 and place < len(arguments):
            del arguments[place]
        else:
            arguments.insert(place, word)


def spoil(rng: random.Random, data: bytes) -> bytes | None:
    """A file with some faults; None for none at all."""
    if rng.random() < 0.05:
        return None
    lines = data.split(b"\n")
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(lines) + 1)
        kind = rng.randrange(9)
        if kind < 3 or place == len(lines):
            lines.insert(place, rng.choice(ROWS))
        elif kind == 3:
            lines.insert(place, lines[place])
        elif kind == 4:
            fields = lines[place].split(b":")
            fields[rng.randrange(len(fields))] = rng.choice(NUMBERS + WORDS).encode(errors="surrogateescape")
            lines[place] = b":".join(fields)
        elif kind == 5:
            del lines[place]
        elif kind == 6:
            lines[place] = lines[place][: rng.randrange(len(lines[place]) + 1)]
        elif kind == 7:
            at = rng.randrange(len(lines[place]) + 1)
            lines[place] = lines[place][:at] + rng.randbytes(rng.randint(1, 4)) + lines[place][at:]
        else:
            lines[place] += b"\r"
    data = b"\n".join(lines)
    if rng.random() < 0.1:
        data = data.rstrip(b"\n")
    if rng.random() < 0.03:
        data = data * 2000
    return data


def write(top: Path, run: Run) -> None:
    """The files of a run into a root."""
    for name, data in run.files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
