# SPDX-License-Identifier: MIT
"""Every rule is caught on a root made to break it, and none on a root that is fine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accounts.errors import BadArgument
from accounts.image.check import check
from accounts.image.findings import RULES, Findings, holds_hash
from accounts.image.layers import Layers
from accounts.image.rules import parse_rules
from accounts.image.seed_image import seed_image
from accounts.image.tree import Tree
from accounts.image.uses import find_uses
from tests.image.accounts import NSSWITCH, change, make_image, wire_image
from tests.image.elf_files import AARCH64, make_library, make_module
from tests.image.rootfs import make, tell
from tests.support.forked import run_forked

TOP = Path(__file__).resolve().parents[2]
HASH = "$6$salt$hash"


def fine_image(root: Path) -> Path:
    """A seeded and wired root about which check says nothing."""
    wire_image(make_image(root))
    seed_image(root, severities={"unpinned-id": "ignore"})
    return root


def edit(path: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda root: change(root, path, old, new)


def add(path: str, text: str) -> Callable[[Path], None]:
    def append(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with (root / path).open("a") as file:
            file.write(text)

    return append


def own(path: str, uid: int, gid: int) -> Callable[[Path], None]:
    def give(root: Path) -> None:
        make(root, {path: "x"})
        os.chown(root / path, uid, gid)

    return give


def mode(path: str, bits: int, gid: int = 42) -> Callable[[Path], None]:
    def set_mode(root: Path) -> None:
        make(root, {} if (root / path).exists() else {path: ""})
        os.chown(root / path, 0, gid)
        os.chmod(root / path, bits)

    return set_mode


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change_all(root: Path) -> None:
        for one in changes:
            one(root)

    return change_all


def remove(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


LIB, MODULE = "usr/lib/x86_64-linux-gnu", "libnss_altfiles.so.2"
OTHER = make_library(AARCH64)
# Rule; what is done to a fine root; what the finding says.
BROKEN: list[tuple[str, Callable[[Path], None], str]] = [
    ("changed-id", edit("usr/lib/passwd", "sshd:x:100:", "sshd:x:102:"), "user 'sshd' had id 100, now 102"),
    ("changed-id", edit("usr/lib/group", "www-data:x:33:", "www-data:x:34:"), "group 'www-data' had id 33, now 34"),
    ("changed-id", edit("../pins", "sshd:x:100:65534", "sshd:x:107:65534"), "user 'sshd' has id 100, but 107 in "),
    ("changed-id", edit("../pins", "sshd:x:100:65534", "sshd:x:100:99"), "user 'sshd' has GID 65534, but 99 in "),
    ("reused-id", add("usr/share/accounts/ids", "passwd:gone:100:removed\n"), "id 100, which belonged to 'gone'"),
    ("reused-id", edit("usr/lib/group", "messagebus:x", "bus:x"), "'bus' has id 101, which belonged to 'messagebus'"),
    ("sysusers-id", add("usr/lib/sysusers.d/x.conf", "u sshd 105:nogroup\n"), "has id 100, but 105 in sysusers.d"),
    ("sysusers-id", add("usr/lib/sysusers.d/x.conf", "u adm 7\ng adm 8\n"), "'adm' has id 4, but 8 in sysusers.d"),
    ("duplicate-id", add("usr/lib/passwd", "toor:x:0:0::/:/bin/sh\n"), "users 'root', 'toor' have one id, 0"),
    ("duplicate-id", add("etc/group", "mine:x:4:\n"), "groups 'mine', 'adm' have one id, 4"),
    ("unpinned-id", add("usr/lib/group", "new:x:150:\n"), "group 'new' has the dynamic id 150"),
    ("orphan-files", both(add("usr/share/accounts/ids", "passwd:old:77:removed\n"), own("var/lib/old/f", 77, 0)),
     "removed user 'old' (77) still owns 1 file"),
    ("orphan-files", both(add("usr/share/accounts/ids", "group:old:77:removed\n"), own("var/lib/old/f", 0, 77)),
     "removed group 'old' (77) still owns 1 file"),
    ("unknown-owner", own("var/f", 4711, 0), "user 4711 owns 1 file, and there is no such user"),
    ("no-primary-group", edit("usr/lib/passwd", "101:101:", "101:102:"), "'messagebus' has GID 102"),
    ("no-such-member", edit("usr/lib/group", "adm:x:4:", "adm:x:4:bob,"), "group 'adm' lists 'bob', who is no user"),
    ("no-such-member", edit("usr/lib/gshadow", "adm:*:alice", "adm:*:carol"), "gshadow 'adm' lists 'carol'"),
    ("empty-password", edit("usr/lib/shadow", "sshd:!", "sshd:"), "user 'sshd' needs no password"),
    ("empty-password", edit("usr/lib/passwd", "sshd:x", "sshd:"), "user 'sshd' needs no password"),
    ("hidden-password", add("etc/passwd", "root:*:0:0:root:/root:/bin/bash\n"), "passwd: '*' of 'root' is in place"),
    ("hidden-password", add("etc/group", "adm:*:4:\n"), "/etc/group: '*' of 'adm' is in place of the image's 'x'"),
    ("readable-hash", edit("usr/lib/passwd", "sshd:x", f"sshd:!{HASH}"), "/usr/lib/passwd has the password hash of"),
    ("readable-hash", edit("usr/lib/group", "adm:x", f"adm:{HASH}"), "/usr/lib/group has the password hash of 'adm'"),
    ("readable-hash", mode("usr/lib/shadow", 0o644), "/usr/lib/shadow is 0644 0:42, not 0640 root:shadow or less"),
    ("readable-hash", mode("usr/lib/gshadow", 0o640, 1), "/usr/lib/gshadow is 0640 0:1"),
    ("readable-hash", mode("usr/share/factory/etc/shadow", 0o644), "/usr/share/factory/etc/shadow is 0644"),
    ("undefined-name", add("usr/lib/udev/rules.d/1.rules", 'KERNEL=="x", GROUP="dialin"\n'), "group 'dialin' is used"),
    ("undefined-name", add("usr/lib/udev/rules.d/1.rules", 'X=="y", \\\n OWNER:="udevuser"\n'), "user 'udevuser' is"),
    ("undefined-name", add("usr/lib/tmpfiles.d/x.conf", "d /run/x 0755 tmpuser root -\n"), "user 'tmpuser' is used"),
    ("undefined-name", add("usr/lib/tmpfiles.d/x.conf", "a+ /x - - - - d:group:wheel:r-x,u:root:r\n"), "group 'wheel'"),
    ("undefined-name", add("etc/sysusers.d/x.conf", "u web -:webgroup\n"), "group 'webgroup' is used"),
    ("undefined-name", add("usr/share/dbus-1/system.d/x.conf", '<policy user="bus1"/><!-- user="no" -->'), "'bus1'"),
    ("undefined-name", add("usr/share/dbus-1/system.d/x.conf", "<policy group='bussers'>"), "group 'bussers'"),
    ("undefined-name", add("usr/lib/systemd/system/x.service", "[Service]\nUser=runner\n"), "user 'runner'"),
    ("undefined-name", add("usr/lib/systemd/system/x.service", "[Service]\nGroup=runners\n"), "group 'runners'"),
    ("undefined-name", add("usr/lib/systemd/system/x.service", "SupplementaryGroups=a adm\n"), "group 'a'"),
    ("undefined-name", add("etc/systemd/system/x.socket.d/x.conf", "[Socket]\nSocketGroup=socks\n"), "group 'socks'"),
    ("created-at-boot", add("usr/lib/sysusers.d/x.conf", "g render -\n"), "group 'render' is added to /etc at boot"),
    ("broken-row", add("usr/lib/passwd", "half:x:5\n"), "/usr/lib/passwd:7: not a valid row"),
    ("broken-row", add("usr/lib/group", "adm:x:4:\n"), "/usr/lib/group:9: 'adm' is there twice"),
    ("seeded", edit("usr/lib/passwd", "root:x:0:0", "r00t:x:0:0"), "has no root with UID 0"),
    ("seeded", lambda root: (root / "usr/lib/passwd").write_text("root:x:0:0::/:/bin/sh\n"), "no system user, 1 in"),
    ("seeded", lambda root: [(root / "usr/lib" / name).unlink() for name in ("passwd", "group", "shadow", "gshadow")],
     "/usr/lib has no accounts: run accounts image seed"),
    ("seeded", add("etc/passwd", "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"), "'sshd' is in /etc/passwd as the"),
    ("layer", remove("usr/lib/group"), "/usr/lib/group is missing"),
    ("layer", remove("usr/lib/shadow"), "/usr/lib/shadow is missing"),
    ("layer", mode("usr/lib/passwd", 0o664, 0), "/usr/lib/passwd is 0664 0:0: others than root can write it"),
    ("layer", mode("usr/lib/group", 0o640, 0), "/usr/lib/group is 0640 0:0: not everybody can read it"),
    ("index", add("usr/lib/passwd", "own:x:5:1::/:/bin/false\n"), "accounts/index/passwd is not the index of"),
    ("module", remove(f"{LIB}/{MODULE}"), f"x86_64 64 little find no account of the image: no {MODULE} in "),
    ("module", lambda root: (root / LIB / MODULE).write_bytes(make_module(AARCH64)), f"{MODULE} is for aarch64 64"),
    ("module", lambda root: (root / LIB / MODULE).write_bytes(make_module(image_dir="/usr/etc")),
     "is built for another directory than /usr/lib"),
    ("module", remove(f"{LIB}/libc.so.6"), "there is no glibc (libc.so.6)"),
    ("module-partial", both(lambda root: make(root, {"usr/lib/aarch64-linux-gnu/": None}),
                            lambda root: (root / "usr/lib/aarch64-linux-gnu/libc.so.6").write_bytes(OTHER)),
     "programs for aarch64"),
    ("nsswitch", edit("etc/nsswitch.conf", "passwd: files altfiles", "passwd: files"), "passwd does not reach"),
    ("nsswitch", edit("etc/nsswitch.conf", "passwd: files altfiles", "passwd: altfiles files"), "asks altfiles before"),
    ("nsswitch", edit("etc/nsswitch.conf", "\nshadow: files", "\nshadow: files [success=merge]"), "shadow must not"),
    ("nsswitch", edit("etc/nsswitch.conf", "[SUCCESS=merge] ", ""), "group does not merge"),
    ("nsswitch", add("etc/nsswitch.conf", "initgroups: files altfiles\n"), "an initgroups line ends the search"),
    ("nsswitch", edit("etc/nsswitch.conf", "gshadow: files altfiles", ""), "gshadow does not reach altfiles"),
    ("nsswitch", remove("etc/nsswitch.conf"), "there is no nsswitch.conf"),
    ("nsswitch", both(remove("etc/nsswitch.conf"), add("usr/share/accounts/nsswitch.conf", NSSWITCH)),
     "no accounts-nsswitch.service makes it at boot"),
    ("nsswitch", both(remove("etc/nsswitch.conf"), add("usr/share/accounts/nsswitch.conf", NSSWITCH),
                      add("usr/lib/systemd/system/accounts-nsswitch.service", "")), "is not enabled"),
    ("nsswitch", both(remove("etc/nsswitch.conf"), add("usr/share/accounts/nsswitch.conf", NSSWITCH),
                      lambda root: make(root, {"etc/systemd/system/accounts-nsswitch.service -> /dev/null": None})),
     "is masked"),
    ("units", both(add("usr/lib/systemd/systemd", ""), add("usr/bin/accounts", "")),
     "there is no accounts-rebase.service"),
    ("units", both(add("usr/lib/systemd/systemd", ""), add("usr/bin/accounts", ""),
                   add("usr/lib/systemd/system/accounts-check.service", "")), "accounts-check.service is not enabled"),
    ("rpm", add("usr/lib/rpm/macros", "%_passwd_path /etc/passwd\n"), "rpm gives files of image users to root"),
    ("dracut", add("usr/lib/dracut/modules.d/99base/module-setup.sh", ""), "initrds lack users and groups"),
    ("pam-module", add("usr/lib/pam.d/x", "password required pam_accounts.so\n"), "the root has no security/pam_acc"),
    ("pam-module", both(add("usr/lib/pam.d/x", "account required pam_accounts.so\n"),
                        add(f"{LIB}/security/pam_accounts.so", "x")), "the root has no /usr/bin/accounts, which"),
    ("pam-stack", both(add("usr/lib/pam.d/x", "password required pam_accounts.so\npassword required pam_unix.so\n"),
                       add("etc/pam.d/y", "password required pam_unix.so\n")),
     "/etc/pam.d/y asks pam_unix.so for a new password before pam_accounts.so, or without it"),
    ("first-boot", add("usr/lib/systemd/system/systemd-firstboot.service", ""), "machine-id makes the boot a first"),
    ("first-boot", both(add("usr/lib/systemd/system/systemd-firstboot.service", ""),
                        add("etc/machine-id", "uninitialized\n")),
     "systemd-firstboot.service will ask"),
    ("ledger", remove("usr/share/accounts/ids"), "/usr/share/accounts/ids is missing"),
    ("ledger", add("usr/lib/group", "new:x:50:\n"), "does not say what the accounts say of 'new'"),
    ("account-leftovers", add("etc/.pwd.lock", ""), "/etc/.pwd.lock is left over"),
    ("account-leftovers", add("etc/passwd-", ""), "/etc/passwd- is left over"),
    ("etc-not-empty", add("etc/motd", "hello"), "/etc/motd is in /etc, and no rule keeps it"),
]  # fmt: skip


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fine_image(tmp_path_factory.mktemp("fine") / "root")


@pytest.fixture
def root(image: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", image, tmp_path / "root"], check=True)
    subprocess.run(["cp", image / "usr/lib/passwd", tmp_path / "pins"], check=True)
    return tmp_path / "root"


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[list[tuple[str, str, str]]]:
    """Collects what was caught; printed with pytest -s."""
    rows: list[tuple[str, str, str]] = []
    yield rows
    if rows:
        print(f"\n{'rule':18} {'severity':8} finding on the root made to break it")
        for rule, severity, message in rows:
            print(f"{rule:18} {severity:8} {message}")


RULE_FILE = parse_rules("# kept\nkeep passwd group nsswitch.conf sysusers.d systemd .pwd.lock passwd-", "rules")


def test_a_fine_root_has_no_findings_and_is_not_changed(root: Path) -> None:
    before = tell(root, times=True)
    checked = check(root, pins=[f"passwd={root}/../pins"], rules=RULE_FILE)
    assert [one.message for one in checked.findings] == []
    assert not checked.failed
    assert tell(root, times=True) == before


@pytest.mark.parametrize(("rule", "harm", "message"), BROKEN, ids=[f"{one[0]}-{n}" for n, one in enumerate(BROKEN)])
def test_every_rule_is_caught(
    root: Path, rule: str, harm: Callable[[Path], None], message: str, table: list[tuple[str, str, str]]
) -> None:
    harm(root)
    checked = check(root, pins=[f"passwd={root}/../pins"], rules=RULE_FILE)
    found = [one for one in checked.findings if one.rule == rule and message in one.message]
    assert found, [f"{one.rule}: {one.message}" for one in checked.findings]
    assert found[0].severity == RULES[rule][0]
    assert checked.failed or RULES[rule][0] != "fail"
    table.append((rule, found[0].severity, found[0].message.replace(str(root.parent), "")))
    # Each rule can be turned off.
    calm = check(root, pins=[f"passwd={root}/../pins"], rules=RULE_FILE, severities={rule: "ignore"})
    assert not [one for one in calm.findings if one.rule == rule]


def test_there_is_a_root_for_every_rule() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


def test_unwired_and_group_policy_first(root: Path) -> None:
    change(root, "etc/nsswitch.conf", "[SUCCESS=merge] ", "")
    make(root, {"usr/share/accounts/accounts.conf": "GROUP_POLICY=first\n"})
    assert not check(root, rules=RULE_FILE).failed


def test_names_that_somebody_defines_are_fine(root: Path) -> None:
    make(
        root,
        {
            "usr/lib/udev/rules.d/1.rules": 'GROUP="web", OWNER="$env{X}", GROUP=="nope"\n# GROUP="commented"\n',
            "usr/lib/sysusers.d/web.conf": "u web 600\nm extra web\n",
            "usr/lib/tmpfiles.d/web.conf": "d /run/web - web :web -\nd /x - 0 - -\nz /y - extra %g\n# d /z - none\n",
            "usr/lib/systemd/system/dyn.service": "[Service]\nDynamicUser=yes\nUser=dyn\n",
            "usr/lib/systemd/system/uses.service": "[Service]\nUser=dyn\nGroup=dyn\nSupplementaryGroups=auto@x\n",
            "usr/lib/systemd/system/drop@.service": "[Service]\nGroup=%i\nSupplementaryGroups=nope\n",
            "usr/lib/systemd/system/drop@.service.d/x.conf": "[Service]\nSupplementaryGroups=\nDynamicUser=1\nGroup=\n",
            "usr/lib/systemd/system/masked.service": "[Service]\nUser=masked\n",
            "etc/systemd/system/masked.service -> /dev/null": None,
            "usr/lib/tmpfiles.d/over.conf": "d /run/o - overridden -\n",
            "etc/tmpfiles.d/over.conf": "d /run/o - root -\n",
        },
    )
    with Tree(root) as tree:
        uses = find_uses(tree)
    assert {name for _, name in uses.used} == {"web", "extra", "dyn", "auto@x", "root"}
    assert {name for _, name in uses.defined} == {"web", "extra", "dyn", "drop"}
    assert uses.fixed == {("user", "web"): 600, ("group", "web"): 600}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"x", False), (b"*", False), (b"!", False), (b"!!", False), (b"", False), (b"!*", False),
        (b"$6$a$b", True), (b"!$y$a$b", True), (b"_J9..abcd", True), (b"ab0123456789.", True),
        (b"*LK*", False), (b"NP", False),
    ],
)  # fmt: skip
def test_knows_a_hash(field: bytes, expected: bool) -> None:
    assert holds_hash(field) is expected


def test_unknown_rules_and_severities_are_refused() -> None:
    with pytest.raises(BadArgument, match="no rule 'nope'"):
        Findings({"nope": "fail"})
    with pytest.raises(BadArgument, match="not 'error'"):
        Findings({"ledger": "error"})


def test_orphans_are_named_all_of_them(root: Path) -> None:
    make(root, {f"var/old/{number}": "" for number in range(3)} | {"var/link -> nowhere": None})
    add("usr/share/accounts/ids", "passwd:old:77:removed\n")(root)
    for name in ("old", "old/0", "old/2", "link"):
        os.lchown(root / "var" / name, 77, 0)
    (found,) = [one for one in check(root).findings if one.rule == "orphan-files"]
    assert found.files == ("/var/link", "/var/old", "/var/old/0", "/var/old/2")


def test_a_hundred_thousand_files_take_seconds(root: Path) -> None:
    for directory in range(100):
        (root / f"var/{directory}").mkdir()
        fd = os.open(root / f"var/{directory}", os.O_RDONLY)
        for number in range(1000):
            os.mknod(f"{number}", dir_fd=fd)
        os.close(fd)
    os.chown(root / "var/99/999", 4711, 0)
    before = time.monotonic()
    (found,) = [one for one in check(root).findings if one.rule == "unknown-owner"]
    taken = time.monotonic() - before
    print(f"\ncheck of a root with 100,000 files: {taken:.2f} s")
    assert found.files == ("/var/99/999",)
    assert taken < 15


def test_links_do_not_lead_out_of_the_root(root: Path) -> None:
    (root / "etc/nsswitch.conf").unlink()
    (root / "etc/nsswitch.conf").symlink_to("/etc/hostname")
    assert any(one.rule == "nsswitch" for one in check(root).findings)
    with Tree(root) as tree:
        assert Layers(tree, root).image_dir == "/usr/lib"


# The command line


def accounts(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_forked(["accounts", "image", *map(str, arguments)], "", {"PATH": os.environ["PATH"]} | environment)


def test_check_prints_a_table_or_json(root: Path) -> None:
    done = accounts("check", root)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{root}: fine, 0 warnings"
    change(root, "usr/lib/shadow", "sshd:!", "sshd:")
    assert accounts("index", root).stdout == f"{root}: 4 index files written\n"
    done = accounts("check", root)
    assert done.returncode == 1
    assert "fail  empty-password    user 'sshd' needs no password\n" in done.stdout
    assert done.stdout.splitlines()[-1] == f"{root}: failed, 1 failure, 0 warnings"
    done = accounts("check", root, "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 1 and result["ok"] is False
    assert result["findings"] == [
        {"rule": "empty-password", "severity": "fail", "message": "user 'sshd' needs no password", "name": "sshd",
         "files": []}
    ]  # fmt: skip
    assert accounts("check", root, "--severity", "empty-password=warn").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("nope",), 2, "accounts image: there is no command 'nope'"),
        (("seed",), 2, "accounts image seed: the following arguments are required: ROOT"),
        (
            ("check", ".", "--severity", "x=fail"),
            2,
            "accounts image check: argument --severity: there is no finding 'x'",
        ),
        (("seed", "/nonexistent"), 3, "accounts image seed: /nonexistent: No such file or directory"),
        (("check", ".", "--ledger", "/nonexistent"), 3, "accounts image check: /nonexistent: no such file"),
        (("pin", ".", "--pins", "/nonexistent"), 3, "accounts image pin: "),
        (("stateless", "."), 2, "accounts image stateless: --rules or --suggest is needed; see"),
        (("stateless", ".", "--rules", "/nonexistent"), 3, "accounts image stateless: /nonexistent: No such file"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    done = accounts(*(str(tmp_path) if argument == "." else argument for argument in arguments))
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_bad_source_date_epoch_is_bad_input(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    done = accounts("seed", root, SOURCE_DATE_EPOCH="yesterday")
    assert (done.returncode, done.stderr) == (
        3, "accounts image seed: SOURCE_DATE_EPOCH is not a number of seconds: yesterday\n",
    )  # fmt: skip
    assert (root / "etc/passwd").exists()


def test_seed_pin_and_check_work_together(tmp_path: Path) -> None:
    first, second = make_image(tmp_path / "a"), make_image(tmp_path / "b")
    shared = tmp_path / "ids"
    done = accounts("seed", first, "--ledger", shared)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{first}: moved 6 passwd, 8 group, 6 shadow, 8 gshadow; 0 names kept in /etc\n"
    # Packages in another order: the dynamic ids of two daemons are swapped.
    change(second, "etc/passwd", "sshd:x:100:", "sshd:x:101:")
    change(second, "etc/passwd", "messagebus:x:101:", "messagebus:x:100:")
    done = accounts("seed", second, "--ledger", shared)
    assert done.returncode == 1 and "fail  changed-id        user 'sshd' had id 100, now 101" in done.stderr
    assert accounts("pin", second, "--ledger", shared).returncode == 0
    done = accounts("seed", second, "--ledger", shared, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["ok"] is True
    assert (second / "usr/lib/passwd").read_bytes() == (first / "usr/lib/passwd").read_bytes()
    assert (second / "usr/share/accounts/ids").read_bytes() == (first / "usr/share/accounts/ids").read_bytes()


def test_lint_rules_and_help(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("rm x\n")
    done = accounts("lint-rules", tmp_path / "r")
    assert done.returncode == 1 and "without a comment" in done.stdout
    assert accounts("lint-rules", *(TOP / "nss-data/rules").glob("*.rules")).returncode == 0
    assert accounts("--help").returncode == 0
    done = subprocess.run([TOP / "shims/accounts"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("Usage: accounts COMMAND")


def test_the_dispatcher_does_not_import_what_it_does_not_call() -> None:
    code = "import sys, accounts.cli.main; print([m for m in ('argparse', 'json', 'pathlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=TOP, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_first_boot_that_asks_nothing_is_fine(root: Path) -> None:
    asker = "usr/lib/systemd/system/systemd-firstboot.service"

    def asks() -> bool:
        return any(one.rule == "first-boot" for one in check(root).findings)

    make(root, {asker: "", "etc/machine-id": "0123456789abcdef0123456789abcdef\n"})
    assert not asks()
    make(root, {"etc/machine-id": "uninitialized\n"})
    assert asks()
    make(root, {"etc/systemd/system/systemd-firstboot.service -> /dev/null": None})
    assert not asks()
    (root / "etc/systemd/system/systemd-firstboot.service").unlink()
    make(root, {f"{asker}.d/x.conf": "[Unit]\nConditionPathExists=!/usr/lib/passwd\n"})
    assert not asks()


def test_the_ordinary_delta_of_a_machine_is_no_finding(root: Path) -> None:
    """People, a daemon of a later package, an override and a member row, with their backups and files."""
    make(
        root,
        {
            "etc/passwd": "bob:x:1001:1001::/home/bob:/bin/sh\nntp:x:997:997::/:/bin/false\n"
            "sshd:x:100:65534::/run/sshd:/bin/false\n",
            "etc/group": "bob:x:1001:\nntp:x:997:\nadm:x:4:bob\n", "etc/passwd-": "x", "etc/.pwd.lock": "",
            "etc/shadow": "bob:$6$s$h:19703::::::\nntp:!:19703::::::\n", "home/bob/f": "",
            "etc/systemd/system/own.service": "[Service]\nUser=nobody-here\n",
        },
    )  # fmt: skip
    (root / "etc/shadow").chmod(0o640)
    os.chown(root / "home/bob/f", 4711, 4711)
    assert [one.message for one in check(root, machine=True).findings] == []
    rules = {one.rule for one in check(root).findings}
    assert {"unpinned-id", "account-leftovers", "unknown-owner", "undefined-name", "ledger"} <= rules
    # What is wrong with a machine is found on it, and a rule that is asked for counts.
    add("etc/passwd", "root:*:0:0::/:/bin/sh\n")(root)
    found = check(root, machine=True, severities={"account-leftovers": "warn"}).findings
    assert {one.rule for one in found} == {"hidden-password", "account-leftovers"}
