# SPDX-License-Identifier: MIT
"""syslog and cache flushing: in shadow's words, never failing, costing nothing when nobody listens."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.namespace import TOP, run_in_namespace


def test_syslog_records_reach_dev_log_as_those_of_shadow_do() -> None:
    out = run_in_namespace(
        r"""
        import os, socket, subprocess
        subprocess.run(["mount", "-t", "tmpfs", "none", "/dev"], check=True)
        from accounts.system import notify
        notify.set_ident("early")
        notify.syslog(notify.LOG_INFO, "nobody listens")
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        log.bind("/dev/log")
        log.settimeout(5)
        notify.set_ident("useradd")
        for priority, text in (
            (notify.LOG_INFO, "new user: name=x, UID=1, 100%s\n"),
            (notify.LOG_WARN, "a\nb\x1b[0m\0c\udcff é"),
        ):
            notify.syslog(priority, text)
            record = log.recv(4096).rstrip(b"\0").decode()
            head, _, text = record.partition(": ")
            print(head[:4], head.split()[-1].replace(str(os.getpid()), "PID"), text)
        """
    )
    assert out == ("<86> useradd[PID] new user: name=x, UID=1, 100%s\n<84> useradd[PID] a\\nb\\x1b[0m\\x00c\\udcff é\n")


def test_importing_notify_loads_nothing_slow() -> None:
    script = "import sys; before = set(sys.modules); import accounts.system.notify; "
    script += "print(*sorted(set(sys.modules) - before))"
    out = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", f"import sys; sys.path.insert(0, {str(TOP)!r}); {script}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert out.split() == ["__future__", "accounts", "accounts.system", "accounts.system.notify"]


FLUSH = r"""
    import os, subprocess, sys
    subprocess.run(["mount", "-t", "tmpfs", "none", "/usr/sbin"], check=True)
    from accounts.system import notify
    os.environ["SECRET"] = "1"
    logged = []
    notify.syslog = lambda priority, text: logged.append(text)
    notify.set_ident("useradd")
    for program, body in (("nscd", sys.argv[1]), ("sss_cache", sys.argv[2])):
        if body:
            with open("/usr/sbin/" + program, "w") as file:
                file.write(body.replace(";;", "\n"))
            os.chmod("/usr/sbin/" + program, int(sys.argv[3], 8))
    lines = []
    notify.flush_caches(True, lines.append)
    notify.flush_caches(True, lines.append, passwd=False)
    notify.flush_caches(False, lines.append)
    print("warned", lines)
    print("logged", logged)
    if os.path.exists("/usr/sbin/calls"):
        print(open("/usr/sbin/calls").read(), end="")
"""
RECORD = '#!/bin/sh;;echo "$0 $* env=$SECRET." >>/usr/sbin/calls'


@pytest.mark.parametrize(
    ("nscd", "sssd", "mode", "expected"),
    [
        ("", "", "755", "warned []\nlogged []\n"),
        (
            RECORD,
            RECORD,
            "755",
            "warned []\nlogged []\n"
            "/usr/sbin/nscd -i passwd env=.\n/usr/sbin/nscd -i group env=.\n/usr/sbin/sss_cache -UG env=.\n"
            "/usr/sbin/nscd -i group env=.\n/usr/sbin/sss_cache -G env=.\n",
        ),
        ("#!/bin/sh;;exit 1", "", "755", "warned []\nlogged []\n"),
        (
            "#!/bin/sh;;exit 3",
            "#!/bin/sh;;exit 4",
            "755",
            f"warned {['nscd exited with status 3', 'Failed to flush the nscd cache.'] * 3}\n"
            "logged "
            + str(["useradd: sss_cache exited with status 4", "useradd: Failed to flush the sssd cache."] * 2)
            + "\n",
        ),
        (
            "#!/bin/sh;;kill -9 $$",
            "#!/bin/sh;;kill -9 $$",
            "755",
            f"warned {['nscd did not terminate normally (signal 9)'] * 3}\n"
            f"logged {['useradd: sss_cache did not terminate normally (signal 9)'] * 2}\n",
        ),
        ("#!/no/interpreter", "", "755", "warned []\nlogged []\n"),
        (
            "#!/bin/sh",
            "",
            "644",
            "warned "
            + str(
                [
                    "cannot execute /usr/sbin/nscd: Permission denied",
                    "nscd exited with status 126",
                    "Failed to flush the nscd cache.",
                ]
                * 3
            )
            + "\nlogged []\n",
        ),
    ],
)
def test_flush_caches(nscd: str, sssd: str, mode: str, expected: str) -> None:
    assert run_in_namespace(FLUSH, nscd, sssd, mode) == expected
