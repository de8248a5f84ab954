# SPDX-License-Identifier: MIT
"""useradd(8). Hot path."""

from __future__ import annotations

import posix

from accounts.cli.accountargs import Look, check_selinux, check_shell, find_group, is_field, map_selinux_user, run_hooks
from accounts.cli.options import scan
from accounts.cli.run import Done, Session, free_id, run, status_of
from accounts.edit.groups import add_group
from accounts.edit.users import Report, add_user
from accounts.errors import (
    AccountsError,
    BadArgument,
    BadOption,
    DefaultsError,
    GroupFileError,
    GroupRefusal,
    HomeError,
    IdInUse,
    NameInUse,
    NoId,
    NoSuchGroup,
    PasswdFileError,
    SelinuxError,
    SubgidFileError,
    SubuidFileError,
    Usage,
    UserRefusal,
)  # fmt: skip
from accounts.model.database import Database
from accounts.model.names import is_valid_user_name
from accounts.model.records import MAX_ID, Passwd, Shadow, parse_id, parse_long
from accounts.system.logs import LASTLOG_UID_MAX, reset_login_records, reset_tallylog
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

STATUSES: dict[type[AccountsError], int] = {
    PasswdFileError: 1, UserRefusal: 1, DefaultsError: 1, Usage: 2, BadOption: 2, BadArgument: 3, IdInUse: 4,
    NoId: 4, NoSuchGroup: 6, NameInUse: 9, GroupFileError: 10, GroupRefusal: 10, HomeError: 12,
    SelinuxError: 14, SubuidFileError: 16, SubgidFileError: 18,
}  # fmt: skip
USAGE = """\
Usage: useradd [options] LOGIN
       useradd -D
       useradd -D [options]

Options:
      --badname                 do not check for bad names
  -b, --base-dir BASE_DIR       base directory for the home directory of the
                                new account
      --btrfs-subvolume-home    use BTRFS subvolume for home directory
  -c, --comment COMMENT         GECOS field of the new account
  -d, --home-dir HOME_DIR       home directory of the new account
  -D, --defaults                print or change default useradd configuration
  -e, --expiredate EXPIRE_DATE  expiration date of the new account
  -f, --inactive INACTIVE       password inactivity period of the new account
  -F, --add-subids-for-system   add entries to sub[ud]id even when adding a system user
  -g, --gid GROUP               name or ID of the primary group of the new
                                account
  -G, --groups GROUPS           list of supplementary groups of the new
                                account
  -h, --help                    display this help message and exit
  -k, --skel SKEL_DIR           use this alternative skeleton directory
  -K, --key KEY=VALUE           override /etc/login.defs defaults
  -l, --no-log-init             do not add the user to the lastlog and
                                faillog databases
  -m, --create-home             create the user's home directory
  -M, --no-create-home          do not create the user's home directory
  -N, --no-user-group           do not create a group with the same name as
                                the user
  -o, --non-unique              allow to create users with duplicate
                                (non-unique) UID
  -p, --password PASSWORD       encrypted password of the new account
  -r, --system                  create a system account
  -R, --root CHROOT_DIR         directory to chroot into
  -P, --prefix PREFIX_DIR       prefix directory where are located the /etc/* files
  -s, --shell SHELL             login shell of the new account
  -u, --uid UID                 user ID of the new account
  -U, --user-group              create a group with the same name as the user
  -Z, --selinux-user SEUSER     use a specific SEUSER for the SELinux user mapping

"""
SHORT = "b:c:d:De:f:g:G:hk:O:K:lmMNop:rR:P:s:u:UZ:F"
LONG = {
    "base-dir=": "b", "btrfs-subvolume-home": "btrfs", "badname": "badname", "comment=": "c", "home-dir=": "d",
    "defaults": "D", "expiredate=": "e", "inactive=": "f", "add-subids-for-system": "F", "gid=": "g",
    "groups=": "G", "help": "h", "skel=": "k", "key=": "K", "no-log-init": "l", "create-home": "m",
    "no-create-home": "M", "no-user-group": "N", "non-unique": "o", "password=": "p", "system": "r",
    "root=": "R", "prefix=": "P", "shell=": "s", "uid=": "u", "user-group": "U", "selinux-user=": "Z",
}  # fmt: skip
DEFAULTS_FILE = "default/useradd"
DEFAULT_SKEL = b"/etc/skel"
# What -d, -c and so on say that contradicts -D, and what it can change.
_NOT_WITH_DEFAULTS = frozenset("uGdcm")
_CHANGE_DEFAULTS = frozenset("gbfes")


