# SPDX-License-Identifier: MIT
"""What can be wrong with the accounts of an image, rule by rule. Reads only.

Rules have a severity each: fail, warn or ignore. docs/ledger.md lists them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from typing import Any, NamedTuple

from accounts import progress
from accounts.errors import BadArgument
from accounts.image.idsources import Pins
from accounts.image.layers import Layers, broken_lines, lines, walk
from accounts.image.ledger import Ledger, RangeKey
from accounts.image.uses import Uses
from accounts.model.policy import DATABASES
from accounts.model.table import Table

SEVERITIES = ("fail", "warn", "ignore")
# Rule -> (severity unless told otherwise, what it finds).
RULES = {
    "changed-id": ("fail", "an account has another id than it was shipped with, or is pinned to"),
    "reused-id": ("fail", "an id that belonged to another account"),
    "sysusers-id": ("warn", "sysusers.d fixes another id for an account than the image has"),
    "duplicate-id": ("fail", "two accounts with one id"),
    "unpinned-id": ("warn", "an id that was allocated dynamically and that no source fixes"),
    "orphan-files": ("fail", "files of an account that the image no longer has"),
    "unknown-owner": ("warn", "files of an id that no account of the image has ever had"),
    "no-primary-group": ("fail", "a user's primary group does not exist"),
    "no-such-member": ("warn", "a group lists a member or administrator that is no user"),
    "empty-password": ("fail", "an account that needs no password"),
    "hidden-password": ("fail", "a row of /etc hides the password that the image has for the account"),
    "readable-hash": ("fail", "a password hash that others than root can read"),
    "undefined-name": ("warn", "configuration names a user or group that nobody defines"),
    "created-at-boot": ("warn", "sysusers.d adds an account to /etc at boot"),
    "broken-row": ("fail", "a line of an account file that is not a valid row, or a name that is there twice"),
    "seeded": ("fail", "the image layer lacks the accounts of the image"),
    "layer": ("fail", "a file of the image layer is missing, unreadable or writable for others"),
    "index": ("warn", "an index is not of its account file, so that look-ups read all of that"),
    "module": ("fail", "the NSS module is missing or of another architecture"),
    "module-partial": ("warn", "the root runs programs of an architecture for which there is no NSS module"),
    "nsswitch": ("fail", "nsswitch.conf does not join the two layers"),
    "units": ("warn", "a boot unit is missing, masked or not enabled"),
    "pam-module": ("fail", "PAM is to ask pam_accounts.so for new passwords, and cannot"),
    "pam-stack": ("warn", "pam_unix is asked for a new password before pam_accounts, or without it"),
    "first-boot": ("fail", "systemd-firstboot asks on the console, and the boot waits for an answer"),
    "rpm": ("warn", "rpm does not look into the image layer for the owners of a package's files"),
    "dracut": ("warn", "dracut does not look into the image layer for the accounts of an initrd"),
    "ledger": ("warn", "the image's id ledger is missing or behind"),
    "account-leftovers": ("warn", "locks and backups of account files in /etc"),
    "etc-not-empty": ("warn", "an entry of /etc that no keep rule allows"),
}
# What is right or wrong in a build only: a machine's own accounts, backups and files are no fault of its image.
BUILD_RULES = (
    "unpinned-id", "reused-id", "orphan-files", "unknown-owner", "undefined-name", "created-at-boot", "sysusers-id",
    "account-leftovers", "etc-not-empty",
)  # fmt: skip
_KINDS = {"passwd": "user", "group": "group"}
_DES = re.compile(rb"[./0-9A-Za-z]{13}$")
# Account files with hashes, below the root, besides those of the layers.
_SECRETS = ("/etc/shadow-", "/etc/gshadow-", "/etc/accounts/base",
            "/usr/share/factory/etc/shadow", "/usr/share/factory/etc/gshadow")  # fmt: skip


class Finding(NamedTuple):
    """One thing that is wrong, of an image or of a machine.

    name: the account, files: the paths inside the root that it is about. fix: the command that mends it, if one can.
    """

    rule: str
    severity: str
    message: str
    name: str = ""
    files: tuple[str, ...] = ()
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON types."""
        result = self._asdict() | {"files": list(self.files)}
        return result if self.fix else {key: value for key, value in result.items() if key != "fix"}


