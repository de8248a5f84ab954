# SPDX-License-Identifier: MIT
"""The main job on this machine's own accounts, in a throw-away root: `make demo`.

Makes an overlay of this machine on a tmpfs in a mount namespace of its own, installs the tools and the NSS
module into it (--installed: takes those that the machine's packages have put there), moves the account files
from its /etc to its /usr/lib, and works on that as an administrator would. Every answer is compared with the
expected one; the first wrong one ends the demo with status 1. Nothing outside the namespace is changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, TOP)

from tests.support.roots.mounts import SetupFailed, overlay_root, run_quiet, unmount  # noqa: E402

DATABASES = ("passwd", "group", "shadow", "gshadow")
SHOW_DELTA = "cd /etc && grep -sH . passwd group shadow gshadow subuid subgid accounts/base; true"
LOCAL_FILES = [f"/etc/{name}{tail}" for name in (*DATABASES, "subuid", "subgid") for tail in ("", "-")]


class Wrong(Exception):
    """An answer was not the expected one."""


class Demo:
    """Runs command lines in the root and holds them to what they must print."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.count = 0

    def show(self, command: str, expected: str | re.Pattern[str] | None, status: int = 0) -> str:
        """Print a command and its output. expected: the exact output, a pattern to match all of it, or None."""
        result = subprocess.run(
            ["chroot", self.root, "/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root", "TERM": "dumb"},
        )  # fmt: skip
        output = result.stdout
        print(f"# {command}")
        print("".join(f"  {line}\n" for line in output.splitlines()), end="", flush=True)
        if result.returncode != status:
            raise Wrong(f"exit status {result.returncode}, not {status}")
        if isinstance(expected, str) and output != expected:
            raise Wrong(f"expected:\n{expected}")
        if isinstance(expected, re.Pattern) and not expected.fullmatch(output):
            raise Wrong(f"expected to match: {expected.pattern}")
        self.count += 1
        return output

    def say(self, text: str) -> None:
        """A heading."""
        print(f"\n== {text}", flush=True)


def rows(text: str) -> dict[str, list[str]]:
    """name -> fields of an account file."""
    return {line.split(":", 1)[0]: line.split(":") for line in text.splitlines() if ":" in line}


