# SPDX-License-Identifier: MIT
"""--root and --prefix beside the real tools: the same messages, statuses and files below a directory.

Left out are the differences of docs/compatibility.md: what the real tools take from the host under --prefix (skel,
shells), PAM in a root without PAM, and backups of files that did not change.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.overlay import REAL, in_overlay, run_tool
from tests.support.recordings import RELEASES

LONG = "ACCOUNTS_PREFIX" in os.environ
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/sh\nsys:x:1:1::/:/bin/false\n",
    "shadow": "root:*:19000:0:99999:7:::\nalice:hash:19000:0:99999:7:::\nsys:*:19000:0:99999:7:::\n",
    "group": "root:x:0:\nsys:x:1:\nalice:x:1000:\nvideo:x:44:\ndevs:x:1001:alice\n",
    "gshadow": "root:*::\nsys:*::\nalice:!::\nvideo:*::\ndevs:hash::alice\n",
    "subuid": "alice:100000:65536\n",
    "subgid": "alice:100000:65536\n",
    "login.defs": "UID_MIN 1000\nGID_MIN 1000\nUSERGROUPS_ENAB yes\nENCRYPT_METHOD SHA512\nMAIL_DIR /var/mail\n",
    "shells": "/bin/sh\n",
    "skel/.profile": "PATH=/bin\n",
}
BOTH = """
useradd OPTION bob
useradd OPTION -r -G video,devs svc
useradd OPTION -u 1000 bob
useradd OPTION -N -g devs bob
useradd OPTION -D
useradd OPTION -D -s /bin/sh
useradd OPTION alice
usermod OPTION -aG video alice
usermod OPTION -s /bin/sh alice
usermod OPTION -L alice
usermod OPTION -e 2030-01-01 -f 3 alice
usermod OPTION -G '' alice
usermod OPTION nosuch -L
userdel OPTION alice
userdel OPTION nosuch
groupadd OPTION crew
groupadd OPTION -r crew
groupadd OPTION -g 1001 crew
groupadd OPTION video
groupmod OPTION -n gang devs
groupmod OPTION -g 3000 devs
groupmod OPTION -p x devs
groupdel OPTION devs
groupdel OPTION alice
groupdel OPTION nosuch
"""
ROOT = """
useradd -R /t -m -s /bin/sh bob
useradd -R /t -P /sub bob
useradd -R /t -P /sub -m bob
useradd -R /t -R /t bob
groupadd -R /nosuch crew
groupadd -P nosuch crew
usermod -P /t -d /home/new -m alice
usermod -P /t -l al -u 2000 alice
gpasswd -Q /t -a alice video
gpasswd -Q /t -d alice devs
gpasswd -Q /t -r devs
chage -R /t -M 5 alice
chage -R /t -l alice
passwd -R /t -S alice
passwd -R /t -l alice
chpasswd -R /t -e
pwck -R /t -r
grpck -R /t -r
pwconv -R /t
pwunconv -R /t
grpunconv -R /t
"""
COMMANDS = [line.replace("OPTION", f"-{letter} /t") for line in BOTH.split("\n") for letter in "RP" if line]
COMMANDS += [line for line in ROOT.split("\n") if line]
# Since 4.14 these have a prefix, too, and passwd then asks no PAM.
LATER = """
passwd -P /t -S alice
passwd -P /t -Sa
passwd -P /t -l alice
passwd -P /t -u alice
passwd -P /t -d alice
passwd -P /t -e alice
passwd -P /t -x 9 -w 2 -i 3 alice
passwd -P /t alice
passwd -P /t -s alice
passwd -P /t -k alice
passwd -P /t -q -s sys
passwd -P /t -s nosuch
passwd -P t -l alice
passwd -P /nosuch -l alice
passwd -P /t -P /t -l alice
chage -P /t -l alice
chage -P /t -M 7 -E 2030-01-01 alice
chage -P /t -d 0 sys
chage -P /t -l nosuch
chage -P /t alice
chage -P t -l alice
chpasswd -P /t -e
chpasswd -P /t
chpasswd -P /t -c SHA256
chpasswd -P /nosuch -e
groupadd -P /t -U alice,sys crew
groupadd -P /t -U nosuch crew
groupmod -P /t -aU sys devs
usermod -P /t -rG devs alice
useradd -P /t --selinux-range s0 bob
"""
LATER_COMMANDS = [line for line in LATER.split("\n") if line]
STDIN = "alice:$6$salt$hash\n"
# A new password's salt; what it is of is in test_hash_method.py.
HASH = re.compile(r"\$(?:y|6|5)\$(?:j9T\$|rounds=\d+\$)?[./0-9A-Za-z]{8,22}\$[./0-9A-Za-z]{43,86}")


def _lay_out() -> None:
    shutil.rmtree("/t", ignore_errors=True)
    for directory in ("home/alice", "var/mail", "bin", "etc/default", "etc/skel", "sub/etc", "sub/home", "proc"):
        Path("/t", directory).mkdir(parents=True)
    os.chown("/t/home/alice", 1000, 1000)
    Path("/t/bin/sh").touch(0o755)
    for name, text in ETC.items():
        for place in ("/t/etc", "/t/sub/etc"):
            path = Path(place, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o640 if "shadow" in name else 0o644)


def _state() -> dict[str, tuple[int, int, int, str]]:
    found = {}
    for directory, directories, files in os.walk("/t"):
        for name in directories + [file for file in files if file != ".pwd.lock"]:
            path = os.path.join(directory, name)
            info = os.lstat(path)
            text = HASH.sub("HASH", Path(path).read_text()) if name in files else ""
            found[path] = (info.st_mode, info.st_uid, info.st_gid, text)
    return found


def _differences(commands: list[str]) -> list[str]:
    found = []
    for command in commands:
        tool, *arguments = shlex.split(command)
        outcomes = []
        ours = next(path for path in (f"/usr/sbin/{tool}", f"/usr/bin/{tool}") if os.path.exists(path))
        for program in (f"{REAL}/{tool}", ours):
            _lay_out()
            before = _state()
            result = run_tool(program, *arguments, stdin=STDIN)
            after = _state()
            # An unchanged file's backup is one more difference.
            for path in list(after):
                if path.endswith("-") and after[path] == before.get(path[:-1]) == after.get(path[:-1]):
                    del after[path]
            said = re.sub(r"(/etc/passwd)\.\d+", r"\1.PID", result.stderr)
            outcomes.append((result.returncode, result.stdout, said, after))
        if outcomes[0] != outcomes[1]:
            changes = outcomes[0][3].items() ^ outcomes[1][3].items()
            found.append(f"{command}:\nreal {outcomes[0][:3]}\nours {outcomes[1][:3]}\n{sorted(changes)}\n")
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_other_roots_as_the_real_tools() -> None:
    found = in_overlay(_differences, COMMANDS)
    assert not found, "\n".join(found)


def _delete() -> list[str]:
    left = []
    for program in (f"{REAL}/userdel", "/usr/sbin/userdel"):
        _lay_out()
        assert run_tool(program, "-P", "/t", "alice").returncode == 0
        left.append(Path("/t/etc/subuid").read_text() if Path("/t/etc/subuid").exists() else "")
    return left


def _compare(commands: list[str]) -> tuple[list[str], list[str]]:
    return _differences(commands), _delete()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
@pytest.mark.parametrize("release", RELEASES[1:] if LONG else RELEASES[2:])
def test_prefixes_of_later_releases(release: str) -> None:
    """ACCOUNTS_PREFIX=1: of all commands, not of those alone that have a prefix since 4.14, and of 4.17, too."""
    found, left = in_overlay(_compare, LATER_COMMANDS + (COMMANDS if LONG else []), release=release)
    # A mistake that is not copied: 4.20 asks this system's NSS, and not the prefix, whose the ranges are.
    assert left == ["alice:100000:65536\n" if release == "4.20" else "", ""]
    found = [text for text in found if release != "4.20" or not text.startswith("userdel -P /t alice:")]
    assert not found, "\n".join(found)


def _escape() -> tuple[int, bool]:
    _lay_out()
    shutil.rmtree("/t/sub")
    os.symlink("/etc", "/t/sub")
    host = Path("/etc/passwd").read_bytes()
    status = run_tool("/usr/sbin/useradd", "-R", "/t", "-P", "/sub", "bob").returncode
    return status, Path("/etc/passwd").read_bytes() == host


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_a_prefix_inside_a_root_does_not_lead_out_of_it() -> None:
    """The link means the root's own /etc, as after chroot(2), which holds no etc/ of its own."""
    assert in_overlay(_escape) == (1, True)
