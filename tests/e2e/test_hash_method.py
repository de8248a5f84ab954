# SPDX-License-Identifier: MIT
"""The hash method of chpasswd, passwd and newusers is PAM's, as the real chpasswd's beside ours."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.overlay import REAL, in_overlay, run_tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

UNIX = "password required pam_unix.so "
DEBIAN = """\
# here are the per-package modules (the "Primary" block)
password\t[success=1 default=ignore]\tpam_unix.so obscure try_first_pass {}
# here's the fallback if no module succeeds
password\trequisite\t\t\tpam_deny.so
password\trequired\t\t\tpam_permit.so
"""
FEDORA = """\
auth        required      pam_env.so
auth        sufficient    pam_unix.so nullok sha256
password    requisite     pam_permit.so local_users_only
password    sufficient    pam_unix.so yescrypt shadow nullok
password    required      pam_deny.so
session     required      pam_unix.so
"""
INCLUDE = {"chpasswd": "@include common-password\n"}
# Files of pam.d (with a slash: below the root), login.defs. Each case starts from an empty /etc/pam.d with other.
CASES: dict[str, tuple[dict[str, str], str]] = {
    "Debian": (INCLUDE | {"common-password": DEBIAN.format("yescrypt")}, "ENCRYPT_METHOD SHA512\n"),
    "Debian 10": (INCLUDE | {"common-password": DEBIAN.format("sha512")}, "ENCRYPT_METHOD SHA512\n"),
    "Fedora": ({"chpasswd": "auth include system-auth\npassword include system-auth\n", "system-auth": FEDORA}, ""),
    "substack": ({"chpasswd": "password substack system-auth\n", "system-auth": FEDORA}, ""),
    "include of an include": (
        {"chpasswd": "@include one\n", "one": "password include two\n", "two": UNIX + "sha256\n"}, ""),
    "absolute include": (
        {"chpasswd": "password include /etc/pam.site\n", "/etc/pam.site": UNIX + "sha256 rounds=2000\n"}, ""),
    "vendor's file": ({"/usr/lib/pam.d/chpasswd": UNIX + "sha256\n"}, ""),
    "etc before vendor": ({"chpasswd": UNIX + "sha512\n", "/usr/lib/pam.d/chpasswd": UNIX + "sha256\n"}, ""),
    "no file of the service": ({"other": UNIX + "sha256 rounds=3000\n"}, ""),
    "no password line in it": ({"chpasswd": "auth required pam_unix.so md5\n", "other": UNIX + "sha256\n"}, ""),
    "continued line": ({"chpasswd": "password \\\n required pam_unix.so \\\n  sha512 rounds=6000\n"}, ""),
    "comment": ({"chpasswd": "# " + UNIX + "md5\n" + UNIX + "sha512 # rounds=7000\n"}, ""),
    "full path": ({"chpasswd": "PASSWORD Required /lib/x86_64-linux-gnu/security/pam_unix.so sha256\n"}, ""),
    "dash": ({"chpasswd": "-" + UNIX + "sha256\n"}, ""),
    "first of two, sufficient": ({"chpasswd": "password sufficient pam_unix.so sha256\n" + UNIX + "sha512\n"}, ""),
    "second of two, required": ({"chpasswd": UNIX + "sha256\n" + UNIX + "sha512\n"}, ""),
    "jump": (
        {"chpasswd": f"password [success=1 default=ignore] pam_unix.so sha256\n{UNIX}sha512\n"
         "password required pam_permit.so\n"}, ""),
    "done": ({"chpasswd": "password [success=done new_authtok_reqd=done] pam_unix.so sha512\n" + UNIX + "md5\n"}, ""),
    "option in brackets": ({"chpasswd": UNIX + "[sha512] [rounds=4000]\n"}, ""),
    "other modules": ({"chpasswd": "password optional pam_permit.so sha256\n" + UNIX + "sha512\n"}, ""),
} | {
    f"{options!r}, {defs!r}": ({"chpasswd": UNIX + options + "\n"}, defs)
    for options, defs in (
        *((text, "") for text in ("yescrypt", "sha512", "sha256", "md5", "blowfish", "gost_yescrypt", "bigcrypt")),
        *((text, "") for text in ("sha512 rounds=5000", "rounds=7777 sha512", "rounds=500 sha512", "sha512 rounds=-5")),
        *((text, "") for text in ("sha512 rounds=", "sha512 rounds", "sha512 rounds=7000x", "sha512 rounds=0x1b58")),
        *((text, "") for text in ("sha512 rounds=999999999999", "sha512 rounds=7000 rounds=8000", "yescrypt rounds=2")),
        *((text, "") for text in ("blowfish rounds=6", "blowfish rounds=3", "yescrypt rounds=3", "yescrypt rounds=0")),
        *((text, "") for text in ("gost_yescrypt rounds=4", "gost_yescrypt rounds=12", "sha512 rounds=7000 yescrypt")),
        *((text, "") for text in ("sha512 yescrypt", "yescrypt sha256", "md5 sha512", "sha512 md5", "sha512 bigcrypt")),
        *((text, "") for text in ("yescryptfoo", "shadow sha512 nullok", "minlen=3 sha256 remember=0")),
        ("", "ENCRYPT_METHOD SHA512\n"),
        ("", "ENCRYPT_METHOD SHA512\nSHA_CRYPT_MAX_ROUNDS 9000\nSHA_CRYPT_MIN_ROUNDS 8000\n"),
        ("", "ENCRYPT_METHOD SHA512\nSHA_CRYPT_MIN_ROUNDS 8000\n"),
        ("", "ENCRYPT_METHOD SHA512\nSHA_CRYPT_MAX_ROUNDS 9000x\n"),
        ("", "ENCRYPT_METHOD YESCRYPT\nYESCRYPT_COST_FACTOR 4\n"),
        ("", "ENCRYPT_METHOD MD5\n"),
        ("", "ENCRYPT_METHOD DES\n"),
        ("", "ENCRYPT_METHOD=SHA256\n"),
        ("", "  ENCRYPT_METHOD = SHA512  # x\n"),
        ("", "ENCRYPT_METHOD SHA512\nENCRYPT_METHOD YESCRYPT\n"),
        ("sha512", "SHA_CRYPT_MAX_ROUNDS 9000\n"),
        ("sha256", "ENCRYPT_METHOD SHA512\nSHA_CRYPT_MAX_ROUNDS 9000\n"),
        ("sha512 rounds=7000", "ENCRYPT_METHOD SHA512\nSHA_CRYPT_MAX_ROUNDS 9000\n"),
        ("yescrypt", "ENCRYPT_METHOD SHA512\nSHA_CRYPT_MAX_ROUNDS 9000\n"),
        ("yescrypt", "YESCRYPT_COST_FACTOR 4\n"),
        ("md5", "ENCRYPT_METHOD YESCRYPT\n"),
    )
}  # fmt: skip
# Nobody asks for DES: the real tool's eight characters are not what anybody wants. The method ours takes instead.
NOBODY_ASKS = {
    "no method": ({"chpasswd": UNIX + "shadow\n"}, "", "$y$j9T"),
    "an option in capitals": ({"chpasswd": UNIX + "SHA512\n"}, "", "$y$j9T"),
    "a method that is none": ({"chpasswd": UNIX + "\n"}, "ENCRYPT_METHOD bogus\n", "$y$j9T"),
    "a method without value": ({"chpasswd": UNIX + "\n"}, "ENCRYPT_METHOD\n", "$y$j9T"),
    "shadow's name of blowfish": ({"chpasswd": UNIX + "\n"}, "ENCRYPT_METHOD BCRYPT\nBCRYPT_MAX_ROUNDS 4\n", "$2b$04"),
    "shadow's name of scrypt": ({"chpasswd": UNIX + "\n"}, "ENCRYPT_METHOD SCRYPT\n", "$7$"),
    "shadow's older word": ({"chpasswd": UNIX + "\n"}, "MD5_CRYPT_ENAB yes\n", "$1$"),
}
LONG_PASSWORD = "longer than eight"


def test_the_method_is_that_of_the_real_chpasswd() -> None:
    differing = in_overlay(_compare)
    assert not differing, "\n".join(differing)


def test_des_only_where_somebody_asks_for_it() -> None:
    in_overlay(_no_des)


def test_each_service_has_its_own_stack_and_a_root_its_own_files() -> None:
    in_overlay(_services)


def _set_up(files: dict[str, str], defs: str) -> None:
    shutil.rmtree("/etc/pam.d", ignore_errors=True)
    shutil.rmtree("/usr/lib/pam.d", ignore_errors=True)
    for name, text in ({"other": "password required pam_deny.so\n"} | files).items():
        path = Path("/etc/pam.d", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    Path("/etc/login.defs").write_text(defs)


def _hash_of(path: str, name: str) -> str:
    return next(line for line in Path(path).read_text().splitlines() if line.startswith(name + ":")).split(":")[1]


def _kind(hashed: str) -> str:
    """What is not salt or hash: the method and its cost."""
    parts = hashed.split("$")
    if len(parts) == 1:
        return f"DES of {len(hashed)}"
    if parts[1] in ("y", "gy") or parts[1].startswith("2") or parts[2].startswith("rounds="):
        return "$".join(parts[:3])
    return f"${parts[1]}$"


def _change(program: str) -> tuple[int, str]:
    done = run_tool(program, stdin=f"root:{LONG_PASSWORD}\n")
    return done.returncode, _kind(_hash_of("/etc/shadow", "root"))


def _compare() -> list[str]:
    differing = []
    for name, (files, defs) in CASES.items():
        _set_up(files, defs)
        outcomes = [_change(program) for program in (f"{REAL}/chpasswd", "/usr/sbin/chpasswd")]
        if outcomes[0][0]:
            differing.append(f"{name}: the real tool fails")
        elif outcomes[0] != outcomes[1]:
            differing.append(f"{name}: real {outcomes[0]}, ours {outcomes[1]}")
    return differing


def _no_des() -> None:
    for name, (files, defs, expected) in NOBODY_ASKS.items():
        _set_up(files, defs)
        assert _change(f"{REAL}/chpasswd") == (0, "DES of 35" if "bigcrypt" in str(files) else "DES of 13"), name
        assert _change("/usr/sbin/chpasswd") == (0, expected), name
    # No PAM at all: login.defs, then the strongest.
    for defs, expected in (("", "$y$j9T"), ("ENCRYPT_METHOD SHA256\n", "$5$"), ("ENCRYPT_METHOD DES\n", "DES of 13")):
        shutil.rmtree("/etc/pam.d", ignore_errors=True)
        Path("/etc/login.defs").write_text(defs)
        assert _change("/usr/sbin/chpasswd") == (0, expected), defs
    # A loop of includes ends.
    _set_up({"chpasswd": "@include chpasswd\n"}, "ENCRYPT_METHOD SHA256\n")
    assert _change("/usr/sbin/chpasswd") == (0, "$5$")


def _services() -> None:
    stacks = {"chpasswd": "sha256", "newusers": "sha512", "passwd": "md5"}
    _set_up({service: UNIX + method + "\n" for service, method in stacks.items()}, "ENCRYPT_METHOD DES\n")
    run_tool("/usr/sbin/newusers", stdin="nina:secret:2000:2000::/nonexistent:/bin/sh\n")
    assert _kind(_hash_of("/etc/shadow", "nina")) == "$6$"
    assert run_tool("/usr/bin/passwd", "-s", "nina", stdin="secret\n").returncode == 0
    assert _kind(_hash_of("/etc/shadow", "nina")) == "$1$"
    # gpasswd and chgpasswd ask no PAM.
    run_tool("/usr/sbin/groupadd", "devs")
    run_tool("/usr/sbin/chgpasswd", stdin="devs:secret\n")
    assert _kind(_hash_of("/etc/gshadow", "devs")) == "DES of 13"
    etc = Path("/srv/other/etc")
    (etc / "pam.d").mkdir(parents=True)
    shutil.copy("/etc/passwd", etc)
    shutil.copy("/etc/shadow", etc)
    (etc / "pam.d/chpasswd").write_text(UNIX + "yescrypt rounds=4\n")
    run_tool("/usr/sbin/chpasswd", "-R", "/srv/other", stdin="nina:secret\n")
    assert _kind(_hash_of("/srv/other/etc/shadow", "nina")) == "$y$j8T"
