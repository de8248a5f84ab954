# SPDX-License-Identifier: MIT
"""`accounts materialize`: rows of image users in /etc, for programs that read /etc/passwd and /etc/shadow only.

--expired is the helper of pam_exec(8) (docs/decisions/expired.md): it runs as root at every login, with the name in
PAM_USER, and must neither print nor change anything unless that user of the image has to change the password.
"""

from __future__ import annotations

import posix
import time

from accounts.cli.run import program
from accounts.cli.tool import HELP, PREFIX, ROOT, Given, Option, Tool
from accounts.edit.materialize import FILES, CopyUsers
from accounts.edit.passwords import must_change
from accounts.errors import Usage
from accounts.model.database import Database
from accounts.system.known import DAY

USAGE = """\
Usage: accounts materialize [options] USER...
       accounts materialize --expired

Copy the passwd and shadow rows of users of the image to /etc; `accounts revert USER` undoes it.

Options:
  --expired                     the user that PAM_USER names, if the password
                                has expired: for pam_exec(8)
  -h, --help                    display this help message and exit
  -P, --prefix PREFIX_DIR       directory prefix
  -R, --root CHROOT_DIR         directory to chroot into
"""
TOOL = Tool(
    "accounts materialize",
    USAGE,
    (Option("", "expired"), HELP, PREFIX, ROOT),
    {"E_USAGE": 2},
    operands=(0, None),
)


@program(TOOL)
def main(given: Given) -> None:
    """Copy the rows."""
    run, names = given.run, given.operands
    expired = "expired" in given.letters
    if expired == bool(names):
        raise Usage
    if expired:
        names = expired_users(run.facts.view(FILES), posix.environ.get(b"PAM_USER", b""))
        # Where PAM asks pam_accounts (accounts image wire --pam, pam-auth-update) no row is needed.
        if not names or posix.geteuid() or run.facts.has_pam_accounts():
            return
    run.do(CopyUsers(names=tuple(names)))


def expired_users(database: Database, name: bytes) -> list[bytes]:
    """That user, if the image has it, its password has expired, and a local row is missing; else nobody."""
    if database.passwd.image.find(name) is None:
        return []
    shadow = database.shadow.get(name)
    # The clock, and not SOURCE_DATE_EPOCH: the environment comes from PAM, and pam_unix goes by the clock.
    if shadow is None or not must_change(shadow, int(time.time()) // DAY):
        return []
    return [name] if any(database.tables[table].local.find(name) is None for table in FILES) else []
