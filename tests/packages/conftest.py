# SPDX-License-Identifier: MIT
"""`make packages-test`: building and installing packages takes minutes, and networks; `make test` leaves it out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.packages.rootdir import PackagedRoot

collect_ignore_glob = [] if "ACCOUNTS_PACKAGES" in os.environ else ["test_*"]


@pytest.fixture(scope="session", params=["12", "13"])
def release(request: pytest.FixtureRequest) -> str:
    """Of Debian."""
    return str(request.param)


@pytest.fixture(scope="session")
def build_debs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Debian's packages of a release, built once in a root of that release, and looked at by lintian."""
    place = tmp_path_factory.mktemp("debs")

    @cache
    def build(release: str) -> Path:
        root = PackagedRoot(f"debian-{release}-packaging", place / "root")
        root.check_out()
        root.run("cd /root/tree && scripts/deb.sh /debs")
        root.run(
            "apt-get -qq update; lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "
            "/debs/*.deb /debs/*.dsc"
        )
        shutil.copytree(root.path / "debs", place / release)
        shutil.rmtree(place / "root")
        return place / release

    yield build
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def debs(release: str, build_debs: Callable[[str], Path]) -> Path:
    """The packages of the release."""
    return build_debs(release)
