# SPDX-License-Identifier: MIT
"""accounts image stateless: what each rule does to a root."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from accounts.errors import BadArgument
from accounts.image.entries import leftovers
from accounts.image.errors import RuleConflict
from accounts.image.rules import parse_rules
from accounts.image.stateless import StatelessReport, apply_rules
from accounts.image.tmpfiles import disable_lines, parse_line
from tests.image.rootfs import make, names, tell

LINES = "usr/lib/tmpfiles.d/accounts-etc.conf"


def run(root: Path, rules: str, check_empty: str = "no") -> StatelessReport:
    return apply_rules(root, parse_rules(rules, "f"), check_empty=check_empty, source_date_epoch=1_600_000_000)


def lines(root: Path) -> list[str]:
    return (root / LINES).read_text().splitlines()[1:] if (root / LINES).exists() else []


@pytest.mark.parametrize(
    ("files", "rules", "etc", "usr"),
    [
        ({"etc/a": "1", "etc/b": "2"}, "rm a", ["b"], []),
        ({"etc/d/a": "1", "etc/b": "2"}, "rm d", ["b"], []),
        ({"etc/d/a": "1", "etc/d/k": "2"}, "keep d/k\nrm d", ["d/", "d/k"], []),
        ({"etc/a": "1"}, "mv a", [], ["share/doc/etc/a"]),
        ({"etc/d/e/a": "1"}, "mv d", [], ["share/doc/etc/d/e/a"]),
        ({"etc/d/a": "1"}, "mv d/a", [], ["share/doc/etc/d/a"]),
        ({"etc/pam.d/su": "1"}, "mv pam.d -> /usr/lib/pam.d", [], ["lib/pam.d/su"]),
        ({"etc/x/a.conf": "1", "etc/x/b": "2"}, "mv x/*.conf -> /usr/lib/y/", ["x/", "x/b"], ["lib/y/a.conf"]),
        ({"etc/d/a": "1", "usr/lib/d/b": "2"}, "mv d -> /usr/lib/d", [], ["lib/d/a", "lib/d/b"]),
        ({"etc/d/": None}, "rm x", [], []),
        ({"etc/d/": None}, "keep d/", ["d/"], []),
        ({"etc/d/a": "1"}, "keep d/\nrm d/a", ["d/"], []),
        ({"etc/d/": None}, "mv d -> /usr/lib/d", [], ["lib/d/"]),
        ({"etc/a": "1"}, "factory a", [], ["share/factory/etc/a"]),
        # The image is reached through links that are absolute: they mean the root's own directories.
        (
            {"etc/a": "1", "usr/lib/x": "", "lib -> /usr/lib": None},
            "mv a -> /lib/a",
            [],
            ["lib/a", "lib/x"],
        ),
        # A link in the vendor's place that leads back to /etc gives way.
        (
            {"etc/ssl/certs/a": "1", "usr/lib/ssl/certs -> /etc/ssl/certs": None},
            "mv ssl/certs -> /usr/lib/ssl/certs",
            [],
            ["lib/ssl/certs/a"],
        ),
    ],
)
def test_what_is_where_afterwards(
    tmp_path: Path, files: dict[str, str | None], rules: str, etc: list[str], usr: list[str]
) -> None:
    root = make(tmp_path / "root", {"etc/": None, **files})
    run(root, rules)
    assert names(root) == etc
    found = names(root, "usr") if (root / "usr").exists() else []
    ends = [name for name in found if not any(other != name and other.startswith(name) for other in found)]
    assert [name for name in ends if name != "lib/tmpfiles.d/accounts-etc.conf"] == usr


@pytest.mark.parametrize(
    ("link", "rules", "moved"),
    [
        # relative, to something that stays
        ("etc/d/l -> ../keep", "keep keep\nmv d -> /usr/lib/x/d", "usr/lib/x/d/l -> ../../../../etc/keep"),
        # relative, to something that moves along
        ("etc/d/l -> a", "mv d -> /usr/lib/x/d", "usr/lib/x/d/l -> a"),
        ("etc/d/e/l -> ../a", "mv d -> /usr/lib/x/d", "usr/lib/x/d/e/l -> ../a"),
        # relative, to something that another rule moves
        ("etc/d/l -> ../keep", "mv keep -> /usr/lib/k\nmv d -> /usr/lib/x/d", "usr/lib/x/d/l -> ../../k"),
        # absolute ones stay absolute
        ("etc/d/l -> /usr/bin/x", "mv d", "usr/share/doc/etc/d/l -> /usr/bin/x"),
        ("etc/d/l -> /etc/d/a", "mv d -> /usr/lib/d", "usr/lib/d/l -> /usr/lib/d/a"),
        # a link out of the root is one into it
        ("etc/d/l -> ../../../../usr/bin/x", "mv d -> /usr/lib/x/y/d", "usr/lib/x/y/d/l -> ../../../../bin/x"),
        # what stays follows what moves
        ("etc/l -> d/a", "keep l\nmv d -> /usr/lib/d", "etc/l -> ../usr/lib/d/a"),
    ],
)
def test_links_mean_what_they_meant(tmp_path: Path, link: str, rules: str, moved: str) -> None:
    root = make(tmp_path / "root", {"etc/d/a": "1", "etc/keep": "2", "etc/d/e/": None, link: None})
    run(root, rules)
    path, _, text = moved.partition(" -> ")
    assert os.readlink(root / path) == text


def test_a_link_through_a_linked_target_directory_is_relative_to_the_real_one(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/d/l -> ../k": None, "etc/k": "", "usr/lib/": None, "lib -> usr/lib": None})
    run(root, "keep k\nmv d -> /lib/d")
    assert os.readlink(root / "usr/lib/d/l") == "../../../etc/k"


def test_relink_follows_from_everywhere_in_the_image(tmp_path: Path) -> None:
    files = {
        "etc/alternatives/awk -> /usr/bin/mawk": None,
        "usr/bin/mawk": "",
        "usr/bin/awk -> /etc/alternatives/awk": None,
        "usr/bin/nawk -> ../../etc/alternatives/awk": None,
        "usr/bin/other -> /etc/other": None,
    }
    root = make(tmp_path / "root", files)
    report = run(root, "mv alternatives -> /usr/lib/alternatives relink=yes")
    assert os.readlink(root / "usr/bin/awk") == "/usr/lib/alternatives/awk"
    assert os.readlink(root / "usr/bin/nawk") == "../lib/alternatives/awk"
    assert os.readlink(root / "usr/bin/other") == "/etc/other"
    assert os.readlink(root / "usr/lib/alternatives/awk") == "/usr/bin/mawk"
    assert report.dangling == []


def test_links_elsewhere_that_point_to_nothing_now_are_reported(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/a": "", "usr/a -> /etc/a": None, "etc/b": "", "usr/b -> /etc/b": None})
    assert run(root, "rm a\nfactory b").dangling == ["/usr/a -> /etc/a"]


def test_a_mask_takes_the_vendors_file_with_it(tmp_path: Path) -> None:
    files = {"etc/t/a.conf -> /dev/null": None, "etc/t/b.conf -> ../../dev/null": None, "usr/lib/t/a.conf": "x"}
    root = make(tmp_path / "root", files)
    report = run(root, "mv t -> /usr/lib/t")
    assert names(root, "usr/lib/t") == []
    assert report.masks == [("/etc/t/a.conf", "/usr/lib/t/a.conf"), ("/etc/t/b.conf", "")]


def test_a_mask_in_the_factory_stays_a_mask(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/t/a.conf -> /dev/null": None})
    run(root, "factory t")
    assert lines(root) == ["d /etc/t 0755 0 0 - -", "L /etc/t/a.conf - - - - /dev/null"]


def test_factory_lines(tmp_path: Path) -> None:
    files = {"etc/copy": "1", "etc/linked": "2", "etc/link -> /usr/x": None, "etc/d/e/f": "3", "etc/s/key": "4"}
    root = make(tmp_path / "root", {**files, "etc/a b%": "5", "etc/t": "6"})
    (root / "etc/s").chmod(0o750)
    rules = "factory copy link s/key a?b%\nfactory linked d as=link\nmv t -> /usr/lib/t as=link"
    report = run(root, rules)
    assert lines(root) == report.factory
    assert report.factory == [
        "C /etc/a\\x20b%% - - - - -",
        "C /etc/copy - - - - -",
        "d /etc/d 0755 0 0 - -",
        "d /etc/d/e 0755 0 0 - -",
        "L /etc/d/e/f - - - - ../../../usr/share/factory/etc/d/e/f",
        "L /etc/link - - - - /usr/x",
        "L /etc/linked - - - - ../usr/share/factory/etc/linked",
        "d /etc/s 0750 0 0 - -",
        "C /etc/s/key - - - - -",
        "L /etc/t - - - - ../usr/lib/t",
    ]
    assert (root / "usr/share/factory/etc/s").stat().st_mode & 0o777 == 0o750


def test_a_directory_of_a_d_rule_is_made_again_with_mode_and_owner(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/x/y/": None, "etc/z/": None, "etc/full/a": ""})
    (root / "etc/x/y").chmod(0o2750)
    os.chown(root / "etc/x/y", 0, 42)
    report = run(root, "d x/y full\nkeep full/a")
    assert lines(root) == ["d /etc/x/y 2750 0 42 - -"]
    assert names(root) == ["full/", "full/a"]
    assert report.removed == ["/etc/x/", "/etc/x/y/", "/etc/z/"]


def test_clashing_tmpfiles_lines_are_disabled(tmp_path: Path) -> None:
    other = "usr/lib/tmpfiles.d/etc.conf"
    text = 'C! /etc/a - - - -\nL+ "/etc/b" - - - - x\nz /etc/a 0644\nL /etc/m - - - - y\nL /etc/c - - - - z\n'
    same = {"usr/lib/tmpfiles.d/seed.conf": "C /etc/a - - - - -\n"}
    root = make(tmp_path / "root", {"etc/a": "", "etc/b": "", "etc/m": "", other: text, **same})
    report = run(root, "factory a b\nmv m -> /usr/lib/m")
    why = "# disabled by accounts image stateless: "
    assert (root / other).read_text() == (
        f'{why}C! /etc/a - - - -\n{why}L+ "/etc/b" - - - - x\nz /etc/a 0644\n'
        f"{why}L /etc/m - - - - y\nL /etc/c - - - - z\n"
    )
    assert (root / "usr/lib/tmpfiles.d/seed.conf").read_text() == same["usr/lib/tmpfiles.d/seed.conf"]
    assert len(report.disabled) == 3


def test_units_that_need_factory_files_are_ordered_after_tmpfiles(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/a": ""})
    run(root, "factory a before=z.service,b.socket\nfactory not-here before=c.service")
    drop_in = root / "usr/lib/systemd/system/systemd-tmpfiles-setup.service.d/accounts-etc.conf"
    assert drop_in.read_text() == "[Unit]\nBefore=b.socket z.service\n"


def test_write_and_rm_outside_of_etc(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/": None, "var/id": "x", "usr/lib/": None, "lib -> usr/lib": None})
    report = run(root, "rm /var/id /var/gone\nwrite /lib/a.d/b.conf [Unit]\\nAfter=x\\\\y")
    assert (root / "usr/lib/a.d/b.conf").read_text() == "[Unit]\nAfter=x\\y\n"
    assert not (root / "var/id").exists()
    assert (report.written, report.removed) == (["/lib/a.d/b.conf"], ["/var/id"])


def test_motd_moves_to_where_pam_motd_looks_last(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/motd": "welcome"})
    run(root, "mv motd -> /usr/lib/motd")
    assert names(root) == []
    assert (root / "usr/lib/motd").read_text() == "welcome"
    assert lines(root) == []  # one in /etc would stand in front of the next image's


def test_etc_wins_over_the_vendors_file_and_says_so(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/a": "ours", "usr/lib/a": "vendor"})
    assert run(root, "mv a -> /usr/lib/a").replaced == ["/usr/lib/a"]
    assert (root / "usr/lib/a").read_text() == "ours"


@pytest.mark.parametrize(
    ("files", "rules", "message"),
    [
        ({"etc/a": "", "usr/lib/a/": None}, "mv a -> /usr/lib/a", "cannot move file /etc/a: /usr/lib/a is a directory"),
        ({"etc/a/b": "", "usr/lib/a": ""}, "mv a -> /usr/lib/a", "cannot move directory /etc/a: /usr/lib/a is a non"),
        ({"etc/a/x": "", "etc/b/x": ""}, "mv a/x b/x -> /usr/lib/", "/etc/a/x and /etc/b/x would both become"),
    ],
)
def test_a_conflict_changes_nothing(tmp_path: Path, files: dict[str, str | None], rules: str, message: str) -> None:
    root = make(tmp_path / "root", {**files, "etc/first": ""})
    before = tell(root, times=True)
    with pytest.raises(RuleConflict) as caught:
        run(root, f"rm first\n{rules}")
    assert str(caught.value.message).startswith(message)
    assert tell(root, times=True) == before


def test_inodes_keep_all_that_they_have(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/d/a": "1"})
    place = root / "etc/d/a"
    os.chown(place, 7, 8)
    place.chmod(0o4755)
    os.link(place, root / "etc/d/b")
    os.setxattr(place, "user.colour", b"green")
    os.setxattr(root / "etc/d", "user.colour", b"red")
    os.chown(root / "etc/d", 9, 10)
    os.utime(place, (1, 2))
    os.utime(root / "etc/d", (3, 4))
    run(root, "mv d -> /usr/lib/d")
    moved = root / "usr/lib/d/a"
    status, directory = moved.stat(), moved.parent.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777, status.st_mtime) == (7, 8, 0o4755, 2)
    assert os.getxattr(moved, "user.colour") == b"green"
    assert status.st_ino == (root / "usr/lib/d/b").stat().st_ino
    assert (directory.st_uid, directory.st_gid) == (9, 10)
    assert os.getxattr(moved.parent, "user.colour") == b"red"


def test_across_file_systems_it_copies_all_that_inodes_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path / "root", {"etc/d/a": "1", "etc/d/l -> a": None})
    os.link(root / "etc/d/a", root / "etc/d/b")
    os.setxattr(root / "etc/d/a", "user.colour", b"green")
    os.chown(root / "etc/d/a", 7, 8)
    (root / "etc/d/a").chmod(0o4755)
    os.utime(root / "etc/d/a", (1, 2))
    os.mkfifo(root / "etc/d/p", 0o600)
    rename = os.rename

    def refuse(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{src_dir_fd}") != os.readlink(f"/proc/self/fd/{dst_dir_fd}"):
            raise OSError(errno.EXDEV, "another file system")
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", refuse)
    run(root, "mv d -> /usr/lib/d")
    moved = root / "usr/lib/d"
    status = (moved / "a").stat()
    assert names(root, "usr/lib/d") == ["a", "b", "l -> a", "p"]
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777, status.st_mtime) == (7, 8, 0o4755, 2)
    assert os.getxattr(moved / "a", "user.colour") == b"green"
    assert status.st_ino == (moved / "b").stat().st_ino
    assert (moved / "p").is_fifo()


ALL = """
keep nsswitch.conf
rm resolv.conf
mv alternatives -> /usr/lib/alternatives relink=yes
mv login.defs -> /usr/share/accounts/login.defs as=link
mv motd -> /usr/lib/motd
factory ssh before=ssh.service
factory localtime
d empty
write /usr/lib/x.conf text
mv **
"""
ROOT: dict[str, str | None] = {
    "etc/nsswitch.conf": "passwd: files\n",
    "etc/resolv.conf": "",
    "etc/alternatives/awk -> /usr/bin/mawk": None,
    "usr/bin/awk -> /etc/alternatives/awk": None,
    "etc/login.defs": "UMASK 022\n",
    "etc/motd": "hello\n",
    "etc/ssh/moduli": "1",
    "etc/localtime -> ../usr/share/zoneinfo/UTC": None,
    "etc/empty/": None,
    "etc/more/of/it": "",
    "usr/lib/tmpfiles.d/etc.conf": "L /etc/localtime - - - - x\nC /etc/motd\n",
}


def test_doing_it_again_changes_nothing(tmp_path: Path) -> None:
    root = make(tmp_path / "root", ROOT)
    first = run(root, ALL)
    told = tell(root, times=True)
    again = run(root, ALL)
    assert tell(root, times=True) == told
    assert again == StatelessReport(kept=first.kept, factory=first.factory, unused=again.unused)
    assert first.left == []


def test_two_builds_are_the_same_to_the_last_time_stamp(tmp_path: Path) -> None:
    told = []
    for name, order in (("one", list(ROOT)), ("two", list(reversed(ROOT)))):
        root = make(tmp_path / name, {path: ROOT[path] for path in order})
        for path in root.rglob("*"):
            os.utime(path, (1_500_000_000, 1_500_000_000), follow_symlinks=False)
        run(root, ALL)
        told.append(tell(root, times=True))
    assert told[0] == told[1]


def test_what_a_second_package_run_adds_is_added(tmp_path: Path) -> None:
    root = make(tmp_path / "root", ROOT)
    run(root, ALL)
    make(root, {"etc/ssh/ssh_config": "new", "etc/motd": "new"})
    run(root, ALL)
    assert (root / "usr/lib/motd").read_text() == "new"
    assert "C /etc/ssh/moduli - - - - -" in lines(root)
    assert "C /etc/ssh/ssh_config - - - - -" in lines(root)


def test_a_rule_that_changes_its_mind_takes_the_line_away(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/a": "1", "etc/b": "2"})
    run(root, "factory a b")
    run(root, "rm a\nfactory b")
    assert lines(root) == ["C /etc/b - - - - -"]


def test_what_seed_moved_before_is_linked_all_the_same(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/": None, "usr/share/accounts/shells": "/bin/sh\n"})
    run(root, "mv shells -> /usr/share/accounts/shells as=link\nmv skel -> /usr/share/accounts/skel as=link")
    assert lines(root) == ["L /etc/shells - - - - ../usr/share/accounts/shells"]


def test_a_copy_comes_back_where_a_link_would_be_copied_as_one(tmp_path: Path) -> None:
    rule = "mv skel -> /usr/share/accounts/skel as=copy"
    root = make(tmp_path / "root", {"etc/skel/.profile": "p"})
    for _ in range(2):
        run(root, rule)
        assert lines(root) == ["C /etc/skel - - - - /usr/share/accounts/skel"]
    assert (root / "usr/share/accounts/skel/.profile").read_text() == "p"
    (root / "usr/share/accounts/skel/.profile").unlink()
    (root / "usr/share/accounts/skel").rmdir()
    run(root, rule)
    assert lines(root) == []


@pytest.mark.parametrize(("check", "failed"), [("no", False), ("warn", False), ("error", True)])
def test_what_is_left_is_listed(tmp_path: Path, check: str, failed: bool) -> None:
    root = make(tmp_path / "root", {"etc/k": "", "etc/d/x": "", "etc/l -> k": None, "etc/rm": ""})
    report = run(root, "keep k\nrm rm", check)
    assert report.left == ["/etc/d/x", "/etc/l"] == leftovers(root, parse_rules("keep k", "f"))
    assert report.failed is failed


def test_an_unknown_check_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgument):
        apply_rules(make(tmp_path / "root", {"etc/": None}), parse_rules("", "f"), check_empty="maybe")


def test_nothing_outside_of_the_root_is_touched(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", {"lib/x": "", "file": "mine"})
    files: dict[str, str | None] = {
        "etc/a": "1",
        f"etc/l -> {outside}/file": None,
        f"etc/dir -> {outside}/lib": None,
        f"usr/lib -> {outside}/lib": None,
        f"usr/lib64 -> ../../../../../../../../../../..{outside}/lib": None,
    }
    root = make(tmp_path / "root", files)
    before = tell(outside, times=True)
    run(root, "mv a -> /usr/lib/a\nmv l -> /usr/lib64/l\nrm dir")
    assert tell(outside, times=True) == before
    assert (root / str(outside)[1:] / "lib/a").read_text() == "1"


def test_a_root_without_etc_is_fine(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"usr/": None})
    assert run(root, "rm **", "error") == StatelessReport("error", unused=["f:1: rm **"])


def test_the_root_may_be_a_descriptor_and_stays_open(tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"etc/a": "1"})
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    apply_rules(fd, parse_rules("mv a", "f"))
    assert os.listdir(fd)
    os.close(fd)


@pytest.mark.parametrize("type", ["C", "C+", "L", "L+", "L?", "L+?", "f+!", "d$", "d!-$", "C^", "f~^", "D=", "q$!"])
def test_lines_with_the_modifiers_of_systemd_258_are_known(type: str) -> None:
    """A line that is not understood would win over ours."""
    line = parse_line(f"{type} /etc/motd - - - - x")
    assert line is not None and (line.type, line.path, line.argument) == (type, "/etc/motd", "x")
    assert disable_lines(f"{type} /etc/motd - - - - x\n", {"/etc/motd": None}, "why")[1] != []
