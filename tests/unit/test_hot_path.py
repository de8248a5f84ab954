# SPDX-License-Identifier: MIT
"""What a tool loads for a plain local user is held to an allow list (docs/contract.md), and nothing that it calls
sleeps (docs/decisions/hot-path.md)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.bench.hot_runs import HOT, format_list, record

TOP = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
# Built in, or a small file. Everything else costs milliseconds in every run of every tool.
ALLOWED = {
    "__future__", "_signal", "_socket", "_stat", "errno", "fcntl", "getopt", "grp", "posix", "pwd", "syslog", "time",
    "zlib",
}  # fmt: skip
FORBIDDEN = {
    "argparse", "collections", "contextlib", "ctypes", "dataclasses", "enum", "filelock", "functools", "gettext",
    "json", "locale", "logging", "os", "passlib", "pathlib", "re", "shutil", "signal", "stat", "subprocess", "tempfile",
    "typing",
}  # fmt: skip
RUNS = {
    "useradd": ["-m", "alice"],
    "usermod": ["-aG", "video", "bob"],
    "userdel": ["bob"],
    "groupadd": ["crew"],
    "groupmod": ["-n", "gang", "team"],
    "groupdel": ["team"],
    "gpasswd": ["-a", "bob", "video"],
    "passwd": ["-l", "bob"],
    "chage": ["-m", "1", "bob"],
    "chsh": ["-s", "/bin/sh", "bob"],
    "chfn": ["-f", "Bob", "bob"],
}


def loaded(tool: str, arguments: list[str]) -> set[str]:
    """Modules in sys.modules when the tool ends, beyond those of an interpreter that does nothing."""
    code = (
        "import sys, posix\n"
        "before = set(sys.modules)\n"
        f"sys.path.insert(0, {str(TOP)!r})\n"
        f"sys.argv = [{tool!r}, *{arguments!r}]\n"
        "end = posix._exit\n"
        "def leave(status):\n"
        "    print(*sorted(set(sys.modules) - before), sep='\\n', file=sys.stderr, flush=True)\n"
        "    end(status)\n"
        "posix._exit = leave\n"
        f"from accounts.cli.{tool} import main\n"
        "main()\n"
    )
    result = subprocess.run([PYTHON, "-ISc", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return set(result.stderr.split())


@pytest.mark.parametrize("tool", RUNS)
def test_imports_stay_within_the_budget(tool: str, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").touch(0o755)
    (tmp_path / "etc/passwd").write_text("root:x:0:0:::\nbob:x:1500:1500::/home/bob:/bin/zsh\n")
    (tmp_path / "etc/shadow").write_text("bob:!:19000:0:99999:7:::\n")
    (tmp_path / "etc/group").write_text("bob:x:1500:\nteam:x:1600:\n")
    (tmp_path / "etc/gshadow").write_text("bob:!::\nteam:!::\n")
    (tmp_path / "usr/lib/group").write_text("video:x:44:\n")
    option = "-Q" if tool == "gpasswd" else "-R"
    modules = loaded(tool, [option, str(tmp_path), *RUNS[tool]])
    foreign = {name for name in modules if not name.startswith("accounts")}
    assert not foreign & FORBIDDEN
    assert foreign <= ALLOWED


def test_ordinary_runs_call_nothing_that_sleeps() -> None:
    listed = dict(line.split(" ", 1) for line in HOT.read_text().splitlines() if line[0] != "#")
    missing = {}
    for line in format_list(record()).splitlines():
        if line[0] != "#":
            need, tools = line.split(" ", 1)
            missing[need] = set(tools.split()) - set(listed.get(need, "").split())
    missing = {need: tools for need, tools in missing.items() if tools}
    assert not missing, "they cost time at each start: run `python3 -m tests.bench.hot_runs`, which lists them"
