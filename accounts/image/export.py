# SPDX-License-Identifier: MIT
"""`accounts image export`: the accounts of an image as sysusers.d(5) lines or systemd's userdb JSON.

For programs and systems that take accounts in these forms. Reads the root, writes only below the directory
that is given; the same root gives the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accounts.errors import BadArgument
from accounts.image.layers import Layers
from accounts.image.seed import sort_rows
from accounts.image.sysusers import is_gecos, is_id, is_name, is_path
from accounts.image.tree import Tree
from accounts.model.database import Database
from accounts.model.records import Group, Passwd, Shadow

SYSUSERS_FILE = "accounts.conf"
DAY_USEC = 86400 * 1_000_000
# What systemd puts behind a user or group by its id (user-record.c: user_record_disposition).
NOBODY = 65534
SYSTEM_MAX = 999
CONTAINER = range(0x80000, 0x6FFF0000)
DYNAMIC = range(61184, 65520)


def export_sysusers(root: Path, directory: Path) -> list[str]:
    """Write DIRECTORY/accounts.conf, which makes the same users, groups and members with the same ids.

    Returns what sysusers.d cannot say, a sentence each: it makes every password locked, for one. Raises
    BadArgument, OSError.
    """
    view = _load(root)
    lines, lost = _sysusers_lines(view)
    directory.mkdir(parents=True, exist_ok=True)
    header = "# Made by accounts image export: the accounts of an image, see sysusers.d(5).\n"
    text = header + "".join(line + "\n" for line in lines)
    (directory / SYSUSERS_FILE).write_bytes(os.fsencode(text))
    return lost


def export_userdb(root: Path, directory: Path) -> list[str]:
    """Write the JSON drop-ins of nss-systemd and userdbctl(1), for /usr/lib/userdb or /etc/userdb.

    NAME.user, UID.user -> NAME.user, NAME.group, GID.group, USER:GROUP.membership; hashes go to
    NAME.user-privileged and NAME.group-privileged, 0600, which only root may read. Files of an earlier
    export that no account has any more are removed. Returns what the records cannot say. Raises BadArgument
    for names that cannot be file names, OSError.
    """
    view = _load(root)
    files, links, lost = _userdb_files(view)
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        if old.name not in files and old.name not in links and _is_record(old.name):
            old.unlink()
    for name, record in sorted(files.items()):
        secret = name.endswith("-privileged")
        text = b"" if record is None else json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n"
        _write(directory / name, text, 0o600 if secret else 0o644)
    for name, text_of_link in sorted(links.items()):
        (directory / name).unlink(missing_ok=True)
        (directory / name).symlink_to(text_of_link)
    return lost


def _load(root: Path) -> Database:
    with Tree(root) as tree:
        return Layers(tree, root).view


def _users(view: Database) -> list[Passwd]:
    return sort_rows("passwd", list(view.passwd))


def _groups(view: Database) -> list[Group]:
    return sort_rows("group", list(view.group))


def _members(view: Database, groups: list[Group]) -> Iterator[tuple[bytes, bytes]]:
    for group in groups:
        for member in sorted(set(group.members)):
            yield member, group.name


def _text(value: bytes) -> str:
    return os.fsdecode(value)


# Sysusers.d


def _sysusers_lines(view: Database) -> tuple[list[str], list[str]]:
    users, groups = _users(view), _groups(view)
    lost: list[str] = []
    sayable_groups = _sayable("group", groups, "gid", lost)
    gids = {group.gid: group.name for group in sayable_groups}
    sayable_users = []
    for user in _sayable("user", users, "uid", lost):
        if user.gid in gids:
            sayable_users.append(user)
        else:
            lost.append(
                f"user '{_text(user.name)}': no group has its GID {user.gid}, and sysusers.d would not make the user"
            )
    # A user with a group of its name and number needs one line; but not where others are in it, too.
    primary: dict[int, int] = {}
    for user in sayable_users:
        primary[user.gid] = primary.get(user.gid, 0) + 1
    own = {user.name for user in sayable_users if user.uid == user.gid and gids[user.gid] == user.name}
    lines = []
    for group in sayable_groups:
        if group.name not in own or primary[group.gid] > 1:
            lines.append(f"g {_quote(group.name)} {group.gid}")
        secret = view.gshadow.get(group.name)
        if _opens_login(secret.passwd if secret is not None else group.passwd):
            lost.append(f"group '{_text(group.name)}' has a password")
    for user in sayable_users:
        name = _text(user.name)
        fields = [str(user.uid) if user.name in own else f"{user.uid}:{user.gid}"]
        fields += [_sayable_field(user, field, lost) for field in ("gecos", "home", "shell")]
        while fields[-1] == "-":
            fields.pop()
        lines.append(" ".join(["u", _quote(user.name), *fields]))
        shadow = view.shadow.get(user.name)
        if shadow is not None and (_opens_login(shadow.passwd) or not shadow.passwd):
            lost.append(f"user '{name}' has a password")
    names = {user.name for user in sayable_users}
    for member, group_name in _members(view, sayable_groups):
        if member in names:
            lines.append(f"m {_quote(member)} {_quote(group_name)}")
        else:
            lost.append(f"group '{_text(group_name)}': its member '{_text(member)}' is no user")
    return lines, lost


def _sayable(kind: str, rows: list[Any], attribute: str, lost: list[str]) -> list[Any]:
    """The rows that a line can make: names and ids that systemd takes, each id once."""
    seen: dict[int, bytes] = {}
    sayable = []
    for row in rows:
        name, id = _text(row.name), getattr(row, attribute)
        if not is_name(name):
            lost.append(f"{kind} '{name}': systemd-sysusers refuses the name")
        elif not is_id(str(id)):
            lost.append(f"{kind} '{name}': systemd-sysusers refuses the id {id}")
        elif id in seen:
            other = _text(seen[id])
            lost.append(f"{kind} '{name}' has the id {id} of '{other}': systemd-sysusers gives it another one")
        else:
            seen[id] = row.name
            sayable.append(row)
    return sayable


def _sayable_field(user: Passwd, field: str, lost: list[str]) -> str:
    """A field of a user's line; "-" for what sysusers.d cannot say, or says by itself."""
    value, name = getattr(user, field), _text(user.name)
    text = _text(value)
    if field == "gecos" and (text == "-" or not is_gecos(text)):
        lost.append(f"user '{name}' has the description '{text}', which sysusers.d cannot say")
        return "-"
    if field == "home" and not is_path(text):
        lost.append(f"user '{name}' has the home '{text}': sysusers.d has plain absolute paths only")
        return "-"
    if field == "shell" and not text:
        lost.append(f"user '{name}' has no shell: sysusers.d gives it one")
    elif field == "shell" and not is_path(text):
        lost.append(f"user '{name}' has the shell '{text}': sysusers.d has plain absolute paths only")
        return "-"
    return _quote(value)


