# SPDX-License-Identifier: MIT
"""RPM packages, installed by dnf into empty roots, over packages that are made of a Debian root's files.

No mirror of an RPM distribution is needed: `distribution` is the root as one package, and `shadow-utils` its account
tools, as far as Fedora's package of that name has them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.packages.rootdir import TOOLS, Directory, PackagedRoot
from tests.packages.versions import stamp_library
from tests.support.roots.cached import cached_root

# Debian's libc looks for libraries there; Fedora's %_libdir is the default of rpm.
LIBDIR = "/usr/lib/x86_64-linux-gnu"
OURS = "stateless-accounts stateless-accounts-tools stateless-accounts-nss stateless-accounts-pam"
# In Fedora chfn and chsh are util-linux's, and there is no expiry.
SHADOW_UTILS = [name for name in TOOLS if name not in ("chfn", "chsh", "expiry")]
SHADOW_FILES = (
    f'/usr/s?bin/({"|".join(SHADOW_UTILS)})"|/etc/login.defs"|/etc/default/useradd"|/etc/pam.d/passwd"'
    f"|/usr/share/man/.*/({'|'.join(TOOLS)})\\."
)
BASE_SPEC = f"""\
%global __os_install_post %{{nil}}
%global debug_package %{{nil}}
Name: distribution
Version: 13
Release: 1
Summary: The files of a Debian root
License: none
AutoReq: no
Provides: coreutils grep pam python3 = 3.13 rtld(GNU_HASH) /bin/sh
%description
%{{summary}}.
%package -n shadow-utils
Epoch: 2
Version: 4.17.4
Summary: The account tools of a Debian root
AutoReq: no
%description -n shadow-utils
%{{summary}}.
%prep
%build
%install
cp -a /base/. %{{buildroot}}
cd %{{buildroot}}
rm -rf proc/* sys/* dev/* run/* tmp/* debootstrap usr/bin/expiry etc/*-
# Of authselect.
echo 'password include common-password' >etc/pam.d/system-auth
# Of Fedora's package filesystem.
mkdir -p usr/share/licenses usr/share/zsh/site-functions usr/share/fish/vendor_completions.d
find . -mindepth 1 -type d -printf '%%%%dir "/%%P"\\n' >/root/all
find . ! -type d -printf '"/%%P"\\n' >>/root/all
grep -E '{SHADOW_FILES}' /root/all >/root/shadow
grep -vxFf /root/shadow /root/all >/root/rest
%files -f /root/rest
%files -n shadow-utils -f /root/shadow
"""
OWNED_SPEC = """\
Name: owned
Version: 1
Release: 1
Summary: A file of a user of the image
License: MIT
BuildArch: noarch
AutoReqProv: no
%description
%{summary}.
%install
mkdir -p %{buildroot}/srv
echo >%{buildroot}/srv/owned
%files
%attr(0640,imguser,imggroup) /srv/owned
"""
DNF = (
    "dnf -y -q --installroot=/target --disablerepo=* --repofrompath=here,/repo --releasever=1 "
    "--setopt=gpgcheck=0 --setopt=install_weak_deps=False"
)
# At which calls rpm is killed.
STEP = 1 if "ACCOUNTS_KILLS" in os.environ else 50


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackagedRoot]:
    """A root with rpmbuild and dnf, and a repository in /repo: the distribution and two versions of ours."""
    place = tmp_path_factory.mktemp("rpm")
    root = PackagedRoot("debian-13-rpmbuild", place)
    cached_root("debian-13-rpm-python")
    root.check_out()
    (root.path / "root/distribution.spec").write_text(BASE_SPEC)
    (root.path / "root/owned.spec").write_text(OWNED_SPEC)
    root.run(
        "ln -s /var/tmp/accounts-test/debian-13-rpm-python /base; mkdir /repo; cd /root; "
        "for spec in distribution owned; do "
        "rpmbuild --define '_topdir /root/build' --define '_binary_payload w0.gzdio' -bb $spec.spec; done; "
        "mv build/RPMS/*/*.rpm /repo; rm -rf build"
    )
    root.run(
        f"cd /root/tree; scripts/rpm.sh /repo --define '_libdir {LIBDIR}'; "
        f"cp -R . /root/next; cd /root/next; {stamp_library('/root/next/accounts', '9.9')}; "
        f"RPM_VERSION=9.9 scripts/rpm.sh /repo/next --define '_libdir {LIBDIR}'; createrepo_c -q /repo"
    )
    yield root
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def target(builder: PackagedRoot) -> Directory:
    """An empty root that the distribution and its shadow-utils were installed into."""
    builder.run(f"mkdir /target; {DNF} install distribution shadow-utils")
    return Directory(builder.path / "target")


@pytest.fixture(scope="module")
def before(target: Directory) -> set[str]:
    """What it has without ours."""
    return target.list_files()


def test_beside_shadow_utils_is_the_command_alone(builder: PackagedRoot, target: Directory, before: set[str]) -> None:
    said = builder.run(f"{DNF} install stateless-accounts-tools", status=1)
    assert "conflicts with shadow-utils" in said
    assert target.list_files() == before
    builder.run(f"{DNF} install 'stateless-accounts-[0-8]*'")
    assert target.run("accounts --version").startswith("accounts ")
    assert target.run("rpm -q --whatprovides /usr/sbin/useradd").startswith("shadow-utils-")
    target.run("/usr/lib/accounts/tools/useradd probe && /usr/lib/accounts/tools/userdel probe")


