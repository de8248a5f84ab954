# SPDX-License-Identifier: MIT
"""Hands callers who are not root over to the distribution's own set-uid program. Hot path.

The kernel ignores set-uid on scripts (docs/decisions/set-uid.md), so nothing of ours ever has more rights than
its caller.
"""

from __future__ import annotations

import _stat as stat
import posix

from accounts.errors import NotPermitted
from accounts.text import fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.cli.run import Session

# Where dpkg-divert puts the program that ours replaces.
DIVERTED = "/usr/bin/{}.distrib"


def hand_over(session: Session, argv: list[bytes]) -> None:
    """Exec the diverted program with the caller's arguments and environment; does nothing for root.

    To be called before anything else is read. Raises NotPermitted when there is no program to trust.
    """
    if posix.geteuid() == 0:
        return
    exec_diverted(session, session.prog, argv)
    path = DIVERTED.format(session.prog)
    raise NotPermitted(f"Permission denied: this needs root, there is no set-uid {path}")


def exec_diverted(session: Session, name: str, argv: list[bytes]) -> None:
    """Exec the diverted program of that name as session.prog; returns when there is none to trust.

    That is a regular file of root's that nobody else can write.
    """
    path = DIVERTED.format(name)
    try:
        status = posix.lstat(path)
        if stat.S_ISREG(status.st_mode) and status.st_uid == 0 and not status.st_mode & 0o022:
            import signal

            # Python ignores these two, and what is ignored stays so in the new program.
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            posix.execv(path, [fsencode(session.prog), *argv])
    except OSError:
        pass
