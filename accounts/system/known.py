# SPDX-License-Identifier: MIT
"""What is known when a request is checked: the two layers, the image's id ledger, NSS, login.defs, the clock. Hot path.

Nothing here changes anything. edit/ asks a Facts and stays pure; what it may ask is accounts.edit.request.Facts.
"""

from __future__ import annotations

import posix
import time

from accounts.errors import E_FAILURE, E_GID_IN_USE, E_UID_IN_USE, BadArgument, ConfigError, Fail
from accounts.model.database import LEDGER
from accounts.model.records import parse_id
from accounts.system.logindefs import LoginDefs
from accounts.system.store import Store
from accounts.system.target import LOGIN_DEFS, Target
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from accounts.model.database import Database
    from accounts.model.ids import IdPool
    from accounts.model.records import Passwd, Shadow
    from accounts.model.release import Release
    from accounts.model.useradd_defaults import Defaults

DAY = 86400
# What is remembered of ids, a line each (accounts.model.ids.parse_ledger): the image's, and those of `accounts apply`.
LEDGERS = (b"usr/share/accounts/ids", b"etc/accounts/applied")


class Facts:
    """Answers about one target. Before the locks from the files as they are then, under them from what was opened.

    database: the opened one, None before the locks. ask: who answers for the person at work, or None.
    release: of shadow-utils, (4, 13), as its callers expect it.
    """

    def __init__(
        self, target: Target, release: Release, warn: Callable[[str], None], complain: Callable[[str], None]
    ) -> None:
        """warn: gets lines for after "PROG: "; complain: whole texts."""
        self.target = target
        self.live = target.live
        self.release = release
        self.complain = complain
        self.warn = warn
        self.database: Database | None = None
        self.ask: Any = None
        self.store = Store(target, warn, lambda: self.defs, release)
        self._loaded: Database | None = None
        self._names: set[str] = set()
        self._defs: LoginDefs | None = None
        self._useradd_defaults: Defaults | None = None
        # What useradd_defaults was read from; None when there is none.
        self.useradd_text: bytes | None = None
        self._answers: dict[tuple[str, Any], Any] = {}

    @property
    def defs(self) -> LoginDefs:
        """login.defs of the target, read once."""
        if self._defs is None:
            text = self.target.read_layered(LOGIN_DEFS) or b""
            # A shadow built with libeconf has these (SUSE, Fedora); what comes later goes before.
            text = b"\n".join([text, *self.target.read_drop_ins(LOGIN_DEFS + b".d", b".defs")])
            self._defs = LoginDefs(text, self.complain, self.release)
        return self._defs

    @property
    def useradd_defaults(self) -> Defaults:
        """default/useradd of the target, read once."""
        if self._useradd_defaults is None:
            from accounts.model.useradd_defaults import FILE, parse_defaults

            text = b""
            try:
                self.useradd_text = self.target.read_layered(FILE.encode())
                text = self.useradd_text or b""
            except ConfigError as error:
                # The real tool goes on without a word.
                self.warn(str(error))
            self._useradd_defaults = parse_defaults(
                text, self.find_group_or_gid, self._local_group, self.warn, self.shown(FILE), self.release
            )
        return self._useradd_defaults

    def _local_group(self, text: bytes) -> bytes | None:
        """The name of a group of either layer, by GID or name."""
        group = self.view(("passwd", "group")).group
        number = parse_id(text)
        row = group.get(text) if number is None else group.get_id(number)
        return None if row is None else row.name

    # Files

    def view(self, names: Sequence[str], strict: Sequence[str] = ()) -> Database:
        """The database with at least these of the files: the opened one, else read now and good for checks only.

        strict: as Store.load(). Raises FileError.
        """
        if self.database is not None:
            return self.database
        missing = [name for name in names if name not in self._names]
        if missing:
            loaded = self.store.load(missing, strict)
            self._names.update(missing)
            if self._loaded is None:
                self._loaded = loaded
            else:
                self._loaded.take(loaded, missing)
        assert self._loaded is not None
        return self._loaded

    def forget(self) -> None:
        """What was read and asked is out of date."""
        self.database = self._loaded = None
        self._names.clear()
        self._answers.clear()

    def is_present(self, name: str) -> bool:
        """Whether an account file exists in either layer (shadow's *_file_present)."""
        return self.store.is_present(name)

    def shown(self, name: str) -> str:
        """The path of a file of /etc as messages name it."""
        return self.target.shown(name)

    # Accounts, NSS included

    def find_user(self, name: bytes) -> tuple[int, int] | None:
        """(UID, GID) of a user of either layer, or on the live system of NSS; None when there is none."""
        row = self.view(("passwd",)).passwd.get(name)
        if row is not None:
            return row.uid, row.gid
        found: tuple[int, int] | None = self._ask_nss("passwd", "find_user", name)
        return found

    def user_rows(self, name: bytes) -> tuple[Passwd, Shadow | None] | None:
        """The passwd and shadow rows of a user of either layer, or on the live system of NSS; None for no user."""
        database = self.view(("passwd", "shadow"))
        row = database.passwd.get(name)
        if row is not None:
            return row, database.shadow.get(name)
        found: tuple[Passwd, Shadow | None] | None = self._ask_nss("passwd", "find_rows", name)
        return found

    def find_group(self, name: bytes) -> int | None:
        """GID of a group of either layer, or on the live system of NSS; None when there is none."""
        row = self.view(("group",)).group.get(name)
        if row is not None:
            gid: int = row.gid
            return gid
        found: int | None = self._ask_nss("group", "find_group", name)
        return found

    def find_group_or_gid(self, text: bytes) -> tuple[bytes, int] | None:
        """shadow's getgr_nam_gid(): (name, GID) of the group with that GID or name, NSS included; or None.

        The name of a group that only NSS knows by its GID is empty.
        """
        number = parse_id(text)
        if number is not None:
            row = self.view(("group",)).group.get_id(number)
            if row is not None:
                return row.name, row.gid
            return (b"", number) if self.has_gid(number) else None
        gid = self.find_group(text)
        return None if gid is None else (text, gid)

    def has_uid(self, uid: int) -> bool:
        """Whether a UID is taken in either layer, or on the live system in NSS."""
        return self.view(("passwd",)).passwd.get_id(uid) is not None or bool(self._ask_nss("passwd", "has_uid", uid))

    def has_gid(self, gid: int) -> bool:
        """Whether a GID is taken in either layer, or on the live system in NSS."""
        return self.view(("group",)).group.get_id(gid) is not None or bool(self._ask_nss("group", "has_gid", gid))

    def _ask_nss(self, database: str, question: str, key: Any) -> Any:
        # Once for each question: what others know does not change by our locks, and is asked before and under them.
        if not self.target.asks_nss(database):
            return None
        if (question, key) not in self._answers:
            from accounts.system import nss

            self._answers[question, key] = getattr(nss, question)(key)
        return self._answers[question, key]

    # Ids

    def free_id(self, kind: str, system: bool, preferred: int | None = None) -> int:
        """A free "UID" or "GID": not in either layer, the image's id ledger, or on the live system NSS. Raises NoId."""
        return self.id_pool(kind, system).find(preferred)

    def id_pool(self, kind: str, system: bool) -> IdPool:
        """The free UIDs or GIDs, to be given one after the other."""
        from accounts.model.ids import IdPool, parse_ledger

        name = "passwd" if kind == "UID" else "group"
        used = self.view((name,)).tables[name].ids()
        for path in LEDGERS:
            ledger = self.target.read(path)
            if ledger:
                used |= parse_ledger(ledger, name)
        if not self.target.asks_nss(name):
            return IdPool(kind, system, self.defs, used, lambda _: False)
        from accounts.system import nss

        return IdPool(kind, system, self.defs, used, nss.has_uid if kind == "UID" else nss.has_gid)

    def reserved_ranges(self, name: str) -> list[tuple[int, int, bytes]]:
        """(start, count, owner) of the ranges of "subuid" or "subgid" in the ledgers of image and machine."""
        from accounts.model.ids import parse_ranges

        texts = (self.target.read(LEDGERS[0]), self.target.read(b"etc/" + LEDGER.encode()))
        return [known for text in texts if text for known in parse_ranges(text, name)]

    def check_overlap(self, kind: str, number: int, who: str) -> None:
        """SUBID_OVERLAP of accounts.conf: a "UID" or "GID" that was asked for is a subordinate one of somebody.

        who: begins the warning. To be called under the locks. Raises Fail, and ConfigError for another setting than
        no, warn and error.
        """
        wanted = self.target.setting(b"SUBID_OVERLAP", b"warn")
        if wanted not in (b"no", b"warn", b"error"):
            raise ConfigError(f"accounts.conf: SUBID_OVERLAP must be no, warn or error: '{fsdecode(wanted)}'")
        for start, count, owner in () if wanted == b"no" else self._subordinate_ranges(f"sub{kind.lower()}"):
            if start > number:
                break
            if number < start + count:
                text = f"is one of the subordinate {kind}s of '{fsdecode(owner)}'"
                if wanted == b"error":
                    raise Fail(E_UID_IN_USE if kind == "UID" else E_GID_IN_USE, f"{kind} {number} {text}")
                self.complain(f"{who} {number} {text}.\n")
                break

    def _subordinate_ranges(self, name: str) -> list[tuple[int, int, bytes]]:
        """(start, count, owner) of all rows of "subuid" or "subgid", sorted, read once."""
        if ("ranges", name) not in self._answers:
            layered = self.store.load((name,)).tables[name]
            rows = [(row.start, row.count, row.name) for row in (*layered.local, *layered.image)]
            self._answers["ranges", name] = sorted(rows)
        found: list[tuple[int, int, bytes]] = self._answers["ranges", name]
        return found

    # The rest of the machine

    def exists(self, path: bytes) -> bool:
        """Whether the target has such a path."""
        return self.target.is_accessible(path, posix.F_OK)

    def hash_all(self, plains: Sequence[bytes], method: bytes | None, rounds: int | None, salts: int) -> list[bytes]:
        """The hashes of passwords, on all processors; as login.defs has it where method or rounds are None.

        salts: how many shadow makes, and complains with each. Raises Fail.
        """
        from accounts.system.hashing import hash_many, settings_from

        settings = settings_from(self.defs, None if method is None else fsdecode(method), rounds)
        self.complain("".join(settings.notes) * salts)
        try:
            return hash_many(plains, settings)
        except BadArgument as error:
            raise Fail(E_FAILURE, str(error)) from None

    def find_process(self, name: bytes, uid: int) -> int | None:
        """A process of the user in the target, or None; never one under --prefix."""
        target = self.target
        if target.prefix:
            return None
        from accounts.system.commands import find_process

        subuid = self.store.load(("subuid",)).tables["subuid"]
        later = self.release >= (4, 20)
        owners = (name, b"%d" % uid) if later else (name,)
        rows = [row for layer in (subuid.local, subuid.image) for row in layer if row.name in owners]
        return find_process(uid, [(row.start, row.count) for row in rows], target.root, threads=later)

    def terminal(self) -> str:
        """The terminal of standard input, "none" without one."""
        try:
            return posix.ttyname(0)
        except OSError:
            return "none"

    def has_pam_accounts(self) -> bool:
        """Whether PAM changes passwords of image users (accounts.system.pam). Raises ConfigError."""
        from accounts.system.pam import has_pam_accounts

        return has_pam_accounts(self.target)

    def now(self) -> int:
        """Seconds since the epoch: SOURCE_DATE_EPOCH where it is valid, as shadow's gettime()."""
        current = int(time.time())
        setting = posix.environ.get(b"SOURCE_DATE_EPOCH")
        if setting is None:
            return current
        # Most are as plain as that.
        if setting.isdigit() and len(setting) < 19 and int(setting) <= current:
            return int(setting)
        from accounts.system.epoch import read_epoch

        seconds, text = read_epoch(setting, current, self.release)
        if text:
            self.complain(text)
        return seconds

    def today(self) -> int:
        """Days since the epoch."""
        return self.now() // DAY
