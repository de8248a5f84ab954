# SPDX-License-Identifier: MIT
"""The group tools from argv to files, below --prefix: what replay cannot show (layers, terminal, editor)."""

from __future__ import annotations

import os
import posix
import pty
import sys
from pathlib import Path

import pytest

from accounts.cli import chpasswd, gpasswd
from accounts.cli.batch import CryptOptions
from accounts.cli.console import Console
from accounts.cli.newgrp import parse_arguments
from accounts.cli.run import Run, execute, hand_over
from accounts.cli.tool import parse
from accounts.errors import Fail, Usage
from accounts.service import client
from accounts.system import setuid
from accounts.system.lines import LINE_SIZE, split_lines
from tests.support.prefix import Prefix

REPO = Path(__file__).parents[2]
IMAGE = {
    "passwd": "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
    "group": "root:x:0:\nvideo:x:44:alice\nalice:x:1000:\n",
    "gshadow": "root:*::\nvideo:*::alice\nalice:!::\n",
}


@pytest.fixture
def machine(tmp_path: Path) -> Prefix:
    return Prefix(tmp_path)


@pytest.mark.parametrize(
    ("argv", "status", "words", "after"),
    [
        (("groupadd", "-g", "7", "own"), 0, "", {"group": "own:x:7:\n", "gshadow": "own:!::\n"}),
        (("groupadd", "video"), 9, "group 'video' already exists", {}),
        (("groupadd", "-g", "44", "own"), 4, "GID '44' already exists", {}),
        (("groupdel", "alice"), 8, "cannot remove the primary group of user 'alice'", {}),
        (("groupdel", "video"), 10, "only a new image can remove it", {}),
        (("groupmod", "-n", "film", "video"), 10, "only a new image can rename it", {}),
        (("groupmod", "-g", "45", "video"), 10, "only a new image can change its GID", {}),
        (("groupmod", "-a", "-U", "root", "video"), 0, "", {"group": "video:x:44:root\n"}),
        (("gpasswd", "-d", "alice", "video"), 1, "in the read-only image", {}),
        (("gpasswd", "-M", "root,nosuch", "video"), 3, "user 'nosuch' does not exist", {}),
        (("gpasswd", "video"), 1, "Not a tty", {}),
        (("groupmems", "-a", "alice", "-g", "video"), 7, "user 'alice' is already a member of 'video'", {}),
        (("groupmems", "-d", "root", "-g", "video"), 6, "user 'root' is not a member of 'video'", {}),
        (("grpunconv",), 3, "gshadow row in the read-only image", {}),
        (("grpconv",), 0, "", {}),
        (("grpck", "-s", "-r"), 1, "-s and -r are incompatible", {}),
    ],
)
def test_over_an_image(machine: Prefix, argv: tuple[str, ...], status: int, words: str, after: dict[str, str]) -> None:
    done = machine.image(**IMAGE).run(*argv)
    assert (done.returncode, machine.etc()) == (status, after)
    assert words in done.stderr
    assert (done.stderr == "") == (words == "")


def test_force_shadow_makes_gshadow_appear(machine: Prefix) -> None:
    machine.local(**{"group": "", "login.defs": "FORCE_SHADOW yes\n"})
    assert machine.run("groupadd", "-g", "7", "-p", "hash", "own").returncode == 0
    files = machine.etc()
    assert (files["group"], files["gshadow"]) == ("own:x:7:\n", "own:hash::\n")
    assert (machine.path / "etc/gshadow").stat().st_mode & 0o037 == 0


def test_grpck_says_the_layer_and_repairs_the_local_one(machine: Prefix) -> None:
    machine.image(**IMAGE | {"group": "root:x:0:\nvideo:x:44:ghost\nalice:x:1000:\n"})
    machine.local(group="video:x:44:gone\nown:x:1000:\nroot:x:5:\nbroken\n", gshadow="own:!::\nstale:!::\n")
    done = machine.run("grpck", "-S", stdin="y\n" * 9)
    assert done.returncode == 2
    assert done.stdout.replace("? ", "?\n").splitlines() == [
        "group video: no user gone", "delete member 'gone'?",
        "invalid group file entry", "delete line 'broken'?",
        "group video: no user ghost (image)", "delete member 'ghost'?", "No",
        f"no matching group file entry in {machine.shown('group')}", "delete line 'stale:!::'?",
        "grpck: the files have been updated",
    ]  # fmt: skip
    assert machine.etc() == {"group": "own:x:1000:\nroot:x:5:\n", "gshadow": "own:!::\n"}
    warned = machine.run("grpck", "-r")
    assert warned.returncode == 2  # the image's ghost
    assert "group own: GID 1000 is that of group alice in the image\n" in warned.stdout
    assert "group root: GID 5 hides the group of that name in the image, which has GID 0\n" in warned.stdout


