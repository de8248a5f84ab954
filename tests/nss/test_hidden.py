# SPDX-License-Identifier: MIT
"""/etc/accounts/hidden: what is in it is not in the image, whoever asks and however; a file not to be trusted is none.

And an enumeration, which gives each name once.
"""

from __future__ import annotations

import pytest

from tests.nss.conftest import TOP
from tests.support.roots.held import HeldRoot

IMAGE = {
    "usr/lib/passwd": "root:x:0:0:root:/root:/bin/sh\netcd:x:300:300::/:/bin/sh\namy:x:300:1500::/:/bin/sh\n",
    "usr/lib/group": "root:x:0:\nvideo:x:44:amy,etcd\netcd:x:300:\nrender:x:44:amy\namy:x:1500:\n",
    "usr/lib/shadow": "root:*:1::::::\netcd:*:1::::::\namy:*:1::::::\n",
    "usr/lib/gshadow": "video:!::amy,etcd\netcd:!::\n",
    "etc/nsswitch.conf": (TOP / "nss-data/nsswitch.conf").read_text(),
}
HIDDEN = "passwd:etcd\nshadow:etcd\ngroup:video\ngroup:etcd\ngshadow:video\n"
ANSWERS = [
    ("getent passwd etcd", 2, ""),
    ("getent passwd 300", 0, "amy:x:300:1500::/:/bin/sh\n"),
    ("getent passwd", 0, "root:x:0:0:root:/root:/bin/sh\namy:x:300:1500::/:/bin/sh\n"),
    ("getent shadow etcd", 2, ""),
    ("getent shadow", 0, "root:*:1::::::\namy:*:1::::::\n"),
    ("getent group video", 2, ""),
    ("getent group 44", 0, "render:x:44:amy\n"),
    ("getent group etcd", 2, ""),
    ("getent group 300", 2, ""),
    ("getent group", 0, "root:x:0:\nrender:x:44:amy\namy:x:1500:\n"),
    ("getent gshadow video", 2, ""),
    ("getent gshadow", 0, "etcd:!::\n"),
    ("getent initgroups amy", 0, "amy                   44\n"),
    ("getent initgroups etcd", 0, "etcd                 \n"),
]


@pytest.fixture
def hiding(root: HeldRoot) -> HeldRoot:
    root.write({**IMAGE, "etc/accounts/hidden": HIDDEN})
    return root


def test_a_hidden_row_is_in_no_answer(hiding: HeldRoot) -> None:
    assert [(command, *hiding.run(*command.split())) for command, _, _ in ANSWERS] == ANSWERS


def test_an_own_row_takes_the_place_of_a_hidden_one(hiding: HeldRoot) -> None:
    hiding.write({"etc/group": "video:x:44:bob\n", "etc/passwd": "etcd:x:999:999::/:/bin/sh\n"})
    assert hiding.run("getent", "group", "video") == (0, "video:x:44:bob\n")
    assert hiding.run("id", "-G", "etcd") == (0, "999\n")
    assert hiding.run("getent", "passwd", "etcd") == (0, "etcd:x:999:999::/:/bin/sh\n")


def test_comments_and_blank_lines_are_fine(hiding: HeldRoot) -> None:
    hiding.write({"etc/accounts/hidden": "# by hand\n\npasswd:etcd\n"})
    assert hiding.run("getent", "passwd", "etcd") == (2, "")
    assert hiding.run("getent", "shadow", "etcd")[0] == 0


