# SPDX-License-Identifier: MIT
"""What follows a commit: homes, mail spools, login records, SELinux mappings. Hot path of useradd.

Each function is a step of accounts.edit.request.Report: it gets the Facts, the Report, how to audit, and the
step's own arguments.
"""

from __future__ import annotations

from accounts.errors import HomeError, SelinuxError
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.edit.request import Record, Report
    from accounts.system.known import Facts

    Audit = Callable[[Record], None]


def reset_login_records(facts: Facts, report: Report, audit: Audit, name: bytes, uid: int | None) -> None:
    """A new user starts without entries in lastlog and faillog, and in the tallylog. uid: None where others have it."""
    from accounts.system.logs import LASTLOG_UID_MAX, reset_login_records, reset_tallylog

    target, warn = facts.target, facts.warn
    if uid is not None:
        limit = facts.defs.get_ulong("LASTLOG_UID_MAX", LASTLOG_UID_MAX)
        reset_login_records(target.root, uid, limit, warn)
    if target.live:
        reset_tallylog(name, warn)


def map_selinux_user(facts: Facts, report: Report, audit: Audit, name: bytes, seuser: bytes) -> None:
    """Map a user to an SELinux user, or to none any more ("" as seuser). Raises SelinuxError."""
    from accounts.system.selinux import map_user, unmap_user

    target, warn = facts.target, facts.warn
    chroot = None if target.live else target.root
    user = fsdecode(name)
    if seuser:
        if not map_user(name, seuser, warn, chroot):
            raise SelinuxError(f"warning: the user name {user} to {fsdecode(seuser)} SELinux user mapping failed.")
    elif not unmap_user(name, warn, chroot):
        raise SelinuxError(f"warning: the user name {user} to SELinux user mapping removal failed.")


def create_home(
    facts: Facts, report: Report, audit: Audit, name: bytes, home: bytes, ids: tuple[int, int], skel: bytes,
    subvolume: bool,
) -> None:  # fmt: skip
    """Create the home directory with a copy of skel. ids: of its owner. Raises HomeError."""
    from accounts.model.useradd_defaults import SKEL
    from accounts.system.homes import create_home

    target, defs = facts.target, facts.defs
    mode = 0o777 & ~defs.get_int("UMASK", 0o022)
    mode = defs.get_int("HOME_MODE", mode) & 0o7777
    if skel == SKEL:
        skel = target.find_layered(b"skel")
    warn = facts.warn
    try:
        created = create_home(target.root, home, *ids, mode, skel, warn, target.prefix, subvolume)
    except (OSError, HomeError) as error:
        audit((report.kind, "adding home directory", name, ids[0], False))
        if isinstance(error, HomeError):
            raise
        raise HomeError(f"cannot create directory {fsdecode(home)}") from None
    if created:
        audit((report.kind, "adding home directory", name, ids[0], True))


def create_mail(
    facts: Facts, report: Report, audit: Audit, name: bytes, uid: int, gid: int, mail_gid: int | None
) -> None:
    """Create the mail spool."""
    from accounts.system.homes import create_mail, mail_directory

    defs = facts.defs
    directory = mail_directory(defs.get("MAIL_DIR"), defs.get("MAIL_FILE"))
    create_mail(facts.target.root, directory, name, uid, gid, mail_gid, facts.complain)
