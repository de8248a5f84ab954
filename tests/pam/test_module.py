# SPDX-License-Identifier: MIT
"""pam_accounts.so by itself: whom it knows, what it asks and refuses, and how it hands a password over.

With the address and undefined behaviour sanitizers, but for the last two.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import time

import pytest

from tests.pam.conftest import Bench

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SUCCESS, SYSTEM_ERR, BUF_ERR, CRED_INSUFFICIENT, AUTHINFO_UNAVAIL, USER_UNKNOWN = 0, 4, 5, 8, 9, 10
NEW_AUTHTOK_REQD, ACCT_EXPIRED, AUTHTOK_ERR, AUTHTOK_LOCK_BUSY, AUTHTOK_EXPIRED = 12, 13, 20, 22, 27
TODAY = int(time.time()) // 86400
OLD, NEW = "secret", "Xk3!vbe9Qz"
# Of OLD, by `openssl passwd`.
HASHES = {
    "sha512": "$6$saltsalt$",
    "sha256": "$5$saltsalt$",
    "md5": "$1$saltsalt$",
}


def hash_of(password: str, setting: str = "$6$saltsalt$") -> str:
    method, salt = setting.split("$")[1:3]
    command = ["openssl", "passwd", f"-{method}", "-salt", salt, password]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


HASH = hash_of(OLD)
PROVE = ["info:Changing password for ivy.", "ask:Current password: "]
CHOOSE = ["ask:New password: ", "ask:Retype new password: "]


def fill(bench: Bench, *, field: str = HASH, days: str = "18000:0:99999:7:::", layer: str = "image") -> None:
    """ivy, in one of the layers."""
    bench.put(layer, "passwd", "root:x:0:0::/root:/bin/sh\nivy:x:1500:1500::/home/ivy:/bin/sh\n")
    bench.put(layer, "shadow", f"root:*:18000::::::\nivy:{field}:{days}\n")


def result(lines: list[str]) -> int:
    """The PAM code; the application's descriptors and signals are as they were."""
    found = re.fullmatch(r"= (\d+), descriptors \+0, SIGCHLD (default|ignored|reaped)", lines[-1])
    assert found, lines
    return int(found[1])


def got(bench: Bench) -> list[str]:
    """What the tool has read: password, and the field that was proven, if any."""
    path = bench.base / "got"
    if not path.exists():
        return []
    text = path.read_bytes().decode(errors="surrogateescape")
    assert text.endswith("\0")
    return text[:-1].split("\0")


@pytest.mark.parametrize("layer", ["image", "local"])
@pytest.mark.parametrize("setting", HASHES.values(), ids=HASHES)
def test_a_user_of_either_layer_changes_the_password(bench: Bench, layer: str, setting: str) -> None:
    field = hash_of(OLD, setting)
    fill(bench, field=field, layer=layer)
    lines = bench.run("ivy", "chauthtok,ruid=1500", OLD, NEW, NEW)
    assert (lines[:-1], result(lines)) == ([*PROVE, *CHOOSE], SUCCESS)
    assert got(bench) == [NEW, field]


def test_root_need_not_know_the_old_one_but_for_an_expired_password(bench: Bench) -> None:
    fill(bench)
    lines = bench.run("ivy", "chauthtok", NEW, NEW)
    assert (lines[:-1], result(lines)) == (CHOOSE, SUCCESS)
    assert got(bench) == [NEW]
    lines = bench.run("ivy", "chauthtok,expired", OLD, NEW, NEW)
    assert (lines[:-1], result(lines)) == ([*PROVE, *CHOOSE], SUCCESS)
    assert got(bench) == [NEW, HASH]


def test_a_wrong_old_password_ends_it(bench: Bench) -> None:
    fill(bench)
    lines = bench.run("ivy", "chauthtok,ruid=1500", "wrong", NEW, NEW)
    assert (lines[:-1], result(lines)) == (PROVE, AUTHTOK_ERR)
    assert got(bench) == []


