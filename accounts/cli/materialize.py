# SPDX-License-Identifier: MIT
"""`accounts materialize`: rows of image users in /etc, for programs that read /etc/passwd and /etc/shadow only.

--expired is the helper of pam_exec(8) (docs/decisions/expired.md): it runs as root at every login, with the name in
PAM_USER, and must neither print nor change anything unless that user of the image has to change the password.
"""

from __future__ import annotations

import posix
import time

from accounts.cli.run import program
from accounts.cli.told import OUTPUT, tell
from accounts.cli.tool import HELP, PREFIX, ROOT, Given, Option, Tool
from accounts.edit.materialize import FILES, CopyUsers, expired_users
from accounts.edit.request import Report
from accounts.errors import Usage
from accounts.system.known import DAY

TOOL = Tool(
    "accounts materialize",
    (Option("", "expired"), HELP, PREFIX, ROOT, *OUTPUT),
    {"E_USAGE": 2},
    operands=(0, None),
    other=3,
)


@program(TOOL)
def main(given: Given) -> None:
    """Copy the rows."""
    run, names = given.run, given.operands
    expired = "expired" in given.letters
    if expired == bool(names):
        raise Usage("either users or --expired are needed" if not names else "--expired takes its user from PAM_USER")
    if expired:
        # The clock, and not SOURCE_DATE_EPOCH: the environment comes from PAM, and pam_unix goes by the clock.
        names = expired_users(run.facts.view(FILES), posix.environ.get(b"PAM_USER", b""), int(time.time()) // DAY)
        # Where PAM asks pam_accounts (accounts image wire --pam, pam-auth-update) no row is needed.
        if not names or posix.geteuid() or run.facts.has_pam_accounts():
            names = []
    report = run.do(CopyUsers(names=tuple(names))) if names else Report()
    # A login shows what its stack prints.
    if not expired or "json" in given.letters:
        tell(given, report.log, report.changed)
