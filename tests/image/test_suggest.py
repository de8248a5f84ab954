# SPDX-License-Identifier: MIT
"""accounts image stateless --suggest: drafts of rules that leave nothing over, with the packages to ask."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accounts.cli.image import main
from accounts.image.rules import Rules, lint_rules, parse_rules
from accounts.image.stateless import apply_rules
from accounts.image.suggest import suggest_rules
from accounts.image.tree import Tree
from tests.image.rootfs import make, tell

FILES: dict[str, str | None] = {
    "usr/bin/systemd-tmpfiles": "", "etc/passwd": "", "etc/foo/a": "", "etc/foo/b/c": "", "etc/foo/b/l -> c": None,
    "etc/mixed/known": "", "etc/mixed/own": "", "etc/mixed/other/x": "", "etc/ucf.conf": "", "etc/by hand": "",
    "etc/empty/": None, "etc/odd/": None,
    "var/lib/dpkg/info/libfoo:amd64.list": "/.\n/etc\n/etc/foo\n/etc/foo/a\n/etc/foo/b/c\n/usr/bin/foo\n",
    "var/lib/dpkg/info/foo-extra.list": "/etc/foo/b/l\n/etc/mixed/other/x\n",
    "var/lib/dpkg/info/foo-extra.md5sums": "0 etc/mixed/own\n",
    "var/lib/ucf/registry": "withucf /etc/ucf.conf\n",
}  # fmt: skip
RULES = "# a\nkeep passwd\n# b\nrm mixed/known\n"
ASK = "what reads it, and would it be found below /usr?"
DRAFT = f"""\
# FIXME no package (made by a script, or by hand): {ASK}
factory by?hand as=link
# FIXME foo-extra, libfoo: {ASK}
factory foo as=link
# FIXME foo-extra: {ASK}
factory mixed/other as=link
# FIXME no package (made by a script, or by hand): {ASK}
factory mixed/own as=link
# FIXME withucf: {ASK}
factory ucf.conf as=link
"""


def test_each_entry_that_no_rule_takes_gets_a_draft_with_its_packages(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = make(tmp_path / "r", FILES)
    before = tell(root, times=True)
    (tmp_path / "rules").write_text(RULES)
    assert main(["stateless", str(root), "--rules", str(tmp_path / "rules"), "--suggest"]) == 0
    assert capfd.readouterr() == (DRAFT, "")
    assert tell(root, times=True) == before


def test_nothing_is_left_with_the_drafts_and_lint_waits_for_reasons(tmp_path: Path) -> None:
    root = make(tmp_path / "r", FILES)
    rules = parse_rules(RULES + DRAFT, "rules")
    assert {(one.code, one.line) for one in lint_rules(rules)} == {("reason", line) for line in (6, 8, 10, 12, 14)}
    filled = parse_rules(RULES + re.sub("FIXME.*", "Hard-coded.", DRAFT), "rules")
    assert lint_rules(filled) == []
    assert apply_rules(root, filled, check_empty="error").left == []
    with Tree(root) as tree:
        assert suggest_rules(tree, filled) == ""


def test_odd_names_and_a_root_without_systemd(tmp_path: Path) -> None:
    names = ["a=b", "x -> y", "->", "[ab]", "*", "?", "tab\there", "new\nline", "\udce4", "no\xa0break", "#", "!"]
    names.append("dir/->")
    root = make(tmp_path / "r", {"etc/": None, "etc/dir/": None, "etc/dir/known": ""})
    for name in names:
        (root / "etc" / name).write_text("")
    known = parse_rules("# why\nkeep dir/known\n", "rules")
    with Tree(root) as tree:
        text = suggest_rules(tree, known)
    assert all(line.startswith("keep ") for line in text.splitlines()[1::2])
    assert apply_rules(root, known + parse_rules(text, "draft"), check_empty="error").left == []
    assert apply_rules(root, Rules(), check_empty="error").failed
