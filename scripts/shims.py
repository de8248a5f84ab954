# SPDX-License-Identifier: MIT
"""Writes shims/, one tiny program for each tool: `python3 scripts/shims.py`, after TOOLS has changed.

They are committed, so that a source tree runs as it is; tests/unit/test_shims.py holds them to this list.
"""

import os
from pathlib import Path

SHIMS = Path(__file__).parents[1] / "shims"
# Tool -> (module of accounts.cli, function). Of the name "sg" calls newgrp's main_sg, and so on.
TOOLS = {
    **{
        name: (name, "main")
        for name in (
            "chage", "chfn", "chgpasswd", "chpasswd", "chsh", "expiry", "gpasswd", "groupadd", "groupdel", "groupmems",
            "groupmod", "grpck", "newgrp", "newusers", "passwd", "pwck", "pwconv", "useradd", "userdel", "usermod",
            "vipw",
        )
    },
    "grpconv": ("pwconv", "main_grpconv"),
    "grpunconv": ("pwconv", "main_grpunconv"),
    "pwunconv": ("pwconv", "main_pwunconv"),
    "sg": ("newgrp", "main_sg"),
    "vigr": ("vipw", "main_group"),
    # Their own directory is for roots that put it on the PATH: elsewhere adduser and its like are Debian's.
    **{f"busybox/{name}": ("busybox", f"main_{name}") for name in ("addgroup", "adduser", "delgroup", "deluser")},
}  # fmt: skip
TEXT = """\
#!/usr/bin/python3 -ISXutf8
# SPDX-License-Identifier: MIT
import sys

sys.path.insert(0, __file__.rpartition("/")[0] + "/{up}")
from accounts.cli.{module} import {function}

{function}()
"""


def format_shim(tool: str) -> str:
    """The text of a tool's shim. (`make install` replaces the path of the source tree.)"""
    module, function = TOOLS[tool]
    return TEXT.format(up="../.." if "/" in tool else "..", module=module, function=function)


def main() -> None:
    """Write all of them."""
    for tool in TOOLS:
        path = SHIMS / tool
        path.parent.mkdir(exist_ok=True)
        path.write_text(format_shim(tool))
        os.chmod(path, 0o755)


if __name__ == "__main__":
    main()