class Findings:
    """Findings as they are made, with the severities in force.

    rules: rule -> severity where it differs from the default. machine: the root is a machine's, not a build's.
    Raises BadArgument for a rule it does not know.
    """

    def __init__(self, rules: dict[str, str] | None = None, *, machine: bool = False) -> None:
        self.severities = {rule: default for rule, (default, _) in RULES.items()}
        if machine:
            self.severities |= dict.fromkeys(BUILD_RULES, "ignore")
        for rule, severity in (rules or {}).items():
            if rule not in RULES:
                raise BadArgument(f"there is no rule {rule!r}: {', '.join(RULES)}")
            if severity not in SEVERITIES:
                raise BadArgument(f"a rule is {', '.join(SEVERITIES[:-1])} or {SEVERITIES[-1]}, not {severity!r}")
            self.severities[rule] = severity
        self._found: list[Finding] = []

    def wants(self, rule: str) -> bool:
        """Whether a rule is worth the work."""
        return self.severities[rule] != "ignore"

    def add(self, rule: str, message: str, name: bytes | str = "", files: Iterable[str] = ()) -> None:
        """Note something that is wrong."""
        if self.wants(rule):
            shown = os.fsdecode(name)
            self._found.append(Finding(rule, self.severities[rule], message, shown, tuple(files)))

    @property
    def found(self) -> list[Finding]:
        """All findings: those that fail first, then in the order of the rules."""
        order = {rule: number for number, rule in enumerate(RULES)}
        return sorted(self._found, key=lambda one: (SEVERITIES.index(one.severity), order[one.rule]))

    @property
    def failed(self) -> bool:
        """Whether one of them fails the build."""
        return any(finding.severity == "fail" for finding in self._found)


def check_ids(layers: Layers, known: Pins, uses: Uses, findings: Findings) -> None:
    """Compare the ids of a root with what is known of them, and with one another."""
    progress.begin("comparing ids")
    for conflict in known.conflicts:
        findings.add(
            "changed-id",
            f"{_KINDS[conflict.database]} '{os.fsdecode(conflict.name)}' has id {conflict.id}, "
            f"but {conflict.other} in {conflict.source}",
            conflict.name,
        )
    ledger = known.ledger
    _check_ranges(layers, ledger, findings)
    ids = set(layers.ids)
    dynamic = {database: _dynamic_ids(layers, database) for database in _KINDS}
    names: dict[tuple[str, int], list[bytes]] = {}
    all_fixed = {(kind, os.fsencode(name)): id for (kind, name), id in uses.fixed.items()}
    for database, name, id in layers.ids:
        kind = _KINDS[database]
        pin = ledger.pin(database, name)
        fixed = all_fixed.get((kind, name))
        holders = ledger.holders(database, id)
        sharing = names.setdefault((database, id), [])
        if name not in sharing:
            sharing.append(name)
        if pin == id and fixed in (None, id) and holders == [name]:
            continue
        shown = os.fsdecode(name)
        if pin is not None and pin != id:
            findings.add("changed-id", f"{kind} '{shown}' had id {pin}, now {id}; see accounts image pin", name)
        if pin is None and id in dynamic[database] and fixed != id:
            findings.add("unpinned-id", f"{kind} '{shown}' has the dynamic id {id}, which no source fixes", name)
        if fixed not in (None, id):
            findings.add("sysusers-id", f"{kind} '{shown}' has id {id}, but {fixed} in sysusers.d", name)
        for other in holders:
            if other != name and (database, other, id) not in ids:
                findings.add(
                    "reused-id",
                    f"{kind} '{shown}' has id {id}, which belonged to '{os.fsdecode(other)}'; see accounts image pin",
                    name,
                )
    for (database, id), sharing in names.items():
        if len(sharing) > 1:
            shown = ", ".join(repr(os.fsdecode(name)) for name in sharing)
            findings.add("duplicate-id", f"{_KINDS[database]}s {shown} have one id, {id}", sharing[0])
    for user in layers.view.passwd:
        gid, source = known.primary.get(user.name, (user.gid, ""))
        if gid != user.gid:
            shown = os.fsdecode(user.name)
            findings.add("changed-id", f"user '{shown}' has GID {user.gid}, but {gid} in {source}", user.name)


