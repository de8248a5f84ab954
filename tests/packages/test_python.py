# SPDX-License-Identifier: MIT
"""The distribution for PyPI: built and checked by the usual tools, installed into a fresh environment, used there."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from accounts.version import VERSION
from tests.image.rootfs import make_wirable_root, names
from tests.image.test_packaging import IMAGE
from tests.packages.rootdir import TOP

LIBRARY = """\
import sys
from accounts.change import Change
from accounts.edit.groupadd import AddGroup
with Change(sys.argv[1]) as change:
    change.do(AddGroup(name=b"crew", gid=2000))
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Output and errors; it must succeed."""
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, and the wheel that was built of it."""
    place = tmp_path_factory.mktemp("dist")
    (place / "source").mkdir()
    copy = f"git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C '{place}/source'"
    subprocess.run(copy, shell=True, cwd=TOP, check=True)
    run("/usr/bin/python3", "-m", "venv", place / "tools")
    run(place / "tools/bin/pip", "-q", "install", "--disable-pip-version-check", "build", "twine")
    run(place / "tools/bin/python", "-m", "build", "-o", place / "dist", place / "source")
    said = run(place / "tools/bin/twine", "check", "--strict", *sorted((place / "dist").iterdir()))
    assert said.count("PASSED") == 2
    return place / "dist"


@pytest.fixture(scope="module")
def environment(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it depends on."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    run("/usr/bin/python3", "-m", "venv", place)
    run(place / "bin/pip", "-q", "install", "--disable-pip-version-check", next(dist.glob("*.whl")))
    return place


def test_there_is_one_version(dist: Path, environment: Path) -> None:
    assert sorted(path.name for path in dist.iterdir()) == [
        f"stateless_accounts-{VERSION}-py3-none-any.whl", f"stateless_accounts-{VERSION}.tar.gz",
    ]  # fmt: skip
    assert run(environment / "bin/accounts", "--version") == f"accounts {VERSION}\n"
    assert f"Version: {VERSION}\n" in run(environment / "bin/pip", "show", "stateless-accounts")


def test_images_are_made_from_there(environment: Path, tmp_path: Path) -> None:
    root = make_wirable_root(tmp_path / "root", IMAGE)
    accounts = environment / "bin/accounts"
    for command in ("seed", "wire", "check"):
        run(accounts, "image", command, root)
    assert names(root) == []
    run(environment / "bin/python", "-c", LIBRARY, root)
    assert (root / "etc/group").read_text() == "crew:x:2000:\n"


def test_the_manuals_and_schemas_are_there(dist: Path, environment: Path) -> None:
    page = run("man", "-M", environment / "share/man", "-w", "accounts-image-seed").strip()
    assert page == str(environment / "share/man/man8/accounts-image-seed.8")
    for name in ("accounts.8", "accounts-status.8", "accounts.conf.5"):
        assert (environment / f"share/man/man{name[-1]}" / name).is_file()
    schema = next(environment.glob("lib/python3*/site-packages/accounts/schemas/status.json"))
    assert schema.read_text() == (TOP / "docs/schemas/status.json").read_text()
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        assert not [name for name in archive.getnames() if "/tests/" in name or "/build/" in name]