def test_grpck_on_named_files_leaves_the_system_alone(machine: Prefix) -> None:
    machine.local(passwd="alice:x:1:1::/:/bin/sh\n", group="a:x:1:\n")
    group, gshadow = machine.path / "group", machine.path / "gshadow"
    group.write_text("b:x:2:alice\na:pw:1:\n")
    gshadow.write_text("b:!::alice\n")
    done = machine.run("grpck", str(group), str(gshadow), stdin="y\n")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == (
        f"no matching group file entry in {gshadow}\nadd group 'a' in {gshadow}? grpck: the files have been updated\n"
    )
    assert group.read_text() == "b:x:2:alice\na:x:1:\n"
    assert gshadow.read_text() == "b:!::alice\na:pw::\n"
    assert machine.run("grpck", "-s", str(group)).returncode == 0
    assert group.read_text() == "a:x:1:\nb:x:2:alice\n"
    assert machine.run("grpck", "-r", str(machine.path / "none")).returncode == 3
    assert machine.etc() == {"group": "a:x:1:\n", "passwd": "alice:x:1:1::/:/bin/sh\n"}
    assert not list(machine.path.glob("*.lock"))


def test_chgpasswd_changes_all_groups_or_none(machine: Prefix) -> None:
    machine.image(**IMAGE).local(group="own:old:7:\n")
    bad = machine.run("chgpasswd", "-e", stdin="own:h\nnosuch:h\nno colon\nlast")
    assert bad.returncode == 1
    assert bad.stderr.splitlines() == [
        "chgpasswd: line 2: group 'nosuch' does not exist",
        "chgpasswd: line 3: missing new password",
        "chgpasswd: line 4: line too long",
        "chgpasswd: error detected, changes ignored",
    ]
    assert machine.etc() == {"group": "own:old:7:\n"}
    assert machine.run("chgpasswd", "-e", stdin="own:h1\nvideo:h2\n").returncode == 0
    assert machine.etc() == {"group": "own:h1:7:\n", "gshadow": "video:h2::alice\n"}


# Vipw


def test_vigr_edits_the_local_layer_and_records_the_base(machine: Prefix) -> None:
    machine.image(**IMAGE)
    done = machine.run("vigr", EDITOR="sh -c 'echo video:!:44:root > \"$1\"' edit")
    assert done.returncode == 0
    assert machine.etc() == {"group": "video:!:44:root\n"}
    assert (machine.path / "etc/accounts/base").read_text() == "group:video:x:44:alice\n"
    assert f"the rows of the read-only image are in {machine.path}/usr/lib/group" in done.stderr
    assert done.stdout == (
        f"You have modified {machine.shown('group')}.\n"
        f"You may need to modify {machine.shown('gshadow')} for consistency.\n"
        "Please use the command 'vigr -s' to do so.\n"
    )
    assert machine.run("vigr", EDITOR="sh -c ': > \"$1\"' edit").returncode == 0
    assert (machine.etc(), list((machine.path / "etc/accounts").glob("base"))) == ({}, [])


@pytest.mark.parametrize(
    ("editor", "status", "error"),
    [
        ("true", 0, ""),
        ("false", 1, "vipw: false returned with status 1\n"),
        ("touch", 0, ""),
        ("rm", 1, "vipw: failed to remove {0}.edit\nvipw: {0}.edit: No such file or directory\n"),
        ("sh -c 'ln -sf /etc/passwd \"$1\"' edit", 1, "vipw: {0}.edit: Too many levels of symbolic links\n"),
        ("/nonexistent/editor", 127, "sh: 1: /nonexistent/editor: not found\n"
         "vipw: /nonexistent/editor returned with status 127\n"),
    ],
)  # fmt: skip
def test_vipw_without_a_change(machine: Prefix, editor: str, status: int, error: str) -> None:
    machine.local(passwd="a:x:1:1::/:\n# kept\n")
    done = machine.run("vipw", EDITOR=editor)
    path = machine.shown("passwd")
    assert (done.returncode, done.stdout, done.stderr) == (status, f"vipw: {path} is unchanged\n", error.format(path))
    assert machine.etc() == {"passwd": "a:x:1:1::/:\n# kept\n"}


