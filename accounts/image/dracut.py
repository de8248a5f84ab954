# SPDX-License-Identifier: MIT
"""dracut's module for a root with accounts in the image layer. Reads only.

dracut's own modules copy the rows of users and groups that an initrd needs out of /etc/passwd and /etc/group, say
nothing where there are none, and leave it to a systemd-sysusers inside of the initrd to make some of them with other
ids (tried with 106). A module of ours that comes before them gives the initrd the image's rows.
"""

from __future__ import annotations

from accounts.image.tree import Tree

MODULES = "/usr/lib/dracut/modules.d"
MODULE = f"{MODULES}/00accounts/module-setup.sh"
_TEMPLATE = """\
#!/bin/bash
# Made by accounts image wire: the accounts of the image, as /etc has them where it has rows of its own. Comes first,
# so that what is made of sysusers.d in the initrd has the image's ids.

check() {
    return 0
}

install() {
    local file row
    mkdir -p -m 0755 "$initdir/etc"
    for file in passwd group; do
        local -A own=() there=()
        [[ -f $initdir/etc/$file ]] && while IFS= read -r row; do
            [[ $row == [!:]* ]] && there[${row%%:*}]=$row
        done <"$initdir/etc/$file"
        [[ -f ${dracutsysrootdir-}/etc/$file ]] && while IFS= read -r row; do
            [[ $row == [!:]* ]] && own[${row%%:*}]=$row
        done <"${dracutsysrootdir-}/etc/$file"
        [[ -f ${dracutsysrootdir-}IMAGE_DIR/$file ]] && while IFS= read -r row; do
            [[ $row == [!:]* && ! ${there[${row%%:*}]-} ]] && printf '%s\\n' "${own[${row%%:*}]-$row}"
        done <"${dracutsysrootdir-}IMAGE_DIR/$file" >>"$initdir/etc/$file"
    done
    return 0
}
"""


def format_module(image_dir: str) -> bytes:
    """The module for a root whose image layer is in image_dir."""
    return _TEMPLATE.replace("IMAGE_DIR", image_dir).encode()


def needs_module(tree: Tree) -> bool:
    """Whether the root has a dracut."""
    return bool(tree.names(MODULES))


def has_module(tree: Tree, image_dir: str) -> bool:
    """Whether its initrds get the image's accounts."""
    try:
        return tree.read(MODULE) == format_module(image_dir)
    except OSError:
        return False
