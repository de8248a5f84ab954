# SPDX-License-Identifier: MIT
"""Password hashes: made here, they verify with crypt(3) and independent code, and the other way round."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.errors import BadArgument
from accounts.system import hashing, libxcrypt
from accounts.system.hashing import HashSettings, hash_many, hash_password, settings_from, verify_password
from accounts.system.logindefs import LoginDefs
from tests.support import hashes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SITE = os.path.dirname(os.path.dirname(__import__("passlib").__file__))
CHEAP = {
    "DES": HashSettings("DES"),
    "MD5": HashSettings("MD5"),
    "SHA256": HashSettings("SHA256", 1000, 1000),
    "SHA512": HashSettings("SHA512", 1000, 1000),
    "BCRYPT": HashSettings("BCRYPT", 4, 4),
    "YESCRYPT": HashSettings("YESCRYPT", 1, 1),
    "GOST_YESCRYPT": HashSettings("GOST_YESCRYPT", 1, 1),
    "SCRYPT": HashSettings("SCRYPT", 6, 6),
}
# By Debian's own chpasswd 4.13 -c METHOD, but for bcrypt (crypt_blowfish's wrapper.c).
FOREIGN = {
    "DES": (b"secretlongpassword", b"X26e8o1Gs/AWc"),
    "MD5": (b"secretlongpassword", b"$1$tNjMrvQn$kmvGanSGPjlQj0GrZjAjK/"),
    "SHA256": (b"secretlongpassword", b"$5$q34xlZ2EGOvFsGDi$tE4yQfAnHT5yVqbGVJVrHPk2kb5sDLRdVgMYJjgLAZ8"),
    "SHA256, rounds": (
        b"secretlongpassword",
        b"$5$rounds=8192$RY/BPQ4B3809p3rv$QmJBN6Pm8n5Hw8k5rs7l4MloDVEbTrK3kO0ZeVBE/iC",
    ),
    "SHA512": (
        b"secretlongpassword",
        b"$6$ro0ofPgG0dtfqp1I$i4o2TKViXfOGZOc0TJ2W33030CUynfdTcGCInI61/WaBnIE9zZIz4Rg2zISr9Uv2qchpUfe5rDsn7tex3Oav9/",
    ),
    "YESCRYPT": (
        b"secretlongpassword",
        b"$y$j9T$p0eLxVvkPgUnJuiMh5FPI0$b4FFapUTNqa1YmdbnpicaT09RPRg3kGBD6hmGkpsC3/",
    ),
    "BCRYPT": (b"U*U", b"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
}


def defs(text: bytes, complaints: list[str] | None = None) -> LoginDefs:
    return LoginDefs(text, (complaints if complaints is not None else []).append)


def prefix_of(hashed: bytes) -> bytes:
    """The hash without its last two fields, salt and digest."""
    return b"$".join(hashed.split(b"$")[:-2]) + b"$"


def run_isolated(code: str) -> subprocess.CompletedProcess[str]:
    """As the installed tools run: -IS, with the package and passlib put on the path."""
    setup = f"import sys; sys.path[:0] = [{ROOT!r}, {SITE!r}]\n"
    return subprocess.run(
        ["/usr/bin/python3", "-IS", "-W", "error", "-c", setup + code], capture_output=True, text=True
    )


@pytest.fixture
def no_libxcrypt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from accounts.system import hashers

    monkeypatch.setattr(libxcrypt, "load", lambda: None)
    hashers.context.cache_clear()
    yield
    hashers.context.cache_clear()


# Both ways


@pytest.mark.parametrize("method", hashing.METHODS)
@pytest.mark.parametrize("plain", [b"", b"secret", b"p:a s\xff\xfe\x01\n", "pässwörd".encode(), b"8bytes-8"])
def test_hash_verifies_here_and_with_crypt(method: str, plain: bytes) -> None:
    hashed = hash_password(plain, CHEAP[method])
    assert hashes.verifies(plain, hashed)
    assert verify_password(plain, hashed)
    assert not verify_password(b"x" + plain, hashed)
    assert hash_password(plain, CHEAP[method]) != hashed, "a new salt each time"


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_hash_verifies(name: str) -> None:
    plain, hashed = FOREIGN[name]
    assert verify_password(plain, hashed)
    assert verify_password(bytearray(plain), hashed)
    assert not verify_password(plain[:-1] if name != "DES" else b"secret", hashed)


@pytest.mark.parametrize("option", ["-1", "-5", "-6"])
def test_openssl_agrees(option: str) -> None:
    theirs = subprocess.run(["openssl", "passwd", option, "-stdin"], input=b"secret\n", capture_output=True).stdout
    assert verify_password(b"secret", theirs.rstrip())


def test_passlibs_own_code_agrees() -> None:
    from passlib.handlers.des_crypt import des_crypt
    from passlib.handlers.md5_crypt import md5_crypt
    from passlib.handlers.sha2_crypt import sha256_crypt, sha512_crypt

    handlers = {
        "DES": des_crypt,
        "MD5": md5_crypt,
        "SHA256": sha256_crypt.using(rounds=1000),
        "SHA512": sha512_crypt.using(rounds=5000),
    }
    for method, handler in handlers.items():
        assert handler.verify(b"secret\xff", hash_password(b"secret\xff", CHEAP[method]))
        assert verify_password(b"secret\xff", handler.hash(b"secret\xff").encode())


def test_methods_that_crypt_knows_and_we_do_not_make_verify() -> None:
    for setting in (b"$sha1$1000$abcdefgh$", b"_J9..rasm", b"$2y$04$CCCCCCCCCCCCCCCCCCCCC.", b"$3$"):
        assert verify_password(b"secret", libxcrypt.crypt(b"secret", setting)), setting


@pytest.mark.usefixtures("no_libxcrypt")
@pytest.mark.parametrize("method", ["DES", "MD5", "SHA256", "SHA512"])
def test_without_libxcrypt_passlib_hashes(method: str) -> None:
    settings = settings_from(defs(b""), method)
    for plain in b"s\xff\xfe", bytearray(b""):
        hashed = hash_password(plain, settings)
        assert hashes.verifies(bytes(plain), hashed)
        assert verify_password(plain, hashed)
        assert not verify_password(b"other", hashed)
    assert verify_password(*FOREIGN[method])
    if method.startswith("SHA"):
        assert prefix_of(hash_password(b"x", settings)) == FOREIGN[method][1][:3]
        assert b"$rounds=1000$" in prefix_of(hash_password(b"x", CHEAP[method]))


@pytest.mark.usefixtures("no_libxcrypt")
def test_without_libxcrypt_other_methods_are_refused() -> None:
    with pytest.raises(BadArgument, match=r"^crypt method not supported by libcrypt\? \(YESCRYPT\)$"):
        hash_password(b"secret", CHEAP["YESCRYPT"])
    assert not verify_password(*FOREIGN["YESCRYPT"])
    for field in b"$6$", b"$6$rounds=x$a$b", b"$5$\xff", b"garbage", b"x":
        assert not verify_password(b"secret", field)


# Fields that no password opens


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"!",
        b"!!",
        b"*",
        b"!*",
        b"x",
        b"xx",
        b"*0",
        b"*1",
        b"*LK*",
        b"$6$",
        b"$6$salt$",
        b"$99$a$b",
        b"\xff\xff",
    ],
)
@pytest.mark.parametrize("plain", [b"", b"x", b"!", b"*0"])
def test_no_password_opens(field: bytes, plain: bytes) -> None:
    assert verify_password(plain, field) is False


def test_locked_hash_does_not_verify() -> None:
    for plain, hashed in FOREIGN.values():
        assert not verify_password(plain, b"!" + hashed)
        assert not verify_password(plain, hashed[:-1])
        assert not verify_password(plain, hashed + b"\0")


# Passwords that cannot be hashed


@pytest.mark.parametrize("method", hashing.METHODS)
def test_length_and_nul(method: str) -> None:
    longest = b"a" * 511
    assert verify_password(longest, hash_password(longest, CHEAP[method]))
    with pytest.raises(BadArgument, match="longer than 511 bytes"):
        hash_password(longest + b"a", CHEAP[method])
    with pytest.raises(BadArgument, match="NUL"):
        hash_password(b"a\0b", CHEAP[method])
    hashed = hash_password(b"a", CHEAP[method])
    assert not verify_password(b"a\0b", hashed)
    assert not verify_password(b"a" * 512, hashed)


def test_libxcrypts_own_limit_is_ours() -> None:
    with pytest.raises(OSError, match="Numerical result out of range"):
        libxcrypt.crypt(b"a" * 512, b"$6$salt")


def test_library_errors() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        libxcrypt.gensalt(b"$nosuch$", 0)
    with pytest.raises(BadArgument, match=r"not supported by libcrypt\? \(NOSUCH\)"):
        hash_password(b"secret", HashSettings("NOSUCH"))


def test_out_of_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(plain: bytes, setting: bytes) -> bytes:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(libxcrypt, "crypt", fail)
    with pytest.raises(BadArgument, match=r"^failed to crypt password: Cannot allocate memory$"):
        hash_password(b"secret", CHEAP["YESCRYPT"])


# The plaintext


def test_no_exception_shows_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = b"Tr0ub4dor&3"
    failing = [
        lambda: hash_password(secret + b"\0", CHEAP["SHA512"]),
        lambda: hash_password(secret * 60, CHEAP["SHA512"]),
        lambda: hash_password(secret, HashSettings("NOSUCH")),
        lambda: hash_many([secret] * 20 + [secret + b"\0"], CHEAP["SHA512"]),
        lambda: hash_many([secret] * 20, HashSettings("NOSUCH")),
        lambda: libxcrypt.crypt(secret, b"$nosuch$"),
        lambda: libxcrypt.gensalt(b"$nosuch$", 1),
        lambda: libxcrypt.crypt(secret, None),  # type: ignore[arg-type]
    ]
    for call in failing:
        with pytest.raises((BadArgument, OSError, ctypes.ArgumentError)) as caught:
            call()
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(caught.value.args)
        assert "Tr0ub" not in shown


def test_buffers_are_zeroed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ctypes.Array[ctypes.c_char]] = []
    create = ctypes.create_string_buffer

    def keep(size: int) -> ctypes.Array[ctypes.c_char]:
        made.append(create(size))
        return made[-1]

    monkeypatch.setattr(ctypes, "create_string_buffer", keep)
    libxcrypt.crypt(b"secret", b"$6$salt")
    with pytest.raises(OSError):
        libxcrypt.crypt(b"secret", b"$nosuch$")
    assert [len(buffer) for buffer in made] == [7, 32768, 7, 32768]
    assert not any(any(buffer.raw) for buffer in made)


def test_caller_keeps_and_wipes_its_password() -> None:
    secret = bytearray(b"secret")
    view = memoryview(secret)
    hashed = hash_password(secret, CHEAP["SHA512"])
    assert secret == b"secret"
    hashing.wipe(secret)
    assert view == bytes(6), "in place"
    assert hashes.verifies(b"secret", hashed)


# Login.defs


@pytest.mark.parametrize(
    ("text", "method", "low", "high"),
    [
        (b"", "DES", 0, 0),
        (b"MD5_CRYPT_ENAB YES\n", "MD5", 0, 0),
        (b"MD5_CRYPT_ENAB 1\n", "DES", 0, 0),
        (b"ENCRYPT_METHOD DES\nMD5_CRYPT_ENAB yes\n", "DES", 0, 0),
        (b"ENCRYPT_METHOD SHA512\n", "SHA512", 5000, 5000),
        (
            b"ENCRYPT_METHOD SHA256\nSHA_CRYPT_MIN_ROUNDS 3000\nSHA_CRYPT_MAX_ROUNDS 9000\n",
            "SHA256",
            3000,
            9000,
        ),
        (b"ENCRYPT_METHOD SHA512\nSHA_CRYPT_MIN_ROUNDS 10\n", "SHA512", 10, 10),
        (b"ENCRYPT_METHOD SHA512\nSHA_CRYPT_MAX_ROUNDS 0x2000\n", "SHA512", 8192, 8192),
        (
            b"ENCRYPT_METHOD SHA512\nSHA_CRYPT_MIN_ROUNDS 8000\nSHA_CRYPT_MAX_ROUNDS 7000\n",
            "SHA512",
            8000,
            8000,
        ),
        (b"ENCRYPT_METHOD YESCRYPT\n", "YESCRYPT", 5, 5),
        (b"ENCRYPT_METHOD YESCRYPT\nYESCRYPT_COST_FACTOR 99\n", "YESCRYPT", 99, 99),
        (b"ENCRYPT_METHOD GOST_YESCRYPT\nYESCRYPT_COST_FACTOR 3\n", "GOST_YESCRYPT", 3, 3),
        (b"ENCRYPT_METHOD BCRYPT\n", "BCRYPT", 13, 13),
        (b"ENCRYPT_METHOD BCRYPT\nBCRYPT_MIN_ROUNDS 4\nBCRYPT_MAX_ROUNDS 6\n", "BCRYPT", 4, 6),
        (b"ENCRYPT_METHOD SCRYPT\nSHA_CRYPT_MIN_ROUNDS 9000\n", "SCRYPT", 7, 7),
    ],
)
def test_settings_of_login_defs(text: bytes, method: str, low: int, high: int) -> None:
    complaints: list[str] = []
    settings = settings_from(defs(text, complaints))
    assert (settings.method, settings.low, settings.high) == (method, low, high)
    assert not complaints and not settings.notes


@pytest.mark.parametrize("value", ["sha512", "NONE", "\udcff"])
def test_invalid_method_falls_back_to_des(value: str) -> None:
    settings = settings_from(defs(b"ENCRYPT_METHOD " + os.fsencode(value) + b"\n"))
    assert settings.method == "DES"
    assert settings.notes == (f"Invalid ENCRYPT_METHOD value: '{value}'.\nDefaulting to DES.\n",)


def test_unreadable_numbers_are_complained_about_and_ignored() -> None:
    complaints: list[str] = []
    text = b"ENCRYPT_METHOD SHA512\nSHA_CRYPT_MIN_ROUNDS abc\nYESCRYPT_COST_FACTOR 99999999999\n"
    assert settings_from(defs(text, complaints)).low == 5000
    assert settings_from(defs(text, complaints), "YESCRYPT").low == 5
    assert complaints == [
        "configuration error - cannot parse SHA_CRYPT_MIN_ROUNDS value: 'abc'",
        "configuration error - cannot parse YESCRYPT_COST_FACTOR value: '99999999999'",
    ]


# What Debian's chpasswd -c METHOD -s ROUNDS answers.
@pytest.mark.parametrize(
    ("method", "rounds", "prefix"),
    [
        ("SHA512", 5000, b"$6$"),
        ("SHA512", 0, b"$6$"),
        ("SHA256", 1, b"$5$rounds=1000$"),
        ("SHA256", 900, b"$5$rounds=1000$"),
        ("SHA256", 8192, b"$5$rounds=8192$"),
        ("SHA512", 4294967296, b"$6$"),
        ("SHA512", 4294974296, b"$6$rounds=7000$"),
        ("YESCRYPT", 1, b"$y$j75$"),
        ("YESCRYPT", 2, b"$y$j85$"),
        ("YESCRYPT", 3, b"$y$j7T$"),
        ("YESCRYPT", 4294967297, b"$y$j75$"),
        ("GOST_YESCRYPT", 1, b"$gy$j75$"),
        ("MD5", 5, b"$1$"),
    ],
)
def test_rounds_as_chpasswd_takes_them(method: str, rounds: int, prefix: bytes) -> None:
    settings = settings_from(defs(b"SHA_CRYPT_MIN_ROUNDS 9999\nYESCRYPT_COST_FACTOR 9\n"), method, rounds)
    assert settings.low < 10000, "or the next line takes an hour"
    assert prefix_of(hash_password(b"secret", settings)) == prefix


def test_rounds_of_the_methods_that_debians_chpasswd_lacks() -> None:
    for method, rounds, prefix in ("BCRYPT", 1, b"$2b$04$"), ("SCRYPT", 1, b"$7$BU..../...."):
        settings = settings_from(defs(b""), method, rounds)
        assert hash_password(b"secret", settings).startswith(prefix)


def test_salt_is_as_long_as_shadows() -> None:
    salts = [hash_password(b"x", CHEAP[method]).split(b"$")[-2] for method in ("MD5", "SHA512")]
    assert [len(salt) for salt in salts] == [8, 16]
    assert len(hash_password(b"x", CHEAP["DES"])) == 13


@pytest.mark.parametrize(
    ("settings", "costs"),
    [
        (HashSettings("SHA512", 2000, 2003), {2000, 2001, 2002, 2003}),
        (HashSettings("SHA512", 998, 1001), {1000, 1001}),
        (HashSettings("SHA512", -1, -1), {999999999}),
        (HashSettings("SHA512", 2**40, 2**40), {999999999}),
        (HashSettings("YESCRYPT", 99, 99), {11}),
        (HashSettings("YESCRYPT", 0, 0), {1}),
        (HashSettings("YESCRYPT", -5, -5), {11}),
        (HashSettings("BCRYPT", 3, 5), {4, 5}),
        (HashSettings("DES"), {0}),
    ],
)
def test_cost_is_drawn_in_the_range_and_limited(settings: HashSettings, costs: set[int]) -> None:
    assert {settings.draw_cost() for _ in range(300)} == costs


# Many


def test_many_keep_their_order() -> None:
    plains = [b"%d" % number for number in range(40)]
    made = hash_many(plains, CHEAP["MD5"])
    assert all(hashes.verifies(plain, hashed) for plain, hashed in zip(plains, made, strict=True))
    assert len(set(made)) == 40
    assert hash_many([], CHEAP["MD5"]) == []
    assert len(hash_many(plains[:2], CHEAP["MD5"])) == 2


def test_many_hash_nothing_when_one_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    monkeypatch.setattr(libxcrypt, "crypt", lambda plain, setting: calls.append(plain))
    with pytest.raises(BadArgument, match="NUL"):
        hash_many([b"a"] * 100 + [b"\0"], CHEAP["SHA512"])
    assert not calls


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor only")
def test_many_hash_in_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hashes are in crypt(3) at the same moment: each waits for the other."""
    meet = threading.Barrier(2, timeout=20)
    real = libxcrypt.crypt

    def crypt(plain: bytes, setting: bytes) -> bytes:
        meet.wait()
        return real(plain, setting)

    monkeypatch.setattr(libxcrypt, "crypt", crypt)
    assert len(hash_many([b"secret"] * 16 * len(os.sched_getaffinity(0)), CHEAP["MD5"])) >= 32


