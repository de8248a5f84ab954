# SPDX-License-Identifier: MIT
"""The Containerfile, by the real buildah (chroot isolation) and podman (its base is a root of debootstrap)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.packages.rootdir import TOP, PackagedRoot
from tests.packages.tutorial import run_tutorial
from tests.support.roots.cached import cached_root

# Network and trust of the machine; nothing else of it.
# What it sets by itself a machine may not allow.
LIMITS = "--ulimit nofile=1024:1024 --ulimit nproc=1024:1024"
TRUST = "/etc/ssl/certs/ca-certificates.crt"
BUILDAH = "buildah --storage-driver vfs"
OPTIONS = f"--isolation chroot --network host {LIMITS} -v {TRUST}:/ca.crt:ro --env PIP_CERT=/ca.crt"
LATER = """\
FROM localhost/stateless
RUN id -u nobody && useradd --system later && usermod -aG games later
RUN apt-get update && apt-get install -y --no-install-recommends uuid-runtime
RUN accounts image seed / && accounts image check /
"""


@pytest.mark.parametrize("release", ["12", "13"])
def test_builds_as_printed(release: str, tmp_path: Path) -> None:
    cached_root(f"debian-{release}-minbase")
    root = PackagedRoot("debian-13-imagers", tmp_path / "root")
    root.check_out()
    (command,) = (
        line.lstrip("# ")
        for line in (TOP / "packaging/container/Containerfile").read_text().splitlines()
        if "buildah bud" in line
    )
    options = f"{OPTIONS} --build-arg BASE=localhost/debian:{release}"
    (root.path / "root/later").write_text(LATER)
    root.run(
        f"cd /root; tar -c -C /var/tmp/accounts-test/debian-{release}-minbase . >base.tar; "
        "printf 'FROM scratch\\nADD base.tar /\\n' >base; "
        f"{BUILDAH} bud -q {OPTIONS} -f base -t localhost/debian:{release} . && rm base.tar; "
        f"cd tree; {command.replace('buildah bud', f'{BUILDAH} bud -q {options}')}"
    )
    names = (
        "ls /etc/passwd /etc/group 2>&1; readlink /etc/nsswitch.conf; getent passwd games; readlink /usr/sbin/useradd"
    )
    run = (
        f"c=$({BUILDAH} from --network host {LIMITS} %s) && "
        f"{BUILDAH} run --isolation chroot $c sh -c '%s' && {BUILDAH} rm $c >/dev/null"
    )
    said = root.run(run % ("localhost/stateless", names)).splitlines()
    assert [line for line in said if "No such file" in line] != []
    assert "../usr/share/accounts/nsswitch.conf" in said
    assert "games:x:5:60:games:/usr/games:/usr/sbin/nologin" in said
    assert "/usr/lib/accounts/tools/useradd" in said
    # Later lines install packages that make users, and seed again.
    root.run(f"cd /root; {BUILDAH} bud -q {OPTIONS} -f later -t localhost/later .")
    said = root.run(run % ("localhost/later", "ls /etc/passwd; id -nG later; getent passwd uuidd")).splitlines()
    assert "later games" in said
    assert [line for line in said if line.startswith("uuidd:")] != []
    shutil.rmtree(tmp_path)


STORAGE = """\
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
"""
CONTAINERS = """\
[containers]
netns = "host"
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
volumes = ["/etc/ssl/certs/ca-certificates.crt:/ca.crt:ro"]
[engine]
cgroup_manager = "cgroupfs"
"""
# crun refuses a machine that has cgroups of both versions.
READY = """\
! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
tar -c -C /var/tmp/accounts-test/debian-12-minbase . | podman import -q -c 'ENV PIP_CERT=/ca.crt' - {BASE}
"""


def test_podman_does_what_the_tutorial_says(tmp_path: Path) -> None:
    """docs/start/bootc.md, on a machine that has the base image and says how containers are to run on it."""
    cached_root("debian-12-minbase")
    root = PackagedRoot("debian-13-podman", tmp_path / "root")
    root.check_out()
    (base,) = re.findall("^ARG BASE=(.*)", (TOP / "packaging/container/Containerfile").read_text(), re.MULTILINE)
    (root.path / "etc/containers").mkdir(parents=True)
    (root.path / "etc/containers/storage.conf").write_text(STORAGE)
    (root.path / "etc/containers/containers.conf").write_text(CONTAINERS)
    ready = f"export PODMAN_IGNORE_CGROUPSV1_WARNING=1; ln -s /root/tree /src\n{READY.replace('{BASE}', base)}"
    run_tutorial(root, TOP / "docs/start/bootc.md", "test_container.py", first=ready)
    shutil.rmtree(tmp_path)