@pytest.mark.parametrize(
    "field", ["!", "*", "!" + HASH, "*" + HASH, "x", "$6$", "$y$j9T$", "$9$unknown$", HASH[:-1], "é", "*0", "*1"]
)
def test_no_password_opens_what_is_no_hash(bench: Bench, field: str) -> None:
    fill(bench, field=field)
    for typed in (OLD, "", field, "*0"):
        assert result(bench.run("ivy", "chauthtok,ruid=1500", typed, NEW, NEW)) == AUTHTOK_ERR
    assert got(bench) == []


def test_an_empty_password_need_not_be_proven(bench: Bench) -> None:
    fill(bench, field="")
    lines = bench.run("ivy", "chauthtok,ruid=1500", NEW, NEW)
    assert (lines[:-1], result(lines)) == (CHOOSE, SUCCESS)
    assert got(bench) == [NEW, ""]


def test_the_local_row_stands_for_the_image_s(bench: Bench) -> None:
    fill(bench)
    bench.put("local", "shadow", f"# a comment\nivy\nivy:{hash_of('other')}:18000:0:99999:7:::\nivy:{HASH}:1::::::\n")
    assert result(bench.run("ivy", "chauthtok,ruid=1500", OLD, NEW, NEW)) == AUTHTOK_ERR
    assert result(bench.run("ivy", "chauthtok,ruid=1500", "other", NEW, NEW)) == SUCCESS


def test_a_password_in_passwd_counts_where_passwd_says_so(bench: Bench) -> None:
    fill(bench)
    bench.put("local", "passwd", f"ivy:{hash_of('other')}:1500:1500::/:\n")
    assert result(bench.run("ivy", "chauthtok,ruid=1500", "other", NEW, NEW)) == SUCCESS
    assert got(bench) == [NEW, hash_of("other")]
    bench.put("local", "passwd", "ivy:##ivy:1500:1500::/:\n")
    assert result(bench.run("ivy", "chauthtok,ruid=1500", OLD, NEW, NEW)) == SUCCESS


@pytest.mark.parametrize(
    "user", ["eve", "iv", "ivyy", "ivy:x", "", "+ivy", "-ivy", "#ivy", "ivy\nroot", "i" * 70000, "é"]
)
@pytest.mark.parametrize("how", ["chauthtok", "acct"])
def test_users_of_neither_layer_are_left_to_the_stack(bench: Bench, user: str, how: str) -> None:
    fill(bench)
    bench.put("image", "passwd", "+:::::\n+ivy::::::\n#ivy:x:1:1:::\nivy:x:1500:1500:::\n")
    # libpam itself asks for the name where there is none, and refuses without an answer.
    assert result(bench.run(user, how)) in ((USER_UNKNOWN,) if user else (USER_UNKNOWN, 19))


def test_a_hidden_user_is_of_no_layer(bench: Bench) -> None:
    fill(bench)
    (bench.base / "local/accounts").mkdir()
    bench.put("local", "accounts/hidden", "passwd:ivy\n")
    assert result(bench.run("ivy", "chauthtok")) == USER_UNKNOWN
    bench.put("local", "accounts/hidden", "shadow:ivy\n")
    assert result(bench.run("ivy", "acct")) == AUTHINFO_UNAVAIL


def test_the_stack_goes_on_for_others_and_ends_for_ours(bench: Bench) -> None:
    bench.stack(
        "password [success=1 user_unknown=ignore default=die] {module}\n"
        "password requisite pam_deny.so\npassword required pam_permit.so\n"
        "account [success=done user_unknown=ignore default=die] {module}\naccount required pam_permit.so\n"
    )
    fill(bench)
    assert result(bench.run("ivy", "chauthtok", NEW, NEW)) == SUCCESS
    assert result(bench.run("eve", "chauthtok")) == AUTHTOK_ERR
    assert result(bench.run("eve", "acct")) == SUCCESS


