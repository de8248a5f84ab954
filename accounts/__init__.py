# SPDX-License-Identifier: MIT
"""User and group accounts in two layers: the image's in /usr/lib and this machine's delta in /etc."""
