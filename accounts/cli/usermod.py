# SPDX-License-Identifier: MIT
"""usermod(8). Hot path."""

from __future__ import annotations

from accounts.cli.accountargs import (
    Look,
    check_busy,
    check_selinux,
    check_shell,
    find_group,
    is_field,
    map_selinux_user,
)  # fmt: skip
from accounts.cli.options import scan
from accounts.cli.session import Done, Session, run
from accounts.edit.request import Report
from accounts.edit.users import Change, change_user
from accounts.errors import (
    AccountsError,
    BadArgument,
    BadOption,
    GroupFileError,
    GroupRefusal,
    HomeError,
    IdInUse,
    NameInUse,
    NoSuchGroup,
    NoSuchUser,
    PasswdFileError,
    Refusal,
    SelinuxError,
    SubgidFileError,
    SubuidFileError,
    Usage,
    UserBusy,
    UserRefusal,
)  # fmt: skip
from accounts.model.database import Database
from accounts.model.names import is_valid_user_name
from accounts.model.records import LONG_MAX, MAX_ID, MAX_ULONG, parse_id, parse_long
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

STATUSES: dict[type[AccountsError], int] = {
    PasswdFileError: 1, UserRefusal: 1, Usage: 2, BadOption: 2, BadArgument: 3, IdInUse: 4, NoSuchUser: 6,
    NoSuchGroup: 6, UserBusy: 8, NameInUse: 9, GroupFileError: 10, GroupRefusal: 10, HomeError: 12,
    SelinuxError: 13, SubuidFileError: 16, SubgidFileError: 18,
}  # fmt: skip
USAGE = """\
Usage: usermod [options] LOGIN

Options:
  -a, --append                  append the user to the supplemental GROUPS
                                mentioned by the -G option without removing
                                the user from other groups
  -b, --badname                 allow bad names
  -c, --comment COMMENT         new value of the GECOS field
  -d, --home HOME_DIR           new home directory for the user account
  -e, --expiredate EXPIRE_DATE  set account expiration date to EXPIRE_DATE
  -f, --inactive INACTIVE       set password inactive after expiration
                                to INACTIVE
  -g, --gid GROUP               force use GROUP as new primary group
  -G, --groups GROUPS           new list of supplementary GROUPS
  -h, --help                    display this help message and exit
  -l, --login NEW_LOGIN         new value of the login name
  -L, --lock                    lock the user account
  -m, --move-home               move contents of the home directory to the
                                new location (use only with -d)
  -o, --non-unique              allow using duplicate (non-unique) UID
  -p, --password PASSWORD       use encrypted password for the new password
  -P, --prefix PREFIX_DIR       prefix directory where are located the /etc/* files
  -r, --remove                  remove the user from only the supplemental GROUPS
                                mentioned by the -G option without removing
                                the user from other groups
  -R, --root CHROOT_DIR         directory to chroot into
  -s, --shell SHELL             new login shell for the user account
  -u, --uid UID                 new UID for the user account
  -U, --unlock                  unlock the user account
  -v, --add-subuids FIRST-LAST  add range of subordinate uids
  -V, --del-subuids FIRST-LAST  remove range of subordinate uids
  -w, --add-subgids FIRST-LAST  add range of subordinate gids
  -W, --del-subgids FIRST-LAST  remove range of subordinate gids
  -Z, --selinux-user SEUSER     new SELinux user mapping for the user account

"""
SHORT = "abc:d:e:f:g:G:hl:Lmop:rR:s:u:UP:v:w:V:W:Z:"
LONG = {
    "append": "a", "badnames": "b", "comment=": "c", "home=": "d", "expiredate=": "e", "inactive=": "f",
    "gid=": "g", "groups=": "G", "help": "h", "login=": "l", "lock": "L", "move-home": "m", "non-unique": "o",
    "password=": "p", "remove": "r", "root=": "R", "prefix=": "P", "shell=": "s", "uid=": "u", "unlock": "U",
    "add-subuids=": "v", "del-subuids=": "V", "add-subgids=": "w", "del-subgids=": "W", "selinux-user=": "Z",
}  # fmt: skip
# The options that add or remove subordinate ids, in the order in which they are carried out.
SUBIDS = {"V": ("subuid", False), "v": ("subuid", True), "W": ("subgid", False), "w": ("subgid", True)}
AUDIT = "USER_CHAUTHTOK"
# Options that wait until the user has no process.
_NEED_IDLE = ("u", "l", "d", "V", "W")