REFUSALS = [
    (OLD, "", "No password has been supplied."),
    (OLD, OLD, "The password has not been changed."),
    (OLD, "x" * 512, "You must choose a shorter password."),
    (OLD, "Ab1!x", "You must choose a longer password."),
]
# What Debian's pam_unix refuses with `obscure`.
OBSCURE = [
    (OLD, "abCdeedcba", "Bad: new password cannot be a palindrome"),
    ("secretly", "SecretlY", "Bad: new and old password must differ by more than just case"),
    (OLD, "Secr3t!", "Bad: new and old password are too similar"),
    ("zzzzzzzz", "abcdefg", "Bad: new password is too simple"),
    ("zzzzzzzz", "1b5D3fg", None),
    ("longsecret1", "secret1long", "Bad: new password is just a wrapped version of the old one"),
    ("longsecret1", "secret1lonG9", None),
]


@pytest.mark.parametrize(("old", "new", "why"), [*REFUSALS, *OBSCURE])
def test_what_is_no_good_is_refused_three_times(bench: Bench, old: str, new: str, why: str | None) -> None:
    bench.stack("password required {module} nodelay obscure\n")
    fill(bench, field=hash_of(old))
    lines = bench.run("ivy", "chauthtok,ruid=1500", old, *[new] * 6)
    if why is None:
        assert (lines[:-1], result(lines), got(bench)[:1]) == ([*PROVE, *CHOOSE], SUCCESS, [new])
        return
    assert (lines[:-1], result(lines)) == ([*PROVE, *[*CHOOSE, f"error:{why}"] * 3], AUTHTOK_ERR)
    assert got(bench) == []
    # The next one is good.
    lines = bench.run("ivy", "chauthtok,ruid=1500", old, new, new, NEW, NEW)
    assert (lines[:-1], result(lines)) == ([*PROVE, *CHOOSE, f"error:{why}", *CHOOSE], SUCCESS)


def test_root_may_choose_any_password_but_none(bench: Bench) -> None:
    bench.stack("password required {module} nodelay obscure\n")
    fill(bench)
    for new in ("a", "aba", OLD, "x" * 511):
        assert result(bench.run("ivy", "chauthtok", new, new)) == SUCCESS
        assert got(bench) == [new]
    assert result(bench.run("ivy", "chauthtok", *[""] * 6)) == AUTHTOK_ERR
    assert result(bench.run("ivy", "chauthtok", *["x" * 512] * 6)) == AUTHTOK_ERR


@pytest.mark.parametrize("minimum", ["0", "8", "20", "", "-1", "x", "99999999999999999999"])
def test_minlen(bench: Bench, minimum: str) -> None:
    bench.stack(f"password required {{module}} nodelay minlen={minimum}\n")
    fill(bench)
    lines = bench.run("ivy", "chauthtok,ruid=1500", OLD, *["1234567"] * 6)
    assert (result(lines) == SUCCESS) == (minimum in ("0", "", "x"))


def test_a_module_before_it_has_asked_for_the_password(bench: Bench) -> None:
    bench.stack("password required {module} nodelay use_authtok\n")
    fill(bench)
    lines = bench.run("ivy", "chauthtok", NEW, NEW)
    assert (lines[:-1], result(lines)) == ([], AUTHTOK_ERR)


def test_passwords_that_differ_and_hanging_up(bench: Bench) -> None:
    fill(bench)
    lines = bench.run("ivy", "chauthtok,ruid=1500", OLD, NEW, "other")
    assert (lines[:-1], result(lines)) == ([*PROVE, *CHOOSE, "error:Sorry, passwords do not match."], AUTHTOK_ERR)
    lines = bench.run("ivy", "chauthtok,ruid=1500", OLD, NEW)
    assert (lines[-2], result(lines)) == ("error:Password change has been aborted.", AUTHTOK_ERR)
    assert result(bench.run("ivy", "chauthtok,ruid=1500")) == AUTHTOK_ERR
    assert got(bench) == []


def test_silent_is_silent(bench: Bench) -> None:
    fill(bench, days="0:0:99999:7:::")
    lines = bench.run("ivy", "acct,silent")
    assert (lines[:-1], result(lines)) == ([], NEW_AUTHTOK_REQD)
    lines = bench.run("ivy", "chauthtok,silent,ruid=1500", OLD, NEW, NEW)
    assert (lines[:-1], result(lines)) == ([PROVE[1], *CHOOSE], SUCCESS)


