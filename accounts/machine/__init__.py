# SPDX-License-Identifier: MIT
"""What an administrator does with the accounts of a machine: look at, check, merge, reset and convert its delta.

Off the hot path: ordinary modern Python. What can be pure is a function over model.Database; nothing prints.
"""
