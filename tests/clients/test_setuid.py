# SPDX-License-Identifier: MIT
"""Callers who are not root get the distribution's diverted set-uid programs, and what those can do on a stateless root.

LIZ is a user of this machine, IVY one of the image; both have the password "secret".
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clients.clients import PASSWORD_HASH
from tests.clients.dialogue import talk
from tests.support.overlay import in_child
from tests.support.roots.cached import available
from tests.support.roots.debian import DebianRoot, Result, debian_root

pytestmark = pytest.mark.skipif(not available(), reason="needs root and debootstrap")

LIZ, IVY = (1600, 1600, "liz"), (1500, 1500, "ivy")
IMAGE_ROWS = {
    "passwd": "ivy:x:1500:1500::/:/bin/sh\n",
    "shadow": f"ivy:{PASSWORD_HASH}:19000:0:99999:7:::\n",
    "group": "ivy:x:1500:\n",
    "gshadow": "ivy:!::\n",
}
NEW = "Xk3!vbe9Qz"  # pam_unix asks for some quality
CHANGE = (("Current password: ", "secret"), ("New password: ", NEW), ("Retype new password: ", NEW))
CHANGED = "passwd: password updated successfully\n"
FAMILY = ("passwd", "group", "shadow", "gshadow")


class Machine:
    """A stateless root with LIZ and IVY, and their terminals."""

    def __init__(self, root: DebianRoot) -> None:
        self.root = root
        for name, row in IMAGE_ROWS.items():
            with open(f"{root.path}/usr/lib/{name}", "a") as file:
                file.write(row)
        root.check(f"useradd -u 1600 -p '{PASSWORD_HASH}' liz; groupadd devs; gpasswd -A liz devs")
        root.check("usermod -aG video liz; usermod -aG video ivy")

    def call(self, user: tuple[int, int, str], command: str, *say: tuple[str, str]) -> Result:
        """Run a command of /usr/bin as a user."""
        program, *arguments = command.split()
        return talk(self.root.path, user, [f"/usr/bin/{program}", *arguments], say)

    def etc(self) -> dict[str, str]:
        """The local layer."""
        return {name: (Path(self.root.path) / "etc" / name).read_text() for name in FAMILY}

    def row(self, database: str, name: str) -> str:
        """What NSS says."""
        return self.root.check(f"getent {database} {name}").rstrip("\n")

    def knows(self, name: str, password: str) -> bool:
        """Whether that is the user's password."""
        code = f'import crypt, spwd; h = spwd.getspnam("{name}").sp_pwdp; print(crypt.crypt("{password}", h) == h)'
        return self.root.check(f"python3 -Wignore -c '{code}'") == "True\n"


def _on_machine(scenario: str) -> None:
    with debian_root(stateless=True) as root:
        globals()[scenario](Machine(root))


@pytest.mark.parametrize(
    "scenario",
    ["local_user", "image_user", "image_user_with_overrides", "groups", "no_program", "program_of_others", "script"],
)
def test_caller_who_is_not_root(scenario: str) -> None:
    in_child(_on_machine, scenario)


def local_user(machine: Machine) -> None:
    done = machine.call(LIZ, "passwd", *CHANGE)
    assert (done.status, done.output[-len(CHANGED) :]) == (0, CHANGED)
    assert machine.knows("liz", NEW)
    assert machine.call(LIZ, "passwd -S").output.startswith("liz P ")
    assert machine.call(LIZ, "passwd ivy").status == 1
    assert machine.call(LIZ, "chsh -s /bin/bash", ("Password: ", NEW)) == Result(0, "Password: \n")
    assert machine.call(LIZ, "chfn -w 555", ("Password: ", NEW)) == Result(0, "Password: \n")
    assert machine.row("passwd", "liz") == "liz:x:1600:1600:,,555,:/home/liz:/bin/bash"
    assert "Maximum number of days between password change\t\t: 99999\n" in machine.call(LIZ, "chage -l liz").output
    assert machine.call(LIZ, "chage -M 3 liz") == Result(1, "chage: Permission denied.\n")
    assert machine.call(LIZ, "expiry -c") == Result(0, "")
    machine.root.check("chage -d 19000 -M 10 liz")
    assert machine.call(LIZ, "expiry -c") == Result(1, "")