def test_crypt_lets_other_threads_run() -> None:
    worker = threading.Thread(target=libxcrypt.crypt, args=(b"x", b"$6$rounds=300000$salt"))
    worker.start()
    ticks = 0
    while worker.is_alive():
        time.sleep(0.001)
        ticks += 1
    assert ticks > 5


# What gets imported


def test_import_is_cheap_until_a_password_comes() -> None:
    code = (
        "import accounts.system.hashing\nprint(*(m for m in ('ctypes', 'passlib', 'enum', 're') if m in sys.modules))\n"
    )
    answer = run_isolated(code)
    assert (answer.stdout, answer.stderr) == ("\n", "")


def test_runs_isolated_with_warnings_as_errors_and_without_crypt_or_bcrypt() -> None:
    code = (
        "sys.modules['bcrypt'] = None\n"
        "from accounts.system import hashing as h\n"
        "for m, c in ('SHA512', 1000), ('BCRYPT', 4), ('YESCRYPT', 1):\n"
        "    assert h.verify_password(b'x', h.hash_password(b'x', h.HashSettings(m, c, c)))\n"
        "print('crypt' in sys.modules, 'subprocess' in sys.modules)\n"
    )
    answer = run_isolated(code)
    assert (answer.stdout, answer.stderr) == ("False False\n", "")


