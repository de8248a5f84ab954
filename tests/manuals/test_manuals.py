# SPDX-License-Identifier: MIT
"""The manuals as a reader has them: mandoc finds no fault, man finds the page, and it has what the tables have."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from accounts.cli import image
from accounts.cli.tool import Tool
from accounts.image.ledger import parse_text
from accounts.image.rules import parse_rules
from accounts.machine.check import SETTINGS
from scripts.commandlines import RELEASES, SECTION_1, find_commands, find_tool, list_rows
from scripts.manuals import MAN, main, pages
from scripts.shims import TOOLS

TOP = Path(__file__).resolve().parents[2]
OWN = sorted(name for name in TOOLS if "/" not in name)


@pytest.fixture(scope="module")
def manuals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of manuals, with its index."""
    place = tmp_path_factory.mktemp("man")
    subprocess.run(["python3", TOP / "scripts/manuals.py", place], check=True)
    subprocess.run(["mandb", "-qc", place], check=False, capture_output=True)
    return place


def read(manuals: Path, name: str) -> str:
    """A page as man(1) shows it, without overstriking, in one line a paragraph."""
    (page,) = manuals.glob(f"man?/{name}.?")
    shown = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=1000", page], capture_output=True, check=True).stdout
    return re.sub(".\b", "", shown.decode())


def test_mandoc_finds_no_fault(manuals: Path) -> None:
    files = sorted(manuals.glob("man?/*"))
    result = subprocess.run(["mandoc", "-T", "lint", "-W", "style", *files], capture_output=True, text=True)
    # It looks for the manuals that are referred to among those of this system only.
    faults = [line for line in result.stdout.splitlines() if "referenced manual not found" not in line]
    assert faults == []


def test_manuals_that_are_referred_to_exist() -> None:
    there = {path.split("/")[1].rsplit(".", 1)[0] + " " + path[-1] for path in pages()}
    others = {
        "diff 1", "getent 1", "login.defs 5", "nsswitch.conf 5", "sysusers.d 5", "tmpfiles.d 5", "systemd-tmpfiles 8",
        "fnmatch 3", "pam.d 5", "pam_pwhistory 8", "pam_pwquality 8", "pam_unix 8",
    }  # fmt: skip
    referred = {other for text in pages().values() for other in re.findall(r"\.?\bXr (\S+ \d)", text)}
    assert referred - there <= others


def test_there_is_a_page_for_all() -> None:
    there = {Path(path).stem for path in pages()}
    assert there >= {*OWN, "accounts", *(f"accounts-{name.replace(' ', '-')}" for name in find_commands())}
    texts = {path.name for path in (MAN / "tools").iterdir()} - {"README.md"}
    assert texts == set(OWN)
    assert {path.name for path in (MAN / "commands").iterdir()} == {
        "accounts",
        *(name.replace(" ", "-") for name in find_commands()),
    }


@pytest.mark.parametrize("name", OWN)
def test_the_page_of_a_tool_has_its_options_and_statuses(manuals: Path, name: str) -> None:
    tool = find_tool(name)
    shown = read(manuals, name)
    for row in list_rows(tool):
        assert re.search(rf"^ +{re.escape(', '.join(row.names))}\b", shown, re.M), row
        assert "".join(row.text[1:].split()) in "".join(shown.split()), row
    for number in {*tool.exits.values(), *tool.file_exits.values(), tool.other}:
        assert re.search(rf"^ +{number}\b", shown, re.M), number
    assert "\nSTATELESS\n" in shown
    usages = "".join(tool.usage_for(release) for release in RELEASES)
    for row in list_rows(tool):
        told = any(re.search(rf"^ +(-\w, )?{re.escape(word)}[ ,]", usages, re.M) for word in row.names)
        assert bool(row.text) == told, row


@pytest.mark.parametrize("name", find_commands())
def test_the_page_of_a_command_has_what_its_help_has(manuals: Path, name: str) -> None:
    line = find_commands()[name]
    shown = read(manuals, f"accounts-{name.replace(' ', '-')}")
    for row in list_rows(line):
        assert ", ".join(row.names) in shown and row.argument in shown, row
    statuses = {*line.exits.values(), *line.file_exits.values(), line.other} if isinstance(line, Tool) else range(4)
    told = re.search(r"^EXIT STATUS\n(.*?)^[A-Z]", shown, re.M | re.DOTALL)
    assert told and {int(number) for number in re.findall(r"^ +(\d+) ", told[1], re.M)} == {0, *statuses}


def test_the_help_of_a_command_names_its_page() -> None:
    there = {Path(path).stem for path in pages()}
    parsers = [line for line in find_commands().values() if not isinstance(line, Tool)]
    for parser in (*parsers, image.make_parser()):
        told = re.findall(r"^Manual: (\S+)\(8\)$", parser.format_help(), re.M)
        assert len(told) == 1 and told[0] in there, parser.prog


def test_accounts_conf_has_every_key_that_is_read_and_no_other(manuals: Path) -> None:
    sources = [path.read_text() for path in (TOP / "accounts").rglob("*.py")]
    read_keys = {key for text in sources for key in re.findall(r"""\bsetting\(b"([A-Z_]+)\"""", text)}
    assert {key.decode() for key in SETTINGS} == read_keys
    assert read_keys == set(re.findall(r"^\.It Va (\w+)$", (MAN / "accounts.conf.5").read_text(), re.M))
    shipped = re.findall(r"^(\w+)=", (TOP / "nss-data/accounts.conf").read_text(), re.M)
    assert set(shipped) <= read_keys and "RE_OWN" in read(manuals, "accounts.conf")


def test_what_the_manuals_of_files_show_is_taken_as_such() -> None:
    def example(name: str) -> str:
        (text,) = re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed", (MAN / name).read_text(), re.M)
        return text.replace("\\-", "-").replace("\\&", "")

    ledger = parse_text(example("accounts-ids.5").encode(), "accounts-ids.5")
    assert ledger.pin("group", b"video") == 44 and len(ledger.ranges) == 1
    assert parse_rules(example("accounts-rules.5"), "accounts-rules.5").entries
    assert "RE_OWN=/var /home" in example("accounts.conf.5")


def test_man_finds_them(manuals: Path) -> None:
    files = ("accounts.conf", "accounts-hidden", "accounts-rules", "accounts-ids")
    modules = ("nss_altfiles", "pam_accounts")
    commands = [f"accounts-{name.replace(' ', '-')}" for name in find_commands()]
    for name in (*OWN, "accounts", *commands, *files, *modules):
        section = "1" if name in SECTION_1 else "5" if name in files else "8"
        found = subprocess.run(["man", "-M", manuals, "-w", section, name], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == f"{manuals}/man{section}/{name}.{section}"


def test_same_sources_same_bytes(manuals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["manuals.py", str(tmp_path)])
    main()
    for path in manuals.glob("man?/*"):
        assert (tmp_path / path.relative_to(manuals)).read_bytes() == path.read_bytes()
