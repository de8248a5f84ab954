# SPDX-License-Identifier: MIT
"""Only accounts.system.paths and accounts.system.target reach a path of a target root (docs/decisions/paths.md).

A call that takes a path is allowed in four places only: in those two doors; of one name relative to a descriptor, in
modules that get theirs from a door (RELATIVE); of a path that is no target's, in modules that have one (FOREIGN); of
a kernel interface anywhere.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DOORS = {"system/paths.py", "system/target.py"}
# Module -> whose descriptors it works on.
RELATIVE = {
    "image/inodes.py": "directories and files that the Tree has open",
    "image/entries.py": "directories of the Tree",
    "image/layers.py": "directories of the Tree's root, step by step from it; etc of the Target",
    "image/pin.py": "the directory of the Tree",
    "image/reader.py": "directories by system.paths",
    "image/diff.py": "directories of the Tree",
    "image/tree.py": "directories of the Tree",
    "machine/leftovers.py": "etc of the Target",
    "machine/reset.py": "directories by the Target",
    "system/commands.py": "hook directories, by system.paths",
    "machine/reown.py": "/var/lib/accounts, by system.paths",
    "system/btrfs.py": "descriptors that system.homes opened",
    "system/commit.py": "etc of the Target",
    "system/contents.py": "descriptors that system.commit opened",
    "system/editor.py": "etc of the Target",
    "system/copies.py": "homes, by system.paths",
    "system/homes.py": "homes, by system.paths",
    "system/locks.py": "etc of the Target",
    "system/mail.py": "mail spools, by system.paths",
    "system/module.py": "the library directories of the Target",
    "system/owners.py": "the working directory of a walk",
    "system/recovery.py": "etc of the Target",
    "system/reown.py": "directories that its callers have from system.paths, and down from these",
    "system/shells.py": "shells.d of the Target",
    "system/shield.py": "whatever its callers have open",
    "system/hometree.py": "homes, by system.paths",
    "system/unfinished.py": "homes, by system.paths",
    "system/walklog.py": "directories that its callers have from system.paths",
    "system/useradd_defaults.py": "etc/default, from etc of the Target",
}
# Module -> what its paths are, as they are no target's.
FOREIGN = {
    "__init__.py": "the byte-code pack beside the program",
    "cli/commands.py": "operands",
    "cli/machine.py": "the default of ROOT",
    "cli/tool.py": "the usage text beside the program",
    "service/client.py": "the service's socket in /run",
    "image/configuration.py": "a descriptor of the Tree's",
    "image/environment.py": "is ROOT the running system",
    "image/export.py": "the directory that an operand names",
    "image/importer.py": "files that operands name",
    "image/ledger.py": "the ledger that an option names",
    "image/idsources.py": "files and BBPATH that options name",
    "image/rules.py": "rule files that options name",
    "image/seed.py": "the directory that an option names",
    "image/wire.py": "the program's own data",
    "machine/applysources.py": "directories that operands name, systemd's credentials; the rest by the Target",
    "machine/source.py": "directories and the archive that options name",
    "service/attempts.py": "the counts in /run",
    "system/editor.py": "/bin/sh",
    "system/setuid.py": "the diverted program and files that everybody may read, on the running system only",
    "service/listeners.py": "sockets that options name",
    "service/process.py": "the working directory of a service",
    "system/newgroup.py": "the caller's shell and home, on the running system only",
    "system/loginrecords.py": "pam_tally2, on the running system only",
    "system/notify.py": "programs, on the running system only",
}
# Single calls of such modules that are not of one name: which, and why.
OTHERS = {
    ("image/inodes.py", "copyfileobj"): "two open files",
    ("image/inodes.py", "chmod"): "a node that has just been made",
    ("image/reader.py", "open"): "the root itself, an operand",
    ("system/owners.py", "chmod"): "a name in the working directory, or the /proc name of a descriptor",
    ("system/owners.py", "chown"): "a name in the working directory, or the /proc name of a descriptor",
    ("system/owners.py", "getxattr"): "a name in the working directory, or the /proc name of a descriptor",
    ("system/owners.py", "listxattr"): "a name in the working directory, or the /proc name of a descriptor",
    ("system/owners.py", "lstat"): "a name in the working directory, or the /proc name of a descriptor",
    ("system/owners.py", "open"): "a name in the working directory, or the /proc name of a descriptor",
    ("system/owners.py", "setxattr"): "a name in the working directory, or the /proc name of a descriptor",
    ("system/owners.py", "stat"): "a name in the working directory, or the /proc name of a descriptor",
    ("system/reown.py", "listdir"): "the working directory",
    ("system/reown.py", "open"): "the working directory",
    ("system/commands.py", "posix_spawn"): "programs, on the running system or behind chroot(2)",
    ("system/commands.py", "execve"): "programs, behind chroot(2)",
    ("system/commands.py", "chroot"): "the root's own descriptor",
    ("system/commands.py", "stat"): "our own root, to compare",
}
OS_CALLS = {
    "access", "chdir", "chmod", "chown", "chroot", "execv", "execve", "fwalk", "getxattr", "lchown", "link", "listdir",
    "listxattr", "lstat", "makedirs", "mkdir", "mkfifo", "mknod", "open", "posix_spawn", "readlink", "remove",
    "removexattr", "removedirs", "rename", "renames", "replace", "rmdir", "scandir", "setxattr", "stat", "statvfs",
    "symlink", "truncate", "unlink", "utime", "walk",
}  # fmt: skip
PATHLIB_CALLS = {
    "exists", "glob", "is_dir", "is_file", "is_symlink", "iterdir", "lstat", "open", "read_bytes", "read_text",
    "readlink", "rename", "resolve", "rglob", "rmdir", "stat", "symlink_to", "touch", "unlink", "write_bytes",
    "write_text",
}  # fmt: skip
OSPATH_CALLS = {"exists", "isdir", "isfile", "islink", "lexists", "realpath", "samefile", "getsize", "getmtime"}
MODULES = {"glob", "shutil", "tempfile"}
# Names that hold descriptors, where a call takes one in place of a path.
DESCRIPTORS = {"copy", "directory", "fd", "file", "new", "old", "reader", "source", "target", "writer", "etc"}
KERNEL = ("/dev/", "/proc", "/run/", "/sys/")


def path_calls(tree: ast.AST) -> list[ast.Call]:
    """Calls that take a path, or are about one."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in ("open", "Path"):
            found.append(node)
        elif isinstance(function, ast.Attribute):
            owner = ast.unparse(function.value)
            if (
                (owner in ("os", "posix") and function.attr in OS_CALLS)
                or (owner in ("os.path", "posixpath") and function.attr in OSPATH_CALLS)
                or owner in MODULES
                or (owner.rpartition(".")[2] in ("path", "file", "directory") and function.attr in PATHLIB_CALLS)
                or (isinstance(function.value, ast.BinOp) and function.attr in PATHLIB_CALLS)
                or (isinstance(function.value, ast.Call) and ast.unparse(function.value.func) == "Path")
            ):
                found.append(node)
    return found


