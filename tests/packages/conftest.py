# SPDX-License-Identifier: MIT
"""`make packages-test`: building and installing packages takes minutes, and networks; `make test` leaves it out."""

from __future__ import annotations

import os

collect_ignore_glob = [] if "ACCOUNTS_PACKAGES" in os.environ else ["test_*"]
