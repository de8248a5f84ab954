# SPDX-License-Identifier: MIT
"""The vendor files: what the boot unit does to an /etc without nsswitch.conf, and what depends on it."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

import pytest

from tests.nss.conftest import TOP
from tests.support.roots.held import HeldRoot

DATA = TOP / "nss-data"
UNIT = "usr/lib/systemd/system/accounts-nsswitch.service"
TARGET = "../usr/share/accounts/nsswitch.conf"
IMAGE = {
    "usr/lib/passwd": "root:x:0:0:root:/root:/bin/sh\n_svc:x:400:400::/:/usr/sbin/nologin\n",
    "usr/lib/group": "root:x:0:\n_svc:x:400:\n",
}


def settings(unit: Path, key: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith(key + "=")]


def start_unit(root: HeldRoot) -> None:
    """Run ExecStart if the first condition, the one about /etc, holds."""
    if root.run("test", "-e", "/etc/nsswitch.conf")[0]:
        (command,) = settings(DATA / "systemd/accounts-nsswitch.service", "ExecStart")
        assert root.run(*shlex.split(command)) == (0, "")


@pytest.mark.parametrize("unit", sorted((DATA / "systemd").iterdir()), ids=lambda path: str(path.name))
def test_a_unit_names_a_manual_that_is_installed_with_it(unit: Path) -> None:
    """Or one of another package; documents below /usr/share/doc are in none of ours."""
    (page,) = settings(unit, "Documentation")
    assert page.startswith("man:")
    if page.startswith("man:accounts"):
        name = page.removeprefix("man:").removesuffix("(8)").removeprefix("accounts-")
        assert (TOP / "docs/man/commands" / name).is_file()


def test_the_unit_is_valid_and_enabled_from_usr(installed: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", installed / UNIT], capture_output=True, text=True)
    # Of accounts-apply.service; systemd before 254 passes over it.
    said = [line for line in done.stderr.splitlines() if "Unknown key 'ImportCredential'" not in line]
    assert (done.returncode, said) == (0, [])
    wants = installed / "usr/lib/systemd/system/sysinit.target.wants/accounts-nsswitch.service"
    assert wants.resolve() == (installed / UNIT).resolve()
    assert not list(installed.glob("etc"))


@pytest.mark.parametrize(
    "later",
    ["sysusers", "udevd", "tmpfiles-setup-dev", "tmpfiles-setup", "firstboot"],
)
def test_the_unit_comes_before(installed: Path, later: str) -> None:
    assert f"systemd-{later}.service" in " ".join(settings(installed / UNIT, "Before")).split()


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (None, TARGET, None),
        ("file", "file", None),
        ("../usr/share/accounts/nsswitch.conf", TARGET, None),
        ("/gone/nsswitch.conf", TARGET, "/gone/nsswitch.conf"),
        ("nsswitch.conf", TARGET, "nsswitch.conf"),  # a loop dangles too
    ],
    ids=["missing", "file", "linked", "dangling", "loop"],
)
def test_the_unit_links_what_leads_nowhere(root: HeldRoot, before: str | None, after: str, kept: str | None) -> None:
    path = root.path("etc/nsswitch.conf")
    if before == "file":
        path.write_text("passwd: files\n")
    elif before:
        path.symlink_to(before)
    start_unit(root)
    start_unit(root)
    aside = root.path("etc/nsswitch.conf.dangling")
    assert (str(path.readlink()) if path.is_symlink() else "file") == after
    assert (str(aside.readlink()) if aside.is_symlink() else None) == kept


def test_image_users_resolve_once_the_unit_ran(root: HeldRoot) -> None:
    root.write(IMAGE)
    assert root.run("getent", "passwd", "_svc") == (2, "")
    start_unit(root)
    assert root.run("getent", "passwd", "_svc") == (0, "_svc:x:400:400::/:/usr/sbin/nologin\n")


def test_a_running_process_sees_the_link(root: HeldRoot) -> None:
    """Long-lived processes, pid 1 first, start before the unit."""
    root.write(IMAGE)
    script = """\
import pwd, sys
try:
    pwd.getpwnam("_svc")
except KeyError:
    print("absent", flush=True)
sys.stdin.readline()
print(pwd.getpwnam("_svc").pw_uid)
"""
    command = root.command("/usr/bin/python3", "-c", script)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "absent\n"
        time.sleep(0.02)  # past the granularity of the time stamps that glibc compares
        start_unit(root)
        assert process.communicate("\n")[0] == "400\n"


@pytest.mark.parametrize(("linked", "created"), [(True, False), (False, True)])
def test_sysusers_creates_image_users_again_unless_linked(root: HeldRoot, linked: bool, created: bool) -> None:
    root.write({**IMAGE, "run/sysusers.d/svc.conf": "u _svc 400\n"})
    if linked:
        start_unit(root)
    assert root.run("systemd-sysusers", "/run/sysusers.d/svc.conf")[0] == 0
    assert root.path("etc/passwd").exists() == created
    assert root.path("etc/group").exists() == created


def test_tmpfiles_makes_the_same_link(root: HeldRoot) -> None:
    assert root.run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/accounts.conf")[0] == 0
    assert str(root.path("etc/nsswitch.conf").readlink()) == TARGET


def test_vendor_configuration_has_only_known_shapes() -> None:
    """KEY=value files, and login.defs with one word or one PATH per key."""
    for name in ("accounts.conf", "default/useradd"):
        lines = [line for line in (DATA / name).read_text().splitlines() if line and not line.startswith("#")]
        assert all(line.partition("=")[0].isupper() for line in lines), name
    lines = [line for line in (DATA / "login.defs").read_text().splitlines() if line and line[0] != "#"]
    values = dict(line.split() for line in lines)
    assert all(key.replace("_", "").isupper() for key in values)
    assert (values["UID_MIN"], values["SUB_UID_COUNT"]) == ("1000", "65536")
    assert values["ENCRYPT_METHOD"] == "SHA512"
