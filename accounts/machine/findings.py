# SPDX-License-Identifier: MIT
"""What can be wrong with the accounts of a machine, as `accounts check` finds it in the account files. Pure.

docs/findings.md lists every code with an example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge as merge_sorted
from typing import Any

from accounts import progress
from accounts.image.findings import Finding
from accounts.image.ledger import Ledger
from accounts.machine.delta import Kind, first_lines, id_names, is_materialized, local_rows
from accounts.machine.rebase import HID_NOTHING, RebaseStep, rebase
from accounts.machine.rows import read_rows
from accounts.machine.words import quote, shown
from accounts.model.database import ID_FIELDS, Database
from accounts.model.ids import id_range
from accounts.model.records import parse_id
from accounts.system.logindefs import LoginDefs

# Code -> (severity, what it finds, whether check --fix mends it without being told to).
CODES = {
    "module": ("fail", "programs load no NSS module for IMAGE_DIR, and see no account of the image", False),
    "module-stock": ("warn", "the NSS module does not honour hide rows", False),
    "nsswitch": ("fail", "nsswitch.conf does not join the two layers", False),
    "nsswitch-missing": ("fail", "/etc/nsswitch.conf is missing or leads nowhere", True),
    "subid": ("warn", "subordinate ids of the image are not seen, or asked of a library that is not there", False),
    "pam": ("fail", "there is no PAM configuration, so that nobody can log in", False),
    "pam-module": ("fail", "PAM is to ask pam_accounts.so for new passwords, and cannot", False),
    "pam-stack": ("warn", "pam_unix is asked for a new password before pam_accounts, or without it", False),
    "self-service": ("warn", "accounts-self.socket is there and not enabled, or masked", False),
    "stale-override": ("warn", "the image's row has changed under a local change", False),
    "stale-gid": ("warn", "a local row has another GID than the image's group", False),
    "conflict": ("warn", "this machine and the image have changed the same field", False),
    "orphan": (
        "warn",
        "the image has removed an account that was changed here, or a group with members of here",
        False,
    ),
    "no-base": ("warn", "an override without a record of what it was made from", False),
    "needless-row": ("warn", "a local row says what the image says", True),
    "name-collision": ("fail", "a local account has the name of another one of the image", False),
    "id-collision": ("fail", "a local account has the id of one of the image", False),
    "changed-id": ("fail", "the image has changed an id by which files here belong to its account", False),
    "unfinished-walk": ("fail", "the walk that gives files to new ids was interrupted", False),
    "reused-id": ("warn", "a local account has an id that the image's ledger knows for another", False),
    "dangling-member": ("warn", "a local row lists a member that is no user", False),
    "no-primary-group": ("warn", "a local user's primary group does not exist", False),
    "missing-shadow": ("warn", "a user without a row in shadow cannot log in", False),
    "stale-shadow": ("warn", "a shadow row of a user that is not there", True),
    "stale-gshadow": ("fail", "a gshadow row of a group that is not there stops systemd-sysusers", True),
    "stale-hide": ("warn", "a hide row of a name that the image does not have", True),
    "repeated-row": ("warn", "a name is twice in a local file, and tools refuse to change it", False),
    "broken-row": ("warn", "a line of a local file is no row", False),
    "subid-overlap": ("warn", "two owners have the same subordinate ids", False),
    "mode": ("fail", "an account file has the wrong owner or mode", True),
    "unknown-setting": ("warn", "accounts.conf has a setting that nothing reads", False),
    "journal": ("warn", "an interrupted change waits to be finished or undone", True),
    "journal-aside": ("warn", "an interrupted change could be neither finished nor undone", False),
    "leftover": ("warn", "a lock or temporary file of a process that is gone", True),
}
SAFE = tuple(code for code, (_, _, safe) in CODES.items() if safe)


@dataclass
class MachineFindings:
    """Findings as they are made. root: "" or " -R DIR", what a command needs to work on this root."""

    root: str = ""
    # Code, message, name, files, command: a full copy of the image in /etc is some 400,000 of them.
    made: list[tuple[str, str, bytes, Sequence[str], str]] = field(default_factory=list)

    def add(self, code: str, message: str, name: bytes = b"", files: Sequence[str] = (), fix: str = "") -> None:
        """Note something. fix: a command of the shell in which {R} is where --root goes, {Q} where gpasswd has it."""
        self.made.append((code, message, name, files, fix))

    def in_order(self) -> list[Finding]:
        """What fails first, then in the order of the codes."""
        order = {code: (severity != "fail", place) for place, (code, (severity, *_)) in enumerate(CODES.items())}
        gpasswd = self.root.replace(" -R", " -Q", 1)
        found = sorted(self.made, key=lambda one: order[one[0]])
        commands = [one[-1].replace("{R}", self.root).replace("{Q}", gpasswd) for one in found]
        return [
            Finding(code, CODES[code][0], message, shown(name), tuple(files), fix)
            for (code, message, name, files, _), fix in zip(found, commands, strict=True)
        ]


class Check:
    """The checks of one machine's files.

    has_user: whether NSS knows a user that neither layer has (on the live system; else False always); known as in
    accounts.machine.rebase.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        defs: LoginDefs,
        has_user: Callable[[bytes], bool],
        findings: MachineFindings,
        known: Mapping[tuple[str, bytes], tuple[int, int]] | None = None,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._defs = defs
        self._has_user = has_user
        self._findings = findings
        self._known = known
        self._images = {name: first_lines(database.tables[name].image) for name in ID_FIELDS}
        self._rows = {name: local_rows(database.tables[name]) for name in ("passwd", "group", "gshadow", "shadow")}

    def run(self) -> None:
        """All of them. The database is of no use afterwards: what rebase would do is tried on it."""
        checks = (
            self._check_lines, self._check_members, self._check_primary_groups, self._check_shadow, self._check_ids,
            self._check_ranges, self._check_hides, self._try_rebase,
        )  # fmt: skip
        for check in progress.track(checks, "checking"):
            check()

    def _check_hides(self) -> None:
        for name, account in sorted(self._database.hides.rows):
            if self._database.tables[name].image_row(account) is None:
                text = f"{name} '{shown(account)}' is hidden, and the image has no such row"
                self._findings.add(
                    "stale-hide", text, account, ["/etc/accounts/hidden"], f"accounts unmask{{R}} {quote(account)}"
                )

    def _check_lines(self) -> None:
        for name, layered in self._database.tables.items():
            table = layered.local
            valid = read_rows(table)
            if len(valid.names) == table.data.count(b"\n"):
                continue
            good = set(valid.starts)
            editor = {"passwd": "vipw", "shadow": "vipw -s", "group": "vigr", "gshadow": "vigr -s"}.get(name)
            position = 0
            for number, line in enumerate(table.data.split(b"\n"), 1):
                if line.strip() and position not in good and line[:1] not in (b"#", b"+", b"-"):
                    fix = f"{editor}{{R}}" if editor else ""
                    self._findings.add("broken-row", f"/etc/{name}:{number} is no row", files=[f"/etc/{name}"], fix=fix)
                position += len(line) + 1
        for name, rows in self._rows.items():
            for row in map(rows.row, rows.repeated):
                text = f"'{shown(row.name)}' is in /etc/{name} more than once; NSS uses the first"
                fix = "accounts check{R} --fix=repeated-row"
                self._findings.add("repeated-row", text, row.name, [f"/etc/{name}"], fix)

    def _check_members(self) -> None:
        rows = self._rows["group"]
        # A line that ends in an empty field has no members.
        own = [rows.row(index) for index in rows.own if not rows.rows.lines[index].endswith(b":")]
        rows_listing = merge_sorted(own, rows.select(Kind.MEMBERS, Kind.OVERRIDE), key=lambda row: row.position)
        listed = [(row, user) for row in rows_listing for user in dict.fromkeys(row.local.members)]
        if not listed:
            return
        users = first_lines(self._database.passwd.local).keys() | first_lines(self._database.passwd.image).keys()
        for row, user in listed:
            if user in users or user in getattr(row.image, "members", ()) or self._has_user(user):
                continue
            text = f"group '{shown(row.name)}' lists '{shown(user)}', who is no user"
            fix = f"gpasswd{{Q}} -d {quote(user)} {quote(row.name)}"
            self._findings.add("dangling-member", text, row.name, ["/etc/group"], fix)

    def _check_primary_groups(self) -> None:
        rows = self._rows["passwd"]
        groups = self._database.group
        gids = {*read_rows(groups.local).ids, *read_rows(groups.image).ids}
        lines = rows.rows.lines
        lost = [index for index in rows.own if parse_id(lines[index].split(b":", 4)[3]) not in gids]
        for index in merge_sorted(lost, rows.others):
            row = rows.row(index)
            user = row.local
            if row.kind == Kind.EQUAL or user.gid in gids:
                continue
            text = f"user '{shown(user.name)}' has GID {user.gid}, and there is no such group"
            free = self._database.group.get(user.name) is None
            fix = f"groupadd{{R}} -g {user.gid} {quote(user.name)}" if free else ""
            self._findings.add("no-primary-group", text, user.name, ["/etc/passwd"], fix)

    def _check_shadow(self) -> None:
        for name, parent in (("shadow", "passwd"), ("gshadow", "group")):
            layered = self._database.tables[name]
            if not layered.present:
                continue
            local, image = first_lines(layered.local), first_lines(layered.image)
            above = self._database.tables[parent]
            owners = first_lines(above.image) | first_lines(above.local)
            if not self._rows[name].rows.first.keys() <= owners.keys():
                for row in self._rows[name].select(Kind.OWN, Kind.OVERRIDE, Kind.EQUAL):
                    if row.name in owners:
                        continue
                    text = f"/etc/{name} has a row of '{shown(row.name)}', who is in no {parent}"
                    fix = f"accounts check{{R}} --fix=stale-{name}"
                    self._findings.add(f"stale-{name}", text, row.name, [f"/etc/{name}"], fix)
            if name == "shadow":
                if owners.keys() <= local.keys() | image.keys():
                    continue
                for user, line in owners.items():
                    if line.split(b":", 2)[1] == b"x" and user not in local and user not in image:
                        text = f"user '{shown(user)}' has no row in shadow, so that PAM refuses services to it"
                        self._findings.add("missing-shadow", text, user, fix="pwconv{R}")

    def _check_ids(self) -> None:
        """Own ids that the ledger knows for another name; those that the image has now are collisions."""
        for name, key in ID_FIELDS.items():
            owned = {id for kind, _, id in self._ledger.entries if kind == name}
            if not owned:
                continue
            present = id_names(self._database.tables[name].image)
            rows = self._rows[name]
            for index in rows.own:
                number = rows.rows.ids[index]
                if number not in owned or number in present:
                    continue
                row = rows.row(index)
                others = [other for other in self._ledger.holders(name, number) if other != row.name]
                if others:
                    text = f"{key.upper()} {number} of '{shown(row.name)}' belonged to the image's '{shown(others[0])}'"
                    self._findings.add("reused-id", text, row.name, [f"/etc/{name}"], self._renumber(name, row.local))

    def _renumber(self, name: str, row: Any) -> str:
        """The command that gives an own account a free id, its home with it."""
        kind = "UID" if name == "passwd" else "GID"
        used = self._database.tables[name].ids() | self._ledger.ids(name)
        low, high = id_range(kind, getattr(row, kind.lower()) < self._defs.get_ulong(f"{kind}_MIN", 1000), self._defs)
        number = next((number for number in range(low, high + 1) if number not in used), None)
        if number is None:
            return ""
        command = "usermod{R} -u" if name == "passwd" else "groupmod{R} -g"
        return f"{command} {number} {quote(row.name)}"

    def _check_ranges(self) -> None:
        self._check_ranges_of("subuid")
        self._check_ranges_of("subgid")

    def _check_ranges_of(self, name: str) -> None:
        layered = self._database.tables[name]
        rows = [
            (row.start, row.start + row.count - 1, row.name, table is layered.local)
            for table in (layered.image, layered.local)
            for row in table
            if row.count
        ]
        rows.sort(key=lambda row: (row[0], row[3]))
        top = max((last for _, last, _, _ in rows), default=0) + 1
        reach: tuple[int, bytes] | None = None
        for first, last, owner, local in rows:
            if reach is not None and first <= reach[0] and self._user_of(owner) != self._user_of(reach[1]):
                text = f"'{shown(owner)}' and '{shown(reach[1])}' share ids of {first}-{min(last, reach[0])} in {name}"
                fix = ""
                # usermod looks for rows of this very name.
                if local and self._database.passwd.get(owner) is not None:
                    drop, add = ("-V", "-v") if name == "subuid" else ("-W", "-w")
                    new = f"{top}-{top + last - first}"
                    fix = f"usermod{{R}} {drop} {first}-{last} {add} {new} {quote(owner)}"
                    top += last - first + 1
                self._findings.add("subid-overlap", text, owner, [f"/etc/{name}"], fix)
            if reach is None or last > reach[0]:
                reach = last, owner

    def _user_of(self, owner: bytes) -> bytes:
        """The name of whom a range belongs to: subuid(5) has UIDs, too."""
        if owner.isdigit():
            users: list[Any] = self._database.passwd.with_token(b":%s:" % owner)
            return next((row.name for row in users if b"%d" % row.uid == owner), owner)
        return owner

    def _try_rebase(self) -> None:
        told = {(code, name) for code, _, name, *_ in self._findings.made}
        for step in rebase(self._database, known=self._known).steps:
            code, fix = self._judge(step)
            if code and (code, step.name) not in told:
                self._findings.add(code, _describe(step), step.name, [f"/etc/{step.database}"], fix)

    def _judge(self, step: RebaseStep) -> tuple[str, str]:
        """The code of what rebase would do, and the command."""
        name = quote(step.name)
        if step.what == "collision":
            if step.name not in self._images[step.database]:
                return "id-collision", f"accounts rebase{{R}} --move-local {name}"
            return "name-collision", f"accounts rebase{{R}} --take image {name}"
        if step.what == "dropped":
            if step.text == HID_NOTHING:
                return "stale-hide", f"accounts unmask{{R}} {name}"
            if "removed" in step.text:
                return f"stale-{step.database}", f"accounts check{{R}} --fix=stale-{step.database}"
            return "needless-row", "accounts rebase{R}"
        if step.what == "moved":
            return ("stale-gid", "accounts rebase{R}") if step.database == "group" else ("", "")
        plain = {"merged": "stale-override", "based": "no-base"}
        if step.what in plain:
            return plain[step.what], "accounts rebase{R}"
        take = "image" if step.what == "orphan" else "local"
        return step.what, f"accounts rebase{{R}} --take {take} {name}"


