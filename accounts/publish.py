# SPDX-License-Identifier: MIT
"""What follows a commit: homes, mail spools, login records, SELinux mappings. Hot path of useradd.

Each function is a step of accounts.edit.request.Report: it gets the Facts, the Report, how to audit, and the
step's own arguments.
"""

from __future__ import annotations

import posix

from accounts.errors import E_FAILURE, E_HOMEDIR, E_SE_UPDATE, AccountsError, Fail, HomeError
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from accounts.edit.request import Record, Report
    from accounts.edit.userchange import UserChange
    from accounts.model.records import Passwd
    from accounts.system.known import Facts

    Audit = Callable[[Record], None]


def reset_login_records(facts: Facts, report: Report, audit: Audit, name: bytes, uid: int | None) -> None:
    """A new user starts without entries in lastlog and faillog, and in the tallylog. uid: None where others have it."""
    from accounts.system.loginrecords import LASTLOG_UID_MAX, reset_login_records, reset_tallylog

    target, warn = facts.target, facts.warn
    if uid is not None:
        limit = facts.defs.get_ulong("LASTLOG_UID_MAX", LASTLOG_UID_MAX)
        reset_login_records(target.root, uid, limit, warn)
    if target.live:
        reset_tallylog(name, warn)


def map_selinux_user(
    facts: Facts, report: Report, audit: Audit, name: bytes, seuser: bytes, serange: bytes = b""
) -> None:
    """Map a user to an SELinux user, or to none any more ("" as seuser). Raises Fail."""
    from accounts.system.selinux import map_user, unmap_user

    target, warn = facts.target, facts.warn
    chroot = None if target.live else target.root
    user = fsdecode(name)
    if seuser:
        if not map_user(name, seuser, serange, warn, chroot):
            raise Fail(E_SE_UPDATE, f"warning: the user name {user} to {fsdecode(seuser)} SELinux user mapping failed.")
    elif not unmap_user(name, warn, chroot):
        raise Fail(E_SE_UPDATE, f"warning: the user name {user} to SELinux user mapping removal failed.")


def create_home(
    facts: Facts, report: Report, audit: Audit, name: bytes, home: bytes, ids: tuple[int, int],
    skels: tuple[bytes, ...], subvolume: bool,
) -> None:  # fmt: skip
    """Create the home directory with a copy of skels. ids: of its owner. Raises HomeError."""
    from accounts.model.useradd_defaults import SKEL
    from accounts.system.homes import create_home

    target, defs = facts.target, facts.defs
    mode = 0o777 & ~defs.get_int("UMASK", 0o022)
    mode = defs.get_int("HOME_MODE", mode) & 0o7777
    # The vendor's directory counts once.
    skels = tuple(dict.fromkeys(target.find_layered(b"skel") if skel == SKEL else skel for skel in skels))
    warn = facts.warn
    try:
        how = "no" if not subvolume else "yes" if facts.release < (4, 20) else "try"
        created = create_home(target.root, home, ids, mode, skels, warn, target.prefix, how)
    except (OSError, HomeError) as error:
        audit((report.kind, "adding home directory", name, ids[0], False, b""))
        if isinstance(error, HomeError):
            raise
        raise HomeError(f"cannot create directory {fsdecode(home)}") from None
    if created:
        audit((report.kind, "adding home directory", name, ids[0], True, b""))


def create_homes(facts: Facts, report: Report, audit: Audit, homes: list[tuple[Any, ...]]) -> None:
    """Many homes, each of create_home()'s arguments, then whether what is there was left unfinished by a killed run.

    One that fails is told of and keeps none from the others. Raises HomeError at the end.
    """
    from accounts.progress import track
    from accounts.system.unfinished import remove_unfinished

    failed = 0
    for *arguments, unfinished in track(homes, "making homes"):
        try:
            if unfinished:
                remove_unfinished(facts.target.root, arguments[1])
            create_home(facts, report, audit, *arguments)
        except (HomeError, OSError) as error:
            facts.warn(str(error))
            failed += 1
    if failed:
        raise HomeError(f"{failed} home{'s' * (failed > 1)} could not be made; the accounts are")


def run_all_steps(facts: Facts, report: Report, audit: Audit, reports: list[Report]) -> None:
    """The steps of the requests that another one is made of; what fails is told of. Raises Fail at the end."""
    failed = False
    for one in reports:
        for name, arguments in one.steps:
            try:
                globals()[name](facts, one, audit, *arguments)
            except AccountsError as error:
                facts.warn(str(error))
                failed = True
    if failed:
        raise Fail(E_FAILURE, "not all of what follows a change could be done")


def make_home(facts: Facts, report: Report, audit: Audit, number: int, user: Passwd) -> None:
    """Make the home of the user in a line of newusers, empty."""
    from accounts.system.homes import make_home

    mode = facts.defs.get_int("HOME_MODE", 0o777 & ~facts.defs.get_int("UMASK", 0o022)) & 0o7777
    try:
        make_home(facts.target.root, user.home, user.uid, user.gid, mode)
    except OSError as error:
        call = "chown" if error.filename == "chown" else "mkdir"
        facts.warn(f"line {number}: {call} {fsdecode(user.home)} failed: {error.strerror}")