class Defaults:
    """/etc/default/useradd: what a new user gets that no option says, and what -D prints and writes."""

    def __init__(self) -> None:
        self.group = 100
        self.home = b"/home"
        self.inactive = -1
        self.expire = b""
        self.shell = b"/bin/bash"
        self.skel = DEFAULT_SKEL
        self.create_mail_spool = b"no"
        self.log_init = b"yes"

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """(KEY, value) in the order in which they are printed."""
        yield b"GROUP", b"%d" % self.group
        yield b"HOME", self.home
        yield b"INACTIVE", b"%d" % self.inactive
        yield b"EXPIRE", self.expire
        yield b"SHELL", self.shell
        yield b"SKEL", self.skel
        yield b"CREATE_MAIL_SPOOL", self.create_mail_spool
        yield b"LOG_INIT", self.log_init

    def render(self, text: bytes | None) -> bytes:
        """text with the values put in place: other lines stay, missing ones are added, repeated ones kept."""
        if text is None:
            text = b"# useradd defaults file\n"
        missing = dict(self.items())
        lines = []
        for line in text.removesuffix(b"\n").split(b"\n") if text else ():
            key, equals, _ = line.partition(b"=")
            lines.append(key + b"=" + missing.pop(key) if equals and key in missing else line)
        lines += [key + b"=" + value for key, value in missing.items()]
        return b"".join(line + b"\n" for line in lines)


def read_defaults(session: Session, look: Look) -> Defaults:
    """The values of default/useradd, of /etc or the vendor's; a bad one is warned of and left out."""
    defaults = Defaults()
    text = session.target.read_layered(DEFAULTS_FILE.encode()) or b""

    def ignore(key: str) -> None:
        session.warn(f"the {key}= configuration in {session.target.shown(DEFAULTS_FILE)} will be ignored")

    for line in text.split(b"\n"):
        key, equals, value = line.partition(b"=")
        if not equals:
            continue
        if key == b"GROUP":
            group = find_group(session, look.database, value)
            if group is None:
                session.warn(f"group '{fsdecode(value)}' does not exist")
                ignore("GROUP")
            else:
                defaults.group = group[1]
        elif key == b"HOME":
            defaults.home = value
        elif key == b"SHELL":
            defaults.shell = value
        elif key == b"INACTIVE":
            days = parse_long(value)
            if days is None or days < -1:
                session.warn(f"invalid numeric argument '{fsdecode(value)}'")
                ignore("INACTIVE")
                days = -1
            defaults.inactive = days
        elif key == b"EXPIRE":
            defaults.expire = value
        elif key == b"SKEL":
            defaults.skel = value or DEFAULT_SKEL
        elif key == b"CREATE_MAIL_SPOOL":
            defaults.create_mail_spool = value or b"no"
        elif key == b"LOG_INIT":
            defaults.log_init = value or defaults.log_init
    return defaults


class Request:
    """What the command line and the defaults ask for."""

    def __init__(self, defaults: Defaults) -> None:
        self.defaults = defaults
        # The letters of all options that were given.
        self.given: set[str] = set()
        self.name = b""
        self.passwd = b"!"
        self.uid = 0
        self.gid = 0
        self.gecos = b""
        self.home = b""
        self.shell = b""
        self.expire = -1
        self.groups: list[bytes] = []
        self.selinux_user = b""
        self.bad_name = False
        self.subvolume = False
        self.private_group = False
        self.create_home = False
        self.init_logs = True

    @property
    def system(self) -> bool:
        """Whether a system account is wanted (-r)."""
        return "r" in self.given


def parse_arguments(session: Session, argv: list[bytes], look: Look, shadowed: bool) -> Request:
    """argv -> Request. shadowed: whether shadow passwords are in use.

    Raises Usage, BadOption, BadArgument and NoSuchGroup, or Done after --help.
    """
    request = Request(read_defaults(session, look))
    operands: list[bytes] = []
    for option, value in scan(argv, SHORT, LONG, operands):
        if option == "D" and request.given:
            raise Usage
        take_option(session, request, option, value, look, shadowed)
        request.given.add(option)
    given = request.given
    if not given & {"g", "N", "U"}:
        request.private_group = session.defs.get_bool("USERGROUPS_ENAB")
    else:
        request.private_group = "U" in given
    for option, other in (("o", "u"), ("k", "m")):
        if option in given and other not in given:
            raise Usage(f"-{option} flag is only allowed with the -{other} flag")
    for option, other in (("U", "g"), ("U", "N"), ("m", "M")):
        if option in given and other in given:
            raise Usage(f"options -{option} and -{other} conflict")
    if "D" in given:
        if operands or given & _NOT_WITH_DEFAULTS:
            raise Usage
    else:
        if len(operands) != 1:
            raise Usage
        request.name = operands[0]
        if not is_valid_user_name(request.name, request.bad_name):
            raise BadArgument(f"invalid user name '{fsdecode(request.name)}': use --badname to ignore")
        if "d" not in given:
            request.home = request.defaults.home + b"/" + request.name
    fill_in_defaults(session, request)
    return request


