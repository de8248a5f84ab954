# SPDX-License-Identifier: MIT
"""chpasswd(8): new passwords for many users, "user:password" a line, in one transaction.

With -c, -e or -m nothing is changed when one line is bad. Without them each user stands alone, as where
Debian's chpasswd leaves the passwords to pam_unix.
"""

from __future__ import annotations

from accounts.cli.cryptargs import LONG, SHORT, USAGE, CryptOptions, read_all, split_lines
from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
from accounts.cli.tokens import Tokens
from accounts.edit.passwords import update_password
from accounts.errors import AccountsError, BadArgument, DuplicateRow, Usage
from accounts.system.coredump import forbid_core_dumps
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.cli.tokens import Entry

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


def parse_input(session: Session, text: bytes) -> tuple[list[Entry], dict[int, str]]:
    """(the good lines; line -> what to say on standard error, for the others)."""
    entries = []
    problems = {}
    for number, line in enumerate(split_lines(text, drop_rest=True, open_end=True), 1):
        name, colon, password = (line or b"").partition(b":")
        if colon:
            entries.append((number, name, password))
        else:
            problem = "line too long" if line is None else "missing new password"
            problems[number] = f"{session.prog}: line {number}: {problem}\n"
    return entries, problems


def change_alone(session: Session, entries: list[Entry], problems: dict[int, str]) -> int:
    """Set the passwords that can be set; the exit status."""
    tokens = Tokens(session, entries)
    entries.clear()
    database = session.store.open(("passwd", "shadow"))
    problems |= tokens.apply(database)
    # pam_unix keeps no backups.
    session.commit(database, no_backup=("passwd", "shadow"))
    session.print_error("".join(text for _, text in sorted(problems.items())))
    return 1 if problems else 0


def change_together(
    session: Session, options: CryptOptions, entries: list[Entry], problems: dict[int, str]
) -> int:
    """Set all passwords or, when anything is wrong, none; the exit status. Raises AccountsError."""
    passwords = [password for _, _, password in entries]
    names = [(number, name) for number, name, _ in entries]
    entries.clear()
    if options.hashes:
        passwords = options.hash_all(session, passwords, 1)
    defs = session.defs
    database = session.store.open(("passwd", "shadow"))
    today = session.today() if names else 0
    said = sorted(problems.items())[::-1]
    failed = bool(said)
    for (number, name), password in zip(names, passwords, strict=True):
        while said and said[-1][0] < number:
            session.print_error(said.pop()[1])
        try:
            if update_password(database, name, password, today, defs.ageing):
                continue
            problem = f"user '{fsdecode(name)}' does not exist"
        except DuplicateRow as error:
            session.print_duplicate(error)
            path = session.target.shown(error.database)
            problem = f"failed to prepare the new {path} entry '{fsdecode(name)}'"
        session.warn(f"line {number}: {problem}")
        failed = True
    for _, text in said[::-1]:
        session.print_error(text)
    if failed:
        raise AccountsError("error detected, changes ignored")
    session.commit(database)
    return 0


def body(session: Session, argv: list[bytes]) -> int:
    """Run chpasswd; the exit status."""
    forbid_core_dumps()
    options = parse_arguments(session, argv)
    session.select_root(argv)
    entries, problems = parse_input(session, read_all(0))
    if options.encrypted or options.method is not None:
        return change_together(session, options, entries, problems)
    return change_alone(session, entries, problems)


def main() -> NoReturn:
    """Entry point of the shim."""
    run("chpasswd", body, STATUSES, USAGE.format("chpasswd"))
