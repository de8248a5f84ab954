# SPDX-License-Identifier: MIT
"""Throw-away roots that several kinds of tests make: overlays of a system, and trees of a few files."""
