# SPDX-License-Identifier: MIT
"""sysusers.d(5) lines and userdb JSON records (systemd.io/USER_RECORD) as declarations. Pure: takes bytes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from accounts.errors import BadArgument
from accounts.image.importer import LOCKED, NOLOGIN
from accounts.image.specifiers import Specifiers
from accounts.image.sysusers import SysusersLine, expand_file, is_id
from accounts.machine.applytoml import quote
from accounts.machine.declaration import EPOCH, Declaration

DAY_USEC = 86_400_000_000
_DAYS = {
    "passwordChangeMinUSec": "mindays", "passwordChangeMaxUSec": "maxdays", "passwordChangeWarnUSec": "warndays",
    "passwordChangeInactiveUSec": "inactive",
}  # fmt: skip
# Of systemd's dispositions, those whose accounts are system accounts to shadow.
_SYSTEM = ("intrinsic", "system", "dynamic", "container", "reserved")
_RECORDS = (".user", ".group", ".user-privileged", ".group-privileged")
RECORDS = (*_RECORDS, ".membership")


# sysusers.d


def take_sysusers(declaration: Declaration, data: bytes, source: str, specifiers: Specifiers) -> None:
    """Add the lines of a file. As there, what a line makes gets systemd's defaults. Raises BadArgument."""
    for where, line in expand_file(data.decode("utf-8", "surrogateescape"), source, specifiers):
        if line.kind == "r":
            declaration.notes.append(f"{where}: ranges of ids are those of login.defs; the line is passed over")
        else:
            _take_line(declaration, line, where)


def _take_line(declaration: Declaration, line: SysusersLine, where: str) -> None:
    document: dict[str, Any] = {}
    if line.kind == "g":
        document["groups"] = {line.name: _fixed_id(declaration, line, where, "gid")}
    elif line.kind == "u":
        values = _fixed_id(declaration, line, where, "uid")
        if line.group:
            values["gid"] = int(line.group) if is_id(line.group) else line.group
        values |= {key: getattr(line, key) for key in ("gecos", "home", "shell") if getattr(line, key)}
        values |= {"locked": True} if line.flag else {}
        document["users"] = {line.name: values}
    else:
        document = {"users": {line.name: {"groups": [line.id]}}, "groups": {line.id: {}}}
    declaration.take(document, lambda path: f"{where}: {'.'.join(path)}")
    for kind, names in document.items():
        for name in names:
            entry = getattr(declaration, kind)[name.encode()]
            entry.initial.setdefault("system", True)
            if kind == "users":
                entry.initial.setdefault("home", b"/")
                entry.initial.setdefault("shell", NOLOGIN)
                entry.initial.setdefault("password", LOCKED)


def _fixed_id(declaration: Declaration, line: SysusersLine, where: str, key: str) -> dict[str, Any]:
    if line.id.startswith("/"):
        declaration.notes.append(
            f"{where}: the owner of {line.id} is not asked for an id; '{line.name}' gets a free one"
        )
    return {} if line.uid is None else {key: line.uid}


# userdb


def take_record(declaration: Declaration, data: bytes, name: str, source: str) -> None:
    """Add a record of userdb. name: of its file, which says what it is. Raises BadArgument."""
    stem, _, kind = name.rpartition(".")
    if stem.isdigit():
        # The record of a name by its id, a link as a rule.
        return
    if kind == "membership":
        user, colon, group = stem.partition(":")
        if not colon:
            raise BadArgument(f"{source}: the name of a membership is USER:GROUP.membership")
        _take(declaration, {"users": {user: {"groups": [group]}}}, source)
        return
    record = _parse_json(data, source)
    secret = record if kind.endswith("privileged") else {}
    field = "userName" if kind.startswith("user") else "groupName"
    owner = record.get(field, stem) if secret else record.get(field)
    if not isinstance(owner, str):
        raise BadArgument(f"{source}: {field} must be a text")
    if kind.startswith("group"):
        _take_group(declaration, record, owner, source)
        return
    values: dict[str, Any] = {} if secret else _user_values(record, source)
    hashes = _part(record, "privileged", source).get("hashedPassword")
    if hashes:
        values["password"] = hashes[0] if isinstance(hashes, list) else hashes
    _take(declaration, {"users": {owner: values}}, source)


def _take_group(declaration: Declaration, record: dict[str, Any], owner: str, source: str) -> None:
    values: dict[str, Any] = {key: record[key] for key in ("gid", "members") if key in record}
    if record.get("disposition") in _SYSTEM:
        values["system"] = True
    if record.get("administrators") or _part(record, "privileged", source).get("hashedPassword"):
        declaration.notes.append(f"{source}: passwords and administrators of groups are passed over")
    _take(declaration, {"groups": {owner: values}}, source)


def _user_values(record: dict[str, Any], source: str) -> dict[str, Any]:
    names = {"uid": "uid", "gid": "gid", "realName": "gecos", "homeDirectory": "home", "shell": "shell"}
    values = {key: record[field] for field, key in names.items() if field in record}
    for field, key in (("memberOf", "groups"), ("locked", "locked")):
        if field in record:
            values[key] = record[field]
    for field, key in _DAYS.items():
        if field in record:
            values[key] = _day(record[field], f"{source}: {field}")
    if "notAfterUSec" in record:
        last = _day(record["notAfterUSec"], f"{source}: notAfterUSec")
        try:
            values["expiredate"] = (EPOCH + timedelta(days=last)).isoformat()
        except OverflowError:
            values["expiredate"] = "never"
    if record.get("disposition") in _SYSTEM:
        values["system"] = True
    return values


def _day(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadArgument(f"{where} must be a number of microseconds")
    return value // DAY_USEC


def _part(record: dict[str, Any], key: str, source: str) -> dict[str, Any]:
    value = record.get(key, {})
    if not isinstance(value, dict):
        raise BadArgument(f"{source}: {key} must be an object")
    return value


def _parse_json(data: bytes, source: str) -> dict[str, Any]:
    try:
        record = json.loads(data.decode() or "{}")
    except RecursionError:
        raise BadArgument(f"{source}: nested too deeply") from None
    except UnicodeDecodeError:
        raise BadArgument(f"{source}: not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadArgument(f"{source}:{error.lineno}: {error.msg}") from None
    except ValueError:
        raise BadArgument(f"{source}: a number of too many digits") from None
    if not isinstance(record, dict):
        raise BadArgument(f"{source}: must be an object")
    return record


def _take(declaration: Declaration, document: dict[str, Any], source: str) -> None:
    declaration.take(document, lambda path: f"{source}: {'.'.join(map(quote, path))}")
