# SPDX-License-Identifier: MIT
"""`accounts image wire --pam`: pam_accounts.so where passwords are changed, and the check that it is there.

In pam.d itself; on Debian beside what pam-auth-update(8) keeps, so that it goes on from there; where authselect(8)
makes the files of pam.d, as a profile of it.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from accounts.errors import BadArgument
from accounts.image import pam
from accounts.image.module import SUBID_PLUGIN, find_libraries
from accounts.image.nsswitch import lead_template
from accounts.image.passwordstack import (
    MODULE,
    PROFILE,
    add_module,
    add_profile,
    find_faults,
    is_managed,
    names_module,
    parse_stack,
)
from accounts.image.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.image.tree import Tree
    from accounts.image.wire import Wired

DIRECTORIES = ("/etc/pam.d", "/usr/lib/pam.d")
TOOL = "/usr/bin/accounts"
COMMON = "common-password"
PAM_CONFIGS = "/usr/share/pam-configs"
SAVED, SEEN = "/var/lib/pam/password", "/var/lib/pam/seen"
AUTHSELECT = "/usr/share/authselect"
# What `authselect select` has been told, its profile in the first line.
CHOSEN = "/etc/authselect/authselect.conf"
README = """\
Users of the image and of this machine
======================================

The {base} profile, with pam_accounts in front of pam_unix where passwords are changed:
users whose rows are in /usr/lib/passwd and /usr/lib/shadow change theirs, too. nsswitch.conf
finds them whether or not with-altfiles is selected.

Made by `accounts image wire --pam`.
"""


def check_module(tree: Reader) -> None:
    """Raise BadArgument where the root lacks the module, or the tool that it calls."""
    for fault in _module_faults(tree):
        raise BadArgument(f"{fault}: install it first, nobody could change a password without")


def _module_faults(tree: Reader) -> Iterator[str]:
    if not find_libraries(tree, f"security/{MODULE}"):
        yield f"the root has no security/{MODULE}"
    elif tree.lstat(TOOL) is None:
        yield f"the root has no {TOOL}, which {MODULE} calls"


def find_stacks(tree: Reader) -> Iterator[tuple[str, bytes]]:
    """(path, text) of the files of pam.d that are no links."""
    for directory in DIRECTORIES:
        for name in tree.names(directory):
            status = tree.lstat(f"{directory}/{name}")
            if status is not None and stat.S_ISREG(status.st_mode):
                try:
                    yield f"{directory}/{name}", tree.read(f"{directory}/{name}")
                except OSError:
                    continue


def is_wired(tree: Reader) -> bool:
    """Whether pam_accounts is in some password stack, and so no expired password needs the helper (image/pam.py)."""
    return any(MODULE in parse_stack(text).modules() for _, text in find_stacks(tree))


def check_stacks(tree: Reader, complain: Callable[[str, str, str], None]) -> None:
    """Complain of each fault: code, message, path. Nothing is wrong with a root that has pam_accounts nowhere."""
    stacks = list(find_stacks(tree))
    users = [path for path, text in stacks if names_module(text)]
    if not users:
        return
    for fault in _module_faults(tree):
        complain("pam-module", f"{users[0]} asks {MODULE} for passwords, and {fault}", users[0])
    for path, text in stacks:
        for name in find_faults(text)[:1]:
            complain("pam-stack", f"{path} asks {name} for a new password before {MODULE}, or without it", path)


def wire_pam(tree: Tree, result: Wired, profile: bytes) -> None:
    """Put the module into the password stacks, and take the helper's line away. Raises OSError.

    profile: what pam-auth-update is to know of it.
    """
    write_profile(tree, result, profile)
    for path, text in list(find_stacks(tree)):
        name = path.rpartition("/")[2]
        try:
            new = _add_managed(tree, text, result) if name == COMMON else add_module(text)
        except ValueError as error:
            result.notes.append(f"{path} stays as it is: {error}")
            continue
        new = pam.drop_helper(new)
        if tree.write(path, new):
            result.changed.append(path)
    if tree.lstat(CHOSEN) is not None and not is_wired(tree):
        result.notes.append(f"pam.d is authselect's: authselect select {PROFILE} --force, with the features it has now")


def write_profile(tree: Tree, result: Wired, profile: bytes) -> None:
    """The profile for those who make the files of pam.d: pam-auth-update, authselect."""
    files = {}
    if tree.lstat(PAM_CONFIGS) is not None:
        files[f"{PAM_CONFIGS}/{PROFILE}"] = profile
    base = _base_profile(tree)
    for name in tree.names(f"{AUTHSELECT}/default/{base}"):
        text = tree.read(f"{AUTHSELECT}/default/{base}/{name}")
        if name == "README":
            text = README.format(base=base).encode()
        elif name == "nsswitch.conf":
            text = lead_template(text, subids=bool(find_libraries(tree, SUBID_PLUGIN)))
        elif name.endswith("-auth"):
            text = add_module(text)
        files[f"{AUTHSELECT}/vendor/{PROFILE}/{name}"] = text
    result.changed += [path for path, content in files.items() if tree.write(path, content)]


def _base_profile(tree: Reader) -> str:
    """The profile that authselect has been told, else its default one; of ours, the one that it was made of."""
    try:
        chosen = tree.read(CHOSEN).split(b"\n")[0].decode("utf-8", "replace")
        if chosen == PROFILE:
            made_of = re.search(rb"^The (\S+) profile", tree.read(f"{AUTHSELECT}/vendor/{PROFILE}/README"), re.M)
            chosen = made_of[1].decode("utf-8", "replace") if made_of else ""
    except OSError:
        chosen = ""
    return chosen if chosen and "/" not in chosen and tree.names(f"{AUTHSELECT}/default/{chosen}") else "local"


def _add_managed(tree: Tree, text: bytes, result: Wired) -> bytes:
    """common-password with the module; where the file is as pam-auth-update left it, that is told."""
    try:
        saved, seen = tree.read(SAVED), tree.read(SEEN)
    except OSError:
        return add_module(text)
    if names_module(text) or not is_managed(text, saved):
        return add_module(text)
    new, newly_saved = add_profile(text, saved)
    if PROFILE.encode() not in seen.split(b"\n"):
        seen += PROFILE.encode() + b"\n"
    result.changed += [path for path, content in ((SAVED, newly_saved), (SEEN, seen)) if tree.write(path, content)]
    return new
