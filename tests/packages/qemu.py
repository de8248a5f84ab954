# SPDX-License-Identifier: MIT
"""Boots a disk image with qemu (TCG, UEFI) in a root that has it, and types at its serial console."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

from tests.packages.rootdir import PackagedRoot
from tests.support.nspawn import Machine

# On a busy machine an emulated one is slower than systemd's patience. What the kernel says of services would be most
# of what goes over the line.
EXTRA = (
    "audit=0 loglevel=4 "
    "systemd.default_device_timeout_sec=1800 systemd.default_timeout_start_sec=1800 "
    "TERM=dumb systemd.tty.term.ttyS0=dumb"
)
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"


class Disk(Machine):
    """The machine of a disk image; a with block boots it, and turns it off unless it has been powered off.

    image and drives are paths in the root.
    """

    def __init__(self, host: PackagedRoot, image: str, *drives: str) -> None:
        super().__init__(host.path)
        self.host = host
        self.drives = (image, *drives)

    def __enter__(self) -> Disk:
        # /dev is the machine's own in every root: a socket of an overlay cannot be found from outside.
        console = f"/dev/shm/console-{os.getpid()}-{time.monotonic_ns()}"
        disks = " ".join(f"-drive if=virtio,format=raw,file={drive}" for drive in self.drives)
        command = self.host.command(
            "exec qemu-system-x86_64 -machine q35 -accel tcg -cpu max -m 1536 -nic none "
            f"-display none -drive if=pflash,format=raw,readonly=on,file={OVMF} {disks} "
            f"-smbios 'type=11,value=io.systemd.stub.kernel-cmdline-extra={EXTRA}' "
            f"-serial unix:{console},server=on"
        )
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 60
        while not Path(console).exists():
            assert self._process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        self._socket.connect(console)
        Path(console).unlink()
        self._terminal = self._socket.detach()
        return self

    def expect(self, text: str, timeout: float = 1800) -> str:
        """As of a container; a kernel under TCG takes its time."""
        return super().expect(text, timeout)

    def login(self, user: str, password: str) -> str:
        """As of a container; but agetty throws away what comes early, and login(1) gives up after a minute."""
        self.expect("login: ")
        for _ in range(10):
            self.type(user)
            if not self._wait("Password: "):
                continue
            self.type(password)
            if self._wait(f"{user}@", "timed out after") == f"{user}@":
                break
            self.expect("login: ")
        self.type("dmesg -n 1; PS1= PS2=; stty -echo; echo in-$((40+2))")
        return self.expect("in-42\n").strip()

    def run(self, command: str, timeout: float = 1800) -> str:
        """As in a container, with the patience of expect()."""
        return super().run(command, timeout)

    def _wait(self, *texts: str, timeout: float = 180) -> str:
        """The first of the texts that the console says; "" if it says none in time (seconds)."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for text in texts:
                if (at := self.log.find(text.encode(), self._seen)) >= 0:
                    self._seen = at + len(text)
                    return text
            self._read(0.2)
        return ""

    def power_off(self) -> None:
        """From the shell; the disk is then whole."""
        assert self._process is not None
        self.type("systemctl poweroff")
        while self._process.poll() is None:
            self._read(0.2)

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._terminal)
