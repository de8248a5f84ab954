# SPDX-License-Identifier: MIT
"""A throw-away root in which an account tool can run as root without reaching this machine.

Runs inside a worker process (worker.py) that has a private mount and pid namespace. The root is a tmpfs; its
/usr is an overlay on the /usr of this machine or of another system's root (and on the tree of `make install`, if
given), so that /usr/lib can hold an image layer. Setting a case up writes some twenty small files: about a millisecond.
"""

from __future__ import annotations

import contextlib
import errno
import marshal
import os
import select
import shutil
import signal
import socket
import stat
import time

from tests.support.roots.mounts import BIND, PRIVATE, RDONLY, REC, REMOUNT, mount
from tests.support.state import Command, File, Node, Outcome, State

TREES = ("/home", "/var/mail", "/srv", "/nonexistent")
IMAGE_FILES = ("passwd", "group", "shadow", "gshadow")
REPO_IN_ROOT = "/opt/accounts"

# How the recordings were made: pam_unix alone, without quality checks, the hash method from login.defs.
# Root needs no password for chsh and chfn.
_PAM = {
    "passwd": "password required pam_unix.so\n",
    "chpasswd": "password required pam_unix.so\n",
    "newusers": "password required pam_unix.so\n",
    "other": "auth required pam_unix.so\naccount required pam_unix.so\n"
    "password required pam_unix.so\nsession required pam_unix.so\n",
}
_PAM_ROOTOK = "auth sufficient pam_rootok.so\naccount required pam_unix.so\nsession required pam_unix.so\n"