def name_of(call: ast.Call) -> str:
    """The last name of what is called."""
    return ast.unparse(call.func).rpartition(".")[2]


def is_kernel(call: ast.Call) -> bool:
    """Whether the path is spelled out and a kernel interface's."""
    if not call.args:
        return False
    argument = call.args[0]
    if isinstance(argument, ast.JoinedStr):
        argument = argument.values[0]
    if not isinstance(argument, ast.Constant):
        return False
    text = argument.value.decode() if isinstance(argument.value, bytes) else str(argument.value)
    return text.startswith(KERNEL)


def follows_nothing(call: ast.Call, source: str) -> bool:
    """Whether a call with dir_fd does not follow a link of that name: in its flags, or in what names them."""
    text = ast.unparse(call)
    if "dir_fd" not in text or "follow_symlinks=False" in text or re.search(r"O_NOFOLLOW|O_EXCL", text):
        return True
    flags = re.findall(r"\b(?:flags|create|DIRECTORY|_STEP)\b", text)
    return bool(flags) and all(
        name == "DIRECTORY" or re.search(rf"\b{name} = .*(O_NOFOLLOW|O_EXCL|DIRECTORY\b)", source) for name in flags
    )


def is_relative(call: ast.Call, source: str) -> bool:
    """Whether it is about one name in an open directory, or about an open file."""
    keywords = {keyword.arg for keyword in call.keywords}
    literal = [
        argument.value
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str | bytes)
    ]
    if any("/" in (text.decode() if isinstance(text, bytes) else text) for text in literal):
        return False
    if name_of(call) in ("open", "stat", "chmod", "chown", "utime", "access") and not follows_nothing(call, source):
        return False
    if "dir_fd" in keywords or keywords >= {"src_dir_fd", "dst_dir_fd"}:
        return True
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Call):
        return is_relative(first, source)
    return isinstance(first, ast.Name | ast.Attribute) and ast.unparse(first).rpartition(".")[2] in DESCRIPTORS


def faults(module: str, source: str) -> tuple[list[str], bool]:
    """(calls that are not allowed, whether there is any that an entry in the lists is for)."""
    if module in DOORS:
        return [], True
    calls = [call for call in path_calls(ast.parse(source)) if not is_kernel(call)]
    if module in FOREIGN:
        return [], bool(calls)
    bad = [
        f"{module}:{call.lineno}: {ast.unparse(call)}"
        for call in calls
        if not (module in RELATIVE and (is_relative(call, source) or (module, name_of(call)) in OTHERS))
    ]
    return bad, bool(calls)


def test_paths_of_a_target_are_reached_through_the_doors_only() -> None:
    bad, needed = [], set()
    for path in sorted((TOP / "accounts").rglob("*.py")):
        module = str(path.relative_to(TOP / "accounts"))
        found, used = faults(module, path.read_text())
        bad += found
        if used:
            needed.add(module)
    assert not bad, "reach it by accounts.system.paths or Target:\n" + "\n".join(bad)
    assert not {*RELATIVE, *FOREIGN} - needed, "modules that need no entry any more"


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("os.stat(b'etc/passwd', dir_fd=root)", False),
        ("posix.open(path, 0)", False),
        ("os.open('passwd', 0, dir_fd=etc)", False),
        ("os.open('passwd', os.O_NOFOLLOW, dir_fd=etc)", True),
        ("os.stat('passwd', dir_fd=etc)", False),
        ("os.stat('passwd', dir_fd=etc, follow_symlinks=False)", True),
        ("os.rename(a, b, src_dir_fd=etc)", False),
        ("os.rename(a, b, src_dir_fd=etc, dst_dir_fd=etc)", True),
        ("open('/etc/login.defs')", False),
        ("os.listdir(fd)", True),
        ("os.listdir(b'/etc')", False),
        ("posix.access('/dev/log', 0)", True),
        ("posix.stat(f'/proc/{pid}/root')", True),
        ("os.path.exists(p)", False),
        ("(root / 'etc').is_dir()", False),
        ("Path(p).read_bytes()", False),
        ("shutil.rmtree(p)", False),
    ],
)
def test_the_rule_itself(source: str, allowed: bool) -> None:
    assert (not faults("system/commit.py", source)[0]) is allowed
    assert faults("edit/users.py", source)[0] or is_kernel(path_calls(ast.parse(source))[0])
