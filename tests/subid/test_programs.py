# SPDX-License-Identifier: MIT
"""The real newuidmap, newgidmap, getsubids and rootless podman of Debian 12 and 13; only the image has the ranges."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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


class Root:
    """An overlay of a cached root, in namespaces for mounts and processes that a holder keeps: what is left in them
    goes with it.

    It is the root of that namespace: a process in a chroot(2) may not make a user namespace.
    """

    def __init__(self, lower: Path, base: Path) -> None:
        setup = """set -e; mount -t tmpfs -o mode=755 t "$1"; mkdir "$1/u" "$1/w" "$1/root"
            mount -t overlay -o "lowerdir=$2,upperdir=$1/u,workdir=$1/w" o "$1/root"
            mount -t proc p "$1/root/proc"; mount --bind /dev "$1/root/dev"
            cd "$1/root"; pivot_root . mnt; umount -l /mnt; echo ready; exec cat"""
        namespaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        command = ["unshare", *namespaces, "sh", "-c", setup, "sh", base, lower]
        self.holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout and self.holder.stdout.readline() == b"ready\n"

        pid = self.holder.pid
        self._first = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def path(self, name: str) -> Path:
        return Path(f"/proc/{self._first}/root/{name}")

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            self.path(name).write_text(text)

    def run(self, command: str, uid: int = 0) -> tuple[int, str]:
        """(exit status, all output) of a shell command."""
        done = subprocess.run(
            ["nsenter", f"--target={self._first}", "--mount", "--pid", "--root", "--wd", "setpriv", f"--reuid={uid}",
             f"--regid={uid}", "--clear-groups", "/bin/sh", "-c", command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=60,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )  # fmt: skip
        return done.returncode, done.stdout

    def close(self) -> None:
        assert self.holder.stdin and self.holder.stdout
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()


@pytest.fixture(params=["debian-12-podman", "debian-13-podman"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Root]:
    made = subprocess.run(
        ["sh", TOP / "tests/support/make-root.sh", request.param], check=True, stdout=subprocess.PIPE, text=True
    )
    new = Root(Path(made.stdout.strip()), tmp_path)
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


def test_ranges_of_the_image(root: Root) -> None:
    assert root.run("getsubids amy") == (0, "0: amy 200000 65536\n")
    assert root.run("getsubids -g amy") == (0, "0: amy 400000 65536\n")
    assert root.run("getsubids bob") == (0, "0: bob 300000 1000\n")  # by UID
    assert root.run("getsubids root")[1].startswith("Error fetching ranges")
    root.write({"etc/subuid": "amy:100000:65536\n"})
    assert root.run("getsubids amy") == (0, "0: amy 100000 65536\n1: amy 200000 65536\n")


def test_a_user_namespace_gets_them(root: Root) -> None:
    assert root.run(MAP.format(kind="uid", first=200000, count=65536), 1500) == (0, " 0 200000 65536\n")
    assert root.run(MAP.format(kind="gid", first=400000, count=65536), 1500) == (0, " 0 400000 65536\n")
    status, said = root.run(MAP.format(kind="uid", first=200000, count=65537), 1500)
    assert status != 0 and "not allowed" in said
    assert root.run(MAP.format(kind="uid", first=200000, count=1), 1501)[0] != 0


def test_two_rows_side_by_side_are_one_range(root: Root) -> None:
    root.write({"etc/subuid": "amy:265536:1000\n"})
    assert root.run(MAP.format(kind="uid", first=265000, count=1000), 1500) == (0, " 0 265000 1000\n")


def test_a_hidden_owner_has_none(root: Root) -> None:
    root.write({"etc/accounts/hidden": "subuid:amy\n"})
    assert root.run(MAP.format(kind="uid", first=200000, count=1), 1500)[0] != 0
    assert root.run(MAP.format(kind="gid", first=400000, count=1), 1500)[0] == 0


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


def test_a_rootless_container_runs_on_them(root: Root) -> None:
    assert root.run(PODMAN_SETUP)[0] == 0
    status, said = root.run(
        PODMAN + "podman unshare sh -c 'cat /proc/self/uid_map /proc/self/gid_map' | tr -s ' '", 1500
    )
    assert (status, said) == (0, " 0 1500 1\n 1 200000 65536\n 0 1500 1\n 1 400000 65536\n"), root.run(
        "cat /tmp/run/said"
    )
    # A root directory as it is, and an image made of it; in the container somebody else than its root writes.
    run = "podman run --rm --network none --user 1000:1000 -v /tmp/out:/out"
    for what in ("--rootfs /tmp/box", "box"):
        status, said = root.run(
            f"{PODMAN} [ {what[0]} = - ] || tar -C /tmp/box -c . | podman import - box >/dev/null || exit\n"
            f"{run} {what} /bin/busybox sh -c 'id -u; touch /out/by'; stat -c '%u %g' /tmp/out/by; rm -f /tmp/out/by",
            1500,
        )
        assert (status, said) == (0, "1000\n200999 400999\n"), root.run("cat /tmp/run/said")
    # A hidden range is none.
    root.write({"etc/accounts/hidden": "subuid:amy\n"})
    status, said = root.run(f"{PODMAN} podman system migrate; {run} box /bin/busybox id -u", 1500)
    assert (status, said) == (125, "")
    assert 'no subuid ranges found for user \\"amy\\"' in root.run("cat /tmp/run/said")[1]
