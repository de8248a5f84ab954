# SPDX-License-Identifier: MIT
"""pam_accounts.so and `accounts set-password` together, in this machine with its accounts in the image layer."""

from __future__ import annotations

import os
import random
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest

from accounts.cli.setpassword import TOOL
from accounts.errors import FileError
from tests.pam.conftest import HERE
from tests.support.hashes import verifies
from tests.support.overlay import in_overlay, run_tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

OLD, NEW = "secret", "Xk3!vbe9Qz"
USERS = [f"user{number}" for number in range(8)]
FILES = ("etc/passwd", "etc/shadow", "etc/accounts/base")
STACK = "password required pam_accounts.so nodelay\npassword optional pam_unix.so sha256 rounds=1000\n"
SUCCESS, AUTHTOK_ERR, AUTHTOK_LOCK_BUSY = 0, 20, 22


def hash_of(password: str) -> str:
    command = ["openssl", "passwd", "-6", "-salt", "saltsalt", password]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


HASH = hash_of(OLD)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The PAM application of tests/pam."""
    place = tmp_path_factory.mktemp("driver") / "driver"
    subprocess.run(["cc", "-D_GNU_SOURCE", "-o", place, HERE / "driver.c", "-lpam"], check=True)
    return place.read_bytes()


def prepare(driver: bytes) -> None:
    Path("/run/driver").write_bytes(driver)
    Path("/run/driver").chmod(0o755)
    Path("/etc/pam.d").mkdir(exist_ok=True)
    Path("/etc/pam.d/test").write_text(STACK)
    for number, user in enumerate(USERS, 1500):
        for name, row in {"passwd": f"x:{number}:{number}::/:/bin/sh", "shadow": f"{HASH}:19000:0:99999:7:::"}.items():
            with open(f"/usr/lib/{name}", "a") as file:
                file.write(f"{user}:{row}\n")


def start(user: str, *answers: str) -> subprocess.Popen[str]:
    """The application asks for that user, and is not root's."""
    command = ["/run/driver", "/etc/pam.d", "test", user, "chauthtok,ruid=1500", *answers]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def change(user: str, old: str = OLD, new: str = NEW) -> int:
    return finish(start(user, old, new, new))


def finish(process: subprocess.Popen[str]) -> int:
    said, _ = process.communicate(timeout=120)
    found = re.search(r"^= (\d+),", said, re.M)
    assert found, said
    return int(found[1])


def row(user: str) -> list[str]:
    return run_tool("getent", "shadow", user).stdout.rstrip("\n").split(":")


def knows(user: str, password: str) -> bool:
    return verifies(password.encode(), row(user)[1].encode())


def local() -> dict[str, str]:
    return {name: path.read_text() for name in FILES if (path := Path("/", name)).exists()}


def _life() -> None:
    assert local() == {}
    assert change("user0", "wrong") == AUTHTOK_ERR
    assert local() == {}
    assert change("user0") == SUCCESS
    # One row, hashed as pam_unix's line of the stack says; and what it was made from.
    rows = local()
    assert sorted(rows) == ["etc/accounts/base", "etc/shadow"]
    assert re.fullmatch(
        rf"user0:\$5\$rounds=1000\$[^:]*:{int(time.time()) // 86400}:0:99999:7:::\n", rows["etc/shadow"]
    )
    assert knows("user0", NEW)
    assert change("user0", OLD) == AUTHTOK_ERR
    # A user of this machine, whose comment lines stay.
    run_tool("useradd", "-u", "1501", "-o", "-p", HASH, "bob")
    with open("/etc/shadow", "a") as file:
        file.write("# a comment\n")
    assert change("bob") == SUCCESS
    assert knows("bob", NEW)
    assert "# a comment\n" in local()["etc/shadow"]


def _statuses() -> None:
    before = local()
    for stdin, status in (
        ("", 2), (NEW, 2), (f"{NEW}\0{HASH}", 2), (f"{NEW}\0{HASH}\0x", 2), (f"{NEW}\0\0\0", 2),
        (f"{NEW}\0{hash_of('other')}\0", 4), (f"{NEW}\0\0", 4), ("x" * 512 + "\0", 1),
    ):  # fmt: skip
        done = run_tool("/usr/bin/accounts", "set-password", "user0", stdin=stdin)
        assert (done.returncode, done.stdout) == (status, ""), (stdin, done.stderr)
        assert done.stderr.startswith("accounts set-password: "), done.stderr
        assert NEW not in done.stderr
        assert HASH not in done.stderr
        assert "Traceback" not in done.stderr
    assert run_tool("/usr/bin/accounts", "set-password", "eve", stdin="x\0").returncode == 3
    done = run_tool("/usr/bin/accounts", "set-password", "user0", stdin=f"{NEW}\0{HASH}\0", user=1500, group=1500)
    assert (done.returncode, done.stderr) == (4, "accounts set-password: this needs root\n")
    assert local() == before
    for service in ("test", "../../../etc/pam.d/test", "nobody's", ""):
        done = run_tool("/usr/bin/accounts", "set-password", "--service", service, "user0", stdin=f"{NEW}\0")
        assert (done.returncode, done.stderr) == (0, ""), service
        assert done.stdout == "the password of 'user0' is set\n"


