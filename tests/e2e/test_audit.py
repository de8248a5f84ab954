# SPDX-License-Identifier: MIT
"""The records that our tools send to the kernel's audit are those of the real ones: type, text and order."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.overlay import DATABASES, REAL, in_overlay
from tests.support.recordings import RELEASES

STRACE = ("strace", "-f", "-e", "trace=sendto", "-e", "signal=none", "-s", "600", "-xx")
RECORD = re.compile(r'nlmsg_type=(\w+).*?}, "((?:\\x[0-9a-f]{2})*)"')
# What differs because it is another program.
OWN_WORDS = re.compile(r" (?:exe|hostname|terminal)=\S+")
# userdel has put name and value the wrong way round since 4.17, where a group's name could end the record: not copied.
SWAPPED = re.compile(r'(op=deleting-user-from-shadow-group) (\S+)="grp"')
# Everything that PAM does on the way is PAM's to audit.
COMMANDS = """
useradd -m alice
useradd -m -G video,audio bob
useradd -m -d /home/ghost -N -g users ghost
useradd alice
useradd -u 0 carl
useradd -K UID_MIN=7 -K UID_MAX=7 carl
useradd -m -d /proc/carl eve
useradd -D -s /bin/sh
groupadd devs
groupadd devs
useradd -U devs
groupadd -U alice,nosuch team
groupadd -K GID_MIN=1 -K GID_MAX=1 team
groupadd -U alice,bob team
gpasswd -a bob devs
gpasswd -d bob devs
gpasswd -A bob -M alice,bob devs
gpasswd -r devs
gpasswd -R devs
gpasswd -a nosuch devs
usermod -L -e 2030-01-01 -f 5 -c x -u 2345 -d /home/a2 -m -g team -s /bin/sh -aG devs,video alice
usermod -L -s /bin/dash alice
usermod -p x alice
usermod -L alice
usermod -U alice
usermod -G audio,team alice
usermod -d /home/ghost -m alice
touch /var/mail/bob && chown bob /var/mail/bob && usermod -l robert -u 2346 -G users,devs bob
usermod -g team robert
usermod -l robert alice
usermod -s /bin/sh nosuch
groupmod -n devz -g 4000 -p x devs
groupmod -n devs devz
groupmod -aU alice devs
groupmod -U nosuch devs
groupmod -n root devs
chage -m 1 -M 40 -W 3 -I 4 -E 2030-01-01 -d 2020-01-01 alice
chage -l alice
chage -M 1 nosuch
printf '1\\n2\\n2020-01-01\\n3\\n4\\n2030-01-01\\n' | chage alice
printf 'x\\n' | chage alice
echo alice:x | chpasswd -e
echo devs:x | chgpasswd -e
passwd -l alice
passwd -u alice
passwd -e alice
passwd -x 10 -w 3 -i 4 alice
passwd -d alice
groupadd -g 0 zero
groupadd twice
sed -i /^twice:/p /etc/group && groupdel twice
gpasswd -r twice
groupmod -g 4001 twice
groupdel -f team
groupdel devs
groupdel nosuch
groupdel root
userdel nosuch
userdel 'a"b'
chown root /home/ghost && userdel -r ghost
chown root /var/mail/robert && userdel -r robert
userdel -r alice
userdel root
"""

# In Debian 13 newgrp is util-linux's, which tells nothing.
OF_4_13 = """
newgrp
newgrp - audio
newgrp nosuch
newgrp 'a;b'
newgrp -- audio
SHELL=/nosuch newgrp audio
sg audio true
sg nosuch -c true
sg ''
"""


def records(root: str, path: str, commands: str) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(command, standard error, [(type, text), ...]) of each command with the tools in path."""
    trace, saved = Path(root, "run/trace"), Path(root, "run/saved")
    saved.mkdir(exist_ok=True)
    files = [f"etc/{name}" for name in (*DATABASES, "subuid", "subgid", "default/useradd")]
    for file in files:
        copy = saved / file.replace("/", "_")
        if copy.exists():
            shutil.copy2(copy, f"{root}/{file}")
        else:
            shutil.copy2(f"{root}/{file}", copy)
    for place in ("home", "var/mail"):
        subprocess.run(["mount", "-t", "tmpfs", "none", f"{root}/{place}"], check=True)
    found = []
    for command in commands.strip().splitlines():
        done = subprocess.run(
            [*STRACE, "-o", trace, "chroot", root, "sh", "-c", command],
            env={"PATH": f"{path}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
        sent = [
            (kind, OWN_WORDS.sub("", bytes.fromhex(text.replace("\\x", "")).decode().rstrip("\0")))
            for kind, text in RECORD.findall(trace.read_text())
        ]
        messages = re.sub(r"process \d+", "process N", done.stderr)
        found.append((command, messages, [record for record in sent if not record[1].startswith("op=PAM:")]))
    for place in ("home", "var/mail"):
        subprocess.run(["umount", f"{root}/{place}"], check=True)
    return found


def compare(root: str, commands: str) -> tuple[object, object]:
    """Both sides' records, on a machine where auditd runs."""
    Path(root, "run/auditd.pid").write_text("1\n")
    return records(root, REAL, commands), records(root, "/usr/sbin", commands)


@pytest.mark.parametrize("release", RELEASES)
def test_records_are_those_of_the_real_tools(release: str) -> None:
    commands = COMMANDS + OF_4_13 * (release == "4.13")
    real, ours = in_overlay(compare, commands, release=release, enter=False)
    assert sum(len(sent) for _, _, sent in real) > 100
    swapped = 0
    for _, _, sent in real:
        for place, (kind, text) in enumerate(sent):
            sent[place] = (kind, SWAPPED.sub(r'\1 grp="\2"', text))
            swapped += sent[place][1] != text
    assert swapped == (0 if release == "4.13" else 2)
    assert ours == real
