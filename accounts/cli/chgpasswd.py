# SPDX-License-Identifier: MIT
"""chgpasswd(8): new passwords for many groups, "group:password" a line, in one transaction."""

from __future__ import annotations

from accounts.cli.cryptargs import LONG, SHORT, USAGE, CryptOptions, read_all, split_lines
from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
from accounts.edit.gshadow import update_password
from accounts.errors import AccountsError, BadArgument, DuplicateRow, Usage
from accounts.model.database import Database
from accounts.system.coredump import forbid_core_dumps
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

STATUSES: dict[type[AccountsError], int] = {Usage: 2, BadArgument: 3}


def parse_arguments(session: Session, argv: list[bytes]) -> CryptOptions:
    """argv -> CryptOptions. Raises Usage, or Done after --help. Operands are passed over, as in 4.13."""
    options = CryptOptions()
    for option, value in scan(argv, SHORT, LONG, []):
        if option == "h":
            session.print(USAGE.format(session.prog))
            raise Done
        options.take(option, value)
    options.check()
    return options


def parse_input(session: Session, database: Database, text: bytes) -> list[tuple[int, bytes, bytes]]:
    """(line number, group, password) of each line. Raises AccountsError after a message for each bad one."""
    found = []
    bad = False
    for number, line in enumerate(split_lines(text, drop_rest=False, open_end=False), 1):
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
        session.warn(f"line {number}: {problem}")
        bad = True
    if bad:
        raise AccountsError("error detected, changes ignored")
    return found


def body(session: Session, argv: list[bytes]) -> int:
    """Run chgpasswd; the exit status."""
    forbid_core_dumps()
    session.select_root(argv)
    options = parse_arguments(session, argv)
    database = session.store.open(("group", "gshadow"))
    entries = parse_input(session, database, read_all(0))
    passwords = [password for _, _, password in entries]
    if options.hashes:
        passwords = options.hash_all(session, passwords, len(passwords))
    failed = False
    for (number, name, _), password in zip(entries, passwords, strict=True):
        try:
            update_password(database, name, password)
        except DuplicateRow as error:
            session.print_duplicate(error)
            path = session.target.shown(error.database)
            session.warn(f"line {number}: failed to prepare the new {path} entry '{fsdecode(name)}'")
            failed = True
    if failed:
        raise AccountsError("error detected, changes ignored")
    session.commit(database)
    return 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("chgpasswd", body, STATUSES, USAGE.format("chgpasswd"))