def _describe(step: RebaseStep) -> str:
    account = f"{step.database} '{shown(step.name)}'"
    if step.what == "merged":
        return f"{account}: the image has changed {', '.join(step.fields)} under a local change of other fields"
    if step.what == "based":
        return f"{account}: the local row differs from the image's, and nothing says what it was made from"
    if step.what == "moved":
        return f"{account}: {step.text.split(',')[0]}"
    return f"{account}: {step.text}"


def drop_rows(database: Database, codes: Iterable[str]) -> list[str]:
    """Remove the rows that codes are about and whose removal nobody sees. Returns a sentence for each."""
    done = []
    wanted = set(codes)
    if "stale-hide" in wanted:
        before = set(database.hides.rows)
        for layered in database.tables.values():
            layered.forget_needless_hides()
        done += [
            f"stale-hide: {name} '{shown(account)}' is not hidden any more"
            for name, account in sorted(before - database.hides.rows)
        ]
    for name, layered in database.tables.items():
        if name in ("subuid", "subgid"):
            continue
        owners: set[bytes] = set()
        if name in ("shadow", "gshadow"):
            above = database.tables["passwd" if name == "shadow" else "group"]
            owners = {key for table in (above.image, above.local) for key in first_lines(table)}
        for row in local_rows(layered):
            if row.kind == Kind.EQUAL and not is_materialized(database, name, row.name):
                code = "needless-row"
            elif row.kind == Kind.REPEATED:
                code = "repeated-row"
            elif name in ("shadow", "gshadow") and row.name not in owners:
                code = f"stale-{name}"
            else:
                continue
            if code in wanted:
                layered.local.remove_at(row.position)
                if code != "repeated-row":
                    database.base.forget(name, row.name)
                done.append(f"{code}: removed the row of '{shown(row.name)}' from /etc/{name}")
    return done
