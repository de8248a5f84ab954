# SPDX-License-Identifier: MIT
"""What the module does beyond answering right: buffers, errno, threads, damage. See probe.c for each."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.nss.conftest import TOP, MakePrograms, Programs, make

SCENARIOS = (
    *("too_small_buffers", "statuses_and_errno", "group_lists", "long_lines", "block_boundaries"),
    *("descriptors", "threads", "truncation_while_reading", "interrupted_and_short_reads", "cancellation"),
)
# A sanitizer needs memory and stack of its own.
PLAIN_ONLY = ("smallest_stack", "no_memory")
RUNS = [
    *(("plain", scenario) for scenario in SCENARIOS + PLAIN_ONLY),
    *(("asan", scenario) for scenario in SCENARIOS),
    *(("tsan", scenario) for scenario in ("threads", "truncation_while_reading", "cancellation")),
]
# valgrind checks what it is that system calls are given, which ASan does not.
VALGRIND = ("valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--track-fds=yes")

FUNCTIONS = ["getpwuid_r", "getgrgid_r", "initgroups_dyn"]
for _entry, _by_name in (("pwent", "pwnam"), ("grent", "grnam"), ("spent", "spnam"), ("sgent", "sgnam")):
    FUNCTIONS += [f"set{_entry}", f"end{_entry}", f"get{_entry}_r", f"get{_by_name}_r"]


@pytest.fixture(scope="session")
def datadir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch directory that a process without privileges can reach too (pytest's own are 0700)."""
    directory = tmp_path_factory.mktemp("data")
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(0o755)
    return directory


def probe(built: Programs, scenario: str, *wrapper: str) -> None:
    for left_over in built.datadir.iterdir():
        left_over.unlink()
    command = [*wrapper, built.program("probe"), built.module, built.datadir, scenario]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("kind", "scenario"), RUNS)
def test_scenario(programs: MakePrograms, datadir: Path, kind: str, scenario: str) -> None:
    probe(programs(kind, datadir), scenario)


@pytest.mark.parametrize("scenario", ["too_small_buffers", "group_lists", "block_boundaries"])
def test_scenario_under_valgrind(programs: MakePrograms, datadir: Path, scenario: str) -> None:
    probe(programs("plain", datadir), scenario, *VALGRIND)


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_exports_the_nss_functions_and_nothing_else(programs: MakePrograms, datadir: Path) -> None:
    symbols = output("nm", "--dynamic", "--defined-only", programs("plain", datadir).module)
    exported = [line.split()[-1] for line in symbols.splitlines()]
    assert sorted(exported) == sorted(f"_nss_altfiles_{name}" for name in (*FUNCTIONS, "hidden_1"))


def test_needs_only_libc_and_has_full_relro(programs: MakePrograms, datadir: Path) -> None:
    module = programs("plain", datadir).module
    dynamic = output("readelf", "--dynamic", "--wide", module)
    assert re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic) == ["libc.so.6"]
    assert re.findall(r"\(SONAME\).*\[(.*)\]", dynamic) == ["libnss_altfiles.so.2"]
    assert "BIND_NOW" in dynamic
    segments = output("readelf", "--segments", "--wide", module)
    assert "GNU_RELRO" in segments
    assert not re.search(r"RWE", segments)
    assert "__stack_chk_fail" in output("nm", "--dynamic", "--undefined-only", module)


def test_no_function_uses_much_stack(tmp_path: Path, datadir: Path) -> None:
    """pid 1 and threads with 16 KiB stacks call the module."""
    make(TOP / "nss", f"BUILD={tmp_path}", f"DATADIR={datadir}", "CFLAGS=-O2 -fstack-usage")
    usage = [line.split("\t") for report in tmp_path.glob("*.su") for line in report.read_text().splitlines()]
    assert len(usage) > len(FUNCTIONS)
    assert [line for line in usage if int(line[1]) > 512 or line[2] == "dynamic"] == []
