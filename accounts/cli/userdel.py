# SPDX-License-Identifier: MIT
"""userdel(8). Hot path."""

from __future__ import annotations

from accounts.cli.accountargs import check_busy, check_selinux, map_selinux_user, run_hooks
from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
from accounts.edit.request import Report
from accounts.edit.users import delete_user
from accounts.errors import (
    AccountsError,
    BadArgument,
    GroupFileError,
    GroupRefusal,
    NoSuchUser,
    PasswdFileError,
    PasswdOpenError,
    SelinuxError,
    SubgidFileError,
    SubuidFileError,
    Usage,
    UserBusy,
    UserRefusal,
)  # fmt: skip
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from accounts.model.records import Passwd

STATUSES: dict[type[AccountsError], int] = {
    PasswdFileError: 1, UserRefusal: 1, Usage: 2, BadArgument: 3, NoSuchUser: 6, UserBusy: 8,
    GroupFileError: 10, GroupRefusal: 10, SelinuxError: 14, SubuidFileError: 16, SubgidFileError: 18,
}  # fmt: skip
E_HOMEDIR = 12
USAGE = """\
Usage: userdel [options] LOGIN

Options:
  -f, --force                   force some actions that would fail otherwise
                                e.g. removal of user still logged in
                                or files, even if not owned by the user
  -h, --help                    display this help message and exit
  -r, --remove                  remove home directory and mail spool
  -R, --root CHROOT_DIR         directory to chroot into
  -P, --prefix PREFIX_DIR       prefix directory where are located the /etc/* files
  -Z, --selinux-user            remove any SELinux user mapping for the user

"""
LONG = {"force": "f", "help": "h", "remove": "r", "root=": "R", "prefix=": "P", "selinux-user": "Z"}


class Request:
    """What the command line asks for."""

    name = b""
    force = False
    remove = False
    selinux = False


def parse_arguments(session: Session, argv: list[bytes]) -> Request:
    """argv -> Request. Raises Usage and BadArgument, or Done after --help."""
    request = Request()
    operands: list[bytes] = []
    for option, _ in scan(argv, "fhrR:P:Z", LONG, operands):
        if option == "f":
            request.force = True
        elif option == "h":
            session.print(USAGE)
            raise Done
        elif option == "r":
            request.remove = True
        elif option == "Z":
            check_selinux(session)
            request.selinux = True
    if len(operands) != 1:
        raise Usage
    request.name = operands[0]
    return request


def find_user(session: Session, request: Request) -> Passwd:
    """The user's row as it is before anything is locked. Raises NoSuchUser, and UserBusy without -f."""
    try:
        user: Passwd | None = session.store.load(("passwd",), ("passwd",)).passwd.get(request.name)
    except PasswdOpenError:
        user = None
    if user is None:
        session.audit("DEL_USER", "deleting user not found", request.name, success=False)
        raise NoSuchUser(f"user '{fsdecode(request.name)}' does not exist")
    # The real tool, started with --root, does not ask.
    if session.target.live:
        try:
            check_busy(session, user.name, user.uid)
        except UserBusy as error:
            if not request.force:
                session.audit("DEL_USER", "deleting user logged in", user.name, success=False)
                raise
            session.warn(str(error))
    return user


def delete_accounts(session: Session, request: Request) -> tuple[Passwd, list[tuple[bytes, bytes]]]:
    """The locked part: the user's row as it was, and with -r (name, home) of all other users.

    Raises AccountsErrors of STATUSES.
    """
    target = session.target
    database = session.store.open(("passwd", "shadow", "group", "gshadow", "subuid", "subgid"))
    user: Passwd | None = database.passwd.get(request.name)
    if user is None:
        raise NoSuchUser(f"user '{fsdecode(request.name)}' does not exist")
    if database.passwd.image.find(request.name) is not None:
        # Before shadow's warnings about groups, which would be about nothing.
        from accounts.model.refusals import refuse_removal

        raise refuse_removal("passwd", request.name)
    report = Report("DEL_USER", user.uid)
    try:
        private_groups = session.defs.get_bool("USERGROUPS_ENAB")
        delete_user(database, request.name, request.force, private_groups, target.shown, report)
    finally:
        for line in report.warnings:
            session.warn(line)
    others = []
    if request.remove:
        others = [(row.name, row.home) for row in database.passwd]
    if not target.prefix:
        # crontab -r -u and the like need the account, so this comes before the commit.
        program = session.defs.get("USERDEL_CMD")
        if program is not None:
            from accounts.system.commands import run_userdel_cmd

            run_userdel_cmd(program, request.name, session.warn, None if target.live else target.root)
    session.commit(database)
    for line in report.log:
        session.log(line)
    for record in report.audit:
        session.audit(*record)
    return user, others


def remove_files(session: Session, request: Request, user: Passwd, others: list[tuple[bytes, bytes]]) -> bool:
    """Mail spool and home go; False when something was left."""
    from accounts.system.homes import mail_directory, remove_home, remove_mailbox

    target = session.target
    said: list[str] = []

    def warn(line: str) -> None:
        said.append(line)
        session.warn(line)

    directory = mail_directory(session.defs.get("MAIL_DIR"), session.defs.get("MAIL_FILE"))
    clean = remove_mailbox(target.root, directory, user.name, user.uid, request.force, warn, target.prefix)
    # A warning that is no failure says that there was nothing to remove.
    if directory is not None and not (clean and said):
        session.audit("DEL_USER", "deleting mail file", user.name, user.uid, clean)
    said.clear()
    gone = remove_home(target.root, user.home, user.uid, user.name, others, warn, target.prefix)
    if not said:
        session.audit("DEL_USER", "deleting home directory", user.name, user.uid)
    if not (gone and clean):
        # Of the mail file, too.
        session.audit("DEL_USER", "deleting home directory", user.name, success=False)
    return gone and clean


def body(session: Session, argv: list[bytes]) -> int:
    """Run userdel; the exit status."""
    session.select_root(argv)
    request = parse_arguments(session, argv)
    run_hooks(session, "pre", request.name)
    uid = find_user(session, request).uid
    try:
        user, others = delete_accounts(session, request)
    except AccountsError:
        session.audit("DEL_USER", "deleting user", request.name, uid, success=False)
        raise
    clean = not request.remove or remove_files(session, request, user, others)
    if request.selinux:
        map_selinux_user(session, request.name, b"")
    run_hooks(session, "post", request.name)
    return 0 if clean else E_HOMEDIR


def main() -> NoReturn:
    """Entry point of the shim."""
    run("userdel", body, STATUSES, USAGE)
