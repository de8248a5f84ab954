# SPDX-License-Identifier: MIT
"""What can go wrong while an image is built, besides what accounts.errors has for all."""

from __future__ import annotations

from accounts.errors import AccountsError, BadArgument


class LedgerBusy(AccountsError):
    """Another build holds the shared ledger for too long."""


class RulesError(BadArgument):
    """A rule file has an entry that cannot be understood."""


class RuleConflict(AccountsError):
    """A rule cannot be carried out on this root; nothing has been changed."""


class BadLine(BadArgument):
    """A line that systemd-sysusers refuses; the message says why, without file and line."""
