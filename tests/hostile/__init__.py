# SPDX-License-Identifier: MIT
"""Roots and journals that somebody made to harm whoever runs a tool on them."""
