# SPDX-License-Identifier: MIT
"""nsswitch.conf in sixty writings: what we read of it is what getent finds, and what wire makes of it works."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from accounts.image.check import Checked, _check_nsswitch
from accounts.image.findings import Findings
from accounts.image.layers import Layers
from accounts.image.nsswitch import merge_nsswitch
from accounts.image.tree import Tree
from accounts.model.policy import parse_nsswitch, parse_services
from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import TOP, DebianRoot, debian_root

GOOD = "group: files [SUCCESS=merge] altfiles\nshadow: files altfiles\ngshadow: files altfiles\n"
# What stands for passwd; the other lines are right unless the text has them.
VARIANTS = [
    "passwd: files altfiles\n", "passwd files altfiles\n", "passwd : : files altfiles\n", "PASSWD: files altfiles\n",
    "passwd: files\npasswd: files altfiles\n", "passwd: files altfiles\npasswd: files\n", "  passwd: files altfiles\n",
    "passwd: files [UNKNOWN=x] altfiles\n", "passwd: files [NOTFOUND=foo] altfiles\n", "passwd: files [ altfiles\n",
    "passwd: files [NOTFOUND altfiles\n", "passwd: files ] altfiles\n",
    "passwd: files [notfound = continue] altfiles\n",
    "passwd: Files Altfiles\n", "passwd: files altfiles # x\n", "passwd: files # altfiles\n", "passwd:\n", "passwd:",
    "passwd: files [NOTFOUND=return] altfiles\n", "passwd: files [!SUCCESS=return] altfiles\n", "passwd: altfiles\n",
    "passwd: [NOTFOUND=return] files altfiles\n", "passwd: files,altfiles\n", "passwd: altfiles files\n",
    "passwd:files[NOTFOUND=continue]altfiles\n", "passwd: files altfiles\npasswd: files [NOTFOUND=bogus]\n",
    "passwd: files [NOTFOUND=bogus]\npasswd: files altfiles\n", "passwd: files altfiles\npasswd:\n", "\n# only\n", "",
    "passwd:\t\tfiles\taltfiles\r\n", "hosts: files [NOTFOUND=bogus] dns\npasswd: files altfiles\n",
    "sudoers: files [NOTFOUND=bogus]\npasswd: files altfiles\n", "#passwd: files\npasswd: files altfiles\n",
    "passwd: files [UNAVAIL=return NOTFOUND=continue] altfiles\n",
    "passwd: files [NOTFOUND=continue][TRYAGAIN=return] altfiles\n",
    "passwd: files [] altfiles\n", "passwd: files [SUCCESS=return NOTFOUND] altfiles\n", "passwd: compat altfiles\n",
    "passwd: files [!NOTFOUND=return] altfiles\n", "passwd: files nosuchservice altfiles\n",
    "passwd: sss files altfiles\n",
    "passwd: files [!UNAVAIL=return] altfiles\n", "\tpasswd\t:\tfiles altfiles\n", "passwd: files altfiles\n\0\n",
    "passwd\n", "passwd", "passwd: files\0altfiles\n", "passwd: files altfiles\0[BOGUS=return]\n",
    "passwd: files [!NOTFOUND=continue] altfiles\n", "passwd: files [NOTFOUND=return NOTFOUND=continue] altfiles\n",
    "passwd: files [NOTFOUND==return] altfiles\n", "passwd: files [! SUCCESS=return] altfiles\n",
    "passwd: files altfiles [SUCCESS=merge]\n", "passwd: files altfiles [SUCCESS=continue]\n",
    "passwd: files [NOTFOUND=continue][BOGUS=x] altfiles\n", "passwd: files [NOTFOUND=continue] [BOGUS\n",
    "hosts: [BOGUS=x] files\npasswd: files altfiles\n", "passwd: files altfiles [NOTFOUND=return][\n",
    "passwd:\vfiles\faltfiles\n", "passwd: files :altfiles\n",
]  # fmt: skip


def _look(root: DebianRoot, text: bytes) -> dict[str, bool]:
    """What NSS of a root finds with an nsswitch.conf: users and groups of either layer, both members of a group."""
    Path(root.path, "etc/nsswitch.conf").write_bytes(text)
    answers = root.run(
        "getent passwd imageuser; getent passwd localuser; getent group joined; getent shadow imageuser; "
        "getent gshadow joined; getent passwd both"
    ).output.splitlines()
    group = next((line for line in answers if line.startswith("joined:x:")), "")
    return {
        "image": "imageuser:x:777:777::/:/bin/sh" in answers, "local": "localuser:x:778:778::/:/bin/sh" in answers,
        "members": {"one", "two"} == set(group.rpartition(":")[2].split(",")),
        "shadow": any(line.startswith("imageuser:!") for line in answers),
        "gshadow": any(line.startswith("joined:!:") for line in answers),
        "override": any(line.startswith("both:") and line.endswith("/local:/bin/sh") for line in answers),
    }  # fmt: skip


def _try_all() -> list[tuple[str, dict[str, bool], dict[str, bool]]]:
    found = []
    with debian_root(False, "debian-12-minbase") as root:
        top = Path(root.path)
        shutil.copy(TOP / "nss/build/libnss_altfiles.so.2", top / "usr/lib/x86_64-linux-gnu")
        (top / "usr/lib/passwd").write_text("imageuser:x:777:777::/:/bin/sh\nboth:x:779:779::/image:/bin/sh\n")
        (top / "usr/lib/group").write_text("joined:x:780:one\n")
        (top / "usr/lib/shadow").write_text("imageuser:!:19000::::::\n")
        (top / "usr/lib/gshadow").write_text("joined:!::one\n")
        (top / "etc/passwd").write_text("localuser:x:778:778::/:/bin/sh\nboth:x:779:779::/local:/bin/sh\n")
        (top / "etc/group").write_text("joined:x:780:two\n")
        for variant in VARIANTS:
            text = (GOOD + variant).encode()
            found.append((variant, _look(root, text), _look(root, merge_nsswitch(text))))
    return found


def _complains(root: Path, variant: str) -> bool:
    (root / "etc").mkdir(parents=True, exist_ok=True)
    (root / "etc/nsswitch.conf").write_text(GOOD + variant)
    findings = Findings()
    with Tree(root) as tree:
        _check_nsswitch(Layers(tree, root), root, findings, Checked())
    return bool(findings.found)


@pytest.mark.skipif(not available(), reason="needs root and debootstrap")
def test_what_glibc_reads_is_what_counts(tmp_path: Path) -> None:
    subprocess.run(["make", "-s", "-C", TOP / "nss"], check=True)
    wrong = []
    for variant, before, after in in_child(_try_all):
        if not all(after.values()):
            wrong.append(("wired", variant, after))
        if _complains(tmp_path / "r", variant) == all(before.values()):
            wrong.append(("check", variant, before))
        policy = parse_nsswitch((GOOD + variant).encode())
        found = policy.image["passwd"], policy.image["group"] and policy.merge_groups
        if found != (before["image"], before["members"]):
            wrong.append(("policy", variant, before))
    assert wrong == []
    assert len(VARIANTS) >= 60


@pytest.mark.parametrize("variant", VARIANTS)
def test_merging_is_idempotent_and_leaves_a_file_that_glibc_reads(variant: str) -> None:
    merged = merge_nsswitch(variant.encode())
    assert merge_nsswitch(merged) == merged
    services = parse_services(merged)
    assert services is not None and {b"passwd", b"group", b"shadow", b"gshadow"} <= services.keys()
