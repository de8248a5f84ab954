# SPDX-License-Identifier: MIT
"""chgpasswd(8): new passwords for many groups, "group:password" a line, in one transaction."""

from __future__ import annotations

from accounts.cli.batch import CryptOptions, crypt_tool
from accounts.cli.run import program
from accounts.cli.tool import Given
from accounts.edit.batch import SetGroupPasswords
from accounts.system.lines import read_all, split_lines

TOOL = crypt_tool("chgpasswd", False)


@program(TOOL, secret=True)
def main(given: Given) -> None:
    """Set the passwords of standard input, which shadow reads under the locks."""
    options = CryptOptions(given)
    lines = tuple(split_lines(read_all(0), drop_rest=False, open_end=False))
    given.run.do(SetGroupPasswords(lines=lines, hashes=options.hashes, method=options.method, rounds=options.rounds))
