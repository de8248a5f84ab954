# SPDX-License-Identifier: MIT
"""passwd(1). Callers who are not root come from the service, or get the distribution's set-uid program. Hot path.

Setting a password as root speaks as Debian's passwd with pam_unix does; others speak with PAM itself.
"""

from __future__ import annotations

import posix
import time

from accounts.cli.run import Run, program
from accounts.cli.tool import HELP, ROOT, SOME_PREFIX, Given, Option, Tool, refuse_option, take_count
from accounts.edit.passwords import can_set_token, expiry_state
from accounts.edit.status import ChangeStatus, SetToken, status_line, token_error
from accounts.errors import E_CONFLICT, E_NOPERM, E_NOTFOUND, E_PAM_ERR, E_USAGE, BadArgument, Fail, Usage
from accounts.model.dates import DAY
from accounts.model.release import NO_MIN
from accounts.system.caller import check_named, name_caller
from accounts.system.notify import LOG_WARN, syslog
from accounts.system.setuid import is_root
from accounts.text import fsdecode

# Options that change the status of an account.
CHANGES = frozenset("deilnuwx")
# Whose passwords may be of any length.
ENDLESS_METHODS = (b"MD5", b"SHA256", b"SHA512", b"BCRYPT", b"YESCRYPT")


def take_repository(_: Given, value: bytes) -> None:
    """-r: there is one."""
    if value != b"files":
        raise Fail(E_USAGE, f"repository {fsdecode(value)} not supported")


# The values are called as the fields of ChangeStatus.
TOOL = Tool(
    "passwd",
    (
        Option("a", "all"),
        Option("d", "delete", "delete"),
        Option("e", "expire", "expire"),
        HELP,
        Option("i", "inactive", "inactive", take_count),
        Option("k", "keep-tokens"),
        Option("l", "lock", "lock"),
        Option("n", "mindays", "min", take_count, until=NO_MIN),
        Option("n", "", "min", refuse_option, since=NO_MIN, hidden=True),
        Option("q", "quiet"),
        Option("r", "repository", "", take_repository),
        ROOT,
        *SOME_PREFIX,
        Option("S", "status"),
        Option("s", "stdin", until=(4, 15), hidden=True),
        Option("s", "stdin", since=(4, 15)),
        Option("u", "unlock", "unlock"),
        Option("w", "warndays", "warn", take_count),
        Option("x", "maxdays", "max", take_count),
    ),
    # What shadow calls E_BAD_ARG here is a command line that cannot be read.
    {"E_NOPERM": 1, "E_NOTFOUND": 1, "E_CONFLICT": 2, "E_BAD_ARG": 3, "E_PW_UPDATE": 3, "E_USAGE": 6, "E_PAM_ERR": 10},
    file_exits={("passwd", "open"): 4, ("passwd", "lock"): 5, ("shadow", "lock"): 5},
    operands=(0, None),
    setuid=True,
)


def check_options(given: Given) -> None:
    """Whether the options go together. Raises Usage."""
    letters, names = given.letters, given.operands
    change = not letters.isdisjoint(CHANGES)
    if len(names) > 1:
        raise Usage(why=E_CONFLICT)
    if "a" in letters:
        if change or "S" not in letters or names:
            raise Usage(why=E_CONFLICT)
    elif (
        (change and not names)
        or ("S" in letters and "k" in letters)
        or (change and not letters.isdisjoint("Sk"))
        or ("s" in letters and (change or not letters.isdisjoint("Sk")))
    ):
        raise Usage(why=E_CONFLICT)


def set_password(run: Run, name: bytes, caller: bytes, from_stdin: bool = False) -> None:
    """Ask for a new password and set it. Raises Fail."""
    from accounts.system.coredump import forbid_core_dumps
    from accounts.system.hashing import hash_password, wipe
    from accounts.system.pam import settings_for
    from accounts.system.terminal import ask_new_password, read_new_password

    facts = run.facts
    if not can_set_token(facts.view(("passwd", "shadow")), name):
        raise token_error()
    forbid_core_dumps()
    password = (read_new_password if from_stdin else ask_new_password)(run.console.converse, run.console.complain)
    if password is None:
        raise token_error()
    try:
        hashed = hash_password(password, settings_for(facts.target, run.tool.name, facts.defs, facts.release))
    except BadArgument as error:
        raise Fail(E_PAM_ERR, str(error), "password unchanged") from None
    finally:
        wipe(password)
    run.do(SetToken(name=name, passwd=hashed, caller=caller))
    run.console.warn("password updated successfully")


