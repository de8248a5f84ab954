# SPDX-License-Identifier: MIT
"""Print the clients' table: `python -m tests.clients [--short]`. Exits 1 when a client tells our tools apart."""

from __future__ import annotations

import sys

from tests.clients.clients import compare, full, short


def main() -> int:
    """Run all clients in both roots; 1 when any differs."""
    comparisons = compare(short() if "--short" in sys.argv[1:] else full())
    bad = 0
    print("| client | rows of the view | differences | classic s | ours s |")
    print("|---|---|---|---|---|")
    for item in comparisons:
        rows = sum(map(len, item.classic.view.values()))
        found = item.failures + item.differences
        bad += bool(found)
        print(
            f"| {item.client.name} | {rows} | {len(found) or 'none'} "
            f"| {item.classic.seconds:.1f} | {item.ours.seconds:.1f} |"
        )
    for item in comparisons:
        for line in item.failures + item.differences:
            print(f"\n{item.client.name}: {line}")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
