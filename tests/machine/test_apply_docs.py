# SPDX-License-Identifier: MIT
"""docs/apply.md does what it says: its declaration is applied, its commands run, in a root of their own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from accounts.machine.applysources import TAILS
from accounts.machine.declaration import GROUP_KEYS, USER_KEYS
from tests.machine.life import TOP, make_root

TEXT = (TOP / "docs/apply.md").read_text()
BLOCKS = re.findall(r"(?:^    .*\n|^\n(?=    ))+", TEXT, re.MULTILINE)
FILES = {
    match[1]: block
    for block in (
        "".join(line[4:] or "\n" for line in block.splitlines(True) if "    $ " not in line) for block in BLOCKS
    )
    if (match := re.match(r"\s*# (/\S+)\n", block))
}
COMMANDS = [line.strip()[2:] for line in TEXT.splitlines() if line.startswith("    $ ")]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_every_command_of_the_document_works(tmp_path: Path) -> None:
    root, other = make_root(tmp_path / "root"), make_root(tmp_path / "other")
    for name, text in FILES.items():
        file = root / name[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
    keys = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys], check=True)
    line = next(line.strip() for line in TEXT.splitlines() if line.startswith("    admin@example.org"))
    key = keys.with_suffix(".pub").read_text().split()[1]
    (root / "etc/accounts").mkdir()
    (root / "etc/accounts/signers").write_text(line.replace("AAAA...", key) + "\n")
    assert len(COMMANDS) >= 8
    for command in COMMANDS:
        place = other if "import-delta" in command else root
        words = command.replace("~/.ssh/", f"{tmp_path}/").replace(" /etc/accounts", f" {root}/etc/accounts")
        name = re.match(r"accounts (\S+)", words)
        if name is not None:
            words = words.replace(name[0], f"{TOP}/shims/accounts {name[1]} -R {place}", 1)
        done = subprocess.run(
            ["sh", "-c", f"umask 077; {words}"], input=b"secret\n", capture_output=True, cwd=tmp_path, timeout=60
        )
        assert done.returncode == (1 if "--check" in command else 0), (command, done)
        assert done.stderr == b"", (command, done)
    rows = (root / "etc/passwd").read_text()
    assert re.search(r"^alice:x:\d+:\d+:Alice:/home/alice:/bin/bash$", rows, re.MULTILINE)
    assert "backup-job:x:999:" in rows
    assert (root / "etc/shadow").read_text().startswith("alice:$6$")
    assert (other / "etc/passwd").read_text() == rows


def test_every_key_is_in_the_document() -> None:
    for key in (*USER_KEYS, *GROUP_KEYS, *TAILS):
        assert f"`{key}`" in TEXT, key
