# SPDX-License-Identifier: MIT
"""Builds pam_accounts.so over a scratch directory, with a tool of our own. Needs root, cc and make."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
ASAN = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
# Records what it was given, says and answers what the test wants. No interpreter's start in these tests.
TOOL = """\
#!/bin/sh
cat >{base}/got
{{ env; echo "args $*"; id -ru; id -u; id -Gn; umask; pwd; ulimit -f; ulimit -c
  ls -l /proc/self/fd | grep -c -- '->'; ps -o sid= -p $$ | grep -c $$
  while read -r line; do
    case $line in SigBlk*|SigIgn*) echo "$line";; esac
  done </proc/$$/status; }} >{base}/state 2>&1
[ -r {base}/do ] && . {base}/do
exit 0
"""


@dataclass
class Bench:
    """A module built for one scratch directory, and what is below that: image/, local/, tool, pam.d/."""

    base: Path
    module: Path
    driver: Path
    environment: dict[str, str]

    def reset(self) -> None:
        for name in ("image", "local"):
            shutil.rmtree(self.base / name, ignore_errors=True)
            (self.base / name).mkdir()
        for name in ("got", "state", "do"):
            (self.base / name).unlink(missing_ok=True)
        self.tool(TOOL.format(base=self.base))
        self.stack("password required {module} nodelay\naccount required {module}\n")

    def tool(self, text: str | None) -> None:
        """What the module calls; None: nothing is there."""
        path = self.base / "tool"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
            path.chmod(0o755)

    def stack(self, text: str) -> None:
        (self.base / "pam.d").mkdir(exist_ok=True)
        (self.base / "pam.d/test").write_text(text.format(module=self.module))

    def put(self, layer: str, name: str, text: str) -> None:
        (self.base / layer / name).write_text(text)

    def run(self, user: str, how: str, *answers: str, timeout: float = 60, scan: str = "") -> list[str]:
        """What the modules say, and as the last line the result. scan: see driver.c."""
        command = [self.driver, self.base / "pam.d", "test", user, how, *answers]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, errors="surrogateescape",
            env=self.environment | ({"SCAN": scan} if scan else {}),
        )  # fmt: skip
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout.splitlines()


def _build(base: Path, flags: str) -> Bench:
    base.chmod(0o755)
    where = [f"BUILD={base}/build", f"DATADIR={base}/image", f"LOCALDIR={base}/local", f"TOOL={base}/tool"]
    subprocess.run(["make", "-s", "-C", TOP / "pam", *where, f"CFLAGS={flags}"], check=True)
    driver = base / "driver"
    # The sanitizer's own crypt_r looks for libcrypt when the program starts.
    libraries = ["-lpam", "-Wl,--no-as-needed", "-lcrypt"]
    warnings = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["cc", *warnings, *flags.split(), "-o", driver, HERE / "driver.c", *libraries], check=True)
    # libpam forgets the first answer when there is no second one.
    (base / "leaks").write_text("leak:converse\n")
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET": "environment",
        "LSAN_OPTIONS": f"suppressions={base}/leaks:print_suppressions=0",
    }
    return Bench(base, base / "build/pam_accounts.so", driver, environment)


@pytest.fixture(scope="session")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bench]:
    """benches("shipped") or benches("asan")."""
    flags = {"shipped": "-O2 -g", "asan": ASAN}
    return functools.cache(lambda kind: _build(tmp_path_factory.mktemp(f"pam-{kind}"), flags[kind]))


@pytest.fixture
def bench(benches: Callable[[str], Bench]) -> Bench:
    """With sanitizers."""
    made = benches("asan")
    made.reset()
    return made


@pytest.fixture
def shipped(benches: Callable[[str], Bench]) -> Bench:
    """With the flags of an installation."""
    made = benches("shipped")
    made.reset()
    return made
