# SPDX-License-Identifier: MIT
"""login.defs(5) over its layers: /etc first, then the vendor's copies, then the caller's default. Hot path.

Parsing, conversions and complaints are those of shadow 4.13's lib/getdef.c.
"""

from __future__ import annotations

from accounts.model.records import LONG_MAX, parse_long, parse_unsigned
from accounts.model.release import DEFAULT, NO_MIN
from accounts.text import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.model.release import Release

# What an item is to shadow: none of its own, one of others' (PAM modules, util-linux), which is passed over without a
# word, or one that counts.
UNKNOWN, FOREIGN, KNOWN = range(3)
ITEMS = dict.fromkeys(
    b"""CHFN_RESTRICT CONSOLE_GROUPS CONSOLE CREATE_HOME DEFAULT_HOME ENCRYPT_METHOD ENV_PATH ENV_SUPATH
    ERASECHAR FAKE_SHELL GID_MAX GID_MIN HOME_MODE HUSHLOGIN_FILE KILLCHAR
    LASTLOG_UID_MAX LOGIN_RETRIES LOGIN_TIMEOUT LOG_OK_LOGINS LOG_UNKFAIL_ENAB MAIL_DIR MAIL_FILE
    MAX_MEMBERS_PER_GROUP NONEXISTENT PASS_MAX_DAYS PASS_MIN_DAYS PASS_WARN_AGE
    SHA_CRYPT_MAX_ROUNDS SHA_CRYPT_MIN_ROUNDS BCRYPT_MAX_ROUNDS BCRYPT_MIN_ROUNDS YESCRYPT_COST_FACTOR
    SUB_GID_COUNT SUB_GID_MAX SUB_GID_MIN SUB_UID_COUNT SUB_UID_MAX SUB_UID_MIN SULOG_FILE SU_NAME
    SYS_GID_MAX SYS_GID_MIN SYS_UID_MAX SYS_UID_MIN TTYGROUP TTYPERM TTYTYPE_FILE UID_MAX UID_MIN UMASK
    USERDEL_CMD USERGROUPS_ENAB SYSLOG_SG_ENAB SYSLOG_SU_ENAB FORCE_SHADOW GRANT_AUX_GROUP_SUBIDS
    PREVENT_NO_AUTH""".split(),
    KNOWN,
) | dict.fromkeys(
    b"""CHFN_AUTH CHSH_AUTH ENV_HZ ENVIRON_FILE ENV_TZ HMAC_CRYPTO_ALGO
    ISSUE_FILE LASTLOG_ENAB LOGIN_STRING MAIL_CHECK_ENAB MOTD_FILE NOLOGINS_FILE OBSCURE_CHECKS_ENAB
    PASS_ALWAYS_WARN PASS_CHANGE_TRIES PASS_MIN_LEN PORTTIME_CHECKS_ENAB QUOTAS_ENAB
    SU_WHEEL_ONLY ULIMIT ALWAYS_SET_PATH ENV_ROOTPATH LOGIN_KEEP_USERNAME LOGIN_PLAIN_PROMPT
    MOTD_FIRSTONLY""".split(),
    FOREIGN,
)
# Of other items: what they are before a release, and what from it on, as Debian builds them.
CHANGED: dict[bytes, tuple[int, Release, int]] = {
    b"FAIL_DELAY": (UNKNOWN, (4, 14), KNOWN), b"FAILLOG_ENAB": (KNOWN, (4, 14), FOREIGN),
    b"FTMP_FILE": (KNOWN, (4, 14), FOREIGN), b"CRACKLIB_DICTPATH": (FOREIGN, (4, 15), UNKNOWN),
    b"LOGIN_ENV_SAFELIST": (UNKNOWN, (4, 17), FOREIGN), b"LOGIN_SHELL_FALLBACK": (UNKNOWN, (4, 20), FOREIGN),
    b"MD5_CRYPT_ENAB": (KNOWN, (4, 20), UNKNOWN), b"PASS_MAX_LEN": (FOREIGN, (4, 20), UNKNOWN),
    b"SUB_UID_DETERMINISTIC": (UNKNOWN, (4, 20), KNOWN), b"SUB_GID_DETERMINISTIC": (UNKNOWN, (4, 20), KNOWN),
    b"SUB_UID_STORE_BY_UID": (UNKNOWN, (4, 20), KNOWN), b"SUB_GID_STORE_BY_UID": (UNKNOWN, (4, 20), KNOWN),
    b"UNSAFE_SUB_UID_DETERMINISTIC_WRAP": (UNKNOWN, (4, 20), KNOWN),
    b"UNSAFE_SUB_GID_DETERMINISTIC_WRAP": (UNKNOWN, (4, 20), KNOWN),
}  # fmt: skip
INT_MAX = 0x7FFFFFFF


