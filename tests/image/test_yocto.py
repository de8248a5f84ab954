# SPDX-License-Identifier: MIT
"""packaging/yocto: class and recipe in BitBake's own parser, OE's calls of the tools, and pseudo."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.image.rootfs import make, make_wirable_root, names

TOP = Path(__file__).parents[2]
LAYER = TOP / "packaging/yocto"
SHIMS = TOP / "shims"

# What OE-core's own classes and bitbake.conf set, as far as the class and the recipe use it.
BASE: dict[str, str | None] = {
    "classes/base.bbclass": "",
    "classes/image.bbclass": """\
PSEUDO_PASSWD = "${IMAGE_ROOTFS}:${STAGING_DIR_NATIVE}"
fakeroot python do_rootfs () {
    bb.note('rootfs')
}
do_rootfs[cleandirs] += "${IMAGE_ROOTFS}"
do_rootfs[depends] += "virtual/fakeroot-native:do_populate_sysroot"
addtask rootfs
inherit ${IMAGE_CLASSES}
""",
    # base.bbclass, which is read by BitBake's server only, has oe_runmake.
    "classes/externalsrc.bbclass": 'oe_runmake () {\n    make -C ${TOP} -s ${EXTRA_OEMAKE} "$@"\n}\n',
    "classes/update-alternatives.bbclass": "",
    "classes/python3native.bbclass": 'PYTHON = "${STAGING_BINDIR_NATIVE}/python3-native/python3"\n'
    'PYTHON_DIR = "python3.13"\n',
    "classes/native.bbclass": 'OVERRIDES .= ":class-native"\nprefix = "/native/usr"\n',
    "recipes/an-image.bb": 'inherit image\nIMAGE_CLASSES = "stateless-accounts"\n',
}
VARIABLES = {
    "PN": "an-image", "OVERRIDES": "pn-${PN}", "prefix": "/usr", "bindir": "${prefix}/bin",
    "sbindir": "${prefix}/sbin", "base_sbindir": "/sbin", "libdir": "${prefix}/lib", "datadir": "${prefix}/share",
    "systemd_system_unitdir": "${prefix}/lib/systemd/system", "STAGING_LIBDIR_NATIVE": "/sysroot/usr/lib",
    "STAGING_BINDIR_NATIVE": "/sysroot/usr/bin", "STAGING_DATADIR_NATIVE": "/sysroot/usr/share",
    "STAGING_DIR_NATIVE": "/sysroot", "CC": "gcc", "CFLAGS": "-O2", "LDFLAGS": "-Wl,-O1", "TOPDIR": "/top",
    "THISDIR": "${@os.path.dirname(d.getVar('FILE'))}",
}  # fmt: skip


class Builds:
    """A build directory with a stand-in for OE-core's classes; bitbake() parses and runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "work/rootfs"
        make(directory / "core", BASE)
        self.set = VARIABLES | {
            "WORKDIR": f"{directory}/work", "T": f"{directory}/work/temp", "IMAGE_ROOTFS": str(self.root),
            "PATH": f"{SHIMS}:/usr/sbin:/usr/bin:/sbin:/bin", "IMAGE_CLASSES": "stateless-accounts",
        }  # fmt: skip

    def bitbake(self, file: Path | None = None, **request: Any) -> dict[str, Any]:
        request = {
            "file": str(file or self.directory / "core/recipes/an-image.bb"),
            "bbpath": [str(LAYER), str(self.directory / "core"), str(self.directory / "tables")],
            **request,
            "set": self.set | request.get("set", {}),
        }
        done = subprocess.run(
            [sys.executable, TOP / "tests/image/bitbake.py"],
            input=json.dumps(request), capture_output=True, text=True, cwd=self.directory,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        print(done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def log(self, answer: dict[str, Any], level: str) -> list[str]:
        return [message for kind, message in answer["log"] if kind == level]


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path)


GET = ["PSEUDO_PASSWD", "FEATURE_PACKAGES_stateless", "STATELESS_PINS", "STATELESS_RULES"]
FLAGS = [["do_rootfs", flag] for flag in ("postfuncs",)]


def test_the_feature_hooks_in_behind_the_whole_of_do_rootfs(builds: Builds) -> None:
    for flag, expected in (
        ("postfuncs", "stateless_accounts"),
        ("depends", "virtual/fakeroot-native:do_populate_sysroot stateless-accounts-native:do_populate_sysroot"),
        ("cleandirs", f"{builds.root} {builds.directory}/work/stateless-names"),
        ("fakeroot", "1"),
    ):
        answer = builds.bitbake(set={"IMAGE_FEATURES": "ssh stateless"}, flags=[["do_rootfs", flag]], get=GET)
        assert answer["flags"]["do_rootfs"].split() == expected.split()
    names_first = f"{builds.directory}/work/stateless-names:{builds.root}:/sysroot"
    assert answer["get"] == {
        "PSEUDO_PASSWD": names_first,
        "FEATURE_PACKAGES_stateless": "stateless-accounts",
        "STATELESS_PINS": "",
        "STATELESS_RULES": "/sysroot/usr/share/accounts/rules/oe-core-image-minimal.rules",
    }


def test_without_the_feature_the_class_does_nothing(builds: Builds) -> None:
    answer = builds.bitbake(set={"IMAGE_FEATURES": "ssh stateless-rootfs"}, flags=FLAGS, get=["PSEUDO_PASSWD"])
    assert answer["flags"] == {"do_rootfs": None}
    assert answer["get"]["PSEUDO_PASSWD"] == f"{builds.root}:/sysroot"


def test_tables_of_useradd_staticids_are_found_in_bbpath(builds: Builds) -> None:
    make(builds.directory / "tables", {"files/passwd": "", "files/more": "", "files/group": ""})
    tables = {"USERADD_UID_TABLES": "files/passwd files/more", "USERADD_GID_TABLES": "files/group"}
    answer = builds.bitbake(set=tables, get=["STATELESS_PINS"])
    where = builds.directory / "tables/files"
    assert answer["get"]["STATELESS_PINS"] == f"passwd={where}/passwd passwd={where}/more group={where}/group"


def test_a_changed_setting_or_file_changes_the_signature_of_do_rootfs(builds: Builds) -> None:
    where = make(builds.directory / "mine", {
        "more.rules": "# why\nrm b\n", "my.rules": "include more.rules\n# why\nrm a\n", "pins": "a:x:1:1:::\n",
        "before": "passwd:a:1:present\n", "ids": "passwd:b:2:present\n", "root/etc/passwd": "",
    })  # fmt: skip
    make(builds.directory / "tables", {"files/passwd": "a:x:1:::\n", "other/passwd": "a:x:1:::\n"})
    given = {
        "IMAGE_FEATURES": "stateless", "USERADD_UID_TABLES": "files/passwd",
        "STATELESS_RULES": f"/sysroot/usr/share/accounts/rules/oe.rules {where}/my.rules", "STATELESS_KEEP": "admin",
        "STATELESS_LEDGER": f"{where}/ids", "STATELESS_PREVIOUS": f"{where}/root {where}/ids {where}/before",
        "STATELESS_FINDINGS": "unpinned-id=ignore", "STATELESS_CHECK_EMPTY": "warn", "STATELESS_WIRE": "",
    }  # fmt: skip

    def sign(**change: str) -> Any:
        return builds.bitbake(set={**given, **change}, hash="do_rootfs")["hash"]

    first = sign()
    assert sign() == first
    assert sorted(Path(path).name for path, _ in first[1]) == ["before", "more.rules", "my.rules", "passwd"]
    for name in [*given, "STATELESS_PINS"]:
        change = "other/passwd" if "TABLES" in name else "" if name == "IMAGE_FEATURES" else f"passwd={where}/pins"
        assert sign(**{name: change})[0] != first[0], name
    for path in (where / "more.rules", where / "my.rules", where / "before", builds.directory / "tables/files/passwd"):
        before = path.read_text()
        path.write_text("# another\n" + before)
        assert sign() != first, path
        path.write_text(before)
        assert sign() == first
    # The task writes it, and would have to run again each time.
    (where / "ids").write_text("passwd:b:2:present\npasswd:c:3:present\n")
    assert sign() == first


IMAGE: dict[str, str | None] = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n_svc:x:998:998::/:/sbin/nologin\nadmin:x:1000:0::/:/bin/sh\n",
    "etc/group": "root:x:0:\n_svc:x:998:\nshadow:x:42:\n",
    "etc/shadow": "root:*:1:0:99999:7:::\n_svc:!:1::::::\nadmin:!:1::::::\n",
    "etc/hostname": "qemux86-64\n",
    "etc/nsswitch.conf": "passwd: files\nhosts: files mdns4 dns\n",
    "etc/leftover": "",
}


