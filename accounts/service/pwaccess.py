# SPDX-License-Identifier: MIT
"""org.openSUSE.pwaccess: rows of passwd and shadow, and whether a password is right. Changes nothing.

Root may ask about everybody. Others are told of themselves, and of others what passwd(5) shows everybody.
"""

from __future__ import annotations

import time
from functools import partial

from accounts.edit.passwords import NEVER
from accounts.errors import AccountsError
from accounts.model.records import MAX_ID, SHADOWED, Passwd, Shadow
from accounts.service.attempts import Attempts
from accounts.service.errors import TooManyAttempts, VarlinkError, failure
from accounts.service.interfaces import PWACCESS
from accounts.service.session import Method, Session, encode, take
from accounts.service.varlink import SERVICE, Message
from accounts.system.hashing import MAX_LENGTH, HashSettings, hash_password
from accounts.system.hashing import verify_password as verify
from accounts.system.known import DAY
from accounts.system.pam import default_settings, settings_for
from accounts.text import fsdecode

# What ExpiredCheck answers.
EXPIRED_NO, EXPIRED_ACCOUNT, EXPIRED_CHANGE, EXPIRED_PASSWORD = 0, 1, 2, 3
error = partial(failure, PWACCESS)


def find_rows(session: Session, name: str | None, uid: int | None) -> tuple[Passwd, Shadow | None]:
    """The rows of a user, by one of the two. Raises VarlinkError."""
    facts = session.change.facts
    try:
        wanted = None if name is None else encode(name, "userName")
        if wanted is None:
            row = None if uid is None else facts.view(("passwd", "shadow")).passwd.get_id(uid)
            wanted = None if row is None else row.name
        found = None if wanted is None else facts.user_rows(wanted)
    except AccountsError as fault:
        raise error("InternalError", str(fault)) from None
    if found is None:
        raise error("NoEntryFound")
    return found


def get_account_name(session: Session, parameters: Message, more: bool) -> Message:
    """The name of a UID: passwd(5) shows it."""
    (uid,) = take(parameters, uid=int)
    if not 0 <= uid <= MAX_ID:
        raise error("InvalidParameter", "UID is out of range")
    return {"Success": True, "userName": fsdecode(find_rows(session, None, uid)[0].name)}


def get_user_record(session: Session, parameters: Message, more: bool) -> Message:
    """The rows of a user; to others without all that is secret."""
    uid, name = take(parameters, uid=(int, None), userName=(str, None))
    name = name or None
    if uid == -1:
        uid = None
    if name is None and uid is None:
        raise error("InvalidParameter", "No UID nor user name specified")
    if name is not None and uid is not None:
        raise error("InvalidParameter", "UID and user name specified")
    if uid is not None and not 0 <= uid <= MAX_ID:
        raise error("InvalidParameter", "UID is out of range")
    user, shadow = find_rows(session, name, uid)
    complete = may_see(session, user)
    reply: Message = {"Success": True, "Complete": complete, "passwd": passwd_entry(user, complete)}
    if complete and shadow is not None:
        reply["shadow"] = shadow_entry(shadow)
    return reply


def may_see(session: Session, user: Passwd) -> bool:
    """Whether the peer may know the secrets of a user. The names of a UID share them."""
    return session.is_root or session.peer.uid == user.uid


def passwd_entry(user: Passwd, complete: bool) -> Message:
    """The fields of a passwd row; the password only when it is complete."""
    return {
        "name": fsdecode(user.name),
        "passwd": fsdecode(user.passwd) if complete else None,
        "UID": user.uid,
        "GID": user.gid,
        "GECOS": fsdecode(user.gecos),
        "dir": fsdecode(user.home),
        "shell": fsdecode(user.shell),
    }


def shadow_entry(shadow: Shadow) -> Message:
    """The fields of a shadow row."""
    return {
        "name": fsdecode(shadow.name),
        "passwd": fsdecode(shadow.passwd),
        "lstchg": shadow.lstchg,
        "min": shadow.min,
        "max": shadow.max,
        "warn": shadow.warn,
        "inact": shadow.inactive,
        "expire": shadow.expire,
        # An unset one is all ones, which their library has as -1.
        "flag": -1 if shadow.flag is None else shadow.flag,
    }


