# SPDX-License-Identifier: MIT
"""chsh, passwd and chage -l of an ordinary caller: by the service, and by Debian's set-uid programs, in turn.

Wall time at a terminal from the start of the program to its end, answers typed at once; PAM without its two seconds
after a wrong password, which none is. Prints a table; python3 -m tests.bench.bench_service [TURNS].
"""

from __future__ import annotations

import os
import statistics
import sys
import time

from tests.clients.dialogue import talk
from tests.service.hostile import PASSWORD, lay_out
from tests.service.machine import Service
from tests.support.overlay import REAL, in_overlay

USER = (2000, 2000, "u2000")
NEW = ("Xk3!vbe9Qz", "Zq7?pmd2Lw")
Times = dict[str, dict[str, list[float]]]


def _passwd(old: str, new: str) -> tuple[tuple[str, str], ...]:
    return ("Current password: ", old), ("New password: ", new), ("Retype new password: ", new)


def _measure(turns: int) -> Times:
    lay_out()
    os.chown(f"{REAL}/chage", 0, 42)
    os.chmod(f"{REAL}/chage", 0o2755)
    programs = {"set-uid": REAL, "service": "/usr/bin"}
    times: Times = {}
    password = PASSWORD
    with Service():
        for turn in range(turns):
            for way, directory in programs.items():
                new = NEW[(2 * turn + (way == "service")) % 2]
                for command, say in (
                    ("passwd", _passwd(password, new)),
                    (f"chsh -s /bin/{('sh', 'bash')[turn % 2]}", (("Password: ", new),)),
                    ("chage -l u2000", ()),
                ):
                    tool, *arguments = command.split()
                    start = time.perf_counter()
                    result = talk("/", USER, [f"{directory}/{tool}", *arguments], say, seconds=60)
                    taken = time.perf_counter() - start
                    assert result.status == 0, (way, command, result)
                    times.setdefault(tool, {}).setdefault(way, []).append(taken)
                password = new
    return times


def main() -> None:
    """Print the table."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"{'':8}{'set-uid, ms':>14}{'service, ms':>14}   median of {turns}, least in brackets")
    for tool, ways in in_overlay(_measure, turns).items():
        columns = [f"{statistics.median(taken) * 1000:.0f} ({min(taken) * 1000:.0f})" for taken in ways.values()]
        print(f"{tool:8}" + "".join(f"{column:>14}" for column in columns))


if __name__ == "__main__":
    main()