def test_the_hook_does_the_whole_job(builds: Builds) -> None:
    (builds.directory / "work").mkdir()
    make_wirable_root(builds.root, IMAGE)
    (builds.root / "etc/shadow").chmod(0o400)
    (builds.directory / "rules").write_text("# why\nrm hostname leftover\n# why\nkeep passwd shadow nsswitch.conf\n")
    ledger = builds.directory / "ids"
    answer = builds.bitbake(
        exec="stateless_accounts",
        set={
            "IMAGE_FEATURES": "stateless", "STATELESS_RULES": f"{builds.directory}/rules",
            "STATELESS_KEEP": "admin other", "STATELESS_LEDGER": str(ledger),
            "REPRODUCIBLE_TIMESTAMP_ROOTFS": str(86400 * 19000), "STATELESS_FINDINGS": "unpinned-id=ignore",
        },
    )  # fmt: skip
    assert not answer["failed"], "\n".join(map(str, answer["log"]))
    assert names(builds.root) == ["passwd", "shadow"]
    assert (builds.root / "etc/passwd").read_text() == "admin:x:1000:0::/:/bin/sh\n"
    assert "_svc:!:19000::::::\n" in (builds.root / "usr/lib/shadow").read_text()
    assert "mdns4" in (builds.root / "usr/share/accounts/nsswitch.conf").read_text()
    assert "passwd:_svc:998:present\n" in ledger.read_text()
    saved = (builds.directory / "work/stateless-names/etc/passwd").read_text()
    assert [line.split(":")[0] for line in saved.splitlines()] == ["root", "_svc", "admin"]
    assert any("--keep other: no such local user or group" in line for line in builds.log(answer, "WARNING"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"STATELESS_RULES": "/nonexistent.rules"}, "accounts image stateless failed with exit status 3"),
        ({"STATELESS_RULES": "{}/rules"}, "accounts image stateless failed with exit status 1"),
        ({"STATELESS_PREVIOUS": "{}/ids"}, "accounts image seed failed with exit status 1"),
        ({"PATH": "/nonexistent"}, "No such file or directory: 'accounts'"),
    ],
    ids=["no rules", "left over", "an id changed", "no tool"],
)
def test_a_failure_fails_the_build(builds: Builds, change: dict[str, str], message: str) -> None:
    (builds.directory / "work").mkdir()
    make_wirable_root(builds.root, IMAGE)
    (builds.directory / "rules").write_text("# why\nrm hostname\n")
    (builds.directory / "ids").write_text("passwd:_svc:700:present\n")
    change = {name: value.format(builds.directory) for name, value in change.items()}
    answer = builds.bitbake(
        exec="stateless_accounts", set={"IMAGE_FEATURES": "stateless", "STATELESS_RULES": "", **change}
    )
    assert answer["failed"]
    assert message in "\n".join(text for level, text in answer["log"] if level not in ("DEBUG", "INFO"))


