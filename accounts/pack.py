# SPDX-License-Identifier: MIT
"""Builds the pack of byte code that accounts/__init__.py loads modules from: `make install` runs it.

`python3 pack.py DIRECTORY SHOWN`: DIRECTORY holds the package accounts/; SHOWN is its path at run time, for
tracebacks. The pack is bound to the interpreter's byte code by its name and, like the unchecked-hash .pyc
files beside it, is never compared with the sources. Same sources, same bytes.
"""

import __future__

import ast
import marshal
import os
import sys

# What a tool of the family may load; `accounts image` and the rest come from their own files.
PACKED = ("accounts.errors", "accounts.cli", "accounts.edit", "accounts.model", "accounts.system")


def find_modules(directory: str) -> dict[str, tuple[bool, str]]:
    """Module name -> (is a package, path of its source), of the modules to pack."""
    found = {}
    for head, _, files in os.walk(os.path.join(directory, "accounts")):
        for file in files:
            if file.endswith(".py"):
                name = os.path.relpath(os.path.join(head, file[:-3]), directory).replace(os.sep, ".")
                is_package = name.endswith(".__init__")
                name = name.removesuffix(".__init__")
                if name.startswith(PACKED):
                    found[name] = (is_package, os.path.join(head, file))
    return found


def compile_module(source: bytes, path: str) -> bytes:
    """Marshalled code without docstrings, and without the import of __future__, which would load a file."""
    tree = ast.parse(source, path)
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    ]
    flags = __future__.annotations.compiler_flag if b"from __future__ import annotations" in source else 0
    return marshal.dumps(compile(tree, path, "exec", flags, dont_inherit=True, optimize=2))


def build_pack(directory: str, shown: str) -> bytes:
    """The bytes of the pack."""
    index = {}
    codes = []
    offset = 0
    for name, (is_package, path) in sorted(find_modules(directory).items()):
        with open(path, "rb") as file:
            code = compile_module(file.read(), os.path.join(shown, os.path.relpath(path, directory)))
        index[name] = (is_package, offset, len(code))
        codes.append(code)
        offset += len(code)
    head = marshal.dumps(index)
    return len(head).to_bytes(8, "little") + head + b"".join(codes)


def main() -> None:
    """Write DIRECTORY/accounts/CACHE_TAG.pack."""
    directory, shown = sys.argv[1:]
    with open(f"{directory}/accounts/{sys.implementation.cache_tag}.pack", "wb") as file:
        file.write(build_pack(directory, shown))


if __name__ == "__main__":
    main()
