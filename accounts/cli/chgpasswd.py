# SPDX-License-Identifier: MIT
"""chgpasswd(8): new passwords for many groups, "group:password" a line, in one transaction."""

from __future__ import annotations

from accounts.cli.batch import CryptOptions, crypt_tool, read_all, split_lines
from accounts.cli.run import program
from accounts.cli.tool import Given
from accounts.edit.batch import SetGroupPasswords
from accounts.errors import E_FAILURE, Fail
from accounts.model.database import Database
from accounts.text import fsdecode

TOOL = crypt_tool("chgpasswd", False)


def read_input(given: Given, database: Database) -> list[tuple[int, bytes, bytes]]:
    """(line number, group, password) of each line of standard input. Raises Fail after a message for each bad one."""
    found = []
    bad = False
    for number, line in enumerate(split_lines(read_all(0), drop_rest=False, open_end=False), 1):
        if line is None:
            problem = "line too long"
        else:
            name, colon, password = line.partition(b":")
            if not colon:
                problem = "missing new password"
            elif database.group.get(name) is None:
                problem = f"group '{fsdecode(name)}' does not exist"
            else:
                found.append((number, name, password))
                continue
        given.run.console.warn(f"line {number}: {problem}")
        bad = True
    if bad:
        raise Fail(E_FAILURE, "error detected, changes ignored")
    return found


@program(TOOL, secret=True)
def main(given: Given) -> None:
    """Set the passwords of standard input, which is read under the locks, as in shadow."""
    options = CryptOptions(given)

    def read(database: Database) -> list[tuple[int, bytes, bytes]]:
        rows = read_input(given, database)
        if not options.hashes:
            return rows
        passwords = options.hash_all(given, [password for _, _, password in rows], len(rows))
        return [(number, name, passwd) for (number, name, _), passwd in zip(rows, passwords, strict=True)]

    given.run.do(SetGroupPasswords(read=read))
