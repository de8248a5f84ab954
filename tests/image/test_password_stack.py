# SPDX-License-Identifier: MIT
"""accounts image wire --pam: where pam_accounts goes in a password stack, and what those who make pam.d make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.errors import BadArgument
from accounts.image import pam
from accounts.image.passwordstack import add_module, add_profile, find_faults, is_managed
from accounts.image.tree import Tree
from accounts.image.wire import VENDOR_DATA, Wired, wire
from accounts.image.wirepam import check_stacks, wire_pam
from tests.image import rootfs
from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import debian_root

REST = "user_unknown=ignore default=die]\tpam_accounts.so"
DENY = "password\trequisite\t\t\tpam_deny.so\npassword\trequired\t\t\tpam_permit.so\n"
SUFFICIENT = "password sufficient pam_unix.so sha512 shadow nullok use_authtok\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Debian, OpenEmbedded
        ("password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\n" + DENY,
         f"password\t[success=2 {REST}\n"
         f"password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\n{DENY}"),
        # with modules before it that jump over it, or not
        ("password\t[success=3 default=1]\tpam_krb5.so\npassword requisite pam_pwquality.so\n"
         "password\t[success=1 default=ignore]\tpam_unix.so use_authtok try_first_pass minlen=9\n" + DENY,
         "password\t[success=4 default=1]\tpam_krb5.so\npassword requisite pam_pwquality.so\n"
         f"password\t[success=2 {REST} use_authtok try_first_pass minlen=9\n"
         "password\t[success=1 default=ignore]\tpam_unix.so use_authtok try_first_pass minlen=9\n" + DENY),
        # Fedora
        (f"password requisite pam_pwquality.so\n{SUFFICIENT}password required pam_deny.so\n",
         f"password requisite pam_pwquality.so\npassword\t[success=done {REST} use_authtok\n{SUFFICIENT}"
         "password required pam_deny.so\n"),
        # a template of authselect
        ('password    [default=1 success=ok]  pam_localuser.so  {include if "with-pwhistory"}\n'
         'password    requisite  pam_pwhistory.so use_authtok  {include if "with-pwhistory"}\n'
         'password    sufficient  pam_unix.so yescrypt shadow {if not "without-nullok":nullok} use_authtok\n',
         'password    [default=1 success=ok]  pam_localuser.so  {include if "with-pwhistory"}\n'
         'password    requisite  pam_pwhistory.so use_authtok  {include if "with-pwhistory"}\n'
         f'password\t[success=done {REST} use_authtok\n'
         'password    sufficient  pam_unix.so yescrypt shadow {if not "without-nullok":nullok} use_authtok\n'),
        # the last word is pam_unix's
        ("auth required pam_unix.so\npassword required /lib/security/pam_unix.so\n",
         f"auth required pam_unix.so\npassword\t[success=1 {REST}\n"
         "password required /lib/security/pam_unix.so\npassword\trequired\tpam_permit.so\n"),
        ("password [success=2 default=ignore] pam_x.so\npassword required pam_unix.so\npassword required pam_y.so\n",
         f"password [success=4 default=ignore] pam_x.so\npassword\t[success=1 {REST}\npassword required pam_unix.so\n"
         "password\trequired\tpam_permit.so\npassword required pam_y.so\n"),
        ("password [success=done default=die] pam_unix.so try_first_pass\n",
         f"password\t[success=done {REST} try_first_pass\n"
         "password [success=done default=die] pam_unix.so try_first_pass\n"),
        # there is nothing to do
        ("account required pam_unix.so\n@include common-password\npassword include system-auth\n", None),
        ("#password required pam_unix.so\n", None),
        (f"password [success=1 {REST}\npassword required pam_unix.so\n", None),
        ("", None),
    ],
)  # fmt: skip
def test_where_the_line_goes(before: str, after: str | None) -> None:
    made = add_module(before.encode()).decode()
    assert made == (before if after is None else after)
    assert add_module(made.encode()).decode() == made
    assert find_faults(made.encode()) == []
    assert bool(find_faults(before.encode())) == (after is not None)


@pytest.mark.parametrize("control", ["[default=ignore]", "[success=bad]", "[]", "optional"])
def test_a_stack_that_does_not_say_where_it_goes_on_is_refused(control: str) -> None:
    with pytest.raises(ValueError, match="does not say"):
        add_module(f"password {control} pam_unix.so\n".encode())


HEAD = '# here are the per-package modules (the "Primary" block)\n'
TAIL = "# here's the fallback if no module succeeds\n" + DENY
SAVED = "Module: unix\n[success=end default=ignore]\tpam_unix.so obscure yescrypt\n"


def test_debian_s_own_notes_follow() -> None:
    unix = "password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt"
    text = f"{HEAD}{unix} \n{TAIL}"
    assert is_managed(text.encode(), SAVED.encode())
    new, saved = add_profile(text.encode(), SAVED.encode())
    assert new.decode() == f"{HEAD}password\t[success=2 {REST}\n{unix} use_authtok try_first_pass\n{TAIL}"
    assert saved.decode() == (f"Module: accounts\n[success=end {REST}\n{SAVED.rstrip()} use_authtok try_first_pass\n")
    assert is_managed(new, saved)
    assert add_profile(new, saved) == (new, saved)
    assert not is_managed(text.replace("default=ignore", "default=bad").encode(), SAVED.encode())
    assert not is_managed(text.encode(), b"")


def test_wire_says_what_is_missing(tmp_path: Path) -> None:
    root = rootfs.make_wirable_root(tmp_path, {"etc/pam.d/common-password": SUFFICIENT})
    with pytest.raises(BadArgument, match=r"security/pam_accounts\.so: install it first"):
        wire(root, with_pam=True)
    put(root, f"{rootfs.TRIPLET}/security/pam_accounts.so")
    with pytest.raises(BadArgument, match="/usr/bin/accounts, which"):
        wire(root, with_pam=True)
    assert (root / "etc/pam.d/common-password").read_text() == SUFFICIENT


def put(root: Path, name: str, text: str = "x") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def complaints(root: Path) -> list[str]:
    found: list[str] = []
    with Tree(root) as tree:
        check_stacks(tree, lambda code, message, path: found.append(f"{code} {path}"))
    return found


def test_wire_puts_it_in_place_of_the_helper_and_check_watches(tmp_path: Path) -> None:
    account = "account required pam_unix.so\n"
    root = rootfs.make_wirable_root(
        tmp_path,
        {
            "etc/pam.d/system-auth": account + SUFFICIENT,
            "etc/pam.d/odd": "password optional pam_unix.so\n",
            "usr/bin/accounts": "",
            f"{rootfs.TRIPLET}/security/pam_exec.so": "x",
            f"{rootfs.TRIPLET}/security/pam_accounts.so": "x",
        },
    )
    wire(root)
    place = root / "usr/lib/pam.d/system-auth"
    assert pam.LINE.decode() in place.read_text()
    assert complaints(root) == []
    wired = wire(root, with_pam=True)
    assert [note for note in wired.notes if "odd" in note] == [
        "/usr/lib/pam.d/odd stays as it is: optional does not say what follows the success of pam_unix"
    ]
    assert place.read_text() == f"{account}password\t[success=done {REST} use_authtok\n{SUFFICIENT}"
    # Without --pam it stays, and no helper comes back; what is not as it should be is told.
    assert wire(root).changed == []
    assert complaints(root) == ["pam-stack /usr/lib/pam.d/odd"]
    (root / rootfs.TRIPLET / "security/pam_accounts.so").unlink()
    assert complaints(root) == ["pam-module /usr/lib/pam.d/system-auth", "pam-stack /usr/lib/pam.d/odd"]


# As authselect 1.7 has it, without the databases that are none of ours.
SSSD = """\
passwd:     {if "with-tlog":sss }files {if "with-altfiles":altfiles }{if not "with-tlog":sss }systemd
shadow:     files systemd
group:      files {if "with-altfiles":altfiles }sss systemd {exclude if "with-group-merging"}
group:      files [SUCCESS=merge] {if "with-altfiles":altfiles [SUCCESS=merge] }sss \
[SUCCESS=merge] systemd {include if "with-group-merging"}
netgroup:   files sss
subid:      sss {include if "with-subid"}
gshadow:    files systemd
"""
SSSD_LED = """\
# altfiles is there without with-altfiles, too. {include if "with-altfiles"}
passwd:     {if "with-tlog":sss }files altfiles {if not "with-tlog":sss }systemd
shadow:     files altfiles systemd
group:      files [SUCCESS=merge] altfiles sss systemd {exclude if "with-group-merging"}
group:      files [SUCCESS=merge] altfiles [SUCCESS=merge] sss \
[SUCCESS=merge] systemd {include if "with-group-merging"}
netgroup:   files sss
subid:      sss {include if "with-subid"}
gshadow:    files altfiles systemd
subid:      altfiles {exclude if "with-subid"}
"""


def test_authselect_gets_a_profile_of_its_own(tmp_path: Path) -> None:
    base = "usr/share/authselect/default"
    root = rootfs.make_wirable_root(
        tmp_path,
        {
            f"{base}/local/system-auth": SUFFICIENT,
            f"{base}/sssd/system-auth": SUFFICIENT,
            f"{base}/sssd/README": "Theirs\n",
            f"{base}/sssd/nsswitch.conf": SSSD,
            "etc/authselect/authselect.conf": "sssd\nwith-mkhomedir\n",
            "etc/authselect/system-auth": SUFFICIENT,
            "usr/bin/accounts": "",
            f"{rootfs.TRIPLET}/security/pam_accounts.so": "x",
            f"{rootfs.TRIPLET}/libsubid_altfiles.so": "x",
        },
    )
    (root / "etc/pam.d").mkdir()
    (root / "etc/pam.d/system-auth").symlink_to("/etc/authselect/system-auth")
    wired = wire(root, with_pam=True)
    made = root / "usr/share/authselect/vendor/accounts"
    assert sorted(path.name for path in made.iterdir()) == ["README", "nsswitch.conf", "system-auth"]
    assert (made / "system-auth").read_text() == f"password\t[success=done {REST} use_authtok\n{SUFFICIENT}"
    assert (made / "README").read_text().startswith("Users of the image and of this machine\n")
    assert (made / "nsswitch.conf").read_text() == SSSD_LED
    assert "pam.d is authselect's: authselect select accounts --force, with the features it has now" in wired.notes
    # Once ours is the chosen one, it is made of the same profile again.
    (root / "etc/authselect/authselect.conf").write_text("accounts\n")
    assert wire(root, with_pam=True).changed == []


def _pam_auth_update() -> dict[str, str]:
    with debian_root(stateless=False) as root:
        top = Path(root.path)
        common = top / "etc/pam.d/common-password"
        # Without move_pam: pam-auth-update knows /etc only.
        with Tree(top) as tree:
            wire_pam(tree, Wired(), (VENDOR_DATA / "pam-configs/accounts").read_bytes())
        texts = {"wired": common.read_text()}
        texts["said"] = root.check("pam-auth-update --package")
        texts["updated"] = common.read_text()
        put(
            top,
            "usr/share/pam-configs/test",
            "Name: Test\nDefault: yes\nPriority: 900\nPassword-Type: Primary\n"
            "Password:\n\t[success=end default=ignore]\tpam_localuser.so\n",
        )
        texts["said"] += root.check("pam-auth-update --package")
        texts["another"] = common.read_text()
        texts["said"] += root.check("pam-auth-update --package --remove accounts test")
        texts["removed"] = common.read_text()
        return texts


@pytest.mark.skipif(not available(), reason="needs root and debootstrap")
def test_pam_auth_update_takes_it_for_its_own() -> None:
    texts = in_child(_pam_auth_update)
    assert texts["said"] == ""
    ours = f"password\t[success={{}} {REST}"
    unix = "password\t[success={}{} default=ignore]\tpam_unix.so obscure "
    assert f"{HEAD}{ours.format(2)}\n{unix.format('', 1)}" in texts["wired"]
    assert f"{HEAD}{ours.format(2)}" in texts["updated"]
    assert "pam_unix.so obscure use_authtok try_first_pass yescrypt" in texts["updated"]
    assert f"{HEAD}password\t[success=3 default=ignore]\tpam_localuser.so" in texts["another"]
    assert f"{ours.format(2)} use_authtok try_first_pass\n" in texts["another"]
    assert f"{HEAD}{unix.format('', 1)}" in texts["removed"]