def test_what_changes_and_what_the_tool_answers(driver: bytes) -> None:
    in_overlay(_all, driver, stateless=True)
    # pam/tool.c calls it PAM_AUTHTOK_LOCK_BUSY; it takes 15 seconds to come true.
    for database in ("passwd", "shadow"):
        assert TOOL.status(FileError(database, "lock")) == 5


TODAY = int(time.time()) // 86400
# No day on which something ends, nor a password without a day but with an age: there 1.5.2 differs from 1.7.
DAYS = [
    "19000:0:99999:7:::", "::::::", "0:0:99999:7:::", "0::::::", f"{TODAY}:0:99999:7:::", f"{TODAY}:5:99999:7:::",
    f"{TODAY + 9}:0:5:7:::", f"{TODAY - 20}:0:10:7:::", f"{TODAY - 20}:0:10:7:30::", f"{TODAY - 20}:0:10:7:3::",
    f"{TODAY - 20}:0:10:7:0::", f"{TODAY - 20}:0:25:7:::", f"{TODAY - 20}:0:21:7:::", f"{TODAY - 20}:0:90:7:::",
    f"{TODAY - 20}:0:25:0:::", f"{TODAY - 20}:30:25:7:::", f"19000:0:99999:7::{TODAY - 3}:",
    f"19000:0:99999:7::{TODAY + 3}:", f"0:0:10:7:3:{TODAY - 3}:", "19000:0:0:7:::", "19000:0:99999:99999:99999::",
]  # fmt: skip


def _expiry() -> None:
    """The account part says what pam_unix says, of the same rows through NSS."""
    for module in ("pam_unix", "pam_accounts"):
        Path(f"/etc/pam.d/{module}").write_text(f"account required {module}.so\n")
    rows = "".join(f"day{number}:{HASH}:{days}\n" for number, days in enumerate(DAYS))
    for layer in ("usr/lib", "etc"):
        with open(f"/{layer}/passwd", "a") as file:
            file.write("".join(f"day{number}:x:{1700 + number}:1700::/:/bin/sh\n" for number in range(len(DAYS))))
        with open(f"/{layer}/shadow", "a") as file:
            file.write(rows if layer == "usr/lib" else rows.replace("$6$", "$5$"))
        seen = set()
        for number, days in enumerate(DAYS):
            said = [
                run_tool("/run/driver", "/etc/pam.d", module, f"day{number}", "acct").stdout
                for module in ("pam_unix", "pam_accounts")
            ]
            assert said[0] == said[1], days
            seen.add(said[0].partition("=")[2])
        assert len(seen) == 4
        unknown = run_tool("/run/driver", "/etc/pam.d", "pam_accounts", "nobody-at-all", "acct").stdout
        assert unknown.startswith("= 10,")


def _all(driver: bytes) -> None:
    prepare(driver)
    for scenario in (_life, _statuses, _at_once, _expiry):
        for name in FILES:
            Path("/", name).unlink(missing_ok=True)
        scenario()


def _full_disk() -> None:
    subprocess.run(["cp", "-a", "/etc", "/run/etc"], check=True)
    size = int(run_tool("du", "-sk", "/etc").stdout.split()[0]) + 4096
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", "/etc"], check=True)
    subprocess.run(["cp", "-a", "/run/etc/.", "/etc/"], check=True)
    before = local()
    try:
        with open("/etc/ballast", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        pass
    # Not even a lock can be made.
    assert change("user1") in (AUTHTOK_ERR, AUTHTOK_LOCK_BUSY)
    assert local() == before
    os.unlink("/etc/ballast")
    assert change("user1") == SUCCESS
    assert knows("user1", NEW)
    assert knows("user0", NEW)


def _killed(driver: bytes) -> tuple[int, int]:
    prepare(driver)
    password, done, torn = OLD, 0, 0
    random.seed(13)
    for number in range(12):
        new = f"{NEW}{number}"
        process = start("user0", password, new, new)
        time.sleep(random.uniform(0, 0.25))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), 9)
        code = finish(process)
        # Whatever PAM says, the files are of one state or of the other; the next tool finishes what was begun.
        run_tool("/usr/bin/accounts", "check", "--fix")
        now = knows("user0", new)
        assert now or knows("user0", password)
        assert code == SUCCESS or children
        assert now or code != SUCCESS
        password = new if now else password
        done, torn = done + now, torn + bool(children)
        assert len(local().get("etc/shadow", "").splitlines()) <= 1
    assert change("user0", password, NEW) == SUCCESS
    _full_disk()
    return done, torn


def test_a_tool_that_is_killed_or_finds_no_room_leaves_one_state_or_the_other(driver: bytes) -> None:
    done, killed = in_overlay(_killed, driver, stateless=True)
    assert killed
    assert done


def _at_once() -> None:
    codes: dict[str, int] = {}
    threads = [threading.Thread(target=lambda user=user: codes.update({user: change(user)})) for user in USERS]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == dict.fromkeys(USERS, SUCCESS)
    assert [knows(user, NEW) for user in USERS] == [True] * len(USERS)
    assert len(local()["etc/shadow"].splitlines()) == len(USERS)
