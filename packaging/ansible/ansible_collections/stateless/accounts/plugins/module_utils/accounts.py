# SPDX-License-Identifier: MIT
"""How the modules of this collection run `accounts COMMAND --json`."""

from __future__ import annotations

import json
import re

# What a password hash begins with: no such word is shown.
HASH = re.compile(r"!?\$[0-9a-z]+\$[^\s\"']{20,}")


def run_accounts(module, command, *arguments, fine=(0,)):
    """(exit status, result) of `accounts COMMAND --root ROOT --json ...`; fails the module on any other status."""
    program = module.get_bin_path(module.params["executable"], required=True)
    argv = [program, command, "--root", module.params["root"], "--json", *arguments]
    status, output, errors = module.run_command(argv, environ_update={"LC_ALL": "C.UTF-8"})
    notes = [line for line in errors.splitlines() if line]
    if status not in fine:
        module.fail_json(msg="\n".join(notes) or f"accounts {command}: exit status {status}", rc=status, cmd=argv)
    for line in notes:
        module.warn(line)
    try:
        return status, json.loads(output)
    except ValueError:
        return module.fail_json(msg=f"accounts {command} gave no JSON", rc=status, cmd=argv)


def format_toml(declaration):
    """A declaration, as docs/schemas/accounts.d.json describes it, as TOML; sorted. Raises ValueError."""
    lines = []
    for key in sorted(declaration):
        if key not in ("users", "groups"):
            lines.append(f"{_key(key)} = {_value(declaration[key])}")
    for kind in ("groups", "users"):
        entries = declaration.get(kind) or {}
        if not isinstance(entries, dict):
            raise ValueError(f"{kind} must be a dictionary of names")
        for name in sorted(entries):
            lines += ["", f"[{kind}.{_key(name)}]"]
            values = entries[name] or {}
            if not isinstance(values, dict):
                raise ValueError(f"{kind}.{name} must be a dictionary")
            lines += [f"{_key(key)} = {_value(values[key])}" for key in sorted(values)]
    return "\n".join(lines).lstrip("\n") + "\n"


def find_hashes(value):
    """All password hashes in a value."""
    if isinstance(value, dict):
        return [found for one in value.values() for found in find_hashes(one)]
    if isinstance(value, list):
        return [found for one in value for found in find_hashes(one)]
    return HASH.findall(value) if isinstance(value, str) else []


def _key(name):
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", str(name)) else _value(str(name))


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        # A string of JSON is one of TOML, but for the escapes of DEL and of what JSON leaves alone.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(value[key])}" for key in sorted(value)) + "}"
    raise ValueError(f"{value!r} cannot be declared")
