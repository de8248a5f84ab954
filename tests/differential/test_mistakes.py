# SPDX-License-Identifier: MIT
"""Mistakes of a release that are not copied: what the real tool does, and what ours does."""

from __future__ import annotations

import pytest

from tests.replay.run import as_release
from tests.support.state import Command, File, Outcome, State
from tests.support.worker import SOURCE, Tools, debian, run_all

BEFORE = State(
    etc={
        "passwd": File(b"root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n"),
        "group": File(b"root:x:0:\nshadow:x:42:\nbob:x:1000:\n"),
        "shadow": File(b"root:*:19000::99999:7:::\nbob:!:19000::99999:7:::\n", 0o640, 0, 42),
    }
)
# Of the password "password", by crypt(3) of libxcrypt 4.4.
YESCRYPT = b"$y$j9T$LdJMENpBABJJ3hIHjB1Bi.$u2OTvjfFNnWXgGAOFvgB1vH5NgjtzZuf1aX1t4YvTE."
GOST_YESCRYPT = b"$gy$j9T$LdJMENpBABJJ3hIHjB1Bi.$pP4MOJXoZyqQOpWE75TrW6MUoCKtOPCrYdKv3vpzDvC"
SCRYPT = b"$7$CU..../....2Q9obwLhin8qvQl6sisAO/$ySQ8bDzyz.kXZCn3jmqtsmY1rVhxrMWuHt8nHG6tMa2"


def run(tools: Tools, command: Command, before: State = BEFORE) -> Outcome:
    """One run."""
    jobs = [(0, before, tools.path(command.tool), command)]
    return next(outcome for _, outcome in run_all(jobs, tools.lower, 1, tools.system))


@pytest.mark.parametrize("field", [YESCRYPT, GOST_YESCRYPT, SCRYPT], ids=["yescrypt", "gost-yescrypt", "scrypt"])
def test_chpasswd_of_4_20_knows_two_methods_of_crypt_not(field: bytes) -> None:
    command = Command("chpasswd", [b"-e"], stdin=b"bob:" + field + b"\n", day=20000)
    row = b"bob:" + field + b":20000::99999:7:::\n"
    ours = run(SOURCE, as_release(command, "4.20"))
    assert (ours.exit, ours.stderr) == (0, b"")
    assert ours.after.etc["shadow"].data.endswith(row)
    real = run(debian("4.20"), command)
    if field == YESCRYPT:
        assert (real.exit, real.after.etc["shadow"]) == (0, ours.after.etc["shadow"])
    else:
        said = b"chpasswd: (line 1, user bob) invalid password hash\nchpasswd: error detected, changes ignored\n"
        assert (real.exit, real.stderr, real.after.etc["shadow"]) == (1, said, BEFORE.etc["shadow"])


def with_subids(text: bytes) -> State:
    """BEFORE, with subuid and subgid."""
    return State(etc={**BEFORE.etc, "subuid": File(text), "subgid": File(text)})


def test_usermod_of_4_20_adds_one_subordinate_id_too_many() -> None:
    command = Command("usermod", [b"-S", b"bob"])
    for tools, count in ((debian("4.20"), b"65537"), (SOURCE, b"65536")):
        asked = as_release(command, "4.20") if tools is SOURCE else command
        after = run(tools, asked, with_subids(b"")).after.etc
        assert (after["subuid"].data, after["subgid"].data) == (b"bob:100000:" + count + b"\n",) * 2


def test_useradd_of_4_20_fails_on_subuid_without_final_newline() -> None:
    command = Command("useradd", [b"eve"])
    before = with_subids(b"bob:100000:65536")
    real, ours = run(debian("4.20"), command, before), run(SOURCE, as_release(command, "4.20"), before)
    assert (real.exit, real.after.etc["subuid"]) != (0, ours.after.etc["subuid"])
    assert ours.exit == 0
    assert ours.after.etc["subuid"].data == b"bob:100000:65536\neve:165536:65536\n"


def test_useradd_of_4_20_cannot_store_ranges_by_uid() -> None:
    """It asks NSS for the UID of a user that it has not written yet."""
    before = with_subids(b"bob:100000:65536\n")
    before.etc["login.defs"] = File(b"SUB_UID_STORE_BY_UID yes\nSUB_GID_STORE_BY_UID yes\n")
    command = Command("useradd", [b"eve"])
    real, ours = run(debian("4.20"), command, before), run(SOURCE, as_release(command, "4.20"), before)
    assert (real.exit, real.stderr) == (16, b"useradd: failed to prepare the new /etc/subuid entry\n")
    assert (ours.exit, ours.after.etc["subuid"].data) == (0, b"bob:100000:65536\n1001:165536:65536\n")


def test_a_range_by_uid_is_that_of_the_real_4_20() -> None:
    before = with_subids(b"bob:100000:65536\n")
    defs = b"SUB_UID_DETERMINISTIC yes\nSUB_GID_DETERMINISTIC yes\n"
    for text, status in ((defs, 0), (defs + b"SUB_UID_MAX 66000\n", 16)):
        before.etc["login.defs"] = File(text)
        command = Command("useradd", [b"-u", b"1002", b"eve"], day=20000)
        outcomes = [
            run(tools, as_release(command, "4.20") if tools is SOURCE else command, before)
            for tools in (debian("4.20"), SOURCE)
        ]
        assert outcomes[0].exit == status
        real, ours = ((one.exit, one.stderr, one.after.etc["subuid"], one.after.etc["subgid"]) for one in outcomes)
        assert real == ours


@pytest.mark.parametrize("release", ["4.17", "4.20"])
def test_useradd_since_4_14_writes_only_the_first_group_of_its_defaults(release: str) -> None:
    before = State(etc={**BEFORE.etc, "default/useradd": File(b"GROUPS=shadow,bob\n")})
    command = Command("useradd", [b"-D", b"-s", b"/bin/sh"])
    real, ours = (
        run(tools, as_release(command, release) if tools is SOURCE else command, before)
        for tools in (debian(release), SOURCE)
    )
    written = [one.after.etc["default/useradd"].data.splitlines()[0] for one in (real, ours)]
    assert (real.exit, ours.exit, written) == (0, 0, [b"GROUPS=shadow", b"GROUPS=shadow,bob"])
