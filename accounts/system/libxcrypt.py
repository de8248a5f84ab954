# SPDX-License-Identifier: MIT
"""libxcrypt by ctypes: settings from crypt_gensalt_rn(3), hashes from crypt_rn(3). Not on the hot path.

Both are called in their re-entrant forms and ctypes drops the GIL meanwhile, so threads hash in parallel.
"""

from __future__ import annotations

import functools
import os

try:
    import ctypes
except ImportError:  # python3-minimal; in OpenEmbedded it is a package of its own
    ctypes = None  # type: ignore[assignment]

CRYPT_DATA_SIZE = 32768  # sizeof(struct crypt_data): part of libxcrypt's ABI
CRYPT_GENSALT_OUTPUT_SIZE = 192
# libcrypt.so.1 carries glibc's old ABI too (Debian); .so.2 is libxcrypt without it (Fedora, openSUSE, Arch).
# Loaded by soname: ctypes.util.find_library runs ldconfig or a compiler.
SONAMES = ("libcrypt.so.1", "libcrypt.so.2")


@functools.cache
def load() -> ctypes.CDLL | None:
    """The library, or None where there is none or only glibc's old libcrypt, which cannot make settings."""
    for soname in SONAMES if ctypes is not None else ():
        try:
            library = ctypes.CDLL(soname, use_errno=True)
            gensalt_rn, crypt_rn = library.crypt_gensalt_rn, library.crypt_rn
        except (OSError, AttributeError):
            continue
        gensalt_rn.restype = crypt_rn.restype = ctypes.c_char_p
        gensalt_rn.argtypes = (
            *(ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_int),
            *(ctypes.c_char_p, ctypes.c_int),
        )
        crypt_rn.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)
        return library
    return None


def preferred_prefix() -> bytes | None:
    """Prefix of the strongest method, by crypt_preferred_method(3); None where the library does not say."""
    library = load()
    if library is None or not hasattr(library, "crypt_preferred_method"):
        return None
    library.crypt_preferred_method.restype = ctypes.c_char_p
    prefix: bytes | None = library.crypt_preferred_method()
    return prefix


def gensalt(prefix: bytes, cost: int) -> bytes:
    """A new setting of a method ("$6$") at a cost (0: the method's own), its salt from the kernel.

    Raises OSError (EINVAL: the method or the cost is not known).
    """
    library = load()
    assert library is not None
    output = ctypes.create_string_buffer(CRYPT_GENSALT_OUTPUT_SIZE)
    setting: bytes | None = library.crypt_gensalt_rn(prefix, cost, None, 0, output, len(output))
    if setting is None:
        raise _last_error()
    return setting


def crypt(plain: bytes | bytearray, setting: bytes) -> bytes:
    """The hash of a password without NUL under a setting or a whole earlier hash.

    Raises OSError (EINVAL: no such method, ERANGE: longer than 511 bytes); never returns a failure token
    such as "*0". Leaves no copy of the password behind.
    """
    library = load()
    assert library is not None
    phrase = ctypes.create_string_buffer(len(plain) + 1)
    data = ctypes.create_string_buffer(CRYPT_DATA_SIZE)
    try:
        memoryview(phrase).cast("B")[: len(plain)] = plain
        hashed: bytes | None = library.crypt_rn(phrase, setting, data, len(data))
        if hashed is None:
            raise _last_error()
        return hashed
    finally:
        ctypes.memset(phrase, 0, len(phrase))
        ctypes.memset(data, 0, len(data))


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