def take_option(session: Session, request: Request, option: str, value: bytes, look: Look, shadowed: bool) -> None:
    """Note one option. Raises as parse_arguments."""
    defaults = request.defaults
    shown = fsdecode(value)
    if option == "b":
        if not is_field(value) or not value.startswith(b"/"):
            raise BadArgument(f"invalid base directory '{shown}'")
        defaults.home = value
    elif option == "c":
        if not is_field(value):
            raise BadArgument(f"invalid comment '{shown}'")
        request.gecos = value
    elif option == "d":
        if not is_field(value) or not value.startswith(b"/"):
            raise BadArgument(f"invalid home directory '{shown}'")
        request.home = value
    elif option == "e":
        from accounts.model.dates import parse_day

        request.expire = parse_day(value)
        if request.expire < -1:
            raise BadArgument(f"invalid date '{shown}'")
        if request.expire != -1 and not shadowed:
            raise BadOption("shadow passwords required for -e")
        if "D" in request.given:
            defaults.expire = value
    elif option == "f":
        days = parse_long(value)
        if days is None or days < -1:
            raise BadArgument(f"invalid numeric argument '{shown}'")
        defaults.inactive = days
        if days != -1 and not shadowed:
            raise BadOption("shadow passwords required for -f")
    elif option == "g":
        group = find_group(session, look.database, value)
        if group is None:
            raise NoSuchGroup(f"group '{shown}' does not exist")
        if "D" in request.given:
            defaults.group = group[1]
        else:
            request.gid = group[1]
    elif option == "G":
        take_groups(session, request, value, look)
    elif option == "h":
        session.print(USAGE)
        raise Done
    elif option == "k":
        defaults.skel = value
    elif option in ("K", "O"):
        session.override_key(value)
    elif option == "p":
        if not is_field(value):
            raise BadArgument(f"invalid field '{shown}'")
        request.passwd = value
    elif option == "s":
        request.shell = defaults.shell = check_shell(session, value)
    elif option == "u":
        uid = parse_id(value)
        if uid is None or uid == MAX_ID:
            raise BadArgument(f"invalid user ID '{shown}'")
        request.uid = uid
    elif option == "Z":
        check_selinux(session)
        request.selinux_user = value
    elif option == "badname":
        request.bad_name = True
    elif option == "btrfs":
        request.subvolume = True


def take_groups(session: Session, request: Request, value: bytes, look: Look) -> None:
    """-G: a list of names and GIDs of groups in either layer. Raises NoSuchGroup when one is not there."""
    if not value:
        # Like the real tool: -G "" does not take back an earlier -G.
        return
    missing = False
    request.groups = []
    for text in value.split(b","):
        gid = parse_id(text)
        group = look.database.group
        row = group.get(text) if gid is None else group.get_id(gid)
        if row is None:
            session.warn(f"group '{fsdecode(text)}' does not exist")
            missing = True
        else:
            request.groups.append(row.name)
    if missing:
        raise NoSuchGroup


def fill_in_defaults(session: Session, request: Request) -> None:
    """What the options do not say, from default/useradd and login.defs."""
    given, defaults = request.given, request.defaults
    if "e" not in given and defaults.expire:
        from accounts.model.dates import parse_day

        request.expire = parse_day(defaults.expire)
    if "g" not in given:
        request.gid = defaults.group
    if "s" not in given:
        request.shell = defaults.shell
    request.init_logs = "l" not in given and defaults.log_init != b"no"
    wanted = "m" in given or (not request.system and session.defs.get_bool("CREATE_HOME"))
    request.create_home = wanted and "M" not in given


def subid_tables(session: Session, request: Request) -> list[str]:
    """Those of subuid and subgid that the new user gets a range of."""
    defs = session.defs
    low = defs.get_ulong("UID_MIN", 1000) & MAX_ID
    high = defs.get_ulong("UID_MAX", 60000) & MAX_ID
    counts = [(kind, defs.get_ulong(f"SUB_{kind}_COUNT", 65536)) for kind in ("UID", "GID")]
    if request.system and "F" not in request.given:
        return []
    if request.uid and not low <= request.uid <= high:
        return []
    names = [f"sub{kind.lower()}" for kind, count in counts if count]
    return [name for name in names if session.store.is_present(name)]


