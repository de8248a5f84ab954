# SPDX-License-Identifier: MIT
"""What ordinary runs of the tools call: `python3 -m tests.bench.hot_runs` writes it to scripts/hot.txt.

scripts/pack.py reads that list: functions that are not on it are loaded when they are called. A list that is not up to
date costs time and nothing else; tests/unit/test_hot_path.py says when it is not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.bench.bench_tools import lay_out, place
from tests.support.overlay import TOP, in_system
from tests.support.roots.mounts import run_quiet

PYTHON = "/usr/bin/python3"
HOT = TOP / "scripts/hot.txt"
HEAD = """\
# What ordinary runs of the tools call, with the tools whose runs do. Written by `python3 -m tests.bench.hot_runs`.
"""
# Tool -> command lines; those of the packages' maintainer scripts, of cloud-init and of people.
RUNS = {
    "useradd": ["newuser", "-m newuser", "-r -M -d /nonexistent -s /usr/sbin/nologin -c Daemon newuser"],
    "usermod": ["-aG video last", "-s /bin/dash last", "-L last", "-c Comment last"],
    "userdel": ["local", "-r local"],
    "groupadd": ["newgroup", "-r newgroup", "-g 4000 newgroup"],
    "groupmod": ["-n newname local"],
    "groupdel": ["spare"],
    "gpasswd": ["-a last video", "-d last spare"],
    "passwd": ["-l last", "-S last"],
    "chage": ["-M 90 last", "-l last"],
    "chsh": ["-s /bin/dash last"],
    "chfn": ["-f Name last"],
    "chpasswd": ["-e < last:$6$salt$hash"],
    "chgpasswd": ["-e < spare:$6$salt$hash"],
    "groupmems": ["-g spare -a local", "-g spare -l"],
    "pwck": ["-rq"],
    "grpck": ["-r"],
}
SPARE = {"group": b"spare:x:301000:last\n", "gshadow": b"spare:!::last\n"}
ACCOUNTS = "/mnt/tree"
BUILD = """
import sys
sys.path.insert(0, sys.argv[1])
from scripts.pack import Hot, write_pack
write_pack(sys.argv[2], sys.argv[2], Hot(""))
"""
# Writes what wakes, and the modules as they were loaded.
RECORDER = f"""
import posix, sys
def leave(status):
    for name in sys.modules:
        if name.startswith("accounts."):
            print("needs", name, file=sys.stderr)
    sys.stderr.flush()
    end(status)
end = posix._exit
posix._exit = leave
sys.path.insert(0, "{ACCOUNTS}")
import accounts
pack = sys.meta_path[0]
def wake(function, place):
    woken = pack.wake(function, place)
    print("needs", f"{{woken.__module__}}:{{woken.__qualname__}}", file=sys.stderr)
    return woken
def make(module, name):
    made = pack.make_class(module, name)
    print("needs", f"{{made.__module__}}:{{made.__qualname__}}", file=sys.stderr)
    return made
pack.given.update(__wake__=wake, __make__=make)
getattr(__import__("accounts.cli." + sys.argv[0], fromlist=["main"]), "main")()
"""


def record() -> dict[str, dict[str, set[str]]]:
    """Tool -> MODULE, MODULE:FUNCTION or MODULE:CLASS -> the runs that need it, of all of the tool's."""
    return in_system("", _record, enter=False)


def _record(root: str) -> dict[str, dict[str, set[str]]]:
    shutil.copytree(TOP / "accounts", f"{root}{ACCOUNTS}/accounts", ignore=shutil.ignore_patterns("__pycache__"))
    run_quiet(PYTHON, "-ISXno_debug_ranges", "-c", BUILD, str(TOP), f"{root}{ACCOUNTS}")
    nsswitch = (TOP / "nss-data/nsswitch.conf").read_bytes()
    os.chroot(root)
    os.chdir("/")
    os.makedirs("/usr/share/accounts", exist_ok=True)
    Path("/root/nsswitch.classic").write_text("passwd: files\ngroup: files\nshadow: files\ngshadow: files\n")
    Path("/usr/share/accounts/nsswitch.conf").write_bytes(nsswitch)
    files = lay_out(50)
    found: dict[str, dict[str, set[str]]] = {}
    for tool, lines in RUNS.items():
        needs = found[tool] = {}
        for line in lines:
            for stateless in (False, True):
                place(files, stateless)
                for name, row in SPARE.items():
                    with open(f"/etc/{name}", "ab") as file:
                        file.write(row)
                for need in _run(tool, line):
                    needs.setdefault(need, set()).add(f"{tool} {line}{' (stateless)' * stateless}")
    return found


def _run(tool: str, line: str) -> list[str]:
    words, _, text = line.partition("< ")
    result = subprocess.run(
        [PYTHON, "-ISBXutf8", "-c", f"import sys; sys.argv = {[tool, *words.split()]!r}\n{RECORDER}"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        input=text + "\n",
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise AssertionError(f"{tool} {line}: exit {result.returncode}\n{result.stderr}")
    needs = (line.split() for line in result.stderr.splitlines())
    # Whether audit(8) is told depends on who runs the test.
    return [words[1] for words in needs if words[:1] == ["needs"] and "audit" not in words[1]]


def format_list(found: dict[str, dict[str, set[str]]]) -> str:
    """The text of hot.txt. A module counts when all runs of the tool load it, all else when one needs it."""
    tools: dict[str, list[str]] = {}
    for tool, needs in found.items():
        all_runs = len(set().union(*needs.values()))
        for need, runs in needs.items():
            if ":" in need or len(runs) == all_runs:
                tools.setdefault(need, []).append(tool)
    return HEAD + "".join(f"{need} {' '.join(sorted(tools[need]))}\n" for need in sorted(tools))


if __name__ == "__main__":
    HOT.write_text(format_list(record()))
