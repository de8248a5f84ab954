# SPDX-License-Identifier: MIT
"""pam_accounts.so in front of the pam_unix of password stacks, as pam.d(5) files have them. Pure.

Line by line, so that everything else of a file stays; what pam-auth-update(8) of Debian knows of its own block is
brought along. docs/decisions/pam.md says why the line looks as it does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MODULE = "pam_accounts.so"
UNIX = ("pam_unix.so", "pam_unix_passwd.so")
# Whoever is in neither layer is left to the modules behind; what is refused is refused.
REST = "user_unknown=ignore default=die"
# The name of the profile in pam-configs.
PROFILE = "accounts"
# Words of pam_unix that mean the same here. Hash methods are read from its own line (accounts.system.pam); obscure of
# Debian's pam_unix does nothing (docs/decisions/pam.md), and here it would.
WORDS = ("use_authtok", "try_first_pass", "use_first_pass", "nodelay", "debug")
VALUES = ("minlen=", "authtok_type=")
FIRST_WORDS = ("use_authtok", "try_first_pass")
_LINE = re.compile(
    r"(?P<type>-?password)(?P<gap>[ \t]+)(?P<control>\[[^\]]*\]|\S+)[ \t]+(?P<module>\S+)(?P<rest>.*)", re.I
)
_JUMP = re.compile(r"(?<==)\d+(?=[\s\]])")
_SAVED = re.compile(r"^Module: (.*)\n", re.M)


@dataclass
class Stack:
    """The password lines of a file. lines: all lines of it, without newline. places: those of password lines."""

    lines: list[str]
    places: list[int] = field(default_factory=list)

    def modules(self) -> list[str]:
        """The module of each password line; "" for an include."""
        return [_module(self.lines[place]) for place in self.places]


def parse_stack(text: bytes) -> Stack:
    """The lines of a pam.d(5) file."""
    stack = Stack(text.decode("utf-8", "surrogateescape").split("\n"))
    stack.places = [number for number, line in enumerate(stack.lines) if _LINE.fullmatch(line.strip())]
    return stack


def find_faults(text: bytes) -> list[str]:
    """The modules of pam_unix that are asked for a password without pam_accounts having been asked before."""
    modules = parse_stack(text).modules()
    return [name for number, name in enumerate(modules) if name in UNIX and MODULE not in modules[:number]]


def names_module(text: bytes) -> bool:
    """Whether a file has pam_accounts in any stack of it."""
    return any(MODULE in line.split("#")[0] for line in text.decode("utf-8", "surrogateescape").split("\n"))


def add_module(text: bytes) -> bytes:
    """A pam.d(5) file in which pam_accounts is asked before pam_unix; the same text where it is, or has no pam_unix.

    Raises ValueError for a stack that does not say where it goes on after pam_unix.
    """
    stack = parse_stack(text)
    modules = stack.modules()
    if MODULE in modules or not any(name in UNIX for name in modules):
        return text
    at = next(number for number, name in enumerate(modules) if name in UNIX)
    place = stack.places[at]
    found = _LINE.fullmatch(stack.lines[place].strip())
    assert found is not None
    control, permit = _control_before(found["control"])
    words = [word for word in found["rest"].split() if word in WORDS or word.startswith(VALUES)]
    line = "\t".join([found["type"].removeprefix("-"), control, " ".join([MODULE, *words])])
    # Jumps over pam_unix are longer by our line, those behind the one that we put there by two.
    for number in range(at):
        stack.lines[stack.places[number]] = _lengthen(stack.lines[stack.places[number]], at - number, permit)
    if permit:
        stack.lines.insert(place + 1, f"{found['type'].removeprefix('-')}\trequired\tpam_permit.so")
    stack.lines.insert(place, line)
    return "\n".join(stack.lines).encode("utf-8", "surrogateescape")


def _module(line: str) -> str:
    found = _LINE.fullmatch(line.strip())
    if found is None or found["control"].lower() in ("include", "substack"):
        return ""
    return found["module"].rpartition("/")[2]


def _control_before(control: str) -> tuple[str, bool]:
    """(the control of the line before pam_unix, whether it needs a line behind pam_unix to jump to)."""
    word = control.lower()
    if word == "sufficient":
        return f"[success=done {REST}]", False
    if word in ("required", "requisite"):
        return f"[success=1 {REST}]", True
    actions = dict(pair.split("=", 1) for pair in word.strip("[]").split() if "=" in pair)
    success = actions.get("success", actions.get("default", ""))
    if success.isdigit():
        return f"[success={int(success) + 1} {REST}]", False
    if success == "done":
        return f"[success=done {REST}]", False
    if success == "ok":
        return f"[success=1 {REST}]", True
    raise ValueError(f"{control} does not say what follows the success of pam_unix")


def _lengthen(line: str, distance: int, permit: bool) -> str:
    """A line before pam_unix, distance lines away from it, whose jumps over it go to where they went."""
    found = _LINE.fullmatch(line.strip())
    assert found is not None
    if not found["control"].startswith("["):
        return line

    def longer(jump: re.Match[str]) -> str:
        target = int(jump[0]) + 1
        return str(int(jump[0]) + (target > distance) + (permit and target > distance + 1))

    return line.replace(found["control"], _JUMP.sub(longer, found["control"]), 1)


# Pam-auth-update(8)


def is_managed(text: bytes, saved: bytes) -> bool:
    """Whether a file's block is what pam-auth-update has written down of it, so that it goes on with it.

    saved: /var/lib/pam/password, "Module: NAME" and its lines. Options do not matter, nor how far jumps go.
    """
    return [_shape(line) for line in _block(text)] == [_shape(line) for _, line in _saved_lines(saved)]


def add_profile(text: bytes, saved: bytes) -> tuple[bytes, bytes]:
    """(common-password, /var/lib/pam/password) with our profile, as pam-auth-update would enable it.

    Where pam_unix was the first to ask for a password it gets the words of those that come later.
    """
    names = [name for name, _ in _saved_lines(saved)]
    first = bool(names) and names[0] == "unix"
    new = add_module(text)
    if new == text:
        return text, saved
    ours = next(line for line in _block(new) if MODULE in line)
    ours = re.sub(r"success=\d+", "success=end", re.sub(r"^password[ \t]+", "", ours))
    before, header, behind = saved.decode("utf-8", "surrogateescape").partition("Module: unix\n")
    if first:
        new = re.sub(
            rb"^(password[ \t]+\[[^\]]*\][ \t]+pam_unix\.so\b.*?)[ \t]*$", _add_first_words, new, count=1, flags=re.M
        )
        behind = re.sub(r"^(.*\bpam_unix\.so\b.*?)[ \t]*$", _add_first_words_text, behind, count=1, flags=re.M)
    return new, f"{before}Module: {PROFILE}\n{ours}\n{header}{behind}".encode("utf-8", "surrogateescape")


def _add_first_words(found: re.Match[bytes]) -> bytes:
    have = found[1].split()
    return b" ".join([found[1], *(word.encode() for word in FIRST_WORDS if word.encode() not in have)])


def _add_first_words_text(found: re.Match[str]) -> str:
    have = found[1].split()
    return " ".join([found[1], *(word for word in FIRST_WORDS if word not in have)])


def _block(text: bytes) -> list[str]:
    """The lines of pam-auth-update's two blocks of common-password."""
    lines, inside = [], False
    for line in text.decode("utf-8", "surrogateescape").split("\n"):
        if line.startswith(("# here are the per-package modules", "# and here are more per-package")):
            inside = True
        elif line.startswith(("# here's the fallback", "# end of pam-auth-update config")):
            inside = False
        elif inside and line.strip():
            lines.append(line)
    return lines


def _saved_lines(saved: bytes) -> list[tuple[str, str]]:
    """(name of the profile, line) for each line that was written down."""
    pieces = _SAVED.split(saved.decode("utf-8", "surrogateescape"))
    return [
        (name, line)
        for name, lines in zip(pieces[1::2], pieces[2::2], strict=True)
        for line in lines.split("\n")
        if line.strip()
    ]


def _shape(line: str) -> str:
    """Control without the length of its jumps, and module."""
    words = re.sub(r"^password[ \t]+", "", line.strip())
    found = re.match(r"(\[[^\]]*\]|\S+)[ \t]+(\S+)", words)
    return "" if found is None else re.sub(r"=(\d+|end)\b", "=", found[1]) + " " + found[2]
