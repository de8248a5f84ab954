# SPDX-License-Identifier: MIT
"""Programs that call account tools see and leave the same accounts with ours on a stateless root as with the
distribution's on a classic one. ACCOUNTS_FULL=1 (`make clients`) runs all of them.
"""

from __future__ import annotations

import os

import pytest

from tests.clients.clients import ADDUSER, Client, Step, compare, differences, full, run_clients, short
from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import debian_root

pytestmark = pytest.mark.skipif(not available(), reason="needs root and debootstrap")


def test_clients_cannot_tell_the_roots_apart() -> None:
    comparisons = compare(full() if os.environ.get("ACCOUNTS_FULL") else short())
    assert [line for item in comparisons for line in item.failures + item.differences] == []


def test_the_comparison_sees_what_the_real_tools_miss_on_a_stateless_root() -> None:
    clients = [Client("adduser", (Step("adduser www-data audio"), Step("groupadd devs")))]
    put_back = Client("", (Step('for tool in $(ls /usr/*bin/*.distrib); do cp -a "$tool" "${tool%.distrib}"; done'),))
    _, [classic] = run_clients(False, clients)
    _, [_, real] = run_clients(True, [put_back, *clients])
    found = differences(clients[0], classic, real)
    assert any(line.startswith("group audio: ") for line in found), found


def test_the_delta_is_what_the_clients_added() -> None:
    etc = in_child(_delta_of_adduser)
    assert sorted(etc["passwd"]) == ["alice", "dave", "svc3"]
    assert set(etc["group"]) == {"alice", "audio", "dave", "users"}
    assert sorted(etc["shadow"]) == ["alice", "dave", "svc3"]


def _delta_of_adduser() -> dict[str, list[str]]:
    with debian_root(stateless=True) as root:
        for step in ADDUSER.steps:
            root.run(step.command, step.stdin)
        return {
            name: root.check(f"cut -d: -f1 /etc/{name}").split() for name in ("passwd", "group", "shadow", "gshadow")
        }


def test_sysusers_adds_no_member_to_a_group_that_only_the_image_has() -> None:
    """systemd-sysusers edits rows of /etc/group and makes none for a group that NSS knows: `accounts sysusers` does."""
    output = in_child(_members_by_sysusers)
    assert output == "video:x:44:\nvideo:x:44:www-data\nvideo:x:44:news,www-data\n"


def _members_by_sysusers() -> str:
    with debian_root(stateless=True) as root:
        return root.check("""
            echo 'm www-data video' >/usr/lib/sysusers.d/video.conf
            systemd-sysusers && getent group video
            accounts sysusers --quiet && getent group video
            echo 'm news video' >/usr/lib/sysusers.d/video.conf
            systemd-sysusers && getent group video
        """)
