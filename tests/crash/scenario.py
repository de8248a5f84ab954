# SPDX-License-Identifier: MIT
"""One commit with everything in it: files changed, created, removed, a backup that must be a copy."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from accounts.errors import AccountsError
from accounts.system.commit import FileChange, commit
from accounts.system.locks import Locks
from accounts.system.store import recover

Files = dict[str, bytes | None]

OLD: Files = {
    "passwd": b"root:x:0:0::/root:/bin/sh\n",
    "shadow": b"root:!:1::::::\n",
    "group": b"root:x:0:\n",
    "gshadow": b"root:*::\n",
    "subuid": None,
    "accounts/base": None,
}
NEW: Files = {
    "passwd": b"root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
    "shadow": b"root:!:1::::::\nalice:!:1::::::\n",
    "group": b"root:x:0:\nalice:x:1000:\n",
    "gshadow": None,
    "subuid": b"alice:100000:65536\n",
    "accounts/base": b"passwd games:x:5:60::/:/bin/sh\n",
}
# What an earlier change had left, and what this one leaves.
OLD_BACKUPS: Files = {"passwd-": b"earlier\n", "shadow-": None, "group-": None, "gshadow-": b"earlier\n"}
NEW_BACKUPS: Files = {f"{name}-": OLD[name] for name in ("passwd", "shadow", "group", "gshadow")}
MODES = {"passwd": 0o644, "shadow": 0o640, "group": 0o644, "gshadow": 0o640, "subuid": 0o644}


def fill(directory: Path) -> None:
    """Put the old state into an empty directory."""
    for name, content in {**OLD, **OLD_BACKUPS}.items():
        if content is not None:
            path = directory / name
            path.write_bytes(content)
            path.chmod(MODES.get(name, 0o600))
    # More than one link: the backup of this one has to be a copy.
    os.link(directory / "group", directory / "group.linked")


def changes() -> list[FileChange]:
    """The change from OLD to NEW."""
    return [
        FileChange(name, OLD[name], NEW[name], MODES.get(name, 0o600), 0, 0, name != "accounts/base") for name in OLD
    ]


def act(etc: int) -> int:
    """What a tool does: lock, recover, commit, unlock. 0: done, 1: refused with an error of ours."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as the tools do first of all
    locks = Locks(etc)
    try:
        for name in ("passwd", "group", "gshadow", "shadow", "subuid"):
            locks.acquire(name)
        recover(etc)
        commit(etc, changes())
    except AccountsError:
        return 1
    finally:
        locks.release()
    return 0


def act_next(etc: int) -> int:
    """What the next tool does before it reads."""
    locks = Locks(etc)
    try:
        for name in ("passwd", "group", "gshadow", "shadow", "subuid"):
            locks.acquire(name)
        recover(etc)
    finally:
        locks.release()
    return 0


def _read(directory: Path, name: str) -> bytes | None:
    try:
        return (directory / name).read_bytes()
    except FileNotFoundError:
        return None


def judge(directory: Path) -> str:
    """ "old" or "new" when the directory is exactly that, backups and all; else what is wrong."""
    files = {name: _read(directory, name) for name in OLD}
    state = "old" if files == OLD else "new" if files == NEW else ""
    if not state:
        return f"neither old nor new: {files}"
    backups = {name: _read(directory, name) for name in OLD_BACKUPS}
    if backups != (OLD_BACKUPS if state == "old" else NEW_BACKUPS):
        return f"{state}, but backups {backups}"
    expected = {name for name, content in {**files, **backups}.items() if content is not None}
    expected |= {".pwd.lock", "group.linked"}
    found = {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}
    found.add(".pwd.lock")
    if found != expected:
        return f"{state}, but left over {sorted(found - expected)}, missing {sorted(expected - found)}"
    if (directory / "accounts").exists() != (state == "new"):
        return f"{state}, but the directory accounts is wrong"
    for name, mode in MODES.items():
        if files[name] is not None and (directory / name).stat().st_mode & 0o7777 != mode:
            return f"{state}, but {name} has mode {(directory / name).stat().st_mode:o}"
    if state == "new" and (directory / "group-").samefile(directory / "group.linked"):
        return "the backup of group is a file of somebody else"
    return state
