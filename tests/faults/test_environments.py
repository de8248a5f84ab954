# SPDX-License-Identifier: MIT
"""Where system calls really are refused, faked or odd: the same commands by ours and by the real tools, same result.

In an overlay of this machine (tests.support.overlay), so that nothing that --prefix misses touches its files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.overlay import REAL, in_child, in_overlay, run_tool

NOBODY = 65534
ONE_ID = "a user namespace with one id"
TOP = Path(__file__).resolve().parents[2]
# The real tools where nothing of ours is installed.
DEBIAN = "/usr/sbin"
FILES = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nalice:x:1500:1500::/home/alice:/bin/sh\n",
    "shadow": "root:*:19000::::::\nalice:!:19000:0:99999:7:::\n",
    "group": "root:x:0:\nalice:x:1500:\nteam:x:1600:alice\n",
    "gshadow": "root:*::\nalice:!::\nteam:!::alice\n",
    "subuid": "alice:100000:65536\n",
    "subgid": "alice:100000:65536\n",
    "login.defs": "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\n",
}
DATABASES = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
# One after the other in one root; OPTION is --root or --prefix with it.
COMMANDS = """\
groupadd OPTION g2
useradd OPTION -m -l -u 1700 bob
useradd OPTION -r -M svc
usermod OPTION -aG team,g2 bob
usermod OPTION -s /bin/bash -L alice
usermod OPTION -m -d /home/robert bob
groupmod OPTION -n crew team
userdel OPTION -r bob
groupdel OPTION g2
groupdel OPTION nosuchgroup
"""
Files = dict[str, tuple[str, ...]]
# Of each command: (tool, status, stderr, what is there afterwards).
Answers = list[tuple[str, int, str, Files]]
Wrapper = Callable[[Path, list[str]], list[str]]
Preparation = Callable[[Path], None]


def make_owned_root(place: Path, owner: int) -> Path:
    """A root with FILES that belongs to a user."""
    root = place / "root"
    for directory in ("etc", "home", "var/mail", "usr", "bin", "proc"):
        (root / directory).mkdir(parents=True)
    (root / "bin/bash").touch(0o755)
    # Below a prefix the real useradd copies the host's (docs/compatibility.md).
    shutil.copytree("/etc/skel", root / "etc/skel")
    for name, text in FILES.items():
        path = root / "etc" / name
        path.write_text(text)
        path.chmod(0o640 if "shadow" in name else 0o644)
    for path in (place, *place.rglob("*")):
        os.chown(path, owner, owner)
        path.chmod(path.stat().st_mode | 0o555 if path.is_dir() else path.stat().st_mode)
    return root


def look(root: Path) -> Files:
    """What is in the account files, and what else there is of a tool's in etc and home.

    No backups: ours makes none of a file that does not change.
    """
    found = {name: (root / "etc" / name).read_text() for name in DATABASES}
    known = (*FILES, *(f"{name}-" for name in DATABASES), "skel", ".pwd.lock")
    names = [path.name for path in (root / "etc").iterdir() if path.name not in known]
    tree = [str(path.relative_to(root)) for path in (root / "home").rglob("*")]
    return {name: (text,) for name, text in found.items()} | {
        "names in etc": tuple(sorted(names)), "home": tuple(sorted(tree))
    }  # fmt: skip


def run_commands(directory: str, environment: Environment) -> Answers:
    """What the tools of a directory make of COMMANDS in a new root; of each in a new one, where changes are refused."""
    answers: Answers = []
    root = None
    for line in environment.commands.splitlines():
        if root is None or environment.refuses:
            root = make_owned_root(Path(tempfile.mkdtemp(dir="/srv")), environment.owner)
            environment.prepare(root)
        tool, *arguments = line.replace("OPTION", f"{environment.option} {root}").split()
        done = run_tool(*environment.wrap(root.parent, [f"{directory}/{tool}", *arguments]))
        # Below a prefix 4.13 names a mail spool without its last letter.
        stderr = done.stderr.replace("/var/mail/bo)", "/var/mail/bob)").replace(str(root), "ROOT")
        # The real useradd is silent about files of skel that it could not give away, and could not copy therefore.
        stderr = re.sub(r"useradd: warning: cannot copy /etc/skel to .*\n", "", stderr)
        stderr = re.sub(r"\d{2,}", "N", stderr)
        answers.append((tool, done.returncode, stderr, look(root)))
    return answers


def as_nobody(*before: str) -> Wrapper:
    """Wraps a command to be run by nobody, behind others."""
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return lambda place, command: [*drop, *(part.replace("PLACE", str(place)) for part in before), *command]


def shell(command: str) -> Preparation:
    """A preparation of a root by shell commands; $R is the root."""

    def prepare(root: Path) -> None:
        subprocess.run(["sh", "-ec", command], env={**os.environ, "R": str(root)}, check=True)

    return prepare


def nothing(_: Path) -> None:
    """No preparation."""


@dataclass(frozen=True)
class Environment:
    """owner: of the root. option: -P or -R. refuses: whether the account files cannot be changed."""

    wrap: Wrapper = lambda _, command: command
    prepare: Preparation = nothing
    owner: int = 0
    option: str = "-P"
    refuses: bool = False
    commands: str = COMMANDS


def library() -> str:
    """The directory of pseudo's library; "" without one."""
    return next((str(path.parent) for path in Path("/usr/lib").glob("*/pseudo/libpseudo.so")), "")


