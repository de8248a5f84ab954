# SPDX-License-Identifier: MIT
"""How `accounts` commands behave to people and scripts: progress, --quiet, --json, help, Ctrl-C."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from accounts import progress
from accounts.cli.main import COMMANDS, format_usage
from accounts.cli.tool import Tool
from accounts.examples import EXAMPLES
from accounts.image.layers import walk
from scripts.commandlines import find_commands, list_rows
from tests.image.accounts import make_image, wire_image
from tests.machine.life import PYTHON, TOP, Result, accounts, local, make_root, validate
from tests.support.forked import run_forked

# Runs `accounts ARGV` in which each step of the work takes SLEEP seconds, and a bar is shown after WAIT.
SLOW = """
import sys, time
top, wait, sleep, *argv = sys.argv[1:]
sys.path.insert(0, top)
from accounts import progress
from accounts.cli.main import main
progress.Bar.PATIENCE = progress.Bar.INTERVAL = progress.Bar.FIRST_LINE = float(wait)
at = progress.Bar.at
def slow(bar, part):
    at(bar, part)
    time.sleep(float(sleep))
progress.Bar.at = slow
sys.argv = ["accounts", *argv]
main()
"""
ALICE = {"passwd": "alice:x:1000:1000::/home/alice:/bin/sh\n", "group": "alice:x:1000:\nvideo:x:44:alice\n"}


def slow(*argv: str | Path, wait: float = 0, sleep: float = 0.005) -> list[str]:
    return [PYTHON, "-IS", "-Xutf8", "-c", SLOW, str(TOP), str(wait), str(sleep), *map(str, argv)]


def on_terminal(command: list[str], columns: int = 80, term: str = "xterm", interrupt: str = "") -> tuple[int, str]:
    """(status, all that the terminal got). interrupt: Ctrl-C is typed when this has been seen."""
    pid, fd = pty.fork()
    if not pid:
        os.execve(command[0], command, {"TERM": term, "PATH": os.environ["PATH"], "NO_COLOR": "1"})
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown = ""
    try:
        while data := os.read(fd, 65536):
            shown += data.decode()
            if interrupt and interrupt in shown:
                os.write(fd, b"\x03")
                interrupt = ""
    except OSError:
        pass  # all have closed it
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def image(*argv: str | Path) -> Result:
    """Run `accounts image ARGV`."""
    done = run_forked(["accounts", "image", *argv])
    return Result(done.returncode, done.stdout, done.stderr)


# Progress


def test_a_terminal_shows_a_bar_which_is_gone_at_the_end(tmp_path: Path) -> None:
    root = make_root(tmp_path, ALICE)
    status, shown = on_terminal(slow("check", "-R", root))
    bars = re.findall(r"\raccounts check: checking  \[(#*) *\] +(\d+) %  0:0\d *", shown)
    assert len(bars) > 5 and status == 1
    assert [int(percent) for _, percent in bars] == sorted(int(percent) for _, percent in bars)
    assert len(bars[-1][0]) > len(bars[0][0])
    # A stage of which nobody knows how much is done.
    assert "\raccounts check: reading the accounts  0:00" in shown
    assert "\x1b" not in shown
    # What comes after the last bar begins on an empty line.
    told = accounts(root, "check").stdout
    assert re.sub(r".*\r *\r", "", shown.replace("\r\n", "\n"), flags=re.DOTALL) == told


def test_a_bar_fits_the_terminal(tmp_path: Path) -> None:
    root = make_root(tmp_path, ALICE)
    _, shown = on_terminal(slow("check", "-q", "-R", root, sleep=0), columns=33)
    assert shown == ""
    for columns in (20, 36, 60):
        _, shown = on_terminal(slow("status", "-R", root, sleep=0), columns=columns)
        bars = [line for line in shown.split("\r") if "accounts status:" in line]
        assert bars and all(len(line) < columns for line in bars)


def test_elsewhere_a_line_now_and_then(tmp_path: Path) -> None:
    root = make_root(tmp_path, ALICE)
    done = subprocess.run(slow("check", "-R", root, wait=0.01, sleep=0.02), capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert lines and all(re.fullmatch(r"accounts check: [a-z ]+(: \d+%)?", line) for line in lines)
    # Each comes after as long as all work before it.
    assert len(lines) < 8
    assert done.stdout == accounts(root, "check").stdout
    _, dumb = on_terminal(slow("check", "-R", root, wait=0.01, sleep=0.02), term="dumb")
    assert "#" not in dumb and re.search(r"^accounts check: [a-z ]+: \d+%\r$", dumb, re.M)


def test_short_work_and_quiet_show_nothing(tmp_path: Path) -> None:
    root = make_root(tmp_path, ALICE)
    assert accounts(root, "check").stderr == ""
    quiet = subprocess.run(slow("check", "-q", "-R", root), capture_output=True, text=True)
    assert (quiet.stdout, quiet.stderr, quiet.returncode) == ("", "", 1)


# An empty path is a variable that a script forgot to set.
EMPTY = [
    *(([name, "-R", ""], "--root") for name in ("status", "check", "diff", "rebase", "reset", "apply", "export")),
    (["flatten", "--to", ""], "--to"), (["adopt", "--from", ""], "--from"), (["adopt", "--original", ""], "--original"),
    (["reset", "-n", "--backup", ""], "--backup"), (["rebase", "--re-own", "", "--previous", "x"], "--re-own"),
    (["rebase", "--re-own", "--previous", ""], "--previous"), (["apply", "-n", ""], "DIR"),
    (["apply", "-n", "--with", ""], "--with"), (["export", "-o", ""], "--output"), (["export", "--sign", ""], "--sign"),
    (["import-delta", ""], "FILE"), (["import-delta", "f", "--allowed-signers", ""], "--allowed-signers"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "option"), EMPTY, ids=[" ".join(argv) for argv, _ in EMPTY])
def test_an_empty_path_is_not_the_current_directory(
    argv: list[str], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_root(tmp_path, ALICE)
    before = local(root)
    monkeypatch.chdir(root)
    done = run_forked(["accounts", argv[0], *([] if "-R" in argv else ["-R", str(root)]), *argv[1:]])
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"accounts {argv[0]}: argument .*{option}\b.*: an empty path; see .* --help\n", done.stderr)
    assert local(root) == before


@pytest.mark.parametrize("argv", [["show", "www"], ["sysusers"], ["materialize", "www"]], ids=lambda argv: argv[0])
def test_a_root_may_be_a_relative_path(argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_root(tmp_path, ALICE)
    monkeypatch.chdir(root.parent)
    done = run_forked(["accounts", argv[0], "-R", root.name, *argv[1:]])
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_it_without_a_word(tmp_path: Path) -> None:
    status, shown = on_terminal(slow("check", "-R", make_root(tmp_path), sleep=0.2), interrupt="%  0:0")
    assert status == -signal.SIGINT
    assert "Traceback" not in shown and re.search(r"\r +\r$", shown)


def test_a_walk_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in itertools.product("ab", "cde", "fg"):
        (tmp_path / "/".join(path)).mkdir(parents=True)
    seen: list[float] = []
    monkeypatch.setattr(progress.Bar, "at", lambda bar, part: seen.append(part))
    root = os.open(tmp_path, os.O_RDONLY)
    with progress.shown_by(progress.Bar("test")):
        list(walk(root))
    os.close(root)
    # The top, two in it, three in each of these, two in each of those.
    assert len(seen) == 1 + 2 + 6 + 12 and seen == sorted(seen)
    assert seen[0] == 0 and 0.85 < seen[-1] < 1


def test_the_tools_of_the_shadow_family_have_none() -> None:
    code = (
        "import sys, importlib; sys.path[:0] = sys.argv[1:3]\n"
        "for name in sys.argv[3:]: importlib.import_module(name)\n"
        "print('accounts.progress' in sys.modules)"
    )
    tools = sorted(path.stem for path in (TOP / "accounts/cli").glob("*.py") if "@program(" in path.read_text())
    assert "newusers" in tools
    deps = TOP / "build/deps"
    names = [f"accounts.cli.{name}" for name in tools if name not in ("serve",)]
    done = subprocess.run([PYTHON, "-IS", "-c", code, TOP, deps, *names], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# --quiet and --json


@pytest.mark.parametrize(
    "argv",
    [["status"], ["diff"], ["show", "root"], ["check"], ["rebase"], ["revert", "www"], ["mask", "www"], ["adopt"],
     ["unmask", "www"], ["flatten", "-n"], ["reset", "-y"], ["apply"]],
    ids=lambda argv: argv[0],
)  # fmt: skip
def test_quiet_says_nothing_and_json_is_said(tmp_path: Path, argv: list[str]) -> None:
    files = ALICE | {"accounts/accounts.conf": "HIDE=yes\n"}
    roots = [make_root(tmp_path / name, files) for name in "abc"]
    for root in roots if argv[0] == "unmask" else ():
        accounts(root, "mask", "www")
    loud, quiet = accounts(roots[0], *argv), accounts(roots[1], *argv, "--quiet")
    assert (quiet.status, quiet.stdout) == (loud.status, "")
    assert quiet.stderr == (loud.stderr if loud.status else "")
    both = accounts(roots[2], *argv, "--quiet", "--json")
    assert both.status == loud.status
    validate(both.json, "mask" if argv[0] == "unmask" else argv[0])


def test_json_of_image_commands(tmp_path: Path) -> None:
    root, old = make_image(tmp_path / "root"), make_image(tmp_path / "old")
    image("seed", old)
    wire_image(root)
    rules = tmp_path / "some.rules"
    rules.write_text("keep *\n")
    sysusers = tmp_path / "some.conf"
    sysusers.write_text('u _new - "New"\nm _new adm\n')
    runs = {
        "lint-rules": [rules],
        "seed": [root],
        "pin": [root, "--previous", old],
        "index": [root],
        "import": [root, sysusers],
        "wire": [root],
        "check": [root],
        "export": [root, "--sysusers", tmp_path / "sysusers.d"],
        "diff": [old, root],
        "thaw": [root],
        "freeze": [root],
        "stateless": [root, "--rules", rules],
    }
    results = {}
    for command, argv in runs.items():
        done = image(command, "--json", *argv)
        assert done.stderr == "" and done.status in (0, 1), (command, done)
        validate(done.json, f"image-{command}")
        results[command] = done.json
    validate(image("stateless", root, "--suggest", "--json").json, "image-stateless")
    # They were about something.
    assert results["seed"]["moved"]["passwd"] and results["thaw"]["changed"]["passwd"] and results["diff"]["changes"]
    assert results["import"]["added"] and results["lint-rules"]["findings"] and results["check"]["facts"]
    assert set(runs) == {name.partition(" ")[2] for name in find_commands() if name.startswith("image ")}


def test_there_is_a_schema_for_every_command() -> None:
    there = {path.stem for path in (TOP / "docs/schemas").glob("*.json")} - {"accounts.d"}
    # serve has no result; the others have that of mask and of materialize.
    without = {"serve", "unmask", "sysusers", "set-password"}
    assert there == {name.replace(" ", "-") for name in find_commands()} - without
    for name in there:
        document = json.loads((TOP / f"docs/schemas/{name}.json").read_text())
        assert re.match(f"accounts {name.replace('image-', 'image ')} .*--json", document["title"])


def test_every_command_has_both_options() -> None:
    for name, line in find_commands().items():
        options = {option for row in list_rows(line) for option in row.names}
        assert ({"-q", "--quiet", "--json"} <= options) is (name != "serve"), name


def test_tables_tell_what_they_did_or_nothing_or_json(tmp_path: Path) -> None:
    told = {
        "materialize": ["copied the rows of image user 'www' to /etc"],
        "sysusers": ["sysusers.d: user 'www' added to group 'video'"],
    }
    loud, quiet, both = (make_root(tmp_path / name, ALICE) for name in ("loud", "quiet", "both"))
    for root in (loud, quiet, both):
        (root / "usr/lib/sysusers.d").mkdir()
        (root / "usr/lib/sysusers.d/a.conf").write_text("m www video\n")
    for command, sentences in told.items():
        argv = ["materialize", "www"] if command == "materialize" else [command]
        assert accounts(loud, *argv) == Result(0, f"{sentences[0]}\n", "")
        assert accounts(loud, *argv) == Result(0, "", "")
        assert accounts(quiet, *argv, "--quiet") == Result(0, "", "")
        assert local(quiet) == local(loud)
        result = accounts(both, *argv, "-q", "--json").json
        validate(result, "materialize")
        assert result == {"changed": True, "done": sentences}
        assert accounts(both, *argv, "--json").json == {"changed": False, "done": []}


def test_export_on_standard_output_is_no_json(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", ALICE)
    done = accounts(root, "export", "--json")
    assert (done.status, done.stdout) == (2, "") and "--json needs --output" in done.stderr
    validate(accounts(root, "export", "--json", "-o", str(tmp_path / "delta")).json, "export")


def test_quiet_image_commands(tmp_path: Path) -> None:
    root = make_image(tmp_path / "root")
    assert image("seed", root, "-q").stdout == ""
    done = image("check", root, "-q")
    assert (done.status, done.stdout, done.stderr) == (1, "", "")
    # What was asked for is said.
    (root / "etc/motd").write_text("hello\n")
    assert image("stateless", root, "--suggest", "-q").stdout == image("stateless", root, "--suggest").stdout != ""


# Errors


@pytest.mark.parametrize("content", ["", "nonsense", "1234 "])
def test_a_lock_that_names_no_process_is_found_and_mended(tmp_path: Path, content: str) -> None:
    """As a power failure, or a hand, leaves it: no tool gets past it, and each says where help is."""
    root = make_root(tmp_path, ALICE)
    (root / "etc/passwd.lock").write_text(content)
    done = accounts(root, "revert", "video")
    assert done.status == 3 and done.stderr.endswith("cannot lock /etc/passwd; try again later; see accounts check\n")
    found = accounts(root, "check", "--json").json["findings"]
    assert [(one["rule"], one["files"]) for one in found if one["rule"] == "leftover"] == [
        ("leftover", ["/etc/passwd.lock"])
    ]
    fix = next(one["fix"] for one in found if one["rule"] == "leftover")
    assert fix == f"accounts check -R {root} --fix=leftover"
    assert accounts(root, "check", "--fix=leftover", "--dry-run").status == 1
    assert (root / "etc/passwd.lock").exists()
    assert "removed /etc/passwd.lock" in accounts(root, "check", "--fix=leftover").stdout
    assert accounts(root, "revert", "video").status == 0


def test_a_lock_in_force_is_left(tmp_path: Path) -> None:
    root = make_root(tmp_path, ALICE)
    (root / "etc/passwd.lock").write_text(f" +{os.getpid()}")
    assert "leftover" not in accounts(root, "check").stdout
    assert (root / "etc/passwd.lock").exists()


# Help


def test_every_example_is_a_command_line_that_is_taken() -> None:
    commands = find_commands()
    assert set(EXAMPLES) == {*commands, "image"}
    for name, example in EXAMPLES.items():
        words = shlex.split(example)
        words = words[words.index("accounts") + 1 :]
        if name == "image":
            continue
        assert " ".join(words[: len(name.split())]) == name
        line, argv = commands[name], words[len(name.split()) :]
        if isinstance(line, Tool):
            assert all(any(word == f"--{row.long}" for row in line.options) for word in argv if word[0] == "-")
        else:
            line.parse_args(argv)


@pytest.mark.parametrize("name", ["image", *find_commands()])
def test_help_fits_the_terminal_and_ends_with_an_example(name: str) -> None:
    help_ = run_forked(["accounts", *name.split(), "--help"], environ={"COLUMNS": "60"}).stdout
    head, _, tail = help_.partition("Example:\n")
    assert help_ == run_forked(["accounts", "help", *name.split()], environ={"COLUMNS": "60"}).stdout
    assert tail == f"  {EXAMPLES[name]}\nManual: accounts-{name.replace(' ', '-')}(8)\n" or name == "image"
    assert max(map(len, head.splitlines())) <= 60


def test_the_list_of_commands_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert max(map(len, format_usage().splitlines())) <= 50
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", format_usage(), re.M)


def test_examples_are_in_the_manuals() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from scripts.manuals import pages; print(pages()['man8/accounts-status.8'])"],
        cwd=TOP, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ".Sh EXAMPLES\n.Dl # accounts status \\-\\-json" in done.stdout
