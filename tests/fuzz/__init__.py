# SPDX-License-Identifier: MIT
"""Broken files, arguments and input, by the thousand."""
