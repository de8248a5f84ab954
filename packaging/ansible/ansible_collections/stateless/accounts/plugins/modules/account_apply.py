#!/usr/bin/python
# SPDX-License-Identifier: MIT
"""Ansible module: a drop-in of accounts.d, and the accounts that all of them declare."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_apply
short_description: Declare accounts in accounts.d and make them
description:
  - Writes a drop-in into /etc/accounts.d, or removes it, and runs C(accounts apply), which makes in one commit what all
    drop-ins declare. A declaration that is wrong changes neither files nor accounts.
  - Accounts that are declared no more are locked, or removed where C(remove) says so.
options:
  name:
    description:
      - Name of the drop-in without C(.toml). Without it only C(accounts apply) is run.
    type: str
  declaration:
    description:
      - What the drop-in says, as docs/schemas/accounts.d.json describes it - C(users), C(groups), C(remove).
      - A password is given as its hash.
    type: dict
  state:
    description: Whether the drop-in is to be there.
    type: str
    choices: [present, absent]
    default: present
  root:
    description: The root directory to work on.
    type: path
    default: /
  executable:
    description: The accounts command.
    type: str
    default: accounts
author:
  - The stateless-accounts developers
"""

EXAMPLES = r"""
- name: The team
  stateless.accounts.account_apply:
    name: 10-team
    declaration:
      groups:
        crew:
          gid: 2000
      users:
        alice:
          groups: [crew, video]
          password: "{{ alice_hash }}"

- name: The team leaves; its accounts are locked
  stateless.accounts.account_apply:
    name: 10-team
    state: absent
"""

RETURN = r"""
actions:
  description: What was done to accounts (docs/schemas/apply.json).
  returned: success
  type: list
path:
  description: The drop-in.
  returned: when name is given
  type: str
"""

import os  # noqa: E402
import tempfile  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.stateless.accounts.plugins.module_utils.accounts import (  # noqa: E402
    find_hashes,
    format_toml,
    run_accounts,
)


def read(path):
    """The text of a drop-in, None where there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def write(module, path, text):
    """Replace a drop-in, for root only; None removes it."""
    if text is None:
        if os.path.lexists(path):
            os.unlink(path)
        return
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    module.atomic_move(temporary, path)
    os.chmod(path, 0o600)


def preview(module, name, text, fine):
    """What accounts apply would do with another text of a drop-in; fails the module where it is wrong."""
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as directory:
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text or "")
        os.chmod(path, 0o600)
        return run_accounts(module, "apply", "--check", "--with", path, fine=fine)[1]


def find_path(module):
    """The path of the drop-in, None where no name is given."""
    name = module.params["name"]
    if name is None:
        if module.params["declaration"] is not None or module.params["state"] == "absent":
            module.fail_json(msg="a drop-in needs a name")
        return None
    if not name or "/" in name or name.startswith("."):
        module.fail_json(msg=f"{name!r} cannot be the name of a drop-in")
    return os.path.join(module.params["root"], "etc/accounts.d", f"{name}.toml")


def main():
    """Entry point."""
    module = AnsibleModule(
        {
            "name": {"type": "str"},
            "declaration": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "root": {"type": "path", "default": "/"},
            "executable": {"type": "str", "default": "accounts"},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    module.no_log_values.update(find_hashes(parameters["declaration"]))
    path = find_path(module)
    new = old = read(path) if path else None
    if path and parameters["state"] == "absent":
        new = None
    elif path and parameters["declaration"] is not None:
        try:
            new = format_toml(parameters["declaration"])
        except ValueError as error:
            module.fail_json(msg=str(error))
    told = None
    if new != old:
        told = preview(module, os.path.basename(path), new, (0, 1))
    elif module.check_mode or module._diff:
        told = run_accounts(module, "apply", "--check", fine=(0, 1))[1]
    done = told
    if not module.check_mode:
        if new != old:
            write(module, path, new)
        done = run_accounts(module, "apply")[1]
    result = {"changed": new != old or done["changed"], "actions": done["actions"]}
    if path:
        result["path"] = path
    if module._diff and told is not None:
        # Without hashes; a drop-in's own text has them.
        lines = [line for one in told["diffs"] for line in ("--- " + one["old"], "+++ " + one["new"], *one["lines"])]
        result["diff"] = {"prepared": "".join(line + "\n" for line in lines)}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