def _check_ranges(layers: Layers, ledger: Ledger, findings: Findings) -> None:
    """Subordinate ids that another owner had, who no longer has them: his containers' files may still be there."""
    now = set(layers.ranges)
    gone = sorted((key for key in ledger.ranges if key not in now), key=lambda key: key[2])
    begun: list[RangeKey] = []
    at = 0
    for database, owner, first, last in sorted(now, key=lambda key: key[2]):
        while at < len(gone) and gone[at][2] <= last:
            begun.append(gone[at])
            at += 1
        begun = [key for key in begun if key[3] >= first]
        for other in {key[1] for key in begun if key[0] == database and key[2] <= last} - {owner}:
            text = f"'{os.fsdecode(owner)}' has {database} {first}-{last}, some of which belonged to"
            findings.add("reused-id", f"{text} '{os.fsdecode(other)}'", owner)


def find_unowned(layers: Layers) -> dict[tuple[str, int], list[str]]:
    """(database, id) -> files, for each owner and group of a file in the root that is in no account file."""
    uids = {id for database, _, id in layers.ids if database == "passwd"}
    gids = {id for database, _, id in layers.ids if database == "group"}
    # (uid, gid) pairs that are fine: one look-up for each of very many files.
    fine: set[tuple[int, int]] = set()
    unowned: dict[tuple[str, int], list[str]] = {}
    progress.begin("looking at files")
    for _, directory, name, status in walk(layers.tree.fd):
        owner = status.st_uid, status.st_gid
        if owner in fine:
            continue
        if owner[0] in uids and owner[1] in gids:
            fine.add(owner)
            continue
        path = "/" if name == "." else directory + name
        if owner[0] not in uids:
            unowned.setdefault(("passwd", owner[0]), []).append(path)
        if owner[1] not in gids:
            unowned.setdefault(("group", owner[1]), []).append(path)
    return dict(sorted(unowned.items()))


def check_owners(unowned: dict[tuple[str, int], list[str]], known: Pins, findings: Findings) -> None:
    """Name the files that find_unowned() found, and the accounts that they belonged to."""
    for (database, id), files in unowned.items():
        kind = _KINDS[database]
        names = ", ".join(repr(os.fsdecode(name)) for name in known.ledger.holders(database, id))
        count = f"{len(files)} file{'s' if len(files) > 1 else ''}"
        if names:
            findings.add("orphan-files", f"removed {kind} {names} ({id}) still owns {count}", names.strip("'"), files)
        else:
            findings.add("unknown-owner", f"{kind} {id} owns {count}, and there is no such {kind}", str(id), files)


