# SPDX-License-Identifier: MIT
"""A small image with accounts, for the tests of seed, ledger, pin and check."""

from __future__ import annotations

import os
from pathlib import Path

from tests.image.elf_files import make_library, make_module
from tests.image.rootfs import make

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
messagebus:x:101:101::/nonexistent:/usr/sbin/nologin
alice:x:1000:1000:Alice:/home/alice:/bin/bash
"""
GROUP = """\
root:x:0:
daemon:x:1:
adm:x:4:alice,daemon
shadow:x:42:
www-data:x:33:
messagebus:x:101:
alice:x:1000:
nogroup:x:65534:
"""
SHADOW = """\
root:*:19700:0:99999:7:::
daemon:*:19700:0:99999:7:::
www-data:*:19700:0:99999:7:::
sshd:!:19701::::::
messagebus:!:19702::::::
alice:$6$s$h:19703:0:99999:7:::
"""
GSHADOW = """\
root:*::
daemon:*::
adm:*:alice:alice,daemon
shadow:*::
www-data:*::
messagebus:!::
alice:!::
nogroup:*::
"""
NSSWITCH = """\
passwd: files altfiles
group: files [SUCCESS=merge] altfiles
shadow: files altfiles
gshadow: files altfiles
"""


def make_image(root: Path, **files: str) -> Path:
    """A root whose package scripts have run: all accounts in /etc. files: other texts for passwd and so on."""
    texts = {"passwd": PASSWD, "group": GROUP, "shadow": SHADOW, "gshadow": GSHADOW} | files
    make(root, {f"etc/{name}": text for name, text in texts.items()} | {"usr/": None, "var/": None})
    for name in ("shadow", "gshadow"):
        os.chown(root / "etc" / name, 0, 42)
        os.chmod(root / "etc" / name, 0o640)
    return root


def wire_image(root: Path) -> Path:
    """Put what wire and the module's package put in place."""
    make(root, {"etc/nsswitch.conf": NSSWITCH})
    directory = root / "usr/lib/x86_64-linux-gnu"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "libc.so.6").write_bytes(make_library())
    (directory / "libnss_altfiles.so.2").write_bytes(make_module())
    return root


def row(root: Path, path: str, name: str) -> str | None:
    """The line of an account in a file of the root, or None."""
    file = root / path
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line for line in lines if line.split(":")[0] == name), None)


def change(root: Path, path: str, old: str, new: str) -> None:
    """Replace a text that is there once."""
    text = (root / path).read_text()
    assert text.count(old) == 1, (path, old)
    (root / path).write_text(text.replace(old, new))
