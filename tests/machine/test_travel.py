# SPDX-License-Identifier: MIT
"""accounts export and import-delta: a delta goes from one machine to another, or not at all."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.errors import BadArgument, Refusal
from accounts.machine.errors import Contradicted
from accounts.machine.travel import Import, format_delta, parse_delta
from accounts.model.database import Database, Hides
from accounts.model.records import Subid
from tests.machine import test_convert as convert
from tests.machine.life import IMAGE, Result, accounts, local, make_root, tool, validate
from tests.machine.test_convert import EDITS, NAMES, load

HASH = "$6$abcdefgh$" + "x" * 86
FOREIGN = "not an export of accounts: it begins with '# accounts delta 1'; see accounts export"
SUBIDS = st.tuples(NAMES, st.sampled_from([100000, 165536]))


def edit_all(database: Database, edits: list[Any], ranges: list[Any]) -> None:
    for edit in edits:
        try:
            if isinstance(edit, tuple):
                database.tables[edit[0]].remove(edit[1])
            else:
                database.tables[type(edit).__name__.lower()].put(edit)
        except Refusal:
            continue
    for start in dict(map(reversed, ranges)):
        owner = {start: owner for owner, start in ranges}[start]
        database.tables["subuid"].local.add(Subid(owner, start, 65536))


def told(database: Database) -> dict[str, Any]:
    """As tests.machine.test_convert has it, with the several ranges of an owner in order."""
    found = convert.told(database)
    return found | {"rows": {name: sorted(rows, key=str) for name, rows in found["rows"].items()}}


def files(database: Database) -> dict[str, bytes]:
    return {name: layered.local.render() for name, layered in database.tables.items()}


def load_again(database: Database, merge: bool) -> Database:
    """As the files would be read again."""
    hides = Hides(database.hides.render(), database.hides.rows, lambda: True)
    return load(files(database), merge, database.base.render(), hides)


@settings(max_examples=int(os.environ.get("ACCOUNTS_EXAMPLES", "100")), deadline=None)
@given(st.lists(EDITS, max_size=10), st.lists(SUBIDS, max_size=2), st.booleans())
def test_import_of_export_is_what_it_was(edits: list[Any], ranges: list[Any], merge: bool) -> None:
    database = load({}, merge)
    edit_all(database, edits, ranges)
    database = load_again(database, merge)
    text = format_delta(database)
    again = load({}, merge)
    try:
        Import(again, parse_delta(text, "x")).run()
    except Contradicted as error:
        # Own rows with an id that the image has for another name: a machine's own fault, a contradiction elsewhere.
        assert all("is that of" in conflict.text for conflict in error.conflicts)
        return
    again = load_again(again, merge)
    assert told(again) == told(database)
    assert format_delta(again) == text
    # And over itself it changes nothing.
    Import(again, parse_delta(text, "x")).run()
    assert told(again) == told(database)


@settings(max_examples=int(os.environ.get("ACCOUNTS_EXAMPLES", "100")), deadline=None)
@given(st.lists(EDITS, max_size=6), st.lists(EDITS, max_size=6), st.booleans())
def test_what_is_there_is_never_lost(edits: list[Any], others: list[Any], merge: bool) -> None:
    """Whatever another machine has: an import that is taken changes no value that this one has set."""
    source, target = load({}, merge), load({}, merge)
    edit_all(source, edits, [])
    edit_all(target, others, [])
    source, target = load_again(source, merge), load_again(target, merge)
    before = told(target)["rows"]
    views = {name: {row.name: row for row in layered} for name, layered in target.tables.items()}
    try:
        Import(target, parse_delta(format_delta(source), "x")).run()
    except Contradicted:
        return
    for name, rows in before.items():
        for row in rows:
            found = target.tables[name].get(row["name"])
            was = views[name][row["name"]]
            for field in found.fields():
                ours, theirs = getattr(found, field), getattr(was, field)
                assert set(theirs) <= set(ours) if isinstance(theirs, tuple) else ours == theirs


# On machines


def machine(path: Path, *commands: tuple[str, ...], image: dict[str, str] | None = None) -> Path:
    path.mkdir()
    root = make_root(path, image=image)
    (root / "etc/login.defs").write_text("USERGROUPS_ENAB yes\n")
    for argv in commands:
        assert tool(root, *argv).status == 0, argv
    return root


LIVED = (
    ("useradd", "-m", "-u", "1000", "-G", "video", "-p", HASH, "alice"), ("groupadd", "-g", "2000", "crew"),
    ("usermod", "-s", "/bin/sh", "-aG", "adm,crew", "www"), ("chage", "-M", "90", "daemon"),
    ("usermod", "-p", HASH, "root"),
)  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return machine(tmp_path / "source", *LIVED)


def export(root: Path, path: Path, *argv: str) -> Path:
    done = accounts(root, "export", "-o", str(path), *argv)
    assert (done.status, done.stdout, done.stderr) == (0, "", "")
    return path


def test_the_text_is_canonical(source: Path, tmp_path: Path) -> None:
    path = export(source, tmp_path / "delta")
    assert path.stat().st_mode & 0o777 == 0o600
    day = local(source)["shadow"].split(":")[2]
    assert path.read_text() == (
        "# accounts delta 1\n"
        "own passwd alice:x:1000:1000::/home/alice:/bin/bash\n"
        # A password that has expired: docs/decisions/expired.md.
        "base passwd daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
        "copy passwd daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
        "base passwd www:x:33:33:web:/var/www:/usr/sbin/nologin\noverride passwd www:x:33:33:web:/var/www:/bin/sh\n"
        "members group adm:x:4:www\nown group alice:x:1000:\n"
        "own group crew:x:2000:www\nmembers group video:x:44:alice\n"
        "base gshadow adm:*::daemon\noverride gshadow adm:*::daemon,www\nown gshadow alice:!::\n"
        "own gshadow crew:!::www\nbase gshadow video:*::\noverride gshadow video:*::alice\n"
        f"own shadow alice:{HASH}:{day}::::::\n"
        "base shadow daemon:*:19000::::::\noverride shadow daemon:*:19000::90::::\n"
        f"base shadow root:*:19000::::::\noverride shadow root:{HASH}:{day}::::::\n"
        "# end\n"
    )
    # Whatever the order of the rows.
    passwd = source / "etc/group"
    passwd.write_text("".join(sorted(passwd.read_text().splitlines(True), reverse=True)))
    assert export(source, tmp_path / "other").read_bytes() == path.read_bytes()
    assert accounts(source, "export").stdout == path.read_text()


def test_it_travels(source: Path, tmp_path: Path) -> None:
    path = export(source, tmp_path / "delta")
    target = machine(tmp_path / "target")
    before = local(target)
    dry = accounts(target, "import-delta", str(path), "--dry-run", "--json")
    validate(dry.json, "import-delta")
    assert (local(target), dry.json["changed"]) == (before, True)
    assert HASH not in dry.stdout
    done = accounts(target, "import-delta", str(path))
    assert (done.status, done.stderr) == (0, "")
    assert {name: sorted(text.splitlines()) for name, text in local(target).items()} == {
        name: sorted(text.splitlines()) for name, text in local(source).items()
    }
    times = {name: (target / "etc" / name).stat().st_mtime_ns for name in local(target)}
    assert accounts(target, "import-delta", str(path)).stdout == ""
    assert {name: (target / "etc" / name).stat().st_mtime_ns for name in local(target)} == times


def test_over_another_image_it_is_merged_three_ways(source: Path, tmp_path: Path) -> None:
    image = {
        "passwd": IMAGE["passwd"].replace(":web:", ":Web server:"),
        "group": IMAGE["group"].replace("video:x:44:", "video:x:45:daemon"),
        "shadow": IMAGE["shadow"].replace("daemon:*:19000", "daemon:*:19500"),
        "gshadow": IMAGE["gshadow"].replace("video:*::", "video:*::daemon"),
    }
    target = machine(tmp_path / "target", image=image)
    done = accounts(target, "import-delta", str(export(source, tmp_path / "delta")))
    assert (done.status, done.stderr) == (0, "")
    files = local(target)
    assert "www:x:33:33:Web server:/var/www:/bin/sh\n" in files["passwd"]
    assert "video:x:45:alice\n" in files["group"]
    assert "video:*::daemon,alice\n" in files["gshadow"]
    assert "daemon:*:19500::90::::\n" in files["shadow"]
    assert "passwd:www:x:33:33:Web server:/var/www:/usr/sbin/nologin\n" in files["accounts/base"]
    assert accounts(target, "rebase").stdout == ""


def test_all_contradictions_are_told_and_nothing_changes(source: Path, tmp_path: Path) -> None:
    image = {
        "passwd": IMAGE["passwd"].replace("/var/www:/usr/sbin/nologin", "/var/www:/bin/dash") + "other:x:1000:1:::\n",
        "group": IMAGE["group"].replace("video:x:44:\n", "").replace("shadow:x:42:", "shadow:x:42:\ncrew:x:43:"),
        "shadow": IMAGE["shadow"].replace("root:*:", "root:!:"),
        "gshadow": IMAGE["gshadow"].replace("video:*::\n", ""),
    }  # fmt: skip
    target = machine(tmp_path / "target", ("groupadd", "-g", "1000", "staff"), image=image)
    before = local(target)
    path = export(source, tmp_path / "delta")
    done = accounts(target, "import-delta", str(path))
    assert (done.status, done.stdout) == (1, "")
    assert sorted(line.removeprefix("accounts import-delta: ") for line in done.stderr.splitlines()) == [
        "group alice: GID 1000 is that of 'staff' here",
        "group crew: the image has a group of that name",
        "group video: the image has no such group",
        "gshadow video: the image has no such gshadow row",
        "passwd alice: UID 1000 is that of 'other' here",
        "passwd www: shell was /usr/sbin/nologin; the image has /bin/dash, the delta /bin/sh",
        "shadow root: passwd was no login; the image has locked, the delta set",
    ]
    assert local(target) == before
    result = accounts(target, "import-delta", str(path), "--json")
    validate(result.json, "import-delta")
    assert (result.status, len(result.json["conflicts"]), result.json["changed"]) == (1, 7, False)


def test_what_this_machine_has_changed_itself(source: Path, tmp_path: Path) -> None:
    target = machine(
        tmp_path / "target", ("usermod", "-s", "/bin/dash", "www"), ("useradd", "-u", "1000", "-s", "/bin/sh", "alice"),
        ("usermod", "-aG", "video", "daemon"),
    )  # fmt: skip
    done = accounts(target, "import-delta", str(export(source, tmp_path / "delta")))
    assert done.status == 1
    said = {line.removeprefix("accounts import-delta: ") for line in done.stderr.splitlines()}
    assert {
        "passwd alice: this machine has another user of that name",
        "passwd www: this machine has changed it in another way",
        "gshadow video: this machine has changed it in another way",
    } <= said


def test_subordinate_ids_of_somebody_else(source: Path, tmp_path: Path) -> None:
    (source / "etc/subuid").write_text("alice:100000:65536\n")
    target = machine(tmp_path / "target")
    (target / "etc/subuid").write_text("bob:165535:1\n")
    done = accounts(target, "import-delta", str(export(source, tmp_path / "delta")))
    assert (done.status, done.stderr) == (
        1,
        "accounts import-delta: subuid alice: 100000-165535 belongs to 'bob' here\n",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", f":1: {FOREIGN}"),
        (
            b"# accounts delta 2\n# end\n",
            f":1: {FOREIGN}",
        ),
        (
            b"# accounts delta 1\nown passwd a:x:1:1:::\n",
            ": its end is missing; see accounts export",
        ),
        (b"# accounts delta 1\nown passwd\n# end\n", ":2: not KIND DATABASE ROW"),
        (b"# accounts delta 1\n\xff \xff x\n# end\n", ":2: not KIND DATABASE ROW"),
        (b"# accounts delta 1\nmembers subuid a:1:1\n# end\n", ":2: not KIND DATABASE ROW"),
        (b"# accounts delta 1\nown base a:1:1\n# end\n", ":2: not KIND DATABASE ROW"),
        (b"# accounts delta 1\nown passwd a:x:1:1\n# end\n", ":2: not a row of passwd"),
        (b"# accounts delta 1\nown passwd +a:x:1:1:::\n# end\n", ":2: not a row of passwd"),
        (b"# accounts delta 1\nown passwd :x:1:1:::\n# end\n", ":2: not a row of passwd"),
        (b"# accounts delta 1\nown passwd a:x:4294967295:1:::\n# end\n", ":2: not a row of passwd"),
        (b"# accounts delta 1\nown passwd a:x:1:1:\x1b[2J::\n# end\n", ":2: not a row of passwd"),
        (b"# accounts delta 1\nown shadow a:secret\0:1::::::\n# end\n", ":2: not a row of shadow"),
        (b"# accounts delta 1\nhide passwd a:b\n# end\n", ":2: not a row of passwd"),
        (b"# accounts delta 1\nown passwd a:x:1:1:::\nown passwd a:x:2:1:::\n# end\n", ": passwd a is there twice"),
    ],
)
def test_a_broken_export_is_one_line(text: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadArgument) as caught:
        parse_delta(text, "file")
    assert caught.value.message == f"file{said}"


def test_what_cannot_be_read_or_written(source: Path, tmp_path: Path) -> None:
    for argv, status in (
        (("import-delta", "/nonexistent"), 3), (("import-delta", "/"), 3), (("import-delta", "/dev/zero"), 3),
        (("export", "-o", "/nonexistent/x"), 3), (("export", "-o", "/proc"), 3), (("export", "--sign", "key"), 2),
        (("import-delta", "x", "--identity", "y"), 2), (("import-delta",), 2),
    ):  # fmt: skip
        done: Result = accounts(source, *argv)
        assert (done.status, done.stdout, done.stderr.count("\n")) == (status, "", 1), (argv, done)


# Signatures


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    place = tmp_path / "keys"
    place.mkdir()
    for name in ("alice", "mallory"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", place / name], check=True)
    key = (place / "alice.pub").read_text()
    (place / "allowed").write_text(f'alice@example.org namespaces="accounts-delta@stateless-accounts" {key}')
    return place


def test_signed_and_verified(source: Path, keys: Path, tmp_path: Path) -> None:
    path = export(source, tmp_path / "delta", "--sign", str(keys / "alice"))
    target = machine(tmp_path / "target")
    allowed = ("--allowed-signers", str(keys / "allowed"))
    # As ssh-keygen itself sees it.
    with path.open("rb") as stream:
        command = ["ssh-keygen", "-Y", "verify", "-f", keys / "allowed", "-I", "alice@example.org"]
        command += ["-n", "accounts-delta@stateless-accounts", "-s", tmp_path / "delta.sig"]
        subprocess.run(command, stdin=stream, check=True, capture_output=True)
    for argv, status, said in (
        (("--identity", "bob@example.org"), 3, "the signature is not valid"),
        (("--signature", str(keys / "alice")), 3, "the signature is not that of an allowed signer"),
        (("--signature", "/nonexistent"), 3, "the signature is not that of an allowed signer"),
    ):
        done = accounts(target, "import-delta", str(path), *allowed, *argv)
        assert (done.status, done.stdout, done.stderr.count("\n")) == (status, "", 1)
        assert done.stderr.startswith(f"accounts import-delta: {said}")
    done = accounts(target, "import-delta", str(path), *allowed, "--identity", "alice@example.org", "--dry-run")
    assert done.status == 0
    done = accounts(target, "import-delta", str(path), *allowed, "--json")
    validate(done.json, "import-delta")
    assert (done.status, done.json["signer"]) == (0, "alice@example.org")


@pytest.mark.parametrize("fault", ["changed", "mallory", "unsigned", "namespace"])
def test_a_signature_that_is_none(source: Path, keys: Path, tmp_path: Path, fault: str) -> None:
    key = "mallory" if fault == "mallory" else "alice"
    path = export(source, tmp_path / "delta", "--sign", str(keys / key))
    if fault == "changed":
        path.write_bytes(path.read_bytes().replace(b"own passwd alice:x:1000", b"own passwd alice:x:0"))
    elif fault == "unsigned":
        (tmp_path / "delta.sig").unlink()
    elif fault == "namespace":
        (tmp_path / "delta.sig").unlink()
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", keys / "alice", "-n", "git", path], check=True)
    target = machine(tmp_path / "target")
    before = local(target)
    done = accounts(target, "import-delta", str(path), "--allowed-signers", str(keys / "allowed"))
    assert (done.status, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "signature" in done.stderr or "signer" in done.stderr
    assert local(target) == before


def test_a_key_that_cannot_sign(source: Path, tmp_path: Path) -> None:
    done = accounts(source, "export", "-o", str(tmp_path / "delta"), "--sign", "/nonexistent")
    assert (done.status, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("accounts export: cannot sign: ")
    assert not (tmp_path / "delta").exists()
