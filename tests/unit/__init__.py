# SPDX-License-Identifier: MIT
"""One module at a time, without a root directory or a real tool."""
