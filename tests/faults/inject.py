# SPDX-License-Identifier: MIT
"""Runs one tool under ptrace(2), names each system call by what it is about, and refuses those of one name.

A name is "CALL OBJECT", as "rename passwd" or "openat journal": the same for a real tool, which is executed, and for
ours, which runs in a fork of this process. So the interpreter has started before the first call, and nothing that
belongs to it is ever refused. x86-64 only.
"""

from __future__ import annotations

import os
import re
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.trace import (
    _EXITKILL,
    _ORIG_RAX,
    _PEEKUSER,
    _POKEUSER,
    _RAX,
    _SETOPTIONS,
    _SYSCALL,
    _SYSCALL_STOP,
    _TRACEME,
    _TRACESYSGOOD,
    _ptrace,
)

# struct user_regs_struct: where the arguments of a system call are.
_ARGUMENTS = (14 * 8, 13 * 8, 12 * 8, 7 * 8, 9 * 8, 8 * 8)
_AT_FDCWD = -100
# number: name, and where its object is. dN: a descriptor in argument N; pN: a path; aN: a descriptor in N and a path
# in N+1; -: no object. Of two paths the one that is made or replaced. Reading what is open is left out: the real
# tools cannot go on without it either.
_CALLS = """
    1 write d0, 2 open p0, 4 stat p0, 5 fstat d0, 6 lstat p0, 8 lseek d0, 13 rt_sigaction -, 17 pread64 d0,
    18 pwrite64 d0, 21 access p0, 37 alarm -, 40 sendfile d0, 41 socket -, 72 fcntl d0, 73 flock d0, 74 fsync d0,
    75 fdatasync d0, 77 ftruncate d0, 82 rename p1, 83 mkdir p0, 84 rmdir p0, 86 link p1, 87 unlink p0, 88 symlink p1,
    89 readlink p0, 90 chmod p0, 91 fchmod d0, 92 chown p0, 93 fchown d0, 94 lchown p0, 133 mknod p0, 160 setrlimit -,
    188 setxattr p0, 190 fsetxattr d0, 191 getxattr p0, 193 fgetxattr d0, 194 listxattr p0, 196 flistxattr d0,
    217 getdents64 d0, 257 openat a0, 258 mkdirat a0, 259 mknodat a0, 260 fchownat a0, 262 newfstatat a0,
    263 unlinkat a0, 264 renameat a2, 265 linkat a2, 266 symlinkat a1, 267 readlinkat a0, 268 fchmodat a0,
    269 faccessat a0, 280 utimensat a0, 302 prlimit64 -, 316 renameat2 a2, 326 copy_file_range d2, 332 statx a0,
    439 faccessat2 a0
"""
# As glibc calls them here or there: one name for what is the same to a kernel that refuses it.
_SAME = {
    "renameat": "rename", "renameat2": "rename", "linkat": "link", "unlinkat": "unlink", "mkdirat": "mkdir",
    "symlinkat": "symlink", "readlinkat": "readlink", "lstat": "stat", "newfstatat": "stat", "statx": "stat",
    "mknodat": "mknod", "faccessat": "access", "faccessat2": "access", "setrlimit": "prlimit64",
    "fdatasync": "fsync", "fchownat": "chown", "lchown": "chown", "fchmodat": "chmod", "pwrite64": "write",
}  # fmt: skip
CALLS = {int(number): (name, where) for number, name, where in (entry.split() for entry in _CALLS.split(","))}
_DATABASES = "passwd|group|shadow|gshadow|subuid|subgid"
# What a path is about; the first that matches. Anything else (libraries, modules, /proc/sys) is not looked at.
_OBJECTS = [
    (re.compile(pattern), name)
    for pattern, name in (
        (rf"/etc/({_DATABASES})", ""),
        (rf"/etc/({_DATABASES})-|/etc/\.accounts\.[^/]*\.(old|copy)", "backup"),
        (rf"/etc/({_DATABASES})\+|/etc/\.accounts\.[^/]*\.new|/etc/.*\.edit", "new file"),
        (r"/etc/[a-z]+\.lock", "lock"),
        (r"/etc/[a-z]+\.[0-9]+|/etc/\.accounts\.(lock|stale)", "lock source"),
        (r"/etc/\.pwd\.lock", ".pwd.lock"),
        (r"/etc/\.accounts\.journal.*", "journal"),
        (r"/etc/accounts(/.*)?", "accounts"),
        (r"/etc", "/etc"),
        (r"/etc/skel(/.*)?", "skel"),
        (r"/etc/(login\.defs|nsswitch\.conf|default.*|shells|pam\.d.*|subuid|subgid)", "configuration"),
        (r"/home", "/home"),
        (r"/(home|srv)/.*", "home"),
        (r"/var/mail|/var/spool/mail", "/var/mail"),
        (r"/var/(mail|spool/mail)/.*", "mail"),
        (r"/var/log/.*", "log"),
        (r"/dev/log", "syslog"),
    )
]
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Run:
    """names: of all calls that have one, in their order. refused: how many were."""

    status: int = 0
    names: list[str] = field(default_factory=list)
    refused: int = 0
    stdout: str = ""
    stderr: str = ""


