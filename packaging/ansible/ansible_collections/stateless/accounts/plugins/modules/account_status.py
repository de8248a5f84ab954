#!/usr/bin/python
# SPDX-License-Identifier: MIT
"""Ansible module: what a machine's accounts differ by from its image, and what is wrong with them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_status
short_description: Local accounts of a machine with an image layer
description:
  - Returns what C(accounts status) and C(accounts check) tell. Changes nothing, and shows no password hash.
options:
  root:
    description: The root directory to look at.
    type: path
    default: /
  check:
    description: Whether to look for faults as well.
    type: bool
    default: true
  executable:
    description: The accounts command.
    type: str
    default: accounts
author:
  - The stateless-accounts developers
"""

EXAMPLES = r"""
- name: Look at the accounts
  stateless.accounts.account_status:
  register: accounts

- name: There is nothing to mend
  ansible.builtin.assert:
    that: not accounts.findings
"""

RETURN = r"""
status:
  description: What accounts status --json prints (docs/schemas/status.json).
  returned: success
  type: dict
findings:
  description: What accounts check --json finds (docs/schemas/check.json).
  returned: when check is true
  type: list
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.stateless.accounts.plugins.module_utils.accounts import run_accounts  # noqa: E402


def main():
    """Entry point."""
    module = AnsibleModule(
        {
            "root": {"type": "path", "default": "/"},
            "check": {"type": "bool", "default": True},
            "executable": {"type": "str", "default": "accounts"},
        },
        supports_check_mode=True,
    )
    result = {"changed": False, "status": run_accounts(module, "status", fine=(0, 1))[1]}
    if module.params["check"]:
        result["findings"] = run_accounts(module, "check", fine=(0, 1))[1]["findings"]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