def test_an_imported_crypt_module_stays() -> None:
    code = (
        "import types; mine = sys.modules['crypt'] = types.ModuleType('crypt')\n"
        "import accounts.system.hashers\n"
        "print(sys.modules['crypt'] is mine)\n"
    )
    answer = run_isolated(code)
    assert (answer.stdout, answer.stderr) == ("True\n", "")


def test_every_method_has_a_handler() -> None:
    from accounts.system import hashers

    assert set(hashers.HANDLERS) == set(hashing.METHODS)
    assert list(hashers.HANDLERS)[-1] == "DES", "its prefix matches everything"


# A Python without its whole standard library


def test_without_ctypes_passlib_serves() -> None:
    done = run_isolated(
        "sys.modules['ctypes'] = None\n"
        "from accounts.system.hashing import HashSettings, hash_password, verify_password\n"
        "hashed = hash_password(b'secret', HashSettings('SHA512', 5000, 5000))\n"
        "print(hashed[:3], verify_password(b'secret', hashed), verify_password(b'x', hashed))\n"
    )
    assert (done.stdout, done.stderr) == ("b'$6$' True False\n", "")


@pytest.mark.parametrize("argv", [["status"], ["--help"], ["sysusers"], ["reset", "--yes"], ["image", "check", "/x"]])
def test_of_accounts_commands_it_is_a_failure(argv: list[str]) -> None:
    """Not the status of findings, which units take for success."""
    code = "for name in ('json', 'shutil', 'dataclasses'): sys.modules[name] = None\n"
    done = run_isolated(f"{code}sys.argv = ['accounts', *{argv!r}]\nfrom accounts.cli.main import main\nmain()\n")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith("accounts: this needs the whole standard library of Python: ")


def test_a_slip_of_the_pen_is_told_without_difflib() -> None:
    code = (
        "sys.modules['difflib'] = None\nsys.argv = ['accounts', 'bogus']\nfrom accounts.cli.main import main\nmain()\n"
    )
    done = run_isolated(code)
    assert (done.returncode, done.stderr) == (2, "accounts: there is no command 'bogus'; see accounts --help\n")


def test_a_missing_module_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    files = {"passwd": "alice:x:1000:1000:::\n", "shadow": "alice:!:19000:0:99999:7:::\n"}
    for name, text in files.items():
        (tmp_path / "etc" / name).write_text(text)
    code = "sys.modules['hmac'] = None\nfrom accounts.cli.chpasswd import main\n"
    code += f"sys.argv = ['chpasswd', '-R', {str(tmp_path)!r}]\nimport os\nr, w = os.pipe()\n"
    code += "os.write(w, b'alice:x\\n')\nos.close(w)\nos.dup2(r, 0)\nmain()\n"
    done = run_isolated(code)
    assert done.returncode == 1
    assert done.stderr.startswith("chpasswd: this needs the whole standard library of Python: ")
    assert done.stderr.count("\n") == 1
    assert {name: (tmp_path / "etc" / name).read_text() for name in files} == files