def test_vipw_installs_nothing_that_cannot_be_parsed_and_loses_no_work(machine: Prefix) -> None:
    machine.local(passwd="a:x:1:1::/:\nbroken before\n")
    done = machine.run("vipw", "-q", EDITOR="sh -c 'echo b:x:2 >> \"$1\"' edit")
    path = machine.shown("passwd")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"vipw: {path}: line 3 is not valid: 'b:x:2'\nvipw: not installed (your changes are in {path}.edit)\n"
    )
    kept = "a:x:1:1::/:\nbroken before\n"
    assert machine.etc() == {"passwd": kept, "passwd.edit": kept + "b:x:2\n"}
    assert (machine.path / "etc/passwd.edit").stat().st_mode & 0o777 == 0o600


def test_vipw_loses_no_work_that_cannot_be_installed(machine: Prefix) -> None:
    machine.local(passwd="a:x:1:1::/:\n")
    script = f'echo b:x:2:2::/: >> "$1"; echo c:x:3:3::/: >> {machine.path}/etc/passwd'
    done = machine.run("vipw", "-q", EDITOR=f"sh -c '{script}' edit")
    path = machine.shown("passwd")
    why = "passwd: changed by another program in the meantime"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"vipw: can't restore {path}: {why} (your changes are in {path}.edit)\n"
    assert machine.etc() == {"passwd": "a:x:1:1::/:\nc:x:3:3::/:\n", "passwd.edit": "a:x:1:1::/:\nb:x:2:2::/:\n"}


def test_vipw_does_not_follow_a_link_in_place_of_its_copy(machine: Prefix) -> None:
    machine.local(shadow="a:!:::::::\n", victim="untouched\n")
    (machine.path / "etc/shadow.edit").symlink_to("victim")
    done = machine.run("vipw", "-s", EDITOR="sh -c 'echo b:!::::::: >> \"$1\"' edit")
    assert done.returncode == 0
    assert machine.etc() == {"shadow": "a:!:::::::\nb:!:::::::\n", "victim": "untouched\n"}


def test_vipw_waits_for_no_lock_of_a_broken_kind(machine: Prefix) -> None:
    machine.local(passwd="a:x:1:1::/:\n", **{"passwd.lock": ""})
    done = machine.run("vipw")
    assert (done.returncode, done.stdout) == (5, f"vipw: {machine.shown('passwd')} is unchanged\n")
    assert done.stderr.endswith("vipw: Couldn't lock file\n")


# Gpasswd at a terminal


def at_terminal(machine: Prefix, answers: list[bytes]) -> tuple[int, bytes]:
    """gpasswd with a terminal: (exit status, all that it wrote). Each answer waits for a prompt."""
    code = "import sys; from accounts.cli.gpasswd import main; sys.argv[0] = 'gpasswd'; main()"
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(REPO)
        os.execv(sys.executable, [sys.executable, "-c", code, "-P", str(machine.path), "own"])
    seen = b""
    try:
        for answer in answers:
            mark = len(seen)
            while b"assword: " not in seen[mark:]:
                seen += os.read(fd, 1000)
            os.write(fd, answer + b"\n")
        while piece := os.read(fd, 1000):
            seen += piece
    except OSError:
        pass  # the terminal is gone with the program
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.replace(b"\r\n", b"\n")


def test_gpasswd_asks_twice_and_stores_a_hash(machine: Prefix) -> None:
    machine.local(group="own:x:7:\n", gshadow="own:!::\n")
    status, seen = at_terminal(machine, [b"one", b"two", b"secret", b"secret"])
    assert status == 0
    assert seen == (
        b"Changing the password for group own\nNew Password: \nRe-enter new password: \n"
        b"They don't match; try again\nNew Password: \nRe-enter new password: \n"
    )
    name, hashed, *_ = machine.etc()["gshadow"].split(":")
    from accounts.system.hashing import verify_password

    assert name == "own" and verify_password(b"secret", hashed.encode())


def test_gpasswd_gives_up_after_three_tries(machine: Prefix) -> None:
    machine.local(group="own:x:7:\n")
    status, seen = at_terminal(machine, [b"a", b"b"] * 3)
    assert status == 1
    assert seen.endswith(b"gpasswd: Try again later\n")
    assert machine.etc() == {"group": "own:x:7:\n"}


# Callers who are not root


def test_root_is_not_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for caller in ("getuid", "geteuid"):
        monkeypatch.setattr(posix, caller, lambda: 0)
    monkeypatch.setattr(posix, "execv", lambda *_: pytest.fail("exec"))
    argv = [b"-Q", bytes(tmp_path), b"own"]
    assert execute(Run(gpasswd.TOOL, "gpasswd"), lambda given: 7, argv, setuid=True) == 7


