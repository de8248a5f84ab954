# SPDX-License-Identifier: MIT
"""dpkg killed in each of its scripts and while it unpacks: there always is a useradd that works.

Afterwards dpkg does the rest. Each kill is one of a root of its own, so that all begin alike.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.packages.rootdir import TOOLS, TOP, PackagedRoot, root_with
from tests.packages.versions import PACKAGES, TRACED, TRAP, repack

ALL = "ACCOUNTS_KILLS" in os.environ
# The tools whose rounds of the loop in tools-links are killed, and which of dpkg's calls, where not all are.
ROUNDS = TOOLS if ALL else ["useradd", "passwd"]
STEP = 1 if ALL else 25
# What comes after dpkg is called again after each so-manieth of these calls.
REPAIRED = 100
# Every tool is there, and they work, those that load libraries of others, too.
CHECK = """\
for tool in $(cat /debs/there); do [ -x "$(command -v $tool)" ] || { echo "no $tool"; exit 9; }; done
useradd probe && echo probe:Geheim-0815 | chpasswd && passwd -S root >/dev/null && userdel probe
"""
# What is the same at the end, whatever happened before.
STATE = r"""
find /etc /usr -xdev ! -path '*/__pycache__*' \( -type d -printf 'd %m %p\n' -o -printf '%y %m %p %l\n' \) | sort
dpkg-divert --list
dpkg-query -W -f '${Package} ${Version} ${Status}\n'
cat /etc/nsswitch.conf /etc/pam.d/common-password
"""


@pytest.fixture(scope="module")
def versions(release: str, debs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackagedRoot]:
    """A root with two versions in /debs/1 and 2 whose scripts can be killed at a command, and which do not mix."""
    place = tmp_path_factory.mktemp(f"killed{release}")
    root = root_with(debs, release, place)
    files = {"traced": TRACED, "trap": TRAP, "count": "0\n", "check": CHECK, "state": STATE}
    for name, text in files.items():
        (root.path / "debs" / name).write_text(text)
        (root.path / "debs" / name).chmod(0o755)
    # Debian 13 has no groupmems.
    root.run(f"for tool in {' '.join(TOOLS)}; do ! command -v $tool >/dev/null || echo $tool; done >/debs/there")
    for version in ("1", "2"):
        repack(root, version, traced=True, stamped=True)
    # Byte code takes seconds each time and is no part of this.
    root.run("ln -sf /bin/true /usr/bin/py3compile; sh -eu /debs/check")
    yield root
    shutil.rmtree(place)


def for_each(points: Iterable[int], kill: Callable[[int], str]) -> list[str]:
    """What is wrong after a kill at each of the points."""
    with ThreadPoolExecutor(4) as pool:
        wrong = []
        for point, said in zip(points, pool.map(kill, points), strict=True):
            if said:
                wrong.append(f"{point}: {said}")
                print(wrong[-1], flush=True)
        return wrong


def with_names(command: str) -> str:
    """ALL stands for our packages, those that depend on others first."""
    return command.replace("ALL", " ".join(reversed(PACKAGES)))


RESET = "echo 0 >/debs/count; : >/debs/lines"
INSTALLED = "dpkg -i /debs/1/*.deb"
# One that was killed before the rename of the last tool in whose place it puts ours.
HALF_INSTALLED = (
    f"dpkg -P ALL; {RESET}; KILL_AT=$(awk '$4 == \"useradd\" {{ before = n; n = $1 }} END {{ print before }}' "
    f"/debs/installation) setsid -w {INSTALLED} || true"
)
# Tools of `make install` in the places of two of Debian's, which are aside, as if by packaging/debian/divert.
MADE = """\
for path in /usr/sbin/useradd /usr/bin/passwd; do
    dpkg-divert --local --rename --divert $path.distrib --add $path
    sed 's|__file__.rpartition("/").0. + "/.."|"/root/tree"|' /root/tree/shims/${path##*/} >$path; chmod 755 $path
done
"""
# Command before that, and command.
ACTIONS = {
    "install": ("dpkg -P ALL", "dpkg -i /debs/1/*.deb"),
    "upgrade": (INSTALLED, "dpkg -i /debs/2/*.deb"),
    "remove": (INSTALLED, "dpkg -r ALL"),
    "purge": (f"{INSTALLED}; dpkg -r ALL", "dpkg -P ALL"),
    "undo": (HALF_INSTALLED, "dpkg -r ALL"),
    "redo": (HALF_INSTALLED, "dpkg --configure -a"),
    "take over": (f"dpkg -P ALL; {MADE}", "dpkg -i /debs/1/*.deb"),
}
# Killed at a command of a script. What is printed is wrong.
AT_COMMAND = """\
cd /debs; echo 0 >count; : >lines
KILL_AT={point} setsid -w {action} >log 2>&1 </dev/null && status=0 || status=$?
head -n {point} reference | cmp - lines || exit 0
[ $status = 137 ] || echo "not killed: $status"
"""
# At a system call of dpkg.
AT_CALL = """\
cd /root/tree; said=$(python3 -m tests.packages.killed {point} {action} 2>/debs/log </dev/null | tail -n 1)
[ "$said" = killed ] || echo "not killed: $said"
cd /debs
"""
THERE = """\
sh -eu check >log 2>&1 || {{ tail -n 5 log; exit 0; }}
"""
THEN = """\
dpkg --configure -a >log 2>&1 </dev/null || true
{again} >log 2>&1 </dev/null || {{ echo again; tail log; exit 0; }}
sh state >log; diff expected log || true
"""


@pytest.fixture(scope="module")
def reached(versions: PackagedRoot) -> dict[str, set[int]]:
    """Script -> lines that were executed, and killed. To be filled."""
    return {}


@pytest.mark.parametrize("name", ACTIONS)
def test_at_each_command_of_a_script(versions: PackagedRoot, reached: dict[str, set[int]], name: str) -> None:
    """Of the loop over the tools those of two rounds, with ACCOUNTS_KILLS of all."""
    before, action = map(with_names, ACTIONS[name])
    versions.run(f"({before}) >/dev/null 2>&1")
    run = f"{RESET}; KILL_AT=none {action} >/debs/log 2>&1 </dev/null; cat /debs/lines"
    reference = versions.try_out(run)
    assert reference == versions.try_out(run)
    expected = versions.try_out(f"sh -eu /debs/check; {action} >/debs/log 2>&1; sh /debs/state; sh -eu /debs/check")
    (versions.path / "debs/reference").write_text(reference)
    if name == "install":
        (versions.path / "debs/installation").write_text(reference)
    (versions.path / "debs/expected").write_text(expected)
    lines = [line.split(" ") for line in reference.splitlines()]
    for _, script, line, _ in lines:
        reached.setdefault(script, set()).add(int(line))
    killed = {(script, line) for _, script, line, tool in lines if not tool or tool in ROUNDS}
    points = []
    for number, script, line, tool in lines:
        # Each line once at least.
        if not tool or tool in ROUNDS or (script, line) not in killed:
            points.append(int(number))
            killed.add((script, line))
    again = action
    wrong = for_each(
        points,
        lambda point: versions.try_out((AT_COMMAND + THERE + THEN).format(point=point, action=action, again=again)),
    )
    print(f"{name}: killed at {len(points)} of {len(lines)} commands, {len(wrong)} are wrong")
    assert wrong == []


# Command before, command that is killed, command that does the rest.
UNPACKED = {
    "first": ("/root/tree/packaging/debian/divert --undo /; dpkg -P ALL", "dpkg --unpack /debs/1/*.deb", INSTALLED),
    "another": (INSTALLED, "dpkg --unpack /debs/2/*.deb", "dpkg -i /debs/2/*.deb"),
    "removed": (INSTALLED, "dpkg -r ALL", "dpkg -r ALL"),
}


@pytest.mark.parametrize("name", UNPACKED)
def test_at_each_call_that_names_a_file(versions: PackagedRoot, name: str) -> None:
    """Of dpkg itself: while another version comes in place, the library never is a mixture.

    Some calls; with ACCOUNTS_KILLS all.
    """
    before, action, again = map(with_names, UNPACKED[name])
    versions.run(f"({before}) >/dev/null 2>&1")
    said = versions.try_out(f"cd /root/tree; python3 -m tests.packages.killed -1 {action} 2>&1 </dev/null")
    calls = int(said.split()[-1])
    expected = versions.try_out(f"sh -eu /debs/check; {again} >/debs/log 2>&1; sh /debs/state; sh -eu /debs/check")
    (versions.path / "debs/expected").write_text(expected)
    points = range(0, calls, STEP)

    def kill(point: int) -> str:
        script = AT_CALL + THERE + THEN * (point % REPAIRED == 0)
        return versions.try_out(script.format(point=point, action=action, again=again))

    wrong = for_each(points, kill)
    print(f"{name}: killed at {len(points)} of {calls} calls, {len(wrong)} are wrong")
    assert wrong == []


# How lines begin that none of the actions executes -> why.
NOT_EXECUTED = {
    "stateless-accounts.preinst: { rm -rf previous/*; cp -a": "files can have second names",
    "libnss-altfiles.prerm: echo": "root is in /etc/passwd (test_debian.py)",
    "libnss-altfiles.prerm: exit 1": "root is in /etc/passwd",
    'tools-links: echo "tools-links: $path is diverted by': "nobody else has diverted a tool (test_debian.py)",
    "tools-links: *) false": "nobody else has diverted a tool",
    "tools-links: continue": "nobody else has diverted a tool",
    'tools-links: echo "tools-links: dpkg has to run': "there is no DPKG_ROOT",
    "tools-links: exit 1": "there is no DPKG_ROOT",
    "stateless-accounts.postinst: pypy3compile": "there is no pypy",
    "stateless-accounts.postinst: systemctl daemon-reload": "no systemd runs (test_debian_booted.py)",
    "stateless-accounts.postinst: if ! command -v policy-rc.d": "no systemd runs",
    "stateless-accounts.postinst: systemctl start": "no systemd runs",
    "stateless-accounts.postinst: systemctl try-restart": "no systemd runs",
    "stateless-accounts.prerm: systemctl stop": "no systemd runs",
    "stateless-accounts.prerm: dpkg -L": "there is py3clean",
    "stateless-accounts.prerm: find": "there is py3clean",
    "stateless-accounts.postrm: systemctl": "no systemd runs",
}
# Debian 12 has all the tools, so none goes without one of Debian's in its place.
NOT_EXECUTED_12 = {'tools-links: rm -f "$1"'}
# Lines of a shell script that are no command; heads of functions are these alone.
GRAMMAR = re.compile(r"(#.*|then|else|fi|do|done|esac|\}|;;|\w+\(\) \{)?")


def commands_of(script: str) -> Iterator[tuple[range, str]]:
    """The lines of each command, and its text."""
    first, text = 1, ""
    for number, line in enumerate(script.splitlines(), 1):
        text += line.strip()
        if text.endswith("\\"):
            text = text.removesuffix("\\")
            continue
        if not GRAMMAR.fullmatch(text):
            yield range(first, number + 1), text
        first, text = number + 1, ""


def test_no_other_line_of_a_script_is_executed(
    release: str, versions: PackagedRoot, reached: dict[str, set[int]]
) -> None:
    """Each that is executed was killed above."""
    if len(reached) == 0:
        pytest.skip("none of the tests above has run")
    versions.run("mkdir /debs/control; cd /debs/1; for deb in *.deb; do dpkg-deb -e $deb /debs/control/$deb; done")
    left = set()
    for path in (versions.path / "debs/control").rglob("*"):
        if path.name in ("preinst", "postinst", "prerm", "postrm"):
            script = f"{path.parent.name.partition('_')[0]}.{path.name}"
            for lines, text in commands_of(path.read_text()):
                if reached.get(script, set()).isdisjoint(lines):
                    left.add(f"{script}: {text}")
    tools_links = (TOP / "packaging/debian/source/tools-links").read_text()
    for lines, text in commands_of(tools_links):
        if reached["tools-links"].isdisjoint(lines):
            left.add(f"tools-links: {text}")
    expected = NOT_EXECUTED.keys() | (NOT_EXECUTED_12 if release == "12" else set())
    known = {line: [start for start in expected if line.startswith(start)] for line in left}
    assert [line for line, starts in known.items() if not starts] == []
    assert expected == {start for starts in known.values() for start in starts}