class Request:
    """What the command line asks for; options that were not given are None or False."""

    def __init__(self) -> None:
        # The letters of all options that were given.
        self.given: set[str] = set()
        self.name = b""
        self.new_name: bytes | None = None
        self.uid: int | None = None
        self.gid: int | None = None
        self.gecos: bytes | None = None
        self.home: bytes | None = None
        self.shell: bytes | None = None
        self.passwd: bytes | None = None
        self.expire: int | None = None
        self.inactive: int | None = None
        self.groups: list[bytes] | None = None
        self.ranges: dict[str, list[tuple[int, int]]] = {option: [] for option in SUBIDS}
        self.selinux_user: bytes | None = None


def parse_arguments(session: Session, argv: list[bytes], look: Look) -> Request:
    """argv -> Request. Raises Usage, BadArgument and NoSuchGroup, or Done after --help."""
    request = Request()
    operands: list[bytes] = []
    for option, value in scan(argv, SHORT, LONG, operands):
        take_option(session, request, option, value, look)
        request.given.add(option)
    if len(operands) != 1:
        raise Usage
    request.name = operands[0]
    return request


def take_option(session: Session, request: Request, option: str, value: bytes, look: Look) -> None:
    """Note one option. Raises as parse_arguments."""
    shown = fsdecode(value)
    if option == "c":
        if not is_field(value):
            raise BadArgument(f"invalid field '{shown}'")
        request.gecos = value
    elif option == "d":
        if not is_field(value):
            raise BadArgument(f"invalid field '{shown}'")
        if not value.startswith(b"/"):
            raise BadArgument("homedir must be an absolute path")
        request.home = value
    elif option == "e":
        from accounts.model.dates import parse_day

        request.expire = parse_day(value)
        if request.expire < -1:
            raise BadArgument(f"invalid date '{shown}'")
    elif option == "f":
        request.inactive = parse_long(value)
        if request.inactive is None or request.inactive < -1:
            raise BadArgument(f"invalid numeric argument '{shown}'")
    elif option == "g":
        group = find_group(session, look.database, value)
        if group is None:
            raise NoSuchGroup(f"group '{shown}' does not exist")
        request.gid = group[1]
    elif option == "G":
        take_groups(session, request, value, look)
    elif option == "h":
        session.print(USAGE)
        raise Done
    elif option == "l":
        if not is_valid_user_name(value, "b" in request.given):
            raise BadArgument(f"invalid user name '{shown}': use --badname to ignore")
        request.new_name = value
    elif option == "p":
        request.passwd = value
    elif option == "s":
        request.shell = check_shell(session, value)
    elif option == "u":
        request.uid = parse_id(value)
        if request.uid is None or request.uid == MAX_ID:
            raise BadArgument(f"invalid user ID '{shown}'")
    elif option in SUBIDS:
        found = parse_range(value)
        if found is None:
            kind = SUBIDS[option][0].removeprefix("sub")
            raise BadArgument(f"invalid subordinate {kind} range '{shown}'")
        # The real tool works from the last to the first.
        request.ranges[option].insert(0, found)
    elif option == "Z":
        check_selinux(session)
        request.selinux_user = value


def take_groups(session: Session, request: Request, value: bytes, look: Look) -> None:
    """-G: a list of names and GIDs. Raises NoSuchGroup when one is not there."""
    request.groups = []
    missing = False
    for text in value.split(b",") if value else ():
        group = find_group(session, look.database, text)
        if group is None:
            session.warn(f"group '{fsdecode(text)}' does not exist")
            missing = True
        else:
            request.groups.append(group[0])
    if missing:
        raise NoSuchGroup


def parse_range(text: bytes) -> tuple[int, int] | None:
    """(first, last) of FIRST-LAST, or None. As strtoll(3) reads them: blanks, signs and nothing (0) are fine."""
    first, rest = _parse_number(text)
    if first is None or not text or not rest.startswith(b"-"):
        return None
    last, rest = _parse_number(rest[1:])
    if last is None or rest or first > last:
        return None
    # From here on the real tool has them unsigned.
    first, last = first & MAX_ULONG, last & MAX_ULONG
    return (first, last) if first <= last else None


