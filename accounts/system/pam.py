# SPDX-License-Identifier: MIT
"""How PAM would hash a new password: what the `password` line of pam_unix in a service's stack says. Only reads.

Sources: pam.d(5), pam_unix(8), and what pam_unix of Linux-PAM 1.5.2 and 1.7.0 did when asked
(tests/e2e/test_hash_method.py). Not on the hot path.
"""

from __future__ import annotations

import re

from accounts.model.records import LONG_MAX
from accounts.model.release import DEFAULT
from accounts.system.hashing import COSTS, MAX_LENGTH, METHODS, HashSettings, hash_many, preferred_method, settings_from
from accounts.system.target import LOGIN_DEFS
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accounts.model.release import Release
    from accounts.system.known import Facts
    from accounts.system.logindefs import LoginDefs
    from accounts.system.target import Target

    # Line of the input, user, password in clear; and in its place a hash, or what pam_unix says.
    Row = tuple[int, bytes, bytes]
    Token = tuple[int, bytes, bytes | str]

    # Control, name of the module, its arguments.
    Line = tuple[bytes, bytes, list[bytes]]

DIRECTORIES = (b"etc/pam.d/", b"usr/lib/pam.d/", b"usr/etc/pam.d/")
ACCOUNTS = b"pam_accounts.so"
MAX_DEPTH = 16  # of includes, as libpam's
MODULES = (b"pam_unix.so", b"pam_unix_passwd.so")
# What an option or ENCRYPT_METHOD has to begin with; methods as in hashing.METHODS.
METHOD_OF = {
    b"md5": "MD5", b"bigcrypt": "BIGCRYPT", b"sha256": "SHA256", b"sha512": "SHA512", b"blowfish": "BCRYPT",
    b"gost_yescrypt": "GOST_YESCRYPT", b"yescrypt": "YESCRYPT",
}  # fmt: skip
# pam_unix asks so often for something better than nothing.
TRIES = 3
_TOKEN = re.compile(rb"\[((?:\\\]|[^\]])*)\]|(\S+)")
_INTEGER = re.compile(rb"\s*[+-]?0*\d{1,10}")
INT_MIN, INT_MAX = -0x80000000, 0x7FFFFFFF


def settings_for(target: Target, service: str, login_defs: LoginDefs, release: Release = DEFAULT) -> HashSettings:
    """The settings that a new password set through a PAM service gets.

    Where neither PAM nor login.defs names a method it is the one that libxcrypt prefers: eight characters of DES,
    pam_unix's own default, only where login.defs asks for DES. release: of shadow; Linux-PAM is taken to be as old.
    Raises ConfigError.
    """
    options = unix_options(target, service.encode())
    if options is not None:
        settings = unix_settings(options, target.read_layered(LOGIN_DEFS) or b"", release)
        if settings is not None:
            return settings
    method = login_defs.get("ENCRYPT_METHOD")
    named = login_defs.get_bool("MD5_CRYPT_ENAB") if method is None else fsdecode(method) in METHODS
    if named:
        return settings_from(login_defs)
    return default_settings(preferred_method())


def make_tokens(facts: Facts, service: str, entries: Sequence[Row], is_root: bool) -> list[Token]:
    """What becomes of new passwords given in clear through a PAM service: for each its hash, or what pam_unix says.

    pam_unix asks a caller who is not root for the old password, and gets none. Hashing takes long, and needs no lock.
    """
    usable = [plain for _, _, plain in entries if is_root and 0 < len(plain) <= MAX_LENGTH]
    made: list[bytes] = []
    if usable:
        made = hash_many(usable, settings_for(facts.target, service, facts.defs, facts.release))
    hashes = iter(made)
    tokens: list[Token] = []
    for number, name, plain in entries:
        token: bytes | str
        if not is_root:
            token = ""
        elif not plain:
            token = "No password has been supplied.\n" * TRIES
        elif len(plain) > MAX_LENGTH:
            token = f"failed to crypt password: it is longer than {MAX_LENGTH} bytes\n"
        else:
            token = next(hashes)
        tokens.append((number, name, token))
    return tokens


def default_settings(method: str) -> HashSettings:
    """A method at its default cost."""
    cost = COSTS[method][2] if method in COSTS else 0
    return HashSettings(method, cost, cost)


def has_pam_accounts(target: Target) -> bool:
    """Whether users of the image change their passwords at the login: login(1), or any service, asks pam_accounts.

    Raises ConfigError.
    """
    stack = list(_stack(target, b"login", 0)) or _stack(target, b"other", 0)
    return any(module.rpartition(b"/")[2] == ACCOUNTS for _, module, _ in stack)


# Pam.d(5)


def unix_options(target: Target, service: bytes) -> list[bytes] | None:
    """The options of the pam_unix that sets the password, if all modules succeed; None when there is none.

    Raises ConfigError.
    """
    found = None
    skip = 0
    for control, module, options in list(_stack(target, service, 0)) or _stack(target, b"other", 0):
        if skip:
            skip -= 1
        elif module.rpartition(b"/")[2] in MODULES:
            found = options
            action = _success(control)
            if action in (b"done", b"die", b"end"):
                break
            if action.isdigit():
                skip = int(action[:4])
    return found