def check_rows(layers: Layers, findings: Findings) -> None:
    """Rows that parse, groups and members that exist, no hashes where everybody reads."""
    for name in DATABASES:
        for path, table in layers.paths(name):
            _check_lines(path, table, findings)
    view = layers.view
    users = {row.name for row in view.passwd}
    secrets = {row.name: row for row in reversed(list(view.shadow))}
    gids = view.group.ids()
    for user in view.passwd:
        if user.gid not in gids:
            message = f"user '{os.fsdecode(user.name)}' has GID {user.gid}, and there is no such group"
            findings.add("no-primary-group", message, user.name)
        secret = secrets.get(user.name)
        if user.passwd == b"" or (user.passwd == b"x" and secret is not None and secret.passwd == b""):
            findings.add("empty-password", f"user '{os.fsdecode(user.name)}' needs no password", user.name)
    for name in ("passwd", "group"):
        for row in layers.local[name] if layers.image[name].present else ():
            image = layers.image[name].get(row.name)
            if image is not None and image.passwd == b"x" != row.passwd:
                shown = os.fsdecode(row.passwd if not holds_hash(row.passwd) else b"a hash")
                message = f"/etc/{name}: '{shown}' of '{os.fsdecode(row.name)}' is in place of the image's 'x'"
                findings.add("hidden-password", message, row.name, [f"/etc/{name}"])
    for database in ("group", "gshadow"):
        for group in view.tables[database]:
            for member in dict.fromkeys((*getattr(group, "admins", ()), *group.members)):
                if member not in users:
                    message = f"{database} '{os.fsdecode(group.name)}' lists '{os.fsdecode(member)}', who is no user"
                    findings.add("no-such-member", message, group.name)
    for name in ("passwd", "group"):
        for path, table in layers.paths(name):
            for row in table:
                if row.passwd != b"x" and holds_hash(row.passwd):
                    message = f"{path} has the password hash of '{os.fsdecode(row.name)}'"
                    findings.add("readable-hash", message, row.name, [path])


def _check_lines(path: str, table: Table, findings: Findings) -> None:
    for number, line in broken_lines(table):
        if not line.startswith((b"+", b"-")):
            findings.add("broken-row", f"{path}:{number}: not a valid row", files=[path])
    names = [row.name for row in table]
    seen: set[bytes] = set()
    for number, _, row in lines(table) if len(set(names)) < len(names) else ():
        if row is None:
            continue
        if row.name in seen:
            findings.add("broken-row", f"{path}:{number}: '{os.fsdecode(row.name)}' is there twice", row.name, [path])
        else:
            seen.add(row.name)


def check_modes(layers: Layers, findings: Findings) -> None:
    """Files with hashes are readable for root and group shadow only, as seed makes them."""
    shadow = layers.view.group.get(b"shadow")
    trusted = (0,) if shadow is None else (0, shadow.gid)
    paths = [f"{directory}/{name}" for directory in ("/etc", layers.image_dir) for name in ("shadow", "gshadow")]
    for path in (*paths, *_SECRETS):
        status = layers.tree.lstat(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            continue
        by_group = status.st_mode & 0o070 and status.st_gid not in trusted
        if status.st_mode & 0o007 or by_group or status.st_uid:
            mode = stat.S_IMODE(status.st_mode)
            message = f"{path} is {mode:04o} {status.st_uid}:{status.st_gid}, not 0640 root:shadow or less"
            findings.add("readable-hash", message, files=[path])


def holds_hash(password: bytes) -> bool:
    """Whether a password field holds a crypt(5) hash, locked ("!...") or not."""
    text = password.lstrip(b"!*")
    return text.startswith((b"$", b"_")) or _DES.match(text) is not None


def check_names(layers: Layers, uses: Uses, findings: Findings) -> None:
    """Names that configuration uses or defines, against the accounts that there are."""
    names = {kind: {row.name for row in layers.view.tables[database]} for database, kind in _KINDS.items()}
    there = {(kind, name) for kind, name in {*uses.used, *uses.defined} if os.fsencode(name) in names[kind]}
    for (kind, name), files in sorted(uses.used.items()):
        if (kind, name) not in there and (kind, name) not in uses.defined:
            findings.add("undefined-name", f"{kind} '{name}' is used, and nobody defines it", name, files)
    for (kind, name), files in sorted(uses.defined.items()):
        made = [path for path in files if "/sysusers.d/" in path]
        if made and (kind, name) not in there:
            findings.add("created-at-boot", f"{kind} '{name}' is added to /etc at boot", name, made)


def _dynamic_ids(layers: Layers, database: str) -> range:
    """The ids that tools allocate: from SYS_UID_MIN (100 with Debian's adduser) to UID_MAX, or GIDs."""
    kind = "UID" if database == "passwd" else "GID"
    low = layers.defs.get_ulong(f"SYS_{kind}_MIN", 100)
    return range(low, layers.defs.get_ulong(f"{kind}_MAX", 60000) + 1)