def _parse_number(text: bytes) -> tuple[int | None, bytes]:
    """(value, what is behind it) as strtoll(3) in base 10; no digits are 0 and all of text, None is ERANGE."""
    digits = text.lstrip(b" \t\n\v\f\r")
    sign = -1 if digits.startswith(b"-") else 1
    if digits[:1] in (b"-", b"+"):
        digits = digits[1:]
    rest = digits.lstrip(b"0123456789")
    if len(rest) == len(digits):
        return 0, text
    value = sign * int(digits[: len(digits) - len(rest)])
    return (value if -LONG_MAX - 1 <= value <= LONG_MAX else None), rest


def check_options(session: Session, request: Request) -> None:
    """Options that need or exclude others. Raises Usage."""
    given = request.given
    if not given:
        raise Usage("no options")
    for option, other in (("a", "G"), ("r", "G")):
        if option in given and other not in given:
            raise Usage(f"-{option} flag is only allowed with the -{other} flag")
    if {"r", "a"} <= given:
        raise Usage("-r and -a are mutually exclusive flags")
    if len(given & {"L", "p", "U"}) > 1:
        raise Usage("the -L, -p, and -U flags are exclusive")
    for option, other in (("o", "u"), ("m", "d")):
        if option in given and other not in given:
            raise Usage(f"-{option} flag is only allowed with the -{other} flag")


def decide(session: Session, database: Database, request: Request) -> tuple[Change, int, int, bytes | None]:
    """What is to change, less what is so already, and the user's UID, GID and home (None: only NSS knows it).

    Raises Usage, BadOption, NoSuchUser, NameInUse and IdInUse, or Done when there is nothing to change.
    """
    user = database.passwd.get(request.name)
    ids = session.find_user(database, request.name)
    if ids is None:
        raise NoSuchUser(f"user '{fsdecode(request.name)}' does not exist")
    shadow_in_use = database.shadow.present
    shadow = database.shadow.get(request.name)
    check_options(session, request)
    change = Change()
    change.lock, change.unlock = "L" in request.given, "U" in request.given
    change.append, change.remove = "a" in request.given, "r" in request.given
    change.groups, change.passwd = request.groups, request.passwd
    change.uid = _unless(request.uid, ids[0])
    change.gid = _unless(request.gid, ids[1])
    change.name = _unless(request.new_name, request.name)
    change.shell = _unless(request.shell, user and user.shell)
    change.home = _unless(request.home, user and user.home)
    change.gecos = _unless(request.gecos, user and user.gecos)
    # As in the real tool 0 is what a user without a shadow row has.
    change.inactive = _unless(request.inactive, 0 if shadow is None else shadow.inactive)
    change.expire = _unless(request.expire, 0 if shadow is None else shadow.expire)
    change.subids = [
        (*target, first, last) for option, target in SUBIDS.items() for first, last in request.ranges[option]
    ]
    change.today = session.today() if request.given & {"p", "e", "f"} else 0
    change.ageing = lambda: (
        session.defs.get_int("PASS_MIN_DAYS", -1),
        session.defs.get_int("PASS_MAX_DAYS", -1),
        session.defs.get_int("PASS_WARN_AGE", -1),
    )
    touched = change.touches_passwd() or change.touches_shadow()
    if not (touched or change.groups is not None or change.subids or request.selinux_user is not None):
        session.print("usermod: no changes\n")
        raise Done
    if not shadow_in_use and (change.expire is not None or change.inactive is not None):
        raise BadOption("shadow passwords required for -e and -f")
    if change.name is not None and session.find_user(database, change.name) is not None:
        raise NameInUse(f"user '{fsdecode(change.name)}' already exists")
    if change.uid is not None and "o" not in request.given and session.has_uid(database, change.uid):
        raise IdInUse(f"UID '{change.uid}' already exists")
    for table, add, remove in (("subuid", "v", "V"), ("subgid", "w", "W")):
        if request.given & {add, remove} and not session.store.is_present(table):
            raise BadOption(
                f"{session.target.shown(table)} does not exist, you cannot use the flags -{add} or -{remove}"
            )
    return change, ids[0], ids[1], None if user is None else user.home


def _unless(wanted: Any, current: Any) -> Any:
    return None if wanted == current else wanted


def files_to_lock(request: Request, change: Change) -> list[str]:
    """In shadow's order."""
    names = ["passwd", "shadow"]
    if change.groups is not None or change.name is not None:
        names += ["group", "gshadow"]
    names += ["subuid"] * bool(request.given & {"v", "V"}) + ["subgid"] * bool(request.given & {"w", "W"})
    return names


