# SPDX-License-Identifier: MIT
"""accounts image seed where a mistake would cost accounts: odd roots, kills at every call, the running machine."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.cli import commands
from accounts.cli.image import main
from accounts.errors import BadArgument
from accounts.image import environment
from accounts.image.check import check
from accounts.image.importer import import_sysusers
from accounts.image.pin import pin
from accounts.image.seed import seed
from accounts.image.seed_image import seed_image
from accounts.image.tree import Tree
from tests.crash import scenario, trace
from tests.image.accounts import GROUP, PASSWD, SHADOW, make_image, row
from tests.image.rootfs import make, tell

TOP = Path(__file__).resolve().parents[2]
CONF = "usr/share/accounts/accounts.conf"
QUIET = {"unpinned-id": "ignore", "seeded": "ignore"}


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory where there is one: hundreds of runs with fsync."""
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=fast) as name:
        yield Path(name)


# What is done to a root, and which path the refusal names.
ONE_DIRECTORY: dict[str, tuple[dict[str, str | None], str]] = {
    "setting": ({CONF: "IMAGE_DIR=/etc\n"}, "/etc is /etc"),
    "setting below": ({CONF: "IMAGE_DIR=/etc/image\n"}, "/etc/image is inside of /etc"),
    "relative link": ({CONF: "IMAGE_DIR=/usr/etc\n", "usr/etc -> ../etc": None}, "/usr/etc is /etc"),
    "absolute link": ({CONF: "IMAGE_DIR=/usr/etc\n", "usr/etc -> /etc": None}, "/usr/etc is /etc"),
    "link above": ({CONF: "IMAGE_DIR=/usr/a/b\n", "usr/a -> ../etc": None}, "/usr/a/b is inside of /etc"),
    "chain": ({CONF: "IMAGE_DIR=/one\n", "one -> two": None, "two -> usr/../etc": None}, "/one is /etc"),
    "vendor": ({"usr/share/accounts -> ../../etc": None}, "/usr/share/accounts is /etc"),
    "factory": ({"usr/share/factory -> /": None}, "/usr/share/factory/etc is /etc"),
    "tmpfiles": ({"usr/lib/tmpfiles.d -> /etc/tmpfiles.d": None, "etc/tmpfiles.d/": None}, "/usr/lib/tmpfiles.d is in"),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_DIRECTORY)
def test_source_and_target_in_one_directory_are_refused(tmp_path: Path, case: str) -> None:
    """All four account files were deleted, with status 0."""
    files, what = ONE_DIRECTORY[case]
    root = make_image(tmp_path / "r")
    make(root, {**files, "etc/subuid": "alice:1:1\n", "etc/login.defs": "UID_MIN 1000\n"})
    before = tell(root, times=True)
    with pytest.raises(BadArgument) as caught:
        seed_image(root, severities=QUIET)
    assert what in (caught.value.message or "")
    assert tell(root, times=True) == before


def test_a_mount_of_etc_is_the_same_directory(tmp_path: Path) -> None:
    root = make(make_image(tmp_path / "r"), {CONF: "IMAGE_DIR=/usr/etc\n", "usr/etc/": None})
    script = f"mount --bind {root}/etc {root}/usr/etc && exec {TOP}/shims/accounts image seed {root}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    assert done.returncode == commands.FAILED
    assert done.stderr == "accounts image seed: /usr/etc is /etc: nothing can move there\n"
    assert (root / "etc/passwd").read_text() == PASSWD


@pytest.mark.parametrize("command", [pin, import_sysusers])
def test_the_other_writers_of_both_layers_refuse_it_too(tmp_path: Path, command: object) -> None:
    root = make(make_image(tmp_path / "r"), {CONF: "IMAGE_DIR=/etc\n", "usr/lib/sysusers.d/a.conf": "u a 7\n"})
    before = tell(root)
    with pytest.raises(BadArgument, match="/etc is /etc"):
        command(root)  # type: ignore[operator]
    assert tell(root) == before


def test_what_moves_onto_itself_stays(tmp_path: Path) -> None:
    """rename(2) of one name to itself does nothing, and what was moved away must not be removed then."""
    root = make(tmp_path / "r", {"a/f": "text", "b -> a": None})
    with Tree(root) as tree:
        tree.move("/a/f", "/b/f")
    assert (root / "a/f").read_text() == "text"