def run(action: Callable[[], None], refuse: str = "", error: int = 0, stdin: str = "") -> Run:
    """Run action, which must end or replace the process, in a child; every call named refuse fails with error."""
    files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
    os.write(files[0], stdin.encode())
    os.lseek(files[0], 0, os.SEEK_SET)
    pid = os.fork()
    if not pid:
        try:
            for number, fd in enumerate(files):
                os.dup2(fd, number)
            os.closerange(3, 256)
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            os.environ.clear()
            os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL="C", HOME="/root", EDITOR="/srv/editor")
            os.chdir("/")
            _ptrace(_TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            action()
        finally:
            os._exit(99)
    os.waitpid(pid, 0)
    _ptrace(_SETOPTIONS, pid, 0, _TRACESYSGOOD | _EXITKILL)
    result = Run()
    try:
        _follow(pid, result, refuse, error)
    finally:
        for fd, name in zip(files[1:], ("stdout", "stderr"), strict=True):
            text = os.pread(fd, 65536, 0).decode(errors="surrogateescape")
            setattr(result, name, re.sub(rf"\b{pid}\b", "PID", text))
        for fd in files:
            os.close(fd)
    return result


def _follow(pid: int, result: Run, refuse: str, error: int) -> None:
    entering, failing, deliver = True, False, 0
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    started = False
    while True:
        _ptrace(_SYSCALL, pid, 0, deliver)
        deliver = 0
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            result.status = os.waitstatus_to_exitcode(status)
            os.close(memory)
            return
        if os.WSTOPSIG(status) != _SYSCALL_STOP:
            if os.WSTOPSIG(status) == signal.SIGTRAP:  # execve(2): a new address space
                os.close(memory)
                memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
            else:
                deliver = os.WSTOPSIG(status)
            continue
        if entering:
            name = _name(pid, memory, started)
            if name:
                started = True
                result.names.append(name)
                if name == refuse:
                    result.refused += 1
                    _ptrace(_POKEUSER, pid, _ORIG_RAX, -1)  # no system call at all
                    failing = True
        elif failing:
            _ptrace(_POKEUSER, pid, _RAX, -error)
            failing = False
        entering = not entering


def _name(pid: int, memory: int, started: bool) -> str:
    """The name of the call that pid is about to make; empty for one that is not looked at."""
    call = CALLS.get(_ptrace(_PEEKUSER, pid, _ORIG_RAX))
    if call is None:
        return ""
    name, where = call
    name = _SAME.get(name, name)
    if where == "-":
        return name if started else ""
    index = int(where[1])
    if where[0] == "d":
        path = _descriptor(pid, _argument(pid, index))
    elif where[0] == "p":
        path = os.path.normpath(os.path.join("/", _string(memory, _argument(pid, index))))
    else:
        path = _string(memory, _argument(pid, index + 1))
        if not path.startswith("/"):
            path = os.path.normpath(os.path.join(_descriptor(pid, _argument(pid, index)), path))
    about = _object(path)
    if not about:
        return ""
    if name in ("open", "openat"):
        flags = _argument(pid, index + (2 if where[0] == "a" else 1))
        name = "open path" if flags & os.O_PATH else "open to write" if flags & _WRITING else "open"
    elif name == "fcntl":
        name = f"fcntl {_argument(pid, 1)}"
    elif name == "stat" and where[0] == "a" and path == _descriptor(pid, _argument(pid, 0)):
        name = "fstat"
    elif name == "lseek":
        name = f"lseek {('SET', 'CUR', 'END', 'DATA', 'HOLE')[_argument(pid, 2)]}"
    return f"{name} {about}"


def _object(path: str) -> str:
    for pattern, name in _OBJECTS:
        match = pattern.fullmatch(path)
        if match:
            return name or match[1]
    return ""


def _argument(pid: int, index: int) -> int:
    return _ptrace(_PEEKUSER, pid, _ARGUMENTS[index])


def _string(memory: int, address: int) -> str:
    if not address:
        return ""
    data = b""
    while b"\0" not in data:
        # To the end of the page: what follows may not be there.
        step = 4096 - (address + len(data)) % 4096
        data += os.pread(memory, step, address + len(data))
    return os.fsdecode(data.partition(b"\0")[0])


def _descriptor(pid: int, fd: int) -> str:
    (fd,) = struct.unpack("i", struct.pack("q", fd)[:4])
    try:
        return os.readlink(f"/proc/{pid}/{'cwd' if fd == _AT_FDCWD else f'fd/{fd}'}").removesuffix(" (deleted)")
    except OSError:
        return ""