def check_names(session: Session, database: Database, request: Request) -> None:
    """Whether the user's name, and that of its group, are free. Raises NameInUse."""
    name = fsdecode(request.name)
    if session.find_user(database, request.name) is not None:
        session.audit("ADD_USER", "adding user", request.name, success=False)
        raise NameInUse(f"user '{name}' already exists")
    if request.private_group and session.find_group(database, request.name) is not None:
        session.audit("ADD_USER", "adding group", request.name, success=False)
        raise NameInUse(f"group {name} exists - if you want to add this user to that group, use -g.")


def check_uid_range(session: Session, request: Request) -> None:
    """Warn of a UID given with -u that is outside of the range of its kind."""
    defs = session.defs
    # The real tool prints these numbers as C ints, and takes 6000 for a missing UID_MAX.
    uid = _c_int(request.uid)
    who = f"useradd warning: {fsdecode(request.name)}'s uid {uid}"
    if request.system:
        high = defs.get_ulong("SYS_UID_MAX", (defs.get_ulong("UID_MIN", 1000) - 1)) & MAX_ID
        if request.uid > high:
            session.print_error(f"{who} is greater than SYS_UID_MAX {_c_int(high)}\n")
        return
    low = defs.get_ulong("UID_MIN", 1000) & MAX_ID
    high = defs.get_ulong("UID_MAX", 6000) & MAX_ID
    if low <= high and not low <= request.uid <= high:
        session.print_error(f"{who} outside of the UID_MIN {_c_int(low)} and UID_MAX {_c_int(high)} range.\n")


def _c_int(value: int) -> int:
    return value - 0x100000000 if value > 0x7FFFFFFF else value


def choose_ids(session: Session, database: Database, request: Request) -> None:
    """Fill in UID and GID. Raises IdInUse and NoId."""
    if "u" not in request.given:
        try:
            request.uid = free_id(session, "UID", request.system, database)
        except NoId as error:
            raise NoId("can't create user", (str(error),)) from None
    else:
        if "o" not in request.given and session.has_uid(database, request.uid):
            session.audit("ADD_USER", "adding user", request.name, request.uid, success=False)
            raise IdInUse(f"UID {request.uid} is not unique")
        check_uid_range(session, request)
    if request.private_group:
        try:
            request.gid = free_id(session, "GID", request.system, database, request.uid)
        except NoId as error:
            raise NoId("can't create group", (str(error),)) from None


def add_subids(session: Session, database: Database, request: Request, tables: list[str]) -> None:
    """Give the new user ranges of subordinate ids. Raises SubuidFileError and SubgidFileError."""
    from accounts.model.ids import add_subid_range, find_subid_range

    for name, kind, words, failure in (
        ("subuid", "UID", "user", SubuidFileError),
        ("subgid", "GID", "group", SubgidFileError),
    ):
        if name in tables:
            table = database.tables[name].local
            try:
                start, count = find_subid_range(table, kind, session.defs)
            except NoId as error:
                raise failure(f"can't create subordinate {words} IDs", (str(error),)) from None
            add_subid_range(table, request.name, start, count)


def make_shadow(session: Session, request: Request) -> Shadow:
    """The new user's shadow row."""
    # Day 0 would mean that the password has to be changed; no ageing is better.
    shadow = Shadow(request.name, request.passwd, session.today() or -1)
    if not request.system:
        defs = session.defs
        shadow.min = defs.get_int("PASS_MIN_DAYS", -1)
        shadow.max = defs.get_int("PASS_MAX_DAYS", -1)
        shadow.warn = defs.get_int("PASS_WARN_AGE", -1)
        shadow.inactive = request.defaults.inactive
        shadow.expire = request.expire
    return shadow


