# SPDX-License-Identifier: MIT
"""`accounts set-password`: what pam_accounts.so runs to write a new password (pam/tool.c). For root only.

Whoever may change which password, and whether the new one is good enough, the module and the stack around it have
found out before. All that is left is to hash it as that stack does and to set it. The password is the first field
of standard input, each of which ends with a NUL; the second one, if any, is what the password field has to be still.
"""

from __future__ import annotations

from accounts.cli.run import program
from accounts.cli.told import OUTPUT, tell
from accounts.cli.tool import HELP, Option, Tool, as_given
from accounts.edit.status import SetToken
from accounts.errors import E_NOPERM, E_NOTFOUND, Fail, Usage
from accounts.system.lines import read_all
from accounts.system.setuid import is_root
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.cli.tool import Given

TOOL = Tool(
    "accounts set-password",
    (HELP, Option("", "service", "service", as_given), *OUTPUT),
    # pam/tool.c knows these numbers.
    {"E_USAGE": 2, "E_NOTFOUND": 3, "E_NOPERM": 4},
    file_exits={("passwd", "lock"): 5, ("shadow", "lock"): 5},
    operands=(1, 1),
)


def read_fields() -> tuple[bytearray, bytes | None]:
    """(the password, what its field must be still or None). Raises Usage for an input that is cut short."""
    fields = read_all(0).split(b"\0")
    if len(fields) not in (2, 3) or fields[-1]:
        raise Usage("standard input is no password that ends with a NUL")
    return bytearray(fields[0]), fields[1] if len(fields) == 3 else None


@program(TOOL, secret=True)
def main(given: Given) -> None:
    """Hash and set it."""
    from accounts.system.hashing import hash_password, wipe
    from accounts.system.pam import settings_for

    run, name = given.run, given.operands[0]
    facts = run.facts
    if not is_root():
        raise Fail(E_NOPERM, "this needs root")
    password, proven = read_fields()
    if facts.view(("passwd",)).passwd.get(name) is None:
        raise Fail(E_NOTFOUND, f"user '{fsdecode(name)}' does not exist")
    service = fsdecode(given.values.get("service", b"other")).rpartition("/")[2] or "other"
    try:
        hashed = hash_password(password, settings_for(facts.target, service, facts.defs, facts.release))
    finally:
        wipe(password)
    report = run.do(SetToken(name=name, passwd=hashed, caller=None, proven=proven))
    tell(given, [f"the password of '{fsdecode(name)}' is set"], report.changed)
