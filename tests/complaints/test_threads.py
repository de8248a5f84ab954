# SPDX-License-Identifier: MIT
"""What people ran into in public threads, one test each, named after the thread; judged by tests.support.view.

The stateless machine of each has its accounts in /usr/lib only, unless the thread is about something else.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.image.elf_files import make_library, make_module
from tests.machine.life import FILES, IMAGE, PYTHON, TOP, accounts, local, make_root, tool, write
from tests.support.state import File
from tests.support.view import View, view

ALICE = {
    "passwd": "alice:x:1000:1000::/home/alice:/bin/bash\n",
    "group": "alice:x:1000:\n",
    "shadow": "alice:!:1::::::\n",
}
ALICE["gshadow"] = "alice:!::\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A stateless machine with one local user, alice."""
    return make_root(tmp_path, ALICE)


def seen(root: Path, merge: bool = True) -> View:
    """What NSS answers."""
    layers = [
        {name: File((root / place / name).read_bytes()) for name in FILES if (root / place / name).exists()}
        for place in ("usr/lib", "etc")
    ]
    return view(*layers, merge=merge)


def members(root: Path, group: str) -> set[str]:
    """The members of a group that NSS answers with."""
    return {name.decode() for name in seen(root).entries["group"][group.encode()].lists[0]}


def codes(root: Path) -> set[str]:
    """The findings of accounts check."""
    return {one["rule"] for one in accounts(root, "check", "--json").json["findings"]}


def update(root: Path, **files: str) -> None:
    """Another image."""
    write(root / "usr/lib", files)


def without(account: str) -> dict[str, str]:
    """The image without an account."""
    return {
        name: "".join(line for line in text.splitlines(True) if not line.startswith(account + ":"))
        for name, text in IMAGE.items()
    }