def _quote(value: bytes) -> str:
    """A field of sysusers.d(5): % is a specifier, blanks need quotes, inside of which C escapes hold."""
    text = _text(value).replace("%", "%%")
    if not text:
        return "-"
    if any(c in " \t\"'\\" for c in text) or text in ("-",):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


# Userdb


def _userdb_files(view: Database) -> tuple[dict[str, dict[str, Any] | None], dict[str, str], list[str]]:
    """(file name -> JSON object, None for an empty file; link name -> text; what is lost)."""
    files: dict[str, dict[str, Any] | None] = {}
    links: dict[str, str] = {}
    lost: list[str] = []
    for user in _users(view):
        name = _file_name(user.name)
        secret = view.shadow.get(user.name)
        files[f"{name}.user"] = _user_record(user, secret)
        _link(links, lost, f"{user.uid}.user", f"{name}.user")
        hashed = secret.passwd if secret is not None else user.passwd
        if not hashed or _opens_login(hashed):
            files[f"{name}.user-privileged"] = {"privileged": {"hashedPassword": [_text(hashed)]}}
            _link(links, [], f"{user.uid}.user-privileged", f"{name}.user-privileged")
    groups = _groups(view)
    for group in groups:
        name = _file_name(group.name)
        files[f"{name}.group"] = {
            "groupName": name, "gid": group.gid, "disposition": _disposition(group.gid)
        }  # fmt: skip
        _link(links, lost, f"{group.gid}.group", f"{name}.group")
        row = view.gshadow.get(group.name)
        hashed = row.passwd if row is not None else group.passwd
        if row is not None and row.admins:
            files[f"{name}.group"] = {
                **(files[f"{name}.group"] or {}), "administrators": [_text(admin) for admin in row.admins]
            }  # fmt: skip
        if _opens_login(hashed):
            files[f"{name}.group-privileged"] = {"privileged": {"hashedPassword": [_text(hashed)]}}
            _link(links, [], f"{group.gid}.group-privileged", f"{name}.group-privileged")
    for member, name_of_group in _members(view, groups):
        files[f"{_file_name(member)}:{_file_name(name_of_group)}.membership"] = None
    for name, record in files.items():
        _drop_undecodable(record or {}, name, lost)
    return files, links, lost


