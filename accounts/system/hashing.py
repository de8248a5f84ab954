# SPDX-License-Identifier: MIT
"""Makes and verifies password hashes by login.defs(5). Imports passlib and ctypes only when called.

The caller's password stays the caller's: pass a bytearray and wipe() it after use. No copy of it is kept
here, and no error carries it.
"""

from __future__ import annotations

import errno
import os

from accounts.errors import BadArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from accounts.system.logindefs import LoginDefs

# As ENCRYPT_METHOD has them. pam_unix knows one more, BIGCRYPT.
METHODS = ("DES", "MD5", "SHA256", "SHA512", "BCRYPT", "YESCRYPT", "GOST_YESCRYPT", "SCRYPT")
# Least, greatest and default cost, as in shadow 4.13's libmisc/salt.c; those of SCRYPT are libxcrypt's.
COSTS = {
    "SHA256": (1000, 999999999, 5000),
    "SHA512": (1000, 999999999, 5000),
    "BCRYPT": (4, 31, 13),
    "YESCRYPT": (1, 11, 5),
    "GOST_YESCRYPT": (1, 11, 5),
    "SCRYPT": (6, 11, 7),
}
MAX_LENGTH = 511  # CRYPT_MAX_PASSPHRASE_SIZE of crypt.h counts the NUL
THREADS_FROM = 16  # hashes, below which starting threads costs more than it saves


class HashSettings:
    """How to hash.

    method: one of METHODS, or BIGCRYPT. low, high: the cost is drawn between them (both included) for each hash and
    then brought into the method's limits; 0 for a method without cost. notes: complaints, to be printed on
    standard error as they stand (shadow does so for each salt that it makes).
    """

    __slots__ = ("high", "low", "method", "notes")

    def __init__(self, method: str, low: int = 0, high: int = 0, notes: tuple[str, ...] = ()) -> None:
        self.method = method
        self.low = low
        self.high = high
        self.notes = notes

    def draw_cost(self) -> int:
        """The cost of one hash."""
        if self.method not in COSTS:
            return 0
        least, greatest, _ = COSTS[self.method]
        span = self.high - self.low + 1
        drawn = self.low + int.from_bytes(os.urandom(8)) % span
        # In C a negative number of rounds becomes a huge unsigned one before it is limited.
        return greatest if drawn < 0 else min(max(drawn, least), greatest)


def settings_from(login_defs: LoginDefs, method: str | None = None, rounds: int | None = None) -> HashSettings:
    """The settings that shadow's crypt_make_salt() would use.

    method: as chpasswd -c has it (not "NONE": that is no hash); None for ENCRYPT_METHOD or MD5_CRYPT_ENAB.
    rounds: as chpasswd -s has it; None for login.defs. An unknown method falls back to DES with a note.
    """
    if method is None:
        configured = login_defs.get("ENCRYPT_METHOD")
        if configured is not None:
            method = os.fsdecode(configured)
        else:
            method = "MD5" if login_defs.get_bool("MD5_CRYPT_ENAB") else "DES"
    if method not in METHODS:
        note = f"Invalid ENCRYPT_METHOD value: '{method}'.\nDefaulting to DES.\n"
        return HashSettings("DES", notes=(note,))
    if method not in COSTS:
        return HashSettings(method)
    low, high = _cost_range(login_defs, method, rounds)
    return HashSettings(method, low, max(low, high))


def _cost_range(login_defs: LoginDefs, method: str, rounds: int | None) -> tuple[int, int]:
    default = COSTS[method][2]
    if rounds is not None:
        # The tools parse a long and hand its address on as that of an int; 0 asks for the default.
        cost = (rounds + 0x80000000) % 0x100000000 - 0x80000000 or default
        return cost, cost
    if method in ("YESCRYPT", "GOST_YESCRYPT"):
        cost = login_defs.get_int("YESCRYPT_COST_FACTOR", default)
        return cost, cost
    if method == "SCRYPT":
        return default, default
    name = "BCRYPT" if method == "BCRYPT" else "SHA_CRYPT"
    low = login_defs.get_long(f"{name}_MIN_ROUNDS", -1)
    high = login_defs.get_long(f"{name}_MAX_ROUNDS", -1)
    if low == high == -1:
        return default, default
    return (high if low == -1 else low), (low if high == -1 else high)


def preferred_method() -> str:
    """The strongest of METHODS by libxcrypt's own choice, SHA512 without it."""
    from accounts.system import hashers

    return hashers.preferred_method()


def hash_password(plain: bytes | bytearray, settings: HashSettings) -> bytes:
    """A new salted hash of plain, for the password field of shadow(5) or gshadow(5).

    Raises BadArgument for a password with NUL or longer than 511 bytes, and for a method or cost that the
    system's crypt(3) does not know.
    """
    _check(plain)
    return _hash(plain, settings)


def hash_many(plains: Sequence[bytes | bytearray], settings: HashSettings) -> list[bytes]:
    """The hashes of many passwords in their order, on all processors of this process.

    Raises BadArgument as hash_password(), before anything is hashed if a password itself is bad.
    """
    for plain in plains:
        _check(plain)
    workers = len(os.sched_getaffinity(0))
    if workers == 1 or len(plains) < THREADS_FROM:
        return [_hash(plain, settings) for plain in plains]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda plain: _hash(plain, settings), plains))


def verify_password(plain: bytes | bytearray, hashed: bytes) -> bool:
    """Whether a password field holds a hash of plain. Constant time in the comparison.

    False for every field that no password opens: empty, locked ("!..."), "*", "x", or no hash at all.
    """
    if not hashed or hashed[:1] in b"!*" or b"\0" in plain or len(plain) > MAX_LENGTH:
        return False
    from accounts.system import hashers

    return hashers.check_hash(plain, hashed)


def wipe(secret: bytearray) -> None:
    """Overwrite a password in place with zeros."""
    secret[:] = bytes(len(secret))


def _check(plain: bytes | bytearray) -> None:
    if b"\0" in plain:
        raise BadArgument("failed to crypt password: it contains a NUL byte")
    if len(plain) > MAX_LENGTH:
        # The real tools store "*0" for DES here and blame the method otherwise.
        raise BadArgument(f"failed to crypt password: it is longer than {MAX_LENGTH} bytes")


def _hash(plain: bytes | bytearray, settings: HashSettings) -> bytes:
    from accounts.system import hashers

    try:
        return hashers.make_hash(settings.method, settings.draw_cost(), plain)
    except OSError as error:
        if error.errno != errno.EINVAL:  # yescrypt and scrypt can run out of memory
            raise BadArgument(f"failed to crypt password: {error.strerror}") from None
    except KeyError:
        pass
    raise BadArgument(f"crypt method not supported by libcrypt? ({settings.method})")