def set_below_prefix(run: Run, name: bytes, caller: bytes, quiet: bool, from_stdin: bool) -> None:
    """Ask for a new password in shadow's own words and set it, since 4.14: PAM knows no prefix. Raises Fail."""
    from accounts.system.coredump import forbid_core_dumps
    from accounts.system.hashing import hash_password, settings_from, wipe
    from accounts.system.terminal import ask_password_below

    console, defs, release = run.console, run.facts.defs, run.release
    shown = fsdecode(name)
    forbid_core_dumps()
    if not quiet:
        console.print(f"Changing password for {shown}\n")
    if not quiet and not from_stdin:
        # PASS_MIN_LEN and PASS_MAX_LEN are PAM's, and so what shadow takes for them without PAM.
        method = defs.get("ENCRYPT_METHOD")
        short = release < (4, 20) and (
            not defs.get_bool("MD5_CRYPT_ENAB") if method is None else method not in ENDLESS_METHODS
        )
        least = 5 if release < (4, 20) else 0
        console.print(
            f"Enter the new password (minimum of {least}{', maximum of 8' if short else ''} characters)\n"
            "Please use a combination of upper and lower case letters and numbers.\n"
        )
    password = console.converse("") if from_stdin else ask_password_below(console.read_password, console.complain)
    if password is None:
        raise Fail(E_NOPERM, text=f"The password for {shown} is unchanged.\n")
    try:
        settings = settings_from(defs)
        console.complain("".join(settings.notes))
        hashed = hash_password(password, settings)
    finally:
        wipe(password)
    now = run.facts.today() or -1
    run.do(ChangeStatus(name=name, caller=caller, today=int(time.time()) // DAY, passwd=hashed, changed=now))


@program(TOOL)
def main(given: Given) -> int:
    """Show or change the status of accounts, or set a password."""
    run, letters, root = given.run, given.letters, is_root()
    console = run.console
    database = run.facts.view(("passwd", "shadow"))
    caller = name_caller(run.facts)
    below_prefix = bool(run.facts.target.prefix) and run.release >= (4, 14)
    check_named(run.release, given.operands, domains=True)
    check_options(given)
    if not root and not letters.isdisjoint(CHANGES | {"a"}):
        raise Fail(E_NOPERM, "Permission denied.")
    if "a" in letters:
        lines = (status_line(user, database.shadow.get(user.name), run.release) for user in database.passwd)
        console.print("".join(lines))
        return 0
    name = given.operands[0] if given.operands else caller
    rows = run.facts.user_rows(name)
    if rows is None:
        raise Fail(E_NOTFOUND, f"user '{fsdecode(name)}' does not exist")
    if not root and rows[0].uid != posix.getuid():
        syslog(LOG_WARN, f"can't view or modify password information for {fsdecode(name)}")
        shown = f"{console.prog}: You may not view or modify password information for {fsdecode(name)}.\n"
        raise Fail(E_NOPERM, text=shown)
    if "S" in letters:
        console.print(status_line(*rows, run.release))
    elif not letters.isdisjoint(CHANGES):
        # The day by the clock, which is what PAM goes by.
        if below_prefix:
            given.values["changed"] = run.facts.today() or -1
        run.do(ChangeStatus(name=name, caller=caller, today=int(time.time()) // DAY, **given.values))
        if "q" not in letters:
            console.print(f"{console.prog}: password changed.\n")
    elif not root:
        from accounts.cli.served import change_token

        change_token(run, rows[0], quiet="q" in letters, expired="k" in letters)
    elif "k" not in letters or expiry_state(*rows, run.facts.today(), run.release):
        if below_prefix:
            set_below_prefix(run, name, caller, "q" in letters, "s" in letters)
        else:
            set_password(run, name, caller, "s" in letters)
    return 0
