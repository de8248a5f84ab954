# SPDX-License-Identifier: MIT
"""getent, id and su in a root whose image accounts come from the module, joined by nsswitch.conf's merge."""

from __future__ import annotations

import pytest

from tests.nss.conftest import TOP
from tests.support.roots.held import HeldRoot

SESAME = "$6$throwaway$Kyq4BM5bHwm4oe5H0OwFOFkfkkS9T3THXYl3Z7ER25TepgchTm1Wc4QJlD.Pv05OjNcjqgzNjiD5fJr5ZUCaI/"

IMAGE = {
    "usr/lib/passwd": """\
root:x:0:0:root:/root:/bin/sh
_svc:x:400:400:Service:/nonexistent:/usr/sbin/nologin
amy:x:1500:1500:Amy of the image:/:/bin/sh
""",
    "usr/lib/group": """\
root:x:0:
shadow:x:42:
video:x:44:amy
devs:x:500:amy
_svc:x:400:
ops:x:501:
amy:x:1500:
""",
    "usr/lib/shadow": f"""\
root:*:19700:0:99999:7:::
_svc:!*:19700::::::
amy:{SESAME}:19700:0:99999:7:::
""",
    "usr/lib/gshadow": """\
video:!::amy
devs:!:amy:amy
""",
}
LOCAL = {
    "etc/passwd": "bob:x:2000:2000:Bob:/:/bin/sh\n",
    "etc/group": "video:x:44:bob\nops:x:999:bob\nbob:x:2000:\n",
    "etc/shadow": "bob:!:19800:0:99999:7:::\n",
}
# getgrent(3) never merges: video comes joined behind /etc's row; ops is /etc's alone, with its own GID.
ENUMERATED_GROUP = IMAGE["usr/lib/group"].replace("video:x:44:amy", "video:x:44:bob,amy").replace("ops:x:501:\n", "")
# Debian's, less the delay after a wrong password.
PAM_SU = """\
auth sufficient pam_rootok.so
auth required pam_unix.so nodelay
account required pam_unix.so
session required pam_unix.so
"""
VENDOR = (TOP / "nss-data/nsswitch.conf").read_text()


@pytest.fixture
def stateless(root: HeldRoot) -> HeldRoot:
    """An image, a delta, and nsswitch.conf in place."""
    root.write({**IMAGE, **LOCAL, "etc/nsswitch.conf": VENDOR, "etc/pam.d/su": PAM_SU})
    return root


ANSWERS = [
    ("getent passwd amy", 0, "amy:x:1500:1500:Amy of the image:/:/bin/sh\n"),
    ("getent passwd 1500", 0, "amy:x:1500:1500:Amy of the image:/:/bin/sh\n"),
    ("getent passwd bob", 0, "bob:x:2000:2000:Bob:/:/bin/sh\n"),
    ("getent passwd nobody-has-this-name", 2, ""),
    ("getent passwd", 0, LOCAL["etc/passwd"] + IMAGE["usr/lib/passwd"]),
    ("getent group video", 0, "video:x:44:bob,amy\n"),  # merged: name and GID are the same
    ("getent group 44", 0, "video:x:44:bob,amy\n"),
    ("getent group ops", 0, "ops:x:999:bob\n"),  # not merged: another GID
    ("getent group 501", 0, "ops:x:501:\n"),
    ("getent group devs", 0, "devs:x:500:amy\n"),
    ("getent group", 0, LOCAL["etc/group"] + ENUMERATED_GROUP),
    ("getent shadow amy", 0, f"amy:{SESAME}:19700:0:99999:7:::\n"),
    ("getent shadow _svc", 0, "_svc:!*:19700::::::\n"),
    ("getent shadow", 0, LOCAL["etc/shadow"] + IMAGE["usr/lib/shadow"]),
    ("getent gshadow devs", 0, "devs:!:amy:amy\n"),
    ("getent gshadow", 0, IMAGE["usr/lib/gshadow"]),
    ("getent initgroups bob", 0, "bob                   44 999\n"),
    ("id amy", 0, "uid=1500(amy) gid=1500(amy) groups=1500(amy),44(video),500(devs)\n"),
    ("id bob", 0, "uid=2000(bob) gid=2000(bob) groups=2000(bob),44(video),999(ops)\n"),
    ("id _svc", 0, "uid=400(_svc) gid=400(_svc) groups=400(_svc)\n"),
    ("su amy -c id", 0, "uid=1500(amy) gid=1500(amy) groups=1500(amy),44(video),500(devs)\n"),
    ("su bob -c groups", 0, "bob video ops\n"),
    ("stat -c %U:%G /etc/amys", 0, "amy:devs\n"),
]


