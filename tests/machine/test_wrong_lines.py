# SPDX-License-Identifier: MIT
"""What `accounts` commands say of a command line that is wrong, of failures, and of output that gets lost."""

from __future__ import annotations

import os
import posix
import re
import signal
import subprocess
from pathlib import Path

import pytest

from accounts.cli.console import word_failure
from scripts.commandlines import find_commands
from tests.machine.life import PYTHON, TOP, make_root
from tests.support.forked import run_forked

ALICE = {"passwd": "alice:x:1000:1000::/home/alice:/bin/sh\n", "group": "alice:x:1000:\nvideo:x:44:alice\n"}

WRONG = {
    "image seed --rule x=fail r": "accounts image seed: there is no option '--rule', did you mean '--severity'?",
    "image seed --legder ids": "accounts image seed: there is no option '--legder', did you mean '--ledger'?",
    "image check --rule layer=fail r":
        "accounts image check: argument --rules: 'layer=fail' is no file, did you mean --severity layer=fail?",
    "image check --severity orphan-file=fail r":
        "accounts image check: argument --severity: there is no finding 'orphan-file', did you mean 'orphan-files'?",
    "image check --severity orphan-files=no r":
        "accounts image check: argument --severity: there is no severity 'no': there are fail, warn, ignore",
    "image seeed r": "accounts image: there is no command 'seeed', did you mean 'seed'?",
    "image --foo seed": "accounts image: there is no option '--foo'",
    "status alice": "accounts status: one argument too many: 'alice'",
    "status -x": "accounts status: there is no option '-x'",
    "check --fix=orphn": "accounts check: argument --fix: there is no finding 'orphn', did you mean 'orphan'?",
    "import-delta --dry-rum": "accounts import-delta: there is no option '--dry-rum', did you mean '--dry-run'?",
    "sysusers --quite": "accounts sysusers: there is no option '--quite', did you mean '--quiet'?",
    "sysusers x": "accounts sysusers: wrong number of arguments",
    "materialize": "accounts materialize: either users or --expired are needed",
    "serve --listn 3": "accounts serve: there is no option '--listn', did you mean '--listen'?",
    "set-password --jsn": "accounts set-password: there is no option '--jsn', did you mean '--json'?",
}  # fmt: skip


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_line_gets_one_line_that_helps(line: str) -> None:
    done = run_forked(["accounts", *line.split()])
    command = WRONG[line].partition(":")[0]
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{WRONG[line]}; see {command} --help\n")


@pytest.mark.parametrize("name", find_commands())
def test_every_command_says_itself_what_it_does_not_know(name: str) -> None:
    done = run_forked(["accounts", *name.split(), "--no-such-option"])
    assert (done.returncode, done.stdout) == (2, "")
    told = rf"accounts {name}: there is no option '--no-such-option'.*; see accounts {name} --help\n"
    assert re.fullmatch(told, done.stderr)


# Failures


@pytest.mark.parametrize(
    ("uid", "lines", "locked", "told"),
    [
        (0, ["a reason.", "cannot lock /etc/passwd; try again later."], True,
         "a reason; cannot lock /etc/passwd; try again later; see accounts check"),
        (0, ["/x: Permission denied"], False, "/x: Permission denied"),
        (1000, ["Permission denied.", "cannot lock /etc/passwd; try again later."], True,
         "Permission denied; cannot lock /etc/passwd; this needs root"),
        (1000, ["cannot open /etc/gshadow: Permission denied"], False,
         "cannot open /etc/gshadow: Permission denied; this needs root"),
        (1000, ["user 'x' does not exist"], False, "user 'x' does not exist"),
    ],
)  # fmt: skip
def test_who_may_not_is_told_that_it_needs_root(
    monkeypatch: pytest.MonkeyPatch, uid: int, lines: list[str], locked: bool, told: str
) -> None:
    monkeypatch.setattr(posix, "geteuid", lambda: uid)
    assert word_failure(lines, locked) == told


# Standard output


@pytest.mark.parametrize(
    "argv", [["status"], ["status", "--json"], ["check"], ["export"], ["materialize", "www"]], ids=" ".join
)
def test_output_that_is_lost_is_no_success(tmp_path: Path, argv: list[str]) -> None:
    command = [PYTHON, "-IS", TOP / "shims/accounts", argv[0], "-R", make_root(tmp_path, ALICE), *argv[1:]]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (3, f"accounts {argv[0]}: standard output: No space left on device\n")


def test_a_reader_who_has_had_enough_ends_it_without_a_word(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [PYTHON, "-IS", TOP / "shims/accounts", "status", "-R", make_root(tmp_path, ALICE)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")


def test_a_wrong_first_word(tmp_path: Path) -> None:
    for word, told in {
        "staus": "there is no command 'staus', did you mean 'status'?",
        "--verson": "there is no option '--verson', did you mean '--version'?",
        "-v": "there is no option '-v'",
    }.items():
        done = run_forked(["accounts", word])
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"accounts: {told}; see accounts --help\n")


@pytest.mark.parametrize("argv", [["status", "-R"], ["check", "-R"], ["image", "seed"], ["image", "pin"]], ids=" ".join)
def test_a_root_without_etc_is_named(tmp_path: Path, argv: list[str]) -> None:
    done = run_forked(["accounts", *argv, tmp_path])
    name = "accounts image " + argv[1] if argv[0] == "image" else f"accounts {argv[0]}"
    assert (done.returncode, done.stderr) == (3, f"{name}: {tmp_path}/etc: No such file or directory\n")
