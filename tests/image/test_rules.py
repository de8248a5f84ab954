# SPDX-License-Identifier: MIT
"""Rule files: what parses, which rule takes a path, what lint finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.image.errors import RulesError
from accounts.image.rules import lint_rules, load_rules, parse_rules

SETS = sorted((Path(__file__).parents[2] / "nss-data/rules").glob("*.rules"))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("move motd", "f:2: 'move' is none of rm, mv, factory, d, keep, write, include"),
        ("rm", "f:2: rm needs a path"),
        ("rm /etc/motd", "f:2: target '/etc/motd' is not outside of /etc"),
        ("rm /var/lib/", "f:2: outside of /etc only files can be removed"),
        ("mv /motd", "f:2: '/motd' is not a path below /etc (written without the /etc/)"),
        ("keep ../usr", "f:2: '../usr' is not a path below /etc (written without the /etc/)"),
        ("rm ssl/", "f:2: 'ssl/': only keep and d can mean a directory without its content"),
        ("mv a b -> /usr/lib/c", "f:2: several things can only be moved into a directory: end the target"),
        ("mv a* -> /usr/lib/c", "f:2: several things can only be moved into a directory: end the target"),
        ("mv a -> lib/c", "f:2: target 'lib/c' is not an absolute path"),
        ("mv a -> /usr/../etc/b", "f:2: target '/usr/../etc/b' is not an absolute path"),
        ("mv a -> /etc/b", "f:2: target '/etc/b' is not outside of /etc"),
        ("mv -> /usr/b", "f:2: mv needs a path"),
        ("mv a -> /usr/b c", "f:2: -> TARGET belongs at the end of mv"),
        ("factory a -> /usr/b", "f:2: -> TARGET belongs at the end of mv"),
        ("keep a as=link", "f:2: keep has no option as="),
        ("factory a as=hardlink", "f:2: factory cannot be as=hardlink"),
        ("mv a as=copy", "f:2: as=copy needs a target: nothing may depend on /usr/share/doc"),
        ("mv a -> /usr/b as=hole", "f:2: mv cannot be as=hole"),
        ("mv a as=link", "f:2: as=link needs a target"),
        ("mv a -> /usr/b as=link relink=yes", "f:2: as=link brings the old path back"),
        ("mv a relink=no", "f:2: relink= can be yes only"),
        ("factory a before=ssh", "f:2: before= needs unit names"),
        ("write /usr/lib/x", "f:2: write needs a target and a text"),
        ("write /usr/lib/x a\\q", "f:2: \\q is none of"),
        ("include other.rules", "f:2: include is possible in a file only"),
    ],
)
def test_faults_name_file_and_line(line: str, fault: str) -> None:
    with pytest.raises(RulesError) as caught:
        parse_rules(f"# why\n{line}\n", "f")
    assert str(caught.value.message).startswith(fault)


@pytest.mark.parametrize(
    ("rules", "path", "takes"),
    [
        ("rm a", "a", "rm"),
        ("rm a", "a/b/c", "rm"),
        ("rm a", "ab", None),
        ("rm *.bak", "x.bak", "rm"),
        ("rm *.bak", "d/x.bak", None),
        ("rm **/*.bak", "x.bak", "rm"),
        ("rm **/*.bak", "d/e/x.bak", "rm"),
        ("rm rc?.d", "rc3.d/S01ssh", "rm"),
        ("rm rc[0-6].d", "rcS.d", None),
        ("keep a/", "a", "keep"),
        ("keep a/", "a/b", None),
        ("d a", "a/b", None),
        ("keep a/b\nmv a", "a/b", "keep"),
        ("keep a/b\nmv a", "a/c", "mv"),
        ("mv a\nkeep a/b", "a/b", "mv"),
        ("keep x\nfactory **", "y/x", "factory"),
    ],
)
def test_the_first_rule_that_matches_takes_a_path_and_what_is_below(rules: str, path: str, takes: str | None) -> None:
    match = parse_rules(rules, "f").find(path)
    assert (match.rule.kind if match else None) == takes


@pytest.mark.parametrize(
    ("rule", "path", "target"),
    [
        ("mv a", "a/b", "/usr/share/doc/etc/a/b"),
        ("mv a/b", "a/b", "/usr/share/doc/etc/a/b"),
        ("mv a/b -> /usr/lib/c", "a/b/d", "/usr/lib/c/d"),
        ("mv a/b a/c -> /usr/lib/", "a/c/d", "/usr/lib/c/d"),
        ("mv a/*.conf -> /usr/lib/x/", "a/y.conf", "/usr/lib/x/y.conf"),
        ("factory a/b", "a/b/c", "/usr/share/factory/etc/a/b/c"),
    ],
)
def test_where_a_path_goes(rule: str, path: str, target: str) -> None:
    match = parse_rules(rule, "f").find(path)
    assert match is not None
    assert match.rule.destination(match.top, path) == target


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("# why\nrm a\n# why\nkeep b\n", []),
        ("rm a\n", ["f:1 reason"]),
        ("# why\n\nrm a\n", ["f:3 reason"]),
        ("# ---- \nrm a\n", ["f:2 reason"]),
        ("# why\nrm a\nrm b\n", ["f:3 reason"]),
        ("# x\nrm a\n# x\nrm a\n", ["f:4 dead"]),
        ("# x\nrm a a\n", ["f:2 dead"]),
        ("# x\nrm a\n# x\nkeep a\n", ["f:4 dead"]),
        ("# x\nrm a\n# x\nrm a/b\n", ["f:4 dead"]),
        ("# x\nrm a*\n# x\nrm ab*\n", ["f:4 dead"]),
        ("# x\nmv a\n# x\nkeep a/b\n", ["f:4 order"]),
        ("# x\nmv a*\n# x\nfactory abc\n", ["f:4 order"]),
        ("# x\nkeep a/b\n# x\nmv a\n", []),
        ("# x\nkeep a/\n# x\nmv a/b\n", []),
        ("# x\nrm a?\n# x\nkeep a*\n", []),
        ("# x\nrm a/*\n# x\nkeep a/**\n", []),
        ("# x\nmv a -> /usr/lib/c\n# x\nmv b -> /usr/lib/c\n", ["f:4 clash"]),
        ("# x\nmv a -> /usr/lib/\n# x\nwrite /usr/lib/a text\n", ["f:4 clash"]),
        ("# x\nfactory a before=systemd-sysusers.service\n", ["f:2 cycle"]),
        ("# x\nfactory a before=ssh.service\n", []),
    ],
)
def test_lint_finds(text: str, findings: list[str]) -> None:
    found = lint_rules(parse_rules(text, "f"))
    assert [f"{finding.source}:{finding.line} {finding.code}" for finding in found] == findings


def test_lint_says_which_rule_takes_the_path() -> None:
    (finding,) = lint_rules(parse_rules(b"# x\nmv ssh\n# x\nkeep ssh/moduli\n", "f.rules"))
    assert str(finding) == ("f.rules:4: keep ssh/moduli has to come before mv ssh in f.rules:2, which takes it [order]")


def test_include_reads_beside_the_file_and_keeps_the_order(tmp_path: Path) -> None:
    (tmp_path / "base.rules").write_text("# x\nmv a\n")
    (tmp_path / "top.rules").write_text("# x\nkeep a/b\n# x\ninclude base.rules\n# x\nrm a\n")
    rules = load_rules([tmp_path / "top.rules"])
    assert [rule.kind for rule in rules.entries] == ["keep", "mv", "include", "rm"]
    assert [finding.code for finding in lint_rules(rules)] == ["dead"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [("# x\ninclude f.rules\n", "includes itself"), ("# x\ninclude gone\n", "No such file"), ("x\n", "none of")],
)
def test_include_faults_are_rule_errors(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "f.rules").write_text(text)
    with pytest.raises(RulesError, match=fault):
        load_rules([tmp_path / "f.rules"])


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_shipped_rules_have_no_fault(path: Path) -> None:
    assert lint_rules(load_rules([path])) == []


def test_the_mkosi_presets_rules_have_no_fault(tmp_path: Path) -> None:
    """They include the set that the build host's package has."""
    text = (SETS[0].parents[2] / "packaging/mkosi/etc.rules").read_text()
    (tmp_path / "etc.rules").write_text(text.replace("/usr/share/accounts/rules", str(SETS[0].parent)))
    assert lint_rules(load_rules([tmp_path / "etc.rules"])) == []


def test_all_rule_sets_are_shipped() -> None:
    assert {"debian-12-minimal", "debian-12-systemd-ssh", "oe-core-image-minimal"} <= {p.stem for p in SETS}
