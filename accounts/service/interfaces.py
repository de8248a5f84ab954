# SPDX-License-Identifier: MIT
"""The interfaces that the service speaks, as GetInterfaceDescription gives them. Data only.

Two have the methods, fields and errors of thkukuk/account-utils 1.4, whose programs and library are their clients.
"""

VERSION = "0.1.0"
PWACCESS = "org.openSUSE.pwaccess"
PWUPD = "org.openSUSE.pwupd"
SELF = "org.stateless-accounts.self"

_ENTRIES = """\
# A row of passwd(5)
type PasswdEntry (
  name: string,
  passwd: ?string,
  UID: int,
  GID: int,
  GECOS: ?string,
  dir: ?string,
  shell: ?string
)

# A row of shadow(5)
type ShadowEntry (
  name: string,
  passwd: ?string,
  lstchg: ?int,
  min: ?int,
  max: ?int,
  warn: ?int,
  inact: ?int,
  expire: ?int,
  flag: ?int
)
"""
_CONTROL = """\
# Ends the service; for root
method Quit(ExitCode: ?int) -> (Success: bool)

# Whether the service runs
method Ping() -> (Alive: bool)

# Not implemented: the log is syslog's
method SetLogLevel(Level: ?int) -> ()

# Not implemented
method GetEnvironment() -> (Environment: ?[]string)
"""
DESCRIPTIONS = {
    "org.varlink.service": """\
# What every Varlink service says of itself
interface org.varlink.service

method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
error ExpectedMore ()
""",
    PWACCESS: f"""\
# Reads passwd and shadow of both layers: root all of it, others their own rows and what passwd(5) shows of others
interface {PWACCESS}

{_ENTRIES}
method GetAccountName(uid: int) -> (userName: string, Success: bool, ErrorMsg: ?string)

# By UID or by name, one of them. Complete: whether shadow and the password were not left out
method GetUserRecord(uid: ?int, userName: ?string) -> (
  passwd: ?PasswdEntry,
  shadow: ?ShadowEntry,
  Complete: ?bool,
  Success: bool,
  ErrorMsg: ?string
)

# Not implemented, as in account-utils
method GetGroupRecord(gid: ?int, groupName: ?string) -> ()

# nullOK: whether an empty password may be right
method VerifyPassword(userName: string, password: string, nullOK: ?bool) -> (Success: bool)

# Expired: 0 no, 1 the account, 2 the password has to be changed, 3 the password is inactive
method ExpiredCheck(userName: string) -> (Success: bool, Expired: int, DaysLeft: ?int, PWChangeAble: ?bool)

{_CONTROL}
error NoEntryFound (Success: bool)
error InvalidParameter (Success: bool, ErrorMsg: ?string)
error InternalError (Success: bool, ErrorMsg: ?string)
""",
    PWUPD: f"""\
# Changes what is the caller's own. To be called with "more": what PAM has to say comes before the reply
interface {PWUPD}

{_ENTRIES}
# A reply with msg_style and message is a prompt of PAM, to be answered by Conv on the same connection
method Chauthtok(userName: string, flags: ?int) -> (Success: ?bool, msg_style: ?int, message: ?string)

method Chfn(
  userName: string,
  fullName: ?string,
  room: ?string,
  workPhone: ?string,
  homePhone: ?string,
  other: ?string
) -> (Success: ?bool, msg_style: ?int, message: ?string)

method Chsh(userName: string, shell: string) -> (Success: ?bool, msg_style: ?int, message: ?string)

# The answer to a prompt
method Conv(response: ?string) -> (Success: ?bool, msg_style: ?int, message: ?string)

# Fields of the rows of a user that there is; for root
method UpdatePasswdShadow(passwd: ?PasswdEntry, shadow: ?ShadowEntry) -> (Success: bool)

{_CONTROL}
error AuthenticationFailed (Success: bool, ErrorMsg: ?string)
error NoEntryFound (Success: bool)
error InvalidParameter (Success: bool, ErrorMsg: ?string)
error InvalidShell (Success: bool, ErrorMsg: ?string)
error PasswordChangeAborted (Success: bool, ErrorMsg: ?string)
error PermissionDenied (Success: bool, ErrorMsg: ?string)
error InternalError (Success: bool, ErrorMsg: ?string)
""",
    SELF: f"""\
# The tools of shadow-utils that are set-uid elsewhere, run for the caller. To be called with "more": replies before the
# last one have what the tool prints. Text has a character for each byte (ISO 8859-1)
interface {SELF}

# How a prompt is answered: secret, at standard input without echo and prompted on standard error; reply, the same
# with echo; field, prompted on standard output; terminal, at the terminal without echo. A line is sent as it was read
type Reply (
  stdout: ?string,
  stderr: ?string,
  prompt: ?string,
  read: ?(secret, reply, field, terminal),
  status: ?int
)

# tool: passwd, chsh, chfn, chage, expiry or gpasswd. terminal: whether standard input and output are one
method Run(tool: string, arguments: []string, terminal: bool) -> (reply: Reply)

# The answer to a prompt, null for the end of the input
method Answer(line: ?string) -> (reply: Reply)
""",
}