def accounts_image(root: Path) -> tuple[int, str]:
    """accounts image check ROOT."""
    done = subprocess.run(
        [PYTHON, "-IS", TOP / "shims/accounts", "image", "check", root], capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout


def test_coreos_rpm_ostree_1318_usermod_ag_on_an_image_group(root: Path) -> None:
    assert tool(root, "usermod", "-aG", "video", "alice").status == 0
    assert members(root, "video") == {"alice"}
    assert local(root)["group"] == ALICE["group"] + "video:x:44:alice\n"


def test_coreos_rpm_ostree_29_useradd_g_on_an_image_group(root: Path) -> None:
    assert tool(root, "useradd", "-U", "-G", "adm,video", "bob").status == 0
    assert (members(root, "adm"), members(root, "video")) == ({"daemon", "bob"}, {"bob"})


def test_fedora_silverblue_657_gpasswd_on_an_image_group(root: Path) -> None:
    assert tool(root, "gpasswd", "-a", "alice", "video").status == 0
    assert members(root, "video") == {"alice"}
    assert tool(root, "gpasswd", "-d", "alice", "video").status == 0
    assert local(root)["group"] == ALICE["group"]


def test_ublue_os_bluefin_2005_group_and_gshadow_in_step(root: Path) -> None:
    assert tool(root, "usermod", "-aG", "video", "alice").status == 0
    assert (
        seen(root).entries["gshadow"][b"video"].lists[1] == {b"alice"} == seen(root).entries["group"][b"video"].lists[0]
    )


def test_ublue_os_bluefin_1774_groupmems_on_an_image_group(root: Path) -> None:
    assert tool(root, "groupmems", "-a", "alice", "-g", "video").status == 0
    assert members(root, "video") == {"alice"}


def test_almalinux_bootc_images_12_the_group_exists_for_all_tools(root: Path) -> None:
    done = tool(root, "groupadd", "video")
    assert (done.status, done.stderr) == (9, "groupadd: group 'video' already exists\n")
    assert tool(root, "groupadd", "-f", "video").status == 0
    assert tool(root, "usermod", "-G", "video", "alice").status == 0
    assert members(root, "video") == {"alice"}


def test_coreos_fedora_coreos_tracker_1955_what_does_not_exist_is_refused(root: Path) -> None:
    assert tool(root, "usermod", "-aG", "wheel", "alice").status == 6
    assert local(root) == ALICE


def test_coreos_fedora_coreos_tracker_256_provisioning_with_root(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    assert tool(root, "useradd", "-U", "-u", "1000", "-G", "adm", "core").status == 0
    assert members(root, "adm") == {"daemon", "core"}


def test_coreos_ignition_1596_password_of_an_image_user_with_root(root: Path) -> None:
    assert tool(root, "usermod", "-p", "$y$j9T$abc$def", "root").status == 0
    assert seen(root).entries["shadow"][b"root"].fields[1] == b"$y$j9T$abc$def"
    assert "root" not in local(root)["passwd"]


def test_coreos_ignition_599_chpasswd_of_an_image_user_with_root(root: Path) -> None:
    assert tool(root, "chpasswd", "-e", stdin="root:$y$j9T$abc$def\n").status == 0
    assert seen(root).entries["shadow"][b"root"].fields[1] == b"$y$j9T$abc$def"


def test_coreos_rpm_ostree_5530_a_copied_row_becomes_a_member_row(root: Path) -> None:
    write(root / "etc", {"group": ALICE["group"] + "adm:x:4:daemon,alice\n"})
    before = seen(root)
    assert accounts(root, "adopt").status == 0
    assert local(root)["group"] == ALICE["group"] + "adm:x:4:alice\n"
    assert seen(root).differences(before) == []


def test_coreos_rpm_ostree_4172_an_upgrade_over_a_copied_row(root: Path) -> None:
    write(root / "etc", {"group": ALICE["group"] + "video:x:44:\n"})
    update(root, group=IMAGE["group"].replace("video:x:44:", "video:x:44:www"))
    assert "needless-row" in codes(root)
    assert accounts(root, "rebase").status == 0
    assert (local(root)["group"], members(root, "video")) == (ALICE["group"], {"www"})


def test_coreos_fedora_coreos_tracker_1083_userdel_of_an_image_user(root: Path) -> None:
    conf = root / "usr/share/accounts/accounts.conf"
    conf.write_text("HIDE=no\n")
    done = tool(root, "userdel", "www")
    assert done.status == 1
    assert "comes from the read-only image" in done.stderr
    assert "usermod -L -e 1 www" in done.stderr
    conf.write_text("HIDE=yes\n")
    assert tool(root, "userdel", "www").status == 0
    assert "passwd:www\n" in local(root)["accounts/hidden"]


def test_k0sproject_k0s_1402_useradd_and_userdel_agree(root: Path) -> None:
    assert tool(root, "useradd", "www").status == 9
    assert "does not exist" not in tool(root, "userdel", "www").stderr


def test_coreos_rpm_ostree_3459_an_image_user_without_a_shadow_row(root: Path) -> None:
    update(root, shadow="root:*:1::::::\ndaemon:*:1::::::\n")
    assert codes(root) == {"missing-shadow"}
    assert tool(root, "pwconv").status == 0
    assert b"www" in seen(root).entries["shadow"]


def test_coreos_rpm_ostree_4997_nsswitch_conf_lost(root: Path) -> None:
    (root / "etc/nsswitch.conf").unlink()
    assert codes(root) == {"nsswitch-missing"}
    assert accounts(root, "check", "--fix").status == 0
    assert (root / "etc/nsswitch.conf").read_text() == (root / "usr/share/accounts/nsswitch.conf").read_text()


def test_almalinux_bootc_images_63_the_module_lost(root: Path) -> None:
    libraries = root / "usr/lib/x86_64-linux-gnu"
    libraries.mkdir()
    (libraries / "libc.so.6").write_bytes(make_library())
    assert codes(root) == {"module"}
    (libraries / "libnss_altfiles.so.2").write_bytes(make_module())
    assert codes(root) == {"module-stock"}


def test_bootc_dev_bootc_1179_a_leftover_gshadow_row(root: Path) -> None:
    write(root / "etc", {"gshadow": ALICE["gshadow"] + "sddm:!::\n"})
    found = accounts(root, "check")
    assert found.status == 1
    assert "stale-gshadow: /etc/gshadow has a row of 'sddm', who is in no group" in found.stdout
    assert accounts(root, "check", "--fix").status == 0
    assert local(root) == ALICE


def test_systemd_34310_tools_leave_no_gshadow_row(root: Path) -> None:
    for argv in (("groupadd", "sddm"), ("groupmod", "-n", "gdm", "sddm"), ("groupdel", "gdm")):
        assert tool(root, *argv).status == 0
    assert local(root) == ALICE


def test_bootc_dev_bootc_673_a_gid_changed_by_an_upgrade(root: Path) -> None:
    tool(root, "usermod", "-aG", "video", "alice")
    update(root, group=IMAGE["group"].replace("video:x:44:", "video:x:985:"))
    assert codes(root) == {"stale-gid"}
    assert accounts(root, "rebase").status == 0
    assert members(root, "video") == {"alice"}
    assert "video:x:985:alice\n" in local(root)["group"]


def test_coreos_fedora_coreos_tracker_155_an_id_used_again(root: Path) -> None:
    (root / "usr/share/accounts/ids").write_text("passwd:dnsmasq:1000:removed\ngroup:dnsmasq:1000:removed\n")
    assert codes(root) == {"reused-id"}
    # And nobody new gets it.
    tool(root, "userdel", "alice")
    tool(root, "useradd", "-U", "bob")
    assert local(root)["passwd"].startswith("bob:x:1001:1001:")


def test_vanilla_os_abroot_419_an_image_id_that_a_local_user_has(root: Path) -> None:
    update(root, passwd=IMAGE["passwd"] + "gdm:x:1000:1000::/:/x\n", shadow=IMAGE["shadow"] + "gdm:*:1::::::\n")
    assert "id-collision" in codes(root)
    assert accounts(root, "rebase").status == 1


def test_torizon_meta_toradex_torizon_339_an_image_with_one_user(tmp_path: Path) -> None:
    root = make_root(tmp_path, image={"passwd": "root:x:0:0::/root:/bin/sh\n", "group": "root:x:0:\n"})
    write(root / "usr/lib", {"shadow": "root:*:1::::::\n"})
    status, text = accounts_image(root)
    assert status == 1
    assert "has no system user, 1 in all" in text


def test_avocado_linux_meta_avocado_285_a_group_that_udev_rules_name(tmp_path: Path) -> None:
    root = make_root(tmp_path, image=without("video"))
    rules = root / "usr/lib/udev/rules.d"
    rules.mkdir(parents=True)
    (rules / "50-video.rules").write_text('SUBSYSTEM=="video4linux", GROUP="video"\n')
    status, text = accounts_image(root)
    assert "undefined-name    group 'video' is used, and nobody defines it" in text
    assert status in (0, 1)


def test_foundriesio_meta_lmp_408_no_list_of_groups_is_copied_back(root: Path) -> None:
    for group in ("adm", "video", "www"):
        assert tool(root, "gpasswd", "-a", "alice", group).status == 0
    assert len(local(root)["group"].splitlines()) == 4


def test_canonical_core20_72_an_extrauser_in_a_system_group(root: Path) -> None:
    # GID 4 is below any minimum for which libnss-extrausers answers.
    assert tool(root, "usermod", "-aG", "adm", "alice").status == 0
    assert "adm:x:4:alice\n" in local(root)["group"]


def test_canonical_core_base_194_extrausers_move_in(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    root = make_root(tmp_path / "root")
    place = root / "var/lib/extrausers"
    place.mkdir(parents=True)
    write(place, ALICE)
    assert accounts(root, "adopt", "--from", str(place)).status == 0
    assert local(root) == ALICE


def test_coreos_baselayout_37_a_changed_shell_does_not_freeze_the_home(root: Path) -> None:
    tool(root, "usermod", "-s", "/bin/bash", "www")
    update(root, passwd=IMAGE["passwd"].replace("/var/www", "/srv/www"))
    assert codes(root) == {"stale-override"}
    assert accounts(root, "rebase").status == 0
    assert seen(root).entries["passwd"][b"www"].fields[5:] == (b"/srv/www", b"/bin/bash")


def test_vanilla_os_abroot_344_a_member_row_hides_nothing(root: Path) -> None:
    tool(root, "usermod", "-aG", "adm", "alice")
    update(root, group=IMAGE["group"].replace("adm:x:4:daemon", "adm:x:4:daemon,www"))
    assert members(root, "adm") == {"daemon", "www", "alice"}


def test_nix_community_impermanence_120_fixed_users_changeable_password(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    assert tool(root, "usermod", "-p", "$y$j9T$abc$def", "www").status == 0
    assert {*local(root)} == {"shadow", "accounts/base"}


def test_nixos_nixpkgs_398553_an_empty_etc(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    assert seen(root).entries["passwd"].keys() == {b"root", b"daemon", b"www"}
    assert codes(root) == set()


def test_coreos_fedora_coreos_tracker_1599_leaving_altfiles(root: Path) -> None:
    tool(root, "usermod", "-aG", "video", "alice")
    tool(root, "usermod", "-s", "/bin/bash", "www")
    before, delta = seen(root), local(root)
    assert accounts(root, "flatten").status == 0
    for name in FILES:
        (root / "usr/lib" / name).rename(root / "usr/lib" / f"{name}.gone")
    assert seen(root).differences(before) == []
    for name in FILES:
        (root / "usr/lib" / f"{name}.gone").rename(root / "usr/lib" / name)
    assert accounts(root, "adopt").status == 0
    assert local(root) == delta