RECIPE = LAYER / "recipes-core/stateless-accounts/stateless-accounts_git.bb"
TARGET = {"PN": "stateless-accounts", "OVERRIDES": "class-target"}


@pytest.mark.parametrize(
    ("variant", "extra", "expected"),
    [
        ("", {}, ("stateless-accounts", "PREFIX=/usr ", False, False)),
        ("native", {}, ("stateless-accounts-native", "PREFIX=/native/usr ", True, False)),
        (
            "native",
            {"PACKAGECONFIG:append": " shadow"},
            ("stateless-accounts-native", "PREFIX=/native/usr ", False, True),
        ),
    ],
)
def test_the_recipe_parses_for_target_and_build_host(
    builds: Builds, variant: str, extra: dict[str, str], expected: tuple[str, str, bool, bool]
) -> None:
    answer = builds.bitbake(
        RECIPE, variant=variant, get=["PN", "EXTRA_OEMAKE", "PROVIDES", "EXTERNALSRC", "RPROVIDES:stateless-accounts"],
        set={"PN": "stateless-accounts", "OVERRIDES": "class-target" if not variant else "x", **extra},
    )  # fmt: skip
    assert answer["variants"] == ["", "native"]
    found = answer["get"]
    name, prefix, only_accounts, shadow = expected
    assert found["PN"] == name
    assert prefix in found["EXTRA_OEMAKE"]
    assert ("TOOLS=accounts" in found["EXTRA_OEMAKE"]) == only_accounts
    assert ("shadow-native" in (found["PROVIDES"] or "")) == shadow
    assert Path(found["EXTERNALSRC"]) == TOP
    assert found["RPROVIDES:stateless-accounts"] == (None if variant else "shadow")


