# SPDX-License-Identifier: MIT
"""The line of pam.d that lets image users change an expired password: where it goes, and what others make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.image import pam
from accounts.image.wire import wire
from tests.image import rootfs
from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import debian_root

ADDED = (pam.COMMENT + pam.LINE).decode()
UNIX = "account\t[success=1 new_authtok_reqd=done default=ignore]\tpam_unix.so \n"
PRIMARY = '# here are the per-package modules (the "Primary" block)\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Debian: above the block that pam-auth-update(8) takes for its own
        (f"# c\n\n{PRIMARY}{UNIX}account requisite pam_deny.so\n",
         f"# c\n\n{ADDED}{PRIMARY}{UNIX}account requisite pam_deny.so\n"),
        # OpenEmbedded
        (f"# c\n{UNIX}", f"# c\n{ADDED}{UNIX}"),
        # first of the account stack, whatever may end it before pam_unix
        ("auth required pam_unix.so\naccount sufficient pam_x.so\naccount required pam_unix.so\n",
         f"auth required pam_unix.so\n{ADDED}account sufficient pam_x.so\naccount required pam_unix.so\n"),
        ("-account required pam_unix.so\n", f"{ADDED}-account required pam_unix.so\n"),
        # no pam_unix in the account stack; it is a comment; the line is there
        ("auth required pam_unix.so\naccount required pam_permit.so\n", None),
        ("#account required pam_unix.so\n", None),
        ("@include common-account\n", None),
        (f"{ADDED}{UNIX}", None),
        ("", None),
    ],
)  # fmt: skip
def test_where_the_line_goes(before: str, after: str | None) -> None:
    assert pam.add_helper(before.encode()).decode() == (before if after is None else after)


@pytest.mark.parametrize("complete", [True, False])
def test_wire_adds_it_where_the_root_has_what_it_needs(tmp_path: Path, complete: bool) -> None:
    files: dict[str, str | None] = {"etc/pam.d/common-account": UNIX, "etc/pam.d/login": "@include common-account\n"}
    if complete:
        files |= {"usr/bin/accounts": "", f"{rootfs.TRIPLET}/security/pam_exec.so": "x"}
    root = rootfs.make_wirable_root(tmp_path, files)
    for _ in range(2):
        wire(root)
        assert (root / "usr/lib/pam.d/common-account").read_text() == (ADDED if complete else "") + UNIX


def _after_pam_auth_update() -> tuple[str, str, str]:
    with debian_root(stateless=False) as root:
        path = Path(root.path, "etc/pam.d/common-account")
        path.write_bytes(pam.add_helper(path.read_bytes()))
        first = path.read_text()
        said = root.check("pam-auth-update --package")
        Path(root.path, "usr/share/pam-configs/test").write_text(
            "Name: Test\nDefault: yes\nPriority: 900\nAccount-Type: Primary\n"
            "Account:\n\t[success=end default=ignore]\tpam_localuser.so\n"
        )
        said += root.check("pam-auth-update --package")
        return first, path.read_text(), said


@pytest.mark.skipif(not available(), reason="needs root and debootstrap")
def test_pam_auth_update_keeps_it_and_goes_on_with_its_own_block() -> None:
    first, second, said = in_child(_after_pam_auth_update)
    assert said == ""
    assert ADDED + PRIMARY in first
    assert ADDED + PRIMARY + "account\t[success=2 default=ignore]\tpam_localuser.so" in second
    assert "[success=1 new_authtok_reqd=done default=ignore]\tpam_unix.so" in second
