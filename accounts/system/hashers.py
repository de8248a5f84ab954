# SPDX-License-Identifier: MIT
"""The password hash methods as one passlib context over libxcrypt, or over passlib's own code without it.

Not on the hot path: passlib takes 30 ms to import. accounts.system.hashing imports this once there is a
password to hash or to verify.
"""

from __future__ import annotations

import functools
import hmac
import sys

from accounts.system import libxcrypt
from accounts.system.deps import look_in_build

# passlib imports the standard library's crypt where there is one. That module is deprecated (a warning on
# 3.11 and 3.12, gone from 3.13 on) and hashes once by every method while it is imported (8 ms). passlib
# does without, and our handlers do not need it: keep it out.
_crypt = sys.modules.get("crypt")
sys.modules["crypt"] = None  # type: ignore[assignment]
try:
    try:
        import passlib.context
    except ModuleNotFoundError:
        look_in_build()
        import passlib.context
    import passlib.utils.handlers
finally:
    del sys.modules["crypt"]
    if _crypt is not None:
        sys.modules["crypt"] = _crypt

# Method as in login.defs(5) -> name of passlib's handler, prefixes in crypt(5), the first for new hashes.
HANDLERS = {
    "SHA512": ("sha512_crypt", (b"$6$",)),
    "SHA256": ("sha256_crypt", (b"$5$",)),
    "YESCRYPT": ("yescrypt", (b"$y$",)),
    "GOST_YESCRYPT": ("gost_yescrypt", (b"$gy$",)),
    "SCRYPT": ("scrypt_mcf", (b"$7$",)),
    "BCRYPT": ("bcrypt", (b"$2b$", b"$2a$", b"$2y$", b"$2x$")),
    "MD5": ("md5_crypt", (b"$1$",)),
    "DES": ("des_crypt", (b"",)),
}
PURE_PYTHON = ("sha512_crypt", "sha256_crypt", "md5_crypt", "des_crypt")


class LibxcryptHandler(passlib.utils.handlers.MinimalHandler):  # type: ignore[misc]
    """A thin passlib handler of one libxcrypt method. Takes and gives bytes; a secret may be a bytearray."""

    setting_kwds = ("rounds",)
    context_kwds = ()
    prefixes: tuple[bytes, ...] = ()
    rounds = 0

    @classmethod
    def using(cls, rounds: int = 0, **settings: object) -> type[LibxcryptHandler]:
        made: type[LibxcryptHandler] = super().using(**settings)
        made.rounds = rounds
        return made

    @classmethod
    def identify(cls, hash: bytes) -> bool:
        # The empty prefix is last in HANDLERS: DES, and whatever else crypt(3) may know by no "$id$" of ours.
        return hash.startswith(cls.prefixes)

    @classmethod
    def hash(cls, secret: bytes | bytearray) -> bytes:
        return libxcrypt.crypt(secret, libxcrypt.gensalt(cls.prefixes[0], cls.rounds))

    @classmethod
    def verify(cls, secret: bytes | bytearray, hash: bytes) -> bool:
        try:
            return hmac.compare_digest(libxcrypt.crypt(secret, hash), hash)
        except OSError:
            return False


@functools.cache
def context() -> passlib.context.CryptContext:
    """All methods that can be computed here."""
    if libxcrypt.load() is None:
        return passlib.context.CryptContext(PURE_PYTHON)
    return passlib.context.CryptContext(
        [type(name, (LibxcryptHandler,), {"name": name, "prefixes": prefixes}) for name, prefixes in HANDLERS.values()]
    )


def preferred_method() -> str:
    """libxcrypt's choice among HANDLERS, else SHA512."""
    prefix = libxcrypt.preferred_prefix()
    for method, (_, prefixes) in HANDLERS.items():
        if prefix in prefixes:
            return method
    return "SHA512"


def make_hash(method: str, cost: int, plain: bytes | bytearray) -> bytes:
    """A new salted hash. method: a key of HANDLERS, or BIGCRYPT; cost: rounds or cost factor, 0 where it has none.

    Raises KeyError for a method that this machine cannot compute, OSError as libxcrypt.crypt().
    """
    if method == "BIGCRYPT" and libxcrypt.load() is not None:
        # For libxcrypt a setting of DES that is longer than a hash of DES.
        return libxcrypt.crypt(plain, libxcrypt.gensalt(b"", 0) + b"." * 12)
    handler = context().handler(HANDLERS[method][0])
    if cost:
        handler = handler.using(rounds=cost)
    if libxcrypt.load() is None:
        return str(handler.hash(bytes(plain))).encode()
    hashed: bytes = handler.hash(plain)
    return hashed


def check_hash(plain: bytes | bytearray, hashed: bytes) -> bool:
    """Whether hashed is a hash of plain; False for whatever is no hash by a known method."""
    handler = context().identify(hashed, resolve=True)
    if handler is None:
        return False
    if libxcrypt.load() is not None:
        return bool(handler.verify(plain, hashed))
    try:
        return bool(handler.verify(bytes(plain), hashed))
    except ValueError:
        return False  # passlib's word for a malformed hash