def create_mail(
    facts: Facts, report: Report, audit: Audit, name: bytes, uid: int, gid: int, mail_gid: int | None
) -> None:
    """Create the mail spool."""
    from accounts.system.mail import create_mail, mail_directory

    defs = facts.defs
    directory = mail_directory(defs.get("MAIL_DIR"), defs.get("MAIL_FILE"))
    create_mail(facts.target.root, directory, name, uid, gid, mail_gid, facts.complain)


def _is_images(facts: Facts, name: bytes, home: bytes | None, *owners: int) -> bool:
    """Whether a home is the image's: its user is one of the image, hidden or not, and it is below /usr or IMAGE_DIR.

    owners: UIDs of which it has to be one's, too.
    """
    from accounts.system.paths import open_beneath, real_path

    if home is None:
        return False
    layered = facts.view(("passwd",)).passwd
    if not layered.image.data or layered.image_row(name) is None:
        return False
    try:
        path = real_path(facts.target.root, home)
        fd = open_beneath(facts.target.root, home, posix.O_PATH | posix.O_CLOEXEC)
    except OSError:
        return False
    owner = posix.fstat(fd).st_uid
    posix.close(fd)
    if owners and owner not in owners:
        return False
    return (path + b"/").startswith((b"/usr/", b"/" + facts.target.image_dir() + b"/"))


def follow_user(facts: Facts, report: Report, audit: Audit, name: bytes, change: UserChange, move: bool) -> None:
    """Home, mail spool and login records follow a changed account. move: the home's content. Raises HomeError."""
    from accounts.system.homes import chown_home, move_home
    from accounts.system.hometree import KEEP, Ids
    from accounts.system.loginrecords import LASTLOG_UID_MAX, move_login_records
    from accounts.system.mail import mail_directory, move_mailbox

    target, defs, warn = facts.target, facts.defs, facts.warn
    root, home = target.root, change.old_home

    def done(operation: str) -> None:
        audit((report.kind, operation, name, report.uid, True, b""))

    new_uid = KEEP if change.uid is None else change.uid
    ids = Ids(change.old_uid, new_uid, change.old_gid, KEEP if change.gid is None else change.gid)
    new_home = change.home
    if new_home is not None and len(new_home) > 1:
        new_home = new_home.removesuffix(b"/")
    moves = move and new_home is not None
    new_owner = change.uid is not None or change.gid is not None
    if moves and _is_images(facts, name, home):
        raise HomeError(f"cannot move {fsdecode(home or b'')}, which is a part of the image")
    if moves and new_home and home is not None and move_home(root, home, new_home, ids, warn, target.prefix):
        if new_owner:
            done("changing home directory owner")
        done("moving home directory")
    if change.name is not None or change.uid is not None:
        directory = mail_directory(defs.get("MAIL_DIR"), defs.get("MAIL_FILE"))
        if move_mailbox(
            root, directory, (name, change.name or name), (change.old_uid, new_uid), warn, facts.complain, target.prefix
        ):
            if change.uid is not None:
                done("changing mail file owner")
            if change.name is not None:
                done("changing mail file name")
    if change.uid is not None:
        limit = defs.get_ulong("LASTLOG_UID_MAX", LASTLOG_UID_MAX)
        move_login_records(root, change.old_uid, change.uid, limit, warn)
    place = new_home or home
    if new_owner and not moves and _is_images(facts, name, place, change.old_uid, new_uid):
        warn(f"the owner of {fsdecode(place or b'')} stays: it is a part of the image")
    elif new_owner and not moves and place is not None and chown_home(root, place, ids):
        done("changing home directory owner")


def run_userdel_cmd(facts: Facts, report: Report, audit: Audit, name: bytes) -> None:
    """USERDEL_CMD of login.defs(5), a program of the target."""
    target = facts.target
    program = facts.defs.get("USERDEL_CMD")
    if program is not None and not target.prefix:
        from accounts.system.commands import run_userdel_cmd

        run_userdel_cmd(program, name, facts.warn, None if target.live else target.root)


def remove_files(
    facts: Facts, report: Report, audit: Audit, user: Passwd, force: bool, others: list[tuple[bytes, bytes]]
) -> None:
    """Mail spool and home go. others: (name, home) of all other users. What is left makes the report unfinished."""
    from accounts.system.homes import remove_home
    from accounts.system.mail import mail_directory, remove_mailbox

    root, prefix, kind = facts.target.root, facts.target.prefix, report.kind
    said: list[str] = []

    def warn(line: str) -> None:
        said.append(line)
        facts.warn(line)

    directory = mail_directory(facts.defs.get("MAIL_DIR"), facts.defs.get("MAIL_FILE"))
    clean = remove_mailbox(root, directory, user.name, user.uid, force, warn, prefix)
    # A warning that is no failure says that there was nothing to remove.
    if directory is not None and not (clean and said):
        audit((kind, "deleting mail file", user.name, user.uid, clean, b""))
    said.clear()
    if _is_images(facts, user.name, user.home, user.uid):
        warn(f"not removing directory {fsdecode(user.home)} (it is a part of the image)")
        gone = False
    else:
        gone = remove_home(root, user.home, user.uid, user.name, others, warn, prefix)
    if not said:
        audit((kind, "deleting home directory", user.name, user.uid, True, b""))
    if not (gone and clean):
        # Of the mail file, too.
        audit((kind, "deleting home directory", user.name, None, False, b""))
        report.unfinished = E_HOMEDIR