def test_odd_bytes_arrive_as_they_are(bench: Bench) -> None:
    fill(bench)
    for new in ("pässwörd€", "with space ", "a\nb\nc\td", "\udcff\udc80abcdef", "'; rm -rf / #", "%s%n%s%n"):
        assert result(bench.run("ivy", "chauthtok", new, new)) == SUCCESS
        assert got(bench) == [new]


def test_too_young_and_too_old_passwords(bench: Bench) -> None:
    fill(bench, days=f"{TODAY}:5:99999:7:::")
    lines = bench.run("ivy", "chauthtok,ruid=1500", OLD)
    assert (lines[:-1], result(lines)) == (
        [*PROVE, "error:You must wait longer to change your password."], AUTHTOK_ERR)  # fmt: skip
    assert result(bench.run("ivy", "chauthtok", NEW, NEW)) == SUCCESS
    fill(bench, days="18000:0:90:7:5::")
    assert result(bench.run("ivy", "chauthtok,ruid=1500", OLD)) == AUTHTOK_ERR
    fill(bench, days="18000:0:99999:7::1:")
    assert result(bench.run("ivy", "chauthtok,ruid=1500", OLD)) == AUTHTOK_ERR


# Handing over


def test_the_tool_runs_as_root_with_nothing_of_the_caller_s(bench: Bench) -> None:
    fill(bench)
    assert result(bench.run("ivy", "chauthtok,ruid=1500,tight,pipe", OLD, NEW, NEW)) == SUCCESS
    assert result(bench.run("ivy", "chauthtok,ruid=1500,closed,tight,pipe", OLD, NEW, NEW)) == SUCCESS
    state = (bench.base / "state").read_text().splitlines()
    # dash makes PWD itself.
    assert [line for line in state if "=" in line] == ["PWD=/"]
    rest = [line for line in state if "=" not in line]
    # Standard descriptors, and what ls has opened.
    assert rest[:-2] == [
        "args set-password --service test -- ivy", "0", "0", "root", "0077", "/", "unlimited", "0", "4", "1",
    ]  # fmt: skip
    assert [line.split()[0] for line in rest[-2:]] == ["SigBlk:", "SigIgn:"]
    # The first two real-time signals are glibc's own: no program can set them, and a parent may have them ignored.
    own = 1 << 31 | 1 << 32
    assert [int(line.split()[1], 16) & ~own for line in rest[-2:]] == [0, 0]


@pytest.mark.parametrize(
    ("do", "code"),
    [
        ("exit 0", SUCCESS), ("exit 1", AUTHTOK_ERR), ("exit 2", AUTHTOK_ERR), ("exit 3", USER_UNKNOWN),
        ("exit 4", AUTHTOK_ERR), ("exit 5", AUTHTOK_LOCK_BUSY), ("exit 77", AUTHTOK_ERR),
        ("kill -9 $$", AUTHTOK_ERR), ("kill -TERM $$", AUTHTOK_ERR), ("kill -SEGV $$", AUTHTOK_ERR),
        ("echo failure while writing >&2; exit 1", AUTHTOK_ERR),
        ("head -c 10000000 /dev/zero >&2; exit 0", SUCCESS),
        ("exec 2>&-; sleep 0.2; exit 3", USER_UNKNOWN),
    ],
)  # fmt: skip
def test_every_end_of_the_tool_has_its_code(bench: Bench, do: str, code: int) -> None:
    fill(bench)
    (bench.base / "do").write_text(do + "\n")
    assert result(bench.run("ivy", "chauthtok,ruid=1500", OLD, NEW, NEW)) == code


@pytest.mark.parametrize("tool", [None, "", "#!/nonexistent\n", "\x7fELFrubbish"])
def test_a_tool_that_is_missing_or_rubbish(bench: Bench, tool: str | None) -> None:
    fill(bench)
    bench.tool(tool)
    assert result(bench.run("ivy", "chauthtok,ruid=1500", OLD, NEW, NEW)) == AUTHTOK_ERR