def test_names_that_others_have_are_alternatives(builds: Builds, tmp_path: Path) -> None:
    """Each has a link name, and is installed where its target is; sg, which shadow-base has as a plain file, is not."""
    names = ["passwd", "chfn", "chsh", "chpasswd", "newgrp", "vipw", "vigr"]
    answer = builds.bitbake(RECIPE, get=["ALTERNATIVE:stateless-accounts"], set=TARGET)
    assert answer["get"]["ALTERNATIVE:stateless-accounts"].split() == names
    subprocess.run(["make", "-s", "-C", TOP, "install", f"DESTDIR={tmp_path}"], check=True, stdout=subprocess.DEVNULL)
    text = RECIPE.read_text()
    assert "rm -f ${D}${bindir}/sg\n" in text
    for name in names:
        link = re.search(rf'ALTERNATIVE_LINK_NAME\[{name}\] = "(.*)"', text)
        target = re.search(rf'ALTERNATIVE_TARGET\[{name}\] = "(.*)"', text) or link
        assert link and target
        path = target[1].replace("${bindir}", "usr/bin").replace("${sbindir}", "usr/sbin")
        assert (tmp_path / path).is_file(), path


@pytest.mark.parametrize("spdx", [False, True])
def test_the_licence_of_the_recipe_is_of_all_that_it_installs(builds: Builds, spdx: bool) -> None:
    """Ours, passlib's and filelock's; in SPDX' words where OE-core has the parser that asks for them."""
    if spdx:
        make(builds.directory / "core", {"lib/oe/spdx_license.py": ""})
    answer = builds.bitbake(
        RECIPE, set=TARGET, get=["LICENSE", "LIC_FILES_CHKSUM"],
        flags=[["NO_GENERIC_LICENSE", "UnixCrypt"]],
    )  # fmt: skip
    names = ["MIT", "BSD-3-Clause", "Beerware", "ISC", "LicenseRef-UnixCrypt", "Unlicense"]
    assert answer["get"]["LICENSE"] == (" AND " if spdx else " & ").join(names)
    files = dict(re.findall(r"file://(\S+);md5=(\S+)", answer["get"]["LIC_FILES_CHKSUM"]))
    for name, expected in files.items():
        assert hashlib.md5((TOP / name).read_bytes(), usedforsecurity=False).hexdigest() == expected
    assert sorted(map(os.path.basename, files)) == ["LICENSE", "filelock-LICENSE", "passlib-LICENSE"]
    assert answer["flags"]["NO_GENERIC_LICENSE"] in files
    licence = (TOP / answer["flags"]["NO_GENERIC_LICENSE"]).read_text()
    for part in ("Assurance Technologies", "BEER-WARE", "Aki Yoshida", "Damien Miller"):
        assert part in licence