class LoginDefs:
    """The values of one login.defs. warn is called with each complaint, newline included where shadow has it.

    Keys are str, values bytes.
    """

    def __init__(self, text: bytes, warn: Callable[[str], None], release: Release = DEFAULT) -> None:
        self._warn = warn
        self._release = release
        self.values: dict[str, bytes] = {}
        # Without comments and empty lines, nine in ten. Of bytes `in` raises and catches a TypeError, of a tuple not.
        for raw in [raw for raw in text.split(b"\n") if raw[:1] not in (b"#", b"")]:
            line = raw.rstrip(b" \t\n\v\f\r").lstrip(b" \t")
            name = line.replace(b"\t", b" ").split(b" ", 1)[0]
            if len(name) == len(line) or line[:1] == b"#":
                continue
            value = line[len(name) :].lstrip(b' "\t').split(b'"', 1)[0]
            self.override(name, value)

    def override(self, name: bytes, value: bytes) -> bool:
        """Set an item (option -K); False, with a complaint unless others use it, when it is unknown."""
        kind = ITEMS.get(name, UNKNOWN)
        if name in CHANGED:
            before, since, after = CHANGED[name]
            kind = after if self._release >= since else before
        if kind == KNOWN:
            self.values[name.decode()] = value
            return True
        if kind == UNKNOWN:
            shown = fsdecode(name)
            self._warn(f"configuration error - unknown item '{shown}' (notify administrator)\n")
        return False

    def get(self, name: str) -> bytes | None:
        """The text of an item, or None."""
        return self.values.get(name)

    def get_bool(self, name: str) -> bool:
        """True for "yes" in any case only."""
        return self.values.get(name, b"").lower() == b"yes"

    def get_number(self, name: str, default: int, low: int, high: int) -> int:
        """An integer in base 10, 8 or 16 in low..high; else a complaint and the default."""
        text = self.values.get(name)
        if text is None:
            return default
        value = parse_long(text)
        if value is None or not low <= value <= high:
            # The real tools print no newline here.
            shown = fsdecode(text)
            self._warn(f"configuration error - cannot parse {name} value: '{shown}'")
            return default
        return value

    def get_int(self, name: str, default: int) -> int:
        """getdef_num: a C int."""
        return self.get_number(name, default, -INT_MAX - 1, INT_MAX)

    def get_unsigned(self, name: str, default: int) -> int:
        """getdef_unum: a C int of at least 0."""
        return self.get_number(name, default, 0, INT_MAX)

    def get_long(self, name: str, default: int) -> int:
        """getdef_long: a C long."""
        return self.get_number(name, default, -LONG_MAX - 1, LONG_MAX)

    def ageing(self) -> tuple[int, int, int]:
        """PASS_MIN_DAYS, PASS_MAX_DAYS and PASS_WARN_AGE, -1 where not set, for a new row of shadow(5)."""
        least = self.get_int("PASS_MIN_DAYS", -1) if self._release < NO_MIN else -1
        return least, self.get_int("PASS_MAX_DAYS", -1), self.get_int("PASS_WARN_AGE", -1)

    def get_ulong(self, name: str, default: int) -> int:
        """getdef_ulong: a C unsigned long; "-1" is the largest one, as strtoul has it."""
        text = self.values.get(name)
        if text is None:
            return default
        value = parse_unsigned(text)
        if value is None:
            shown = fsdecode(text)
            self._warn(f"configuration error - cannot parse {name} value: '{shown}'")
            return default
        return value
