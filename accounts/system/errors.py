# SPDX-License-Identifier: MIT
"""What can go wrong in a walk over a file system, besides what accounts.errors has for all."""


class ReadOnly(Exception):
    """The whole file system is."""