class CaseRoot:
    """One root directory, used for one case after the other.

    base: an empty directory to mount on. repo: bound read-only at REPO_IN_ROOT when given. lowers: trees
    (DESTDIR) whose usr/ is stacked over the system's. system: the root directory of the system whose programs and
    libraries are used, this machine by default. package: the directory in the root that has our package, to run
    tools of ours by a fork server (forkserver.py) and not each in an interpreter of its own.
    """

    def __init__(
        self, base: str, repo: str = "", lowers: tuple[str, ...] = (), system: str = "", package: str = ""
    ) -> None:
        mount("none", "/", "", REC | PRIVATE)
        mount("tmpfs", base, "tmpfs", 0, "mode=755,size=256m")
        self.path = base + "/root"
        self._upper = base + "/upper"
        for directory in (self.path, self._upper, base + "/work"):
            os.mkdir(directory, 0o755)
        for name in (
            *("usr", "etc", "dev", "proc", "root", "opt", "run", "home", "srv", "tmp", "var"),
            *("var/log", "var/lib", "var/cache", "var/spool", "var/tmp", "var/mail", "var/backups"),
            *("var/cache/man", "etc/pam.d", "etc/skel", "etc/default"),
        ):
            os.mkdir(self._at("/" + name))
        for name in ("/tmp", "/var/tmp"):
            os.chmod(self._at(name), 0o1777)
        os.chown(self._at("/var/mail"), 0, 8)
        os.chmod(self._at("/var/mail"), 0o2775)
        os.symlink("../mail", self._at("/var/spool/mail"))
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            if os.path.islink(f"{system}/{name}"):
                os.symlink(os.readlink(f"{system}/{name}"), self._at("/" + name))
        layers = ":".join([*(lower + "/usr" for lower in lowers), system + "/usr"])
        options = f"lowerdir={layers},upperdir={self._upper},workdir={base}/work"
        mount("overlay", self._at("/usr"), "overlay", 0, options)
        mount("proc", self._at("/proc"), "proc")
        for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
            os.mknod(self._at("/dev/" + name), stat.S_IFCHR | 0o666, os.makedev(1, minor))
            os.chmod(self._at("/dev/" + name), 0o666)
        os.mknod(self._at("/dev/tty"), stat.S_IFCHR | 0o666, os.makedev(5, 0))
        if repo:
            os.mkdir(self._at(REPO_IN_ROOT))
            mount(repo, self._at(REPO_IN_ROOT), "", BIND)
            mount("none", self._at(REPO_IN_ROOT), "", BIND | REMOUNT | RDONLY)
        for service in ("chsh", "chfn", "chage", "groupmems", "useradd", "usermod", "userdel", "groupadd"):
            _write(self._at("/etc/pam.d/" + service), File(_PAM_ROOTOK.encode()))
        for service, text in _PAM.items():
            _write(self._at("/etc/pam.d/" + service), File(text.encode()))
        # The sizes of Debian 12's skeleton files are in the recordings; the contents are compared nowhere.
        for name, size in ((".bash_logout", 220), (".bashrc", 3526), (".profile", 807)):
            _write(self._at("/etc/skel/" + name), File(b"#" * (size - 1) + b"\n"))
        if os.path.exists(f"{system}/etc/ld.so.cache"):
            shutil.copy(f"{system}/etc/ld.so.cache", self._at("/etc/ld.so.cache"))
        self._etc_kept = {"pam.d", "skel", "default", "ld.so.cache"}
        self._written: dict[str, tuple[int, int]] = {}
        self._server, self._server_process = self._start_server(package) if package else (None, 0)

    def _start_server(self, package: str) -> tuple[socket.socket, int]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = os.fork()
        if not child:
            try:
                os.set_inheritable(theirs.fileno(), True)
                os.chroot(self.path)
                os.chdir("/tmp")
                program = REPO_IN_ROOT + "/tests/support/forkserver.py"
                argv = ["python3", "-W", "error", "-ISXutf8", program, str(theirs.fileno()), package]
                os.execve("/usr/bin/python3", argv, {"LC_ALL": "C"})
            finally:
                os._exit(255)
        theirs.close()
        return ours, child

    def close(self) -> None:
        """End the fork server, if there is one; the mounts go with their namespace."""
        if self._server is not None:
            self._server.close()
            os.waitpid(self._server_process, 0)

    def _at(self, path: str) -> str:
        return self.path + path

    def run(self, state: State, program: str, command: Command) -> Outcome:
        """Set the root to state, run the program (a path inside the root) and read everything back."""
        self._reset(state)
        for name, data in command.files.items():
            path = self._at("/tmp/" + name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _write(path, File(data))
        outside = self._outside()
        started = time.monotonic()
        status, stdout, stderr = self._spawn(program, command)
        seconds = time.monotonic() - started
        after, touched = self._read(state)
        later = self._outside()
        strays = sorted({path for path, _ in outside.items() ^ later.items()})
        return Outcome(status, stdout, stderr, after, touched, strays, seconds)

    def _reset(self, state: State) -> None:
        etc = self._at("/etc")
        for name in os.listdir(etc):
            if name not in self._etc_kept:
                _remove(f"{etc}/{name}")
        for directory in ("/etc/default", "/tmp", "/run", "/root", "/home", "/srv", "/var/mail"):
            for name in os.listdir(self._at(directory)):
                _remove(f"{self._at(directory)}/{name}")
        _remove(self._at("/nonexistent"))
        _write(f"{etc}/nsswitch.conf", File(_nsswitch(state)))
        if state.image:
            os.makedirs(f"{etc}/accounts", exist_ok=True)
            _write(f"{etc}/accounts/accounts.conf", File(b"HIDE=yes\n" if state.hide else b"HIDE=no\n"))
        for name, file in state.etc.items():
            if "/" in name:
                os.makedirs(os.path.dirname(f"{etc}/{name}"), exist_ok=True)
            _write(f"{etc}/{name}", file)
        for name in IMAGE_FILES:
            path = self._at("/usr/lib/" + name)
            if name in state.image:
                _write(path, state.image[name])
            else:
                _remove(path)
        for path, node in sorted(state.tree.items()):
            os.makedirs(os.path.dirname(self._at(path)), exist_ok=True)
            _make(self._at(path), node)
        self._written = {}
        for name in state.etc:
            info = os.lstat(f"{etc}/{name}")
            self._written[name] = (info.st_ino, info.st_mtime_ns)

    def _spawn(self, program: str, command: Command) -> tuple[int | None, bytes, bytes]:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", **command.env}
        if command.day is not None:
            environment["SOURCE_DATE_EPOCH"] = str(command.day * 86400)
        stdin, stdout, stderr = (os.memfd_create(name) for name in ("stdin", "stdout", "stderr"))
        os.write(stdin, command.stdin)
        # A pipe, not the file, becomes standard input: a tool must not be able to seek in it. What does not
        # fit into the pipe's buffer would block us, so large input stays a file.
        read_end = stdin
        if len(command.stdin) <= 60000:
            read_end, write_end = os.pipe()
            os.write(write_end, command.stdin)
            os.close(write_end)
        else:
            os.lseek(stdin, 0, os.SEEK_SET)
        if self._server is not None:
            status = self._ask_server(program, command, environment, (read_end, stdout, stderr))
        else:
            status = self._execute(program, command, environment, (read_end, stdout, stderr))
        texts = []
        for descriptor in (stdout, stderr):
            texts.append(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
        for descriptor in {stdin, read_end, stdout, stderr}:
            os.close(descriptor)
        return status, texts[0], texts[1]

    def _ask_server(
        self, program: str, command: Command, environment: dict[str, str], streams: tuple[int, int, int]
    ) -> int | None:
        """Have the fork server run it; as _execute()."""
        assert self._server is not None
        argv = [os.fsdecode(word) for word in command.argv]
        request = marshal.dumps((program, argv, environment, command.umask))
        socket.send_fds(self._server, [request], streams)
        child = int.from_bytes(self._server.recv(8), "little")
        ready, _, _ = select.select([self._server], [], [], command.timeout)
        if not ready:
            _kill(child)
        answer = self._server.recv(8)
        if not (child and answer):
            raise OSError(errno.EIO, "the fork server has ended", program)
        return int.from_bytes(answer, "little", signed=True) if ready else None

    def _execute(
        self, program: str, command: Command, environment: dict[str, str], streams: tuple[int, int, int]
    ) -> int | None:
        """Run it in a process of its own; its status, negative for a signal, None after the time limit."""
        child = os.fork()
        if not child:
            try:
                os.setsid()
                for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
                    signal.signal(number, signal.SIG_DFL)  # python ignores the first two, and exec keeps that
                for target, descriptor in enumerate(streams):
                    os.dup2(descriptor, target)
                os.chroot(self.path)
                os.chdir("/tmp")
                os.umask(command.umask)
                os.execve(program, [command.tool.encode(), *command.argv], environment)
            except BaseException as error:
                os.write(2, f"harness: {program}: {error}\n".encode())
            finally:
                os._exit(255)
        return _wait(child, command.timeout)

    def _read(self, before: State) -> tuple[State, set[str]]:
        after = State(merge=before.merge, hide=before.hide)
        touched = set()
        etc = self._at("/etc")
        for path in _walk(etc):
            name = path[len(etc) + 1 :]
            top = name.split("/")[0]
            if top in self._etc_kept - {"default"} or name in ("nsswitch.conf", "accounts/accounts.conf"):
                continue
            info = os.lstat(path)
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as stream:
                    data = stream.read()
                after.etc[name] = File(data, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)
                if self._written.get(name) != (info.st_ino, info.st_mtime_ns):
                    touched.add(name)
        touched |= self._written.keys() - after.etc.keys()
        for name in IMAGE_FILES:
            file = _read(self._at("/usr/lib/" + name))
            if file is not None:
                after.image[name] = file
        for tree in TREES:
            for path in _walk(self._at(tree)):
                name = path[len(self.path) :]
                if name != tree or tree == "/nonexistent":
                    after.tree[name] = _node(path)
        return after, touched

    def _outside(self) -> dict[str, tuple[int, int, int, int]]:
        """Everything that no case may change: the upper layer of /usr, and the kept parts of /etc."""
        found = {}
        for name in ("/usr", "/etc/pam.d", "/etc/skel", "/etc/nsswitch.conf"):
            top = self._upper if name == "/usr" else self._at(name)
            for path in _walk(top):
                info = os.lstat(path)
                if not stat.S_ISDIR(info.st_mode):
                    identity = (info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns)
                    found[name + path[len(top) :]] = identity
        return found


def _nsswitch(state: State) -> bytes:
    services = b"files altfiles" if state.image else b"files"
    group = b"files [SUCCESS=merge] altfiles" if state.image and state.merge else services
    return b"passwd: %b\ngroup: %b\nshadow: %b\ngshadow: %b\n" % (services, group, services, services)


def _kill(child: int) -> None:
    """Kill a process and its group, which it may not lead yet."""
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError):
            kill(child, signal.SIGKILL)


def _wait(child: int, timeout: float) -> int | None:
    handle = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([handle], [], [], timeout)
        if not ready:
            _kill(child)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) if ready else None
    finally:
        os.close(handle)


