# SPDX-License-Identifier: MIT
"""Malformed rows, and numbers without end: what the tools make of them is what the real ones make."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support.overlay import REAL, in_overlay, run_tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

ROWS = {
    "passwd": "foo:x:1000:1000::/:/bin/sh",
    "shadow": "foo:*:19000:0:99999:7:::",
    "group": "foo:x:1000:",
    "gshadow": "foo:*::",
}
ETC = {
    "passwd": f"root:x:0:0:root:/root:/bin/sh\n{ROWS['passwd']}\n",
    "shadow": f"root:*:19000:0:99999:7:::\n{ROWS['shadow']}\n",
    "group": f"root:x:0:\n{ROWS['group']}\n",
    "gshadow": f"root:*::\n{ROWS['gshadow']}\n",
}
ODD_FIELDS = {"passwd": (0, 2, 3), "shadow": (0, 2, 8), "group": (0, 2, 3), "gshadow": (0, 2, 3)}
CHECKER = {"passwd": "pwck", "shadow": "pwck", "group": "grpck", "gshadow": "grpck"}
ODD = ("", "-1", "x", "0x10", "010", " 5", "5 ", "+5", "5,6", ",", "a,,b,")
MANY = 5000  # digits: more than int() takes
NUMBERS = ("0" * MANY + "7", "9" * MANY, "-" + "9" * MANY, "+" + "0" * MANY + "7", "4294967295", "4294967296")
EPOCHS = (
    *NUMBERS, "5", " 5", "-5", "5x", "", " ", "18446744073709551616", "99999999999", "99999999999x", "-5x", "0x10",
    "+5", "-0", "9223372036854775807", "9223372036854775808", "9223372036854775808x", "-18446744073709551615",
)  # fmt: skip
LONG = "ACCOUNTS_MALFORMED" in os.environ
LATER = ("4.17", "4.20") if LONG else ("4.17",)


def _malformed(name: str) -> list[str]:
    fields = ROWS[name].split(":")
    count = len(fields)
    rows = [":".join(fields[:end]) for end in range(1, count)]
    rows += [row + ":" for row in rows] + [ROWS[name] + tail for tail in (":", "::", ":x")]
    rows += ["", " ", ":", ":::", "+", "+foo", "-", "+:x", " " + ROWS[name], "#" + ROWS[name]]
    for place in ODD_FIELDS[name]:
        rows += [":".join([*fields[:place], odd, *fields[place + 1 :]]) for odd in ODD]
    if name != "gshadow":
        # What strtoul(3) overflows on makes the real tools hang in shadow.
        long = NUMBERS if name != "shadow" else NUMBERS[:1]
        rows += [":".join([*fields[:2], number, *fields[3:]]) for number in long]
    # With three fields the members are what the row before left in the real tool's memory; NSS, which pwck
    # asks, passes comments and NIS rows over.
    known = {"group": {"foo:x:1000", "#foo:x:1000:", "-1:x:1000:", "+5:x:1000:"}}.get(name, set())
    return [row for row in dict.fromkeys(rows) if row not in known]


def _write(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path("/etc", name).write_text(text)


def test_checkers_say_what_the_real_ones_say() -> None:
    differing = in_overlay(_check, tuple(ROWS), release="4.13")
    assert not differing, "\n".join(differing)


@pytest.mark.parametrize("release", LATER)
def test_later_releases(release: str) -> None:
    """Since 4.17 glibc's sgetsgent(3) takes the rows of gshadow: few fields, many, blanks, no empty names in lists."""
    differing = in_overlay(_later, release=release)
    assert not differing, "\n".join(differing)


def _later() -> list[str]:
    return _check(tuple(ROWS) if LONG else ("gshadow",)) + _change_gshadow() + _options(LONG)


def _check(names: tuple[str, ...]) -> list[str]:
    differing = []
    for name in names:
        row = ROWS[name]
        for bad in _malformed(name):
            _write({**ETC, name: ETC[name].replace(row, bad)})
            results = []
            for directory in (REAL, "/usr/sbin"):
                done = run_tool(f"{directory}/{CHECKER[name]}", "-r")
                results.append((done.returncode, done.stdout, done.stderr))
            if results[0] != results[1]:
                differing.append(f"{name} {bad[:60]!r}:\nreal {results[0]}\nours {results[1]}")
    return differing


