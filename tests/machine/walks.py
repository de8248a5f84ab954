# SPDX-License-Identifier: MIT
"""Walks over trees that are no root. Imports nothing that only the tests' environment has."""

from __future__ import annotations

import os
from pathlib import Path

from accounts.model.moves import Moves
from accounts.system import walklog
from accounts.system.reown import Reowned, Walk


def begin(place: Path, moves: Moves, *paths: Path) -> None:
    """Write a journal into place."""
    directory = os.open(place, os.O_RDONLY)
    walklog.create(directory, "journal", walklog.Plan(moves, tuple(map(str, paths)))).close()
    os.close(directory)


def go_on(place: Path, quiet: bool = False, foreign: bool = False, skip: tuple[bytes, ...] = ()) -> Reowned | None:
    """Run the walk of a journal to its end, if there is one."""
    directory = os.open(place, os.O_RDONLY)
    log = walklog.open_log(directory, "journal")
    done = None
    if log is not None:
        walk = Walk(log, quiet=quiet, foreign=foreign, skip=skip)
        done = walk.run(lambda path: os.open(path, os.O_RDONLY | os.O_DIRECTORY))
        log.remove()
        log.close()
    os.close(directory)
    return done


def walk(place: Path, moves: Moves, *paths: Path, quiet: bool = False, foreign: bool = False) -> Reowned:
    """A whole walk."""
    begin(place, moves, *paths)
    done = go_on(place, quiet, foreign)
    assert done is not None and not os.path.exists(place / "journal")
    return done