def _write(path: str, file: File) -> None:
    with open(path, "wb") as stream:
        stream.write(file.data)
        os.fchown(stream.fileno(), file.uid, file.gid)
        os.fchmod(stream.fileno(), file.mode)


def _read(path: str) -> File | None:
    try:
        with open(path, "rb") as stream:
            info = os.fstat(stream.fileno())
            return File(stream.read(), stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)
    except FileNotFoundError:
        return None


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(path)


def _walk(top: str) -> list[str]:
    """top and everything below it; nothing when it does not exist. Links are not followed."""
    if not os.path.lexists(top):
        return []
    found = [top]
    for path in found:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            found += [f"{path}/{name}" for name in os.listdir(path)]
    return found


def _make(path: str, node: Node) -> None:
    if node.kind == "l":
        os.symlink(node.target, path)
        os.lchown(path, node.uid, node.gid)
        return
    if node.kind == "d":
        os.mkdir(path)
    else:
        with open(path, "wb") as stream:
            stream.truncate(node.size)
    os.chown(path, node.uid, node.gid)
    os.chmod(path, node.mode)


def _node(path: str) -> Node:
    info = os.lstat(path)
    kind = "d" if stat.S_ISDIR(info.st_mode) else "l" if stat.S_ISLNK(info.st_mode) else "f"
    return Node(
        kind,
        stat.S_IMODE(info.st_mode),
        info.st_uid,
        info.st_gid,
        info.st_size if kind == "f" else 0,
        os.readlink(path) if kind == "l" else "",
    )
