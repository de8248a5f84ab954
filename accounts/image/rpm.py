# SPDX-License-Identifier: MIT
"""rpm's macros for a root with accounts in the image layer. Reads only.

rpm asks NSS for the owners of the files that it installs up to 4.18. Later ones read %_passwd_path and %_group_path
themselves, and give what they do not find there to root; 4.20 takes one path (tried with 4.20.1), 6.1 a list.
"""

from __future__ import annotations

from accounts.image.tree import Tree

CONFIGURATION = "/usr/lib/rpm/macros"
MACROS = "/usr/lib/rpm/macros.d/macros.accounts"
_TEMPLATE = """\
# Made by accounts image wire: where the owners of the files in a package are looked up. In /etc where that has all
# of the image's names, as it has between accounts image thaw and freeze, else in the image.
%_accounts_path() %{{lua:
  local function names(path)
    local found, file = {{}}, io.open(path)
    if file then
      for line in file:lines() do found[line:match("^[^:]*")] = true end
      file:close()
    end
    return found
  end
  local path = "/etc/" .. arg[1]
  local there = names(path)
  for name in pairs(names("{0}/" .. arg[1])) do
    if not there[name] then path = "{0}/" .. arg[1] end
  end
  print(path)
}}
%_passwd_path %{{_accounts_path passwd}}
%_group_path %{{_accounts_path group}}
"""


def format_macros(image_dir: str) -> bytes:
    """The file for a root whose image layer is in image_dir."""
    return _TEMPLATE.format(image_dir).encode()


def needs_macros(tree: Tree) -> bool:
    """Whether the root has an rpm that knows the macros."""
    try:
        return b"%_passwd_path" in tree.read(CONFIGURATION)
    except OSError:
        return False


def has_macros(tree: Tree, image_dir: str) -> bool:
    """Whether its rpm looks into the image layer."""
    try:
        return tree.read(MACROS) == format_macros(image_dir)
    except OSError:
        return False