def image_user(machine: Machine) -> None:
    """What is in the image only, the programs neither find nor change: pam_unix and shadow look in /etc."""
    before = machine.etc()
    missing = "user 'ivy' does not exist in /etc/passwd\n"
    assert machine.call(IVY, "passwd") == Result(
        10, "passwd: Authentication token manipulation error\npasswd: password unchanged\n"
    )
    assert machine.call(IVY, "passwd -S") == Result(0, "ivy P 2022-01-08 0 99999 7 -1\n")
    assert machine.call(IVY, "chsh -s /bin/bash", ("Password: ", "secret")) == Result(1, f"Password: \nchsh: {missing}")
    assert machine.call(IVY, "chfn -w 555", ("Password: ", "secret")) == Result(1, f"Password: \nchfn: {missing}")
    assert machine.call(IVY, "chage -l ivy") == Result(1, f"chage: {missing}")
    assert machine.etc() == before


def image_user_with_overrides(machine: Machine) -> None:
    """An administrator's change of GECOS and of ageing gives the rows of /etc that the programs look for."""
    machine.root.check("chfn -r 7 ivy; chage -M 90 ivy")
    done = machine.call(IVY, "passwd", *CHANGE)
    assert (done.status, done.output[-len(CHANGED) :]) == (0, CHANGED)
    assert machine.knows("ivy", NEW)
    assert machine.call(IVY, "chsh -s /bin/bash", ("Password: ", NEW)) == Result(0, "Password: \n")
    assert machine.row("passwd", "ivy") == "ivy:x:1500:1500:,7,,:/:/bin/bash"
    assert machine.call(IVY, "chage -l ivy").status == 0
    # And back again: what equals the image goes.
    machine.root.check(f"chsh -s /bin/sh ivy; chfn -r '' ivy; usermod -c '' -p '{PASSWORD_HASH}' ivy")
    machine.root.check("chage -M 99999 -d 19000 ivy")
    assert "ivy:" not in machine.etc()["passwd"] + machine.etc()["shadow"]


def groups(machine: Machine) -> None:
    """Group administrators, and newgrp and sg, which ask NSS."""
    assert machine.call(LIZ, "gpasswd -a ivy devs") == Result(0, "Adding user ivy to group devs\n")
    assert machine.row("group", "devs") == "devs:x:1601:ivy"
    assert machine.row("gshadow", "devs") == "devs:!:liz:ivy"
    assert machine.call(LIZ, "gpasswd -d ivy devs") == Result(0, "Removing user ivy from group devs\n")
    assert machine.call(IVY, "gpasswd -a ivy devs") == Result(1, "gpasswd: Permission denied.\n")
    for user in (LIZ, IVY):
        assert talk(machine.root.path, user, ["/usr/bin/sg", "video", "-c", "id -gn"]) == Result(0, "video\n")
        refused = machine.call(user, "sg audio id", ("Password: ", "x"))
        assert refused == Result(1, "Password: \nInvalid password.\n")


CALLS = {
    "passwd": 1,
    "chsh -s /bin/bash": 1,
    "chfn -w 5": 1,
    "chage -l liz": 1,
    "gpasswd -a ivy devs": 1,
    "expiry -c": 10,
    "newgrp devs": 1,
    "sg devs id": 1,
}  # fmt: skip


def no_program(machine: Machine) -> None:
    machine.root.check("rm /usr/bin/*.distrib")
    _all_denied(machine)


def program_of_others(machine: Machine) -> None:
    """What is not a set-uid or set-gid program, or what somebody else could have written, is not run."""
    programs = list(Path(machine.root.path, "usr/bin").glob("*.distrib"))
    modes = {path: path.stat().st_mode for path in programs}
    assert machine.call(LIZ, "passwd -S").output.startswith("liz P ")
    for path in programs:
        path.chmod(0o755)
    _all_denied(machine)
    for path in programs:
        path.chmod(modes[path] | 0o020)
    _all_denied(machine)
    for path in programs:
        os.chown(path, LIZ[0], -1)
        path.chmod(modes[path])
    _all_denied(machine)
    for path in programs:
        os.chown(path, 0, -1)
        path.chmod(0o4711)  # some distributions' mode: nobody reads it, everybody runs it
    assert machine.call(LIZ, "passwd -S").output.startswith("liz P ")


def script(machine: Machine) -> None:
    """Our own shim in the place of the program (make install before dpkg-divert, and again) does not run itself."""
    for path in Path(machine.root.path, "usr/bin").glob("*.distrib"):
        path.write_bytes(path.with_suffix("").read_bytes())
        path.chmod(0o6755)
    _all_denied(machine)


def _all_denied(machine: Machine) -> None:
    before = machine.etc()
    for command, status in CALLS.items():
        tool = command.split()[0]
        program = "newgrp" if tool == "sg" else tool
        why = f"a set-uid program, there is no /usr/bin/{program}.distrib"
        if program != "newgrp":
            why = f"root, accounts-self.socket, or a set-uid /usr/bin/{program}.distrib"
        assert machine.call(LIZ, command) == Result(status, f"{tool}: Permission denied: this needs {why}\n")
    assert machine.etc() == before