def demonstrate(demo: Demo) -> None:
    """The main job, command by command."""
    image = {}
    for name in DATABASES:
        with open(f"/etc/{name}") as file:
            image[name] = file.read()
    passwd, group = rows(image["passwd"]), rows(image["group"])
    user = next(name for name in ("www-data", "games", "daemon") if name in passwd)
    first = next(name for name in ("video", "audio", "cdrom") if name in group and not group[name][3])
    second = next(name for name in ("plugdev", "dialout", "users") if name in group and not group[name][3])
    human = 1000 + max((int(row[2]) - 999 for row in passwd.values() if 1000 <= int(row[2]) <= 60000), default=0)
    home = f"{human}:{human}::/home/alice:/bin/sh"

    demo.say("The image layer: this machine's own accounts, moved to /usr/lib; /etc has no account file left")
    demo.show("ls /etc/passwd /etc/group /etc/shadow /etc/gshadow 2>/dev/null | wc -l", "0\n")
    demo.show("wc -l < /usr/lib/passwd", f"{image['passwd'].count(chr(10))}\n")
    demo.show(f"getent passwd {user}", ":".join(passwd[user]) + "\n")
    demo.show("grep ^group: /etc/nsswitch.conf", re.compile(r"group: +files \[SUCCESS=merge\] altfiles\n"))

    demo.say("A new user and a new group")
    demo.show("useradd -m -s /bin/sh alice", "")
    demo.show("getent passwd alice", f"alice:x:{home}\n")
    demo.show("groupadd devs", "")
    demo.show("getent group devs", f"devs:x:{human + 1}:\n")

    demo.say("Members of groups that only the image has")
    demo.show(f"usermod -aG {first},devs alice", "")
    demo.show(f"gpasswd -a alice {second}", f"Adding user alice to group {second}\n")
    demo.show(f"getent group {first}", f"{first}:x:{group[first][2]}:alice\n")
    # id(1) lists groups in the order in which NSS meets them: the local rows as they were written.
    groups = [f"{human + 1}(devs)", f"{group[first][2]}({first})", f"{group[second][2]}({second})"]
    demo.show("id alice", f"uid={human}(alice) gid={human}(alice) groups={human}(alice),{','.join(groups)}\n")
    demo.show("su alice -c 'id -un && echo hello > ~/file && ls ~'", "alice\nfile\n")

    demo.say(f"Lock and unlock {user}, whose password row is in the image")
    locked = rows(image["shadow"])[user]
    demo.show(f"usermod -L {user}", "")
    demo.show(f"getent shadow {user}", ":".join([user, "!" + locked[1], *locked[2:]]) + "\n")

    demo.say("Where NSS cannot leave out the image's rows (HIDE=no), what no local row can say is refused in one line")
    demo.show("mkdir -p /etc/accounts && echo HIDE=no > /etc/accounts/accounts.conf", "")
    demo.show(
        f"userdel {user}",
        f"userdel: user '{user}' comes from the read-only image, only a new image can remove it; "
        f"to lock it: usermod -L -e 1 {user}\n",
        status=1,
    )
    demo.show(f"useradd {user}", f"useradd: user '{user}' already exists\n", status=9)
    demo.show("rm /etc/accounts/accounts.conf", "")

    demo.say("The delta: all that /etc knows of accounts")
    delta = demo.show(SHOW_DELTA, None)
    lines = delta.splitlines()
    touched = ("alice", "devs", user, first, second)
    if len(lines) > 16 or not all(any(f":{name}:" in line for name in touched) for line in lines):
        raise Wrong("the delta holds more than these changes")

    demo.say("An update: the next image has a new service user and a new shell; the delta stays")
    with open(f"{demo.root}/usr/lib/passwd", "a") as file:
        file.write("newsvc:x:990:990:New service:/run/newsvc:/usr/sbin/nologin\n")
    with open(f"{demo.root}/usr/lib/group", "a") as file:
        file.write("newsvc:x:990:\n")
    before = delta
    demo.show("id newsvc", "uid=990(newsvc) gid=990(newsvc) groups=990(newsvc)\n")
    demo.show(f"id -nG alice | tr ' ' '\\n' | grep -c -e {first} -e {second} -e devs", "3\n")
    demo.show(SHOW_DELTA, before)

    demo.say(f"Our module can: {user} goes, another one of that name comes, and the next image changes neither")
    demo.show(f"userdel {user}", "")
    demo.show(f"id {user}", f"id: '{user}': no such user\n", status=1)
    hidden = rf"passwd:{user}\n(group:{user}\n)?shadow:{user}\n(gshadow:{user}\n)?"
    demo.show("cat /etc/accounts/hidden", re.compile(hidden))
    demo.show(f"useradd -r -u 499 -U {user}", "")
    demo.show(f"id -u {user}", "499\n")

    demo.say("Wiping the delta is a factory reset")
    demo.show("cd /etc && rm -rf " + " ".join(path[5:] for path in LOCAL_FILES) + " accounts", "")
    demo.show("id alice", "id: 'alice': no such user\n", status=1)
    demo.show(f"getent passwd {user}", ":".join(passwd[user]) + "\n")
    demo.show(f"getent shadow {user}", ":".join(locked) + "\n")
    demo.show(f"getent group {first}", ":".join(group[first]) + "\n")


def main() -> int:
    """Enter a namespace of our own, make the root, show the main job."""
    if os.environ.get("ACCOUNTS_DEMO") != "inside":
        if os.geteuid() != 0:
            print("make demo needs root: it makes a mount namespace", file=sys.stderr)
            return 1
        os.environ["ACCOUNTS_DEMO"] = "inside"
        os.execvp(
            "unshare", ["unshare", "-m", "-p", "-f", "--kill-child", sys.executable, "-IS", __file__, *sys.argv[1:]]
        )
    base = tempfile.mkdtemp(prefix="accounts-demo.", dir="/var/tmp")
    try:
        root = overlay_root(base)
        if "--installed" not in sys.argv[1:]:
            run_quiet("make", "-s", "-C", TOP, "install", f"DESTDIR={root}", "PREFIX=/usr")
        for name in DATABASES:
            shutil.move(f"{root}/etc/{name}", f"{root}/usr/lib/{name}")
        for path in LOCAL_FILES:
            if os.path.exists(root + path):
                os.unlink(root + path)
        shutil.copy(f"{TOP}/nss-data/nsswitch.conf", f"{root}/etc/nsswitch.conf")
        demo = Demo(root)
        demonstrate(demo)
        print(f"\nDemo passed: {demo.count} commands, every answer as expected.", flush=True)
        return 0
    except (Wrong, SetupFailed) as error:
        print(f"\nDEMO FAILED: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # Nobody reads it any more (head), or the disk is full: then what is in the buffer cannot be written, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    finally:
        unmount(base)


if __name__ == "__main__":
    sys.exit(main())