# Which package of OE-core's python3 has a module: from python3-manifest.json of OE-core 35a2c6e (August 2026, Python
# 3.14), but fcntl from scarthgap's. What it does not list and the interpreter does not contain is python3-misc's.
PACKAGES = {
    "asyncio": "asyncio concurrent",
    "compression": "tarfile",
    "core": """\
        __future__ _frozen_importlib _frozen_importlib_external _signal _stat _thread abc argparse binascii bisect
        builtins codecs collections contextlib dataclasses enum errno fnmatch functools gc grp heapq importlib inspect
        io itertools marshal math operator os pathlib platform posix posixpath pwd re select shutil signal stat
        stringprep struct subprocess sys textwrap threading time traceback types typing unicodedata warnings weakref
        zlib""",
    "crypt": "hashlib",
    "ctypes": "ctypes",
    "datetime": "calendar datetime",
    "difflib": "difflib",
    "fcntl": "fcntl",
    "io": "_socket socket termios",
    "json": "json",
    "logging": "logging",
    "math": "random",
    "misc": "timeit",
    "netclient": "base64 hmac urllib",
    "resource": "resource",
    "shell": "shlex",
    "syslog": "syslog",
    "tomllib": "tomllib",
}
# Windows' of filelock; and passlib is content without, as Python is since 3.13.
NEVER = {"msvcrt", "crypt"}


def imports(path: Path) -> set[str]:
    """The modules that a file names in import statements, wherever they are, by their first name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_the_recipe_depends_on_the_packages_of_all_that_is_imported(builds: Builds) -> None:
    where = {module: f"python3-{package}" for package, modules in PACKAGES.items() for module in modules.split()}
    wanted: dict[str, str] = {}
    for name in ("accounts", "build/deps/passlib", "build/deps/filelock"):
        for path in (TOP / name).rglob("*.py"):
            if "tests" not in path.relative_to(TOP).parts:
                wanted |= dict.fromkeys((imports(path) & sys.stdlib_module_names) - NEVER, str(path))
    unknown = {module: path for module, path in wanted.items() if module not in where}
    assert not unknown, "find its package in OE-core's python3-manifest.json"
    answer = builds.bitbake(RECIPE, set=TARGET, get=["RDEPENDS:stateless-accounts"])
    depends = answer["get"]["RDEPENDS:stateless-accounts"].split()
    assert [name for name in depends if name.startswith("python3-")] == sorted({where[module] for module in wanted})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this tree to compile in with other flags and paths: others install what is built in this one."""
    place = tmp_path_factory.mktemp("source")
    subprocess.run(f"git ls-files -z | tar -c --null -T - | tar -x -C '{place}'", shell=True, cwd=TOP, check=True)
    return place


