# SPDX-License-Identifier: MIT
"""Loads the recorded runs of shadow-utils (recordings/README.md explains their format)."""

from __future__ import annotations

import base64
import gzip
import json
import os
from dataclasses import dataclass
from typing import Any

from tests.support.state import Command, File, Node, State
from tests.support.worker import REPO

RELEASES = ("4.13", "4.17", "4.20")
NAME = "shadow-{}.jsonl.gz"


@dataclass
class Case:
    """One recorded run: before, the command, and what came out of it. release: of the shadow-utils recorded."""

    name: str
    command: Command
    before: State
    after: State
    exit: int
    stdout: bytes
    stderr: bytes
    release: str = RELEASES[0]


def find_recordings(release: str) -> str:
    """The path of the recordings of a release. Raises FileNotFoundError: without them nothing can be replayed."""
    name = NAME.format(release)
    given = os.environ.get("ACCOUNTS_RECORDINGS")
    directories = [given] if given else [f"{REPO}/tests/replay/data", f"{REPO}/../shared/recordings"]
    for directory in directories:
        if os.path.isfile(os.path.join(directory, name)):
            return os.path.join(directory, name)
    raise FileNotFoundError(f"{name}: set ACCOUNTS_RECORDINGS to its directory")


def load_recordings(
    tools: frozenset[str] = frozenset(), names: frozenset[str] = frozenset(), release: str = RELEASES[0]
) -> list[Case]:
    """The cases of a release of these tools and with these names (an empty set means all)."""
    cases = []
    with gzip.open(find_recordings(release), "rb") as stream:
        for line in stream:
            record = json.loads(line)
            if (not tools or record["tool"] in tools) and (not names or record["case"] in names):
                cases.append(_parse_case(record, release))
    return cases


def _parse_case(record: dict[str, Any], release: str) -> Case:
    before = State(
        etc={name: _parse_file(value) for name, value in record["before"].items()},
        tree={path: _parse_node(value) for path, value in record["tree_before"].items()},
    )
    etc = before.etc | {name: _parse_file(value) for name, value in record["after"].items()}
    tree = before.tree | {path: _parse_node(value) for path, value in record["tree_after"].items()}
    after = State(
        etc={name: file for name, file in etc.items() if name not in record["gone"]},
        tree={path: node for path, node in tree.items() if path not in record["tree_gone"]},
    )
    command = Command(
        tool=record["tool"],
        argv=[_parse_text(word) for word in record["argv"]],
        stdin=_parse_text(record["stdin"]),
        env=record["env"],
        umask=int(record["umask"], 8),
        day=record["day"],
        files={name: _parse_text(text) for name, text in record["argfile"].items()},
    )
    return Case(
        record["case"],
        command,
        before,
        after,
        record["exit"],
        _parse_text(record["stdout"]),
        _parse_text(record["stderr"]),
        release,
    )


def _parse_text(value: str | dict[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["b64"])


def _parse_file(value: dict[str, Any]) -> File:
    return File(_parse_text(value["text"]), int(value["mode"], 8), value["uid"], value["gid"])


def _parse_node(value: list[Any]) -> Node:
    kind, mode, uid, gid, *rest = value
    size = rest[0] if kind == "f" else 0
    return Node(kind, int(mode, 8), uid, gid, size, rest[0] if kind == "l" else "")
