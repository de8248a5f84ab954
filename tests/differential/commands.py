# SPDX-License-Identifier: MIT
"""What the state machine may run: for each tool a strategy that draws command lines, sensible and hostile.

To add a tool: add its strategy to COMMANDS. An option that a release has not must be an error there. Nothing belongs
here that depends on the clock, no mistake of a release that is not copied (test_mistakes.py), and no home directory
outside /home and /srv (the real userdel -r would empty its root).
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.support.state import Command

DAY = 20779
Option = tuple[str, SearchStrategy[str] | None]


def mostly(usual: list[str], hostile: list[str]) -> SearchStrategy[str]:
    """One of the usual values nine times out of ten, else a hostile one: one draw, which is cheap."""
    times = -(-9 * len(hostile) // len(usual))
    return st.sampled_from(usual * times + hostile)


BAD_NAMES = [
    "",
    "-x",
    "é",
    "a:b",
    "a\nb",
    "a,b",
    "a" * 33,
    "1abc",
    ".",
    "..",
    "a b",
    "0",
    "4294967295",
    "A",
    "a$",
    "/",
]
users = mostly(["alice", "bob", "carol", "dave", "sys", "nobody", "erin", "frank"], ["root", *BAD_NAMES])
groups = mostly(["video", "audio", "sudo", "alice", "bob", "staff", "devs", "users", "nogroup"], ["root", *BAD_NAMES])
ids = mostly(
    ["0", "3", "44", "100", "999", "1000", "1001", "1002", "1005", "2000"],
    [
        "",
        "-1",
        "1a",
        "0x10",
        " 5",
        "007",
        "60001",
        "65534",
        "4294967294",
        "4294967295",
        "4294967296",
        "9" * 20,
    ],
)
group_or_id = st.one_of(groups, st.sampled_from(["44", "1000", "77777"]))
dates = mostly(
    ["2030-01-01", "1970-01-01", "1970-01-02", "-1", "0", "", "20000"],
    ["2030-13-01", "bad", "2030-1-1", "1969-12-31", "-2", "99999999999", "2030/01/02", "2030-01-01x"],
)
days = mostly(["0", "7", "90", "-1", "99999"], ["", "-2", "x", "1.5", "4294967296", "99999999999999999999"])
shells = mostly(["/bin/sh", "/bin/bash", "", "/usr/sbin/nologin"], ["relative", "/bin/a:b", "/nosuch", "*", "/bin/é"])
gecos = mostly(["Full Name,1,2,3,other", "", "plain"], ["a:b", "a\nb", "é", "x\ty", "a=b", ",,,,,,"])
homes = mostly(
    ["/home/alice", "/home/x1", "/home/bob", "/srv/x"],
    ["", "relative", "/home/a:b", "/home/no/such", "/home/é"],
)
hashes = mostly(["!", "*", "x", "$6$salt$hash", "!$6$salt$hash"], ["", "a:b", "a\nb", "!!", "é"])
ranges = mostly(["100000-165535", "200000-200000", "165536-231071"], ["5", "9-3", "a-b", "-1-4", "0-4294967296", ""])
group_lists = st.lists(group_or_id, max_size=3).map(",".join)
user_lists = st.lists(users, max_size=3).map(",".join)
id_settings = mostly(
    ["UID_MIN=2000", "GID_MIN=2000", "SYS_UID_MAX=500", "UMASK=077", "UID_MAX=1003"],
    ["", "X", "UID_MIN", "=1", "UID_MIN=x", "UID_MIN=9000"],
)


@st.composite
def calls(
    draw: DrawFn,
    tool: str,
    options: list[Option],
    operands: SearchStrategy[str] | None,
    least: int = 0,
    most: int = 4,
) -> Command:
    """The tool with some of the options in any order, and one operand (rarely none or two)."""
    chosen = []
    if options:
        chosen = draw(st.lists(st.sampled_from(options), min_size=least, max_size=most, unique_by=id))
    words = []
    for flag, values in chosen:
        words += [flag] if values is None else [flag, draw(values)]
    if operands is not None:
        count = draw(st.sampled_from([1] * 18 + [0, 2]))
        names = [draw(operands) for _ in range(count)]
        words = names + words if draw(st.sampled_from([False] * 9 + [True])) else words + names
    return Command(tool, [word.encode() for word in words], day=DAY)


@st.composite
def fed(draw: DrawFn, tool: str, flags: list[str], names: SearchStrategy[str]) -> Command:
    """A tool that reads NAME:HASH lines."""
    lines = draw(st.lists(st.tuples(names, hashes).map(":".join), max_size=4))
    argv = [flag.encode() for flag in flags]
    return Command(tool, argv, stdin="".join(line + "\n" for line in lines).encode(), day=DAY)


COMMANDS: dict[str, SearchStrategy[Command]] = {
    "useradd": calls(
        "useradd",
        [
            ("-u", ids), ("-g", group_or_id), ("-G", group_lists), ("-s", shells), ("-c", gecos),
            ("-d", homes), ("-m", None), ("-M", None), ("-r", None), ("-N", None), ("-U", None), ("-o", None),
            ("-e", dates), ("-f", days), ("-p", hashes), ("-l", None), ("-K", id_settings), ("-b", homes),
            ("-D", None), ("-F", None), ("--badname", None), ("--selinux-range", st.just("s0")),
        ],
        users,
    ),
    "usermod": calls(
        "usermod",
        [
            ("-c", gecos), ("-d", homes), ("-m", None), ("-e", dates), ("-f", days), ("-g", group_or_id),
            ("-G", group_lists), ("-aG", group_lists), ("-l", users), ("-L", None), ("-U", None), ("-u", ids),
            ("-o", None), ("-s", shells), ("-p", hashes), ("-v", ranges), ("-w", ranges), ("-V", ranges),
            ("-W", ranges), ("-rG", group_lists), ("-b", None), ("--badname", None),
        ],
        users,
        least=1,
    ),
    "userdel": calls("userdel", [("-r", None), ("-f", None)], users, most=2),
    "groupadd": calls(
        "groupadd",
        [
            ("-g", ids), ("-o", None), ("-r", None), ("-f", None), ("-p", hashes), ("-K", id_settings),
            ("-U", user_lists),
        ],
        groups,
    ),
    "groupmod": calls(
        "groupmod",
        [
            ("-g", ids), ("-n", groups), ("-o", None), ("-p", hashes), ("-U", user_lists), ("-aU", user_lists),
        ],
        groups,
        least=1,
    ),
    "groupdel": calls("groupdel", [("-f", None)], groups, most=1),
    "gpasswd": calls(
        "gpasswd",
        [("-a", users), ("-d", users), ("-A", user_lists), ("-M", user_lists), ("-r", None), ("-R", None)],
        groups,
        least=1,
        most=2,
    ),
    "passwd": calls(
        "passwd",
        [
            ("-l", None), ("-u", None), ("-d", None), ("-e", None), ("-S", None), ("-q", None), ("-n", days),
            ("-x", days), ("-w", days), ("-i", days),
        ],
        users,
        least=1,
    ),
    "chage": calls(
        "chage",
        [("-d", dates), ("-E", dates), ("-I", days), ("-m", days), ("-M", days), ("-W", days), ("-l", None)],
        users,
        least=1,
    ),
    "chsh": calls("chsh", [("-s", shells)], users, least=1),
    "chfn": calls(
        "chfn", [("-f", gecos), ("-r", gecos), ("-w", gecos), ("-h", gecos), ("-o", gecos)], users, least=1
    ),
    "groupmems": calls(
        "groupmems", [("-g", groups), ("-a", users), ("-d", users), ("-l", None), ("-p", None)], None, least=2
    ),
    "chpasswd": fed("chpasswd", ["-e"], users),
    "chgpasswd": fed("chgpasswd", ["-e"], groups),
    "pwck": calls("pwck", [("-r", None), ("-q", None)], None, least=1),
    "grpck": calls("grpck", [("-r", None)], None, least=1),
    "pwconv": calls("pwconv", [], None),
    "pwunconv": calls("pwunconv", [], None),
    "grpconv": calls("grpconv", [], None),
    "grpunconv": calls("grpunconv", [], None),
}  # fmt: skip
