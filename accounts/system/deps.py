# SPDX-License-Identifier: MIT
"""Where passlib and filelock are in a source tree. Installed they are beside the package.

The shims of a source tree look into no further directory than it: that would cost every start.
"""

from __future__ import annotations

import sys


def look_in_build() -> None:
    """Have what `make build/deps` has brought be found, too."""
    sys.path.append(f"{__file__.rpartition('/accounts/')[0]}/build/deps")