@pytest.mark.parametrize("caller", ["getuid", "geteuid"])
@pytest.mark.parametrize(
    ("head", "mode", "trusted"),
    [
        ("\x7fELF", 0o4755, True),
        ("\x7fELF", 0o2755, True),
        ("\x7fELF", 0o4711, True),
        ("\x7fELF", 0o755, False),
        ("\x7fELF", 0o4775, False),
        ("\x7fELF", 0o4757, False),
        ("#!/bin/sh\n", 0o4755, False),  # our own, diverted by mistake
        ("", 0o4755, False),
    ],
)
def test_others_get_the_diverted_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caller: str, head: str, mode: int, trusted: bool
) -> None:
    program = tmp_path / "gpasswd.distrib"
    program.write_text(head)
    program.chmod(mode)
    calls = []

    def execv(path: str, argv: list[str | bytes]) -> None:
        calls.append((path, argv))
        raise OSError

    monkeypatch.setattr(posix, caller, lambda: 1000)
    monkeypatch.setattr(posix, "execv", execv)
    monkeypatch.setattr(setuid, "DIVERTED", f"{tmp_path}/{{}}.distrib")
    monkeypatch.setattr(client, "run_by_service", lambda *_: None)
    with pytest.raises(Fail):
        hand_over(Console(gpasswd.TOOL, "gpasswd"), "gpasswd", [b"-a", b"\xff", b"own"])
    assert calls == [(str(program), [b"gpasswd", b"-a", b"\xff", b"own"])] * trusted


@pytest.mark.parametrize(
    ("prog", "argv", "expected"),
    [
        ("newgrp", [], (False, None, None)),
        ("newgrp", [b"-"], (True, None, None)),
        ("newgrp", [b"-l", b"video"], (True, "video", None)),
        ("sg", [b"video"], (False, "video", None)),
        ("sg", [b"video", b"-c", b"id -g"], (False, "video", "id -g")),
        ("sg", [b"video", b"id"], (False, "video", "id")),
    ],
)
def test_newgrp_and_sg_arguments(prog: str, argv: list[bytes], expected: tuple[bool, str | None, str | None]) -> None:
    request = parse_arguments(prog, argv)
    assert (request.login, request.group, request.command) == expected


@pytest.mark.parametrize(("prog", "argv"), [("sg", []), ("sg", [b"-c", b"id"]), ("newgrp", [b"-x"])])
def test_newgrp_and_sg_usage(prog: str, argv: list[bytes]) -> None:
    with pytest.raises(Usage):
        parse_arguments(prog, argv)


# Chgpasswd's lines


@pytest.mark.parametrize(
    ("text", "forgiving", "expected"),
    [
        (b"a:b\nc:d\n", False, [b"a:b", b"c:d"]),
        (b"a:b", False, [None]),
        (b"a:b", True, [b"a:b"]),
        (b"x" * LINE_SIZE + b"y:z\nb:c\n", False, [None, b"xy:z", b"b:c"]),
        (b"x" * LINE_SIZE + b"y:z\nb:c\n", True, [None, b"b:c"]),
        (b"a:\0b\nc:d\n", False, [None, b"c:d"]),
        (b"", False, []),
    ],
)
def test_lines_are_read_as_fgets_does(text: bytes, forgiving: bool, expected: list[bytes | None]) -> None:
    assert list(split_lines(text, drop_rest=forgiving, open_end=forgiving)) == expected


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("", (None, None, True)),
        ("-e", (None, None, False)),
        ("-m", (b"MD5", None, True)),
        ("-c NONE", (b"NONE", None, False)),
        ("-c SHA512 -s 0x2000", (b"SHA512", 8192, True)),
        ("-s 9000 -c SHA256", (b"SHA256", 9000, True)),
        ("-c MD5 -s many", (b"MD5", None, True)),
        ("-s 5", "-s flag is only allowed with the -c flag"),
        ("-e -m", "the -c, -e, and -m flags are exclusive"),
        ("-c ROT13", "unsupported crypt method: ROT13"),
        ("-c SHA512 -s many", "invalid numeric argument 'many'"),
    ],
)
def test_crypt_options(argv: str, expected: tuple[bytes | None, int | None, bool] | str) -> None:
    try:
        crypt = CryptOptions(parse(Run(chpasswd.TOOL, "chpasswd"), argv.encode().split()))
    except Usage as error:
        assert error.message == expected
    else:
        assert (crypt.method, crypt.rounds, crypt.hashes) == expected
