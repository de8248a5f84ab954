# SPDX-License-Identifier: MIT
"""`accounts sysusers`: the memberships of sysusers.d(5) that systemd-sysusers has lost.

systemd-sysusers adds a member (`m USER GROUP`) only to a group that has a row in /etc/group, and says nothing of one
that the image has. accounts-sysusers.service runs this behind it.
"""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.told import OUTPUT, tell
from accounts.cli.tool import HELP, PREFIX, ROOT, Given, Tool
from accounts.edit.lostmembers import AddLostMembers
from accounts.image.uses import listed_memberships

TOOL = Tool("accounts sysusers", (HELP, PREFIX, ROOT, *OUTPUT), {"E_USAGE": 2}, operands=(0, 0), other=3)


@program(TOOL)
def main(given: Given) -> None:
    """Add what is missing."""
    run = given.run
    report = run.do(AddLostMembers(listed=tuple(listed_memberships(run.change.target.root))))
    tell(given, report.log, report.changed)
