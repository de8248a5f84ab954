# SPDX-License-Identifier: MIT
"""What default/useradd has since 4.14 and 4.20, and the options that came with it, beside the real tools."""

from __future__ import annotations

import pytest

from tests.replay.compare import judge_classic
from tests.replay.run import as_release
from tests.support.recordings import RELEASES, Case
from tests.support.state import Command, File, Node, State
from tests.support.worker import SOURCE, Tools, debian, run_all

PASSWD = b"root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n"
SKEL = {
    "/srv/skel": Node("d", 0o755, 0, 0), "/srv/skel/.vendor": Node("f", 0o640, 0, 0, 10),
    # Also in the administrator's, which counts.
    "/srv/skel/.profile": Node("f", 0o644, 0, 0, 11), "/srv/skel/sub": Node("d", 0o750, 0, 0),
    "/srv/skel/sub/file": Node("f", 0o600, 0, 0, 12), "/srv/skel/link": Node("l", 0o777, 0, 0, 0, "/srv/skel/sub"),
    "/srv/own": Node("d", 0o755, 0, 0), "/srv/own/sub": Node("d", 0o711, 0, 0),
    "/srv/own/sub/mine": Node("f", 0o600, 0, 0, 13), "/srv/own/link": Node("l", 0o777, 0, 0, 0, "elsewhere"),
}  # fmt: skip
# (default/useradd, arguments)
RUNS = [
    ("GROUPS=video,audio\n", "useradd eve"),
    ("GROUPS=video,audio\n", "useradd -r eve"),
    ("GROUPS=audio\n", "useradd -G video eve"),
    ("GROUPS=nosuch,video\n", "useradd eve"),
    ("GROUPS=\n", "useradd eve"),
    ("GROUPS=44\nUSRSKEL=/srv/skel\n", "useradd -D"),
    ("USRSKEL=/srv/skel\n", "useradd -m eve"),
    ("USRSKEL=/srv/none\n", "useradd -m eve"),
    ("USRSKEL=/srv/skel\n", "useradd -m -k /etc/skel eve"),
    ("USRSKEL=/srv/skel\n", "useradd -m -k /srv/skel eve"),
    ("USRSKEL=/srv/skel\n", "useradd -m -k /srv/own eve"),
    ("", "useradd -m --btrfs-subvolume-home eve"),
    ("BTRFS_SUBVOLUME_HOME=yes\n", "useradd -m eve"),
    ("BTRFS_SUBVOLUME_HOME=yes\nBTRFS_SUBVOLUME_SYSTEM=yes\n", "useradd -r -m eve"),
    ("BTRFS_SUBVOLUME_HOME=maybe\n", "useradd -D"),
    ("LOG_INIT=no\nBTRFS_SUBVOLUME_HOME=\n", "useradd -D"),
    ("", "useradd --selinux-range s0 eve"),
    ("", "useradd -Z user_u --selinux-range s0 eve"),
    ("", "usermod --selinux-range s0 bob"),
    ("", "usermod -Z user_u bob"),
]


def state(defaults: str) -> State:
    """A small machine with this default/useradd."""
    etc = {
        "passwd": File(PASSWD), "group": File(b"root:x:0:\nshadow:x:42:\nvideo:x:44:\naudio:x:29:\nbob:x:1000:\n"),
        "shadow": File(b"root:*:19000:0:99999:7:::\nbob:!:19000:0:99999:7:::\n", 0o640, 0, 42),
        "gshadow": File(b"root:*::\nshadow:*::\nvideo:!::\naudio:!::\nbob:!::\n", 0o640, 0, 42),
        "login.defs": File(b"UID_MIN 1000\nUID_MAX 60000\nUSERGROUPS_ENAB yes\n"),
    }  # fmt: skip
    return State(etc | ({"default/useradd": File(defaults.encode())} if defaults else {}), tree=dict(SKEL))


@pytest.mark.parametrize("release", RELEASES)
def test_as_the_real_useradd(release: str) -> None:
    def jobs(tools: Tools) -> list[tuple[int, State, str, Command]]:
        found = []
        for place, (defaults, line) in enumerate(RUNS):
            tool, *words = line.split()
            command = Command(tool, [word.encode() for word in words], day=20000)
            told = as_release(command, release) if tools is SOURCE else command
            found.append((place, state(defaults), tools.path(tool), told))
        return found

    real_tools = debian(release)
    real = dict(run_all(jobs(real_tools), processes=1, system=real_tools.system))
    ours = dict(run_all(jobs(SOURCE), processes=1, package=SOURCE.package))
    faults = []
    for place, before, _, command in jobs(real_tools):
        one = real[place]
        assert one.exit is not None
        case = Case("run", command, before, one.after, one.exit, one.stdout, one.stderr, release)
        verdict = judge_classic(case, before, ours[place])
        faults += [f"{RUNS[place]}: {fault}" for fault in verdict.faults]
    assert not faults, "\n".join(faults)
