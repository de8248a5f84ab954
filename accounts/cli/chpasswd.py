# SPDX-License-Identifier: MIT
"""chpasswd(8): new passwords for many users, "user:password" a line, in one transaction.

With -c, -e or -m nothing is changed when one line is bad. Without them each user stands alone, as where
Debian's chpasswd leaves the passwords to pam_unix.
"""

from __future__ import annotations

from accounts.cli.batch import CryptOptions, crypt_tool, show_failure
from accounts.cli.run import Run, program
from accounts.cli.tool import Given
from accounts.edit.batch import SetPasswords, SetTokens, check_hashes, parse_lines
from accounts.system.lines import read_all, split_lines
from accounts.system.pam import make_tokens
from accounts.system.setuid import is_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.edit.batch import Failure, Row

TOOL = crypt_tool("chpasswd", True)


def change_alone(run: Run, entries: list[Row], problems: dict[int, str]) -> int:
    """Set the passwords that can be set; the exit status."""
    tokens = make_tokens(run.facts, run.tool.name, entries, is_root())
    entries.clear()
    failures: dict[int, Failure] = run.do(SetTokens(tokens=tokens)).result
    for number in sorted(problems.keys() | failures.keys()):
        if number in problems:
            run.console.warn(problems[number])
        else:
            show_failure(run.console, number, failures[number])
    return 1 if problems or failures else 0


def change_together(given: Given, options: CryptOptions, entries: list[Row], problems: dict[int, str]) -> None:
    """Set all passwords or, when anything is wrong, none. Raises AccountsError."""
    passwords = [password for _, _, password in entries]
    names = [(number, name) for number, name, _ in entries]
    entries.clear()
    if options.hashes:
        passwords = given.run.facts.hash_all(passwords, options.method, options.rounds, 1)
    rows = [(number, name, passwd) for (number, name), passwd in zip(names, passwords, strict=True)]
    given.run.do(SetPasswords(rows=rows, problems=problems))


@program(TOOL, secret=True)
def main(given: Given) -> int:
    """Set the passwords of standard input."""
    options = CryptOptions(given)
    entries, problems = parse_lines(split_lines(read_all(0), drop_rest=True, open_end=True))
    release = given.run.release
    if options.encrypted and release >= (4, 19):
        entries = check_hashes(entries, problems)
    # pam_unix knows no prefix.
    prefixed = bool(given.run.change.target.prefix) and release >= (4, 14)
    if options.encrypted or options.method is not None or prefixed:
        change_together(given, options, entries, problems)
        return 0
    return change_alone(given.run, entries, problems)
