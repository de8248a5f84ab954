# SPDX-License-Identifier: MIT
"""accounts image import beside the real systemd-sysusers: the same rows, or a refusal where it refuses.

ACCOUNTS_EXAMPLES: how many random files are tried (40 unless told otherwise).
"""

from __future__ import annotations

import os
import random
import subprocess
from functools import cache
from pathlib import Path

import pytest

from accounts.errors import BadArgument, NoId
from accounts.image.errors import BadLine
from accounts.image.export import export_sysusers
from accounts.image.importer import Imported, import_sysusers
from accounts.image.sysusers import parse_line, split_words
from tests.image.rootfs import make, tell
from tests.support.roots.cached import cached_root

EXAMPLES = int(os.environ.get("ACCOUNTS_EXAMPLES", "40"))
Files = dict[str, str | None]


@cache
def real_root() -> Path:
    """A root with systemd 257's systemd-sysusers, and the sysusers.d files of some fifty Debian 13 packages."""
    return cached_root("debian-13-sysusers")


def run_real(root: Path, *files: Path) -> tuple[int, str]:
    """Run systemd 257's on a root directory, by the C library that it was made for."""
    (root / "etc").mkdir(parents=True, exist_ok=True)
    usr = real_root() / "usr"
    libraries = usr / "lib/x86_64-linux-gnu"
    command = [libraries / "ld-linux-x86-64.so.2", "--library-path", libraries, usr / "bin/systemd-sysusers"]
    done = subprocess.run([*command, f"--root={root}", *files], capture_output=True, text=True)
    return done.returncode, done.stderr


def rows(root: Path, directory: str) -> dict[str, list[str]]:
    found = {}
    for name in ("passwd", "group"):
        path = root / directory / name
        found[name] = sorted(path.read_text().splitlines()) if path.exists() else []
    return found


def both(tmp_path: Path, text: str, image: Files | None = None) -> tuple[dict[str, list[str]], Imported]:
    """What our import makes of lines, which has to be what the real one makes of them."""
    (tmp_path / "lines.conf").write_text(text)
    there = image or {}
    ours = make(tmp_path / "ours", {"etc/": None, **{f"usr/lib/{name}": content for name, content in there.items()}})
    real = make(tmp_path / "real", {"etc/": None, **{f"etc/{name}": content for name, content in there.items()}})
    status, errors = run_real(real, tmp_path / "lines.conf")
    assert status == 0, errors
    imported = import_sysusers(ours, [tmp_path / "lines.conf"])
    assert rows(ours, "usr/lib") == rows(real, "etc")
    return rows(ours, "usr/lib"), imported


SBIN = "/usr/sbin/nologin"


@pytest.mark.parametrize(
    ("lines", "passwd", "group"),
    [
        (  # a declared group, a user of it, and an implied user
            "g mail 12\ng extra 13\nu imap 76:mail\nm imap extra\n",
            [f"imap:x:76:12::/:{SBIN}"], ["extra:x:13:imap", "mail:x:12:"],
        ),
        (
            "u root 0\nu sync 5:0\nm root root\n",
            ["root:x:0:0::/:/bin/sh", f"sync:x:5:0::/:{SBIN}"], ["root:x:0:root"],
        ),
        (  # what is implied comes after what is declared, wherever it stands
            "m ext svc\nu svc 300\nu ext -\n",
            [f"ext:x:999:999::/:{SBIN}", f"svc:x:300:300::/:{SBIN}"], ["ext:x:999:", "svc:x:300:ext"],
        ),
        ("u a -\ng a 50\n", [f"a:x:50:50::/:{SBIN}"], ["a:x:50:"]),
        ("u a 50\ng b 50\n", [f"a:x:999:999::/:{SBIN}"], ["a:x:999:", "b:x:50:"]),
        ("m a b\nm b a\n", [f"a:x:998:998::/:{SBIN}", f"b:x:999:999::/:{SBIN}"], ["a:x:998:b", "b:x:999:a"]),
        ("u a 5\nu a 6\n", [f"a:x:5:5::/:{SBIN}"], ["a:x:5:"]),
        ('u a - ""  \'\' ""\n', [f"a:x:999:999::/:{SBIN}"], ["a:x:999:"]),
        ('u a - A" b"c\\ d /x//y/ /bin/s"h"\n', ["a:x:999:999:A bc d:/x/y:/bin/sh"], ["a:x:999:"]),
        ("r - 500-501\nr - 400\nu a -\nu b -\nu c -\n", [f"a:x:501:501::/:{SBIN}", f"b:x:500:500::/:{SBIN}",
         f"c:x:400:400::/:{SBIN}"], ["a:x:501:", "b:x:500:", "c:x:400:"]),
    ],
)  # fmt: skip
def test_rows_are_those_of_systemd_sysusers(tmp_path: Path, lines: str, passwd: list[str], group: list[str]) -> None:
    found, _ = both(tmp_path, lines)
    assert found == {"passwd": passwd, "group": group}