def modules(target: Target, service: bytes) -> list[bytes]:
    """The names of the modules that a service's `password` stack has, wherever they are. Raises ConfigError."""
    lines = list(_stack(target, service, 0)) or _stack(target, b"other", 0)
    return [module.rpartition(b"/")[2] for _, module, _ in lines]


def _success(control: bytes) -> bytes:
    """What a control makes of success: ok, done, a number of modules to skip."""
    if b"=" not in control:
        return b"done" if control.lower() == b"sufficient" else b"ok"
    actions = dict(pair.split(b"=", 1) for pair in control.lower().split() if b"=" in pair)
    return actions.get(b"success", actions.get(b"default", b"ok"))


def _stack(target: Target, name: bytes, depth: int) -> Iterator[Line]:
    """The password lines of a file and of what it includes, in their order."""
    for line in _lines(_read(target, name)) if depth < MAX_DEPTH else ():
        words = [bracketed or word for bracketed, word in _TOKEN.findall(line)]
        if words[0].lower() == b"@include" and len(words) > 1:
            yield from _stack(target, words[1], depth + 1)
        elif words[0].lower().removeprefix(b"-") == b"password" and len(words) > 2:
            if words[1].lower() in (b"include", b"substack"):
                yield from _stack(target, words[2], depth + 1)
            else:
                yield words[1], words[2], words[3:]


def _read(target: Target, name: bytes) -> bytes:
    if name.startswith(b"/"):
        return target.read(name.lstrip(b"/")) or b""
    for directory in DIRECTORIES:
        text = target.read(directory + name)
        if text is not None:
            return text
    return b""


def _lines(text: bytes) -> list[bytes]:
    """Lines with words, without comments, continued ones joined."""
    joined = re.sub(rb"\\[ \t]*\n", b" ", re.sub(rb"#[^\n]*", b"", text))
    return [line for line in joined.split(b"\n") if line.strip()]


# Pam_unix(8)


def unix_settings(options: list[bytes], login_defs: bytes, release: Release = DEFAULT) -> HashSettings | None:
    """What pam_unix makes of its options over the text of login.defs; None where they name no method.

    Of several the last one counts. Linux-PAM of shadow 4.13's age looks for rounds in login.defs only if the method is
    SHA there, reads numbers as strtol(3), and takes the default cost in place of one out of range.
    """
    method = _method_of((_search(login_defs, b"ENCRYPT_METHOD") or b"").lower())
    recent = release >= (4, 17)
    rounds = None if recent else _configured_rounds(method, login_defs, recent)
    for option in options:
        method = _method_of(option) or method
        if option.startswith(b"rounds=") and (not recent or _INTEGER.fullmatch(option[7:])):
            rounds = _parse_int(option[7:])
    if method is None:
        return None
    if rounds is None and recent:
        rounds = _configured_rounds(method, login_defs, recent)
    if method in ("SHA256", "SHA512"):
        usable = rounds is not None and 1000 <= rounds < INT_MAX
        rounds = min(rounds or 0, 9_999_999) if usable else COSTS[method][2]
    elif method in COSTS:
        low, high = (4, 31) if method == "BCRYPT" else (3, 11)
        if rounds is None or (not recent and not low <= rounds <= high):
            rounds = 5
        rounds = min(max(rounds, low), high)
    else:
        rounds = 0
    return HashSettings(method, rounds, rounds)


def _method_of(text: bytes) -> str | None:
    return next((method for token, method in METHOD_OF.items() if text.startswith(token)), None)


def _configured_rounds(method: str | None, login_defs: bytes, recent: bool) -> int | None:
    """What login.defs says of the cost of a method."""
    key = None
    if method in ("SHA256", "SHA512"):
        key = b"SHA_CRYPT_MAX_ROUNDS"
    elif recent and method in ("YESCRYPT", "GOST_YESCRYPT"):
        key = b"YESCRYPT_COST_FACTOR"
    value = None if key is None else _search(login_defs, key)
    if value is None or (recent and not _INTEGER.fullmatch(value)):
        return None
    return _parse_int(value)


def _search(text: bytes, key: bytes) -> bytes | None:
    """The value of a key of login.defs as libpam reads it: the first one, in any case, with or without "="."""
    found = re.search(rb"^[ \t]*" + key + rb"(?:[ \t=][ \t=]*([^\n#]*)|$|#)", text, re.MULTILINE | re.IGNORECASE)
    return None if found is None else (found[1] or b"").rstrip()


def _parse_int(text: bytes) -> int:
    """strtol(3) in base 10, stored in an int as pam_unix does."""
    digits = re.match(rb"\s*([+-]?)0*(\d*)", text)
    assert digits is not None
    # Twenty digits are beyond a long as more are.
    number = min(int(digits[2][:20] or b"0"), LONG_MAX)
    return ((-number if digits[1] == b"-" else number) - INT_MIN) % (1 << 32) + INT_MIN
