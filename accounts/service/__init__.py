# SPDX-License-Identifier: MIT
"""The service for callers without any privilege: they change what is theirs (docs/decisions/service.md)."""