def test_a_tool_that_does_not_read(bench: Bench) -> None:
    fill(bench)
    bench.tool("#!/bin/sh\nexec <&-\nexit 0\n")
    assert result(bench.run("ivy", "chauthtok,pipe", NEW, NEW)) == SUCCESS


@pytest.mark.parametrize("state", ["ignore", "interrupt", "closed", "pipe", "tight"])
def test_whatever_the_application_does_with_signals_and_descriptors(bench: Bench, state: str) -> None:
    fill(bench)
    (bench.base / "do").write_text("sleep 0.1; exit 3\n")
    lines = bench.run("ivy", f"chauthtok,ruid=1500,{state}", OLD, NEW, NEW)
    assert result(lines) == USER_UNKNOWN
    assert lines[-1].endswith("SIGCHLD ignored") == (state == "ignore")
    assert got(bench) == [NEW, HASH]


def test_an_application_that_takes_the_exit_status_away(bench: Bench) -> None:
    bench.stack("password required {module} nodelay noreap\n")
    fill(bench)
    # Whoever is first has it. The file says that nothing has been done, then that it has.
    (bench.base / "do").write_text("exit 3\n")
    assert result(bench.run("ivy", "chauthtok,reap", NEW, NEW)) in (AUTHTOK_ERR, USER_UNKNOWN)
    shadow = bench.base / "local/shadow"
    (bench.base / "do").write_text(f"echo 'ivy:{hash_of(NEW)}:19000::::::' >{shadow}\n")
    assert result(bench.run("ivy", "chauthtok,reap", NEW, NEW)) == SUCCESS


def test_a_password_that_changes_meanwhile_is_not_overwritten(bench: Bench) -> None:
    fill(bench)
    changed = (bench.base / "image/shadow").read_text().replace(HASH, hash_of("other"))
    (bench.base / "changed").write_text(changed)
    meanwhile = f"rename:{bench.base}/changed", f"{bench.base}/image/shadow"
    assert result(bench.run("ivy", "chauthtok,ruid=1500", OLD, *meanwhile, NEW, NEW)) == SUCCESS
    # What was proven is what the tool has to find still, under the locks.
    assert got(bench) == [NEW, HASH]
    # And what is no longer true when the new one has been typed is not handed over at all.
    fill(bench)
    (bench.base / "changed").write_text(changed)
    lines = bench.run("ivy", "chauthtok,ruid=1500", *meanwhile, OLD, NEW, NEW)
    assert (lines[:-1], result(lines), got(bench)) == ([*PROVE, *CHOOSE], AUTHTOK_ERR, [NEW, HASH])


def test_a_field_too_long_for_the_pipe_is_an_error(bench: Bench) -> None:
    fill(bench, field="")
    bench.put("image", "passwd", "ivy:x:1500:1500:::\n")
    bench.put("image", "shadow", "ivy:" + "$" * 100_000 + ":18000::::::\n")
    assert result(bench.run("ivy", "chauthtok,ruid=1500", OLD)) == AUTHTOK_ERR
    # Nor can such a thing be looked at for ever.
    bench.put("image", "shadow", "ivy:" + "$" * 3_000_000 + ":18000::::::\n")
    assert result(bench.run("ivy", "chauthtok,ruid=1500", OLD)) == SYSTEM_ERR


def test_without_privileges_nothing_can_be_changed_nor_seen(bench: Bench) -> None:
    fill(bench)
    (bench.base / "image/shadow").chmod(0o600)
    # pytest's own directories are closed; another test may have opened them, but not to the group that driver keeps.
    for parent in [bench.base, *bench.base.parents]:
        mode = stat.S_IMODE(parent.stat().st_mode)
        if mode & 0o055 != 0o055:
            parent.chmod(mode | 0o055)
    assert result(bench.run("ivy", "chauthtok,uid=1500", OLD, NEW, NEW)) == CRED_INSUFFICIENT
    assert result(bench.run("ivy", "acct,uid=1500")) == AUTHINFO_UNAVAIL
    (bench.base / "image/shadow").chmod(0o644)
    assert result(bench.run("ivy", "chauthtok,uid=1500", OLD, NEW, NEW)) == CRED_INSUFFICIENT
    assert got(bench) == []


