# SPDX-License-Identifier: MIT
"""Every command of the documentation does what its page says, in a root of its own, and the site can be built.

ACCOUNTS_TUTORIALS=1 runs the long blocks, too: they load packages and images from mirrors.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from scripts.site import make_pages
from tests.docs.blocks import Command, Page, read_page
from tests.docs.roots import is_run, make_base, run_page
from tests.image.test_yocto import Builds
from tests.support.overlay import in_child
from tests.support.roots.mounts import unmount

TOP = Path(__file__).resolve().parents[2]
DOCS = TOP / "docs"


def find_pages() -> list[Path]:
    """All that is written for people who use it; docs/decisions and other READMEs are for those who work on it."""
    pages = [path for path in DOCS.rglob("*.md") if not {"decisions", "man"} & set(path.relative_to(DOCS).parts)]
    return sorted([TOP / "README.md", TOP / "SECURITY.md", *(TOP / "packaging").rglob("*.md"), *pages])


PAGES = [page for path in find_pages() if (page := read_page(path)).blocks]


def _run_all(pages: list[Page]) -> list[list[tuple[Command, str]]]:
    place = tempfile.mkdtemp(prefix="docs.", dir="/var/tmp")
    try:
        base = make_base(place)
        return [run_page(base, page) for page in pages]
    finally:
        unmount(place)


@pytest.fixture(scope="module")
def results() -> dict[Path, list[tuple[Command, str]]]:
    """What each page's commands printed."""
    return dict(zip((page.path for page in PAGES), in_child(_run_all, PAGES), strict=True))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.path.relative_to(TOP)))
def test_commands_print_what_the_page_says(page: Page, results: dict[Path, list[tuple[Command, str]]]) -> None:
    wrong = [
        f"{page.path}:{command.line}: {command.text}\n{printed}"
        for command, printed in results[page.path]
        if not command.matches(printed)
    ]
    assert not wrong, "\n".join(wrong)
    assert len(results[page.path]) == sum(len(block.commands) for block in page.blocks if is_run(block))


def test_the_judge_sees_what_differs() -> None:
    command = Command("x", 1, output=["a … c", "…", "end"])
    assert command.matches("a b c\nend\n") and command.matches("a b c\n1\n2\nend")
    for printed in ("a b d\nend\n", "a b c\n", "a b c\nend\nmore\n", ""):
        assert not command.matches(printed)
    assert not Command("x", 1).matches("anything\n") and Command("x", 1).matches("")


def test_every_command_is_in_a_block_that_runs() -> None:
    """test_every_command.py looks at what is elsewhere."""
    # What does not run every day says why, and is the lesser part.
    blocks = [block for page in PAGES for block in page.blocks]
    for page in PAGES:
        for test in {block.test for block in page.blocks} - {""}:
            assert page.path.name in (TOP / test).read_text(), f"{page.path}: not in {test}"
    assert sum(bool(block.long) for block in blocks) * 10 < len(blocks)
    assert len(PAGES) >= 10 and sum(len(block.commands) for block in blocks) > 120


def test_yocto_lines_do_what_the_page_says(tmp_path: Path) -> None:
    """In BitBake's own parser."""
    text = (DOCS / "start/yocto.md").read_text()
    lines = re.search(r"```bitbake\n(.*?)```", text, re.DOTALL)
    assert lines
    variables = dict(re.findall(r'^(\w+) \+?= "(.*)"$', lines[1], re.MULTILINE))
    assert len(variables) == lines[1].count("\n")
    answer = Builds(tmp_path).bitbake(set=variables, flags=[["do_rootfs", "postfuncs"]], get=["STATELESS_LEDGER"])
    assert answer["flags"]["do_rootfs"] == " stateless_accounts"
    assert answer["get"]["STATELESS_LEDGER"] == variables["STATELESS_LEDGER"]


def test_the_site_builds_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"],
        cwd=TOP, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    site = tmp_path / "site"
    for name in ("index.html", "first-week.html", "reference/man/accounts.conf.5.html", "schemas/status.json"):
        assert (site / name).exists(), name
    # Nothing is loaded from elsewhere.
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', (site / "index.html").read_text())
    assert [one for one in loaded if "canonical" not in one] == []


def test_a_broken_link_fails_the_site(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Home\n\n[there](nowhere.md)\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: x\nstrict: true\nplugins: []\n")
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and "nowhere.md" in done.stderr


def test_pages_that_are_made_have_what_the_tables_have() -> None:
    made = make_pages()
    assert "| [useradd](man/useradd.8.md) | 0 success; " in made["reference/statuses.md"]
    assert "9 the name is in use" in made["reference/statuses.md"]
    for path in (DOCS / "schemas").glob("*.json"):
        assert json.loads(path.read_text())["title"] in made["reference/json.md"]
    for path in (DOCS / "decisions").glob("*.md"):
        assert f"../decisions/{path.name}" in made["reference/decisions.md"]
    assert "[accounts.conf(5)](accounts.conf.5.md)" in made["reference/man/useradd.8.md"]
