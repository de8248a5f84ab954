# SPDX-License-Identifier: MIT
"""How a tool starts: standard streams that are closed, arguments in any locale, its name, no core dump."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.overlay import REAL, in_overlay, run_tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# Characters of EUC-JP and Big5, among them some that Python's codecs and the C library's map differently,
# halves of characters, and UTF-8. None with 80-9f, which the real useradd refuses where iscntrl(3) of the locale
# takes them for some.
GECOS = (
    b"\xc6\xfc\xcb\xdc\xb8\xec", b"\xa1\xc1\xa1\xdd\xa1\xf1", b"\x8f\xa2\xb7\x8e\xb1", b"\xc6", b"\xfe\xff",
    b"\xa4\xa4\xa4\xe5", b"\xa1\xfe\xa2\x40\xf9\xd6", "Zoë".encode(), b"~\\",
)  # fmt: skip
LOCALES = {"ja_JP.EUC-JP": ("ja_JP", "EUC-JP"), "zh_TW.BIG5": ("zh_TW", "BIG5")}
READ_PASSWORDS = ("chpasswd", "chpasswd -e", "chgpasswd", "newusers", "passwd -s root")


def test_a_closed_standard_input_is_empty() -> None:
    in_overlay(_closed_streams)


def _closed_streams() -> None:
    before = Path("/etc/shadow").read_bytes()
    for tool in ("chpasswd", "chpasswd -e", "chpasswd -c SHA512", "chgpasswd", "newusers"):
        for closed in ("<&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"):
            done = run_tool("/bin/sh", "-c", f"/usr/sbin/{tool} {closed}")
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), (tool, closed)
    done = run_tool("/bin/sh", "-c", "/usr/sbin/groupadd devs <&- >&- 2>&-")
    assert (done.returncode, run_tool("getent", "group", "devs").stdout[:7]) == (0, "devs:x:")
    # Not one byte of a message goes into a file that got the number of a closed stream.
    assert run_tool("/bin/sh", "-c", "/usr/sbin/usermod -L nosuch >&- 2>&-").returncode == 6
    assert Path("/etc/shadow").read_bytes() == before
    # A root without devices.
    subprocess.run(["mount", "-t", "tmpfs", "none", "/dev"], check=True)
    done = run_tool("/bin/sh", "-c", "/usr/sbin/chpasswd <&- >&-", stdin=None)
    assert (done.returncode, done.stderr) == (0, "")


def test_arguments_are_bytes_in_every_locale() -> None:
    in_overlay(_locales)


def _locales() -> None:
    for name, (language, charmap) in LOCALES.items():
        command = ["localedef", "--no-archive", "-c", "-i", language, "-f", charmap, f"/usr/lib/locale/{name}"]
        assert run_tool(*command).returncode in (0, 1), name
        for number, gecos in enumerate(GECOS):
            rows = []
            for tool in ("/usr/sbin/useradd", f"{REAL}/useradd"):
                program = [tool.encode(), b"-o", b"-u", b"2000", b"-c", gecos, f"u{number}".encode()]
                done = subprocess.run(program, env={"LC_ALL": name}, capture_output=True)
                rows.append((done.returncode, done.stderr, Path("/etc/passwd").read_bytes().splitlines()[-1]))
                run_tool(f"{REAL}/userdel", f"u{number}")
            assert rows[0] == rows[1], (name, gecos)
            assert gecos in rows[0][2]


def test_messages_name_the_tool_as_it_was_called() -> None:
    """Some distributions have adduser as a link to useradd."""
    in_overlay(_names)


def _names() -> None:
    outputs = []
    for tool in (f"{REAL}/useradd", "/usr/sbin/useradd"):
        Path("/usr/local/sbin/adduser").unlink(missing_ok=True)
        Path("/usr/local/sbin/adduser").symlink_to(tool)
        said = [run_tool("/usr/local/sbin/adduser", *arguments) for arguments in (["-s", "sh", "x"], ["root"], [])]
        outputs.append([(result.returncode, result.stdout, result.stderr) for result in said])
    assert outputs[0] == outputs[1]
    # The name is the tool's own since 4.15.
    found = {}
    for release in ("4.13", "4.14", "4.15", "4.20"):
        environ = {"ACCOUNTS_SHADOW_COMPAT": release}
        done = subprocess.run(["/usr/local/sbin/adduser", "-s", "sh", "x"], env=environ, capture_output=True, text=True)
        found[release] = done.stderr.partition(":")[0]
    assert found == {"4.13": "adduser", "4.14": "adduser", "4.15": "useradd", "4.20": "useradd"}


def test_a_tool_that_reads_passwords_leaves_no_core() -> None:
    in_overlay(_cores)


def _cores() -> None:
    def allow() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    for command in READ_PASSWORDS:
        tool, *arguments = command.split()
        path = f"/usr/bin/{tool}" if tool == "passwd" else f"/usr/sbin/{tool}"
        with subprocess.Popen([path, *arguments], stdin=subprocess.PIPE, preexec_fn=allow, cwd="/tmp") as process:
            for _ in range(200):
                limits = Path(f"/proc/{process.pid}/limits").read_text()
                if "Max core file size        0                    0 " in limits:
                    break
                time.sleep(0.02)
            else:
                raise AssertionError(f"{command}: {limits}")
            os.kill(process.pid, signal.SIGSEGV)
            _, status = os.waitpid(process.pid, 0)
            process.returncode = -signal.SIGSEGV
        assert os.WTERMSIG(status) == signal.SIGSEGV, command
        assert not os.WCOREDUMP(status), command