def test_a_user_that_is_there_gets_its_group(tmp_path: Path) -> None:
    found, _ = both(tmp_path, "u root 0\n", {"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "bin:x:2:\n"})
    assert found["group"] == ["bin:x:2:", "root:x:0:"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("u big 4294967296", "not an id: 4294967296"), ("g huge 9999999999", "not an id: 9999999999"),
        ("u odd 65535", "not an id: 65535"), ("u o 010", "not an id: 010"), ("u o 4294967295", "not an id: 4294967295"),
        ("u o 1:65535", "not an id: 65535"), ("u o +1", "not an id: +1"), ("g o 1:2", "not an id: 1:2"),
        ("u o " + "9" * 5000, "not an id: " + "9" * 5000), ("r - 5-4", "not a range of ids: 5-4"),
        ("r - 0-99999999999", "not a range of ids: 0-99999999999"), ("r x 5-6", "not a line of sysusers.d: r x 5-6"),
        ("u o.o 5", "not a valid user or group name: o.o"), ("u 5o 5", "not a valid user or group name: 5o"),
        ("u " + "o" * 32, "not a valid user or group name: " + "o" * 32),
        ("m a b/c", "not a valid user or group name: b/c"),
        ("g o 5 text", "not a line of sysusers.d: g o 5 text"), ("m a b c", "not a line of sysusers.d: m a b c"),
        ("u o 5 t /h /s more", "more than 6 fields: u o 5 t /h /s more"), ('u o 5 "t', 'a quote without end: u o 5 "t'),
        ("u o 5 t\\", "ends in a backslash: u o 5 t\\"),
        ("u o 5 t h", "not an absolute path without '.', '..' and colon: h"),
        ("u o 5 t /a/../b", "not an absolute path without '.', '..' and colon: /a/../b"),
        ("g! o 5", "not a line of sysusers.d: g! o 5"),
    ],
)  # fmt: skip
def test_what_the_real_one_refuses_is_refused_and_nothing_is_written(tmp_path: Path, line: str, what: str) -> None:
    (tmp_path / "lines.conf").write_text(f"u good 7\n{line}\n")
    assert run_real(tmp_path / "real", tmp_path / "lines.conf")[0] != 0
    root = make(tmp_path / "root", {"etc/": None})
    before = tell(root)
    with pytest.raises(BadArgument) as caught:
        import_sysusers(root, [tmp_path / "lines.conf"])
    assert caught.value.message == f"{tmp_path}/lines.conf:2: {what}"
    assert tell(root) == before


@pytest.mark.parametrize("group", ["nogroup", "77"])
def test_a_user_of_a_group_that_is_not_there_is_left_out_and_told(tmp_path: Path, group: str) -> None:
    """As with the real one: Debian 13's binkd ships such a line."""
    found, imported = both(tmp_path, f"u good 7\nu bad 5:{group}\n")
    assert found["passwd"] == [f"good:x:7:7::/:{SBIN}"]
    assert imported.notes == [f"{tmp_path}/lines.conf:2: user 'bad' is left out: there is no group {group}"]


@pytest.mark.parametrize("text", ["", "  ", "# x", "\t#x"])
def test_comments_and_blank_lines_say_nothing(text: str) -> None:
    assert parse_line(text) is None


def test_words_are_split_as_systemd_splits_them() -> None:
    assert split_words("a 'b c'd \"e\\\"f\" '' g\\ h") == ["a", "b cd", 'e"f', "", "g h"]
    with pytest.raises(BadLine):
        split_words("'a")


# Every file that Debian ships


@pytest.fixture(scope="module")
def shipped() -> list[Path]:
    """The sysusers.d files of some fifty Debian 13 packages, and of this machine."""
    files = sorted((real_root() / "usr/lib/sysusers.d").glob("*.conf"))
    assert len(files) >= 40
    return [*files, *sorted(Path("/usr/lib/sysusers.d").glob("*.conf"))]


def _compare(tmp_path: Path, files: list[Path], name: str) -> None:
    real = make(tmp_path / f"real-{name}", {"etc/": None})
    ours = make(tmp_path / f"ours-{name}", {"etc/": None})
    status, errors = run_real(real, *files)
    assert status == 0, errors
    import_sysusers(ours, files)
    assert rows(ours, "usr/lib") == rows(real, "etc"), name


def test_each_file_that_debian_ships(tmp_path: Path, shipped: list[Path]) -> None:
    for number, file in enumerate(shipped):
        _compare(tmp_path, [file], f"one-{number}")


def test_all_files_that_debian_ships_together(tmp_path: Path, shipped: list[Path]) -> None:
    _compare(tmp_path, sorted(shipped, key=lambda path: path.name), "all")
    for number in range(3):
        some = random.Random(number).sample(shipped, 20)
        _compare(tmp_path, some, f"some-{number}")


# Random files

NAMES = ["a", "b", "c", "d", "e", "root"]
IDS = ["-", "", "0", "5", "7", "997", "998", "999", "100", "65534", "1000"]


def _random_lines(source: random.Random) -> str:
    lines = []
    for _ in range(source.randint(1, 9)):
        kind = source.choice("uuuggmmr")
        name = source.choice(NAMES)
        number = source.choice(IDS)
        if kind == "u":
            tail = source.choice(["", "", "", ":5", ":7", ":999", ":a", ":b"])
            lines.append(f"u {name} {(number or '-') + tail if tail else number}")
        elif kind == "g":
            lines.append(f"g {name} {number}")
        elif kind == "m":
            lines.append(f"m {name} {source.choice(NAMES)}")
        elif source.random() < 0.3:
            low = source.choice([5, 7, 100, 990, 997])
            lines.append(f"r - {low}-{low + source.randint(0, 9)}")
    return "\n".join(lines) + "\n"


def _random_image(source: random.Random) -> Files:
    users = {name: source.choice([5, 7, 999, 998, 997, 1000]) for name in source.sample(NAMES, source.randint(0, 3))}
    groups = {name: source.choice([5, 7, 999, 998, 997, 1000]) for name in source.sample(NAMES, source.randint(0, 3))}
    unique_users = {number: name for name, number in users.items()}
    unique_groups = {number: name for name, number in groups.items()}
    if not unique_users or not unique_groups:
        return {}
    first = next(iter(unique_groups))
    return {
        "passwd": "".join(f"{name}:x:{number}:{first}::/:/bin/sh\n" for number, name in unique_users.items()),
        "group": "".join(f"{name}:x:{number}:\n" for number, name in unique_groups.items()),
    }


def test_random_lines_over_random_accounts(tmp_path: Path) -> None:
    """The same rows, or no rows from either."""
    agreed = refused = 0
    for seed in range(EXAMPLES):
        source = random.Random(seed)
        text, image = _random_lines(source), _random_image(source)
        place = tmp_path / str(seed)
        place.mkdir()
        try:
            both(place, text, image)
            agreed += 1
        except NoId:
            assert "ID available for" in run_real(place / "real", place / "lines.conf")[1], (seed, text)
            before = sorted((image["passwd"] or "").splitlines()) if image else []
            assert rows(place / "ours", "usr/lib")["passwd"] == before
            refused += 1
    assert agreed > refused


def test_import_of_an_export_is_what_was_exported(tmp_path: Path) -> None:
    """import(export(x)) == x for every x of which nothing is lost but passwords."""
    whole = 0
    for seed in range(EXAMPLES):
        source = random.Random(seed)
        place = tmp_path / str(seed)
        ids = source.sample(range(1, 1100), 12)
        groups = [(f"g{n}", source.choice([ids[n], ids[0]]) if n == 7 else ids[n]) for n in range(8)]
        lines = []
        for n in range(6):
            uid, gid = source.choice([(ids[n], ids[n]), (ids[8 + n % 4], ids[n]), (ids[n], ids[n + 1])])
            name = source.choice([f"g{n}", f"u{n}"])
            gecos = source.choice(["", "A B", 'q"u\\o', "50%", "'", "é", "a", "a", "a", source.choice(["-", "a"])])
            home, shell = source.choice(["/", "/a b", "/x%y"]), source.choice(["/bin/sh", SBIN])
            lines.append(f"{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}\n")
        names = [line.split(":")[0] for line in lines]
        image: Files = {
            "etc/": None,
            "usr/lib/passwd": "".join(lines),
            "usr/lib/group": "".join(
                f"{name}:x:{gid}:{','.join(sorted(source.sample(names, source.randint(0, 2))))}\n"
                for name, gid in groups
            ),
        }
        root = make(place, image) if place.mkdir() is None else place
        lost = export_sysusers(root, place / "out")
        new = make(place / "new", {"etc/": None})
        import_sysusers(new, [place / "out/accounts.conf"])
        status, errors = run_real(place / "real", place / "out/accounts.conf")
        assert (status, errors.count("already used")) == (0, 0), (seed, errors)
        assert rows(new, "usr/lib") == rows(place / "real", "etc"), seed
        if not lost:
            whole += 1
            assert rows(new, "usr/lib") == rows(root, "usr/lib"), seed
    assert whole > EXAMPLES // 8