@pytest.mark.parametrize(
    "arguments",
    [["seed", ""], ["pin", ""], ["check", ""], ["wire", ""], ["stateless", "", "--rules", "x"], ["import", ""],
     ["export", "", "--sysusers", "x"], ["export", "/", "--userdb", ""], ["diff", "", "/"], ["diff", "/", ""],
     ["seed", "/r", "--ledger", ""], ["seed", "/r", "--previous", ""], ["pin", "/r", "--pins", ""],
     ["seed", "/r", "--save-names", ""], ["lint-rules", ""], ["check", "/r", "--rules", ""]],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_path_is_wrong_usage(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A variable that a script forgot to set is not the current directory."""
    monkeypatch.chdir(make_image(tmp_path / "r"))
    before = tell(tmp_path)
    assert main(arguments) == commands.USAGE
    assert "an empty path" in capfd.readouterr().err
    assert tell(tmp_path) == before


@pytest.mark.parametrize("command", ["seed", "pin", "wire", "import", "stateless"])
def test_the_running_machine_is_refused(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "BOOTED", str(tmp_path))
    rules = ["--rules", "/nonexistent"] if command == "stateless" else []
    for root in ("/", "/usr/.."):
        assert main([command, root, *rules]) == commands.FAILED
        assert f"accounts image {command}: {root} is the system that runs" in capfd.readouterr().err
    assert not environment.is_running(tmp_path)
    monkeypatch.setattr(environment, "BOOTED", str(tmp_path / "no"))
    assert not environment.is_running(Path("/"))


def _full_image(root: Path) -> Path:
    """A root with everything that seed moves."""
    make_image(root)
    files = {"etc/subuid": "alice:100000:65536\n", "etc/subgid": "alice:100000:65536\n", "etc/login.defs": "x y\n",
             "etc/group-": "", "etc/shells": "/bin/sh\n", "etc/default/useradd": "SHELL=/bin/sh\n",
             "etc/skel/.profile": "p", "etc/skel/d/f": "f"}  # fmt: skip
    return make(root, {**files})


def _seed(root: Path) -> int:
    built = seed_image(root, keep=["alice"], severities=QUIET)
    return 0 if built.seeded is not None else 1


def test_killed_at_any_call_and_run_again_it_completes(memory: Path) -> None:
    """No row, file or line is ever in neither place, and the second run ends where an undisturbed one does."""
    undisturbed = _full_image(memory / "u")
    assert _seed(undisturbed) == 0
    wanted = tell(undisturbed)
    step = 1 if os.environ.get("ACCOUNTS_LONG") else 20
    kills = 0
    for at in itertools.count(0, step):
        root = _full_image(memory / f"r{at}")
        status = trace.run(lambda root=root: _seed(root), at, kill=True).status  # type: ignore[misc]
        if status == 0:
            break
        assert status == -signal.SIGKILL
        kills += 1
        for name, text in (("passwd", PASSWD), ("group", GROUP), ("shadow", SHADOW)):
            for line in text.splitlines():
                account = line.split(":")[0]
                assert row(root, f"etc/{name}", account) or row(root, f"usr/lib/{name}", account), (at, name, account)
        assert _seed(root) == 0
        now = tell(root)
        assert now == wanted, (at, {path for path in {*now, *wanted} if now.get(path) != wanted.get(path)})
        subprocess.run(["rm", "-rf", root], check=True)
    assert kills > 300 // step


def test_an_interrupted_change_is_finished_before_the_rows_move(tmp_path: Path) -> None:
    """The user's hash would have stayed in a temporary file."""
    undisturbed = make(tmp_path / "u", {"etc/": None, "usr/": None})
    scenario.fill(undisturbed / "etc")
    for at in itertools.count(60):
        root = make(tmp_path / f"r{at}", {"etc/": None, "usr/": None})
        scenario.fill(root / "etc")
        with Tree(root / "etc") as etc:
            assert trace.run(lambda fd=etc.fd: scenario.act(fd), at, kill=True).status == -signal.SIGKILL  # type: ignore[misc]
        # Between the first rename and the last one.
        if (root / "etc/passwd").read_bytes() == scenario.NEW["passwd"]:
            break
    assert (root / "etc/shadow").read_bytes() == scenario.OLD["shadow"]
    left = [one for one in check(root).findings if "interrupted change" in one.message]
    assert left and {one.rule for one in left} == {"account-leftovers"}
    with Tree(undisturbed / "etc") as etc:
        scenario.act(etc.fd)
    assert seed(undisturbed).notes == []
    notes = seed(root).notes
    assert notes == ["finished an interrupted change of passwd, shadow, group, gshadow, subuid, accounts/base"]
    assert row(root, "usr/lib/shadow", "alice") == "alice:!:::::::"
    now, wanted = tell(root), tell(undisturbed)
    assert now == wanted
    assert not [path for path in now if "/.accounts" in path]


def test_a_star_of_base_passwd_never_replaces_the_image_s_x(tmp_path: Path) -> None:
    """passwd.master has "*" in the second field: in the image it locked root out."""
    root = make_image(tmp_path / "r")
    seed(root)
    make(root, {"etc/passwd": "root:*:0:0:root:/root:/bin/bash\n", "etc/group": "root:*:0:\nadm:*:4:bob\n"})
    assert seed(root).notes == [
        "/etc/passwd: the '*' of 'root' would hide its password",
        "/etc/group: the '*' of 'root' would hide its password",
        "/etc/group: the '*' of 'adm' would hide its password",
    ]
    assert row(root, "usr/lib/passwd", "root") == "root:x:0:0:root:/root:/bin/bash"
    assert row(root, "usr/lib/group", "adm") == "adm:x:4:alice,bob,daemon"


def test_errors_name_the_path_and_the_reason(tmp_path: Path) -> None:
    root = make_image(tmp_path / "r")
    for script, what in (
        (f"mount --bind {root} {root} && mount -o remount,bind,ro {root}", "Read-only file system"),
        (f"mount -t tmpfs -o size=4k,nr_inodes=8 tmpfs {root}/usr", "No space left on device"),
    ):
        command = f"{script} && exec {TOP}/shims/accounts image seed {root}"
        done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True)
        assert done.returncode == commands.FAILED
        last = done.stderr.splitlines()[-1]
        assert "/" in last.partition(": ")[2] and what in last, done.stderr
