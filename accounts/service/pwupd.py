# SPDX-License-Identifier: MIT
"""org.openSUSE.pwupd: password, shell and GECOS of the caller. Each method runs the tool that does it, as the caller.

So the rules, the PAM stack and the words of the log are those of passwd, chsh and chfn.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from accounts.edit.update import UpdateRows
from accounts.errors import E_NOTFOUND, AccountsError
from accounts.model.records import MAX_ID
from accounts.service.errors import ClientGone, failure
from accounts.service.interfaces import PWUPD
from accounts.service.pwaccess import ping, quit_service
from accounts.service.session import Dialogue, Method, Session, encode, take
from accounts.service.varlink import Message, invalid_parameter
from accounts.system.pamapp import CHANGE_EXPIRED_AUTHTOK, ERROR_MSG, PROMPT_ECHO_OFF, PROMPT_ECHO_ON, SILENT, TEXT_INFO
from accounts.text import fsdecode, fsencode

error = partial(failure, PWUPD)
OPTIONS = {"fullName": "-f", "room": "-r", "workPhone": "-w", "homePhone": "-h", "other": "-o"}
# How the rows' fields are called here and in model/records.py.
PASSWD_FIELDS = {"passwd": "passwd", "GECOS": "gecos", "dir": "home", "shell": "shell"}
SHADOW_FIELDS = {
    "lstchg": "lstchg", "min": "min", "max": "max", "warn": "warn", "inact": "inactive", "expire": "expire",
    "flag": "flag",
}  # fmt: skip


class ConvDialogue(Dialogue):
    """Messages of PAM as replies; those that are no prompts need a client that takes more than one.

    errors: what the tool wrote to standard error. asked: whether the client has been asked anything.
    """

    def __init__(self, session: Session, more: bool) -> None:
        self._session = session
        self._more = more
        self.errors = ""
        self.asked = False

    def write(self, fd: int, text: str) -> None:
        if fd == 2:
            self.errors += text

    def ask(self, kind: str, prompt: str) -> bytes | None:
        return self.speak(PROMPT_ECHO_ON if kind in ("reply", "field") else PROMPT_ECHO_OFF, fsencode(prompt))

    def speak(self, style: int, text: bytes) -> bytes | None:
        parameters = {"msg_style": style, "message": fsdecode(text)}
        if style in (ERROR_MSG, TEXT_INFO):
            if self._more and not self._session.send({"parameters": parameters, "continues": True}):
                raise ClientGone
            return None
        if not self._session.send({"parameters": parameters}):
            raise ClientGone
        self.asked = True
        (answer,) = take(self._session.wait_for(f"{PWUPD}.Conv"), response=(str, None))
        return None if answer is None else answer.encode(errors="replace")


def check_user(session: Session, name: str) -> bytes:
    """The name of the user whom the peer may change. Raises VarlinkError."""
    if not name:
        raise error("InvalidParameter", "No user name specified")
    wanted = encode(name, "userName")
    try:
        rows = session.change.facts.user_rows(wanted)
    except AccountsError as fault:
        raise error("InternalError", str(fault)) from None
    if rows is None:
        raise error("NoEntryFound")
    if not session.is_root and session.peer.uid != rows[0].uid:
        message = f"Peer UID {session.peer.uid} is not allowed to access data of '{name}'"
        raise error("PermissionDenied", message)
    return wanted


def run(session: Session, tool: str, arguments: list[bytes], more: bool) -> Message:
    """Run a tool; the reply. Raises VarlinkError for what it says no to, and ClientGone."""
    dialogue = ConvDialogue(session, more)
    outcome = session.run_tool(tool, arguments, dialogue)
    if not outcome.status:
        return {"Success": True}
    lines = [line.removeprefix(f"{tool}: ") for line in dialogue.errors.splitlines()]
    message = "; ".join(lines) or f"{tool} failed with status {outcome.status}"
    if outcome.error is not None and outcome.error.why == E_NOTFOUND:
        raise error("NoEntryFound")
    if "invalid shell" in message:
        raise error("InvalidShell", message)
    if tool == "passwd" and dialogue.asked:
        raise error("PasswordChangeAborted", message)
    raise error("AuthenticationFailed" if message.startswith("PAM: ") else "InternalError", message)


def chauthtok(session: Session, parameters: Message, more: bool) -> Message:
    """A new password, through the PAM stack of passwd."""
    name, flags = take(parameters, userName=str, flags=(int, 0))
    user = check_user(session, name)
    options = [b"-q"] if flags & SILENT else []
    options += [b"-k"] if flags & CHANGE_EXPIRED_AUTHTOK else []
    return run(session, "passwd", [*options, b"--", user], more)


def chsh(session: Session, parameters: Message, more: bool) -> Message:
    """Another login shell."""
    name, shell = take(parameters, userName=str, shell=str)
    user = check_user(session, name)
    return run(session, "chsh", [b"--shell=" + encode(shell, "shell"), b"--", user], more)


def chfn(session: Session, parameters: Message, more: bool) -> Message:
    """Parts of the GECOS field."""
    name, *parts = take(parameters, userName=str, **dict.fromkeys(OPTIONS, (str, None)))
    user = check_user(session, name)
    words = [
        word
        for (field, option), part in zip(OPTIONS.items(), parts, strict=True)
        if part is not None
        for word in (option.encode(), encode(part, field))
    ]
    if not words:
        return {"Success": True}
    return run(session, "chfn", [*words, b"--", user], more)


def conv(session: Session, parameters: Message, more: bool) -> Message:
    """An answer that nobody has asked for."""
    raise error("InternalError", "Finding PAM thread failed: there is no dialogue")


def update_passwd_shadow(session: Session, parameters: Message, more: bool) -> Message:
    """Root sets fields of a user's rows."""
    passwd, shadow = take(parameters, passwd=(dict, None), shadow=(dict, None))
    if not session.is_root:
        raise error("PermissionDenied", "UpdatePasswdShadow failed: Operation not permitted")
    if not passwd and not shadow:
        raise error("InvalidParameter", "No entry specified")
    names, user_fields, days = set(), {}, {}
    if passwd:
        name, uid, gid, *values = take(
            passwd, name=str, UID=int, GID=int, **dict.fromkeys(PASSWD_FIELDS, (str, None))
        )  # fmt: skip
        if not (0 <= uid <= MAX_ID and 0 <= gid <= MAX_ID):
            raise invalid_parameter("UID")
        names.add(name)
        user_fields = _given(PASSWD_FIELDS, values)
    if shadow:
        name, hashed, *numbers = take(
            shadow, name=str, passwd=(str, None), **dict.fromkeys(SHADOW_FIELDS, (int, None))
        )  # fmt: skip
        names.add(name)
        days = _given(SHADOW_FIELDS, numbers)
        if days.get("flag") == -1:
            days["flag"] = None
        if hashed is not None:
            days["passwd"] = encode(hashed, "passwd")
    if len(names) != 1:
        raise error("InternalError", "Check for identical account names failed: Invalid argument")
    user = check_user(session, names.pop())
    try:
        session.change.do(UpdateRows(name=user, user=user_fields, shadow=days))
    except AccountsError as fault:
        raise error("InternalError", str(fault)) from None
    return {"Success": True}


def _given(fields: dict[str, str], values: list[Any]) -> dict[str, Any]:
    pairs = zip(fields.items(), values, strict=True)
    return {
        ours: encode(value, theirs) if isinstance(value, str) else value
        for (theirs, ours), value in pairs
        if value is not None
    }


METHODS: dict[str, Method] = {
    f"{PWUPD}.Chauthtok": chauthtok,
    f"{PWUPD}.Chfn": chfn,
    f"{PWUPD}.Chsh": chsh,
    f"{PWUPD}.Conv": conv,
    f"{PWUPD}.UpdatePasswdShadow": update_passwd_shadow,
    f"{PWUPD}.Quit": quit_service,
    f"{PWUPD}.Ping": ping,
}
