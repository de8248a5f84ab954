# SPDX-License-Identifier: MIT
"""accounts mask and unmask, and what the other commands make of hidden accounts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.machine.life import IMAGE, accounts, local, make_root, tool, validate, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root whose NSS honours hide rows."""
    root = make_root(tmp_path)
    (root / "usr/share/accounts/accounts.conf").write_text("HIDE=yes\n")
    return root


def test_a_masked_user_is_not_seen_until_it_is_unmasked(root: Path) -> None:
    assert tool(root, "usermod", "-s", "/bin/sh", "-e", "2027-01-01", "www").status == 0
    done = accounts(root, "mask", "www")
    assert (done.status, done.stderr) == (0, "")
    assert local(root) == {"accounts/hidden": "passwd:www\nshadow:www\n"}
    status = accounts(root, "status")
    assert "Hidden accounts of the image\n  www  user\n" in status.stdout
    assert "1 hidden" in status.stdout
    diff = accounts(root, "diff").stdout.splitlines()
    assert "-www:x:33:33:web:/var/www:/usr/sbin/nologin" in diff
    assert accounts(root, "mask", "www").stdout == ""
    assert accounts(root, "unmask", "www").status == 0
    assert local(root) == {}
    assert accounts(root, "diff").stdout == ""


def test_a_group_is_masked_where_there_is_no_user(root: Path) -> None:
    assert accounts(root, "mask", "video").status == 0
    assert local(root) == {"accounts/hidden": "group:video\ngshadow:video\n"}


@pytest.mark.parametrize("argv", [("userdel", "www"), ("groupdel", "video")])
def test_unmask_and_revert_undo_a_deletion(root: Path, argv: tuple[str, str]) -> None:
    assert tool(root, *argv).status == 0
    assert accounts(root, "status").stdout.count("1 hidden") == 1
    hidden = local(root)
    for command in ("unmask", "revert"):
        write(root / "etc", hidden)
        assert accounts(root, command, argv[1]).status == 0
        assert local(root) == {}


def test_reset_shows_everything_again(root: Path) -> None:
    accounts(root, "mask", "www")
    assert accounts(root, "reset", "--yes").status == 0
    assert local(root) == {}


def test_rebase_drops_a_hide_row_that_hides_nothing_any_more(root: Path) -> None:
    accounts(root, "mask", "www")
    write(root / "usr/lib", {name: "".join(line for line in text.splitlines(True) if not line.startswith("www:"))
                             for name, text in IMAGE.items()})  # fmt: skip
    assert accounts(root, "check").stdout.count("stale-hide") == 2
    assert accounts(root, "unmask", "-n", "www").stdout.startswith(
        "passwd 'www', which the image does not have, is not hidden any more\n"
    )
    done = accounts(root, "rebase")
    told = "".join(f"dropped  {name}  www  hid what the image does not have\n" for name in ("passwd", "shadow"))
    assert (done.status, re.sub("  +", "  ", done.stdout)) == (0, told)
    assert local(root) == {}


def test_refusals(root: Path) -> None:
    done = accounts(root, "mask", "root")
    assert (done.status, done.stderr) == (
        3,
        "accounts mask: user 'root' is this machine's superuser, only userdel -f removes it\n",
    )
    assert tool(root, "userdel", "root").stderr == done.stderr.replace("accounts mask", "userdel")
    assert accounts(root, "mask", "ghost").stderr == "accounts mask: the image has no 'ghost'; see accounts status\n"
    assert (
        accounts(root, "unmask", "www").stderr == "accounts unmask: nothing of 'www' is hidden; see accounts status\n"
    )
    (root / "usr/share/accounts/accounts.conf").write_text("HIDE=no\n")
    done = accounts(root, "mask", "www")
    assert (done.status, done.stderr.count("\n")) == (3, 1)
    done = accounts(root, "mask", "root")
    assert done.stderr == "accounts mask: user 'root' comes from the read-only image, only a new image can remove it\n"
    assert local(root) == {}


def test_json_follows_its_schema(root: Path) -> None:
    validate(accounts(root, "mask", "--dry-run", "--json", "www").json, "mask")
    validate(accounts(root, "mask", "--json", "www").json, "mask")
    validate(accounts(root, "unmask", "--json", "www").json, "mask")