def _drop_undecodable(record: dict[str, Any], where: str, lost: list[str]) -> None:
    """Leave out of a record the fields that are not UTF-8: JSON cannot say them."""
    for field, value in list(record.items()):
        if isinstance(value, dict):
            _drop_undecodable(value, where, lost)
        elif not all(map(_is_utf8, value if isinstance(value, list) else [str(value)])):
            lost.append(f"{where}: {field} is not UTF-8")
            del record[field]


def _is_utf8(text: str) -> bool:
    return not any("\udc80" <= char <= "\udcff" for char in text)


def _user_record(user: Passwd, secret: Shadow | None) -> dict[str, Any]:
    """The record as systemd makes it of a passwd and a shadow row (user-record-nss.c), so both agree."""
    record: dict[str, Any] = {
        "userName": _text(user.name),
        "uid": user.uid,
        "gid": user.gid,
        "disposition": _disposition(user.uid),
    }
    if user.gecos and user.gecos != user.name:
        record["realName"] = _text(user.gecos)
    if user.home.startswith(b"/"):
        record["homeDirectory"] = _text(user.home)
    if user.shell.startswith(b"/"):
        record["shell"] = _text(user.shell)
    if secret is None:
        return record
    if secret.expire >= 0:
        record["locked"] = secret.expire <= 1
    if secret.expire > 1:
        record["notAfterUSec"] = secret.expire * DAY_USEC
    if secret.lstchg >= 0:
        record["passwordChangeNow"] = secret.lstchg == 0
    for field, days in (
        ("lastPasswordChangeUSec", secret.lstchg), ("passwordChangeMinUSec", secret.min),
        ("passwordChangeMaxUSec", secret.max), ("passwordChangeWarnUSec", secret.warn),
        ("passwordChangeInactiveUSec", secret.inactive),
    ):  # fmt: skip
        if days > 0:
            record[field] = days * DAY_USEC
    return record


def _disposition(number: int) -> str:
    if number in (0, NOBODY):
        return "intrinsic"
    if number <= SYSTEM_MAX:
        return "system"
    if number in DYNAMIC:
        return "dynamic"
    return "container" if number in CONTAINER else "regular"


def _opens_login(password: bytes) -> bool:
    """Whether somebody can log in with it: not locked, invalid, empty or in another file."""
    return bool(password) and password[:1] not in (b"!", b"*") and password != b"x"


def _link(links: dict[str, str], lost: list[str], name: str, target: str) -> None:
    if links.setdefault(name, target) != target:
        kind = "UID" if ".user" in name else "GID"
        lost.append(f"{target} has the {kind} of {links[name]}, which is found by it")


def _file_name(name: bytes) -> str:
    if not name or b"/" in name or b"\0" in name or b":" in name or name.startswith(b".") or not _is_utf8(_text(name)):
        raise BadArgument(f"'{_text(name)}' cannot be a file name of userdb")
    return _text(name)


def _is_record(name: str) -> bool:
    return name.endswith((".user", ".group", ".membership", ".user-privileged", ".group-privileged"))


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file; it never has a wider mode than it should, not even for a moment."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(content)
        os.fchmod(fd, mode)