# (program, arguments, standard input), each on a group of one of these rows in gshadow.
GSHADOW_COMMANDS = (
    ("grpck", "", "y\n" * 20), ("grpck", "-s", ""), ("grpconv", "", ""), ("grpunconv", "", ""),
    ("gpasswd", "-a foo foo", ""), ("gpasswd", "-A foo foo", ""), ("gpasswd", "-d foo foo", ""),
    ("usermod", "-aG foo foo", ""), ("usermod", "-G foo root", ""), ("usermod", "-l bar foo", ""),
    ("groupmod", "-n bar foo", ""), ("groupmod", "-p * foo", ""), ("groupdel", "foo", ""), ("groupadd", "new", ""),
    ("groupadd", "-f foo", ""), ("useradd", "-G foo new", ""), ("userdel", "foo", ""),
    ("chgpasswd", "-e", "foo:*abc\n"),
)  # fmt: skip
FEW_GSHADOW_ROWS = ("foo", "foo:*:::x", "\nfoo:*: foo ,,a:a , foo,")
MORE_GSHADOW_ROWS = (
    "foo\nfoo:*::", "foo:*::\nfoo", "foo:*::foo,,a", "foo:*::a:b", "foo:*:foo:foo\n# x", "foo:*::foo,foo",
    "foo:*::foo \t,\ta",
)  # fmt: skip


def _change_gshadow() -> list[str]:
    differing = []
    for row in (*_malformed("gshadow"), *FEW_GSHADOW_ROWS, *MORE_GSHADOW_ROWS) if LONG else FEW_GSHADOW_ROWS:
        for tool, words, stdin in GSHADOW_COMMANDS:
            results = []
            before = {
                **ETC,
                "passwd": ETC["passwd"] + "a:x:1002:1000::/:/bin/sh\n",
                "shadow": ETC["shadow"] + "a:*:19000:0:99999:7:::\n",
                "gshadow": ETC["gshadow"].replace(ROWS["gshadow"], row),
                "subuid": "",
                "subgid": "",
            }
            for directory in (REAL, "/usr/bin" if tool == "gpasswd" else "/usr/sbin"):
                _write(before)
                done = run_tool(f"{directory}/{tool}", *words.split(), stdin=stdin)
                paths = {name: Path("/etc", name) for name in before}
                texts = {name: path.read_text() for name, path in paths.items() if path.exists()}
                results.append((done.returncode, done.stdout, done.stderr, texts))
            real, ours = results
            if "failure while writing changes" in real[2]:
                # The real tool has written the files before that one: docs/decisions/journal.md.
                real = (*real[:3], before)
            if real != ours:
                differing.append(f"{row!r} {tool} {words}:\nreal {real}\nours {ours}")
    return differing


def test_long_numbers_in_options_and_environment() -> None:
    differing = in_overlay(_options, True, release="4.13")
    assert not differing, "\n".join(differing)


def _options(everything: bool) -> list[str]:
    differing = []
    commands = [
        *(["groupadd", "-g", number, "new"] for number in NUMBERS),
        *(["useradd", "-u", number, "new"] for number in NUMBERS),
        *(["useradd", "-K", f"UID_MIN={number}", "new"] for number in NUMBERS),
        *(["useradd", "-f", number, "new"] for number in NUMBERS),
        *(["useradd", "-e", number, "new"] for number in NUMBERS[:4]),
        *(["usermod", "-u", number, "foo"] for number in NUMBERS),
        *(["usermod", "-g", number, "foo"] for number in NUMBERS),
        # But not 2**32, of which the real tool makes 0: root's own UID.
        *(["usermod", "-v", f"{number}-{number}", "foo"] for number in NUMBERS[:-1]),
        *(["usermod", "-e", f"{number} days", "foo"] for number in NUMBERS[:4]),
        *(["chage", "-M", number, "foo"] for number in NUMBERS),
        *(["chage", "-d", number, "foo"] for number in NUMBERS[:4]),
        *(["passwd", "-x", number, "foo"] for number in NUMBERS),
        *(["chpasswd", "-c", "SHA512", "-s", number] for number in NUMBERS),
    ]
    calls: list[tuple[list[str], dict[str, str]]] = [(command, {}) for command in commands if everything]
    calls += [(["useradd", "new"], {"SOURCE_DATE_EPOCH": epoch}) for epoch in EPOCHS]
    for command, environment in calls:
        results = []
        for ours in (False, True):
            _write({**ETC, "subuid": "", "subgid": ""})
            directory = REAL if not ours else "/usr/bin" if command[0] in ("passwd", "chage") else "/usr/sbin"
            assignments = [f"{key}={value}" for key, value in environment.items()]
            done = run_tool("/usr/bin/env", *assignments, f"{directory}/{command[0]}", *command[1:])
            texts = {name: Path("/etc", name).read_text() for name in (*ETC, "subuid")}
            stderr = re.sub(r"current time \(\d+\)", "current time", done.stderr)
            results.append((done.returncode, done.stdout, stderr, texts))
        if results[0] != results[1]:
            shown = [word if len(word) < 40 else word[:20] + "..." for word in command]
            differing.append(f"{shown} {environment}:\nreal {results[0]}\nours {results[1]}")
    return differing
