# SPDX-License-Identifier: MIT
"""The linters run as tests, so that "pytest is green" means everything is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SHELL_SCRIPTS = sorted(
    path
    for path in (*TOP.glob(".ci/*"), *TOP.glob("tests/**/*"), *TOP.glob("packaging/**/*"), *TOP.glob("nss*/**/*"))
    if path.is_file() and path.read_bytes()[:40].startswith((b"#!/bin/sh", b"#!/usr/bin/env bash", b"#!/bin/bash"))
)


@pytest.mark.parametrize(
    "command",
    [
        [BIN / "ruff", "check", "."],
        [BIN / "ruff", "format", "--check", "."],
        [BIN / "mypy", "--no-error-summary"],
        [BIN / "lint-imports", "--no-cache"],
        ["shellcheck", *SHELL_SCRIPTS],
    ],
    ids=["ruff", "format", "mypy", "import-linter", "shellcheck"],
)
def test_linter_finds_nothing(command: list[str]) -> None:
    result = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