BROKEN = {
    "no final newline": "passwd:etcd\npasswd:etcd",
    "a NUL byte": "passwd:etcd\n\0\n",
    "no database": "passwd:etcd\netcd\n",
    "another database": "passwd:etcd\nhosts:etcd\n",
    "no name": "passwd:etcd\npasswd:\n",
    "a field too many": "passwd:etcd\npasswd:etcd:x\n",
    "garbage": "passwd:etcd\n\x01\x02\x03\n",
    "huge": "passwd:etcd\n" + "#" * (1 << 20) + "\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_hides_nothing(hiding: HeldRoot, text: str) -> None:
    hiding.write({"etc/accounts/hidden": text})
    assert hiding.run("getent", "passwd", "etcd")[0] == 0
    assert hiding.run("getent", "passwd") == (0, IMAGE["usr/lib/passwd"])


@pytest.mark.parametrize(
    "command",
    ["chown 1000 {}", "chmod 0664 {}", "chmod 0646 {}", "rm {}", "rm {}; mkdir {}", "rm {}; ln -s /nowhere {}"],
)
def test_a_file_that_is_not_roots_alone_hides_nothing(hiding: HeldRoot, command: str) -> None:
    assert hiding.run("sh", "-c", command.replace("{}", "/etc/accounts/hidden")) == (0, "")
    assert hiding.run("getent", "passwd", "etcd")[0] == 0


@pytest.mark.parametrize("files", [3, 4, 5])
def test_a_caller_without_descriptors_does_not_see_what_is_hidden(hiding: HeldRoot, files: int) -> None:
    """Who starts su or sudo chooses its limits; what he breaks so must not be the hiding."""
    as_user = f"ulimit -n {files}; exec /usr/bin/getent passwd etcd"
    assert "etcd" not in hiding.run("sh", "-c", as_user)[1]
    assert hiding.run("sh", "-c", "ulimit -n 20; exec /usr/bin/getent passwd amy")[0] == 0


# Enumeration

ENUMERATIONS = [
    # (database, image, local, what getent prints): a name of /etc comes once, but for a group that gains members.
    ("passwd", "a:x:1:1::/:\nb:x:2:2::/:\n", "b:x:2:2:new:/:\n", "b:x:2:2:new:/:\na:x:1:1::/:\n"),
    ("passwd", "a:x:1:1::/:\n", "# c\n\n  a:x:9:9::/:\n", "a:x:9:9::/:\n"),
    ("passwd", "a:x:1:1::/:\n", "a:x:one:1::/:\n", "a:x:1:1::/:\n"),  # /etc's row is none
    ("passwd", "a:x:1:1::/:\n", "a:x:one:1::/:\na:x:2:2::/:\n", "a:x:2:2::/:\n"),
    ("passwd", "a:x:1:1::/:\n", "ab:x:2:2::/:\n", "ab:x:2:2::/:\na:x:1:1::/:\n"),
    ("passwd", "ab:x:1:1::/:\n", "a:x:2:2::/:\n", "a:x:2:2::/:\nab:x:1:1::/:\n"),
    ("shadow", "a:*:1::::::\nb:*:1::::::\n", "a:!:2::::::\n", "a:!:2::::::\nb:*:1::::::\n"),
    ("gshadow", "a:!::u\nb:!::\n", "a:!::u,v\n", "a:!::u,v\nb:!::\n"),
    ("group", "a:x:1:u\n", "a:x:1:v\n", "a:x:1:v\na:x:1:v,u\n"),
    ("group", "a:x:1:u,w\n", "a:y:1:w,v\n", "a:y:1:w,v\na:y:1:w,v,u\n"),
    ("group", "a:x:1:u\n", "a:x:1:u,v\n", "a:x:1:u,v\n"),  # the image adds nothing
    ("group", "a:x:1:\n", "a:x:1:u\n", "a:x:1:u\n"),
    ("group", "a:x:1:u\n", "a:x:2:v\n", "a:x:2:v\n"),  # another GID: not merged
    ("group", "a:x:1:u\nb:x:2:u\n", "", "a:x:1:u\nb:x:2:u\n"),
    ("group", "a:x:1:u\n", "a:x:1\n", "a:x:1:\na:x:1:u\n"),
]


@pytest.mark.parametrize(("database", "image", "local", "printed"), ENUMERATIONS)
def test_an_enumeration_gives_a_name_of_etc_once(
    root: HeldRoot, database: str, image: str, local: str, printed: str
) -> None:
    root.write({f"usr/lib/{database}": image, "etc/nsswitch.conf": IMAGE["etc/nsswitch.conf"]})
    if local:
        root.write({f"etc/{database}": local})
    assert root.run("getent", database) == (0, printed)


def test_an_enumeration_of_many_rows_joins_a_group_too_large_for_the_first_buffer(root: HeldRoot) -> None:
    members = ",".join(f"member{number}" for number in range(2000))
    image = "".join(f"g{number}:x:{number}:\n" for number in range(3000)) + f"big:x:5000:{members}\n"
    root.write({"usr/lib/group": image, "etc/nsswitch.conf": IMAGE["etc/nsswitch.conf"]})
    root.write({"etc/group": "".join(f"g{number}:x:{number}:\n" for number in range(2999, 0, -2)) + "big:x:5000:me\n"})
    status, printed = root.run("getent", "group")
    lines = printed.splitlines()
    assert (status, len(lines), len(set(lines))) == (0, 3002, 3002)
    assert lines[-1] == f"big:x:5000:me,{members}"