def unlock_failures(session: Session, names: list[str], error: AccountsError, locked: bool) -> tuple[str, ...]:
    """What the real tool prints when it gives up: it also unlocks files that do not exist.

    locked: whether all locks were there when error came.
    """
    if not locked and isinstance(error, PasswdFileError):
        return ()
    candidates = ["shadow"]
    if "gshadow" in names and (locked or not isinstance(error, GroupFileError)):
        candidates.insert(0, "gshadow")
    return tuple(
        f"failed to unlock {session.target.shown(name)}" for name in candidates if not session.store.is_present(name)
    )


def update_accounts(session: Session, request: Request, names: list[str]) -> tuple[Change, int, int, bytes | None]:
    """The locked part: as decide, and done. Raises AccountsErrors of STATUSES."""
    report = Report(AUDIT)
    locked = False
    try:
        database = session.store.open(names)
        locked = True
        decision = decide(session, database, request)
        change, uid, _, _ = decision
        report.uid = uid if change.uid is None else change.uid
        change_user(database, request.name, change, session.target.shown, report)
        session.commit(database)
    except AccountsError as error:
        if not isinstance(error, Refusal):
            error.notes = unlock_failures(session, names, error, locked)
        raise
    finally:
        for line in report.warnings:
            session.warn(line)
    for line in report.log:
        session.log(line)
    for record in report.audit:
        session.audit(*record)
    return decision


def update_files(
    session: Session, request: Request, change: Change, old_uid: int, old_gid: int, home: bytes | None
) -> None:
    """Home, mail spool and login records follow the account. Raises HomeError."""
    if change.name is None and change.uid is None and change.gid is None and change.home is None:
        return
    from accounts.system.homes import chown_home, mail_directory, move_home, move_mailbox
    from accounts.system.logs import LASTLOG_UID_MAX, move_login_records
    from accounts.system.trees import KEEP, Ids

    target = session.target
    root = target.root

    def audit(operation: str) -> None:
        session.audit(AUDIT, operation, request.name, old_uid if change.uid is None else change.uid)

    new_uid = KEEP if change.uid is None else change.uid
    ids = Ids(old_uid, new_uid, old_gid, KEEP if change.gid is None else change.gid)
    new_home = change.home
    if new_home is not None and len(new_home) > 1:
        new_home = new_home.removesuffix(b"/")
    moves = "m" in request.given and new_home is not None
    new_owner = change.uid is not None or change.gid is not None
    if moves and new_home and home is not None and move_home(root, home, new_home, ids, session.warn, target.prefix):
        if new_owner:
            audit("changing home directory owner")
        audit("moving home directory")
    if change.name is not None or change.uid is not None:
        directory = mail_directory(session.defs.get("MAIL_DIR"), session.defs.get("MAIL_FILE"))
        if move_mailbox(
            root, directory, request.name, change.name or request.name, old_uid, new_uid,
            session.warn, session.print_error, target.prefix,
        ):  # fmt: skip
            if change.uid is not None:
                audit("changing mail file owner")
            if change.name is not None:
                audit("changing mail file name")
    if change.uid is not None:
        limit = session.defs.get_ulong("LASTLOG_UID_MAX", LASTLOG_UID_MAX)
        move_login_records(root, old_uid, change.uid, limit, session.warn)
    place = new_home or home
    if new_owner and not moves and place is not None and chown_home(root, place, ids):
        audit("changing home directory owner")


def body(session: Session, argv: list[bytes]) -> int:
    """Run usermod; the exit status."""
    session.select_root(argv)
    request = parse_arguments(session, argv, Look(session, ("group",)))
    change, uid, _, _ = decide(session, session.store.load(("passwd", "shadow")), request)
    moving = (change.uid, change.name, change.home)
    if request.given & {"V", "W"} or any(value is not None for value in moving):
        check_busy(session, request.name, uid)
    try:
        decision = update_accounts(session, request, files_to_lock(request, change))
        if request.selinux_user is not None:
            map_selinux_user(session, request.name, request.selinux_user)
        update_files(session, request, *decision)
    except AccountsError:
        session.audit(AUDIT, "modifying account", request.name, success=False)
        raise
    return 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("usermod", body, STATUSES, USAGE)
