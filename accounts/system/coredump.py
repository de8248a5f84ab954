# SPDX-License-Identifier: MIT
"""Keeps passwords out of core dumps. Loaded only by what reads a password in clear."""

from __future__ import annotations


def forbid_core_dumps() -> None:
    """RLIMIT_CORE 0, as shadow's pwd_init(), for this process and its children; before a password is read."""
    try:
        import resource
    except ImportError:  # python3-minimal: at least no page of memory goes into a core, core(5)
        try:
            with open("/proc/self/coredump_filter", "w") as file:
                file.write("0")
        except OSError:
            pass
    else:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
