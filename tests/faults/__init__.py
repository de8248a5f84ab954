# SPDX-License-Identifier: MIT
"""System calls that say no, and environments that do: ours beside the real tools."""