def create(session: Session, request: Request, look: Look, tables: list[str]) -> None:
    """Create the user: accounts, home, mail spool. Raises AccountsErrors of STATUSES."""
    check_names(session, look.database, request)
    database = session.store.open(("passwd", "group", "gshadow", *tables, "shadow"))
    check_names(session, database, request)
    choose_ids(session, database, request)
    new_uid = "o" not in request.given or not session.has_uid(database, request.uid)
    report = Report("ADD_USER", request.uid)
    name = fsdecode(request.name)
    if request.private_group:
        add_group(database, request.name, request.gid, b"!", ())
        report.done(f"new group: name={name}, GID={request.gid}", "adding group", request.name, "ADD_GROUP")
    add_subids(session, database, request, tables)
    report.done(
        f"new user: name={name}, UID={request.uid}, GID={request.gid}, home={fsdecode(request.home)}, "
        f"shell={fsdecode(request.shell)}, from={_terminal()}",
        "adding user",
    )
    user = Passwd(request.name, request.passwd, request.uid, request.gid, request.gecos, request.home, request.shell)
    add_user(database, user, make_shadow(session, request), request.groups, report)
    mail_gid = session.find_group(database, b"mail")
    session.commit(database)
    for line in report.log:
        session.log(line)
    for record in report.audit:
        session.audit(*record)
    target = session.target
    if request.init_logs:
        if new_uid:
            limit = session.defs.get_ulong("LASTLOG_UID_MAX", LASTLOG_UID_MAX)
            reset_login_records(target.root, request.uid, limit, session.warn)
        if target.live:
            reset_tallylog(request.name, session.warn)
    if request.selinux_user:
        map_selinux_user(session, request.name, request.selinux_user)
    if request.create_home:
        make_home(session, request)
    if not request.system and request.defaults.create_mail_spool.lower() == b"yes":
        from accounts.system.homes import create_mail, mail_directory

        directory = mail_directory(session.defs.get("MAIL_DIR"), session.defs.get("MAIL_FILE"))
        create_mail(target.root, directory, request.name, request.uid, request.gid, mail_gid, session.print_error)


def make_home(session: Session, request: Request) -> None:
    """Create the home directory with a copy of skel. Raises HomeError."""
    from accounts.system.homes import create_home

    target, defs = session.target, session.defs
    mode = 0o777 & ~defs.get_int("UMASK", 0o022)
    mode = defs.get_int("HOME_MODE", mode) & 0o7777
    skel = request.defaults.skel
    if skel == DEFAULT_SKEL:
        skel = target.find_layered(b"skel")
    try:
        created = create_home(
            target.root, request.home, request.uid, request.gid, mode, skel, session.warn, target.prefix,
            request.subvolume,
        )  # fmt: skip
    except (OSError, HomeError) as error:
        session.audit("ADD_USER", "adding home directory", request.name, request.uid, success=False)
        if isinstance(error, HomeError):
            raise
        raise HomeError(f"cannot create directory {fsdecode(request.home)}") from None
    if created:
        session.audit("ADD_USER", "adding home directory", request.name, request.uid)


def _terminal() -> str:
    try:
        return posix.ttyname(0)
    except OSError:
        return "none"


def show_or_write_defaults(session: Session, request: Request) -> int:
    """useradd -D: print the defaults, or write them when an option changes one. Raises DefaultsError."""
    defaults = request.defaults
    if not request.given & _CHANGE_DEFAULTS:
        session.print(fsdecode(b"".join(b"%s=%s\n" % item for item in defaults.items())))
        return 0
    from accounts.system.useradd_defaults import write_useradd_defaults

    text = defaults.render(session.target.read_layered(DEFAULTS_FILE.encode()))
    write_useradd_defaults(session.target.etc, text, session.target.shown(DEFAULTS_FILE))
    session.log(
        "useradd defaults: "
        + ", ".join(
            f"{key}={fsdecode(dict(defaults.items())[key.encode()])}"
            for key in ("GROUP", "HOME", "SHELL", "INACTIVE", "EXPIRE", "SKEL", "CREATE_MAIL_SPOOL", "LOG_INIT")
        )
    )
    session.audit("USYS_CONFIG", "changing useradd defaults", b"", MAX_ID)
    return 0


def body(session: Session, argv: list[bytes]) -> int:
    """Run useradd; the exit status."""
    session.select_root(argv)
    look = Look(session, ("passwd", "group"))
    request = parse_arguments(session, argv, look, session.store.is_present("shadow"))
    tables = subid_tables(session, request)
    run_hooks(session, "pre", request.name)
    if "D" in request.given:
        return show_or_write_defaults(session, request)
    try:
        create(session, request, look, tables)
    except AccountsError as error:
        session.audit("ADD_USER", "adding user", request.name, success=False)
        status = status_of(error, STATUSES)
        session.log(f"failed adding user '{fsdecode(request.name)}', exit code: {status}")
        raise
    run_hooks(session, "post", request.name)
    return 0


def main() -> NoReturn:
    """Entry point of the shim."""
    run("useradd", body, STATUSES, USAGE)
