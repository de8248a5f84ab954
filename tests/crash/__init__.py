# SPDX-License-Identifier: MIT
"""Kill -9, signals and errors at every system call of a commit, and races for the locks."""