def test_takes_the_place_of_shadow_utils(builder: PackagedRoot, target: Directory) -> None:
    builder.run(
        f"{DNF} swap shadow-utils 'stateless-accounts-tools-[0-8]*'; "
        f"{DNF} install 'stateless-accounts-nss-[0-8]*' 'stateless-accounts-pam-[0-8]*'"
    )
    for tool in SHADOW_UTILS:
        assert target.run(f"readlink -f $(command -v {tool})").strip() == f"/usr/lib/accounts/tools/{tool}"
    assert target.run("rpm -q --whatprovides shadow-utils").startswith("stateless-accounts-tools-")
    assert target.run("readlink -f $(command -v chsh)").strip() == "/usr/bin/chsh"
    assert target.run(f"rpm -V {OURS}") == ""
    assert "system-auth" in target.run("cat /etc/pam.d/passwd")
    target.check_out()
    assert "every answer as expected" in target.run("cd /root/tree && python3 -IS tests/e2e/demo.py --installed")


def test_an_image_of_it(builder: PackagedRoot, target: Directory, tmp_path: Path) -> None:
    """seed, wire and check inside; rpm finds the owners of files in the image, by the macros of the package."""
    image = Directory(tmp_path / "image")
    subprocess.run(["cp", "-a", target.path, image.path], check=True)
    image.run("groupadd -r -g 991 imggroup; useradd -r -u 990 -g imggroup imguser")
    # The cache of roots is bound there, and is no part of the image.
    image.run("umount /var/tmp/accounts-test; accounts image seed /; accounts image wire /; accounts image check /")
    # No package has the nsswitch.conf that wire writes; the macros that it writes are those of the package.
    assert image.run("rpm -V stateless-accounts") == ""
    assert image.run("rpm -qf /usr/share/accounts/nsswitch.conf", status=1) != ""
    assert not (image.path / "etc/passwd").exists()
    assert image.run("id -u imguser").strip() == "990"
    shutil.copy(next((builder.path / "repo").glob("owned-*.rpm")), image.path / "root")
    assert image.run("rpm -i /root/owned-*.rpm; stat -c %u:%g:%a /srv/owned").strip() == "990:991:640"
    image.run("usermod -aG imggroup imguser; userdel imguser; ! id imguser 2>/dev/null; accounts revert imguser")
    # Without the module nobody would be root.
    assert "first accounts flatten" in image.run("rpm -e stateless-accounts-nss", status=1)
    image.run("getent passwd imguser; accounts flatten && rpm -e stateless-accounts-nss; id imguser")


def test_where_sbin_is_bin_each_tool_is_listed_once(builder: PackagedRoot) -> None:
    """As since Fedora 42."""
    builder.run(f"cd /root/tree; scripts/rpm.sh /root/one --define '_libdir {LIBDIR}' --define '_sbindir /usr/bin'")
    listed = builder.run("rpm -qpl /root/one/stateless-accounts-tools-*.noarch.rpm").split()
    linked = [f"/usr/bin/{name}" for name in [*TOOLS, "adduser"] if name not in ("chfn", "chsh")]
    assert sorted(path for path in listed if "bin/" in path) == sorted(linked)
    listed = builder.run("rpm -qpl /root/one/stateless-accounts-[0-9]*.x86_64.rpm").split()
    assert [path for path in listed if path.startswith("/usr/bin/")] == ["/usr/bin/accounts"]


def test_rpm_killed_in_an_upgrade_there_is_a_useradd(builder: PackagedRoot, target: Directory) -> None:
    """At any of the calls that put the next version in place: the library never is a mixture of two."""
    upgrade = f"rpm -U --root=/target {' '.join(f'/repo/next/{name}-9*' for name in OURS.split())}"
    check = "chroot /target sh -c 'useradd probe && echo probe:Geheim-0815 | chpasswd && userdel probe'"
    run = f"cd /root/tree; python3 -m tests.packages.killed %d {upgrade} | tail -n 1"
    calls = int(builder.try_out(f"{run % -1}; {check}").split()[0])
    points = range(0, calls, STEP)
    again = f"{upgrade} --replacepkgs --replacefiles; {check}; echo by $(readlink /target/usr/lib/accounts/current)"
    with ThreadPoolExecutor(2) as pool:
        # rpm names its temporary files by the second: those of one that was killed in the same one are in its way.
        said = list(pool.map(lambda point: builder.try_out(f"{run % point}; {check}; sleep 1; {again}"), points))
    assert [answer for answer in said if not answer.startswith("killed\n") or "\nby .\n" not in answer] == []
    print(f"killed at {len(points)} of {calls} calls")


def test_upgraded_and_removed_nothing_is_left(builder: PackagedRoot, target: Directory, before: set[str]) -> None:
    builder.run(f"{DNF} upgrade stateless-accounts\\*")
    assert target.run("rpm -q --qf '%{VERSION}\\n' " + OURS).split() == ["9.9"] * 4
    target.run("useradd probe; userdel probe")
    builder.run(f"{DNF} swap stateless-accounts-tools shadow-utils; {DNF} remove stateless-accounts\\*")
    target.run("useradd probe; userdel probe; cd /etc; rm -f passwd- group- shadow- gshadow- subuid- subgid-")
    assert target.run("rpm -q --whatprovides /usr/sbin/useradd").startswith("shadow-utils-")
    assert sorted(before ^ target.list_files()) == []