def test_the_tools_of_the_build_host_work_wherever_the_sysroot_is(source: Path, tmp_path: Path) -> None:
    """make install as the native recipe calls it, and its sed; then the tree is moved, as a sysroot is."""
    first, second = tmp_path / "first", tmp_path / "second"
    prefix = f"{first}/usr"
    make_arguments = [f"PREFIX={prefix}", "TOOLS=accounts useradd", "BUSYBOX_TOOLS=", f"LIBDIR={prefix}/lib"]
    make_arguments.append(f"DEPS={TOP}/build/deps")
    subprocess.run(["make", "-s", "-C", source, "install", *make_arguments], check=True, stdout=subprocess.DEVNULL)
    assert sorted(os.listdir(first / "usr/bin") + os.listdir(first / "usr/sbin")) == ["accounts", "useradd"]
    (command,) = (line for line in RECIPE.read_text().split("\n") if "rpartition" in line)
    script = command.split("'")[1].replace("${prefix}", prefix)
    for tool in ("bin/accounts", "sbin/useradd"):
        subprocess.run(["sed", "-i", "-e", script, f"{prefix}/{tool}"], check=True)
        assert str(first) not in Path(f"{prefix}/{tool}").read_text()
    first.rename(second)
    root = make_wirable_root(tmp_path / "root", {"etc/passwd": "", "etc/group": ""})
    subprocess.run([second / "usr/sbin/useradd", "--root", root, "-r", "svc"], check=True)
    done = subprocess.run([second / "usr/bin/accounts", "image", "wire", root], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (root / "etc/passwd").read_text().startswith("svc:")


@pytest.mark.parametrize("features", ["", "pam"])
def test_what_package_shadow_has_in_etc_is_ours(builds: Builds, source: Path, features: str) -> None:
    """do_install: but for login.defs, login and su, which are shadow-base's, and no word lists of passlib's."""
    image = builds.directory / "image"
    answer = builds.bitbake(
        RECIPE, exec="do_install", get=["RDEPENDS:stateless-accounts", "PACKAGECONFIG"],
        set=TARGET | {
            "DISTRO_FEATURES": features, "D": str(image), "TOP": str(source), "sysconfdir": "/etc",
            "base_libdir": "/lib", "PYTHON:class-target": "/usr/bin/python3",
            "STATELESS_DEPS:class-target": f"{TOP}/build/deps",
        },
    )  # fmt: skip
    assert not answer["failed"], "\n".join(map(str, answer["log"]))
    services = {"pam.d/" + name for name in ("chfn", "chpasswd", "chsh", "newusers", "passwd")}
    expected = {"default/useradd", "subuid", "subgid"} | (services if features else set())
    assert {name for name in names(image) if not name.endswith("/")} == expected
    assert "SHELL=/bin/sh" in (image / "etc/default/useradd").read_text()
    assert (image / "usr/lib/accounts/passlib/hash.py").exists()
    assert not (image / "usr/lib/accounts/passlib/_data").exists()
    assert {"base-passwd", "shadow-base"} <= set(answer["get"]["RDEPENDS:stateless-accounts"].split())
    packages = PAM_PACKAGES.split()
    for service in sorted(services) if features else ():
        for line in (image / "etc" / service).read_text().splitlines():
            if module := re.search(r"pam_(\w+)\.so", line):
                assert module[1] == "permit" or f"pam-plugin-{module[1]}" in packages
            elif not line.startswith("#"):
                assert re.fullmatch(r"(\w+) +include +common-\1", line)


PAM_PACKAGES = re.sub(r'(?s).*PACKAGECONFIG\[pam\] = "[^"]*,([^"]*)".*', r"\1", RECIPE.read_text()).replace("\\\n", "")

# As base-passwd's preinst makes them, and what is in /etc of ours.
NEW: dict[str, str | None] = {
    "etc/passwd": "root:*:0:0:root:/root:/bin/sh\ndaemon:*:1:1:daemon:/usr/sbin:/sbin/nologin\n",
    "etc/group": "root:*:0:\ndaemon:*:1:\nshadow:*:42:\nusers:*:100:\n",
    "etc/login.defs": "ENCRYPT_METHOD SHA512\nSYS_UID_MIN 101\n", "etc/subuid": "", "etc/subgid": "",
    "etc/default/useradd": "SHELL=/bin/sh\n", "etc/skel/": None,
}  # fmt: skip


def test_the_postinst_makes_shadow_files_so_that_hashes_are_in_them(builds: Builds) -> None:
    """In do_rootfs: base-passwd, our postinst, a package's useradd, extrausers' usermod -p; then the class."""
    answer = builds.bitbake(RECIPE, set=TARGET, get=["pkg_postinst:stateless-accounts", "PACKAGE_WRITE_DEPS"])
    assert answer["get"]["PACKAGE_WRITE_DEPS"].split() == ["shadow-native"]
    postinst = answer["get"]["pkg_postinst:stateless-accounts"]
    (builds.directory / "work").mkdir()
    root = make_wirable_root(builds.root, NEW)
    environment = {"PATH": f"{SHIMS}:/usr/bin:/bin", "D": str(root)}
    script = f"{postinst}\nuseradd --root $D -r -U svc\nusermod --prefix $D -p '$6$salt$hash' root\n"
    subprocess.run(["sh", "-euc", script], check=True, env=environment)
    assert (root / "etc/passwd").read_text().startswith("root:x:0:0:")
    assert [line.split(":")[:2] for line in (root / "etc/shadow").read_text().splitlines()] == [
        ["root", "$6$salt$hash"], ["daemon", "*"], ["svc", "!"]
    ]  # fmt: skip
    assert (root / "etc/gshadow").exists()
    rules = TOP / "nss-data/rules/oe-core-image-minimal.rules"
    answer = builds.bitbake(
        exec="stateless_accounts", set={"IMAGE_FEATURES": "stateless", "STATELESS_RULES": str(rules)}
    )
    assert not answer["failed"], "\n".join(map(str, answer["log"]))
    assert names(root) == []
    assert "root:$6$salt$hash:" in (root / "usr/lib/shadow").read_text()
    # Once more, as an update of the package on the machine does: its tools are ours, and all is there.
    subprocess.run(["sh", "-euc", postinst], check=True, env=environment)
    assert names(root) == [".pwd.lock"]


def test_the_postinst_on_a_machine_has_no_root_directory(builds: Builds, tmp_path: Path) -> None:
    answer = builds.bitbake(RECIPE, set=TARGET, get=["pkg_postinst:stateless-accounts"])
    postinst = answer["get"]["pkg_postinst:stateless-accounts"]
    tools = make(tmp_path / "tools", dict.fromkeys(("pwconv", "grpconv"), '#!/bin/sh\necho "${0##*/}" "$@"\n'))
    for tool in tools.iterdir():
        tool.chmod(0o755)
    done = subprocess.run(["/bin/sh", "-ec", postinst], capture_output=True, text=True, env={"PATH": str(tools)})
    assert (done.returncode, done.stdout) == (0, "pwconv\ngrpconv\n")
    (tools / "pwconv").write_text("#!/bin/sh\nexit 5\n")
    done = subprocess.run(["/bin/sh", "-c", postinst], capture_output=True, text=True, env={"PATH": str(tools)})
    assert done.returncode == 1


# OE's calls

# One line a call, as OE's useradd.bbclass and extrausers.bbclass make them; $O is --root or --prefix with the
# sysroot. What counts there is not the exit status, but what grep finds in $R/etc: behind the bar.
CALLS = """\
groupadd $O --system netdev | ^netdev: group
groupadd $O -g 880 group1 | ^group1:x:880: group
useradd $O --system --home-dir /run/svc --no-create-home --shell /bin/false --user-group svc | ^svc: passwd
useradd $O --home-dir /var/lib/db -r -g group1 -G netdev --shell /bin/sh db | ^db:x:[0-9]*:880: passwd
useradd $O -u 1200 -d /home/dev -p abJnggxhB/yWI dev | ^dev:x:1200: passwd
groupmems $O -g netdev -a svc | ^netdev:[^:]*:[^:]*:\\([^,]*,\\)*svc\\(,[^,]*\\)* group
usermod $O -a -G group1 dev | ^group1:x:880:dev$ group
usermod $O -s /bin/sh dev | ^dev:.*:/bin/sh$ passwd
groupmod $O -g 881 group1 | ^group1:x:881: group
useradd $O -r tmp1 | ^tmp1: passwd
userdel $O -r tmp1 | !^tmp1: passwd
groupadd $O tmp2 | ^tmp2: group
groupdel $O tmp2 | !^tmp2: group
usermod $O -e 2030-01-01 dev | ^dev: passwd
"""


@pytest.mark.parametrize("option", ["--root", "--prefix"])
@pytest.mark.parametrize("gshadow", [True, False])
def test_the_calls_of_oe(tmp_path: Path, option: str, gshadow: bool) -> None:
    root = make(tmp_path / "root", {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:1::::::\n",
        "etc/login.defs": "SYS_UID_MIN 101\nSYS_GID_MIN 101\nUSERGROUPS_ENAB yes\nCREATE_HOME yes\n",
        "etc/skel/": None, "home/": None, "bin/sh": "", "bin/false": "",
        **({"etc/gshadow": "root:*::\n"} if gshadow else {}),
    })  # fmt: skip
    for shell in ("sh", "false"):
        (root / "bin" / shell).chmod(0o755)
    environment = {"PATH": f"{SHIMS}:/usr/bin:/bin", "R": str(root), "O": f"{option} {root}"}
    for line in CALLS.splitlines():
        call, _, check = line.partition(" | ")
        pattern, _, name = check.rpartition(" ")
        # groupmems of shadow wants gshadow to be there: the class touches it first and removes it again.
        around = ("touch $R/etc/gshadow;", "rm -f $R/etc/gshadow*") if "groupmems" in call and not gshadow else ("", "")
        script = f'{around[0]} flock -x $R/etc sh -c "{call}" || echo failed; {around[1]}'
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment)
        assert done.stdout == "", f"{call}: {done.stderr}"
        found = subprocess.run(["grep", "-q", pattern.lstrip("!"), root / "etc" / name]).returncode == 0
        assert found == (not pattern.startswith("!")), f"{call}\n{(root / 'etc' / name).read_text()}"
    assert (root / "etc/shadow").read_text().splitlines()[-1].startswith("dev:abJnggxhB/yWI:")
    assert (root / "etc/gshadow").exists() == gshadow
    assert [path.name for path in (root / "etc").glob("*.lock") if path.name != ".pwd.lock"] == []
    assert (root / "home/dev").is_dir()


