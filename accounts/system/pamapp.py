# SPDX-License-Identifier: MIT
"""An application of Linux-PAM, by ctypes: pam_authenticate(3), pam_acct_mgmt(3), pam_chauthtok(3). Not on the hot path.

Which modules run, and what they ask, is the site's pam.d(5). A module that asks for the real UID gets the process's.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

SONAME = "libpam.so.0"
# Return values and flags of <security/_pam_types.h>.
SUCCESS = 0
SYSTEM_ERR = 4
NEW_AUTHTOK_REQD = 12
CONV_ERR = 19
SILENT = 0x8000
CHANGE_EXPIRED_AUTHTOK = 0x20
# Styles of messages.
PROMPT_ECHO_OFF, PROMPT_ECHO_ON, ERROR_MSG, TEXT_INFO = 1, 2, 3, 4
MAX_MESSAGES = 32  # PAM_MAX_NUM_MSG
MAX_ANSWER = 511  # PAM_MAX_RESP_SIZE counts the NUL

# Style and text -> the answer to a prompt, None when there is none, which ends it.
Converse = Callable[[int, bytes], "bytearray | bytes | None"]


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_void_p,
)


class _Conversation(ctypes.Structure):
    _fields_ = (("function", _CALLBACK), ("data", ctypes.c_void_p))


@functools.cache
def load() -> ctypes.CDLL | None:
    """The library, None where there is none."""
    try:
        library = ctypes.CDLL(SONAME)
    except OSError:
        return None
    library.pam_start.argtypes = (
        *(ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(_Conversation)),
        ctypes.POINTER(ctypes.c_void_p),
    )
    for name in ("pam_authenticate", "pam_acct_mgmt", "pam_chauthtok", "pam_end"):
        getattr(library, name).argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.pam_strerror.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.pam_strerror.restype = ctypes.c_char_p
    return library


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.calloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
    libc.calloc.restype = ctypes.c_void_p
    return libc


class Application:
    """One transaction of a service for a user; a with block ends it.

    secrets: how many answers without echo were given.
    """

    def __init__(self, service: str, user: bytes, converse: Converse) -> None:
        """Raises OSError where there is no libpam, or it cannot start."""
        library = load()
        if library is None:
            raise OSError(0, f"there is no {SONAME}")
        self._library = library
        self._converse = converse
        self._error: BaseException | None = None
        self.secrets = 0
        # libpam keeps the pointer: neither may go before pam_end().
        self._callback = _CALLBACK(self._speak)
        self._conversation = _Conversation(self._callback, None)
        self._handle = ctypes.c_void_p()
        self._status = library.pam_start(
            service.encode(), user, ctypes.byref(self._conversation), ctypes.byref(self._handle)
        )
        if self._status != SUCCESS:
            raise OSError(0, self.describe(self._status))

    def __enter__(self) -> Application:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.pam_end(self._handle, self._status)
        self._handle = ctypes.c_void_p()

    def authenticate(self, flags: int = 0) -> int:
        """pam_authenticate(3); its return value. Raises what the conversation raised."""
        return self._call("pam_authenticate", flags)

    def check_account(self, flags: int = 0) -> int:
        """pam_acct_mgmt(3)."""
        return self._call("pam_acct_mgmt", flags)

    def change_token(self, flags: int = 0) -> int:
        """pam_chauthtok(3)."""
        return self._call("pam_chauthtok", flags)

    def describe(self, status: int) -> str:
        """pam_strerror(3)."""
        text: bytes = self._library.pam_strerror(self._handle, status)
        return text.decode(errors="replace")

    def _call(self, function: str, flags: int) -> int:
        self._status = status = int(getattr(self._library, function)(self._handle, flags))
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return status

    def _speak(
        self, count: int, messages: ctypes._Pointer[ctypes._Pointer[_Message]], answers: object, _: object
    ) -> int:
        try:
            return self._answer(count, messages, answers)
        except BaseException as error:  # none may leave a callback
            self._error = error
            return CONV_ERR

    def _answer(self, count: int, messages: ctypes._Pointer[ctypes._Pointer[_Message]], answers: object) -> int:
        if not 0 < count <= MAX_MESSAGES:
            return CONV_ERR
        libc = _libc()
        array = libc.calloc(count, ctypes.sizeof(_Response))
        if not array:
            return CONV_ERR
        responses = (_Response * count).from_address(array)
        good = False
        try:
            for index in range(count):
                message = messages[index].contents
                answer = self._converse(message.style, message.text or b"")
                if message.style not in (PROMPT_ECHO_OFF, PROMPT_ECHO_ON):
                    continue
                if answer is None or len(answer) > MAX_ANSWER or 0 in answer:
                    return CONV_ERR
                self.secrets += message.style == PROMPT_ECHO_OFF
                text = libc.calloc(len(answer) + 1, 1)
                if not text:
                    return CONV_ERR
                # libpam wipes and frees it.
                ctypes.memmove(text, bytes(answer), len(answer))
                responses[index].text = text
            good = True
        finally:
            if good:
                ctypes.cast(answers, ctypes.POINTER(ctypes.c_void_p))[0] = array  # type: ignore[arg-type]
            else:
                for response in responses:
                    if response.text:
                        libc.free(ctypes.c_void_p(response.text))
                libc.free(ctypes.c_void_p(array))
        return SUCCESS
