# SPDX-License-Identifier: MIT
"""Draws the classic /etc that an example starts from; replay.layout.split makes the two layers of it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.support.state import File, Node, State

_SYSTEM_USERS = ("root:0:0", "daemon:1:1", "sys:3:3", "nobody:65534:65534")
_SYSTEM_GROUPS = {
    "root": 0, "daemon": 1, "sys": 3, "sudo": 27, "audio": 29, "shadow": 42, "video": 44, "users": 100,
    "nogroup": 65534,
}  # fmt: skip
_HASHES = ("!", "*", "$6$salt$hash", "!$6$salt$hash", "")
_LOGIN_DEFS = (
    "MAIL_DIR /var/mail\nUID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\n"
    "PASS_MAX_DAYS 99999\nPASS_MIN_DAYS 0\nPASS_WARN_AGE 7\nENCRYPT_METHOD SHA512\n"
)


@st.composite
def classic_roots(draw: DrawFn) -> State:
    """A small machine: system accounts, people, some groups; odd lines; files that may be absent."""
    names = draw(st.lists(st.sampled_from(["alice", "bob", "carol"]), unique=True))
    passwd, shadow, group, gshadow, subids = [], [], [], [], []
    for row in _SYSTEM_USERS:
        name = row.split(":")[0]
        passwd.append(f"{name}:x:{row.removeprefix(name + ':')}:{name}:/var/lib/{name}:/usr/sbin/nologin")
        shadow.append(f"{name}:*:19000:0:99999:7:::")
    tree = {}
    for number, name in enumerate(names, 1000):
        shell = draw(st.sampled_from(["/bin/sh", "/bin/bash", "/usr/sbin/nologin"]))
        passwd.append(f"{name}:x:{number}:{number}:{draw(st.sampled_from(['', 'Full Name,,,']))}:/home/{name}:{shell}")
        shadow.append(f"{name}:{draw(st.sampled_from(_HASHES))}:{draw(st.sampled_from(['20000', '0', '']))}:0:90:7:::")
        subids.append(f"{name}:{100000 + 65536 * (number - 1000)}:65536")
        if draw(st.booleans()):
            tree[f"/home/{name}"] = Node("d", 0o755, number, number)
            tree[f"/home/{name}/.profile"] = Node("f", 0o644, number, number, 807)
        if draw(st.booleans()):
            tree[f"/var/mail/{name}"] = Node("f", 0o660, number, 8, 10)
    gids = _SYSTEM_GROUPS | {name: number for number, name in enumerate(names, 1000)}
    for extra in draw(st.lists(st.sampled_from(["staff", "devs"]), unique=True)):
        gids[extra] = 2000 + len(gids)
    for name, gid in gids.items():
        members = draw(st.lists(st.sampled_from([*names, "sys", "nobody", "ghost"]), unique=True, max_size=3))
        joined = ",".join(members if draw(st.integers(0, 2)) == 0 else [])
        group.append(f"{name}:x:{gid}:{joined}")
        gshadow.append(f"{name}:{draw(st.sampled_from(['!', '*']))}:{draw(st.sampled_from(['', '', joined]))}:{joined}")
    for lines in (passwd, group, shadow):
        odd = draw(st.sampled_from([None, None, None, "# comment", "", "broken"]))
        if odd is not None:
            lines.insert(draw(st.integers(0, len(lines))), odd)
    etc = {"passwd": _file(passwd), "group": _file(group), "shells": File(b"/bin/sh\n/bin/bash\n")}
    if draw(st.integers(0, 9)):
        etc["shadow"] = File(_file(shadow).data, 0o640, 0, 42)
    if draw(st.integers(0, 4)):
        etc["gshadow"] = File(_file(gshadow).data, 0o640, 0, 42)
    if draw(st.integers(0, 3)):
        etc["subuid"] = etc["subgid"] = _file(subids)
    etc["login.defs"] = File(
        (_LOGIN_DEFS + draw(st.sampled_from(["", "CREATE_HOME yes\n", "USERGROUPS_ENAB no\n"]))).encode()
    )
    defaults = draw(
        st.sampled_from([None, b"SHELL=/bin/sh\n", b"GROUP=100\nHOME=/home\nSHELL=/bin/bash\nINACTIVE=5\n"])
    )
    if defaults is not None:
        etc["default/useradd"] = File(defaults)
    return State(etc=etc, tree=tree)


def _file(lines: list[str]) -> File:
    return File("".join(line + "\n" for line in lines).encode())