# Debian 12 and 13: glibc 2.36 and 2.41.
on_both = pytest.mark.parametrize("root", ["4.13", "4.17"], indirect=True)


@on_both
def test_answers(stateless: HeldRoot) -> None:
    stateless.path("etc/amys").touch()
    stateless.run("chown", "amy:devs", "/etc/amys")
    answers = [(command, *stateless.run(*command.split())) for command, _, _ in ANSWERS]
    assert answers == ANSWERS


@on_both
@pytest.mark.parametrize(("password", "status"), [("sesame", 0), ("wrong", 1)])
def test_su_checks_the_password_in_the_image_shadow(stateless: HeldRoot, password: str, status: int) -> None:
    as_bob = ["setpriv", "--reuid=2000", "--regid=2000", "--clear-groups"]
    done = stateless.run(*as_bob, "su", "amy", "-c", "id -un", given=f"{password}\n")
    assert done[0] == status
    assert ("amy\n" in done[1]) == (status == 0)


def test_image_shadow_is_closed_to_users(stateless: HeldRoot) -> None:
    as_bob = ["setpriv", "--reuid=2000", "--regid=2000", "--clear-groups"]
    assert stateless.run(*as_bob, "getent", "shadow", "amy") == (2, "")


def test_without_merge_a_local_group_row_stands_alone(stateless: HeldRoot) -> None:
    stateless.write({"etc/nsswitch.conf": VENDOR.replace(" [SUCCESS=merge]", "")})
    assert stateless.run("getent", "group", "video") == (0, "video:x:44:bob\n")
    # initgroups goes on to the next service all the same.
    assert stateless.run("id", "-G", "amy") == (0, "1500 44 500\n")


def test_an_override_in_etc_wins(stateless: HeldRoot) -> None:
    stateless.write({"etc/passwd": "amy:x:1500:1500:Amy:/home/amy:/bin/false\n"})
    assert stateless.run("getent", "passwd", "amy") == (0, "amy:x:1500:1500:Amy:/home/amy:/bin/false\n")


def test_an_empty_etc_and_an_absent_image_are_no_errors(root: HeldRoot) -> None:
    root.write({"etc/nsswitch.conf": VENDOR, "usr/lib/passwd": IMAGE["usr/lib/passwd"]})
    assert root.run("getent", "passwd", "amy")[0] == 0
    assert root.run("getent", "group", "video") == (2, "")
    assert root.run("id", "amy") == (0, "uid=1500(amy) gid=1500 groups=1500\n")
    assert root.run("getent", "group") == (0, "")


def test_an_image_replaced_by_rename_is_seen_at_once(stateless: HeldRoot) -> None:
    script = """\
import os, pwd
pwd.getpwnam("amy")
os.rename("/usr/lib/passwd.new", "/usr/lib/passwd")
print(pwd.getpwnam("zoe").pw_uid)
"""
    stateless.write({"usr/lib/passwd.new": "root:x:0:0::/:/bin/sh\nzoe:x:1501:1501::/:/bin/sh\n"})
    assert stateless.run("/usr/bin/python3", "-c", script) == (0, "1501\n")


def test_a_group_of_many_members_resolves(stateless: HeldRoot) -> None:
    members = ",".join(f"member{i}" for i in range(20_000))
    stateless.write({"usr/lib/group": f"big:x:600:{members}\nlast:x:601:member19999\n"})
    assert stateless.run("getent", "group", "big") == (0, f"big:x:600:{members}\n")
    assert stateless.run("getent", "initgroups", "member19999") == (0, "member19999           600 601\n")
    assert stateless.run("getent", "group", "last") == (0, "last:x:601:member19999\n")
