# SPDX-License-Identifier: MIT
"""The image tool on a build host: `make install-image-tool`, and a wheel with a console script and its data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.image.rootfs import make_wirable_root, names

TOP = Path(__file__).resolve().parents[2]
IMAGE = {
    "etc/passwd": "root:x:0:0::/:/bin/sh\nsvc:x:100:100:::\n", "etc/group": "root:x:0:\nsvc:x:100:\n",
    "etc/shadow": "root:*:1::::::\nsvc:*:1::::::\n", "etc/gshadow": "root:*::\nsvc:!::\n",
}  # fmt: skip


def build_image(place: Path, accounts: Path, **environment: str) -> None:
    """Seed and wire a root with that `accounts`; the vendor files must come with it."""
    root = make_wirable_root(place, IMAGE)
    for command in ("seed", "wire"):
        done = subprocess.run(
            [accounts, "image", command, root], capture_output=True, text=True,
            env={"PATH": "/usr/bin:/bin", **environment},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert names(root) == []
    nsswitch = (root / "usr/share/accounts/nsswitch.conf").read_text()
    assert nsswitch == (TOP / "nss-data/nsswitch.conf").read_text()
    unit = "usr/lib/systemd/system/accounts-nsswitch.service"
    assert (root / unit).read_text() == (TOP / "nss-data/systemd/accounts-nsswitch.service").read_text()


def test_a_build_host_gets_accounts_and_keeps_its_own_tools(tmp_path: Path) -> None:
    prefix = tmp_path / "tools"
    subprocess.run(
        ["make", "-s", "-C", TOP, "install-image-tool", f"PREFIX={prefix}"], check=True, stdout=subprocess.DEVNULL
    )
    assert os.listdir(prefix / "bin") == ["accounts"]
    assert sorted(os.listdir(prefix)) == ["bin", "lib"]
    build_image(tmp_path / "root", prefix / "bin/accounts")


@pytest.mark.parametrize("targets", [("install", "install-doc"), ("install-image-tool",)])
def test_everybody_may_read_what_is_installed(tmp_path: Path, targets: tuple[str, ...]) -> None:
    """Whatever the umask and the modes of the checkout."""
    checkout = tmp_path / "checkout"
    (checkout / "build").mkdir(parents=True)
    subprocess.run(["make", "-s", "-C", TOP, "build/deps"], check=True)
    subprocess.run(["cp", "-a", TOP / "build/deps", checkout / "build"], check=True)
    for name in ("accounts", "common", "docs", "nss", "nss-data", "packaging", "pam", "scripts", "shims", "subid"):
        subprocess.run(["cp", "-a", TOP / name, checkout], check=True)
    subprocess.run(["cp", "-a", TOP / "Makefile", checkout], check=True)
    subprocess.run(["chmod", "-R", "go=", checkout], check=True)
    subprocess.run(
        ["make", "-s", "-C", checkout, *targets, f"DESTDIR={tmp_path}/root"],
        check=True, stdout=subprocess.DEVNULL, umask=0o077,
    )  # fmt: skip
    # What is in PATH is executable, too.
    for path in [tmp_path / "root", *(tmp_path / "root").rglob("*")]:
        needed = 0o755 if path.is_dir() or path.parent.name in ("bin", "sbin") else 0o644
        assert path.is_symlink() or path.stat().st_mode & needed == needed, path
    passlib = tmp_path / "root/usr/lib/accounts/passlib"
    assert passlib.is_dir() and not (passlib / "_data").exists() and not (passlib / "ext").exists()


def test_a_wheel_has_the_command_and_the_vendor_files(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()  # setuptools leaves files beside what it builds
    for name in (
        "accounts",
        "docs",
        "nss-data",
        "scripts",
        "shims",
        "pyproject.toml",
        "setup.py",
        "README.md",
        "LICENSE",
    ):
        subprocess.run(["cp", "-a", TOP / name, source], check=True)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--no-compile", "--target", target, source], check=True)
    packaged = {path.relative_to(target / "accounts") for path in (target / "accounts").rglob("*.py")}
    shipped = {path.relative_to(TOP / "accounts") for path in (TOP / "accounts").rglob("*.py")}
    assert packaged == shipped
    for path in (TOP / "nss-data").rglob("*"):
        if path.is_file():
            assert (target / "accounts/nss_data" / path.relative_to(TOP / "nss-data")).is_file(), path
    assert (target / "accounts/schemas/status.json").is_file()
    assert (target / "share/man/man8/accounts-image-seed.8").is_file()
    build_image(tmp_path / "root", target / "bin/accounts", PYTHONPATH=str(target))


def test_make_image_makes_no_root_of_its_own(tmp_path: Path) -> None:
    for root, told in (("", "needs ROOT="), (f"{tmp_path}/rotofs", "is not there")):
        done = subprocess.run(["make", "-s", "-C", TOP, "image", f"ROOT={root}"], capture_output=True, text=True)
        assert done.returncode == 2 and told in done.stderr and list(tmp_path.iterdir()) == []