def verify_password(session: Session, parameters: Message, more: bool) -> Message:
    """Whether a password is right. To root the answer for a user that is not there takes as long as for one that is."""
    name, password, null_ok = take(parameters, userName=str, password=str, nullOK=(bool, False))
    if not name:
        raise error("InvalidParameter", "No user name specified")
    try:
        plain = bytearray(password.encode())
    except UnicodeEncodeError:
        raise error("InvalidParameter", "The password is no text") from None
    # Found out whether it is needed or not.
    settings = settings_for_nobody(session)
    try:
        user, shadow = find_rows(session, name, None)
    except VarlinkError:
        if session.is_root:
            waste_time(plain, settings)
        raise
    if not may_see(session, user):
        raise error("InternalError", f"Peer UID {session.peer.uid} is not allowed to verify password of '{name}'")
    hashed = shadow.passwd if shadow is not None and is_shadowed(user) else user.passwd
    if not session.is_root:
        attempts = Attempts(session.peer.uid)
        try:
            attempts.begin()
        except (TooManyAttempts, OSError) as fault:
            raise error("InternalError", str(fault)) from None
    good = check(plain, hashed, null_ok, settings)
    if good and not session.is_root:
        attempts.succeed()
    return {"Success": good}


def is_shadowed(user: Passwd) -> bool:
    """Whether the password is in shadow(5)."""
    return user.passwd == SHADOWED or user.passwd.startswith(b"##")


def check(plain: bytearray, hashed: bytes, null_ok: bool, settings: HashSettings) -> bool:
    """Whether that is the password; what no password opens takes as long to find out as what one does."""
    if not hashed:
        return not plain and null_ok
    if hashed[:1] in b"!*x":
        waste_time(plain, settings)
        return False
    return verify(plain, hashed)


def settings_for_nobody(session: Session) -> HashSettings:
    """How a password would be hashed on this system."""
    facts = session.change.facts
    try:
        return settings_for(facts.target, "passwd", facts.defs, facts.release)
    except AccountsError:
        return default_settings("SHA512")


def waste_time(plain: bytearray, settings: HashSettings) -> None:
    """Hash as for a user of this system, for nobody."""
    try:
        hash_password(bytearray(byte or 1 for byte in plain[:MAX_LENGTH]), settings)
    except AccountsError:
        pass


def expired_check(session: Session, parameters: Message, more: bool) -> Message:
    """Whether an account or its password has expired, by shadow(5)."""
    (name,) = take(parameters, userName=str)
    if not name:
        raise error("InvalidParameter", "No user name specified")
    user, shadow = find_rows(session, name, None)
    if not may_see(session, user):
        message = f"Peer UID {session.peer.uid} is not allowed to access data of '{name}'"
        raise error("InternalError", message)
    if shadow is None:
        return {"Success": True, "Expired": EXPIRED_NO}
    today = int(time.time()) // DAY
    state, left = expiry(shadow, today)
    return {"Success": True, "DaysLeft": left, "Expired": state, "PWChangeAble": is_changeable(shadow, state, today)}


def expiry(shadow: Shadow, today: int) -> tuple[int, int]:
    """(one of EXPIRED_..., days to go; -1 for none to tell). Days by the clock."""
    if 0 < shadow.expire <= today:
        return EXPIRED_ACCOUNT, -1
    if shadow.lstchg == 0:
        return EXPIRED_CHANGE, 0
    if shadow.lstchg < 0 or shadow.max < 0 or shadow.max >= NEVER:
        return EXPIRED_NO, -1
    passed = today - shadow.lstchg
    if shadow.inactive >= 0 and passed >= shadow.max + shadow.inactive:
        return EXPIRED_PASSWORD, shadow.max + shadow.inactive - passed
    if passed >= shadow.max:
        return EXPIRED_CHANGE, -1
    if shadow.warn > 0 and passed >= (shadow.max - shadow.warn if shadow.warn <= shadow.max else -1):
        return EXPIRED_NO, shadow.max - passed
    return EXPIRED_NO, -1


def is_changeable(shadow: Shadow, state: int, today: int) -> bool:
    """Whether the least age of the password lets it be changed."""
    return state != EXPIRED_NO or shadow.min <= 0 or shadow.lstchg < 0 or today - shadow.lstchg >= shadow.min


def quit_service(session: Session, parameters: Message, more: bool) -> Message:
    """Root ends the service."""
    take(parameters, ExitCode=(int, 0))
    if not session.is_root:
        raise VarlinkError(f"{SERVICE}.PermissionDenied")
    session.ends_service = True
    return {"Success": True}


def ping(session: Session, parameters: Message, more: bool) -> Message:
    """It does."""
    take(parameters)
    return {"Alive": True}


METHODS: dict[str, Method] = {
    f"{PWACCESS}.GetAccountName": get_account_name,
    f"{PWACCESS}.GetUserRecord": get_user_record,
    f"{PWACCESS}.VerifyPassword": verify_password,
    f"{PWACCESS}.ExpiredCheck": expired_check,
    f"{PWACCESS}.Quit": quit_service,
    f"{PWACCESS}.Ping": ping,
}
