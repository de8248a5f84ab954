# SPDX-License-Identifier: MIT
"""The version of the whole project; pyproject.toml and the packages take it from here."""

VERSION = "1.0.0"