def pseudo(place: Path, command: list[str]) -> list[str]:
    """The command by nobody under a pseudo whose state is in place."""
    settings = ("PREFIX=/usr", f"LIBDIR={library()}", f"LOCALSTATEDIR={place}/state")
    return as_nobody("env", *(f"PSEUDO_{setting}" for setting in settings), "pseudo")(place, command)


def known_to_pseudo(root: Path) -> None:
    """As in OpenEmbedded's do_rootfs, where all is made under pseudo."""
    assert run_tool(*pseudo(root.parent, ["chown", "-R", "root:root", str(root)])).returncode == 0


OVER_EACH = """\
cp -a "$R" "$R.old"
for file in passwd group shadow; do mount --bind "$R.old/etc/$file" "$R/etc/$file"; done
"""
READ_ONLY = 'mount --bind "$R/etc$F" "$R/etc$F"; mount -o remount,bind,ro "$R/etc$F"'
TMPFS = 'cp -a "$R" "$R.old"; mount -t tmpfs none "$R"; cp -a "$R.old/." "$R"; '
OVERLAY = """\
mkdir "$R.upper"; mount -t tmpfs none "$R.upper"; mkdir "$R.upper/u" "$R.upper/w"
mount -t overlay none -o "lowerdir=$R,upperdir=$R.upper/u,workdir=$R.upper/w" "$R"
"""
ENVIRONMENTS = {
    "pseudo, files it does not know": Environment(pseudo, owner=NOBODY),
    "pseudo, files it knows": Environment(pseudo, known_to_pseudo, NOBODY),
    "fakeroot": Environment(as_nobody("fakeroot", "--"), owner=NOBODY),
    "fakechroot and fakeroot": Environment(as_nobody("fakechroot", "fakeroot", "--"), owner=NOBODY),
    "proot": Environment(as_nobody("proot", "-0"), owner=NOBODY),
    "tmpfs": Environment(prepare=shell(TMPFS)),
    "tmpfs, by --root": Environment(prepare=shell(TMPFS + 'mount --bind /proc "$R/proc"'), option="-R"),
    "overlayfs": Environment(prepare=shell(OVERLAY)),
    "FUSE": Environment(prepare=shell('bindfs "$R" "$R"')),
    "a file mounted over each": Environment(prepare=shell(OVER_EACH), refuses=True),
    "group mounted read-only": Environment(prepare=shell("F=/group; " + READ_ONLY), refuses=True),
    "a file mounted over a backup": Environment(
        prepare=shell('touch "$R.old" "$R/etc/group-"; mount --bind "$R.old" "$R/etc/group-"')
    ),
    "group immutable": Environment(prepare=shell(TMPFS + 'chattr +i "$R/etc/group"'), refuses=True),
    # The real tools try for 15 s each.
    "etc read-only": Environment(prepare=shell("F=; " + READ_ONLY), refuses=True, commands="groupadd OPTION g2\n"),
}


WAITING = ("etc read-only",)


def run_all() -> dict[str, tuple[Answers, Answers, Files]]:
    """Of each environment the answers of the real tools and of ours, and what was there before. In an overlay."""
    # What waits for a lock does so beside the others; each has roots of its own.
    with ThreadPoolExecutor(2 * len(WAITING)) as pool:
        waiting = {
            name: [pool.submit(run_commands, directory, ENVIRONMENTS[name]) for directory in (REAL, "/usr/sbin")]
            for name in WAITING
        }
        found = {}
        for name, environment in ENVIRONMENTS.items():
            before = look(make_owned_root(Path(tempfile.mkdtemp(dir="/srv")), 0))
            if name not in WAITING and (library() or "pseudo" not in name):
                found[name] = (run_commands(REAL, environment), run_commands("/usr/sbin", environment), before)
        for name, (real, ours) in waiting.items():
            found[name] = (real.result(), ours.result(), before)
        return found


def run_without_privilege() -> tuple[Answers, Answers, Files]:
    """As run_all(), by nobody who is root of a user namespace with one id. Not in a chroot, where there is none."""
    environment = Environment(as_nobody("unshare", "-r"), owner=NOBODY)
    run_tool("mount", "-t", "tmpfs", "none", "/srv")
    # Nobody may have no way to where the checkout is.
    Path("/srv/checkout").mkdir()
    assert run_tool("mount", "--bind", str(TOP), "/srv/checkout").returncode == 0
    before = look(make_owned_root(Path(tempfile.mkdtemp(dir="/srv")), 0))
    return run_commands(DEBIAN, environment), run_commands("/srv/checkout/shims", environment), before


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[Answers, Answers, Files]]:
    """All in one overlay."""
    result: dict[str, tuple[Answers, Answers, Files]] = in_overlay(run_all)
    result[ONE_ID] = in_child(run_without_privilege)
    return result


@pytest.mark.parametrize("name", [*ENVIRONMENTS, ONE_ID])
def test_the_same_as_the_real_tools(answers: dict[str, tuple[Answers, Answers, Files]], name: str) -> None:
    if name not in answers:
        pytest.skip("Debian 13 has no pseudo")
    theirs, ours, before = answers[name]
    for real, mine in zip(theirs, ours, strict=True):
        assert mine[:3] == real[:3]
        if mine[1] == 0:
            assert mine[3] == real[3]
        elif name in ENVIRONMENTS and ENVIRONMENTS[name].refuses:
            assert mine[3] == before  # the real tools may have written some files, or backups
