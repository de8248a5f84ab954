# SPDX-License-Identifier: MIT
"""accounts check: each finding is found, and the command that it names mends it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from accounts.machine.check import FIXABLE
from accounts.machine.findings import CODES, SAFE
from accounts.model.moves import single_moves
from accounts.system.walklog import Plan, create
from tests.image.elf_files import make_library, make_module
from tests.machine.life import IMAGE, TOP, accounts, local, make_root, tool, validate, write

LIB = "usr/lib/x86_64-linux-gnu"
MODULE = make_library(text=b"\0/usr/lib/passwd\0_nss_altfiles_hidden_1\0")
WWW = "www:x:33:33:web:/var/www:/usr/sbin/nologin\n"
ALICE = {
    "passwd": "alice:x:1000:1000::/home/alice:/bin/sh\n",
    "group": "alice:x:1000:\n",
    "shadow": "alice:!:1::::::\n",
}
LEDGER = "usr/share/accounts/ids"


def wired(path: Path, files: dict[str, str] | None = None) -> Path:
    """A root in which everything is as it should be."""
    root = make_root(path, files)
    (root / LIB).mkdir()
    (root / LIB / "libc.so.6").write_bytes(make_library())
    (root / LIB / "libnss_altfiles.so.2").write_bytes(MODULE)
    (root / LIB / "libsubid_altfiles.so").write_bytes(make_library())
    (root / "usr/lib/pam.d").mkdir()
    (root / "usr/lib/pam.d/other").write_text("auth required pam_deny.so\n")
    return root


def etc(**files: str) -> Callable[[Path], None]:
    return lambda root: write(root / "etc", {name.replace("_", "/"): text for name, text in files.items()})


def image(**files: str) -> Callable[[Path], None]:
    return lambda root: write(root / "usr/lib", files)


def both(*acts: Callable[[Path], None]) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        for one in acts:
            one(root)

    return act


def run(*argv: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        assert tool(root, *argv).status == 0

    return act


def nsswitch(text: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        (root / "etc/nsswitch.conf").unlink()
        (root / "etc/nsswitch.conf").write_text(text)

    return act


def stack(text: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        (root / "usr/lib/pam.d/login").write_text(text)

    return act


RIGHT = (
    "passwd: files altfiles\ngroup: files [SUCCESS=merge] altfiles\nshadow: files altfiles\ngshadow: files altfiles\n"
)


def unit() -> Callable[[Path], None]:
    """The socket of the service, installed and not enabled."""

    def act(root: Path) -> None:
        (root / "usr/lib/systemd/system").mkdir(parents=True, exist_ok=True)
        (root / "usr/lib/systemd/system/accounts-self.socket").touch()
        (root / "usr/bin").mkdir(exist_ok=True)
        (root / "usr/bin/accounts").touch()

    return act


def mask(root: Path, name: str) -> None:
    """As `systemctl mask`."""
    (root / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
    (root / "etc/systemd/system" / name).symlink_to("/dev/null")


def remember(root: Path, text: str) -> None:
    """The ids that the machine knows of an earlier image."""
    (root / "var/lib/accounts").mkdir()
    (root / "var/lib/accounts/ids").write_text(text)


def interrupt(root: Path) -> None:
    """A walk that has been begun."""
    (root / "var/lib/accounts").mkdir()
    plan = Plan(single_moves({"passwd": {32: 33}}), ("/var",), (("passwd", "www", 32, 33, "image"),))
    directory = os.open(root / "var/lib/accounts", os.O_RDONLY)
    create(directory, "re-own", plan).close()
    os.close(directory)


def dead_pid() -> str:
    """A process that is gone."""
    child = subprocess.Popen(["true"])
    child.wait()
    return f"{child.pid}\0"


@dataclass
class Case:
    """code: what is found; act: what is wrong; text: of the finding; mends: whether its command does (else None)."""

    code: str
    act: Callable[[Path], None]
    text: str
    mends: bool = True
    environ: tuple[tuple[str, str], ...] = ()


CASES = [
    Case(
        "module",
        lambda root: (root / LIB / "libnss_altfiles.so.2").unlink(),
        "find no account of the image: no libnss_altfiles.so.2 in",
        False,
    ),
    Case(
        "module-stock",
        lambda root: (root / LIB / "libnss_altfiles.so.2").write_bytes(make_module()),
        "does not honour hide rows",
        False,
    ),
    Case("nsswitch", nsswitch("passwd: files\n" + RIGHT[23:]), "passwd does not reach altfiles"),
    Case("nsswitch", nsswitch(RIGHT.replace(" [SUCCESS=merge]", "")), "group does not merge"),
    Case("nsswitch", nsswitch(RIGHT + "initgroups: files altfiles\n"), "an initgroups line ends the search"),
    Case(
        "nsswitch",
        nsswitch(RIGHT.replace("shadow: files", "shadow: files [SUCCESS=merge]", 1)),
        "shadow must not merge",
    ),
    Case("nsswitch-missing", lambda root: (root / "etc/nsswitch.conf").unlink(), "nsswitch.conf is missing"),
    Case(
        "unknown-setting",
        lambda root: write(root / "etc", {"accounts/accounts.conf": "# x\nHIDE=auto\nIMGE_DIR=/x\n"}),
        "accounts.conf: there is no setting 'IMGE_DIR', did you mean 'IMAGE_DIR'?",
        False,
    ),
    Case(
        "nsswitch-missing",
        lambda root: (
            [(root / path).unlink() for path in ("etc/nsswitch.conf", "usr/share/accounts/nsswitch.conf")] and None
        ),
        "nsswitch.conf is missing",
    ),
    Case("nsswitch-missing", lambda root: (root / "usr/share/accounts/nsswitch.conf").unlink(), "leads nowhere"),
    Case("subid", nsswitch(RIGHT + "subid: sss\n"), "there is no libsubid_sss.so"),
    Case(
        "subid", both(image(subuid="www:100000:65536\n"), nsswitch(RIGHT)), "'subid: altfiles' is what it takes", False
    ),
    Case(
        "pam",
        both(
            lambda root: (root / "usr/lib/pam.d/other").unlink(),
            lambda root: (root / LIB / "libpam.so.0").write_bytes(make_library()) and None,
        ),
        "there is no service in /etc/pam.d",
        False,
    ),
    Case("self-service", unit(), "accounts-self.socket is not enabled", False),
    Case(
        "self-service",
        both(unit(), lambda root: mask(root, "accounts-self.socket")),
        "etc/systemd/system/accounts-self.socket is masked",
        False,
    ),
    Case("pam-module", stack("password required pam_accounts.so\n"), "asks pam_accounts.so for passwords, and", False),
    Case(
        "pam-stack",
        stack("password required pam_unix.so\npassword required pam_accounts.so\n"),
        "asks pam_unix.so for a new password before pam_accounts.so",
        False,
    ),
    Case(
        "stale-override",
        both(run("usermod", "-s", "/bin/sh", "www"), image(passwd=IMAGE["passwd"].replace("/var/www", "/srv"))),
        "passwd 'www': the image has changed home under a local change",
    ),
    Case(
        "stale-gid",
        both(run("usermod", "-aG", "video", "www"), image(group=IMAGE["group"].replace("44", "45"))),
        "group 'video': GID 44 -> 45",
    ),
    Case(
        "conflict",
        both(
            run("usermod", "-s", "/bin/sh", "www"),
            image(passwd=IMAGE["passwd"].replace("/usr/sbin/nologin", "/bin/no")),
        ),
        "shell was /usr/sbin/nologin; the image has /bin/no, this machine /bin/sh",
    ),
    Case(
        "orphan",
        both(run("usermod", "-s", "/bin/sh", "www"), image(passwd=IMAGE["passwd"].replace(WWW, ""))),
        "the image no longer has this user",
    ),
    Case("no-base", etc(passwd=WWW.replace("/var/www", "/srv")), "nothing says what it was made from"),
    Case("needless-row", etc(passwd=WWW), "passwd 'www': says what the image says"),
    Case("needless-row", etc(group="adm:x:4:daemon\n"), "group 'adm': says what the image says"),
    Case(
        "name-collision",
        etc(passwd="www:x:1000:1000::/home/www:/bin/sh\n", group="own:x:1000:\n"),
        "is local with UID 1000",
    ),
    Case(
        "id-collision",
        etc(passwd="alice:x:33:33::/home/alice:/bin/sh\n", shadow="alice:!:1::::::\n"),
        "UID 33 belongs to the image's 'www'",
    ),
    Case("id-collision", etc(group="crew:x:44:\n"), "GID 44 belongs to the image's 'video'"),
    Case(
        "changed-id",
        lambda root: remember(root, "passwd:www:32\ngroup:video:44\n"),
        "the image gives 'www' UID 33, and its files here are of 32",
    ),
    Case("unfinished-walk", lambda root: interrupt(root), "/var/lib/accounts/re-own: files are left that belong to"),
    Case(
        "reused-id",
        both(etc(**ALICE), lambda root: (root / LEDGER).write_text("passwd:old:1000:removed\n") and None),
        "UID 1000 of 'alice' belonged to the image's 'old'",
    ),
    Case("dangling-member", etc(group="video:x:44:ghost\n"), "group 'video' lists 'ghost', who is no user"),
    Case("no-primary-group", etc(passwd=ALICE["passwd"], shadow=ALICE["shadow"]), "user 'alice' has GID 1000"),
    Case("missing-shadow", image(shadow="root:*:1::::::\ndaemon:*:1::::::\n"), "user 'www' has no row in shadow"),
    Case("stale-shadow", etc(shadow="ghost:!:1::::::\n"), "a row of 'ghost', who is in no passwd"),
    Case("stale-gshadow", etc(gshadow="ghost:!::\n"), "a row of 'ghost', who is in no group"),
    Case("stale-hide", etc(accounts_hidden="passwd:gone\n"), "passwd 'gone' is hidden, and the image has no such row"),
    Case("repeated-row", etc(group="crew:x:1000:\ncrew:x:1001:\n"), "'crew' is in /etc/group more than once"),
    Case("broken-row", etc(passwd="nonsense\n"), "/etc/passwd:1 is no row", environ=(("EDITOR", "sed -i 1d"),)),
    Case(
        "subid-overlap",
        both(etc(**ALICE, subuid="alice:100000:65536\nwww:165535:10\n"), run("usermod", "-s", "/bin/sh", "www")),
        "'www' and 'alice' share ids of 165535-165535 in subuid",
    ),
    Case(
        "mode",
        both(etc(**ALICE), lambda root: (root / "etc/shadow").chmod(0o644)),
        "/etc/shadow is 0644 0:42, not 0640 0:42",
    ),
    Case("mode", both(etc(**ALICE), lambda root: os.chown(root / "etc/passwd", 5, 5)), "/etc/passwd is 0644 5:5"),
    Case("journal", lambda root: (root / "etc/.accounts.journal").touch(), "waits for the next tool"),
    Case(
        "journal-aside",
        lambda root: (root / "etc/.accounts.journal.1-2").touch(),
        "its files have been changed since",
        False,
    ),
    Case(
        "leftover",
        lambda root: (root / "etc/passwd.lock").write_text(dead_pid()) and None,
        "the lock /etc/passwd.lock is of process",
    ),
    Case("leftover", lambda root: (root / "etc/shadow.4711").touch(), "temporary file /etc/shadow.4711"),
    Case(
        "leftover", lambda root: (root / "etc/.accounts.9-a.0.new").touch(), "temporary file /etc/.accounts.9-a.0.new"
    ),
]


def findings(root: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = accounts(root, "check", "--json").json["findings"]
    return found


def test_nothing_is_found_where_everything_is_right(tmp_path: Path) -> None:
    files = dict(ALICE, gshadow="alice:!::\nvideo:*::alice\n", subuid="alice:100000:65536\n")
    files["accounts/base"] = "gshadow:video:*::\n"
    root = wired(tmp_path, files | {"group": "alice:x:1000:\nvideo:x:44:alice\n"})
    done = accounts(root, "check")
    assert (done.status, done.stdout, done.stderr) == (0, "", "")
    (root / "etc/group.lock").write_text(f"{os.getpid()}\0")
    assert accounts(root, "check").status == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_a_finding_is_found_and_its_command_mends_it(case: Case, tmp_path: Path) -> None:
    root = wired(tmp_path)
    assert findings(root) == []
    case.act(root)
    found = [one for one in findings(root) if one["rule"] == case.code]
    assert found, findings(root)
    assert case.text in found[0]["message"]
    assert bool(found[0].get("fix")) == case.mends
    if case.mends:
        path = f"{TOP}/shims:{os.environ['PATH']}"
        environ = {"PATH": path, **dict(case.environ)}
        subprocess.run(["sh", "-c", found[0]["fix"]], env=environ, timeout=60, capture_output=True, check=False)
        assert [one for one in findings(root) if one["rule"] == case.code] == []


@pytest.mark.parametrize("case", [case for case in CASES if case.code in SAFE], ids=lambda case: case.code)
def test_fix_mends_what_is_safe(case: Case, tmp_path: Path) -> None:
    root = wired(tmp_path)
    case.act(root)
    before = sorted(os.listdir(root / "etc"))
    dry = accounts(root, "check", "--fix", "--dry-run")
    assert (dry.status, sorted(os.listdir(root / "etc"))) == (1, before)
    done = accounts(root, "check", "--fix")
    assert done.status == 0
    assert done.stderr.count("\n") == (case.code == "journal")
    assert case.code in done.stdout


def test_fix_leaves_what_is_not_safe(tmp_path: Path) -> None:
    root = wired(tmp_path, {"group": "video:x:44:ghost\n"})
    before = local(root)
    assert accounts(root, "check", "--fix").status == 1
    assert local(root) == before


def test_every_code_is_documented_and_tested() -> None:
    documented = re.findall(r"^\| `([a-z-]+)` \| (fail|warn) \|", (TOP / "docs/findings.md").read_text(), re.MULTILINE)
    assert documented == [(code, severity) for code, (severity, _, _) in CODES.items()]
    assert {case.code for case in CASES} == set(CODES)


def test_json_follows_its_schema(tmp_path: Path) -> None:
    root = wired(tmp_path, {"group": "video:x:44:ghost\n", "shadow": "ghost:!:1::::::\n"})
    validate(accounts(root, "check", "--json").json, "check")
    validate(accounts(root, "check", "--json", "--fix").json, "check")


def test_names_cannot_reach_the_shell(tmp_path: Path) -> None:
    root = wired(tmp_path, {"group": "video:x:44:$(touch pwned);x\n"})
    found = next(one for one in findings(root) if one["rule"] == "dangling-member")
    assert found["fix"] == f"gpasswd -Q {root} -d '$(touch pwned);x' video"


def test_ranges_of_owners_that_usermod_does_not_know(tmp_path: Path) -> None:
    """No command is told that ends in an error; a UID and the name of its user are one owner."""
    both = "alice:100000:65536\n1000:100000:10\n4711:100000:10\nghost:300000:10\nalice:300005:1\n"
    root = wired(tmp_path, dict(ALICE, subuid=both, gshadow="alice:!::\n"))
    found = [one for one in findings(root) if one["rule"] == "subid-overlap"]
    assert [(one["name"], one.get("fix", "").split(" -")[0]) for one in found] == [("4711", ""), ("alice", "usermod")]
    assert found[0]["message"] == "'4711' and 'alice' share ids of 100000-100009 in subuid"


@pytest.mark.parametrize("release", ["4.13", "4.20"])
@pytest.mark.parametrize("member", ["ghost", ""])
def test_a_member_who_is_no_user_goes_in_every_release(release: str, member: str, tmp_path: Path) -> None:
    root = wired(
        tmp_path, {"group": f"video:x:44:{member},www\n", "accounts/accounts.conf": f"SHADOW_COMPAT={release}\n"}
    )
    fix = next(one["fix"] for one in findings(root) if one["rule"] == "dangling-member")
    subprocess.run(["sh", "-ec", fix], env={"PATH": f"{TOP}/shims:{os.environ['PATH']}"}, timeout=60, check=True)
    assert (root / "etc/group").read_text() == "video:x:44:www\n"


def test_fix_refuses_what_it_does_not_mend(tmp_path: Path) -> None:
    root = wired(tmp_path, {"group": "video:x:44:ghost\n"})
    for case in CASES:
        if case.code not in FIXABLE:
            done = accounts(root, "check", f"--fix={case.code}")
            assert (done.status, done.stdout, done.stderr.count("\n")) == (2, "", 1)
            assert f"'{case.code}' is not mended so, but by the command that check prints" in done.stderr


def test_fix_says_what_the_mode_was(tmp_path: Path) -> None:
    root = wired(tmp_path, ALICE)
    (root / "etc/passwd").chmod(0o666)
    done = accounts(root, "check", "--fix=mode")
    assert "mode: /etc/passwd was 0666 0:0, is 0644 0:0\n" in done.stdout


def test_an_unknown_code_is_wrong_usage(tmp_path: Path) -> None:
    done = accounts(make_root(tmp_path), "check", "--fix=nonsense")
    assert (done.status, done.stderr.count("\n")) == (2, 1)


def test_a_seeded_image_that_nothing_leads_to_is_found(tmp_path: Path) -> None:
    """As after `accounts image seed` without `wire`: nobody is seen, and without a finding all would look well."""
    root = make_root(tmp_path, nsswitch=False)
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\ngshadow: files\n")
    assert accounts(root, "check").stdout == ""
    (root / "usr/share/accounts/ids").write_text("passwd:root:0:present\n")
    found = accounts(root, "check", "--json").json["findings"]
    assert {one["rule"] for one in found} == {"nsswitch"} and len(found) == 4
    assert accounts(root, "status").status == 1
