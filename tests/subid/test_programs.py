# SPDX-License-Identifier: MIT
"""The real newuidmap, newgidmap, getsubids and rootless podman of Debian 12 and 13; only the image has the ranges."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.roots.cached import cached_root
from tests.support.roots.held import HeldRoot

TOP = Path(__file__).resolve().parents[2]
IMAGE = {
    "usr/lib/passwd": "root:x:0:0::/root:/bin/sh\namy:x:1500:1500::/:/bin/sh\nbob:x:1501:1501::/:/bin/sh\n",
    "usr/lib/group": "root:x:0:\namy:x:1500:\nbob:x:1501:\n",
    "usr/lib/subuid": "amy:200000:65536\n1501:300000:1000\nghost:700000:10\nbroken:1\n",
    "usr/lib/subgid": "amy:400000:65536\n",
    "etc/nsswitch.conf": "passwd: files altfiles\ngroup: files [SUCCESS=merge] altfiles\nsubid: altfiles\n",
    # Releases before 4.19 do not ask a service when there is no file.
    "etc/subuid": "",
    "etc/subgid": "",
}
# Ask for a mapping of a user namespace, as rootless containers do.
MAP = """
unshare --user sleep 20 & child=$!
while [ "$(readlink /proc/$child/ns/user)" = "$(readlink /proc/self/ns/user)" ]; do sleep 0.05; done
new{kind}map $child 0 {first} {count}; status=$?
tr -s ' ' < /proc/$child/{kind}_map
kill $child
exit $status
"""


@pytest.fixture(params=["debian-12-podman", "debian-13-podman"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HeldRoot]:
    new = HeldRoot(tmp_path, str(cached_root(request.param)))
    try:
        for directory in ("nss", "subid"):
            install = ["make", "-s", "-C", TOP / directory, "install", f"BUILD={tmp_path}-{directory}"]
            subprocess.run([*install, f"DESTDIR={new.path('')}"], check=True)
        for name in ("passwd", "group", "shadow", "gshadow"):
            new.path(f"etc/{name}").unlink(missing_ok=True)
        new.write(IMAGE)
        yield new
    finally:
        new.close()


def test_ranges_of_the_image(root: HeldRoot) -> None:
    assert root.shell("getsubids amy") == (0, "0: amy 200000 65536\n")
    assert root.shell("getsubids -g amy") == (0, "0: amy 400000 65536\n")
    assert root.shell("getsubids bob") == (0, "0: bob 300000 1000\n")  # by UID
    assert root.shell("getsubids root")[1].startswith("Error fetching ranges")
    root.write({"etc/subuid": "amy:100000:65536\n"})
    assert root.shell("getsubids amy") == (0, "0: amy 100000 65536\n1: amy 200000 65536\n")


def test_a_user_namespace_gets_them(root: HeldRoot) -> None:
    assert root.shell(MAP.format(kind="uid", first=200000, count=65536), 1500) == (0, " 0 200000 65536\n")
    assert root.shell(MAP.format(kind="gid", first=400000, count=65536), 1500) == (0, " 0 400000 65536\n")
    status, said = root.shell(MAP.format(kind="uid", first=200000, count=65537), 1500)
    assert status != 0 and "not allowed" in said
    assert root.shell(MAP.format(kind="uid", first=200000, count=1), 1501)[0] != 0


def test_two_rows_side_by_side_are_one_range(root: HeldRoot) -> None:
    root.write({"etc/subuid": "amy:265536:1000\n"})
    assert root.shell(MAP.format(kind="uid", first=265000, count=1000), 1500) == (0, " 0 265000 1000\n")


def test_a_hidden_owner_has_none(root: HeldRoot) -> None:
    root.write({"etc/accounts/hidden": "subuid:amy\n"})
    assert root.shell(MAP.format(kind="uid", first=200000, count=1), 1500)[0] != 0
    assert root.shell(MAP.format(kind="gid", first=400000, count=1), 1500)[0] == 0


# What podman looks for on a machine that runs: a runtime directory, shared mounts, cgroups, /dev/shm.
PODMAN_SETUP = """set -e
mount --make-rshared /; mount -t sysfs s /sys; mount -t cgroup2 c /sys/fs/cgroup
mount -t tmpfs -o mode=1777 t /tmp; mount -t tmpfs -o mode=1777 t /dev/shm
mkdir -p /home/amy/.config/containers /tmp/run /tmp/out /tmp/box/bin
printf '[storage]\\ndriver = "vfs"\\n' > /home/amy/.config/containers/storage.conf
cp /bin/busybox /tmp/box/bin/
chown -R 1500:1500 /home/amy /tmp/run /tmp/box
chmod 0700 /tmp/run; chmod 0777 /tmp/out
"""
PODMAN = """export HOME=/home/amy XDG_RUNTIME_DIR=/tmp/run; cd; exec 2>/tmp/run/said
podman() { command podman --cgroup-manager cgroupfs --events-backend file "$@"; }
"""


def test_a_rootless_container_runs_on_them(root: HeldRoot) -> None:
    assert root.shell(PODMAN_SETUP)[0] == 0
    status, said = root.shell(
        PODMAN + "podman unshare sh -c 'cat /proc/self/uid_map /proc/self/gid_map' | tr -s ' '", 1500
    )
    assert (status, said) == (0, " 0 1500 1\n 1 200000 65536\n 0 1500 1\n 1 400000 65536\n"), root.shell(
        "cat /tmp/run/said"
    )
    # A root directory as it is, and an image made of it; in the container somebody else than its root writes.
    run = "podman run --rm --network none --user 1000:1000 -v /tmp/out:/out"
    for what in ("--rootfs /tmp/box", "box"):
        status, said = root.shell(
            f"{PODMAN} [ {what[0]} = - ] || tar -C /tmp/box -c . | podman import - box >/dev/null || exit\n"
            f"{run} {what} /bin/busybox sh -c 'id -u; touch /out/by'; stat -c '%u %g' /tmp/out/by; rm -f /tmp/out/by",
            1500,
        )
        assert (status, said) == (0, "1000\n200999 400999\n"), root.shell("cat /tmp/run/said")
    # A hidden range is none.
    root.write({"etc/accounts/hidden": "subuid:amy\n"})
    status, said = root.shell(f"{PODMAN} podman system migrate; {run} box /bin/busybox id -u", 1500)
    assert (status, said) == (125, "")
    assert 'no subuid ranges found for user \\"amy\\"' in root.shell("cat /tmp/run/said")[1]
