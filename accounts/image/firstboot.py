# SPDX-License-Identifier: MIT
"""systemd-firstboot(1) on a stateless root: whether it would ask, and the drop-in that keeps it from asking.

Without /etc/machine-id, or with "uninitialized" in it, a boot is a first one: the service then asks for locale,
time zone and root's password on the console ("Press any key to proceed"), and writes rows of root to /etc. An
image that has its accounts has none of these questions.
"""

from __future__ import annotations

from accounts.image.reader import Reader

MACHINE_ID = "/etc/machine-id"
ASKER = "systemd-firstboot.service"
_DIRECTORIES = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
GUARD = f"/usr/lib/systemd/system/{ASKER}.d/accounts.conf"


def format_guard(image_dir: str) -> bytes:
    """The drop-in: nothing is asked where the image has accounts."""
    text = "# Made by accounts image wire: an image with accounts has no questions at its first boot.\n"
    return f"{text}[Unit]\nConditionPathExists=!{image_dir}/passwd\n".encode()


def find_asker(tree: Reader) -> str | None:
    """The path of the service, None where it is missing or masked."""
    for directory in _DIRECTORIES:
        if tree.lstat(f"{directory}/{ASKER}") is not None:
            return None if tree.readlink(f"{directory}/{ASKER}") == "/dev/null" else f"{directory}/{ASKER}"
    return None


def has_guard(tree: Reader, image_dir: str) -> bool:
    """Whether a drop-in has the service not run where a path exists that is there: the image's passwd, say.

    seed makes that file, so it counts before seed has run.
    """
    for directory in _DIRECTORIES:
        for name in tree.names(f"{directory}/{ASKER}.d"):
            try:
                text = tree.read(f"{directory}/{ASKER}.d/{name}")
            except OSError:
                continue
            for line in text.split(b"\n"):
                key, _, value = line.partition(b"=")
                path = value.strip().decode("utf-8", "surrogateescape")
                if key.strip() != b"ConditionPathExists" or path[:2] != "!/":
                    continue
                if path[1:] == f"{image_dir}/passwd" or tree.lstat(path[1:]) is not None:
                    return True
    return False
