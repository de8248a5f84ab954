# SPDX-License-Identifier: MIT
"""passwd(1) of an ordinary caller through pam_accounts says, to the letter, what it says through pam_unix.

The same set-uid program on both sides: in a classic root with Debian's own PAM, for a user of /etc; in a stateless one
after `accounts image wire --pam`, for a user of this machine and for one of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from accounts.image.tree import Tree
from accounts.image.wire import VENDOR_DATA, Wired
from accounts.image.wirepam import check_stacks, wire_pam
from tests.clients.clients import PASSWORD_HASH
from tests.clients.dialogue import talk
from tests.support.hashes import verifies
from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import DebianRoot, Result, debian_root

pytestmark = pytest.mark.skipif(not available(), reason="needs root and debootstrap")

OLD, NEW = "secret", "Xk3!vbe9Qz"
CURRENT = ("Current password: ", OLD)
UID = 1600
DAYS = "19000:0:99999:7:::"


def twice(password: str) -> tuple[tuple[str, str], ...]:
    return ("New password: ", password), ("Retype new password: ", password)


@dataclass(frozen=True)
class Case:
    """One dialogue. days, hashed: of the user's shadow row. password: what opens the account afterwards."""

    say: tuple[tuple[str, str], ...]
    password: str | None = None
    days: str = DAYS
    hashed: str = PASSWORD_HASH
    command: str = "passwd"


CASES = {
    "changed": Case((CURRENT, *twice(NEW)), NEW),
    "wrong": Case((("Current password: ", "wrong"),), OLD),
    "empty-old": Case((("Current password: ", ""),), OLD),
    "mismatch": Case((CURRENT, ("New password: ", NEW), ("Retype new password: ", "other")), OLD),
    "weak": Case((CURRENT, *twice("abcde"), *twice(""), *twice("short")), OLD),
    "weak-then-good": Case((CURRENT, *twice("a"), *twice(""), *twice("abcdefg")), "abcdefg"),
    "same": Case((CURRENT, *twice(OLD), *twice(OLD), *twice("Secret")), "Secret"),
    "too-young": Case((CURRENT,), OLD, days="today:5:99999:7:::"),
    "expired": Case((CURRENT, *twice(NEW)), NEW, days="0:0:99999:7:::"),
    "aged": Case((CURRENT, *twice(NEW)), NEW, days="18000:0:90:7:::"),
    "inactive": Case((CURRENT,), OLD, days="18000:0:90:7:5::"),
    "account-expired": Case((CURRENT,), OLD, days="19000:0:99999:7::19000:"),
    "no-password": Case(twice(NEW), NEW, hashed=""),
    "locked": Case((CURRENT,), None, hashed="!" + PASSWORD_HASH),
    "keep-tokens": Case((CURRENT, *twice(NEW)), NEW, command="passwd -k"),
    "keep-tokens-expired": Case((CURRENT, *twice(NEW)), NEW, command="passwd -k", days="0:0:99999:7:::"),
    "too-long": Case((CURRENT, *twice("x" * 600), *twice("y" * 600), *twice("z" * 600)), OLD),
}


def prepare(root: DebianRoot, user: str, image: bool) -> None:
    where = "usr/lib" if image else "etc"
    for name, row in {
        "passwd": f"{user}:x:{UID}:{UID}::/:/bin/sh\n",
        "group": f"{user}:x:{UID}:\n",
        "shadow": f"{user}:x:{DAYS}\n",
        "gshadow": f"{user}:!::\n",
    }.items():
        with open(f"{root.path}/{where}/{name}", "a") as file:
            file.write(row)


def converse(root: DebianRoot, user: str, case: Case, image: bool) -> tuple[Result, str]:
    """What the terminal showed, and the password field afterwards, hashed by whom it may."""
    layer = Path(root.path, "usr/lib" if image else "etc", "shadow")
    rows = [line for line in layer.read_text().splitlines() if not line.startswith(f"{user}:")]
    days = case.days.replace("today", root.check("echo $(($(date +%s) / 86400))").strip())
    layer.write_text("\n".join([*rows, f"{user}:{case.hashed}:{days}\n"]))
    if image:
        (Path(root.path) / "etc/shadow").unlink(missing_ok=True)
    program, *arguments = case.command.split()
    result = talk(root.path, (UID, UID, user), [f"/usr/bin/{program}", *arguments], case.say)
    return result, root.check(f"getent shadow {user}").split(":")[1]


def _all(stateless: bool, image: bool) -> dict[str, tuple[Result, str]]:
    with debian_root(stateless=stateless) as root:
        user = "bob"
        if stateless:
            with Tree(Path(root.path)) as tree:
                wired = Wired()
                wire_pam(tree, wired, (VENDOR_DATA / "pam-configs/accounts").read_bytes())
                assert wired.notes == []
                assert "/etc/pam.d/common-password" in wired.changed
                check_stacks(tree, lambda *complaint: pytest.fail(str(complaint)))
        prepare(root, user, image)
        found = {}
        for name, case in CASES.items():
            before = _local(root)
            result, hashed = converse(root, user, case, image)
            found[name] = (result, hashed)
            if image:
                # The passwd row stays the image's; one shadow row is the difference, if any.
                assert _local(root)["passwd"] == before["passwd"], name
                assert _local(root)["shadow"].count("\n") == (1 if hashed != case.hashed else 0), name
        return found


def _local(root: DebianRoot) -> dict[str, str]:
    found = {}
    for name in ("passwd", "shadow", "group", "gshadow"):
        path = Path(root.path, "etc", name)
        found[name] = path.read_text() if path.exists() else ""
    return found


def _knows(password: str, hashed: str) -> bool:
    return verifies(password.encode(), hashed.encode())


def test_every_dialogue_is_that_of_pam_unix() -> None:
    classic = in_child(_all, False, False)
    local = in_child(_all, True, False)
    image = in_child(_all, True, True)
    for name, case in CASES.items():
        for other in (local, image):
            assert other[name][0] == classic[name][0], name
            assert other[name][1][:3] == classic[name][1][:3], name
            if case.password is not None and case.hashed:
                assert _knows(case.password, other[name][1]), name
                assert _knows(case.password, classic[name][1]), name