@pytest.mark.skipif(shutil.which("pseudo") is None, reason="needs pseudo")
def test_under_pseudo_as_an_ordinary_user(tmp_path: Path) -> None:
    """do_rootfs and do_image: the tools run without privilege, and names resolve after the accounts moved."""
    nobody = pwd.getpwnam("nobody")
    work = tmp_path / "work"
    root = make_wirable_root(work, {"etc/passwd": "root:x:0:0::/:/bin/sh\n", "etc/group": "root:x:0:\n"})
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.lchown(path, nobody.pw_uid, nobody.pw_gid)
    for path in tmp_path.parents:
        if path.stat().st_mode & 0o5 != 0o5 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o5)
    saved = tmp_path / "names"
    (library,) = Path("/usr/lib").glob("*/pseudo/libpseudo.so")
    script = f"""\
set -e
export PSEUDO_PREFIX=/usr PSEUDO_LIBDIR={library.parent} PSEUDO_LOCALSTATEDIR={tmp_path}/state
export PSEUDO_PASSWD={saved}:{root} PATH={SHIMS}:/usr/bin:/bin
# In do_rootfs everything is made under pseudo, so it knows all files.
pseudo chown -R root:root {root}
pseudo useradd --root {root} -r -U svc
touch {root}/before {root}/after
pseudo chown svc:svc {root}/before
pseudo accounts image seed {root} --save-names {saved}/etc
pseudo accounts image wire {root} --no-boot
test ! -e {root}/etc/passwd
pseudo chown svc:svc {root}/after
pseudo stat -c '%U %u' {root}/before {root}/after {root}/usr/lib/shadow
stat -c '%U' {root}/usr/lib/shadow
pseudo -S
"""
    done = subprocess.run(
        ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "sh", "-c", script],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith(str(root))]
    uid = (root / "usr/lib/passwd").read_text().split("svc:")[1].split(":")[1]
    assert lines == [f"svc {uid}", f"svc {uid}", "root 0", "nobody"]
