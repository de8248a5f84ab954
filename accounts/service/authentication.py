# SPDX-License-Identifier: MIT
"""What PAM has to say of a caller who is not root: who that is, and what the new password may be.

Every proof of a password counts as an attempt (accounts.service.attempts).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from accounts.edit.materialize import CopyUsers, DropCopies
from accounts.errors import E_NOPERM, E_PAM_ERR, Fail
from accounts.model.records import SHADOWED
from accounts.service.attempts import Attempts
from accounts.service.errors import TooManyAttempts
from accounts.system import pamapp
from accounts.system.notify import LOG_ERR, LOG_NOTICE, syslog
from accounts.system.pam import modules

if TYPE_CHECKING:
    from accounts.edit.request import Report, Request
    from accounts.model.records import Passwd
    from accounts.service.session import Dialogue
    from accounts.system.known import Facts

OWN_MODULE = b"pam_accounts.so"


class Proof:
    """One proof of the caller's password: counted before it is tried, so that parallel tries count too."""

    def __init__(self, uid: int) -> None:
        self._attempts = Attempts(uid)
        self._ended = False

    def begin(self) -> None:
        """Raises Fail when the caller has to wait."""
        try:
            self._attempts.begin()
        except TooManyAttempts as error:
            syslog(LOG_NOTICE, f"UID {os.getuid()} has to wait for {error.seconds} seconds")
            raise Fail(E_NOPERM, str(error)) from None

    def succeed(self) -> None:
        """The password was right."""
        self._ended = True
        self._attempts.succeed()

    def end(self, tried: bool) -> None:
        """tried: whether any password has been given."""
        if not tried and not self._ended:
            self._attempts.cancel()


@contextmanager
def transaction(service: str, user: bytes, dialogue: Dialogue, uid: int) -> Iterator[tuple[pamapp.Application, Proof]]:
    """A PAM transaction of a service, and the caller's proof that it is. uid: the caller's. Raises Fail."""
    proof = Proof(uid)
    proof.begin()
    tried = False
    try:
        with pamapp.Application(service, user, dialogue.speak) as pam:
            try:
                yield pam, proof
            finally:
                tried = pam.secrets > 0
    finally:
        proof.end(tried)


def authenticate(service: str, user: bytes, dialogue: Dialogue, uid: int) -> None:
    """Have the caller prove to be a user, by the PAM stack of a service. Raises Fail."""
    with transaction(service, user, dialogue, uid) as (pam, proof):
        status = pam.authenticate()
        if status == pamapp.SUCCESS:
            proof.succeed()
            status = pam.check_account()
        if status != pamapp.SUCCESS:
            why = pam.describe(status)
            syslog(LOG_ERR, why)
            raise Fail(E_NOPERM, f"PAM: {why}")


def change_token(service: str, user: bytes, dialogue: Dialogue, uid: int, flags: int) -> None:
    """A new password for a user by the PAM stack of a service. flags: of pam_chauthtok(3). Raises Fail."""
    with transaction(service, user, dialogue, uid) as (pam, proof):
        status = pam.change_token(flags)
        if status != pamapp.SUCCESS:
            raise Fail(E_PAM_ERR, pam.describe(status), "password unchanged")
        proof.succeed()


@contextmanager
def local_rows(service: str, user: Passwd, facts: Facts, do: Callable[[Request], Report]) -> Iterator[None]:
    """A user of the image has rows in /etc for pam_unix(8), unless our module is there: it knows both layers."""
    tables = _missing_tables(facts, user)
    if not tables or OWN_MODULE in modules(facts.target, service.encode()):
        yield
        return
    do(CopyUsers(names=(user.name,)))
    try:
        yield
    finally:
        do(DropCopies(name=user.name, tables=tables))


def _missing_tables(facts: Facts, user: Passwd) -> tuple[str, ...]:
    """Those of passwd and shadow that have a row of the user's in the image only."""
    database = facts.view(("passwd", "shadow"))
    names = ("passwd", "shadow") if user.passwd == SHADOWED else ("passwd",)
    return tuple(
        name
        for name in names
        if database.tables[name].local.find(user.name) is None and database.tables[name].get(user.name) is not None
    )