# Account

EXPIRED = "error:Your account has expired; please contact your system administrator."
AGED = "error:You are required to change your password immediately (password expired)."
FORCED = "error:You are required to change your password immediately (administrator enforced)."
WARNING = "info:Warning: your password will expire in {} day{}."


@pytest.mark.parametrize(
    ("days", "code", "said"),
    [
        ("18000:0:99999:7:::", SUCCESS, []),
        ("::::::", SUCCESS, []),
        (f"{TODAY}:5:99999:7:::", SUCCESS, []),
        (f"{TODAY + 5}:0:1:7:::", SUCCESS, []),
        (":0:1:7:::", SUCCESS, []),
        ("0:0:99999:7:::", NEW_AUTHTOK_REQD, [FORCED]),
        (f"{TODAY - 10}:0:10:7:::", NEW_AUTHTOK_REQD, [AGED]),
        (f"{TODAY - 10}:0:9:7:2::", NEW_AUTHTOK_REQD, [AGED]),
        (f"{TODAY - 10}:0:9:7:1::", AUTHTOK_EXPIRED, [EXPIRED]),
        (f"{TODAY - 10}:0:9:7:0::", AUTHTOK_EXPIRED, [EXPIRED]),
        (f"{TODAY - 10}:0:12:7:::", SUCCESS, [WARNING.format(2, "s")]),
        (f"{TODAY - 10}:0:11:7:::", SUCCESS, [WARNING.format(1, "")]),
        (f"{TODAY - 10}:20:11:7:::", SUCCESS, [WARNING.format(1, "")]),
        (f"{TODAY - 10}:0:17:7:::", SUCCESS, [WARNING.format(7, "s")]),
        (f"{TODAY - 10}:0:18:7:::", SUCCESS, []),
        (f"{TODAY - 10}:0:11::::", SUCCESS, []),
        (f"18000:0:99999:7::{TODAY}:", ACCT_EXPIRED, [EXPIRED]),
        (f"18000:0:99999:7::{TODAY + 1}:", SUCCESS, []),
        ("0:0:0:7:0:0:", ACCT_EXPIRED, [EXPIRED]),
        (f"{TODAY - 10}:0:4294967295:4294967295:4294967295::", SUCCESS, []),
        (f"{TODAY - 10}:0:2147483647:2147483647:2147483647::", SUCCESS, [WARNING.format(2147483637, "s")]),
    ],
)
def test_expiry(bench: Bench, days: str, code: int, said: list[str]) -> None:
    fill(bench, days=days)
    lines = bench.run("ivy", "acct")
    assert (lines[:-1], result(lines)) == (said, code)


def test_exports_and_hardening(shipped: Bench) -> None:
    symbols = subprocess.run(["nm", "-D", "--defined-only", shipped.module], check=True, capture_output=True, text=True)
    assert sorted(line.split()[-1] for line in symbols.stdout.splitlines()) == ["pam_sm_acct_mgmt", "pam_sm_chauthtok"]
    dynamic = subprocess.run(["readelf", "-dlW", shipped.module], check=True, capture_output=True, text=True).stdout
    assert "BIND_NOW" in dynamic
    assert re.search(r"GNU_STACK.* RW ", dynamic)
    assert "GNU_RELRO" in dynamic


def test_no_secret_is_left_in_memory(shipped: Bench) -> None:
    other = hash_of("somebody")
    fill(shipped)
    shipped.put("local", "passwd", "bob:x:1501:1501:::\n")
    shipped.put("local", "shadow", f"bob:{other}:18000::::::\nivy:{HASH}:18000::::::\neve:{other}:18000::::::\n")
    scan = ",".join(text.encode().hex() for text in (NEW, OLD, HASH, other))
    answers = [f"hex:{text.encode().hex()}" for text in (OLD, NEW, NEW)]
    lines = shipped.run("ivy", "chauthtok,ruid=1500", *answers, scan=scan)
    assert result(lines[:-4]) == SUCCESS
    assert lines[-4:] == ["in memory: 0"] * 4
